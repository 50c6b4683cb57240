"""Does a function return the right numbers at other places?"""

from attncourse.checker.departure import Departure
from attncourse.checker.equal import rearranged
from attncourse.checker.fault import Fault


def explain(departure: Departure) -> Fault | None:
    return None if departure.case.ex.is_module else in_another_order(departure)


def in_another_order(departure: Departure) -> Fault | None:
    """The right numbers, at other places."""
    if not rearranged(departure.y, departure.right):
        return None
    return Fault(
        f"`{departure.probe}` returns the right numbers in another order: is an axis reshaped "
        "where it should be moved? `rearrange` moves it.",
        (departure.seen, departure.worst, *departure.done),
        "right_numbers_in_another_order",
    )
