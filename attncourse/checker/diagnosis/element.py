"""Which element is furthest off? All that is left to say."""

from attncourse.checker.departure import Departure
from attncourse.checker.fault import Fault
from attncourse.checker.telling import worst


def explain(departure: Departure) -> Fault:
    evidence = departure.seen, *departure.done, *_right_before(departure)
    cause = departure.worst or worst(departure.y, departure.right, departure.axes)
    return Fault(cause, evidence)


def _right_before(departure: Departure) -> tuple[str, ...]:
    """Which trials were right before this one: a cause often lies in the difference."""
    right = [departure.case.trials[i].name for i in range(departure.index)]
    right = list(dict.fromkeys(right))
    return (f"Right on the trials before: {'; '.join(right)}.",) if right else ()
