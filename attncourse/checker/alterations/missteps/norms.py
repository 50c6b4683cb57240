"""What people do in place of a BatchNorm, or with it."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from torch import Tensor, nn

from attncourse.checker.alterations.missteps.doing import LEFT_OUT, Way, twice
from attncourse.checker.alterations.missteps.on_the_way import inner, standardised
from attncourse.checker.alterations.steps import Step


def ways(step: Step) -> Iterator[Way]:
    """Without its weights, with other statistics, over other axes, twice."""
    title = step.title
    yield "left out", f"{title} is left out.", LEFT_OUT
    for name, what, without in (
        ("weight", "weight", dict(weight=None)),
        ("bias", "bias", dict(bias=None)),
        ("bare", "weight and bias", dict(weight=None, bias=None)),
    ):
        yield name, f"{title} is used without its {what}: call the layer.", _normed(**without)
    training = _by_name(None, step.args, step.kwargs)["training"]
    used, wanted = (
        ("the running statistics", "those of the batch, for it is training")
        if training
        else ("the statistics of the batch", "the running ones, for it is evaluation")
    )
    yield "statistics", f"{title} uses {used}; here it is {wanted}.", _other_statistics
    for name, axes in OTHER_AXES:
        text = f"where {title} stands you normalise {name}. It is a BatchNorm: call it."
        yield name, text, _own_statistics(axes)
    yield "twice", f"{title} is applied twice in a row; it is applied once.", twice


def others_of(step: Step, others: Mapping[str, nn.Module]) -> Iterator[Way]:
    """Another LayerNorm in the place of this one."""
    for name, other in others.items():
        if name != step.layer and isinstance(other, nn.LayerNorm):
            taken = dict(weight=other.weight, bias=other.bias)
            text = f"you use `self.{name}` where {step.title} belongs."
            yield name, text, _layer_normed(taken)


def _layer_normed(given: Mapping[str, Any]) -> Callable:
    """A LayerNorm with these weights, if they are as many as its own."""

    def change(func, args, kwargs):
        names = ("input", "normalized_shape", "weight", "bias", "eps")
        own = dict(zip(names, args, strict=False)) | dict(kwargs)
        if own["weight"].shape != given["weight"].shape:
            raise ValueError("no change")
        return func(**(own | given))

    return change


OTHER_AXES: tuple[tuple[str, Callable[[Tensor], tuple[int, ...]]], ...] = (
    ("each image and channel alone (an instance norm)", lambda t: tuple(range(2, t.ndim))),
    ("each image alone (a layer norm)", inner),
    ("the channels alone", lambda t: (1,)),
)


def _by_name(func: Callable, args: tuple, kwargs: Mapping) -> dict[str, Any]:
    """The arguments of a BatchNorm by name."""
    names = ("input", "running_mean", "running_var", "weight", "bias", "training")
    return dict(zip(names, args, strict=False)) | dict(kwargs)


def _normed(**changes: Any) -> Callable:
    """A BatchNorm with some arguments replaced."""
    return lambda func, args, kwargs: func(**(_by_name(func, args, kwargs) | changes))


def _other_statistics(func, args, kwargs):
    b = _by_name(func, args, kwargs)
    b["training"] = not b["training"]
    if b["training"]:  # nobody's statistics move
        b |= {n: b[n].clone() for n in ("running_mean", "running_var")}
    return func(**b)


def _own_statistics(axes: Callable[[Tensor], tuple[int, ...]]) -> Callable:
    def change(func, args, kwargs):
        b = _by_name(func, args, kwargs)
        x = b["input"]
        shape = (1, -1, *(1,) * (x.ndim - 2))
        return standardised(x, axes(x)) * b["weight"].reshape(shape) + b["bias"].reshape(shape)

    return change
