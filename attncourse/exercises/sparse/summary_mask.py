"""The record of `sparse.summary_mask`."""

import torch

from attncourse.exercises.record import Exercise, Trial
from attncourse.exercises.sparse.shared import NO_TENSORS, ij
from solutions.sparse import (
    block_mask,
    local_mask,
    strided_mask,
    summary_mask,
)


def one_cell_short(n, stride, summaries):
    """You show one cell too few of every block: the last c places are l - c … l - 1, so
    j % stride >= stride - summaries, with the equals sign."""
    i, j = ij(n)
    return (j <= i) & (j % stride > stride - summaries)


def one_cell_too_many(n, stride, summaries):
    """You show one cell too many of every block: places count from 0 to stride - 1, so the last
    c begin at stride - summaries. (The paper's {t, …, l} with t = l - c reads like c + 1, but
    no remainder is l.)"""
    i, j = ij(n)
    return (j <= i) & (j % stride >= stride - summaries - 1)


def first_cells(n, stride, summaries):
    """You show the first cells of every block. The last ones are meant: only they can have read
    the whole block."""
    i, j = ij(n)
    return (j <= i) & (j % stride < summaries)


def summaries_to_come(n, stride, summaries):
    """j <= i is missing: your queries see the summaries of blocks that are still to come."""
    return (torch.arange(n) % stride >= stride - summaries).expand(n, n)


def finished_blocks(n, stride, summaries):
    """You leave out the summary cells of the query's own block. All that are not later count:
    j <= i."""
    i, j = ij(n)
    return (j // stride < i // stride) & (j % stride >= stride - summaries)


def own_summaries_alone(n, stride, summaries):
    """You show the summary cells of the query's own block alone. Those of all blocks before are
    what carries far."""
    i, j = ij(n)
    return (j <= i) & (j // stride == i // stride) & (j % stride >= stride - summaries)


def one_cell_whatever(n, stride, summaries):
    """You show the last cell of every block alone: `summaries` is not used."""
    return summary_mask(n, stride, 1)


def first_summary_cell(n, stride, summaries):
    """You show place l - c of every block alone. All from there to the end belong to it: >=
    instead of ==."""
    i, j = ij(n)
    return (j <= i) & (j % stride == stride - summaries)


def rows_for_columns(n, stride, summaries):
    """You ask which queries are summaries, i % stride. It is the keys: j % stride. All queries
    read the same columns."""
    i, j = ij(n)
    return (j <= i) & (i % stride >= stride - summaries)


def counted_from_the_query(n, stride, summaries):
    """You count back from the query, (i - j) % stride. That is the strided pattern; summaries
    stand at fixed places: j % stride."""
    i, j = ij(n)
    return (j <= i) & ((i - j) % stride >= stride - summaries)


def and_itself(n, stride, summaries):
    """You let every query see itself as well. That would mend the empty rows, and it is not the
    pattern: the first queries see nothing here."""
    return summary_mask(n, stride, summaries) | torch.eye(n, dtype=torch.bool)


def and_its_block(n, stride, summaries):
    """You show the query's own block as well. That is the union of both masks; here only the
    summaries are wanted."""
    return summary_mask(n, stride, summaries) | block_mask(n, stride)


def summary_not_itself(n, stride, summaries):
    """A summary cell does not see itself in yours: j <= i, with the equals sign."""
    i, j = ij(n)
    return (j < i) & (j % stride >= stride - summaries)


def summary_hidden_is_true(n, stride, summaries):
    """Your mask is inverted: True where a query may not attend."""
    return ~summary_mask(n, stride, summaries)


def summaries_of_the_block_before(n, stride, summaries):
    """You show the summary cells of the block before alone. Those of all blocks count, as far
    as they are not later: j <= i."""
    i, j = ij(n)
    return (i // stride == j // stride + 1) & (j % stride >= stride - summaries)


def shifted_by_one_place(n, stride, summaries):
    """You count places from 1: the last of a block is then its 0. They count from 0 to stride -
    1: j % stride >= stride - summaries."""
    i, j = ij(n)
    return (j <= i) & ((j + 1) % stride < summaries)


def empty_rows_see_themselves(n, stride, summaries):
    """You let queries without keys see themselves. The pattern gives them none: their rows are
    empty, and the attention returns 0 there."""
    i, j = ij(n)
    mask = summary_mask(n, stride, summaries)
    return mask | ((i == j) & ~mask.any(-1, keepdim=True))


def empty_rows_see_all(n, stride, summaries):
    """You let queries without keys see everything, even what is later. The pattern gives them
    none: their rows are empty."""
    mask = summary_mask(n, stride, summaries)
    return mask | ~mask.any(-1, keepdim=True)


def quotient_for_remainder(n, stride, summaries):
    """You divide, j // stride, which says the number of the block. The place in it is the
    remainder: j % stride."""
    i, j = ij(n)
    return (j <= i) & (j // stride >= stride - summaries)


def place_not_taken(n, stride, summaries):
    """You compare the position itself. It is its place in the block that counts: j % stride."""
    i, j = ij(n)
    return (j <= i) & (j >= stride - summaries)


def unfinished_block_too(n, stride, summaries):
    """You take the last tokens of the unfinished block at the end as summaries too. A summary
    stands at the end of a whole block: j % stride."""
    i, j = ij(n)
    end = ((j // stride + 1) * stride).clamp(max=n)
    return (j <= i) & (end - j <= summaries)


def every_summaries_th(n, stride, summaries):
    """You show every c-th key, from the first on. It is the last c of every `stride` keys: j %
    stride >= stride - summaries."""
    i, j = ij(n)
    return (j <= i) & (j % summaries == 0)


def last_of_the_sequence(n, stride, summaries):
    """You show the last c tokens of the sequence. It is the last c of every block: j %
    stride."""
    i, j = ij(n)
    return (j <= i) & (j >= n - summaries)


def last_keys_of_the_query(n, stride, summaries):
    """You show the last c keys of every query. Summaries stand at fixed places, at the end of
    every block: j % stride."""
    return local_mask(n, summaries)


def strided_for_summary(n, stride, summaries):
    """You count back from the query, (i - j) % stride == 0. Summaries stand at fixed places: j
    % stride."""
    return strided_mask(n, stride)


def block_for_summary(n, stride, summaries):
    """You show the query's own block. That is the other mask; here the last c of every block
    are wanted."""
    return block_mask(n, stride)


def summaries_later_in_the_block(n, stride, summaries):
    """Your queries see the summaries of their own block before these are there. j <= i goes
    token by token, not block by block."""
    i, j = ij(n)
    return (j // stride <= i // stride) & (j % stride >= stride - summaries)


def summary_numbers(n, stride, summaries):
    """You return numbers. A mask is boolean: comparisons make it so."""
    return summary_mask(n, stride, summaries).double()


def summary_loops(n, stride, summaries):
    mask = torch.zeros(n, n, dtype=torch.bool)
    for start in range(stride - summaries, n, stride):
        for j in range(start, min(start + summaries, n)):
            mask[j:, j] = True
    return mask


def summary_by_columns(n, stride, summaries):
    place = torch.arange(n).remainder(stride)
    column = torch.isin(place, torch.arange(stride - summaries, stride))
    return column.expand(n, n).tril()


def summary_by_sets(n, stride, summaries):
    wanted = set(range(stride - summaries, stride))
    return torch.tensor([[j <= i and j % stride in wanted for j in range(n)] for i in range(n)])


EXERCISE = Exercise(
    id="sparse.summary_mask",
    solution=summary_mask,
    probes={"summary_mask": "i j"},
    trials=lambda: tuple(
        Trial(
            f"for n={n}, stride={stride}, summaries={c}",
            dict(i=n, j=n),
            dict(n=n, stride=stride, summaries=c),
        )
        for n, stride, c in ((13, 5, 2), (11, 3, 1), (12, 4, 3), (9, 4, 4), (4, 6, 2))
    ),
    slips=(
        one_cell_short,
        one_cell_too_many,
        first_cells,
        summaries_to_come,
        finished_blocks,
        own_summaries_alone,
        one_cell_whatever,
        first_summary_cell,
        rows_for_columns,
        counted_from_the_query,
        and_itself,
        and_its_block,
        summary_not_itself,
        summary_hidden_is_true,
        summaries_of_the_block_before,
        shifted_by_one_place,
        empty_rows_see_themselves,
        empty_rows_see_all,
        quotient_for_remainder,
        place_not_taken,
        unfinished_block_too,
        every_summaries_th,
        last_of_the_sequence,
        last_keys_of_the_query,
        strided_for_summary,
        block_for_summary,
        summaries_later_in_the_block,
        summary_numbers,
    ),
    hints=(
        "With blocks of 5 and 2 summaries, which tokens are summaries at all?",
        "The place of a key in its block is j mod l, from 0 to l - 1. The last c places are"
        " l - c, …, l - 1. And no key may be later than the query.",
        "(j <= i) & (j % stride >= stride - summaries)",
    ),
    minutes=5,
    difficulty=2,
    otherwise=(summary_loops, summary_by_columns, summary_by_sets),
    laws=("queries_see_their_keys",),
    skip=NO_TENSORS,
)
