"""What may happen to a tensor on its way to a step, or to the result at the end."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.nn import functional as F


def _two(t: Tensor) -> tuple[int, ...]:
    """The last two axes, of something with as many behind the batch."""
    if t.ndim < 3:
        raise ValueError("there are no two axes behind the batch")
    return t.ndim - 2, t.ndim - 1


def _over_two(t: Tensor, f: Callable[[Tensor], Tensor]) -> Tensor:
    """The last two axes done as one."""
    return f(t.flatten(min(_two(t)))).unflatten(-1, t.shape[-2:])


def _mean(t: Tensor) -> Tensor:
    return t.mean(-1, keepdim=True).expand_as(t)


def _stretched(t: Tensor) -> Tensor:
    low, high = t.amin(-1, keepdim=True), t.amax(-1, keepdim=True)
    return (t - low) / (high - low)


def standardised(t: Tensor, axes: tuple[int, ...]) -> Tensor:
    centred = t - t.mean(axes, keepdim=True)
    return centred / (centred.square().mean(axes, keepdim=True) + 1e-5).sqrt()


def inner(t: Tensor) -> tuple[int, ...]:
    return tuple(range(1, t.ndim))


OFTEN = 16  # so many of what happens on the way come before what is rarer

# {first}, {second}, {last} and {two} stand for the letters of the axes.
ON_THE_WAY: tuple[tuple[str, Callable[[Tensor], Tensor]], ...] = (
    ("goes through a ReLU", torch.relu),
    ("goes through a sigmoid", torch.sigmoid),
    ("goes through a tanh", torch.tanh),
    ("is squared", torch.square),
    ("loses its signs", torch.abs),
    ("has its sign turned", torch.neg),
    ("is doubled", lambda t: 2 * t),
    ("is halved", lambda t: t / 2),
    ("is averaged over {first} (examples mix)",
     lambda t: t.mean(0, keepdim=True).expand_as(t)),
    ("goes through a softmax over {second}", lambda t: t.softmax(1)),
    ("goes through a softmax over {last}", lambda t: t.softmax(-1)),
    ("goes through a softmax over {two}", lambda t: _over_two(t, lambda f: f.softmax(-1))),
    ("goes through a GELU", F.gelu),
    ("is subtracted from 1", lambda t: 1 - t),
    ("is replaced by its mean over {two}", lambda t: _over_two(t, _mean)),
    ("is replaced by its mean over {second}", lambda t: t.mean(1, keepdim=True).expand_as(t)),
    ("is replaced by its largest over {two}",
     lambda t: _over_two(t, lambda f: f.amax(-1, keepdim=True).expand_as(f))),
    ("has 1 added to it", lambda t: 1 + t),
    ("is replaced by its root", torch.sqrt),
    ("loses its mean over {second}", lambda t: t - t.mean(1, keepdim=True)),
    ("loses its mean over {two}", lambda t: t - _over_two(t, _mean)),
    ("loses its mean over {first}", lambda t: t - t.mean(0, keepdim=True)),
    ("is standardised over {second}", lambda t: standardised(t, (1,))),
    ("is standardised over {two}", lambda t: standardised(t, _two(t))),
    ("is standardised over the whole image", lambda t: standardised(t, inner(t))),
    ("is standardised over {first}", lambda t: standardised(t, (0,))),
    ("is divided by its length over {second}", lambda t: F.normalize(t, dim=1)),
    ("is divided by its length over {last}", lambda t: F.normalize(t, dim=-1)),
    ("is divided by its sum over {second}", lambda t: t / t.sum(1, keepdim=True)),
    ("is divided by its sum over {two}",
     lambda t: _over_two(t, lambda f: f / f.sum(-1, keepdim=True))),
    ("is divided by its largest value over {two}",
     lambda t: _over_two(t, lambda f: f / f.amax(-1, keepdim=True))),
    ("is divided by its mean over {second}", lambda t: t / t.mean(1, keepdim=True)),
    ("is scaled to 0 … 1 over {two}", lambda t: _over_two(t, _stretched)),
    ("is cubed", lambda t: t**3),
    ("is inverted, 1 over it,", torch.reciprocal),
    ("goes through an exponential", torch.exp),
    ("goes through a logarithm", torch.log),
    ("goes through a softplus", F.softplus),
    ("goes through a leaky ReLU", F.leaky_relu),
    ("goes through a hard sigmoid", F.hardsigmoid),
    ("is cut to 0 and 1", lambda t: t.clamp(0, 1)),
    ("is cut to -1 and 1", lambda t: t.clamp(-1, 1)),
    ("is divided by the root of the size of {second}", lambda t: t / t.shape[1] ** 0.5),
    ("is divided by the root of the size of {last}", lambda t: t / t.shape[-1] ** 0.5),
    ("is divided by the size of {second}", lambda t: t / t.shape[1]),
    ("is divided by the size of {last}", lambda t: t / t.shape[-1]),
    ("is divided by the number of its pixels", lambda t: t / (t.shape[-1] * t.shape[-2])),
    ("is multiplied by the number of its pixels", lambda t: t * (t.shape[-1] * t.shape[-2])),
    ("is divided by the size of {first}", lambda t: t / len(t)),
    ("is multiplied by its own sigmoid", F.silu),
)  # fmt: skip


def of_axis(t: Tensor, axis: int) -> Iterator[tuple[str, str, Callable[[Tensor], Tensor]]]:
    """What happens to the places of one axis: a name, words with {axis}, and what happens."""
    n = t.shape[axis]
    if n < 2:
        return
    yield (
        "first",
        "is that of {axis}=0 for every {axis}",
        lambda t: t.narrow(axis, 0, 1).expand_as(t),
    )
    yield "turned", "is turned round along {axis}, last first", lambda t: t.flip(axis)
    if n > 2:
        yield "later", "is shifted by one along {axis}", lambda t: t.roll(1, axis)
        yield "sooner", "is shifted back by one along {axis}", lambda t: t.roll(-1, axis)
