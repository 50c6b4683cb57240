"""Does it keep state: does the order of the calls matter?"""

from torch import Tensor

from attncourse.checker.calling import run
from attncourse.checker.case import Case
from attncourse.checker.equal import same
from attncourse.checker.fault import Fault


def examine(case: Case) -> Fault | None:
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
    return _kept_by_shape(case)


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
