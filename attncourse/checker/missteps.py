"""What people do in place of a step: on the way to it, instead of it, or with its weights.

Each way has the words in which a learner is told, and a function. What a step is given is
changed by a function of a tensor; a step itself by a function of what is called, with its
arguments.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

OFTEN = 16  # so many of what happens on the way come before what is rarer


def axes_of(args: tuple, kwargs: Mapping) -> tuple[int, ...]:
    axes = kwargs.get("dim", kwargs.get("axis", args[1] if len(args) > 1 else None))
    axes = (axes,) if isinstance(axes, int) else axes
    n = args[0].ndim
    return tuple(sorted(a % n for a in axes)) if axes else tuple(range(n))


def dilated(factor: int) -> Callable:
    def change(func, args, kwargs):
        b = by_name(func, args, kwargs)
        dilation = _tuple(b["dilation"], b["weight"].ndim - 2)
        new = tuple(d * factor or 1 for d in dilation)
        if new == dilation:
            raise ValueError("no change")
        k = b["weight"].shape[2:]
        b |= dict(
            dilation=new, padding=tuple(d * (n - 1) // 2 for d, n in zip(new, k, strict=True))
        )
        return func(**b)

    return change


def _tuple(x: Any, n: int) -> tuple[int, ...]:
    return (x,) * n if isinstance(x, int) else tuple(x)


def middle(weight: Tensor) -> Tensor:
    kept = torch.zeros_like(weight)
    at = (slice(None), slice(None), *(n // 2 for n in weight.shape[2:]))
    kept[at] = weight[at]
    return kept


# ---------------------------------------------------------------- what may happen on the way


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


def _standard(t: Tensor, axes: tuple[int, ...]) -> Tensor:
    centred = t - t.mean(axes, keepdim=True)
    return centred / (centred.square().mean(axes, keepdim=True) + 1e-5).sqrt()


def inner(t: Tensor) -> tuple[int, ...]:
    return tuple(range(1, t.ndim))


# {second}, {last} and {two} stand for the letters of the axes.
ON_THE_WAY: tuple[tuple[str, Callable[[Tensor], Tensor]], ...] = (
    ("goes through a ReLU", torch.relu),
    ("goes through a sigmoid", torch.sigmoid),
    ("goes through a tanh", torch.tanh),
    ("is squared", torch.square),
    ("loses its signs", torch.abs),
    ("has its sign turned", torch.neg),
    ("is doubled", lambda t: 2 * t),
    ("is halved", lambda t: t / 2),
    ("is averaged over the batch (images mix)",
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
    ("loses its mean over the batch", lambda t: t - t.mean(0, keepdim=True)),
    ("is standardised over {second}", lambda t: _standard(t, (1,))),
    ("is standardised over {two}", lambda t: _standard(t, _two(t))),
    ("is standardised over the whole image", lambda t: _standard(t, inner(t))),
    ("is standardised over the batch", lambda t: _standard(t, (0,))),
    ("is divided by its length over {second}", lambda t: F.normalize(t, dim=1)),
    ("is divided by its length over {last}", lambda t: F.normalize(t, dim=-1)),
    ("is divided by its sum over {second}", lambda t: t / t.sum(1, keepdim=True)),
    ("is divided by its sum over {two}",
     lambda t: _over_two(t, lambda f: f / f.sum(-1, keepdim=True))),
    ("is divided by its largest value over {two}",
     lambda t: _over_two(t, lambda f: f / f.amax(-1, keepdim=True))),
    ("is divided by its mean over {second}", lambda t: t / t.mean(1, keepdim=True)),
    ("is scaled to 0 … 1 over {two}", lambda t: _over_two(t, _stretched)),
    ("is the first image's for all images,", lambda t: t[:1].expand_as(t)),
    ("is another image's: the batch is turned round", lambda t: t.flip(0)),
    ("is another image's: the batch is rolled by one", lambda t: t.roll(1, 0)),
    ("is turned round along {second}", lambda t: t.flip(1)),
    ("is rolled by one along {second}", lambda t: t.roll(1, 1)),
    ("is rolled back by one along {second}", lambda t: t.roll(-1, 1)),
    ("is turned round along {last}", lambda t: t.flip(-1)),
    ("is rolled by one along {last}", lambda t: t.roll(1, -1)),
    ("is turned upside down", lambda t: t.flip(-2)),
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
    ("is divided by the number of images", lambda t: t / len(t)),
    ("is multiplied by its own sigmoid", F.silu),
)  # fmt: skip

# ---------------------------------------------------------------- what else a step may do

INSTEAD: Mapping[str, tuple[tuple[str, Callable], ...]] = {
    "ReLU": (
        ("a GELU", F.gelu),
        ("a GELU (by tanh)", lambda t: F.gelu(t, approximate="tanh")),
        ("a SiLU (swish)", F.silu),
        ("a leaky ReLU", F.leaky_relu),
        ("a leaky ReLU", lambda t: F.leaky_relu(t, 0.1)),
        ("a leaky ReLU", lambda t: F.leaky_relu(t, 0.2)),
        ("a leaky ReLU", lambda t: F.leaky_relu(t, 0.3)),
        ("an ELU", F.elu),
        ("a SELU", F.selu),
        ("a CELU", F.celu),
        ("a softplus", F.softplus),
        ("a hard swish", F.hardswish),
        ("a hard sigmoid", F.hardsigmoid),
        ("a Mish", F.mish),
        ("a ReLU6", F.relu6),
        ("a tanh", torch.tanh),
        ("a sigmoid", torch.sigmoid),
        ("the magnitude", torch.abs),
        ("a square", torch.square),
        ("the square of a ReLU", lambda t: t.relu().square()),
        ("a softmax over the second axis", lambda t: t.softmax(1)),
        ("a softmax over the last axis", lambda t: t.softmax(-1)),
        ("the negative part", lambda t: t.clamp(max=0)),
        ("the negative part, made positive,", lambda t: (-t).relu()),
        ("a step from 0 to 1", lambda t: (t > 0).to(t)),
        ("an exponential", torch.exp),
    ),
    "sigmoid": (
        ("a tanh", torch.tanh),
        ("half of 1 + tanh", lambda t: (1 + t.tanh()) / 2),
        ("a hard sigmoid", F.hardsigmoid),
        ("a hard sigmoid", lambda t: (0.2 * t + 0.5).clamp(0, 1)),
        ("a softmax over the second axis", lambda t: t.softmax(1)),
        ("a softmax over the last axis", lambda t: t.softmax(-1)),
        ("a softmax over all pixels",
         lambda t: t.flatten(-2).softmax(-1).unflatten(-1, t.shape[-2:])),
        ("a softmax over the batch", lambda t: t.softmax(0)),
        ("a ReLU", torch.relu),
        ("a ReLU6 over 6", lambda t: F.relu6(t) / 6),
        ("a cut to 0 and 1", lambda t: t.clamp(0, 1)),
        ("a softplus", F.softplus),
        ("the logarithm of a sigmoid", F.logsigmoid),
        ("an exponential", torch.exp),
        ("a SiLU", F.silu),
        ("a softsign", F.softsign),
        ("a step from 0 to 1", lambda t: (t > 0).to(t)),
        ("a normal distribution", torch.special.ndtr),
    ),
    "tanh": (
        ("a sigmoid", torch.sigmoid),
        ("a hard tanh", F.hardtanh),
        ("a softsign", F.softsign),
        ("an error function", torch.erf),
        ("an arc tangent", torch.atan),
        ("a sine", torch.sin),
        ("a ReLU", torch.relu),
        ("a GELU", F.gelu),
        ("a tanh of the half", lambda t: (t / 2).tanh()),
        ("a softmax over the second axis", lambda t: t.softmax(1)),
    ),
    "GELU": (
        ("a ReLU", torch.relu),
        ("a SiLU", F.silu),
        ("a tanh", torch.tanh),
        ("a leaky ReLU", F.leaky_relu),
        ("a GELU by tanh", lambda t: F.gelu(t, approximate="tanh")),
    ),
    "softmax": (
        ("a sigmoid", torch.sigmoid),
        ("a softmax over the last axis", lambda t: t.softmax(-1)),
        ("a softmax over the last axis but one", lambda t: t.softmax(-2)),
        ("a softmax over the second axis", lambda t: t.softmax(1)),
        ("a softmax over the batch", lambda t: t.softmax(0)),
        ("a softmax over the last two axes together",
         lambda t: t.flatten(-2).softmax(-1).unflatten(-1, t.shape[-2:])),
        ("a logarithm of the softmax", lambda t: t.log_softmax(-1)),
        ("an exponential", torch.exp),
        ("a division by the sum", lambda t: t / t.sum(-1, keepdim=True)),
        ("a division by the number of keys", lambda t: t / t.shape[-1]),
        ("a ReLU, divided by its sum",
         lambda t: t.relu() / t.relu().sum(-1, keepdim=True).clamp(min=1e-9)),
    ),
}  # fmt: skip


def _flat(t: Tensor, axes: tuple[int, ...]) -> Tensor:
    """The axes that are reduced, as one at the end."""
    return t.movedim(axes, tuple(range(-len(axes), 0))).flatten(-len(axes))


def _one_by_one(first: str, then: str) -> Callable:
    """Two axes reduced in two ways."""

    def reduce(flat: Tensor, t: Tensor, axes: tuple[int, ...]) -> Tensor:
        if len(axes) != 2:
            raise ValueError("two axes are needed")
        inner = getattr(t, first)(axes[1], keepdim=True)
        return getattr(inner, then)(axes[0], keepdim=True).squeeze(axes)

    return reduce


def _plain(f: Callable[[Tensor], Tensor]) -> Callable:
    return lambda flat, t, axes: f(flat)


REDUCED: tuple[tuple[str, Callable], ...] = (
    ("mean", _plain(lambda t: t.mean(-1))),
    ("sum", _plain(lambda t: t.sum(-1))),
    ("maximum", _plain(lambda t: t.amax(-1))),
    ("minimum", _plain(lambda t: t.amin(-1))),
    ("median", _plain(lambda t: t.median(-1).values)),
    ("mean of the two in the middle", _plain(lambda t: t.quantile(0.5, -1))),
    ("mean magnitude", _plain(lambda t: t.abs().mean(-1))),
    ("largest magnitude", _plain(lambda t: t.abs().amax(-1))),
    ("standard deviation", _plain(lambda t: t.std(-1))),
    ("standard deviation", _plain(lambda t: t.std(-1, unbiased=False))),
    ("variance", _plain(lambda t: t.var(-1))),
    ("variance", _plain(lambda t: t.var(-1, unbiased=False))),
    ("root of the mean square", _plain(lambda t: t.square().mean(-1).sqrt())),
    ("mean square", _plain(lambda t: t.square().mean(-1))),
    ("length (L2 norm)", _plain(lambda t: t.norm(dim=-1))),
    ("sum of magnitudes", _plain(lambda t: t.abs().sum(-1))),
    ("range, maximum less minimum,", _plain(lambda t: t.amax(-1) - t.amin(-1))),
    ("middle between maximum and minimum", _plain(lambda t: (t.amax(-1) + t.amin(-1)) / 2)),
    ("middle between maximum and mean", _plain(lambda t: (t.amax(-1) + t.mean(-1)) / 2)),
    ("sum of maximum and mean", _plain(lambda t: t.amax(-1) + t.mean(-1))),
    ("maximum less the mean", _plain(lambda t: t.amax(-1) - t.mean(-1))),
    ("soft maximum (logsumexp)", _plain(lambda t: t.logsumexp(-1))),
    ("sum, divided by n - 1,", _plain(lambda t: t.sum(-1) / (t.shape[-1] - 1))),
    ("first", _plain(lambda t: t[..., 0])),
    ("last", _plain(lambda t: t[..., -1])),
    ("product", _plain(lambda t: t.prod(-1))),
    ("second largest", _plain(lambda t: t.topk(2, -1).values[..., 1])),
    ("number in the middle",
     lambda f, t, axes: t.movedim(axes, tuple(range(-len(axes), 0)))[
         (..., *(t.shape[a] // 2 for a in axes))]),
    ("mean over the last axis, then the maximum", _one_by_one("mean", "amax")),
    ("maximum over the last axis, then the mean", _one_by_one("amax", "mean")),
    ("sum over the last axis, then the mean", _one_by_one("sum", "mean")),
    ("mean over the last axis, then the sum", _one_by_one("mean", "sum")),
)  # fmt: skip


def reduce_by(reduce: Callable) -> Callable:
    def change(func, args, kwargs):
        t, axes = args[0], axes_of(args, kwargs)
        out = reduce(_flat(t, axes), t, axes)
        if kwargs.get("keepdim") or (len(args) > 2 and args[2] is True):
            for a in axes:
                out = out.unsqueeze(a)
        return out

    return change


# Two that meet: how it is told with their names, and what happens.
TWO: Mapping[str, tuple[tuple[str, Callable[[Any, Any], Any]], ...]] = {
    "product": (
        ("You add {a} and {b}", lambda a, b: a + b),
        ("You divide {a} by {b}", lambda a, b: a / b),
        ("You divide {b} by {a}", lambda a, b: b / a),
        ("{b} is left out: {a} is not multiplied by it", lambda a, b: a + 0 * b),
        ("{a} is left out: {b} is not multiplied by it", lambda a, b: b + 0 * a),
        ("You add {a} to {a} times {b}", lambda a, b: a + a * b),
        ("You add {b} to {a} times {b}", lambda a, b: b + a * b),
        ("You multiply {a} by {b} twice", lambda a, b: a * b * b),
        ("You multiply {b} by {a} twice", lambda a, b: a * a * b),
        ("You subtract {b} from {a}", lambda a, b: a - b),
        ("You subtract {a} from {b}", lambda a, b: b - a),
        ("You take the larger of {a} and {b}", torch.maximum),
        ("You take the smaller of {a} and {b}", torch.minimum),
        ("You take the mean of {a} and {b}", lambda a, b: (a + b) / 2),
        ("You take the root of the product of {a} and {b}", lambda a, b: (a * b).sqrt()),
        ("You multiply {a} by the root of {b}", lambda a, b: a * b**0.5),
        ("You add {a} and {b} less their product", lambda a, b: a + b - a * b),
    ),
    "total": (
        ("You multiply {a} and {b}", lambda a, b: a * b),
        ("You subtract {b} from {a}", lambda a, b: a - b),
        ("You subtract {a} from {b}", lambda a, b: b - a),
        ("{b} is left out: it is not added", lambda a, b: a + 0 * b),
        ("{a} is left out: it is not added", lambda a, b: b + 0 * a),
        ("You take the mean of {a} and {b}", lambda a, b: (a + b) / 2),
        ("You take the larger of {a} and {b}", torch.maximum),
        ("You take the smaller of {a} and {b}", torch.minimum),
        ("You add {b} twice", lambda a, b: a + 2 * b),
        ("You add {a} twice", lambda a, b: 2 * a + b),
        ("You add half of {b}", lambda a, b: a + b / 2),
        ("You add half of {a}", lambda a, b: a / 2 + b),
        ("You add the product of {a} and {b} as well", lambda a, b: a + b + a * b),
        ("You add {a} to the product of {a} and {b}", lambda a, b: a + a * b),
        ("You add {b} to the product of {a} and {b}", lambda a, b: b + a * b),
        ("You add the squares of {a} and {b}", lambda a, b: a * a + b * b),
        ("You add the magnitudes of {a} and {b}", lambda a, b: abs(a) + abs(b)),
    ),
    "quotient": (
        ("You multiply {a} by {b}", lambda a, b: a * b),
        ("{a} is not divided by {b}", lambda a, b: a + 0 * b),
        ("You divide {a} by {b} twice", lambda a, b: a / b / b),
        ("You divide {a} by the root of {b}", lambda a, b: a / b**0.5),
        ("You divide {b} by {a}", lambda a, b: b / a),
        ("You subtract {b} from {a}", lambda a, b: a - b),
    ),
    "difference": (
        ("You add {a} and {b}", lambda a, b: a + b),
        ("You subtract {a} from {b}", lambda a, b: b - a),
        ("{b} is not subtracted from {a}", lambda a, b: a + 0 * b),
    ),
}  # fmt: skip
RIGHT = {
    "product": "they are multiplied",
    "total": "they are added, once each",
    "quotient": "{a} is divided by {b}",
    "difference": "{b} is subtracted from {a}",
}

BORDERS = (
    ("replicate", "you repeat the pixels at the border"),
    ("reflect", "you mirror what is inside"),
    ("circular", "you go on at the other end"),
)


def by_name(func: Callable, args: tuple, kwargs: Mapping) -> dict[str, Any]:
    """The arguments of a convolution by name."""
    names = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")
    return (
        dict(bias=None, stride=1, padding=0, dilation=1, groups=1)
        | dict(zip(names, args, strict=False))
        | dict(kwargs)
    )


def called_with(**changes: Callable[[dict], Any]) -> Callable:
    """A layer called with some arguments changed, each by a function of all of them."""

    def change(func, args, kwargs):
        bound = by_name(func, args, kwargs)
        if func.__name__ == "linear":
            bound = {n: bound[n] for n in ("input", "weight", "bias")}
        bound |= {n: make(bound) for n, make in changes.items()}
        return func(**bound)

    return change


def bordered(mode: str) -> Callable:
    def change(func, args, kwargs):
        bound = by_name(func, args, kwargs)
        around = [p for p in reversed(bound["padding"]) for _ in range(2)]
        bound |= dict(input=F.pad(bound["input"], around, mode=mode), padding=0)
        return func(**bound)

    return change


def turned(axes: tuple[int, ...]) -> Callable:
    return called_with(weight=lambda b: b["weight"].flip(axes))


def twice(func, args, kwargs):
    return func(func(*args, **kwargs), *args[1:], **kwargs)


def norm(func: Callable, args: tuple, kwargs: Mapping) -> dict[str, Any]:
    """The arguments of a BatchNorm by name."""
    names = ("input", "running_mean", "running_var", "weight", "bias", "training")
    return dict(zip(names, args, strict=False)) | dict(kwargs)


def normed(**changes: Any) -> Callable:
    """A BatchNorm with some arguments replaced."""
    return lambda func, args, kwargs: func(**(norm(func, args, kwargs) | changes))


def other_statistics(func, args, kwargs):
    b = norm(func, args, kwargs)
    b["training"] = not b["training"]
    if b["training"]:  # nobody's statistics move
        b |= {n: b[n].clone() for n in ("running_mean", "running_var")}
    return func(**b)


def own_statistics(axes: Callable[[Tensor], tuple[int, ...]]) -> Callable:
    def change(func, args, kwargs):
        b = norm(func, args, kwargs)
        x = b["input"]
        shape = (1, -1, *(1,) * (x.ndim - 2))
        return _standard(x, axes(x)) * b["weight"].reshape(shape) + b["bias"].reshape(shape)

    return change


def _as(**given: Any) -> Callable:
    """A step called with other options."""
    return lambda func, args, kwargs: func(*args, **(dict(kwargs) | given))


def _spread(mode: str, corners: bool | None = None) -> Callable:
    options = dict(mode=mode, align_corners=corners) if corners is not None else dict(mode=mode)
    return _as(**options)


SPREADS = (
    ("bilinear", _spread("bilinear", False)),
    ("bilinear, corners aligned,", _spread("bilinear", True)),
    ("nearest-exact", _spread("nearest-exact")),
    ("bicubic", _spread("bicubic", False)),
    ("area", _spread("area")),
)


def _pooled(change: Callable[[dict], Any]) -> Callable:
    def pool(func, args, kwargs):
        names = ("input", "kernel_size", "stride", "padding", "ceil_mode", "count_include_pad")
        return change(dict(zip(names, args, strict=False)) | dict(kwargs))

    return pool


def _max_pool(b: dict) -> Tensor:
    k, p = b["kernel_size"], b["padding"]
    x = F.pad(b["input"], (p,) * 4, value=-torch.inf)
    return F.max_pool2d(x, k, b["stride"])


MEANS = (
    ("what lies beyond the border is counted, as 0",
     _pooled(lambda b: F.avg_pool2d(**(b | dict(count_include_pad=True))))),
    ("you take the maximum of what is near; it is the mean", _pooled(_max_pool)),
    ("you take the sum of what is near; it is the mean",
     _pooled(lambda b: F.avg_pool2d(**b) * F.avg_pool2d(
         torch.ones_like(b["input"]), b["kernel_size"], b["stride"], b["padding"])
         * b["kernel_size"] ** 2)),
    ("you take the mean of what is near twice",
     _pooled(lambda b: F.avg_pool2d(**(b | dict(
         input=F.avg_pool2d(**(b | dict(stride=1)))))))),
    ("you take the middle between the maximum and the mean of what is near; it is the mean",
     _pooled(lambda b: (F.avg_pool2d(**b) + _max_pool(b)) / 2)),
)  # fmt: skip
