"""Does it keep state: does the order of the calls matter?"""

from torch import Tensor

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
    return None
