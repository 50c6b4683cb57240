"""Of masks, counts and several returns: what is written otherwise, if no law knows more?"""

from torch import Tensor

from attncourse.checker.departure import Departure
from attncourse.checker.diagnosis import rewritten
from attncourse.checker.diagnosis.law import broken_law
from attncourse.checker.fault import Fault


def explain(departure: Departure) -> Fault | None:
    if isinstance(departure.right, Tensor) and departure.right.is_floating_point():
        return None
    if not departure.wrong and broken_law(departure, departure.case.ex.laws):
        return None
    return rewritten.explain(departure)
