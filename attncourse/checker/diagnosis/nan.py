"""Does it return nan where there should be numbers?"""

from torch import Tensor

from attncourse.checker.departure import Departure
from attncourse.checker.fault import Fault


def explain(departure: Departure) -> Fault | None:
    y, right = departure.y, departure.right
    if not isinstance(y, Tensor) or not y.is_floating_point():
        return None
    bad = (~y.isfinite() & right.isfinite()).sum().item()
    if not bad:
        return None
    cause = f"`{departure.probe}` returns {bad} values that are not finite (nan)."
    return Fault(cause, (departure.stage, departure.seen))
