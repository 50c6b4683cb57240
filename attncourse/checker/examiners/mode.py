"""Is a module right in the other mode too, of training and of evaluation, and with dropout?"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from torch import nn

from attncourse.checker.building import build
from attncourse.checker.calling import run, run_built
from attncourse.checker.case import Case
from attncourse.checker.equal import hopeless, same
from attncourse.checker.fault import Fault
from attncourse.checker.trials import Prepared


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
    return _dropout(case) if case.sheet.knows_the_solution else None


def _dropout(case: Case) -> Fault | None:
    """In training with all dropped, in evaluation with nothing: neither leaves it to chance."""
    for evaluate in (True, False):
        trial = replace(case.trials[0], evaluate=evaluate)
        right = _dropped(case, case.ex.solution, trial)
        if right is None:
            return None
        mine = _dropped(case, case.answer, trial) or {}
        for probe, expected in right.items():
            if hopeless(expected) or probe in case.unwritten:
                continue
            if same(mine.get(probe), expected):
                continue
            if evaluate:
                text = "drops numbers after `.eval()`, too. Call the layer: it knows the mode."
            else:
                text = "drops other numbers in training than those that the stub names."
            return Fault(f"`{probe}` {text}", (trial.seen,), "drops_otherwise")
    return None


def _dropped(case: Case, answer: Callable, trial: Prepared) -> dict[str, Any] | None:
    """What the probes give where each dropout drops everything; None where there is none."""
    built = build(case.ex, answer, trial).answer
    layers = [layer for layer in built.modules() if isinstance(layer, nn.Dropout)]
    for layer in layers:
        layer.p = 1.0
    return dict(run_built(case.ex, built, trial).outcomes) if layers else None
