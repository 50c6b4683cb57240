"""Is each method right that is written too, and is only reached through another?"""

from functools import partial
from typing import Any

from attncourse.checker.building import build
from attncourse.checker.calling import outcome
from attncourse.checker.case import Case
from attncourse.checker.crashes import crashed
from attncourse.checker.equal import same
from attncourse.checker.fault import Fault
from attncourse.checker.running import Crash, attempt
from attncourse.checker.telling import wrong_kind
from attncourse.checker.trials import Prepared


def examine(case: Case) -> Fault | None:
    if not case.sheet.knows_the_solution:  # only running it tells how it calls its methods
        return None
    for name in case.ex.blank:
        if name in case.ex.probes:
            continue
        for index in case.sheet.declared:
            trial = case.trials[index]
            for given, named, right in _asked(case, trial, name):
                built = build(case.ex, case.answer, trial).answer
                y = attempt(partial(_called, built, name, given, named))
                if not same(y, right):
                    return _departs(name, y, right, trial)
    return None


def _asked(case: Case, trial: Prepared, name: str) -> list[tuple[tuple, dict, Any]]:
    """How the solution calls one of its own methods on a trial, and what it gets."""
    built, asked = build(case.ex, case.ex.solution, trial).answer, []
    method = getattr(built, name)

    def noted(*given: Any, **named: Any) -> Any:
        y = method(*given, **named)
        asked.append((given, named, y))
        return y

    setattr(built, name, noted)
    for probe in case.ex.probes:
        outcome(case.ex, built, probe, trial.fresh())
    return asked


def _called(built: Any, name: str, given: tuple, named: dict) -> Any:
    return getattr(built, name)(*given, **named)


def _departs(name: str, y: Any, right: Any, trial: Prepared) -> Fault:
    cause = f"the rest is right, but `{name}`, called by itself as the exercise describes it,"
    if isinstance(y, Crash):
        fault = crashed(y, name, trial)
        return Fault(f"{cause} stops: {fault.cause}", fault.evidence, "method_departs")
    wrong = wrong_kind(name, y, right, "", trial)
    return Fault(f"{cause} returns something else.", (wrong, trial.seen), "method_departs")
