"""Is it a slip that is known: does one give the same numbers?"""

from attncourse.checker.departure import Departure
from attncourse.checker.fault import Fault
from attncourse.checker.recognition import recognised


def explain(departure: Departure) -> Fault | None:
    found = recognised(departure.case, departure.index, departure.probe)
    if not found:
        return None
    slip, whole = found
    rest = departure.done if whole else ("On other inputs something else departs as well.",)
    return Fault(slip.message, (departure.seen, departure.worst, *rest), slip.name)
