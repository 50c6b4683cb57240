"""Where an answer departs first: the inside of a module, told by what its layers are given."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from inspect import signature
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
    rest: Mapping[str, Tensor] = field(default_factory=dict)  # its other arguments, by name


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
    children = dict(_layers_of(built))
    return _noted(children, lambda: built(*arguments(ex, probe, trial.fresh())))


def _layers_of(built: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The layers of a module by their names, and those of a list of layers one by one."""
    for name, layer in built.named_children():
        if isinstance(layer, nn.ModuleList):
            yield from ((f"{name}.{n}", one) for n, one in enumerate(layer))
        else:
            yield name, layer


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

        def note(layer, args, kwargs, name=name):
            tensors = _by_name(layer, args, kwargs)
            if tensors:
                first, *rest = tensors
                others = {n: tensors[n] for n in rest}
                seen.append(Call(name, tensors[first], others))

        handles.append(layer.register_forward_pre_hook(note, with_kwargs=True))
    try:
        with torch.no_grad():
            go()
    finally:
        for handle in handles:
            handle.remove()
    return seen


def _by_name(layer: nn.Module, args: tuple, kwargs: Mapping) -> dict[str, Tensor]:
    """The tensors that a layer is given, by the names of its own arguments."""
    try:
        bound = signature(layer.forward).bind(*args, **kwargs).arguments
    except (TypeError, ValueError):
        bound = dict(enumerate(args))
    return {n: x.detach().clone() for n, x in bound.items() if isinstance(x, Tensor)}


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
    if said := _taken_for_another(mine, right, trial):
        return said
    for want in right:
        if want.layer not in called:
            if used(want.layer):
                wanted = dict.fromkeys(call.layer for call in right)
                return _by_hand([n for n in wanted if n not in called and used(n)])
            return f"`self.{want.layer}` is never applied."
        theirs = [call for call in mine if call.layer == want.layer]
        alike = [call for call in theirs if same(call.given, want.given, trial.dtype)]
        if any(_same_rest(call, want, trial) for call in alike):
            continue
        if alike:
            return _rest_otherwise(want, alike[0], trial)
        return _given_otherwise(want, theirs[0].given, trial)
    return _too_often(mine, right) or (
        "All layers are given what they should be; what departs comes after the last of them."
    )


def _taken_for_another(mine: list[Call], right: list[Call], trial: Prepared) -> str | None:
    """The first call of another layer than it should be, with the same inputs."""
    for one, want in zip(mine, right, strict=False):
        if not same(one.given, want.given, trial.dtype):
            return None
        if one.layer != want.layer:
            if any(_alike(call, want, trial) for call in mine):
                return None  # both are called, in another order
            if any(_alike(call, one, trial) for call in right):
                return None  # it is called so, later
            times, enough = (
                sum(c.layer == one.layer for c in calls) for calls in (mine, right)
            )
            if times <= enough and not any(call.layer == want.layer for call in mine):
                return None  # the other is left out
            if any(other.layer == one.layer for other in right):
                return f"`self.{one.layer}` is called where `self.{want.layer}` belongs."
            return None
        if not _same_rest(one, want, trial):
            return None
    return None


def _alike(call: Call, want: Call, trial: Prepared) -> bool:
    """Whether a call is of the same layer, with the same inputs."""
    same_layer = call.layer == want.layer and same(call.given, want.given, trial.dtype)
    return same_layer and _same_rest(call, want, trial)


def _same_rest(call: Call, want: Call, trial: Prepared) -> bool:
    return call.rest.keys() == want.rest.keys() and all(
        same(call.rest[n], x, trial.dtype) for n, x in want.rest.items()
    )


def _rest_otherwise(want: Call, call: Call, trial: Prepared) -> str:
    """Which other argument of a layer is not what it should be."""
    layer = f"`self.{want.layer}`"
    for name, x in want.rest.items():
        should = _which_input(x, trial)
        if name not in call.rest:
            return f"{layer} is called without `{name}`" + (
                f"; it should be {should}." if should else "."
            )
        if not same(call.rest[name], x, trial.dtype):
            mine = _which_input(call.rest[name], trial)
            if mine and should:
                return f"{layer} is given {mine} as `{name}`; it should be {should}."
            return f"{layer} is given another `{name}` than it should be{_as(should)}."
    extra = next(n for n in call.rest if n not in want.rest)
    mine = _which_input(call.rest[extra], trial)
    return f"{layer} is given {f'{mine} as ' if mine else 'a '}`{extra}`; it should get none."


def _as(should: str | None) -> str:
    return f", which is {should}" if should else ""


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
