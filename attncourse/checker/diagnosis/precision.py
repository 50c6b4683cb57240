"""Is it right in the first digits only?"""

from attncourse.checker.departure import Departure
from attncourse.checker.equal import nearly
from attncourse.checker.fault import Fault


def explain(departure: Departure) -> Fault | None:
    if not nearly(departure.y, departure.right):
        return None
    return Fault(
        f"`{departure.probe}` is right to a few digits only. Two things do that: a part that"
        " is computed in single precision (`.float()`, `dtype=`), and a small number added.",
        (departure.seen, departure.worst),
        "loses_precision",
    )
