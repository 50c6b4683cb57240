"""A trial varied in all that the stub leaves open: no line in a record asks for it.

Each file is one kind of variation, with one function `varied(ex, trial)` that yields trials
like the given one and says of each what mostly goes wrong there. What the solution itself
refuses, or makes nan or inf of, was not promised: `Sheet.varied` leaves it out.
"""

from collections.abc import Iterator

from attncourse.checker.trials import Prepared
from attncourse.checker.varied import (
    axes,
    functions,
    layout,
    masks,
    options,
    sizes,
    zeros,
)
from attncourse.checker.varied.kind import Varied
from attncourse.exercises.record import Exercise

KINDS = (
    masks,  # hiding all, hiding nothing, broadcast
    axes,  # more and fewer leading axes, where the annotation leaves their number open
    sizes,  # an axis of length 1; even where it was odd, and odd where it was even
    zeros,  # genuine zeros among the numbers
    layout,  # leading axes in another order in memory
    options,  # an argument with a default that no trial gives
    functions,  # another function passed in
)


def variations(ex: Exercise, trial: Prepared, simpler: Prepared | None) -> Iterator[Varied]:
    """Every variation of one trial, by kind; where a simpler trial is varied too, those that
    touch what it has not."""
    more = trial.inputs.keys() - simpler.inputs.keys() if simpler else None
    for kind in KINDS:
        for one in kind.varied(ex, trial):
            touched = {n for n, x in one.trial.inputs.items() if x is not trial.inputs.get(n)}
            if touched and (more is None or touched & more):
                yield one
