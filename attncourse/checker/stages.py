"""Where an answer departs first: the inside of a module, told by what its layers are given."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from attncourse.checker.building import build
from attncourse.checker.calling import arguments, call, gradients
from attncourse.checker.equal import same, same_numbers
from attncourse.checker.running import attempt
from attncourse.checker.trials import Prepared
from attncourse.exercises.letters import spell
from attncourse.exercises.record import Exercise


@dataclass(frozen=True)
class Call:
    """One call of a layer: its name and what it was given."""

    layer: str
    given: Tensor


def first_stage(ex: Exercise, answer: Any, trial: Prepared, probe: str) -> str | None:
    """The first layer of a module that is given something else than in the solution."""

    def used(layer: str) -> bool:
        found = gradients(ex, answer, trial, probe)
        slopes = [found[n] for n in found if n.startswith(f"{layer}.")]
        return any(slope is not None and slope.abs().max() > 0 for slope in slopes)

    def inside():
        mine, right = (build(ex, one, trial) for one in (answer, ex.solution))
        if mine.fault is not None:
            return None
        called = [calls(ex, one.answer, trial, probe) for one in (mine, right)]
        return departs(*called, trial, used)

    said = attempt(inside)
    return said if isinstance(said, str) else None


def calls(ex: Exercise, built: nn.Module, trial: Prepared, probe: str) -> list[Call]:
    """Every call of a layer inside a module during one forward pass, in order."""
    children = dict(built.named_children())
    return _noted(children, lambda: built(*arguments(ex, probe, trial.fresh())))


def given_to_layers(
    ex: Exercise, answer: Any, trial: Prepared, probe: str
) -> dict[str, list[Tensor]]:
    """What each layer of torch inside an answer is given while a probe runs, as far as it
    comes."""
    built = build(ex, answer, trial).answer
    if not isinstance(built, nn.Module):
        return {}
    layers = {
        n: m for n, m in built.named_modules() if n and not any(True for _ in m.children())
    }
    noted = _noted(layers, lambda: attempt(lambda: call(ex, built, probe, trial.fresh())))
    found: dict[str, list[Tensor]] = {}
    for one in noted:
        found.setdefault(one.layer, []).append(one.given)
    return found


def _noted(layers: Mapping[str, nn.Module], go: Callable[[], Any]) -> list[Call]:
    """What these layers are given while something runs, in order."""
    seen: list[Call] = []
    handles = []
    for name, layer in layers.items():

        def note(_, given, name=name):
            if given and isinstance(given[0], Tensor):
                seen.append(Call(name, given[0].detach().clone()))

        handles.append(layer.register_forward_pre_hook(note))
    try:
        with torch.no_grad():
            go()
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
    """Where the calls of an answer's layers depart from those in the solution, in one line.

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
        return _given_otherwise(want, theirs[0], trial)
    return _too_often(mine, right) or (
        "All layers are given what they should be; what departs comes after the last of them."
    )


def _given_otherwise(want: Call, given: Tensor, trial: Prepared) -> str:
    """What a layer is given in place of what it should be."""
    layer = f"`self.{want.layer}`"
    name, should = _which_input(given, trial), _which_input(want.given, trial)
    if name and should:
        return f"{layer} is applied to {name}; it should be applied to {should}."
    if given.shape != want.given.shape:
        return (
            f"What reaches {layer} is {_spelt(given, trial)}; it should be"
            f" {_spelt(want.given, trial)}."
        )
    if same_numbers(given, want.given, rtol=1e-6):
        return (
            f"What reaches {layer} holds the right numbers in another order:"
            " the axes are put together otherwise."
        )
    return f"{layer} is the first layer that is given other numbers than it should be."


def _spelt(x: Tensor, trial: Prepared) -> str:
    """A shape in letters, with its numbers where those are not certain."""
    letters = spell(x.shape, trial.sizes)
    known = not any(word.isdecimal() and word != "1" for word in letters.split())
    return letters if known else " ".join(map(str, x.shape))


def _too_often(mine: list[Call], right: list[Call]) -> str | None:
    """A layer that is applied although it should not be, or more often than it should be."""
    wanted = dict.fromkeys(call.layer for call in right)
    extra = [call.layer for call in mine if call.layer not in wanted]
    if extra:
        return f"`self.{extra[0]}` is applied although it should not be."
    for name in wanted:
        times, enough = (sum(call.layer == name for call in one) for one in (mine, right))
        if times > enough:
            return (
                f"`self.{name}` is applied {_times(times)}; it should be applied"
                f" {_times(enough)}."
            )
    return None


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
