"""Does it keep state: does the order of the calls matter?"""

from dataclasses import replace

from torch import Tensor

from attncourse.checker.building import begin, build
from attncourse.checker.calling import Result, run, run_built
from attncourse.checker.case import Case
from attncourse.checker.equal import hopeless, same
from attncourse.checker.fault import Fault


def examine(case: Case) -> Fault | None:
    again = None
    for index in reversed(case.sheet.declared):
        again = case.run(index)
        for probe, y in case.results[index].outcomes.items():
            if isinstance(y, Tensor) and not same(again.outcomes.get(probe), y):
                return Fault(
                    f"`{probe}` depends on earlier calls: something is kept outside of it, "
                    "such as a mask or a result. Compute from the arguments alone.",
                    (case.trials[index].seen,),
                    "remembers_earlier_calls",
                )
    return _the_same_tensor(case, again) or _kept_by_shape(case) or _kept_by_weights(case)


def _the_same_tensor(case: Case, again: Result) -> Fault | None:
    """Whether a function hands out the very tensor that it handed out before."""
    if case.ex.is_module:
        return None
    for probe, y in case.results[0].outcomes.items():
        other = again.outcomes[probe]
        if isinstance(y, Tensor) and isinstance(other, Tensor) and y.numel():
            if y.data_ptr() == other.data_ptr():
                return Fault(
                    f"`{probe}` hands out the same tensor again: it is kept, and whoever"
                    " changes it changes what the next one gets. Make it anew.",
                    (case.trials[0].seen,),
                    "remembers_earlier_calls",
                )
    return None


def _kept_by_weights(case: Case) -> Fault | None:
    """Whether a module that was called before goes on with the weights that it had then."""
    knows = case.sheet.knows_the_solution
    if not (knows and case.ex.is_module and case.trials[0].weights):
        return None
    trial = case.trials[0]
    weights = {n: _other(n, w) for n, w in trial.weights.items()}
    other = replace(trial, weights=weights)
    right = run(case.ex, case.ex.solution, other).outcomes
    built = build(case.ex, case.answer, trial).answer
    run_built(case.ex, built, trial)
    begin(built, weights, other)
    mine = run_built(case.ex, built, other).outcomes
    for probe, y in right.items():
        first = case.sheet.expected(0, probe)
        if hopeless(y) or same(y, first) or probe in case.unwritten:
            continue
        if same(mine[probe], first):
            return Fault(
                f"`{probe}` returns what it returned before its weights changed: a result is"
                " kept. Training would change nothing. Compute from the weights, every time.",
                (trial.seen,),
                "remembers_earlier_calls",
            )
    return None


def _other(name: str, w: Tensor) -> Tensor:
    """Other weights of the same kind; a running variance stays positive."""
    if not w.is_floating_point():
        return w
    return w / 2 if name.endswith("running_var") else -w / 2


def _kept_by_shape(case: Case) -> Fault | None:
    """Whether other numbers of the same shapes get what the first ones got."""
    other = case.sheet.negated
    if other is None:
        return None
    mine, right = run(case.ex, case.answer, other).outcomes, case.sheet.of_negated
    for probe, y in mine.items():
        first = case.sheet.expected(0, probe)
        if same(y, first) and not same(right[probe], first):
            return Fault(
                f"`{probe}` returns what it returned before for other numbers: a result is"
                " kept, by the shape of the input. Compute from the arguments alone.",
                (case.trials[0].seen,),
                "remembers_earlier_calls",
            )
    return None
