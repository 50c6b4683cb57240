"""Does it return what it returned on an earlier trial, for other numbers?"""

from attncourse.checker.departure import Departure
from attncourse.checker.diagnosis.ignored import makes_a_difference
from attncourse.checker.equal import same
from attncourse.checker.fault import Fault


def explain(departure: Departure) -> Fault | None:
    known, probe = departure.case.sheet, departure.probe
    for earlier in range(departure.index):
        first = known.expected(earlier, probe)
        told = getattr(first, "numel", lambda: 0)() > 1  # one number may agree by chance
        if not told or not same(departure.y, first) or same(departure.right, first):
            continue
        if not makes_a_difference(departure.case, probe, departure.index):
            return Fault(
                f"`{probe}` returns what it returned before for other inputs: a result is kept."
                " Compute from the arguments alone.",
                (departure.seen,),
                "remembers_earlier_calls",
            )
    return None
