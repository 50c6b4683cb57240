"""Is the same done to the whole result, everywhere and on every trial?"""

from attncourse.checker.alterations import everywhere
from attncourse.checker.departure import Departure
from attncourse.checker.fault import Fault
from attncourse.checker.running import attempt


def explain(departure: Departure) -> Fault | None:
    said = same_everywhere(departure)
    if not said:
        return None
    return Fault(said, (departure.seen, departure.worst, *departure.done))


def same_everywhere(departure: Departure) -> str | None:
    """A factor, a number or an input that makes all the difference."""
    case, probe = departure.case, departure.probe
    said = attempt(lambda: everywhere(case.ex, probe, case.outcomes(probe)))
    return said if isinstance(said, str) else None
