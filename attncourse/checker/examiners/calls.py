"""Does a BatchNorm in training run more often than in the solution?"""

from collections.abc import Callable

from attncourse.checker.building import build
from attncourse.checker.calling import outcome
from attncourse.checker.case import Case
from attncourse.checker.fault import Fault
from attncourse.checker.trials import Prepared


def examine(case: Case) -> Fault | None:
    for index in case.sheet.declared:
        trial = case.trials[index]
        counted = [n for n in trial.weights or () if n.endswith("num_batches_tracked")]
        if trial.evaluate or not counted:
            continue
        mine, right = (_runs(case, one, trial) for one in (case.answer, case.ex.solution))
        for name in counted:
            if mine.get(name, 0) > right.get(name, 0):
                layer = name.rpartition(".")[0]
                return Fault(
                    f"The values are right, but `self.{layer}` runs {mine[name]} times where"
                    f" {right[name]} is enough: in training each call moves its statistics."
                    " Keep the first result.",
                    (trial.seen,),
                    "calls_too_often",
                )
    return None


def _runs(case: Case, answer: Callable, trial: Prepared) -> dict[str, int]:
    """How often each BatchNorm has run after one call."""
    built = build(case.ex, answer, trial).answer
    outcome(case.ex, built, case.last_probe, trial.fresh())
    state = built.state_dict()
    return {n: int(state[n]) for n in trial.weights if n in state and "num_batches" in n}
