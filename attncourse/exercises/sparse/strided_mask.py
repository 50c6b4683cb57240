"""The record of `sparse.strided_mask`."""

import torch

from attncourse.exercises.record import Exercise
from attncourse.exercises.sparse.shared import NO_TENSORS, ij, mask_trials
from solutions.scaled_dot_product import causal_mask
from solutions.sparse import (
    block_mask,
    local_mask,
    strided_mask,
)


def floor_for_remainder(n, stride):
    """You divide where the remainder is meant: (i - j) // stride == 0 is a local window. Every
    stride-th key has (i - j) % stride == 0."""
    i, j = ij(n)
    return (j <= i) & ((i - j) // stride == 0)


def strided_both_sides(n, stride):
    """j <= i is missing: the remainder of a negative distance is 0 as well, so later keys are
    seen."""
    i, j = ij(n)
    return (i - j) % stride == 0


def counted_from_the_start(n, stride):
    """You count every stride-th key from token 0: the same columns for all queries. Here one
    counts back from the query: (i - j) % stride."""
    i, j = ij(n)
    return (j <= i) & (j % stride == 0)


def strided_not_itself(n, stride):
    """Your diagonal is False: the query itself is missing. j <= i, with the equals sign."""
    i, j = ij(n)
    return (j < i) & ((i - j) % stride == 0)


def one_step_off(n, stride):
    """You are off by one: (i - j) % stride must be 0, so that the query is one of its keys."""
    i, j = ij(n)
    return (j <= i) & ((i - j) % stride == 1 % stride)


def one_short_of_a_stride(n, stride):
    """You are off by one: (i - j) % stride must be 0, and yours is stride - 1."""
    i, j = ij(n)
    return (j <= i) & ((i - j + 1) % stride == 0)


def stride_plus_one(n, stride):
    """Your step is stride + 1: between two of your keys lie `stride` others. From one to the
    next it is `stride` tokens."""
    i, j = ij(n)
    return (j <= i) & ((i - j) % (stride + 1) == 0)


def last_column(n, stride):
    """You show the last key of every block. That is the fixed pattern; the strided one counts
    back from the query: (i - j) % stride == 0."""
    i, j = ij(n)
    return (j <= i) & (j % stride == stride - 1)


def one_step_only(n, stride):
    """You show the query and one key a stride before it. All the others further back belong to
    it: % instead of a comparison."""
    i, j = ij(n)
    return (i == j) | (i - j == stride)


def strided_ahead(n, stride):
    """i and j have changed places: your queries see later keys. Queries go down, keys to the
    right: j <= i."""
    i, j = ij(n)
    return (j >= i) & ((i - j) % stride == 0)


def strided_and_local(n, stride):
    """You show the local keys as well. That is the union of both; here only every stride-th
    key is wanted."""
    return strided_mask(n, stride) | local_mask(n, stride)


def strided_left_out(n, stride):
    """Your mask is inverted among the keys before the query: every stride-th is hidden, the
    others are shown."""
    return causal_mask(n, n) & ~strided_mask(n, stride)


def strided_hidden_is_true(n, stride):
    """Your mask is inverted: True where a query may not attend."""
    return ~strided_mask(n, stride)


def columns_for_queries(n, stride):
    """You ask which queries are at a multiple of the stride, i % stride. It is the distance: (i
    - j) % stride."""
    i, j = ij(n)
    return (j <= i) & (i % stride == 0)


def same_block(n, stride):
    """You show the query's own block, i // stride == j // stride. Every stride-th key stands at
    the same place of its block: the remainder."""
    return block_mask(n, stride)


def sum_for_difference(n, stride):
    """You add i and j. The distance is i - j."""
    i, j = ij(n)
    return (j <= i) & ((i + j) % stride == 0)


def from_the_start_and_itself(n, stride):
    """You count every stride-th key from token 0 and add the query itself. Here one counts back
    from the query: (i - j) % stride."""
    i, j = ij(n)
    return (j <= i) & ((j % stride == 0) | (i == j))


def first_key_left_out(n, stride):
    """Key 0 is missing in yours: a `range` or a `>` stops before it. Positions count from
    0."""
    i, j = ij(n)
    return strided_mask(n, stride) & ((j > 0) | (i == 0))


def first_column_left_out(n, stride):
    """Key 0 is missing in yours: it is a key like others. Positions count from 0."""
    return strided_mask(n, stride) & (torch.arange(n) > 0)


def at_most_stride_steps(n, stride):
    """You stop after `stride` keys. Every stride-th key counts, back to the beginning."""
    i, j = ij(n)
    return strided_mask(n, stride) & (i - j < stride**2)


def multiples_in_both(n, stride):
    """You ask for the distance and for the key, j % stride == 0 too. The distance alone counts:
    (i - j) % stride."""
    return strided_mask(n, stride) & (torch.arange(n) % stride == 0)


def strided_numbers(n, stride):
    """You return numbers. A mask is boolean: comparisons make it so."""
    return strided_mask(n, stride).double()


def strided_loops(n, stride):
    mask = torch.zeros(n, n, dtype=torch.bool)
    for i in range(n):
        mask[i, i % stride : i + 1 : stride] = True
    return mask


def strided_by_columns(n, stride):
    column = torch.arange(n) % stride
    return torch.eq(column[:, None], column[None]).tril()


def strided_by_sets(n, stride):
    keys = [set(range(i, -1, -stride)) for i in range(n)]
    return torch.tensor([[j in keys[i] for j in range(n)] for i in range(n)])


EXERCISE = Exercise(
    id="sparse.strided_mask",
    solution=strided_mask,
    probes={"strided_mask": "i j"},
    trials=mask_trials("stride"),
    slips=(
        floor_for_remainder,
        strided_both_sides,
        counted_from_the_start,
        strided_not_itself,
        one_step_off,
        one_short_of_a_stride,
        stride_plus_one,
        last_column,
        one_step_only,
        strided_ahead,
        strided_and_local,
        strided_left_out,
        strided_hidden_is_true,
        columns_for_queries,
        same_block,
        sum_for_difference,
        from_the_start_and_itself,
        first_key_left_out,
        first_column_left_out,
        at_most_stride_steps,
        multiples_in_both,
        strided_numbers,
    ),
    hints=(
        "With a stride of 3, which keys does query 7 see? And query 8?",
        "The distance i - j is a multiple of the stride, and not negative.",
        "(j <= i) & ((i - j) % stride == 0)",
    ),
    minutes=4,
    difficulty=1,
    otherwise=(strided_loops, strided_by_columns, strided_by_sets),
    laws=("queries_see_their_keys",),
    skip=NO_TENSORS,
)
