"""Does an input make no difference, which should?"""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from attncourse.checker.calling import parameters, run
from attncourse.checker.departure import Departure
from attncourse.checker.equal import hopeless, same
from attncourse.checker.fault import Fault


def explain(departure: Departure) -> Fault | None:
    case, probe, trial = departure.case, departure.probe, departure.trial
    if not isinstance(departure.y, Tensor) or len(trial.inputs) < 2:
        return None
    for name in parameters(case.ex, probe):
        if _other(trial.inputs.get(name)) is None:
            continue
        if not all(_no_difference(departure, i, name) for i in case.sheet.declared):
            continue
        return Fault(
            f"`{name}` makes no difference to what `{probe}` returns: it is not used.",
            (departure.seen, departure.worst),
            "makes_no_difference",
        )
    return None


def _no_difference(departure: Departure, index: int, name: str) -> bool:
    """Whether one trial gives the same with another value, where the solution does not; true
    of a trial that has no such input."""
    case, probe, trial = departure.case, departure.probe, departure.case.trials[index]
    if (other := _other(trial.inputs.get(name))) is None:
        return True
    changed = replace(trial, inputs={**trial.inputs, name: other})
    mine, right = (
        run(case.ex, one, changed).outcomes.get(probe)
        for one in (case.answer, case.ex.solution)
    )
    expected = case.sheet.expected(index, probe)
    if hopeless(right) or same(right, expected):
        return index != departure.index
    return same(mine, case.outcomes(probe)[index])


def _other(x: Any) -> Any:
    """Another value of the same kind and shape; None where there is none to be sure of."""
    if not isinstance(x, Tensor) or not x.numel():
        return None
    if x.dtype == torch.bool:
        return ~x
    return -x / 2 if x.is_floating_point() else x.flip(0) if x.ndim else None
