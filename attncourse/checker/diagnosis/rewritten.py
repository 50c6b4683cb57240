"""Does something else stand in one place of what is written, or is an input another one?"""

from attncourse.checker.alterations.rewritten import rewritten
from attncourse.checker.departure import Departure
from attncourse.checker.diagnosis.moved import of_an_input
from attncourse.checker.fault import Fault
from attncourse.checker.running import attempt


def explain(departure: Departure) -> Fault | None:
    """Of tensors of numbers the steps and the laws are looked at first: see the list."""
    said = written_otherwise(departure)
    if not said:
        return None
    worst = departure.wrong or departure.worst
    return Fault(said, (departure.seen, worst, *departure.done))


def written_otherwise(departure: Departure) -> str | None:
    """What stands in the answer where something else belongs."""
    case, index, probe = departure.case, departure.index, departure.probe
    said = attempt(lambda: rewritten(case.ex, index, probe, case.outcomes(probe)))
    if not isinstance(said, str):
        said = attempt(lambda: of_an_input(departure))
    return said if isinstance(said, str) else None
