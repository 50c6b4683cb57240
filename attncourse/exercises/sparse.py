"""Chapter 10, sparse attention: what is asked, what goes wrong, what helps."""

import math
from dataclasses import replace

import torch
from einops import rearrange, repeat
from torch.nn import functional as F

from attncourse.families import also, family
from attncourse.registry import Cost, Exercise, Given, Trial, slip
from solutions.positional import masked_softmax
from solutions.scaled_dot_product import causal_mask, scaled_dot_product_attention
from solutions.sparse import (
    block_mask,
    factorised_attention,
    local_attention,
    local_mask,
    map_bytes,
    masks,
    reachable,
    strided_attention,
    strided_mask,
    summary_mask,
    with_previous,
)


def in_ways(answer, *ways):
    """A slip that is also known when it is made in other ways."""
    return replace(slip(answer), ways=ways)


# masks: positions count from 0; n is no multiple of the window or stride, but for one trial.


def mask_trials(word):
    """n tokens with a window or a stride."""

    def trials():
        chosen = ((11, 3), (7, 4), (12, 4), (9, 5), (5, 1), (4, 6))
        return tuple(
            Trial(f"for n={n}, {word}={length}", dict(i=n, j=n), {"n": n, word: length})
            for n, length in chosen
        )

    return trials


def ij(n):
    return torch.arange(n)[:, None], torch.arange(n)


# the last few


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


# every stride-th


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


# the own block


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


# the summaries


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


# two hops


def hop_trials():
    def trial(name, first, then):
        n = len(first)
        inputs = dict(first=Given("i j", first), then=Given("i j", then))
        return Trial(name, dict(i=n, j=n), inputs)

    dice = torch.Generator().manual_seed(3)
    first, then = (torch.rand(9, 9, generator=dice) < 0.15 for _ in range(2))
    block, summary = masks("fixed", 11, 3)
    return (
        trial("for two masks drawn at random", first, then),
        trial("for a block below and summaries above", block, summary),
        trial("for summaries below and a block above", summary, block),
        trial("for two dense layers", causal_mask(5, 5), causal_mask(5, 5)),
        trial("for two dense layers of 260 tokens", *[causal_mask(260, 260)] * 2),
    )


def hop(a, b):
    return a.double() @ b.double()


def layers_exchanged(first, then):
    """The layers have changed places. Query i reads a in the upper layer, `then`, and a has
    read j in the lower one, `first`: then @ first."""
    return hop(first, then) > 0


def one_hop(first, then):
    """You take what either layer shows. Two hops go through a key between: a product of
    matrices."""
    return first | then


def in_both(first, then):
    """You take what both layers show. Two hops go through a key between: a product of matrices,
    `@`, not element by element."""
    return first & then


def exactly_one_way(first, then):
    """You ask for exactly one way. A key that can be reached in several ways is reached too:
    > 0."""
    return hop(then, first) == 1


def several_ways(first, then):
    """You ask for more than one way. One is enough: > 0."""
    return hop(then, first) > 1


def ways_counted(first, then):
    """You return how many ways there are. The question is whether there is any: compare with
    0."""
    return hop(then, first)


def reachable_as_numbers(first, then):
    return (hop(then, first) > 0).double()


def turned_over(first, then):
    """Your result is turned over: j i. The queries go down."""
    return hop(first.mT, then.mT) > 0


def share_a_key(first, then):
    """You ask whether i and j read a common key: then @ first.T. The inner letter is the key of
    `then` and the query of `first`: i a, a j -> i j."""
    return hop(then, first.mT) > 0


def or_one_hop(first, then):
    """You add what one hop alone reaches. It is reached in two only if some token between hands
    it on."""
    return (hop(then, first) > 0) | first | then


def or_upper_hop(first, then):
    """You add what the upper layer shows. Of the lower tokens it hears only through the lower
    layer."""
    return (hop(then, first) > 0) | then


def or_itself(first, then):
    """You add the diagonal. A token hears of itself only if some way leads there."""
    return (hop(then, first) > 0) | torch.eye(len(first), dtype=torch.bool)


def lower_twice(first, then):
    """You use the lower layer twice: then @ first."""
    return hop(first, first) > 0


def upper_twice(first, then):
    """You use the upper layer twice: then @ first."""
    return hop(then, then) > 0


def any_hops(first, then):
    """You let tokens hop as often as they like. Two layers make two hops: first one, then the
    other."""
    ways = (first | then).double() + torch.eye(len(first), dtype=torch.double)
    return torch.linalg.matrix_power(ways, len(first)) > 0


def either_twice(first, then):
    """You let both hops go through either layer. The first hop is the upper layer's, the second
    the lower one's: then @ first."""
    return hop(first | then, first | then) > 0


def unreached(first, then):
    """Your result is inverted: True where a key cannot be reached."""
    return hop(then, first) == 0


def upper_turned(first, then):
    """You turn the upper layer over: its queries are keys in yours. The key of `then` is the
    query of `first`: i a, a j -> i j."""
    return hop(then.mT, first) > 0


def both_turned(first, then):
    """You turn both layers over. Query i reads a in `then`, and a has read j in `first`: then @
    first."""
    return hop(then.mT, first.mT) > 0


def made_causal(first, then):
    """You hide what is later than the query. The masks have done that, where it is wanted."""
    return (hop(then, first) > 0).tril()


def through_all(first, then):
    """You ask that all tokens between lead there. One is enough: any, not all."""
    return (~then[:, :, None] | first[None]).all(1)


def odd_ways(first, then):
    """You ask for an odd number of ways. One is enough: > 0."""
    return hop(then, first) % 2 == 1


def most_of_the_ways(first, then):
    """You divide by how many keys a query has, and ask for a large share. One way is enough: >
    0."""
    return hop(then, first) > 0.5 * then.double().sum(-1, keepdim=True)


def in_either_order(first, then):
    """You take both orders of the layers. `first` is the lower one: then @ first alone."""
    return (hop(then, first) > 0) | (hop(first, then) > 0)


def or_lower_hop(first, then):
    """You add what the lower layer shows. The upper one hears only of what its keys have
    read."""
    return (hop(then, first) > 0) | first


def ways_modulo_256(first, then):
    """You count the ways in 8 bits, and 256 of them are 0 there. Take floats, or longer
    integers."""
    return hop(then, first) % 256 > 0


def reachable_loops(first, then):
    n = len(first)
    found = torch.zeros(n, n, dtype=torch.bool, device=first.device)
    for a in range(n):
        found |= then[:, a, None] & first[None, a, :]
    return found


def reachable_broadcast(first, then):
    return (then.unsqueeze(-1) & first.unsqueeze(0)).any(dim=1)


def reachable_by_products(first, then):
    return torch.matmul(then.to(torch.float64), first.to(torch.float64)).bool()


# heads: one recipe


def head_trials():
    def trial(name, pattern, way, layer=0, head=4, i=11, **sizes):
        sizes = dict(b=2, head=head, i=i) | sizes
        first, second = masks(pattern, i, 3, 2) if pattern == "fixed" else masks(pattern, i, 3)
        inputs = dict(q="b head i d", k="b head i d", v="b head i e")
        inputs |= dict(first=Given("i i", first), second=Given("i i", second))
        return Trial(name, sizes, inputs | dict(way=Given("", way), layer=layer))

    def batches(name):
        one = trial(name, "strided", "split", head=6, b=4, i=8, d=5, e=7)
        inputs = dict(q="a b head i d", k="a b head i d", v="a b head i e")
        return replace(one, sizes=dict(a=2) | one.sizes, inputs=one.inputs | inputs)

    return (
        trial("merged", "strided", "merged", d=3, e=5),
        trial("merged in an odd layer", "fixed", "merged", layer=1, head=3, i=7, d=5, e=6),
        trial("interleaved, layer 0", "strided", "interleaved", d=5, e=3),
        trial("interleaved, layer 1", "strided", "interleaved", 1, d=3, e=6),
        trial("interleaved, layer 2, 3 heads", "fixed", "interleaved", 2, 3, 8, d=4, e=5),
        trial("interleaved, layer 3, with empty rows", "fixed", "interleaved", 3, d=5, e=7),
        trial("split, 4 heads", "strided", "split", d=6, e=3),
        trial("split, 2 heads, with empty rows", "fixed", "split", 1, head=2, i=7, d=3, e=5),
        batches("split, with two batch axes"),
    )


def odd_heads():
    mask = causal_mask(4, 4)
    inputs = dict(q="b head i d", k="b head i d", v="b head i e")
    inputs |= dict(first=Given("i i", mask), second=Given("i i", mask))
    inputs |= dict(way=Given("", "split"), layer=0)
    return (Trial("3 heads that are to be split", dict(b=2, head=3, i=4, d=5, e=6), inputs),)


def union(q, k, v, first, second, look):
    return look(q, k, v, first | second)


def by_layer(q, k, v, first, second, layer, look):
    return look(q, k, v, second if layer % 2 else first)


def by_halves(q, k, v, first, second, look):
    heads = q.shape[-3]
    return look(q, k, v, repeat([first, second], "p i j -> (p h) i j", h=heads // 2))


def by_dense_map(q, k, v, mask):
    return masked_softmax(q @ k.mT / math.sqrt(q.shape[-1]), mask) @ v


def heads_recipe(
    merging=union, interleaving=by_layer, splitting=by_halves, looking=by_dense_map
):
    """`factorised_attention` with some of its steps replaced."""

    def answer(q, k, v, first, second, way, layer=0):
        if way == "merged":
            return merging(q, k, v, first, second, looking)
        if way == "interleaved":
            return interleaving(q, k, v, first, second, layer, looking)
        return splitting(q, k, v, first, second, looking)

    return answer


def merged_after_the_softmax(q, k, v, first, second, look):
    """You merge after the softmax: the mean of two attentions. Merged means one softmax over
    the union of the keys, first | second."""
    return (look(q, k, v, first) + look(q, k, v, second)) / 2


def two_attentions_added(q, k, v, first, second, look):
    """You add two attentions. Merged means one softmax over the union of the keys, first |
    second."""
    return look(q, k, v, first) + look(q, k, v, second)


def one_after_the_other(q, k, v, first, second, look):
    """You let the second attention read what the first returns: two layers. Merged means one
    softmax over the union of the keys, first | second."""
    return look(q, k, look(q, k, v, first), second)


def intersection(q, k, v, first, second, look):
    """You take the keys that are in both masks. Merged takes those that are in either: first |
    second."""
    return look(q, k, v, first & second)


def in_one_only(q, k, v, first, second, look):
    """You take the keys that are in exactly one of the masks, so the query itself is lost.
    Merged takes those that are in either: |, not ^ or !=."""
    return look(q, k, v, first ^ second)


def two_hops_at_once(q, k, v, first, second, look):
    """You take the product of the masks, all that two hops reach. Merged takes the union: first
    | second."""
    return look(q, k, v, hop(first, second) > 0)


def counted_twice(q, k, v, first, second, look):
    """A key that is in both masks counts twice in your softmax: the query itself, for one. Join
    the masks, not the lists of scores."""
    s = q @ k.mT / math.sqrt(q.shape[-1])
    s = torch.cat([s.masked_fill(~mask, -math.inf) for mask in (first, second)], dim=-1)
    return s.softmax(-1).nan_to_num(0) @ torch.cat([v, v], dim=-2)


def merged_by_halves(q, k, v, first, second, look):
    """Merged, every head takes both masks. Yours split the heads between them."""
    heads = q.shape[-3] + 1
    mask = repeat([first, second], "p i j -> (p h) i j", h=heads // 2)
    return look(q, k, v, mask[: q.shape[-3]])


def second_alone(q, k, v, first, second, look):
    """Merged, you use the second mask alone. One softmax over the union: first | second."""
    return look(q, k, v, second)


def first_alone(q, k, v, first, second, look):
    """Merged, you use the first mask alone."""
    return look(q, k, v, first)


def layers_from_one(q, k, v, first, second, layer, look):
    """Your layers count from 1: layer 0 takes the second mask. It takes the first."""
    return look(q, k, v, first if layer % 2 else second)


def layer_ignored(q, k, v, first, second, layer, look):
    """Interleaved, you take the first mask in every layer. Odd layers take the second."""
    return look(q, k, v, first)


def layer_zero_alone(q, k, v, first, second, layer, look):
    """Interleaved, layer 2 takes the second mask in yours. It goes on in turn: layer % 2."""
    return look(q, k, v, second if layer else first)


def heads_interleaved(q, k, v, first, second, layer, look):
    """You interleave heads. Interleaved means layers: all heads of a layer take the same
    mask."""
    turns = [(first, second)[h % 2] for h in range(q.shape[-3])]
    return look(q, k, v, torch.stack(turns))


def always_the_second(q, k, v, first, second, layer, look):
    """Interleaved, you take the second mask in every layer. Even layers take the first."""
    return look(q, k, v, second)


def interleaved_is_merged(q, k, v, first, second, layer, look):
    """Interleaved, you use both masks in one layer. A layer has one: the even ones the first,
    the odd ones the second."""
    return look(q, k, v, first | second)


def halves_exchanged(q, k, v, first, second, look):
    """Split, your first half of the heads takes the second mask. It takes the first."""
    return by_halves(q, k, v, second, first, look)


def every_other_head(q, k, v, first, second, look):
    """Split, you deal the masks out in turn, head by head. Here the first half of the heads
    takes the first mask: (part half), not (half part)."""
    turns = [(first, second)[h % 2] for h in range(q.shape[-3])]
    return look(q, k, v, torch.stack(turns))


def first_head_alone(q, k, v, first, second, look):
    """Split, only head 0 takes the first mask in yours. Half of the heads do."""
    turns = [first] + [second] * (q.shape[-3] - 1)
    return look(q, k, v, torch.stack(turns))


def split_is_merged(q, k, v, first, second, look):
    """Split, all your heads take both masks. Each half takes one."""
    return look(q, k, v, first | second)


def split_by_examples(q, k, v, first, second, look):
    """Split, you give the first mask to the first half of the examples. It is the heads that
    are split."""
    mask = repeat([first, second], "p i j -> (p b) i j", b=q.shape[0] // 2)
    return look(q, k, v, mask.unflatten(0, (-1, *[1] * (q.ndim - 3))))


def split_takes_the_first(q, k, v, first, second, look):
    """Split, all your heads take the first mask. The second half takes the second."""
    return look(q, k, v, first)


def split_at_axis_1(q, k, v, first, second, look):
    """You count the axes from the front: with more axes in front, the heads are not axis 1.
    They are the last but two, -3."""
    parts = zip(*(x.chunk(2, 1) for x in (q, k, v)), (first, second), strict=True)
    return torch.cat([look(*part) for part in parts], 1)


def split_over_features(q, k, v, first, second, look):
    """You split the features of v, so every head takes both masks. It is the heads that are
    split."""
    parts = zip(v.chunk(2, -1), (first, second), strict=True)
    return torch.cat([look(q, k, part, mask) for part, mask in parts], -1)


def halves_of_features(q, k, v, first, second, look):
    """You split the features, so every head takes both masks. It is the heads that are
    split."""
    half = v.shape[-1] // 2
    parts = (v[..., :half], first), (v[..., half:], second)
    return torch.cat([look(q, k, part, mask) for part, mask in parts], -1)


def scaled_by_length(q, k, v, mask):
    """You divide the scores by the root of the number of tokens. It is sqrt(d), the features of
    a head."""
    return masked_softmax(q @ k.mT / math.sqrt(k.shape[-2]), mask) @ v


def pairs_of_layers(q, k, v, first, second, layer, look):
    """Interleaved, two layers after one another take the same mask in yours. They take turns:
    layer % 2, not layer // 2."""
    return look(q, k, v, second if layer // 2 % 2 else first)


def empty_rows_are_nan(q, k, v, mask):
    """A query that may attend to nothing gets NaN: softmax over nothing but -inf is 0 / 0. The
    first queries of the summaries are such. They get 0."""
    return (q @ k.mT / math.sqrt(q.shape[-1])).masked_fill(~mask, -math.inf).softmax(-1) @ v


def empty_rows_read_everything(q, k, v, mask):
    """A query that may attend to nothing gets the mean of all values: with a large negative
    number instead of -inf all its scores are alike. It gets 0."""
    return (q @ k.mT / math.sqrt(q.shape[-1])).masked_fill(~mask, -1e9).softmax(-1) @ v


def masked_after_the_softmax(q, k, v, mask):
    """You mask the weights after the softmax: hidden keys have already taken their share. Mask
    the scores."""
    return ((q @ k.mT / math.sqrt(q.shape[-1])).softmax(-1) * mask) @ v


def mask_inverted(q, k, v, mask):
    """You attend where the mask is False. It is True where a query may."""
    return by_dense_map(q, k, v, ~mask)


def not_scaled(q, k, v, mask):
    """The scores are not divided by sqrt(d)."""
    return masked_softmax(q @ k.mT, mask) @ v


def scaled_by_d(q, k, v, mask):
    """You divide the scores by d. It is sqrt(d)."""
    return masked_softmax(q @ k.mT / q.shape[-1], mask) @ v


def scaled_by_values(q, k, v, mask):
    """You divide the scores by the root of the width of v. It is sqrt(d), the features of q and
    k."""
    return masked_softmax(q @ k.mT / math.sqrt(v.shape[-1]), mask) @ v


def refuse_odd(heads, way):
    if way == "split" and heads % 2:
        raise ValueError("odd")


def heads_loops(q, k, v, first, second, way, layer=0):
    refuse_odd(q.shape[-3], way)
    outputs, heads = [], q.shape[-3]
    for h in range(heads):
        if way == "merged":
            mask = torch.logical_or(first, second)
        elif way == "interleaved":
            mask = [first, second][layer % 2]
        else:
            mask = first if h < heads // 2 else second
        outputs.append(scaled_dot_product_attention(q[..., h, :, :], k[..., h, :, :],
                                                    v[..., h, :, :], mask))  # fmt: skip
    return torch.stack(outputs, dim=-3)


def heads_by_torch(q, k, v, first, second, way, layer=0):
    refuse_odd(q.shape[-3], way)
    half = q.shape[-3] // 2
    if way == "merged":
        mask = first + second
    elif way == "interleaved":
        mask = second if layer % 2 == 1 else first
    else:
        mask = torch.stack([first] * half + [second] * half)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)


# a block and the one before


def previous_trials():
    axes = dict(x="b block place d")
    return (
        Trial("on three examples", dict(b=3, block=5, place=4, d=7, key=8), axes),
        Trial("on one block", dict(b=4, block=1, place=3, d=5, key=6), axes),
        Trial(
            "with an axis of heads",
            dict(b=2, head=3, block=4, place=5, d=6),
            dict(x="b head block place d"),
        ),
        Trial("on blocks of one token", dict(b=3, block=4, place=1, d=2), axes),
    )


def beside_it(x, other):
    return torch.cat([other, x], dim=-2)


def moved_down(x):
    return torch.cat([torch.zeros_like(x[..., :1, :, :]), x[..., :-1, :, :]], dim=-3)


def wraps_around(x):
    """The block before the first is the last one in yours: `roll` wraps around, and the first
    tokens would read the last. Before the first there are zeros."""
    return beside_it(x, x.roll(1, -3))


def next_block(x):
    """You put the next block in front: queries would read the future. The block before, shifted
    by one towards later blocks."""
    y = torch.cat([x[..., 1:, :, :], torch.zeros_like(x[..., :1, :, :])], dim=-3)
    return beside_it(x, y)


def own_block_first(x):
    """The own block comes first in yours. The block before stands in front: keys stay in the
    order of the tokens."""
    return beside_it(moved_down(x), x)


def next_block_behind(x):
    """You put the next block behind the own one: queries would read the future. The block
    before goes in front."""
    y = torch.cat([x[..., 1:, :, :], torch.zeros_like(x[..., :1, :, :])], dim=-3)
    return beside_it(y, x)


def mixed_token_by_token(x):
    """The tokens of the two blocks alternate in yours: (place two). First the whole block
    before, then the own: (two place)."""
    return rearrange([moved_down(x), x], "two ... place d -> ... (place two) d")


def own_block_twice(x):
    """You put the own block in front of itself. The one before belongs there."""
    return beside_it(x, x)


def first_block_repeated(x):
    """Before the first block you put the first block itself. There are no keys before it:
    zeros."""
    return beside_it(x, torch.cat([x[..., :1, :, :], x[..., :-1, :, :]], dim=-3))


def shifted_by_one_token(x):
    """You shift by one token, not by one block: pad the axis of the blocks, the last but two
    (`F.pad` counts axes from the last)."""
    flat = rearrange(x, "... block place d -> ... (block place) d")
    late = F.pad(flat, (0, 0, 1, -1))
    return beside_it(x, rearrange(late, "... (block p) d -> ... block p d", p=x.shape[-2]))


def shifted_inside_the_block(x):
    """You shift the tokens inside their block. It is the blocks that move by one: the axis last
    but two."""
    return beside_it(x, F.pad(x, (0, 0, 1, -1)))


def previous_alone(x):
    """You return the block before alone. Its own block comes behind it: twice as many keys."""
    return moved_down(x)


def features_side_by_side(x):
    """You put the two blocks side by side in their features, d. They are keys: one behind the
    other, along place."""
    return torch.cat([moved_down(x), x], dim=-1)


def two_blocks_back(x):
    """You shift by two blocks. The one directly before is wanted."""
    return beside_it(x, moved_down(moved_down(x)))


def blocks_behind(x):
    """You join the blocks behind one another along the axis of blocks: twice as many blocks.
    Each block gets twice as many keys, along place."""
    return torch.cat([moved_down(x), x], dim=-3)


def wraps_to_the_left(x):
    """You shift the other way, and `roll` wraps around: the next block stands in front, and
    the first one before the last. The block before, and zeros where there is none."""
    return beside_it(x, x.roll(-1, -3))


def features_shifted(x):
    """You shift the features. It is the blocks that move by one: `F.pad` takes pairs from the
    last axis on, (0, 0, 0, 0, 1, -1)."""
    return beside_it(x, F.pad(x, (1, -1)))


def examples_shifted(x):
    """You shift the first axis, the examples of the batch. It is the blocks that move by one:
    axis -3."""
    return beside_it(x, torch.cat([torch.zeros_like(x[:1]), x[:-1]], 0))


def axis_1_shifted(x):
    """You count the axes from the front: with an axis of heads, blocks are not axis 1. They are
    the last but two, -3."""
    return beside_it(x, torch.cat([torch.zeros_like(x[:, :1]), x[:, :-1]], 1))


def joined_at_axis_2(x):
    """You count the axes from the front: with an axis of heads, blocks are not axis 1 and
    places not axis 2. They are -3 and -2."""
    return torch.cat([torch.cat([torch.zeros_like(x[:, :1]), x[:, :-1]], 1), x], 2)


def ones_in_front(x):
    """You put ones in front of the first block. There should be zeros."""
    return beside_it(x, F.pad(x, (0, 0, 0, 0, 1, -1), value=1.0))


def first_block_dropped(x):
    """You return one block less: the first has none before it, so zeros stand there."""
    return torch.cat([x[..., :-1, :, :], x[..., 1:, :, :]], dim=-2)


def not_cut_off(x):
    """You return one block more: pad in front by one block and cut one off at the end, (0, 0,
    0, 0, 1, -1)."""
    return torch.cat([F.pad(x, (0, 0, 0, 0, 1, 0)), F.pad(x, (0, 0, 0, 0, 0, 1))], -2)


def an_axis_of_two(x):
    """The two blocks have an axis of their own. Join them to one axis of keys: (two place)."""
    return torch.stack([moved_down(x), x], dim=-3)


def previous_loops(x):
    blocks = []
    for g in range(x.shape[-3]):
        before = x[..., g - 1, :, :] if g else torch.zeros_like(x[..., 0, :, :])
        blocks.append(torch.cat([before, x[..., g, :, :]], dim=-2))
    return torch.stack(blocks, dim=-3)


def previous_by_windows(x):
    place = x.shape[-2]
    flat = F.pad(x.flatten(-3, -2), (0, 0, place, 0))
    return flat.unfold(-2, 2 * place, place).transpose(-1, -2)


# local attention in blocks: one recipe


def cost_sizes(n, **sizes):
    return dict(b=2, n=n) | sizes


def local_trials():
    qkv = dict(q="b n d", k="b n d", v="b n e")
    heads = dict(q="b head n d", k="b head n d", v="b head n e")
    return (
        Trial("with a window of 4", cost_sizes(38, d=3, e=5), qkv | dict(window=4)),
        Trial("where n is a multiple", cost_sizes(12, d=5, e=3), qkv | dict(window=3)),
        Trial("with one head axis", cost_sizes(11, head=3, d=4, e=6), heads | dict(window=5)),
        Trial(
            "where the window is wider than n", cost_sizes(5, d=3, e=4), qkv | dict(window=7)
        ),
        Trial("with a window of 1", cost_sizes(6, d=3, e=4), qkv | dict(window=1)),
    )


def filled(x, length):
    x = F.pad(x, (0, 0, 0, -x.shape[-2] % length))
    return rearrange(x, "... (block place) d -> ... block place d", place=length)


def previous_and_own(x):
    return beside_it(x, moved_down(x))


def in_window(window, blocks):
    i = torch.arange(window)[:, None] + window
    j = torch.arange(2 * window)
    real = (torch.arange(blocks)[:, None, None] > 0) | (j >= window)
    return (j <= i) & (i - j < window) & real


def cut_to(y, n):
    return rearrange(y, "... block place e -> ... (block place) e")[..., :n, :]


def local_recipe(
    gathering=previous_and_own, allowing=in_window, looking=by_dense_map, ending=cut_to
):
    """`local_attention` with some of its steps replaced."""

    def answer(q, k, v, window):
        n = q.shape[-2]
        q, k, v = (filled(x, window) for x in (q, k, v))
        mask = allowing(window, q.shape[-3]).to(q.device)
        return ending(looking(q, gathering(k), gathering(v), mask), n)

    return answer


def zeros_are_seen(window, blocks):
    """The first block sees the zeros before it: a key of zeros has score 0 and takes its share.
    Hide them."""
    i = torch.arange(window)[:, None] + window
    j = torch.arange(2 * window)
    return ((j <= i) & (i - j < window)).expand(blocks, -1, -1)


@also(allowing=zeros_are_seen)
def keys_wrap_around(x):
    """The first block reads the last one: `roll` wraps around. Before the first block there
    is nothing: zeros that the mask hides."""
    return beside_it(x, x.roll(1, -3))


def keys_of_the_next_block(x):
    """You give each block the keys of the next one, as if they came before. Shift the blocks
    the other way."""
    return beside_it(x, torch.cat([x[..., 1:, :, :], torch.zeros_like(x[..., :1, :, :])], -3))


def papers_window(window, blocks):
    """You take window + 1 keys. The query itself is one of the `window` keys: i - j < window.
    (The paper's A1 does have l + 1, the authors' released code l.)"""
    i = torch.arange(window)[:, None] + window
    j = torch.arange(2 * window)
    real = (torch.arange(blocks)[:, None, None] > 0) | (j >= window)
    return (j <= i) & (i - j <= window) & real


def own_block_alone(window, blocks):
    """Your queries see their own block alone: the first of a block sees no other key. The
    window reaches into the block before."""
    i = torch.arange(window)[:, None] + window
    j = torch.arange(2 * window)
    return ((j <= i) & (j >= window)).expand(blocks, -1, -1)


def whole_block_before(window, blocks):
    """Your queries see all of the block before, so the last of a block has 2 window keys.
    i - j < window is missing."""
    i = torch.arange(window)[:, None] + window
    j = torch.arange(2 * window)
    real = (torch.arange(blocks)[:, None, None] > 0) | (j >= window)
    return (j <= i) & real


def later_keys_seen(window, blocks):
    """Your queries see later keys of their own block: j <= i is missing."""
    i = torch.arange(window)[:, None] + window
    j = torch.arange(2 * window)
    real = (torch.arange(blocks)[:, None, None] > 0) | (j >= window)
    return (i - j < window) & real


def query_left_out(window, blocks):
    """The query itself is missing among its keys: j <= i, with the equals sign."""
    i = torch.arange(window)[:, None] + window
    return in_window(window, blocks) & (torch.arange(2 * window) != i)


def positions_not_shifted(window, blocks):
    """You count queries from 0 and keys from 0, but the keys begin a block earlier: query 0 of
    a block is as far as key `window`. Add the window to i."""
    i = torch.arange(window)[:, None]
    j = torch.arange(2 * window)
    return ((j <= i) & (i - j < window)).expand(blocks, -1, -1)


def first_block_blind(window, blocks):
    """Your first block sees nothing. Only the zeros before it must be hidden; its own keys are
    there."""
    seen = in_window(window, blocks)
    return seen & (torch.arange(blocks)[:, None, None] > 0)


def one_key_less(window, blocks):
    """You take one key too few. The query itself and window - 1 before it: i - j < window."""
    i = torch.arange(window)[:, None] + window
    return in_window(window, blocks) & (i - torch.arange(2 * window) < max(1, window - 1))


def half_the_window(window, blocks):
    """You go back half a window. There are `window` keys, all of them behind."""
    i = torch.arange(window)[:, None] + window
    return in_window(window, blocks) & (i - torch.arange(2 * window) < max(1, window // 2))


def scaled_by_window(q, k, v, mask):
    """You divide the scores by the root of the window. It is sqrt(d)."""
    return masked_softmax(q @ k.mT / math.sqrt(mask.shape[-2]), mask) @ v


def over_queries(q, k, v, mask):
    """Your softmax runs over the queries. It runs over the keys, the last axis."""
    scores = (q @ k.mT / math.sqrt(q.shape[-1])).masked_fill(~mask, -1e9)
    return scores.softmax(-2) @ v


def padding_kept(y, n):
    """You return the tokens that were filled up, too. Cut the result to n."""
    return rearrange(y, "... block place e -> ... (block place) e")


def order_lost(y, n):
    """Your tokens come out in another order: (place block). Undo the blocks as they were made:
    (block place)."""
    return rearrange(y, "... block place e -> ... (place block) e")[..., :n, :]


def own_keys_first(q, k, v, window):
    """You put the own block in front of the one before, and mask as if it came behind. The
    block before comes first."""

    def own_first(x):
        return beside_it(moved_down(x), x)

    return local_recipe(gathering=own_first)(q, k, v, window)


def filled_up_in_front(q, k, v, window):
    """You fill up in front: the zeros are then earlier keys, and they take their share. Fill
    up behind, and cut the result to the first n."""
    n = q.shape[-2]
    q, k, v = (F.pad(x, (0, 0, -n % window, 0)) for x in (q, k, v))
    return local_recipe()(q, k, v, window)[..., -n:, :]


def last_tokens_dropped(q, k, v, window):
    """The tokens of the last block are lost where it is not full. Fill the sequence up to whole
    blocks, and cut the result to n."""
    n = q.shape[-2] // window * window
    return local_recipe()(*(x[..., :n, :] for x in (q, k, v)), window)


def every_so_many_keys(q, k, v, window):
    """You read every so-many-th key. The last `window` of them are meant, one after the
    other."""
    return by_dense_map(q, k, v, strided_mask(q.shape[-2], window).to(q.device))


def dense_local(q, k, v, window):
    return by_dense_map(q, k, v, local_mask(q.shape[-2], window).to(q.device))


def local_one_by_one(q, k, v, window):
    rows = []
    for i in range(q.shape[-2]):
        near = slice(max(0, i - window + 1), i + 1)
        scores = q[..., i : i + 1, :] @ k[..., near, :].mT / math.sqrt(q.shape[-1])
        rows.append(scores.softmax(-1) @ v[..., near, :])
    return torch.cat(rows, dim=-2)


def local_by_windows(q, k, v, window):
    k, v = (F.pad(x, (0, 0, window - 1, 0)).unfold(-2, window, 1) for x in (k, v))
    scores = torch.einsum("...nd,...ndw->...nw", q, k) / q.shape[-1] ** 0.5
    ago = window - 1 - torch.arange(window, device=q.device)
    real = torch.arange(q.shape[-2], device=q.device)[:, None] >= ago
    weights = scores.masked_fill(~real, -math.inf).softmax(-1)
    return torch.einsum("...nw,...new->...ne", weights, v)


# strided attention, rearranged: one recipe


def strided_trials():
    qkv = dict(q="b n d", k="b n d", v="b n e")
    heads = dict(q="b head n d", k="b head n d", v="b head n e")
    return (
        Trial("with a stride of 7", cost_sizes(38, d=3, e=5), qkv | dict(stride=7)),
        Trial("where n is a multiple", cost_sizes(12, d=5, e=6), qkv | dict(stride=3)),
        Trial("with one head axis", cost_sizes(11, head=3, d=4, e=6), heads | dict(stride=4)),
        Trial(
            "where the stride is wider than n", cost_sizes(5, d=3, e=4), qkv | dict(stride=7)
        ),
        Trial("with a stride of 1", cost_sizes(6, d=3, e=4), qkv | dict(stride=1)),
    )


def filled_behind(x, stride):
    return F.pad(x, (0, 0, 0, -x.shape[-2] % stride))


def columns(stride):
    return "... (block place) d -> ... place block d", dict(place=stride)


def earlier_blocks_seen(blocks):
    return causal_mask(blocks, blocks)


def back_in_order(y, n):
    return rearrange(y, "... place block e -> ... (block place) e")[..., :n, :]


def strided_recipe(
    filling=filled_behind,
    laying=columns,
    allowing=earlier_blocks_seen,
    looking=by_dense_map,
    ending=back_in_order,
):
    """`strided_attention` with some of its steps replaced."""

    def answer(q, k, v, stride):
        n = q.shape[-2]
        pattern, sizes = laying(stride)
        q, k, v = (rearrange(filling(x, stride), pattern, **sizes) for x in (q, k, v))
        mask = allowing(q.shape[-2]).to(q.device)
        return ending(looking(q, k, v, mask), n)

    return answer


def as_many_columns(stride):
    """You cut the tokens into `stride` blocks: (place block). The stride is how long a block
    is: (block place) with place = stride."""
    return "... (place block) d -> ... place block d", dict(place=stride)


def later_blocks_seen(blocks):
    """The mask is missing: your queries see later keys of their column."""
    return torch.ones(blocks, blocks, dtype=torch.bool)


def column_without_itself(blocks):
    """The query itself is missing among its keys: block <= block, with the equals sign."""
    return torch.ones(blocks, blocks, dtype=torch.bool).tril(-1)


def later_blocks_alone(blocks):
    """Your mask is turned over: queries see later keys alone."""
    return torch.ones(blocks, blocks, dtype=torch.bool).triu()


def itself_alone(blocks):
    """Your queries see themselves alone: the mask is the diagonal."""
    return torch.eye(blocks, dtype=torch.bool)


def filled_in_front(x, stride):
    """You fill up in front: the zeros are then earlier keys, and they take their share. Fill
    up behind, where the causal mask hides them."""
    return F.pad(x, (0, 0, -x.shape[-2] % stride, 0))


def columns_one_after_another(y, n):
    """Your tokens come out column by column: (place block). Undo it as it was made: (block
    place)."""
    return rearrange(y, "... place block e -> ... (place block) e")[..., :n, :]


def columns_padding_kept(y, n):
    """You return the tokens that were filled up, too. Cut the result to n."""
    return rearrange(y, "... place block e -> ... (block place) e")


def last_kept(y, n):
    """You keep the last n tokens. What was filled up stands at the end: keep the first n."""
    return rearrange(y, "... place block e -> ... (block place) e")[..., -n:, :]


def zeros_in_front(q, k, v, stride):
    """You fill up in front: the zeros are then earlier keys, and they take their share. Fill
    up behind, where the causal mask hides them."""
    return strided_recipe(filling=filled_in_front, ending=last_kept)(q, k, v, stride)


def whole_blocks(q, k, v, stride):
    """You attend inside every block, among neighbours. Tokens at the same place of all blocks
    belong together: "... place block d"."""
    n = q.shape[-2]
    q, k, v = (filled(x, stride) for x in (q, k, v))
    return cut_to(by_dense_map(q, k, v, causal_mask(stride, stride).to(q.device)), n)


def last_keys_instead(q, k, v, stride):
    """You read the last `stride` keys: that is local attention. Every stride-th is meant, back
    to the beginning."""
    return by_dense_map(q, k, v, local_mask(q.shape[-2], stride).to(q.device))


def summaries_for_all(q, k, v, stride):
    """All your queries read the last key of every block. Every query has its own column: (i -
    j) mod l = 0."""
    mask = masks("fixed", q.shape[-2], stride)[1].to(q.device)
    return by_dense_map(q, k, v, mask)


def tokens_left_over(q, k, v, stride):
    """The tokens that do not fill a block are lost. Fill the sequence up behind, and cut the
    result to n."""
    n = q.shape[-2] // stride * stride
    return strided_recipe()(*(x[..., :n, :] for x in (q, k, v)), stride)


def queries_as_keys(q, k, v, stride):
    """You take q for the keys. They are k."""
    return strided_recipe()(q, q, v, stride)


def both_patterns(q, k, v, stride):
    """You read the last keys as well. That is the union of both patterns; here every stride-th
    key alone is wanted."""
    n = q.shape[-2]
    mask = strided_mask(n, stride) | local_mask(n, stride)
    return by_dense_map(q, k, v, mask.to(q.device))


def one_block_ahead(blocks):
    """Your mask is one off: queries see the next key of their column as well. block <=
    block."""
    return torch.ones(blocks, blocks, dtype=torch.bool).tril(1)


def first_column_for_all(q, k, v, stride):
    """All your queries read the keys 0, l, 2l, …: a slice with a step. Every query has its own
    column: (i - j) mod l = 0."""
    n = q.shape[-2]
    j = torch.arange(0, n, stride, device=q.device)
    mask = j <= torch.arange(n, device=q.device)[:, None]
    return by_dense_map(q, k[..., ::stride, :], v[..., ::stride, :], mask)


def dense_strided(q, k, v, stride):
    return by_dense_map(q, k, v, strided_mask(q.shape[-2], stride).to(q.device))


def strided_by_slices(q, k, v, stride):
    n = q.shape[-2]
    y = v.new_zeros(*q.shape[:-1], v.shape[-1])
    for place in range(min(stride, n)):
        mine = slice(place, None, stride)
        parts = q[..., mine, :], k[..., mine, :], v[..., mine, :]
        y[..., mine, :] = F.scaled_dot_product_attention(*parts, is_causal=True)
    return y


def strided_one_by_one(q, k, v, stride):
    rows = []
    for i in range(q.shape[-2]):
        keys = range(i % stride, i + 1, stride)
        scores = (q[..., i : i + 1, :] * q.shape[-1] ** -0.5) @ k[..., keys, :].mT
        rows.append(F.softmax(scores, dim=-1) @ v[..., keys, :])
    return torch.cat(rows, dim=-2)


# memory


def bytes_trials():
    chosen = ((1024, 64, 4, False), (1024, 64, 4, True), (3072, 5, 3, False), (700, 2, 7, True))
    return tuple(
        Trial(
            f"for {n} tokens, {layers} layers, {heads} heads, recompute={recompute}",
            {},
            dict(n=n, layers=layers, heads=heads, recompute=recompute),
        )
        for n, layers, heads, recompute in chosen
    )


def whole(n):
    return n * n


def four(layers, heads):
    return 4


def all_layers(layers, recompute):
    return 1 if recompute else layers


def all_heads(heads):
    return heads


def bytes_recipe(sizing=whole, weighing=four, keeping=all_layers, heading=all_heads):
    """`map_bytes` with some of its steps replaced."""

    def answer(n, layers, heads, recompute=False):
        return sizing(n) * weighing(layers, heads) * keeping(layers, recompute) * heading(heads)

    return answer


def tokens_once(n):
    """n comes in once. A map has a number for every query and every key: n²."""
    return n


def half_the_map(n):
    """You count the keys up to the query alone, about half of the map. Dense attention builds
    it all and masks it afterwards: n²."""
    return n * (n + 1) // 2


def root(n):
    """That is sparse attention already, n sqrt(n). Dense attention has n² numbers a map."""
    return n * math.isqrt(n)


def numbers_not_bytes(layers, heads):
    """You count numbers. Each takes 4 bytes."""
    return 1


def two_bytes(layers, heads):
    """You get half of it. A number has 4 bytes, not 2; and the map is built whole, though half
    of it is masked."""
    return 2


def bits_not_bytes(layers, heads):
    """You take 32 a number: those are bits. It is 4 bytes."""
    return 32


def eight_bytes(layers, heads):
    """You take 8 bytes a number. Single precision has 4."""
    return 8


def recompute_ignored(layers, recompute):
    """`recompute` changes nothing in yours. With it, the maps of one layer are kept at a
    time."""
    return layers


def recompute_inverted(layers, recompute):
    """`recompute` works the wrong way round: with it, one layer is kept, without it all."""
    return layers if recompute else 1


def one_layer(layers, recompute):
    """`layers` is not used: without `recompute` the maps of every layer are kept for the way
    back."""
    return 1


def nothing_kept(layers, recompute):
    """With `recompute` you keep nothing. While a layer is made anew, its own maps are there."""
    return 0 if recompute else layers


def one_head(heads):
    """`heads` is not used. Every head has a map of its own."""
    return 1


def root_of_layers(layers, recompute):
    """With `recompute` you keep sqrt(layers) of them: that is another scheme. Here the maps of
    one layer are kept at a time."""
    return int(layers**0.5) if recompute else layers


def one_head_made_anew(n, layers, heads, recompute=False):
    """With `recompute` you keep one head. The heads of a layer are there at the same time."""
    return (1 if recompute else layers * heads) * n**2 * 4


def in_mebibytes(n, layers, heads, recompute=False):
    """You return MiB. Bytes are asked for."""
    return map_bytes(n, layers, heads, recompute) // 2**20


def with_decimals(n, layers, heads, recompute=False):
    """You return a float. Bytes are counted: a whole number."""
    return float(map_bytes(n, layers, heads, recompute))


def bytes_by_shape(n, layers, heads, recompute=False):
    shape = (1 if recompute else layers, heads, n, n)
    return math.prod(shape) * torch.finfo(torch.float32).bits // 8


def bytes_by_meta(n, layers, heads, recompute=False):
    one = torch.empty(heads, n, n, device="meta")
    total = one.numel() * one.element_size()
    return total if recompute else total * layers


NO_TENSORS = frozenset({"gradients", "large", "strided", "float32", "device"})

EXERCISES = [
    Exercise(
        id="sparse.map_bytes",
        solution=map_bytes,
        probes={"map_bytes": ""},
        trials=bytes_trials,
        slips=(
            *family(
                bytes_recipe,
                sizing=(tokens_once, half_the_map, root),
                weighing=(numbers_not_bytes, two_bytes, bits_not_bytes, eight_bytes),
                keeping=(
                    recompute_ignored,
                    recompute_inverted,
                    one_layer,
                    nothing_kept,
                    root_of_layers,
                ),
                heading=(one_head,),
            ),
            one_head_made_anew,
            in_mebibytes,
            with_decimals,
        ),
        hints=(
            "How many numbers has the map of one head of one layer?",
            "n² numbers of 4 bytes, for each head of each layer that is kept: all, or one.",
            "kept = 1 if recompute else layers\nkept * heads * n² * 4",
        ),
        minutes=4,
        difficulty=1,
        otherwise=(bytes_by_shape, bytes_by_meta),
        skip=NO_TENSORS,
    ),
    Exercise(
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
    ),
    Exercise(
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
    ),
    Exercise(
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
    ),
    Exercise(
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
    ),
    Exercise(
        id="sparse.reachable",
        solution=reachable,
        probes={"reachable": "i j"},
        trials=hop_trials,
        slips=(
            layers_exchanged,
            one_hop,
            in_both,
            exactly_one_way,
            several_ways,
            in_ways(ways_counted, reachable_as_numbers),
            upper_turned,
            both_turned,
            made_causal,
            through_all,
            odd_ways,
            most_of_the_ways,
            in_either_order,
            or_lower_hop,
            ways_modulo_256,
            turned_over,
            share_a_key,
            or_one_hop,
            or_upper_hop,
            or_itself,
            lower_twice,
            upper_twice,
            any_hops,
            either_twice,
            unreached,
        ),
        hints=(
            "In the upper layer token 9 reads token 6; in the lower one token 6 has read token"
            " 2. What does 9 hear of?",
            "Sum over the token a between: then[i, a] times first[a, j] counts the ways."
            " Booleans cannot be multiplied as matrices: make them numbers first.",
            'ways = einsum of then, "i a", and first, "a j", as floats\nways > 0',
        ),
        minutes=6,
        difficulty=2,
        otherwise=(reachable_loops, reachable_broadcast, reachable_by_products),
        laws=("queries_see_their_keys",),
        skip=NO_TENSORS - {"device"},
    ),
    Exercise(
        id="sparse.factorised_attention",
        solution=factorised_attention,
        probes={"factorised_attention": "b head i e"},
        trials=head_trials,
        slips=family(
            heads_recipe,
            paired=(
                merged_after_the_softmax,
                intersection,
                layers_from_one,
                layer_ignored,
                halves_exchanged,
                every_other_head,
                empty_rows_are_nan,
                not_scaled,
            ),
            merging=(
                merged_after_the_softmax,
                two_attentions_added,
                one_after_the_other,
                intersection,
                in_one_only,
                two_hops_at_once,
                counted_twice,
                merged_by_halves,
                first_alone,
                second_alone,
            ),
            interleaving=(
                layers_from_one,
                layer_ignored,
                layer_zero_alone,
                heads_interleaved,
                interleaved_is_merged,
                always_the_second,
                pairs_of_layers,
            ),
            splitting=(
                halves_exchanged,
                every_other_head,
                first_head_alone,
                split_is_merged,
                split_by_examples,
                split_at_axis_1,
                split_takes_the_first,
                split_over_features,
                halves_of_features,
            ),
            looking=(
                empty_rows_are_nan,
                empty_rows_read_everything,
                masked_after_the_softmax,
                mask_inverted,
                not_scaled,
                scaled_by_d,
                scaled_by_values,
                scaled_by_length,
            ),
        ),
        hints=(
            "A query sees keys 5, 6, 7 by the first mask and 1, 4, 7 by the second. Over how"
            " many keys does the softmax of a merged head run?",
            "All three ways are the same attention with another mask: first | second for all;"
            " one of them, by layer % 2; or a mask with an axis of heads.",
            "merged: mask = first | second\n"
            "interleaved: mask = (first, second)[layer % 2]\n"
            'split: repeat [first, second] as "part i j -> (part half) i j"\n'
            "scaled_dot_product_attention(q, k, v, mask)",
        ),
        minutes=10,
        difficulty=3,
        otherwise=(heads_loops, heads_by_torch),
        refuses=odd_heads,
        laws=("examples_do_not_mix", "queries_read_their_keys"),
    ),
    Exercise(
        id="sparse.with_previous",
        solution=with_previous,
        probes={"with_previous": "b block key d"},
        trials=previous_trials,
        slips=(
            wraps_around,
            next_block,
            own_block_first,
            next_block_behind,
            mixed_token_by_token,
            own_block_twice,
            first_block_repeated,
            shifted_by_one_token,
            shifted_inside_the_block,
            previous_alone,
            features_side_by_side,
            two_blocks_back,
            blocks_behind,
            wraps_to_the_left,
            features_shifted,
            examples_shifted,
            axis_1_shifted,
            joined_at_axis_2,
            ones_in_front,
            first_block_dropped,
            not_cut_off,
            an_axis_of_two,
        ),
        hints=(
            "Blocks [1 2 3] [4 5 6] [7 8 9]: what stands in front of 4 5 6, and what in front"
            " of 1 2 3?",
            "Shift all blocks by one, zeros first. Then put shifted and own one behind the"
            ' other: "two ... block place d -> ... block (two place) d".',
            "previous = F.pad(x, (0, 0, 0, 0, 1, -1))   # pairs from the last axis on\n"
            "rearrange of [previous, x] to ... block (two place) d",
        ),
        minutes=7,
        difficulty=2,
        otherwise=(previous_loops, previous_by_windows),
        laws=("examples_do_not_mix",),
    ),
    Exercise(
        id="sparse.local_attention",
        solution=local_attention,
        probes={"local_attention": "b n e"},
        trials=local_trials,
        slips=(
            *family(
                local_recipe,
                paired=(
                    papers_window,
                    zeros_are_seen,
                    keys_wrap_around,
                    whole_block_before,
                    not_scaled,
                    padding_kept,
                ),
                gathering=(keys_wrap_around, keys_of_the_next_block),
                allowing=(
                    papers_window,
                    own_block_alone,
                    whole_block_before,
                    zeros_are_seen,
                    later_keys_seen,
                    query_left_out,
                    positions_not_shifted,
                    first_block_blind,
                    half_the_window,
                    one_key_less,
                ),
                looking=(
                    not_scaled,
                    scaled_by_d,
                    scaled_by_values,
                    masked_after_the_softmax,
                    mask_inverted,
                    scaled_by_window,
                    over_queries,
                ),
                ending=(padding_kept, order_lost),
            ),
            own_keys_first,
            filled_up_in_front,
            last_tokens_dropped,
            every_so_many_keys,
        ),
        hints=(
            "The first query of a block of 4 has a window of 4. In how many blocks do its keys"
            " lie? And those of the last query?",
            "Blocks of `window` queries against 2 window keys. Inside, query p stands where key"
            " p + window stands. Three conditions: not later, not too long ago, no zeros in"
            " front of the first block.",
            "q = in_blocks(q, window); k, v with the block before\n"
            "i = window … 2 window - 1; j = 0 … 2 window - 1\n"
            "mask: j <= i, i - j < window, and j >= window in block 0\n"
            "attention with it; (block place) back to n; the first n tokens",
        ),
        minutes=20,
        difficulty=4,
        otherwise=(local_one_by_one, local_by_windows),
        laws=("examples_do_not_mix", "queries_read_their_keys"),
        cost=Cost(largest_tensor=2.5),
    ),
    Exercise(
        id="sparse.strided_attention",
        solution=strided_attention,
        probes={"strided_attention": "b n e"},
        trials=strided_trials,
        slips=(
            *family(
                strided_recipe,
                paired=(
                    as_many_columns,
                    later_blocks_seen,
                    filled_in_front,
                    not_scaled,
                    columns_padding_kept,
                ),
                filling=(filled_in_front,),
                laying=(as_many_columns,),
                allowing=(
                    later_blocks_seen,
                    column_without_itself,
                    later_blocks_alone,
                    itself_alone,
                    one_block_ahead,
                ),
                looking=(not_scaled, scaled_by_d, scaled_by_values, masked_after_the_softmax),
                ending=(columns_one_after_another, columns_padding_kept, last_kept),
            ),
            whole_blocks,
            first_column_for_all,
            zeros_in_front,
            last_keys_instead,
            both_patterns,
            summaries_for_all,
            tokens_left_over,
            queries_as_keys,
        ),
        hints=(
            "Write tokens 0 to 11 in rows of 4. Where do the keys of token 9 stand?",
            "In a column. Every column is a short sequence, and its tokens see the earlier ones"
            " of their own column: causal attention, place by place.",
            'in_blocks(x, stride), then "... block place d -> ... place block d"\n'
            "attention with a causal mask of blocks x blocks\n"
            '"... place block e -> ... (block place) e", the first n tokens',
        ),
        minutes=12,
        difficulty=3,
        otherwise=(strided_by_slices, strided_one_by_one),
        laws=("examples_do_not_mix", "queries_read_their_keys"),
        cost=Cost(largest_tensor=2.5),
    ),
]
