"""What people do with the weights of a layer that they do not call, or in place of it."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from attncourse.checker.alterations.missteps.doing import LEFT_OUT, Way, twice
from attncourse.checker.alterations.steps import Step


def ways(step: Step, others: Mapping[str, nn.Module]) -> Iterator[Way]:
    """Without its bias, left out, twice, with other weights, or another layer in its place."""
    title = step.title
    weight = step.args[1] if len(step.args) > 1 else step.kwargs.get("weight")
    if _by_name(None, step.args, step.kwargs)["bias"] is not None:
        text = f"{title} is used without its bias: {CALL}."
        yield "bias", text, _called_with(bias=lambda b: None)
    yield "left out", f"{title} is left out.", LEFT_OUT
    yield "twice", f"{title} is applied twice in a row; it is applied once.", twice
    if weight.ndim > 2 and max(weight.shape[2:]) > 1:
        yield from _of_kernel(title, weight)
    text = f"{title} is used with the magnitudes of its weights."
    yield "magnitudes", text, _called_with(weight=lambda b: b["weight"].abs())
    text = f"the weights of {title} go through a softmax first: {CALL}."
    yield "shares", text, _called_with(weight=lambda b: b["weight"].softmax(-1))
    own = others.get(step.layer)
    for name, other in others.items():
        if own is None or name == step.layer or type(other) is not type(own):
            continue
        if getattr(other, "weight", torch.empty(0)).shape == weight.shape:
            change = _called_with(
                weight=lambda b, o=other: o.weight, bias=lambda b, o=other: o.bias
            )
            yield name, f"you use `self.{name}` where {title} belongs.", change


def _of_kernel(title: str, weight: Tensor) -> Iterator[Way]:
    """What happens to a kernel that is wider than one pixel."""
    text = (
        f"the kernel of {title} is turned round, as in a mathematician's convolution: {CALL}."
    )
    spatial = tuple(range(2, weight.ndim))
    yield "turned", text, _called_with(weight=lambda b: b["weight"].flip(spatial))
    if weight.ndim == 4 and weight.shape[2] == weight.shape[3]:
        text = f"rows and columns of the kernel of {title} are exchanged."
        yield "transposed", text, _called_with(weight=lambda b: b["weight"].mT)
    for mode, what in BORDERS:
        text = f"beyond the border of what {title} sees {what}. There are zeros: {CALL}."
        yield mode, text, _bordered(mode)
    yield "twice", f"{title} is used with twice its dilation: {CALL}.", _dilated(2)
    yield "without", f"{title} is used without its dilation: {CALL}.", _dilated(0)
    text = f"of the kernel of {title} only the middle is used: {CALL}."
    yield "middle", text, _called_with(weight=lambda b: _middle(b["weight"]))
    text = f"where {title} stands you take plain means of its window: {CALL}."
    yield "even", text, _called_with(weight=_even)


CALL = "call the layer itself"
BORDERS = (
    ("replicate", "you repeat the pixels at the border"),
    ("reflect", "you mirror what is inside"),
    ("circular", "you go on at the other end"),
)


def _by_name(func: Callable, args: tuple, kwargs: Mapping) -> dict[str, Any]:
    """The arguments of a convolution by name."""
    names = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")
    return (
        dict(bias=None, stride=1, padding=0, dilation=1, groups=1)
        | dict(zip(names, args, strict=False))
        | dict(kwargs)
    )


def _called_with(**changes: Callable[[dict], Any]) -> Callable:
    """A layer called with some arguments changed, each by a function of all of them."""

    def change(func, args, kwargs):
        bound = _by_name(func, args, kwargs)
        if func.__name__ == "linear":
            bound = {n: bound[n] for n in ("input", "weight", "bias")}
        bound |= {n: make(bound) for n, make in changes.items()}
        return func(**bound)

    return change


def _bordered(mode: str) -> Callable:
    def change(func, args, kwargs):
        bound = _by_name(func, args, kwargs)
        around = [p for p in reversed(bound["padding"]) for _ in range(2)]
        bound |= dict(input=F.pad(bound["input"], around, mode=mode), padding=0)
        return func(**bound)

    return change


def _dilated(factor: int) -> Callable:
    def change(func, args, kwargs):
        b = _by_name(func, args, kwargs)
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


def _middle(weight: Tensor) -> Tensor:
    kept = torch.zeros_like(weight)
    at = (slice(None), slice(None), *(n // 2 for n in weight.shape[2:]))
    kept[at] = weight[at]
    return kept


def _even(bound: dict[str, Any]) -> Tensor:
    weight = bound["weight"]
    return torch.full_like(weight, 1 / weight[0].numel())
