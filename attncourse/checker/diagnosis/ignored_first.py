"""Of a count or another plain number: does an argument make no difference?"""

from torch import Tensor

from attncourse.checker.departure import Departure
from attncourse.checker.diagnosis import ignored
from attncourse.checker.fault import Fault


def explain(departure: Departure) -> Fault | None:
    """Of tensors the steps and the laws are looked at first: see the list."""
    right = departure.right
    parts = right if isinstance(right, tuple) else (right,)
    if any(isinstance(part, Tensor) for part in (*parts, departure.y)):
        return None
    return ignored.explain(departure)
