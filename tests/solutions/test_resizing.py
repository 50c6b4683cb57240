"""Tables of positions for another size, by the rule that the file states."""

import math

import pytest
import torch
from torch.nn import functional as F
from torch.testing import assert_close

from solutions.positional import LearnedPositions
from solutions.resizing import resize_positions


def table_(*sizes):
    return torch.randn(*sizes, dtype=torch.float64)


def shares(n, new, align):
    """new n: how much of each old place a new one takes, by the formula of the head."""
    matrix = torch.zeros(new, n, dtype=torch.float64)
    for at in range(new):
        if align:
            place = at * (n - 1) / (new - 1) if new > 1 else 0.0
        else:
            place = max((at + 0.5) * n / new - 0.5, 0.0)
        low = min(math.floor(place), n - 1)
        matrix[at, low] += 1 - (place - low)
        matrix[at, min(low + 1, n - 1)] += place - low
    return matrix


@pytest.mark.parametrize("align", [False, True])
@pytest.mark.parametrize(("n", "new"), [(5, 8), (8, 5), (6, 6), (1, 4), (4, 1)])
@pytest.mark.parametrize("kept", [0, 2])
def test_a_line_is_resized_by_the_rule(n, new, kept, align):
    table = table_(kept + n, 3)
    got = resize_positions(table, new, kept, align=align)
    assert_close(got[:kept], table[:kept], rtol=0, atol=0)
    assert_close(got[kept:], shares(n, new, align) @ table[kept:])


@pytest.mark.parametrize("align", [False, True])
@pytest.mark.parametrize(("old", "new"), [((3, 5), (4, 9)), ((4, 6), (2, 3)), ((1, 3), (2, 1))])
@pytest.mark.parametrize("kept", [0, 1])
def test_a_map_is_resized_by_the_rule_in_rows_and_in_columns(old, new, kept, align):
    table = table_(kept + old[0] * old[1], 7)
    got = resize_positions(table, new, kept, old, align)
    assert got.shape == (kept + new[0] * new[1], 7)
    assert_close(got[:kept], table[:kept], rtol=0, atol=0)
    down, across = (shares(a, b, align) for a, b in zip(old, new, strict=True))
    picture = table[kept:].reshape(*old, 7)
    wanted = torch.einsum("ya,xb,abd->yxd", down, across, picture)
    assert_close(got[kept:], wanted.reshape(-1, 7))
    torchs = F.interpolate(
        picture.permute(2, 0, 1)[None], new, mode="bilinear", align_corners=align
    )
    assert_close(got[kept:], torchs[0].permute(1, 2, 0).reshape(-1, 7))


def test_a_square_is_guessed_and_leading_axes_are_kept():
    table = table_(2, 1, 1 + 9, 4)
    got = resize_positions(table, (2, 5), kept=1)
    assert got.shape == (2, 1, 11, 4)
    assert_close(got[1, 0], resize_positions(table[1, 0], (2, 5), 1, (3, 3)))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_16_bits_are_rounded_once(dtype):
    table = table_(300, 4).to(dtype)
    got = resize_positions(table, 701)
    assert got.dtype == dtype
    wanted = resize_positions(table.double(), 701)
    assert_close(got.double(), wanted, rtol=torch.finfo(dtype).eps, atol=1e-3)


def test_gradients_reach_every_row_and_constants_stay():
    table = torch.ones(1 + 12, 3, dtype=torch.float64, requires_grad=True)
    got = resize_positions(table, (5, 6), 1, (3, 4))
    assert_close(got, torch.ones(31, 3, dtype=torch.float64))
    got.square().sum().backward()
    assert (table.grad > 0).all()


def test_learned_positions_grow():
    small, large = LearnedPositions(4, 6).double(), LearnedPositions(4, 11).double()
    large.load_state_dict({"table": resize_positions(small.table.detach(), 11)})
    x = table_(2, 11, 4)
    assert_close(large(x) - x, (shares(6, 11, False) @ small.table).expand(2, 11, 4))


@pytest.mark.parametrize(
    ("size", "options", "said"),
    [
        ((2, 2), {}, "10 places are no square: say old="),
        ((2, 2), dict(kept=2), "8 places beside kept=2 are no square"),
        ((2, 2), dict(old=(3, 4)), r"old=\(3, 4\) has 12 places, the table has 10"),
        ((2, 2), dict(old=(-2, -5)), r"old=\(-2, -5\)"),
        (0, {}, "size=0 must be"),
        ((2, 0), {}, r"size=\(2, 0\) must be"),
        (4, dict(kept=10), "kept=10 of 10 rows leave no places"),
        (4, dict(kept=-1), "kept=-1 of 10 rows"),
        (4, dict(old=(2, 5)), "is for maps, and size=4 is a line"),
    ],
)
def test_what_does_not_fit_is_told(size, options, said):
    with pytest.raises(ValueError, match=said):
        resize_positions(table_(10, 3), size, **options)
