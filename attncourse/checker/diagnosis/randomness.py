"""Do two calls on the same input give different results?"""

from torch import Tensor

from attncourse.checker.case import Case
from attncourse.checker.departure import Departure
from attncourse.checker.equal import same
from attncourse.checker.fault import Fault


def explain(departure: Departure) -> Fault | None:
    return differing_calls(departure.case) or differing_calls(departure.case, departure.index)


def differing_calls(case: Case, index: int = 0) -> Fault | None:
    """Whether a second call on the same input gives something else."""
    again = case.run(index)
    for probe, y in case.results[index].outcomes.items():
        other = again.outcomes.get(probe)
        if isinstance(y, Tensor) and isinstance(other, Tensor) and not same(other, y):
            return Fault(
                f"Two calls of `{probe}` on the same input give different results: is "
                "there dropout, a layer or a random number made inside it, or something "
                "kept from call to call?",
                (),
                "random",
            )
    return None
