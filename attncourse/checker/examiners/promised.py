"""Is it right on trials varied in what the stub leaves open: axes, sizes, masks, zeros?"""

from typing import Any

from attncourse.checker.building import begin, build
from attncourse.checker.calling import run, run_built
from attncourse.checker.case import Case
from attncourse.checker.crashes import crashed
from attncourse.checker.equal import nearly, same
from attncourse.checker.fault import Fault
from attncourse.checker.recognition import right_on_trials
from attncourse.checker.running import Crash
from attncourse.checker.sheet import Right
from attncourse.checker.telling import DIGITS, worst, wrong_kind
from attncourse.checker.varied import Varied


def examine(case: Case) -> Fault | None:
    for index, group in case.sheet.varied.items():
        trial = case.trials[index]
        built = build(case.ex, case.answer, trial).answer
        right = {probe: case.sheet.expected(index, probe) for probe in case.ex.probes}
        again = Right(Varied(trial, "", ""), right)
        before = (again,) if case.ex.is_module else ()  # of a function that is known
        for one in (*before, *group, again):  # one object for all: it may keep nothing
            if case.ex.is_module:
                begin(built, trial.weights, trial)
            found = run_built(case.ex, built, one.varied.trial).outcomes
            for probe, wanted in one.outcomes.items():
                y = found.get(probe)
                if probe in case.unwritten or same(y, wanted):
                    continue
                if fault := _why(case, one.varied, probe, y, wanted):
                    return fault
    return None


def _why(case: Case, varied: Varied, probe: str, y: Any, right: Any) -> Fault | None:
    """It departs for what it keeps of earlier calls, or by itself."""
    alone = run(case.ex, case.answer, varied.trial).outcomes.get(probe)
    if not same(alone, right):
        if not nearly(alone, right):
            return _explained(case, varied, probe, alone, right)
        if DIGITS not in case.remarks:  # nobody promised all digits
            case.remarks.append(DIGITS)
        return None
    how = f"stops with {y.kind}" if isinstance(y, Crash) else "departs"
    return Fault(
        f"`{probe}` is right on a new `{case.ex.name}`, and {how} on one that was called before"
        " with other sizes: something is kept of the first call, such as a mask or positions."
        " Make it anew from the arguments.",
        (varied.trial.seen,),
        "remembers_earlier_calls",
    )


def _explained(case: Case, varied: Varied, probe: str, y: Any, right: Any) -> Fault:
    """How an answer departs that is right on every declared trial."""
    trial = varied.trial
    if slip := _slip(case, varied, probe, y):
        return slip
    cause = f"`{probe}` is right on the trials before, but not {trial.name}"
    if isinstance(y, Crash):
        fault = crashed(y, probe, trial)
        own = y.own and y.line.startswith("raise")  # no consequence of what mostly goes wrong
        often = () if own else (varied.often,)
        return Fault(f"{cause}: {fault.cause}", (*fault.evidence, *often), varied.slip)
    axes = "" if varied.slip == "needs_so_many_axes" else case.ex.probes[probe]
    seen = wrong_kind(probe, y, right, axes, trial) or worst(y, right, axes)
    return Fault(f"{cause}.", (varied.often, seen, trial.seen), varied.slip)


def _slip(case: Case, varied: Varied, probe: str, y: Any) -> Fault | None:
    """A slip that is right on the declared trials, and departs here in the same way."""
    if isinstance(y, Crash):
        return None
    for slip in case.sheet.slips:
        for way in range(len(slip.answers)):
            if right_on_trials(case, slip, way, probe):
                theirs = case.sheet.of_slip_varied(slip, way, varied, probe)
                if same(theirs, y):
                    return Fault(slip.message, (varied.trial.seen,), slip.name)
    return None
