"""Does what comes in in half precision go out so?"""

from collections.abc import Mapping
from functools import cache
from typing import Any

import torch
from torch import Tensor

from attncourse.checker.calling import Result, run
from attncourse.checker.case import Case
from attncourse.checker.crashes import crashed
from attncourse.checker.ending import undisturbed
from attncourse.checker.equal import hopeless, same
from attncourse.checker.fault import Fault
from attncourse.checker.running import Crash, calm
from attncourse.checker.sheet import sheet
from attncourse.checker.telling import dtype_of
from attncourse.checker.trials import FLOAT32, HALF, Prepared, in_precision, prepare
from attncourse.exercises.record import Exercise


def examine(case: Case) -> Fault | None:
    if not case.sheet.knows_the_solution:
        return None
    for trial, expected, exact in _expected(case.ex):
        result = run(case.ex, case.answer, trial)
        if fault := _fault(case, trial, expected, result, exact):
            return fault
    return None


def _fault(
    case: Case, trial: Prepared, expected: Mapping, result: Result, exact: bool
) -> Fault | None:
    """What the first probe does that departs from the solution in half precision: in its
    numbers too, where these are such as half precision holds."""
    for probe, right in expected.items():
        y = result.outcomes.get(probe, result.fault)
        if probe in case.unwritten or same(y, right, trial.dtype):
            continue
        if isinstance(y, Crash):
            fault = crashed(y, probe, trial)
            text = f"In half precision `{probe}` stops: {fault.cause}"
            if case.ex.half:  # the stub speaks of it
                return Fault(text, fault.evidence, "not_in_half_precision")
            case.remarks.append(f"A remark. {text}")
            return None
        if isinstance(y, Tensor) and isinstance(right, Tensor) and y.dtype != right.dtype:
            return Fault(
                f"`{probe}` returns {dtype_of(y)} for an input of {dtype_of(right)}. Keep the"
                " dtype of the input.",
                (),
                "changes_the_dtype",
            )
        if not exact:
            continue
        return Fault(
            f"`{probe}` is right, but not in half precision, whose largest number is 65,504 and"
            " whose steps are a thousandth. Make what is large or fine in single precision, and"
            " return the dtype of the input.",
            (trial.seen,),
            "not_in_half_precision",
        )
    return None


@cache
def _expected(ex: Exercise) -> list[tuple[Prepared, Mapping[str, Any], bool]]:
    """Trials in half precision, what the solution makes of them, where it can, and whether the
    numbers are to agree: of that which the record has for it, where the stub speaks of it."""
    if {FLOAT32, HALF} & ex.skip:
        return []
    known, found = sheet(ex), []
    trials = [(known.trials[index], False) for index in known.varied]
    if ex.half:
        trials.append((prepare(ex, ex.half(), "half"), True))
    for trial, exact in trials:
        if not any(
            isinstance(x, Tensor) and x.is_floating_point() for x in trial.inputs.values()
        ):
            continue
        half = in_precision(trial, HALF, "in half precision", torch.float16)
        with undisturbed(), calm():
            outcomes = run(ex, ex.solution, half).outcomes
        right = {probe: y for probe, y in outcomes.items() if not hopeless(y)}
        found.append((half, right, exact))
    return found
