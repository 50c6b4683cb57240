"""Does a BatchNorm in training, or a function that is to be called once, run more often than in
the solution?"""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from functools import wraps
from inspect import isfunction
from itertools import product

import torch
from torch import Tensor

from attncourse.checker.building import build
from attncourse.checker.calling import outcome
from attncourse.checker.case import Case
from attncourse.checker.fault import Fault
from attncourse.checker.trials import Prepared
from attncourse.exercises.source import docstrings


def examine(case: Case) -> Fault | None:
    return _statistics_move(case) or _asks_again(case)


def _asks_again(case: Case) -> Fault | None:
    """A function among the inputs of which the stub says that it is called once."""
    said = "\n".join(docstrings(case.ex))
    for index in case.sheet.declared:
        trial = case.trials[index]
        names = [n for n, x in trial.inputs.items() if isfunction(x)]
        once = [n for n in names if re.search(rf"`{n}`[^.]*\bonce\b", said)]
        if not once:
            continue
        mine, right = (
            _calls(case, one, trial, once) for one in (case.answer, case.ex.solution)
        )
        for name in once:
            if mine[name] > right[name]:
                verb = "is" if right[name] == 1 else "are"
                return Fault(
                    f"The values are right, but `{name}` is called {mine[name]} times where"
                    f" {right[name]} {verb} enough: the stub says once. Keep what it returns.",
                    (trial.seen,),
                    "calls_too_often",
                )
    return None


def _calls(case: Case, answer: Callable, trial: Prepared, names: Sequence[str]) -> Counter[str]:
    """How often each of these functions runs in one call."""
    counted: Counter[str] = Counter()

    def watched(name: str, function: Callable) -> Callable:
        @wraps(function)
        def call(*given, **named):
            counted[name] += 1
            return function(*given, **named)

        return call

    built = build(case.ex, answer, trial).answer
    inputs = trial.fresh()
    inputs |= {name: watched(name, inputs[name]) for name in names}
    outcome(case.ex, built, case.last_probe, inputs)
    return counted


def _statistics_move(case: Case) -> Fault | None:
    for index in case.sheet.declared:
        trial = case.trials[index]
        counted = [n for n in trial.weights or () if n.endswith("num_batches_tracked")]
        if trial.evaluate or not counted:
            continue
        if fault := _still(case, trial):
            return fault
        for probe, name in product(case.ex.probes, counted):
            mine, right = (
                _runs(case, one, trial, probe) for one in (case.answer, case.ex.solution)
            )
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


def _runs(case: Case, answer: Callable, trial: Prepared, probe: str) -> dict[str, int]:
    """How often each BatchNorm has run after one call of a probe."""
    built = build(case.ex, answer, trial).answer
    outcome(case.ex, built, probe, trial.fresh())
    state = built.state_dict()
    return {n: int(state[n]) for n in trial.weights if n in state and "num_batches" in n}
