"""The record of `sparse.local_mask`."""

import torch

from attncourse.exercises.record import Exercise
from attncourse.exercises.sparse.shared import NO_TENSORS, ij, mask_trials
from solutions.scaled_dot_product import causal_mask
from solutions.sparse import (
    local_mask,
    strided_mask,
)


def paper_window(n, window):
    """You take window + 1 keys. The query itself is one of the `window` keys: i - j < window.
    (The paper's A1 does have l + 1, the authors' released code l; here the window says how
    many.)"""
    i, j = ij(n)
    return (j <= i) & (i - j <= window)


def one_key_short(n, window):
    """You take one key too few. The query itself and window - 1 before it: i - j < window."""
    i, j = ij(n)
    return (j <= i) & (i - j < window - 1)


def others_alone(n, window):
    """You take the `window` keys before the query and leave the query out. It is one of
    them: 0 <= i - j < window."""
    i, j = ij(n)
    return (j < i) & (i - j <= window)


def not_itself(n, window):
    """Your diagonal is False: the query itself is missing. j <= i, with the equals sign."""
    i, j = ij(n)
    return (j < i) & (i - j < window)


def both_sides(n, window):
    """Your window reaches into the future as well. i - j must not be negative: no absolute
    value, and j <= i."""
    i, j = ij(n)
    return (i - j).abs() < window


def all_later_keys(n, window):
    """j <= i is missing: i - j < window also holds for all later keys, where i - j is
    negative."""
    i, j = ij(n)
    return i - j < window


def ahead(n, window):
    """i and j have changed places: your queries see the keys after them. Queries go down, keys
    to the right; what is behind is i - j."""
    i, j = ij(n)
    return (j >= i) & (j - i < window)


def fixed_blocks(n, window):
    """You cut the keys into fixed blocks. A local window moves with its query: every query has
    the `window` keys up to itself."""
    i, j = ij(n)
    return (j <= i) & (i // window == j // window)


def window_ignored(n, window):
    """You let a query see all keys before it: i - j < window is missing."""
    return causal_mask(n, n)


def far_keys(n, window):
    """You hide what is near and show what is far: the comparison is turned. i - j < window."""
    i, j = ij(n)
    return (j <= i) & (i - j >= window)


def hidden_is_true(n, window):
    """Your mask is inverted: True where a query may not attend."""
    return ~local_mask(n, window)


def centred(n, window):
    """Your window has the query in its middle. Its last key is the query: nothing later."""
    i, j = ij(n)
    return (i - j).abs() <= window // 2


def either_is_enough(n, window):
    """Both conditions must hold, j <= i *and* i - j < window. You take `or`."""
    i, j = ij(n)
    return (j <= i) | (i - j < window)


def half_a_window(n, window):
    """You go back half a window. There are `window` keys, all of them behind: i - j <
    window."""
    i, j = ij(n)
    return (j <= i) & (i - j <= window // 2)


def every_so_many(n, window):
    """You show every so-many-th key. The last `window` of them are meant, one after the other:
    i - j < window."""
    return strided_mask(n, window)


def full_windows_alone(n, window):
    """Your first queries see nothing. They have fewer keys behind them, and see those."""
    i, j = ij(n)
    return (j <= i) & (i - j < window) & (i >= window - 1)


def block_and_the_one_before(n, window):
    """You show the query's block and all of the block before. The window moves with the query:
    i - j < window."""
    i, j = ij(n)
    return (j <= i) & (i // window - j // window <= 1)


def numbers(n, window):
    """You return numbers. A mask is boolean: comparisons make it so."""
    return local_mask(n, window).double()


def local_loops(n, window):
    rows = [[max(0, i - window + 1) <= j <= i for j in range(n)] for i in range(n)]
    return torch.tensor(rows)


def local_by_triangles(n, window):
    ones = torch.ones(n, n, dtype=torch.bool)
    return torch.tril(ones) & torch.triu(ones, diagonal=1 - window)


def local_by_difference(n, window):
    ago = torch.arange(n).view(-1, 1) - torch.arange(n).view(1, -1)
    return torch.logical_and(ago.ge(0), ago.lt(window))


EXERCISE = Exercise(
    id="sparse.local_mask",
    solution=local_mask,
    probes={"local_mask": "i j"},
    trials=mask_trials("window"),
    slips=(
        paper_window,
        one_key_short,
        others_alone,
        not_itself,
        both_sides,
        all_later_keys,
        ahead,
        fixed_blocks,
        window_ignored,
        far_keys,
        hidden_is_true,
        centred,
        either_is_enough,
        half_a_window,
        every_so_many,
        full_windows_alone,
        block_and_the_one_before,
        numbers,
    ),
    hints=(
        "With a window of 3, which keys does query 7 see? And query 1?",
        "Two conditions: not later, j <= i, and not too long ago: i - j is 0 … window - 1.",
        "i as a column, j as a row, both counted from 0\n(j <= i) & (i - j < window)",
    ),
    minutes=4,
    difficulty=1,
    otherwise=(local_loops, local_by_triangles, local_by_difference),
    laws=("queries_see_their_keys",),
    skip=NO_TENSORS,
)
