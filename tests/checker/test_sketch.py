"""A sketch is had by the value it is of, up to the tolerance, and does not give it away."""

import json

import pytest
import torch

from attncourse.checker.equal import same
from attncourse.checker.running import Crash
from attncourse.checker.sketch import SUMS, dump, load, sketch

torch.manual_seed(0)
WIDE = torch.randn(3, 5, 7, dtype=torch.float64)
HIDDEN = WIDE.masked_fill(WIDE > 1, -torch.inf)
VALUES = [
    WIDE,
    HIDDEN,
    WIDE.float(),
    WIDE > 0,
    torch.arange(12).reshape(3, 4),
    torch.tensor(0.25, dtype=torch.float64),
    torch.randn(3, dtype=torch.float64),
    torch.zeros(2, 0, 3),
    (WIDE, WIDE > 1),
    17,
    0.3,
    True,
    None,
    "standard",
]


def kept(y):
    """The sketch of a value, as it comes back out of a file."""
    return load(json.loads(json.dumps(dump(sketch(y)))))


@pytest.mark.parametrize("y", VALUES, ids=lambda y: type(y).__name__)
def test_a_value_has_its_own_sketch_and_no_other_one(y):
    for other in VALUES:
        assert same(other, kept(y)) == (other is y)


def test_rounding_is_forgiven_and_an_error_is_not():
    expected = kept(WIDE)
    assert same(WIDE * (1 + 1e-9), expected)
    assert not same(WIDE * (1 + 1e-4), expected)
    off = WIDE.clone()
    off[1, 2, 3] += 1e-3
    assert not same(off, expected)
    assert not same(WIDE.flip(0), expected)
    assert not same(WIDE.float(), expected)


@pytest.mark.parametrize("number", [0.3, 1.0, 2.0, -7.5e3, 1e-3, 0.0])
def test_single_numbers_are_known_up_to_rounding(number):
    for make in (float, lambda x: torch.tensor([x], dtype=torch.float64)):
        assert same(make(number * (1 + 1e-12) + 1e-13), kept(make(number)))
        assert not same(make(number * 1.001 + 1e-4), kept(make(number)))


def test_where_inf_and_nan_stand_counts():
    assert not same(HIDDEN.nan_to_num(), kept(HIDDEN))
    assert not same(HIDDEN.masked_fill(HIDDEN.isinf(), torch.nan), kept(HIDDEN))


def test_integers_of_any_width_are_the_same_integers():
    y = torch.arange(6)
    assert same(y.int(), kept(y))
    assert not same(y.int() + 1, kept(y))
    assert not same(y.double(), kept(y))


def test_what_has_been_compared_is_looked_at_again_when_it_has_changed():
    y, expected = WIDE.clone(), kept(WIDE)
    assert same(y, expected)
    y[0, 0, 0] += 1
    assert not same(y, expected)


def test_two_sketches_are_compared_and_crashes_are_alike():
    assert same(kept(WIDE), kept(WIDE.clone()))
    assert not same(kept(WIDE), kept(-WIDE))
    assert same(Crash("ValueError", "5 and 3"), kept(Crash("TypeError", "another")))
    assert not same(WIDE, kept(Crash("TypeError", "")))


@pytest.mark.parametrize("n", [1, 2, 3, 8, 15, 16, 1000])
def test_there_are_fewer_sums_than_unknowns_and_no_element_is_among_them(n):
    y = torch.randn(n, dtype=torch.float64)
    data = dump(sketch(y))
    assert len(data["sums"]) == min(SUMS, n // 2)
    text = json.dumps(data)
    assert not any(f"{abs(x):.6g}"[:7] in text for x in y.tolist())
