"""Is it right on the first trial once more: with large numbers, scattered in memory, in single
precision?"""

from typing import Any

from torch import Tensor

from attncourse.checker.alterations import altered
from attncourse.checker.case import Case
from attncourse.checker.crashes import crashed
from attncourse.checker.equal import comparable, hopeless, same
from attncourse.checker.fault import Fault
from attncourse.checker.recognition import right_on_trials
from attncourse.checker.running import Crash, attempt
from attncourse.checker.telling import dtype_of, worst, wrong_kind
from attncourse.checker.trials import FLOAT32, LARGE, STRIDED
from attncourse.exercises.source import source


def examine(case: Case) -> Fault | None:
    for index in range(len(case.results), len(case.trials)):
        expected = {probe: case.sheet.expected(index, probe) for probe in case.ex.probes}
        if any(hopeless(y) for y in expected.values()):
            continue
        result = case.run(index)
        for probe, right in expected.items():
            y = result.outcomes.get(probe, result.fault)
            if probe in case.unwritten or same(y, right, case.trials[index].dtype):
                continue
            return _explained(case, index, probe, y, right)
    return None


def _explained(case: Case, index: int, probe: str, y: Any, right: Any) -> Fault:
    """Why a probe departs on a variation only."""
    trial = case.trials[index]
    crash = crashed(y, probe, trial) if isinstance(y, Crash) else None
    if trial.group == STRIDED:
        return Fault(
            f"`{probe}` is right only for inputs that are contiguous in memory. `rearrange`"
            " takes any layout; `view` does not.",
            (crash.cause, *crash.evidence) if crash else (),
            "needs_contiguous",
        )
    if crash:
        return crash
    if trial.group == FLOAT32 and isinstance(y, Tensor) and y.dtype != right.dtype:
        return Fault(
            f"`{probe}` returns {dtype_of(y)} for an input of {dtype_of(right)}. Keep the dtype"
            " of the input.",
            (),
            "changes_the_dtype",
        )
    if fault := _slip(case, index, probe, y):
        return fault
    if trial.group == LARGE and (fault := _large(case, index, probe, y, right)):
        return fault
    axes = case.ex.probes[probe]
    wrong = wrong_kind(probe, y, right, axes, trial)
    return Fault(wrong or worst(y, right, axes), (trial.seen,))


def _slip(case: Case, index: int, probe: str, y: Any) -> Fault | None:
    """A slip that is right on the declared trials, and departs here in the same way."""
    trial = case.trials[index]
    for slip in case.sheet.slips:
        for way in range(len(slip.answers)):
            if right_on_trials(case, slip, way, probe) and same(
                case.sheet.of_slip(slip, index, probe, way), y, trial.dtype
            ):
                return Fault(slip.message, (trial.seen,), slip.name)
    return None


def _remedy(case: Case) -> str:
    """What does not overflow, of what the solution is made of."""
    text = source(case.ex)
    for name in ("tanh", "sigmoid"):
        if f".{name}()" in text and "softmax" not in text:
            return f"`{name}` takes numbers of any size"
    return (
        "subtract the largest score of the row that counts first, or use `softmax`, which does"
    )


def _large(case: Case, index: int, probe: str, y: Any, right: Any) -> Fault | None:
    """What large numbers bring to light: an overflow, one step, a softmax by hand."""
    trial = case.trials[index]
    parts = y if isinstance(y, (tuple, list)) else (y,)
    if not all(p.isfinite().all() for p in parts if isinstance(p, Tensor)):
        return Fault(
            f"`{probe}` overflows: {trial.name} it returns inf or nan. exp of a large number"
            f" is inf, and inf / inf is nan; {_remedy(case)}.",
            (),
            "overflows",
        )
    answers = [*case.outcomes(probe), *[None] * (index - len(case.results)), y]
    said = attempt(lambda: altered(case.ex, index, probe, answers))
    if isinstance(said, str):
        return Fault(said, (trial.seen,))
    if not comparable(y, right):
        return None
    cause = f"`{probe}` is right, except {trial.name}"
    if (y == 0).sum() > (right == 0).sum():
        cause += (
            ": exp of what is far below the largest score is 0. Subtract the largest score that"
            " counts, without those that are hidden, or use `softmax`"
        )
    return Fault(f"{cause}.", (trial.seen, worst(y, right, case.ex.probes[probe])))
