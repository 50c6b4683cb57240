"""Copies and pictures as streams: what can be foretold, and by whom."""

import math

import pytest
import torch
from torch.testing import assert_close

from attncourse.tasks.pictures import digits
from attncourse.tasks.sequences import (
    CausalConvolutions,
    bits,
    bits_of_independent_pixels,
    copies,
    hears,
    learn_pictures,
    learn_to_copy,
    pixel_streams,
    right,
    sample,
)
from solutions.sparse import SparseTransformer, local_mask, reachable


class Fixed(torch.nn.Module):
    """Foretells every token with the same shares."""

    def __init__(self, *shares):
        super().__init__()
        self.shares = torch.tensor(shares)

    def forward(self, x):
        return self.shares.log().expand(*x.shape, -1)


def test_a_copy_is_its_first_half_twice():
    streams = copies(50, 7, 3)
    assert streams.shape == (50, 14)
    assert torch.equal(streams[:, :7], streams[:, 7:])
    assert streams.unique().tolist() == [0, 1, 2]


@pytest.mark.parametrize(("layers", "window"), [(1, 4), (2, 3), (3, 5)])
def test_local_layers_hear_as_far_as_is_counted(layers, window):
    n = 20
    reached = local_mask(n, window)
    for _ in range(layers - 1):
        reached = reachable(local_mask(n, window), reached)
    far = int(reached[-1].long().argmax())  # the first place that the last one hears
    assert n - far == hears(layers, window)  # place `far` holds the token before it


def test_nobody_who_hears_less_than_half_can_copy():
    half, layers, stride = 6, 2, 3
    assert hears(layers, stride) < half
    model = SparseTransformer(4, 2 * half, dim=8, layers=layers, stride=stride, pattern="local")
    streams = copies(3, half, 4)
    other = streams.clone()
    other[:, 2] = (other[:, 2] + 1) % 4  # the original of token 8, not the copy
    assert_close(model(other)[:, 8], model(streams)[:, 8])


def test_pictures_come_row_by_row_in_equal_steps_of_grey():
    streams, images = pixel_streams(17), digits().image
    assert streams.shape == (len(images), 64)
    assert_close(streams[5].reshape(8, 8) / 16, images[5, 0])
    assert pixel_streams(4).unique().tolist() == [0, 1, 2, 3]
    assert len(pixel_streams(4, test=True)) == 450
    with pytest.raises(ValueError, match="levels=18"):
        pixel_streams(18)


def test_bits_are_those_of_the_shares():
    streams = torch.tensor([[0, 0, 1, 0]])
    assert bits(Fixed(0.5, 0.5), streams) == pytest.approx(1)
    assert bits(Fixed(0.75, 0.25), streams) == pytest.approx((3 * math.log2(4 / 3) + 2) / 4)
    assert bits(Fixed(0.75, 0.25), streams, start=2) == pytest.approx(
        (2 + math.log2(4 / 3)) / 2
    )


def test_right_counts_from_the_start_that_is_given():
    assert right(Fixed(0.6, 0.4), torch.tensor([[1, 1, 0, 1]]), 2) == 0.5


def test_independent_pixels_cost_the_entropy_of_each():
    train = torch.tensor([[0, 1]] * 998 + [[0, 0]] * 998)
    cost = bits_of_independent_pixels(train, train, 2)
    assert cost == pytest.approx((0 + 1) / 2, abs=0.01)


def test_causal_convolutions_see_only_what_came_before_and_at_last_the_left_neighbour():
    torch.manual_seed(0)
    model = CausalConvolutions(4, channels=6).double()
    x = torch.randint(4, (1, 64))
    before = model(x)
    heard = torch.zeros(64, 64, dtype=torch.bool)
    for j in range(64):
        other = x.clone()
        other[0, j] = (other[0, j] + 1) % 4
        heard[:, j] = (model(other) - before)[0].abs().amax(-1) > 0
    assert not heard.triu().any()
    assert heard[9, 8]
    assert heard[17, 0:8].any()


def test_samples_are_drawn_token_by_token():
    class Counter(torch.nn.Module):
        """The next symbol is the last one and 1, of 5; the first is 2."""

        def forward(self, x):
            wanted = torch.cat([torch.full_like(x[:, :1], 2), x[:, :-1] + 1], 1) % 5
            return 100.0 * torch.nn.functional.one_hot(wanted, 5)

    assert sample(Counter(), 3, 6).tolist() == [[2, 3, 4, 0, 1, 2]] * 3


def test_training_teaches():
    def make():
        return SparseTransformer(3, 8, dim=16, stride=3)

    model = learn_to_copy(make, 0, half=4, symbols=3, steps=150)
    torch.manual_seed(1)
    assert right(model, copies(100, 4, 3), 4) > 0.9
    levels = 2
    train, test = pixel_streams(levels), pixel_streams(levels, test=True)
    model = learn_pictures(lambda: SparseTransformer(levels, 64, dim=16), 0, levels, steps=40)
    assert bits(model, test) < 0.9 < 1.0
    assert bits_of_independent_pixels(train, test, levels) < 1.0
