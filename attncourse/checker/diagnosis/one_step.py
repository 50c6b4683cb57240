"""Is one step of the solution done otherwise, and all the rest as it should be?"""

from attncourse.checker.alterations import altered
from attncourse.checker.departure import Departure
from attncourse.checker.diagnosis.everywhere import same_everywhere
from attncourse.checker.diagnosis.law import broken_law
from attncourse.checker.fault import Fault
from attncourse.checker.laws import GENERAL, SAID_FIRST
from attncourse.checker.running import Crash, attempt
from attncourse.checker.stages import given_to_layers


def explain(departure: Departure) -> Fault | None:
    laws = departure.case.ex.laws
    better = [name for name in laws if name in SAID_FIRST]
    said = (better and broken_law(departure, better)) or _altered(departure)
    if not said and GENERAL & set(laws):
        said = same_everywhere(departure)
    return Fault(said, (departure.seen, departure.worst, *departure.done)) if said else None


def _altered(departure: Departure) -> str | None:
    """The one step that is done otherwise, for all that is known to be right."""
    case, index, probe = departure.case, departure.index, departure.probe
    before = case.before(probe) if case.ex.is_module else []
    right = tuple(filter(case.right_everywhere, before))
    given = attempt(lambda: given_to_layers(case.ex, case.answer, departure.trial, probe))
    given = {} if isinstance(given, Crash) else given
    said = attempt(lambda: altered(case.ex, index, probe, case.outcomes(probe), right, given))
    return said if isinstance(said, str) else None
