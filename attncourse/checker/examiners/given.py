"""Does a given `__init__` still do what it did: refuse what it refused, take what it took?"""

import re
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from inspect import Parameter, signature, unwrap
from typing import Any

from attncourse.checker.calling import run
from attncourse.checker.case import Case
from attncourse.checker.crashes import crashed
from attncourse.checker.ending import undisturbed
from attncourse.checker.equal import hopeless, same
from attncourse.checker.fault import Fault
from attncourse.checker.running import Crash, attempt, calm
from attncourse.checker.sheet import sheet
from attncourse.checker.telling import worst, wrong_kind
from attncourse.checker.trials import Prepared, prepare
from attncourse.exercises.record import Exercise

OURS = {"device", "dtype"}  # every layer of the library takes them; no exercise is about them
NONE_SUCH = "none such"


@dataclass(frozen=True)
class Taken:
    """Arguments that no trial gives, and what the solution makes of them.

    says      how a message names them: "with window = 4", "where window is left out"
    refused   whether it raises a ValueError
    trial     the first trial with a module made so; None where it is refused
    outcomes  what its probes give, as far as they are numbers
    """

    says: str
    init: Mapping[str, Any]
    refused: bool
    trial: Prepared | None
    outcomes: Mapping[str, Any]


def examine(case: Case) -> Fault | None:
    if not case.ex.is_module or "__init__" in case.ex.blank:
        return None
    for taken in _taken(case.ex):
        if fault := _not_refused(case, taken) if taken.refused else _departs(case, taken):
            return fault
    return None


def _not_refused(case: Case, taken: Taken) -> Fault | None:
    made = attempt(lambda: case.answer(**taken.init))
    if isinstance(made, Crash) and made.kind == "ValueError":
        return None
    how = f"ends in {made.kind}" if isinstance(made, Crash) else "is let through"
    return Fault(
        f"The values are right, but `{case.ex.name}` {taken.says} {how}: the given `__init__`"
        " raises a ValueError. Leave it as it is.",
        (),
        "not_refused",
    )


def _departs(case: Case, taken: Taken) -> Fault | None:
    result = run(case.ex, case.answer, taken.trial)
    for probe, right in taken.outcomes.items():
        y = result.outcomes.get(probe, result.fault)
        if probe in case.unwritten or same(y, right):
            continue
        cause = f"`{probe}` is right on the trials before, but not {taken.says}"
        if isinstance(y, Crash):
            fault = crashed(y, probe, taken.trial)
            return Fault(f"{cause}: {fault.cause}", fault.evidence, "argument_departs")
        if isinstance(y, str):
            return Fault(f"{cause}. {y}", (), "argument_departs")
        axes = case.ex.probes[probe]
        seen = wrong_kind(probe, y, right, axes, taken.trial) or worst(y, right, axes)
        return Fault(f"{cause}.", (seen,), "argument_departs")
    return None


@cache
def _taken(ex: Exercise) -> tuple[Taken, ...]:
    with undisturbed(), calm():
        return tuple(filter(None, (_one(ex, *change) for change in _changes(ex))))


def _one(ex: Exercise, says: str, init: Mapping[str, Any]) -> Taken | None:
    made = _made(ex, init)
    if isinstance(made, ValueError):
        return Taken(says, init, True, None, {})
    first = next(iter(ex.trials()))
    whole = init.keys() >= first.init.keys()
    if made is None or (whole and not _fits(made, sheet(ex).trials[0])):
        return None  # it may take other inputs
    trial = prepare(ex, replace(first, init=init, evaluate=True), first.name)
    found = run(ex, ex.solution, trial).outcomes
    known = {probe: y for probe, y in found.items() if not hopeless(y)}
    return Taken(says, init, False, trial, known) if known else None


def _made(ex: Exercise, init: Mapping[str, Any]) -> Any:
    """A module; the ValueError that its own `__init__` raises, as it stands in the stub; None
    where another error says no, or what surrounds every layer of the library."""
    try:
        return ex.solution(**init)
    except ValueError as error:
        code = unwrap(ex.solution.__init__).__code__
        frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
        return error if any(frame.f_code is code for frame in frames) else None
    except Exception:
        return None


def _fits(made: Any, trial: Prepared) -> bool:
    """Whether the weights have the shapes that they had."""
    return [w.shape for w in made.state_dict().values()] == [
        w.shape for w in trial.weights.values()
    ]


def _changes(ex: Exercise) -> Iterator[tuple[str, dict[str, Any]]]:
    """The first trial's arguments with one of them changed or left out."""
    init = dict(sheet(ex).trials[0].init)
    for name, parameter in signature(ex.solution).parameters.items():
        if name in OURS or parameter.kind is Parameter.VAR_KEYWORD:
            continue
        default = parameter.default
        if name in init and default is not Parameter.empty:
            yield f"where `{name}` is left out", {n: v for n, v in init.items() if n != name}
        for value in _others(ex, init, name, init.get(name, default)):
            yield f"with {name} = {value!r}", init | {name: value}


def _others(ex: Exercise, init: Mapping, name: str, value: Any) -> Iterator[Any]:
    """Other values of the same kind: of words, those that an error lists."""
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, int):
        yield from (n for n in (1, value + 1, value + 2) if n != value)
    elif isinstance(value, tuple | list) and value and all(isinstance(v, str) for v in value):
        yield (*value[:-1], NONE_SUCH)
    elif isinstance(value, str):
        yield NONE_SUCH
        refused = _made(ex, init | {name: NONE_SUCH})
        if isinstance(refused, ValueError):
            listed = dict.fromkeys(re.findall(r"[\w-]+", str(refused)))
            yield from (one for one in listed if one != value and _takes(ex, init, name, one))


def _takes(ex: Exercise, init: Mapping[str, Any], name: str, word: str) -> bool:
    made = _made(ex, init | {name: word})
    return made is not None and not isinstance(made, ValueError)
