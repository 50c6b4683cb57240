"""Shapes in the letters of a chapter."""

import pytest
import torch

from attncourse.exercises.letters import draw, number, place, shape_of, spell

SIZES = dict(b=2, i=3, d=7, head=5)


@pytest.mark.parametrize(
    ("shape", "letters"),
    [
        ((2, 3, 7), "b i d"),
        ((7, 1, 2), "d 1 b"),
        ((3, 35), "i (d head)"),
        ((3, 11), "i 11"),
        ((), "a single number"),
    ],
)
def test_a_shape_spells_its_own_axes(shape, letters):
    assert spell(shape, SIZES) == letters


def test_letters_become_a_shape_and_back():
    assert shape_of("b 1 (head d) i 4", SIZES) == (2, 1, 35, 3, 4)
    assert spell(shape_of("b i d", SIZES), SIZES) == "b i d"


def test_what_is_drawn_has_its_shape_and_is_the_same_for_the_same_seed():
    one, two = (draw("b i (head d)", SIZES, torch.Generator().manual_seed(3)) for _ in range(2))
    assert one.shape == (2, 3, 35)
    assert one.dtype == torch.float64
    assert torch.equal(one, two)


def test_an_element_is_placed_in_letters():
    assert place((1, 0, 4), "b i d") == "b=1, i=0, d=4"
    assert place((1, 0), "(h p) c") == "(h p)=1, c=0"
    assert place((1, 0), "b i d") == "index (1, 0)"


def test_numbers_have_four_digits():
    assert number(2 / 3) == "0.6667"
    assert number(123456.0) == "1.235e+05"
