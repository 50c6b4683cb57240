"""Is it of another kind: type, number of returns, shape, dtype, device?"""

from attncourse.checker.departure import Departure
from attncourse.checker.fault import Fault


def explain(departure: Departure) -> Fault | None:
    if not departure.wrong:
        return None
    return Fault(departure.wrong, (departure.seen, *departure.done))
