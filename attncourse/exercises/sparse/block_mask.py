"""The record of `sparse.block_mask`."""

import torch

from attncourse.exercises.record import Exercise
from attncourse.exercises.sparse.shared import NO_TENSORS, ij, mask_trials
from solutions.scaled_dot_product import causal_mask
from solutions.sparse import (
    block_mask,
    local_mask,
    strided_mask,
)


def block_looks_ahead(n, stride):
    """j <= i is missing: your queries see the later keys of their block."""
    i, j = ij(n)
    return i // stride == j // stride


def sliding_window(n, stride):
    """You show the last `stride` keys of every query. A block stands still: it begins at a
    multiple of the stride, i // stride == j // stride."""
    return local_mask(n, stride)


def same_column(n, stride):
    """You take the remainder, which says the place inside a block. The block itself is the
    quotient: i // stride == j // stride."""
    return strided_mask(n, stride)


def block_not_itself(n, stride):
    """Your diagonal is False: the query itself is missing. j <= i, with the equals sign."""
    i, j = ij(n)
    return (j < i) & (i // stride == j // stride)


def block_ends_late(n, stride):
    """Your blocks end one token late: the first query of a block still sees the block before.
    It begins a new one. (A known mistake of a widely used library.)"""
    i, j = ij(n)
    return (j <= i) & (j >= (i - 1).clamp(min=0) // stride * stride)


def counted_from_one(n, stride):
    """Your blocks are shifted by one token, as if positions counted from 1. They count from 0:
    the first block is 0 … stride - 1."""
    i, j = ij(n)
    return (j <= i) & ((i + 1) // stride == (j + 1) // stride)


def block_before_too(n, stride):
    """You show the block before as well. Only the query's own block counts."""
    i, j = ij(n)
    return (j <= i) & (i // stride - j // stride <= 1)


def earlier_blocks(n, stride):
    """You show all blocks up to the query's own. The quotients must be equal, not ordered."""
    return causal_mask(n, n)


def blocks_before_alone(n, stride):
    """You show the blocks before and hide the query's own."""
    i, j = ij(n)
    return j // stride < i // stride


def as_many_blocks(n, stride):
    """You cut the tokens into `stride` blocks. The stride is how long a block is, not how many
    there are."""
    i, j = ij(n)
    length = -(-n // stride)
    return (j <= i) & (i // length == j // length)


def block_hidden_is_true(n, stride):
    """Your mask is inverted: True where a query may not attend."""
    return ~block_mask(n, stride)


def block_ahead(n, stride):
    """i and j have changed places: your queries see the later keys of their block alone. j <=
    i."""
    i, j = ij(n)
    return (j >= i) & (i // stride == j // stride)


def begins_one_late(n, stride):
    """Your blocks begin one token late, as if positions counted from -1. They count from 0: the
    first block is 0 … stride - 1."""
    i, j = ij(n)
    return (j <= i) & ((i - 1) // stride == (j - 1) // stride)


def previous_block_alone(n, stride):
    """You show the block before and hide the query's own. It is its own that counts."""
    i, j = ij(n)
    return i // stride - j // stride == 1


def as_many_blocks_rounded_down(n, stride):
    """You cut the tokens into `stride` blocks. The stride is how long a block is, not how many
    there are."""
    i, j = ij(n)
    length = max(n // stride, 1)
    return (j <= i) & (i // length == j // length)


def unfinished_block_dropped(n, stride):
    """The last block is missing where it is not full. Its queries see it like others."""
    i, _ = ij(n)
    return block_mask(n, stride) & (i < n // stride * stride)


def earlier_blocks_whole(n, stride):
    """You show all blocks up to the query's own, and what is later in that. The quotients must
    be equal, and j <= i."""
    i, j = ij(n)
    return j // stride <= i // stride


def not_rounded(n, stride):
    """You divide without rounding: i / stride == j / stride only for i = j. The number of a
    block is i // stride."""
    return torch.eye(n, dtype=torch.bool)


def rounded_to_the_nearest_block(n, stride):
    """You round to the nearest number: blocks begin in the middle of blocks. i // stride rounds
    down."""
    i, j = ij(n)
    return (j <= i) & (torch.round(i / stride) == torch.round(j / stride))


def blocks_from_the_end(n, stride):
    """Your blocks are laid from the end. They begin with token 0, and the last one may be
    short."""
    i, j = ij(n)
    return (j <= i) & ((i - n) // stride == (j - n) // stride)


def block_numbers(n, stride):
    """You return numbers. A mask is boolean: comparisons make it so."""
    return block_mask(n, stride).double()


def block_loops(n, stride):
    mask = torch.zeros(n, n, dtype=torch.bool)
    for i in range(n):
        mask[i, i - i % stride : i + 1] = True
    return mask


def block_by_triangles(n, stride):
    blocks = -(-n // stride)
    triangle = torch.ones(stride, stride, dtype=torch.bool).tril()
    return torch.block_diag(*[triangle] * blocks)[:n, :n].bool()


EXERCISE = Exercise(
    id="sparse.block_mask",
    solution=block_mask,
    probes={"block_mask": "i j"},
    trials=mask_trials("stride"),
    slips=(
        block_looks_ahead,
        sliding_window,
        same_column,
        block_not_itself,
        block_ends_late,
        counted_from_one,
        block_before_too,
        earlier_blocks,
        blocks_before_alone,
        as_many_blocks,
        block_hidden_is_true,
        block_ahead,
        begins_one_late,
        previous_block_alone,
        as_many_blocks_rounded_down,
        unfinished_block_dropped,
        earlier_blocks_whole,
        not_rounded,
        rounded_to_the_nearest_block,
        blocks_from_the_end,
        block_numbers,
    ),
    hints=(
        "With blocks of 3, in which block is token 7? Which keys of it may it see?",
        "The block of a token is its position divided by the stride, rounded down.",
        "(j <= i) & (j // stride == i // stride)",
    ),
    minutes=4,
    difficulty=1,
    otherwise=(block_loops, block_by_triangles),
    laws=("queries_see_their_keys",),
    skip=NO_TENSORS,
)
