"""Does a BatchNorm in training, or a function that is to be called once, run more often than in
the solution?"""

from attncourse.checker.calling import calls_in, to_be_called_once
from attncourse.checker.case import Case
from attncourse.checker.fault import Fault


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
