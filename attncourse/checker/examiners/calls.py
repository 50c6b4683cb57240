"""Does a BatchNorm in training, or a function that is to be called once, run more often than in
the solution?"""

from collections.abc import Callable

import torch
from torch import Tensor

from attncourse.checker.building import build
from attncourse.checker.calling import calls_in, outcome, to_be_called_once
from attncourse.checker.case import Case
from attncourse.checker.fault import Fault
from attncourse.checker.trials import Prepared


def examine(case: Case) -> Fault | None:
    return _statistics_move(case) or _asks_again(case)


def _asks_again(case: Case) -> Fault | None:
    """A function among the inputs of which the stub says that it is called once."""
    for index in case.sheet.declared:
        trial = case.trials[index]
        once = to_be_called_once(case.ex, trial)
        if not once:
            continue
        mine, right = calls_in(case.ex, case.answer, trial), case.sheet.calls_in(index)
        for name in once:
            if mine.get(name, 0) > right.get(name, 0):
                verb = "is" if right.get(name) == 1 else "are"
                return Fault(
                    f"The values are right, but `{name}` is called {mine[name]} times where"
                    f" {right.get(name, 0)} {verb} enough: the stub says once. Keep what it"
                    " returns.",
                    (trial.seen,),
                    "calls_too_often",
                )
    return None


def _statistics_move(case: Case) -> Fault | None:
    for index in case.sheet.declared:
        trial = case.trials[index]
        counted = [n for n in trial.weights or () if n.endswith("num_batches_tracked")]
        if trial.evaluate or not counted:
            continue
        if case.sheet.knows_the_solution and (fault := _still(case, trial)):
            return fault
        mine, right = calls_in(case.ex, case.answer, trial), case.sheet.calls_in(index)
        for name in counted:
            if mine.get(name, 0) > right.get(name, 0):
                layer = name.rpartition(".")[0]
                return Fault(
                    f"The values are right, but `self.{layer}` runs {mine[name]} times where"
                    f" {right.get(name, 0)} is enough: in training each call moves its"
                    " statistics. Keep the first result.",
                    (trial.seen,),
                    "calls_too_often",
                )
    return None


def _still(case: Case, trial: Prepared) -> Fault | None:
    """A BatchNorm that normalises rightly and does not remember what it saw."""
    mine, right = (_after(case, one, trial) for one in (case.answer, case.ex.solution))
    for name, first in trial.weights.items():
        if "running_" in name and name in mine:
            moved, stays = (not torch.equal(state[name], first) for state in (right, mine))
            if moved and not stays:
                layer = name.rpartition(".")[0]
                return Fault(
                    f"The values are right, but `self.{layer}` learns no statistics in"
                    " training: after `.eval()` it normalises by those that it began with. Call"
                    " the layer itself.",
                    (trial.seen,),
                    "statistics_stand_still",
                )
    return None


def _after(case: Case, answer: Callable, trial: Prepared) -> dict[str, Tensor]:
    """Weights and statistics after one call, by the solution's names where the answer has
    these."""
    built = build(case.ex, answer, trial).answer
    outcome(case.ex, built, case.last_probe, trial.fresh())
    return built.state_dict()
