"""A step: one call of torch, or of a part, while a probe of the solution runs."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

KINDS = {
    **dict.fromkeys(("relu", "relu_", "clamp_min"), "ReLU"),
    **dict.fromkeys(("sigmoid", "sigmoid_"), "sigmoid"),
    **dict.fromkeys(("tanh", "tanh_"), "tanh"),
    "softmax": "softmax",
    "gelu": "GELU",
    **dict.fromkeys(("mean", "nanmean"), "mean"),
    "sum": "sum",
    **dict.fromkeys(("amax", "max"), "maximum"),
    **dict.fromkeys(("mul", "__mul__", "__rmul__", "multiply"), "product"),
    **dict.fromkeys(("add", "__add__", "__radd__"), "total"),
    **dict.fromkeys(("sub", "__sub__", "subtract"), "difference"),
    **dict.fromkeys(("div", "__truediv__", "divide"), "quotient"),
    **dict.fromkeys(("linear", "conv1d", "conv2d"), "layer"),
    "batch_norm": "norm",
    "layer_norm": "layer norm",
    "interpolate": "spreading",
    "avg_pool2d": "means",
    **dict.fromkeys(("matmul", "__matmul__", "bmm", "einsum"), "matrix product"),
    "grad": "gradient",
    **dict.fromkeys(("stack", "cat"), "stack"),
}
TRANSPARENT = {
    *("reshape", "view", "permute", "transpose", "unsqueeze", "squeeze", "expand", "repeat"),
    *("flatten", "unflatten", "contiguous", "__getitem__", "expand_as", "clone", "movedim"),
    *("requires_grad_", "detach", "t", "split", "chunk", "unbind", "narrow", "select"),
    *("add", "__add__", "__radd__"),  # of the 0 that `sum` begins with
}
SQUASH = ("ReLU", "sigmoid", "tanh", "GELU", "softmax")
REDUCTIONS = ("mean", "sum", "maximum")
PAIRS = ("product", "total", "quotient", "difference")
LAYERS = ("layer", "norm", "layer norm")
NAMELESS = "something"  # what has neither been given nor come out of a step that is followed


@dataclass(frozen=True)
class Value:
    """A tensor on its way: how it is spoken of, and where it came from, in one string."""

    noun: str
    source: str
    tensor: Tensor
    after: int = 0  # so many steps


@dataclass(frozen=True)
class Step:
    """One call while the solution runs. `given` holds the values of its tensor arguments by
    their place."""

    number: int
    kind: str
    title: str
    key: str
    func: Callable
    args: tuple
    kwargs: Mapping[str, Any]
    given: Mapping[tuple[int, ...], Value]
    layer: str = ""


def kind_of(name: str, args: tuple) -> str | None:
    """What kind of step a call is; None where it is not looked at."""
    kind = KINDS.get(name)
    if name in ("stack", "cat"):
        return kind if args and isinstance(args[0], (tuple, list)) else None
    if kind in ("product", "total"):
        first = args[:2]
        if any(isinstance(a, Tensor) and not a.is_floating_point() for a in first):
            return None
        if kind == "total" and any(isinstance(a, (int, float)) and a == 0 for a in first):
            return None  # the beginning of `sum`
    if name == "max" and len(args) < 2:
        return None
    return kind


def tensors_in(args: tuple) -> Iterator[tuple[tuple[int, ...], Tensor]]:
    """Every tensor among arguments and among lists of them, with its place."""
    for i, a in enumerate(args):
        if isinstance(a, Tensor):
            yield (i,), a
        elif isinstance(a, (list, tuple)):
            yield from (((i, j), t) for j, t in enumerate(a) if isinstance(t, Tensor))


def axes_of(args: tuple, kwargs: Mapping) -> tuple[int, ...]:
    """The axes that a mean, a sum or a maximum runs over."""
    axes = kwargs.get("dim", kwargs.get("axis", args[1] if len(args) > 1 else None))
    axes = (axes,) if isinstance(axes, int) else axes
    n = args[0].ndim
    return tuple(sorted(a % n for a in axes)) if axes else tuple(range(n))
