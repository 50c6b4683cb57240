"""The made-up tasks of chapter 03 and their ceilings."""

from itertools import permutations

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from attncourse.tasks.order import (
    SYMBOLS,
    Reader,
    accuracy,
    dots,
    rows_of_symbols,
    train_finder,
    train_reader,
)
from solutions.positional import CoordConv2d, rotary_attention, sinusoidal


def test_all_symbols_of_a_row_differ():
    rows = rows_of_symbols(20, 16)
    assert rows.shape == (20, 16)
    assert all(len(set(row)) == 16 for row in rows.tolist())
    assert rows.min() >= 0
    assert rows.max() < SYMBOLS


@pytest.mark.parametrize("length", [1, SYMBOLS + 1])
def test_a_row_has_neighbours_and_no_symbol_twice(length):
    with pytest.raises(ValueError, match=f"length={length}"):
        rows_of_symbols(2, length)


@pytest.mark.parametrize("seed", range(3))
def test_who_does_not_see_the_order_is_right_at_most_once_in_n_minus_1(seed):
    """Over all orders of n symbols, whatever the weights: the ceiling of the task, exactly."""
    torch.manual_seed(seed)
    rows = torch.tensor(list(permutations([3, 9, 27, 50])))
    with torch.no_grad():
        named = Reader()(rows)[:, 1:, [3, 9, 27, 50]].argmax(-1)
    named = torch.tensor([3, 9, 27, 50])[named]
    assert (named == rows[:, :-1]).float().mean() <= 1 / 3 + 1e-6


def test_without_places_a_reader_gives_shuffled_tokens_shuffled_answers():
    reader, rows, order = Reader().double(), rows_of_symbols(2, 9), torch.randperm(9)
    assert_close(reader(rows[:, order]), reader(rows)[:, order])


def test_places_and_rotary_attention_see_the_order_and_only_places_see_the_start():
    rows, order = rows_of_symbols(2, 9), torch.randperm(9)
    added = Reader(places=lambda p: sinusoidal(p.double(), 32)).double()
    turned = Reader(attend=rotary_attention).double()
    for reader in (added, turned):
        assert not torch.allclose(reader(rows[:, order]), reader(rows)[:, order])
    assert_close(turned(rows, start=20), turned(rows))
    assert not torch.allclose(added(rows, start=20), added(rows))


def test_training_with_rotary_attention_finds_the_neighbour():
    reader = train_reader(lambda: Reader(attend=rotary_attention), seed=0, steps=300, length=8)
    assert accuracy(reader, length=8) > 0.9
    assert accuracy(reader, length=8, start=30) == accuracy(reader, length=8)


def test_measuring_leaves_the_random_numbers_alone():
    reader = Reader()
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    accuracy(reader, 8)
    assert torch.equal(torch.rand(3), expected)


def test_a_dot_is_at_one_pixel_and_its_place_says_which():
    images, where = dots(3, 5)
    assert images.shape == (15, 1, 3, 5)
    assert (images.sum((1, 2, 3)) == 1).all()
    assert images[7, 0, 1, 2] == 1
    assert where[[0, 4, 7]].tolist() == [[-1, -1], [1, -1], [0, 0]]


def test_a_plain_convolution_cannot_say_where_and_coordinates_can():
    images, where = dots(9, 13)
    blind = train_finder(lambda: nn.Conv2d(1, 32, 1), seed=0, steps=200)
    finder = train_finder(lambda: CoordConv2d(1, 32, 1), seed=0)
    assert_close(blind(images), blind(images[:1]).expand(117, 2))
    assert (blind(images) - where).square().mean() > 0.4
    assert (finder(images) - where).square().mean() < 0.01
