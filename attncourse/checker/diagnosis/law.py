"""Does it break a law that holds of every answer?"""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from attncourse.checker.building import build
from attncourse.checker.calling import outcome
from attncourse.checker.departure import Departure
from attncourse.checker.equal import parts_comparable, same
from attncourse.checker.fault import Fault
from attncourse.checker.laws import LAWS, OF_SEVERAL, Look
from attncourse.checker.running import Crash, attempt

# What a right answer may do as well: in training BatchNorm lets examples mix.
OF_THE_RIGHT = {"examples_do_not_mix"}


def explain(departure: Departure) -> Fault | None:
    said = broken_law(departure, departure.case.ex.laws)
    if not said:
        return None
    return Fault(said, (departure.stage, departure.seen, departure.worst))


def broken_law(departure: Departure, names: Sequence[str]) -> str | None:
    """The first of these laws that the answer breaks; of several returns, the first that is
    wrong."""
    y, right = departure.y, departure.right
    if not isinstance(y, Tensor) and not parts_comparable(y, right):
        return None
    at = None
    if isinstance(right, tuple):
        at = next(n for n, pair in enumerate(zip(y, right, strict=True)) if not same(*pair))
    case = departure.case
    for name in names:
        said = _said(departure, name, y, case.answer, at)
        if (
            said
            and name in OF_THE_RIGHT
            and _said(departure, name, right, case.ex.solution, at)
        ):
            continue
        if said:
            return said if at is None or name in OF_SEVERAL else f"In [{at}]: {said}"
    return None


def _said(departure: Departure, name: str, y: Any, answer: Any, at: int | None) -> str | None:
    """What a law says of an answer: of all that it returns, or of one of several."""
    whole = Look(
        departure.trial,
        departure.probe,
        departure.axes,
        y,
        departure.right,
        lambda **changes: _asked(departure, answer, changes),
    )
    look = whole if at is None or name in OF_SEVERAL else _at(whole, at)
    said = attempt(lambda: LAWS[name](look))
    return said if isinstance(said, str) else None


def _asked(departure: Departure, answer: Any, changes: dict[str, Any]) -> Any:
    """What the probe gives when some inputs are replaced."""
    case, trial = departure.case, departure.trial
    built, fault, _ = build(case.ex, answer, trial)
    if fault is not None:
        return fault
    return outcome(case.ex, built, departure.probe, trial.fresh() | changes)


def _at(whole: Look, at: int) -> Look:
    """A look at one of several returns."""

    def ask(**changes):
        found = whole.ask(**changes)
        return found if isinstance(found, Crash) else found[at]

    axes = whole.axes[at] if isinstance(whole.axes, tuple) else whole.axes
    return Look(whole.trial, whole.probe, axes, whole.y[at], whole.expected[at], ask)
