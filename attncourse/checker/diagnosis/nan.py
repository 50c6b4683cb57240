"""Does it return nan where there should be numbers?"""

from torch import Tensor

from attncourse.checker.departure import Departure
from attncourse.checker.fault import Fault
from attncourse.checker.sketch import Sketch


def explain(departure: Departure) -> Fault | None:
    y, right = departure.y, departure.right
    if not isinstance(y, Tensor) or not y.is_floating_point():
        return None
    if isinstance(right, Sketch):  # which numbers are finite is not handed out
        bad = (~y.isfinite()).sum().item() if right.finite else 0
    else:
        bad = (~y.isfinite() & right.isfinite()).sum().item()
    if not bad:
        return None
    cause = f"`{departure.probe}` returns {bad} values that are not finite (nan)."
    return Fault(cause, (departure.stage, departure.seen))
