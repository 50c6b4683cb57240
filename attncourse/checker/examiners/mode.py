"""Is a module right in the other mode too, of training and of evaluation?"""

from dataclasses import replace

from attncourse.checker.calling import run
from attncourse.checker.case import Case
from attncourse.checker.equal import same
from attncourse.checker.fault import Fault


def examine(case: Case) -> Fault | None:
    if not case.ex.is_module:
        return None
    trial = replace(case.trials[0], evaluate=not case.trials[0].evaluate)
    mine, right = (run(case.ex, one, trial) for one in (case.answer, case.ex.solution))
    here, there = "in training mode", "after `.eval()`"
    if not trial.evaluate:
        here, there = there, here
    for probe, expected in right.outcomes.items():
        if probe not in case.unwritten and not same(mine.outcomes.get(probe), expected):
            return Fault(f"`{probe}` is right {here} and departs {there}.")
    return None
