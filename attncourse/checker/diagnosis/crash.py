"""Does it end in an error? Then which, on which line, and what does it mean?"""

from attncourse.checker.crashes import crashed
from attncourse.checker.departure import Departure
from attncourse.checker.fault import Fault
from attncourse.checker.recognition import recognised
from attncourse.checker.running import Crash


def explain(departure: Departure) -> Fault | None:
    crash = departure.y
    if not isinstance(crash, Crash):
        return None
    found = recognised(departure.case, departure.index, departure.probe)
    if found and found[1]:
        slip = found[0]
        evidence = departure.seen, f"There it ends in {crash.kind}."
        return Fault(slip.message, evidence, slip.name)
    return crashed(crash, departure.probe, departure.trial, departure.case.ex)
