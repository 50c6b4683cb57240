"""Which layer is the first that is given something else than in the solution?"""

from attncourse.checker.departure import Departure
from attncourse.checker.fault import Fault


def explain(departure: Departure) -> Fault | None:
    if not departure.stage:
        return None
    return Fault(departure.stage, (departure.seen, departure.worst, *departure.done))
