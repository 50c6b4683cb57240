"""What `check` needs to know of a solution and its slips, as data that gives neither away."""

from collections.abc import Iterable, Mapping
from typing import Any

from attncourse.checker.ending import undisturbed
from attncourse.checker.recognition import right_everywhere
from attncourse.checker.running import Crash, calm
from attncourse.checker.sheet import Sheet
from attncourse.checker.sketch import dump, sketch
from attncourse.errors import UserError
from attncourse.exercises.handed import trial_as_data
from attncourse.exercises.record import Exercise, Slip, Trial


def record(ex: Exercise) -> dict[str, Any]:
    """The record of an exercise. Raises UserError where this machine cannot run it."""
    if reason := ex.needs():
        raise UserError(f"{ex.id} cannot be handed out from this machine: {reason}")
    known = Sheet(ex)
    with undisturbed(), calm():
        return {
            "id": ex.id,
            "inputs": inputs_as_data(ex),
            "expected": {
                index: {probe: _kept(known.expected(index, probe)) for probe in ex.probes}
                for index in range(len(known.trials))
            },
            "varied": _varied(known),
            "refused": {
                number: {"errors": _each(one.errors), "others": _each(one.others)}
                for number, one in enumerate(known.refused)
            },
            "other_mode": _each(known.in_other_mode) if ex.is_module else {},
            "negated": _each(known.of_negated) if known.negated else {},
            "remark": _each(known.of_remark) if known.remark else {},
            "gradients": _gradients(known),
            "calls": {index: known.calls_in(index) for index in known.declared},
            "spent": _spent(known.spent) if ex.cost else None,
            "slips": [_slip(known, one) for one in known.slips],
        }


def inputs_as_data(ex: Exercise) -> dict[str, Any]:
    """The trials as data, of each kind; without the kinds that hold what is no data."""
    made = {"trials": ex.trials(), "refuses": ex.refuses()}
    made |= {"remark": [ex.remark()]} if ex.remark else {}
    return {
        kind: found for kind, trials in made.items() if (found := _data(trials)) is not None
    }


def _data(trials: Iterable[Trial]) -> list[Any] | None:
    try:
        return [trial_as_data(trial) for trial in trials]
    except TypeError:
        return None


def _kept(y: Any) -> Any:
    return dump(sketch(y))


def _each(found: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _kept(y) for name, y in found.items()}


def _spent(found: Any) -> list[int] | None:
    return None if isinstance(found, Crash) else [found.largest_tensor, found.multiply_adds]


def _varied(known: Sheet) -> dict[int, dict[int, Any]]:
    """The outcomes of each variation by its number, as far as the solution answers it."""
    found = {}
    for index, group in known.varied.items():
        right = {one.varied: one for one in group}
        found[index] = {
            number: _each(right[one].outcomes)
            for number, one in enumerate(known.every_variation[index])
            if one in right
        }
    return found


def _gradients(known: Sheet) -> dict[int, Any]:
    """Of each declared trial, where there are some."""
    if "gradients" in known.ex.skip:
        return {}
    probe = list(known.ex.probes)[-1]
    found = {index: known.expected_gradients(index, probe) for index in known.declared}
    return {
        index: _slopes(slopes) for index, slopes in found.items() if isinstance(slopes, dict)
    }


def _slopes(found: Mapping[str, Any]) -> dict[str, Any]:
    return {name: None if g is None else _kept(g) for name, g in found.items()}


def _slip(known: Sheet, slip: Slip) -> dict[str, Any]:
    """A slip by its name and message, and what it makes of the trials in each of its ways."""
    return {
        "name": slip.name,
        "message": slip.message,
        "variant": slip.variant,
        "parts": list(slip.parts),
        "ways": [_way(known, slip, way) for way in range(len(slip.answers))],
    }


def _way(known: Sheet, slip: Slip, way: int) -> dict[str, Any]:
    """One way to make a slip. One that is right on all declared trials is told elsewhere."""
    probes, ex = list(known.ex.probes), known.ex
    quiet = [p for p in probes if right_everywhere(known, slip, way, p)]
    indices = range(len(known.trials)) if quiet else known.declared
    kept: dict[str, Any] = {
        "outcomes": {
            i: {p: _kept(known.of_slip(slip, i, p, way)) for p in probes} for i in indices
        }
    }
    if quiet:
        kept["varied"] = {
            i: {
                n: {p: _kept(known.of_slip_varied(slip, way, one.varied, p)) for p in quiet}
                for n, one in enumerate(group)
            }
            for i, group in known.varied.items()
        }
    if probes[-1] in quiet and not way:
        found = {i: known.gradients_of_slip(slip, i, probes[-1]) for i in known.declared}
        kept["gradients"] = {i: _slopes(g) for i, g in found.items() if isinstance(g, dict)}
        kept["spent"] = _spent(known.spent_of_slip(slip)) if ex.cost else None
    return kept
