"""Does a function return the right numbers at other places?"""

from attncourse.checker.departure import Departure
from attncourse.checker.diagnosis.moved import NAME, of_an_input
from attncourse.checker.equal import rearranged
from attncourse.checker.fault import Fault
from attncourse.checker.running import attempt


def explain(departure: Departure) -> Fault | None:
    return None if departure.case.ex.is_module else in_another_order(departure)


def in_another_order(departure: Departure) -> Fault | None:
    """The right numbers, at other places."""
    if not rearranged(departure.y, departure.right):
        return None
    said = attempt(lambda: of_an_input(departure))
    if isinstance(said, str):
        return Fault(said, (departure.seen, departure.worst, *departure.done), NAME)
    return Fault(
        f"`{departure.probe}` returns the right numbers in another order: is an axis reshaped "
        "where it should be moved? `rearrange` moves it.",
        (departure.seen, departure.worst, *departure.done),
        NAME,
    )
