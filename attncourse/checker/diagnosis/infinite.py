"""Does it return inf?"""

from torch import Tensor

from attncourse.checker.departure import Departure
from attncourse.checker.fault import Fault


def explain(departure: Departure) -> Fault | None:
    y = departure.y
    if not isinstance(y, Tensor) or not y.is_floating_point() or not y.isinf().any():
        return None
    number = y.isinf().sum().item()
    cause = f"`{departure.probe}` returns {number} values that are not finite (inf)."
    return Fault(cause, (departure.stage, departure.seen))
