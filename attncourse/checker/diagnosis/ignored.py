"""Does an input make no difference, or an argument of `__init__`, which should?"""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from attncourse.checker.calling import parameters, run
from attncourse.checker.case import Case
from attncourse.checker.departure import Departure
from attncourse.checker.equal import hopeless, same
from attncourse.checker.fault import Fault
from attncourse.checker.trials import Prepared


def explain(departure: Departure) -> Fault | None:
    case, probe = departure.case, departure.probe
    if hopeless(departure.y) or not case.sheet.knows_the_solution:
        return None
    given = parameters(case.ex, probe)
    if len(given) > 1 or case.ex.is_module:
        for name in given:
            if all(_stays(departure, i, name) for i in case.sheet.declared):
                text = (
                    f"`{name}` makes no difference to what `{probe}` returns: it is not used,"
                    " or it cancels."
                )
                return Fault(text, _evidence(departure), "makes_no_difference")
    for name in departure.trial.init:
        if _stays_when_built(departure, name):
            text = f"`{name}` of `__init__` makes no difference to what `{probe}` returns."
            return Fault(text, _evidence(departure), "makes_no_difference")
    return None


def makes_a_difference(case: Case, probe: str, index: int) -> bool:
    """Whether any input does, on one trial: a result that is kept knows of none."""
    trial, y = case.trials[index], case.outcomes(probe)[index]
    for name in parameters(case.ex, probe):
        for other in _others(trial.inputs.get(name))[:1]:
            if not same(_with(case, case.answer, trial, probe, name, other), y):
                return True
    return False


def _evidence(departure: Departure) -> tuple[str, ...]:
    return departure.seen, departure.wrong or departure.worst


def _stays(departure: Departure, index: int, name: str) -> bool:
    """Whether one trial gives the same with another value, where the solution does not; true
    of a trial that has no such input, but for the one that departs."""
    case, probe, trial = departure.case, departure.probe, departure.case.trials[index]
    x, expected = trial.inputs.get(name), case.sheet.expected(index, probe)
    for other in _others(x):
        right = _with(case, case.ex.solution, trial, probe, name, other)
        if not hopeless(right) and not same(right, expected):
            mine = _with(case, case.answer, trial, probe, name, other)
            return same(mine, case.outcomes(probe)[index])
    return index != departure.index


def _with(case: Case, answer: Any, trial: Prepared, probe: str, name: str, x: Any) -> Any:
    inputs = {**trial.inputs, name: x}
    return run(case.ex, answer, replace(trial, inputs=inputs)).outcomes.get(probe)


def _others(x: Any) -> tuple[Any, ...]:
    """Other values, the second for where the first is none that can be: of numbers a multiple
    and a part."""
    one = _other(x)
    if one is None:
        return ()
    plain = isinstance(x, int | float) and not isinstance(x, bool)
    return (one, 2 * x, x // 2) if plain and x else (one,)


def _stays_when_built(departure: Departure, name: str) -> bool:
    """The same for an argument that leaves the weights as they are."""
    case, trial = departure.case, departure.trial
    other = _other(trial.init[name])
    if other is None:
        return False
    built = replace(trial, init={**trial.init, name: other})
    mine, right = (
        run(case.ex, one, built).outcomes.get(departure.probe)
        for one in (case.answer, case.ex.solution)
    )
    if right is None or hopeless(right) or same(right, departure.right):
        return False
    return same(mine, departure.y)


def _other(x: Any) -> Any:
    """Another value of the same kind and shape; None where there is none to be sure of."""
    if isinstance(x, bool):
        return not x
    if isinstance(x, int | float):
        return x + 1
    if not isinstance(x, Tensor) or not x.numel():
        return None
    if x.dtype == torch.bool:
        return ~x
    return -x / 2 if x.is_floating_point() else x.flip(0) if x.ndim else None
