"""Why a result departs, from the coarsest to the finest: the list, and the first that knows.

Each file is one way to explain a departure, with one function `explain`: a Fault, or None where
it has nothing to say. A new way is a file here and a line in the list.
"""

from attncourse.checker.departure import Departure
from attncourse.checker.diagnosis import (
    changed,
    count,
    crash,
    element,
    everywhere,
    ignored,
    ignored_first,
    infinite,
    kept,
    kind,
    law,
    moved,
    nan,
    one_step,
    precision,
    randomness,
    rearranged,
    rearranged_inside,
    rewritten,
    rewritten_first,
    slip,
    stage,
    two_slips,
)
from attncourse.checker.fault import Fault

WAYS = (
    changed,  # an input or a weight is changed
    kept,  # what an earlier trial gave
    randomness,  # two calls give different results
    crash,  # it ends in an error
    slip,  # a slip gives the same, on every trial or on those like this one
    count,  # of a number: terms that are too many or too few
    rewritten_first,  # of masks, counts and several returns: one expression for another
    ignored_first,  # of numbers: an argument makes no difference
    kind,  # type, number of returns, shape, dtype, device
    moved,  # the right numbers, moved along one axis
    precision,  # right in the first digits
    one_step,  # one step of the solution done otherwise, or something done to the whole
    infinite,  # inf
    rearranged,  # of a function: the right numbers at other places
    law,  # what must hold of any answer
    nan,  # nan
    everywhere,  # the same factor, or the same number added, everywhere
    rewritten,  # one expression for another; another input
    ignored,  # an input makes no difference, or an argument of `__init__`
    two_slips,  # two slips at once that are seldom made together
    stage,  # the first layer that is given something else
    rearranged_inside,  # of a module: the right numbers at other places
    element,  # the element that is furthest off
)


def diagnose(departure: Departure) -> Fault:
    """Why a probe departs on a declared trial."""
    return next(filter(None, (way.explain(departure) for way in WAYS)))
