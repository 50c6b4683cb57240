"""Slips as edits of the solution: what is edited where, and what is said where it cannot be."""

import pytest
from torch import nn

from attncourse.errors import Broken
from attncourse.exercises.edited import slips_of
from attncourse.exercises.edits import inside, often, same, wrong
from attncourse.exercises.record import Exercise


def halved(x):
    y = x / 2
    return y + 1


def doubled_halves(x):
    return 2 * halved(x)


class Halving(nn.Module):
    def forward(self, x):
        return halved(x)

    def twice(self, x):
        return halved(halved(x))


def exercise(solution, *slips, blank=()):
    """A made-up exercise that asks for this."""
    probes = {solution.__name__: "b"}
    return Exercise("made.up", solution, probes, lambda: (), slips, (), 1, 1, blank)


STEP = exercise(
    halved,
    *often(wrong("thirds", "/ 2", "/ 3", "You divide by 3."), wrong("two", "+ 1", "+ 2", "2.")),
    same("x / 2", "x * 0.5"),
)


def test_what_is_wrong_in_a_function_is_wrong_in_what_calls_it():
    ex = exercise(
        doubled_halves, *inside(STEP), *often(wrong("once", "2 * ", "", "You do not double."))
    )
    thirds, two, once, *pairs = slips_of(ex)
    assert [make()(6) for make in thirds.answers] == [6]
    assert [make()(6) for make in two.answers] == [10, 10]
    assert [make()(6) for make in once.answers] == [4, 4]
    assert {pair.name: pair.answer(6) for pair in pairs} == {
        "thirds + two": 8,
        "thirds + once": 3,
        "two + once": 5,
    }
    assert halved(6) == 4


def test_every_method_of_a_module_calls_the_function_that_is_wrong():
    ex = exercise(Halving, *inside(STEP), blank=("forward", "twice"))
    thirds = slips_of(ex)[0].answer()
    assert (thirds(6), thirds.twice(6)) == (3, 2)


def test_a_function_that_is_not_called_cannot_be_wrong():
    ex = exercise(halved, *inside(exercise(doubled_halves, wrong("once", "2 * ", "", "No."))))
    with pytest.raises(Broken, match="the slip once: halved calls no function doubled_halves"):
        slips_of(ex)
