"""Is a module right in the other mode too, of training and of evaluation?"""

from attncourse.checker.calling import run
from attncourse.checker.case import Case
from attncourse.checker.equal import same
from attncourse.checker.fault import Fault


def examine(case: Case) -> Fault | None:
    if not case.ex.is_module:
        return None
    trial = case.sheet.other_mode
    mine = run(case.ex, case.answer, trial)
    here, there = "in training mode", "after `.eval()`"
    if not trial.evaluate:
        here, there = there, here
    for probe, expected in case.sheet.in_other_mode.items():
        if probe not in case.unwritten and not same(mine.outcomes.get(probe), expected):
            return Fault(f"`{probe}` is right {here} and departs {there}.")
    return None
