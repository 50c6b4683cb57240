"""Does a result that should be plain numbers still hang on what it came from?"""

from torch import Tensor

from attncourse.checker.case import Case
from attncourse.checker.fault import Fault


def examine(case: Case) -> Fault | None:
    if "gradients" not in case.ex.skip:
        return None
    for index, result in enumerate(case.results):
        for probe, y in result.outcomes.items():
            right = case.sheet.expected(index, probe)
            if isinstance(y, Tensor) and y.requires_grad and not right.requires_grad:
                return Fault(
                    f"What `{probe}` returns still holds the graph it was computed with."
                    " Detach what it is made of: its maker keeps all of it in memory.",
                    ("The values are right.",),
                    "graph_kept",
                )
    return None
