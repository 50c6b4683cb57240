"""Where an answer departs first: the inside of a module, told by what its layers are given."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from attncourse.checker.sheet import Prepared, same
from attncourse.exercises.letters import spell


@dataclass(frozen=True)
class Call:
    """One call of a layer: its name and what it was given."""

    layer: str
    given: Tensor


def calls(layer: nn.Module, arguments: Sequence[Any]) -> list[Call]:
    """Every call of a layer inside a module during one forward pass, in order."""
    seen: list[Call] = []
    handles = []
    for name, inner in layer.named_children():

        def note(_, given, name=name):
            if given and isinstance(given[0], Tensor):
                seen.append(Call(name, given[0].detach().clone()))

        handles.append(inner.register_forward_pre_hook(note))
    try:
        with torch.no_grad():
            layer(*arguments)
    finally:
        for handle in handles:
            handle.remove()
    return seen


def departs(
    mine: list[Call],
    right: list[Call],
    trial: Prepared,
    used: Callable[[str], bool] = lambda layer: False,
) -> str | None:
    """The first layer that is given something else than in the solution, in one line.

    `used` tells whether a layer that is not called has an effect all the same.
    """
    called = {call.layer for call in mine}
    if not called or not right:  # a solution that calls methods of its layers says nothing
        return None
    for want in right:
        if want.layer not in called:
            if used(want.layer):
                wanted = dict.fromkeys(call.layer for call in right)
                return _by_hand([n for n in wanted if n not in called and used(n)])
            return f"`self.{want.layer}` is never applied."
        theirs = [call.given for call in mine if call.layer == want.layer]
        if any(same(given, want.given, trial.dtype) for given in theirs):
            continue
        given = theirs[0]
        if name := _which_input(given, trial):
            should = _which_input(want.given, trial)
            if should:
                return (
                    f"`self.{want.layer}` is applied to {name}; it should be applied to"
                    f" {should}."
                )
        if given.shape != want.given.shape:
            return (
                f"What reaches `self.{want.layer}` is {spell(given.shape, trial.sizes)}; "
                f"it should be {spell(want.given.shape, trial.sizes)}."
            )
        if _rearranged(given, want.given):
            return (
                f"What reaches `self.{want.layer}` holds the right numbers in another order:"
                " the axes are put together otherwise."
            )
        return (
            f"`self.{want.layer}` is the first layer that is given other numbers than it"
            " should be."
        )
    extra = [call.layer for call in mine if call.layer not in {c.layer for c in right}]
    if extra:
        return f"`self.{extra[0]}` is applied although it should not be."
    for name in dict.fromkeys(call.layer for call in right):
        times, enough = (sum(call.layer == name for call in one) for one in (mine, right))
        if times > enough:
            return (
                f"`self.{name}` is applied {_times(times)}; it should be applied"
                f" {_times(enough)}."
            )
    return (
        "All layers are given what they should be; what departs comes after the last of them."
    )


def _by_hand(layers: list[str]) -> str:
    """That weights are used without their layers, and not as the layers use them."""
    names = ", ".join(f"`self.{name}`" for name in layers)
    if len(layers) == 1:
        return (
            f"You use the weights of {names} by hand, and otherwise than the layer does. Call"
            " the layer itself."
        )
    return (
        f"You use the weights of {names} by hand, and not all as the layers do. Call the layers"
        " themselves."
    )


def _times(n: int) -> str:
    return {1: "once", 2: "twice"}.get(n, f"{n} times")


def _which_input(given: Tensor, trial: Prepared) -> str | None:
    return next(
        (f"`{n}`" for n, x in trial.inputs.items() if isinstance(x, Tensor) and same(given, x)),
        None,
    )


def _rearranged(a: Tensor, b: Tensor) -> bool:
    return a.numel() == b.numel() and torch.allclose(
        a.flatten().sort().values, b.flatten().sort().values, rtol=1e-6, atol=1e-8
    )
