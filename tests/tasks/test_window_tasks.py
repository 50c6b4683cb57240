"""The made-up tasks of chapter 09, their ceilings, and who reads whom."""

import pytest
import torch
from torch import nn

from attncourse.tasks.windows import (
    KINDS,
    POSITIONS,
    DigitNet,
    Placed,
    Pointer,
    attention,
    convolution,
    elsewhere,
    explained,
    middle,
    readers,
    train_digits,
    train_pointer,
)
from solutions.stand_alone import inside, windows

H, W, WINDOW = 9, 12, 3


# who reads whom


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("window", [1, 3, 5])
def test_every_pixel_reads_itself_and_a_rectangle(kind, window):
    seen = readers(kind, H, W, window)
    assert seen.shape == (H, W, H, W)
    for h in range(H):
        for w in range(W):
            assert seen[h, w, h, w]
            rows, columns = seen[h, w].any(1), seen[h, w].any(0)
            assert torch.equal(seen[h, w], rows[:, None] & columns)
            for line in (rows.int(), columns.int()):
                assert (line.diff().abs().sum() <= 2).item()


def test_stand_alone_attention_reads_what_is_inside_its_window():
    assert torch.equal(
        readers("stand-alone", H, W, 5).sum((-1, -2)), inside(H, W, 5).sum((-1, -2))
    )
    x = torch.arange(H * W).reshape(H, W) + 1
    near = windows(x, 5).flatten(-2)
    seen = readers("stand-alone", H, W, 5)
    assert (near[2, 7][near[2, 7] > 0].sort()[0] == x[seen[2, 7]]).all()


def test_neighbourhood_attention_always_reads_a_whole_window():
    seen = readers("neighbourhood", H, W, 5)
    assert (seen.sum((-1, -2)) == 25).all()
    assert torch.equal(seen[2:-2, 2:-2], readers("stand-alone", H, W, 5)[2:-2, 2:-2])
    assert torch.equal(seen[0], seen[1])  # the window stands still there


def test_blocks_are_read_by_all_their_pixels_and_by_nobody_else():
    seen = readers("blocks", H, W, 3)
    assert (seen.sum((-1, -2)) == 9).all()
    assert torch.equal(seen, torch.einsum("hwyx->yxhw", seen))
    assert torch.equal(seen[3, 3], seen[5, 5])


def test_a_halo_is_what_the_windows_of_a_block_cover_together():
    seen, own = readers("halo", 12, 12, 5), readers("stand-alone", 12, 12, 5)
    block = seen[3:6, 6:9].flatten(0, 1)
    assert (block == block[0]).all()
    assert torch.equal(block[0], own[3:6, 6:9].flatten(0, 1).any(0))
    assert seen[4, 7].sum() == 49


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="kind='round' is none of stand-alone"):
        readers("round", 3, 3, 3)


# layers


def test_place_alone_does_not_see_what_keys_hold_and_none_not_where_they_are():
    x = torch.randn(2, 8, 5, 6)
    alone = attention(8, 3, "place alone")
    assert (alone.key(x) == 0).all()
    layer = attention(8, 11, "none")
    order = torch.randperm(30)
    mixed = x.flatten(2)[..., order].reshape(x.shape)
    expected = layer(x).flatten(2)[..., order]
    torch.testing.assert_close(layer(mixed).flatten(2), expected, rtol=1e-4, atol=1e-5)


def test_absolute_places_are_added_and_relative_ones_move_along():
    layer = attention(8, 3, "absolute")
    assert isinstance(layer, Placed)
    x = torch.randn(1, 8, 9, 9)
    moved = x.roll((2, 1), (-2, -1))

    def same(layer):
        y = layer(x).roll((2, 1), (-2, -1))
        return torch.allclose(layer(moved)[..., 4:-2, 4:-2], y[..., 4:-2, 4:-2], atol=1e-6)

    assert same(attention(8, 3))
    assert not same(layer)


def test_an_unknown_way_of_knowing_places_is_refused():
    with pytest.raises(ValueError, match="position='here' is none of relative"):
        attention(8, 3, "here")


@pytest.mark.parametrize("position", POSITIONS)
def test_what_is_not_to_be_learnt_stays_as_it_is(position):
    def make():
        return attention(16, 3, position)

    torch.manual_seed(0)
    before = {n: p.clone() for n, p in make().named_parameters() if not p.requires_grad}
    after = dict(train_pointer(make, seed=0, steps=1).layer.named_parameters())
    assert all(torch.equal(after[name], p) for name, p in before.items())


# look over there


def test_elsewhere_is_the_pixel_that_many_steps_below_and_to_the_right():
    x = torch.randn(1, 1, 5, 7)
    there = elsewhere(x, -1, 2)
    assert there[0, 0, 3, 4] == x[0, 0, 2, 6]


def test_the_middle_is_where_no_window_of_seven_meets_an_edge():
    whole = inside(10, 11, 7).all(-1).all(-1)
    x = torch.arange(110.0).reshape(1, 1, 10, 11)
    assert torch.equal(middle(x).flatten(), x[..., whole].flatten())


def test_who_returns_the_right_pixel_explains_everything_and_zero_nothing():
    class Right(nn.Module):
        def forward(self, x):
            return elsewhere(x, -1, 2)

    assert explained(Right()) == pytest.approx(1)
    assert explained(nn.Threshold(1e9, 0.0)) == pytest.approx(0)


def test_the_mean_of_the_others_explains_one_in_as_many():
    """The ceiling of who does not know places: given the pixel and the heap of the others, the
    right one is each of them equally often, so their mean is the best guess there is."""

    class Mean(nn.Module):
        def forward(self, x):
            near = windows(x, 5)
            return (near.sum((-1, -2)) - x) / 24

    torch.manual_seed(0)
    assert explained(Mean(), size=40) == pytest.approx(1 / 24, abs=0.01)


def test_pictures_for_measuring_do_not_depend_on_the_caller_nor_disturb_it():
    pointer = Pointer(attention(16, 3))
    torch.manual_seed(3)
    first, drawn = explained(pointer), torch.rand(1)
    torch.manual_seed(3)
    assert torch.equal(torch.rand(1), drawn)
    assert explained(pointer) == first


# digits


def test_a_network_of_two_layers_takes_digits_and_other_sizes():
    net = DigitNet(convolution, attention)
    assert net(torch.rand(3, 1, 8, 8)).shape == (3, 10)
    assert net(torch.rand(3, 1, 9, 6)).shape == (3, 10)


def test_digits_are_learnt_the_same_for_the_same_seed():
    first = train_digits(convolution, convolution, seed=1, examples=50, epochs=3)
    assert first == train_digits(convolution, convolution, seed=1, examples=50, epochs=3)
    assert train_digits(convolution, convolution, epochs=15) > 0.5
