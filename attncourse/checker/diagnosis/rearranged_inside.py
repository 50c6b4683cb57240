"""Does a module return the right numbers at other places? Its stages have been looked at: what
a layer is given says more."""

from attncourse.checker.departure import Departure
from attncourse.checker.diagnosis.rearranged import in_another_order
from attncourse.checker.fault import Fault


def explain(departure: Departure) -> Fault | None:
    return in_another_order(departure)
