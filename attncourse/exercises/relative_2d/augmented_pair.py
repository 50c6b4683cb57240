"""The record of `relative_2d.augmented_pair`."""

import math
from dataclasses import replace

import torch
from einops import rearrange
from torch.nn import functional as F

from attncourse.exercises.families import family
from attncourse.exercises.record import Exercise, Slip, Trial, slip
from attncourse.exercises.relative_2d.shared import ones
from solutions.relative_2d import (
    augmented_pair,
    axis_logits,
)


def pair_trials():
    def trial(name, **sizes):
        h, w = sizes["h"], sizes["w"]
        inputs = dict(q="b head h w d", k="b head h w d", rows="r d", columns="s d")
        sizes |= dict(r=2 * h - 1, s=2 * w - 1, i=h * w, j=h * w, m=sizes["d"] + h + w)
        return Trial(name, sizes, inputs)

    return (
        trial("on a map of 4 x 6 pixels", b=2, head=3, h=4, w=6, d=8),
        trial("on a map of 5 x 2 pixels", b=4, head=1, h=5, w=2, d=6),
    )


def said(q, rows, columns):
    return axis_logits(q, rows, columns)


def joined(x, *parts):
    front = x.shape[:-3]
    return torch.cat([x, *(p.expand(*front, *p.shape[-3:]) for p in parts)], -1).flatten(-3, -2)


def augmenting(saying=said, marking=ones, joining_q=joined, joining_k=joined):
    """`augmented_pair` with some of its steps replaced."""

    def answer(q, k, rows, columns):
        h, w = q.shape[-3:-1]
        return joining_q(q, *saying(q, rows, columns)), joining_k(k, *marking(h, w, k))

    return answer


def said_scaled(q, rows, columns):
    """You divide what the query says by sqrt(d). q comes divided: append plain products."""
    return tuple(x / math.sqrt(q.shape[-1]) for x in axis_logits(q, rows, columns))


def said_turned(q, rows, columns):
    """Your tables are read from the other end: i - j. An offset is key minus query."""
    return axis_logits(q, rows.flip(0), columns.flip(0))


def said_absolute(q, rows, columns):
    """You cut the products with the tables to h and w columns: the most negative offsets, the
    same for all queries. `axis_logits` sorts them."""
    h, w = q.shape[-3:-1]
    return (q @ rows.mT)[..., :h], (q @ columns.mT)[..., :w]


def marks_column_by_column(h, w, like):
    """Your ones number the pixels column by column: pixel 1 would be in row 1. Reading row by
    row, the row stays the same for w pixels: "h y -> (h w) y"."""
    row = torch.eye(h).to(like).repeat(w, 1).reshape(h, w, h)
    column = torch.eye(w).to(like).repeat_interleave(h, 0).reshape(h, w, w)
    return row, column


def marks_of_rows_repeated(h, w, like):
    """Your ones for the rows change from pixel to pixel. Reading row by row, the row stays the
    same for w pixels: "h y -> (h w) y", or repeat_interleave(w)."""
    _, column = ones(h, w, like)
    return torch.eye(h).to(like).repeat(w, 1).reshape(h, w, h), column


def marks_of_columns_repeated(h, w, like):
    """Your ones for the columns stay for several pixels. Reading row by row, the column changes
    with every pixel: "w x -> (h w) x", or repeat(h, 1)."""
    row, _ = ones(h, w, like)
    return row, torch.eye(w).to(like).repeat_interleave(h, 0).reshape(h, w, w)


def marks_turned(h, w, like):
    """Your ones count rows and columns from the far end. Row 0 has its 1 first."""
    row, column = ones(h, w, like)
    return row.flip(-1), column.flip(-1)


def marks_all_ones(h, w, like):
    """Your marks are 1 everywhere: every key gets the sum over all rows and columns. A key has
    one 1 for its own row and one for its own column."""
    row, column = ones(h, w, like)
    return torch.ones_like(row), torch.ones_like(column)


def marks_missing(h, w, like):
    """Your marks are 0: what the query appends meets nothing. A key has a 1 for its own row and
    one for its own column."""
    row, column = ones(h, w, like)
    return 0 * row, 0 * column


def marks_of_rows_alone(h, w, like):
    """The keys have no 1 for their column: only rows are told apart."""
    row, column = ones(h, w, like)
    return row, 0 * column


def columns_before_rows_in_k(x, row, column):
    """In k the columns come before the rows, in q the rows before the columns: the wrong ones
    meet. The same order in both."""
    return joined(x, column, row)


def columns_before_rows_in_q(x, row, column):
    """In q the columns come before the rows, in k the rows before the columns: the wrong ones
    meet. Rows first in both."""
    return joined(x, column, row)


def key_not_flattened_alike(x, row, column):
    """You flatten the keys column by column. Pixels are read row by row: (h w)."""
    front = x.shape[:-3]
    both = torch.cat([x, *(p.expand(*front, *p.shape[-3:]) for p in (row, column))], -1)
    return both.transpose(-3, -2).flatten(-3, -2)


def content_left_out_of_k(x, row, column):
    """The content of the keys is missing: k itself comes first, then the ones."""
    return joined(0 * x, row, column)


def content_left_out_of_q(x, row, column):
    """The content of the queries is missing: q itself comes first, then what it says to rows
    and columns."""
    return joined(0 * x, row, column)


def content_scaled(x, row, column):
    """You divide q by sqrt(d) here. The queries come divided: q is taken as it is."""
    return joined(x / math.sqrt(x.shape[-1]), row, column)


def keys_scaled(x, row, column):
    """You divide k by sqrt(d) here. The queries come divided: k is taken as it is."""
    return content_scaled(x, row, column)


def query_not_flattened_alike(x, row, column):
    """You flatten the queries column by column. Pixels are read row by row: (h w)."""
    return key_not_flattened_alike(x, row, column)


def content_last_in_k(x, row, column):
    """In k the content comes last, in q first: the wrong features meet. The same order in
    both."""
    parts = [p.expand(*x.shape[:-3], *p.shape[-3:]) for p in (row, column)]
    return torch.cat([*parts, x], -1).flatten(-3, -2)


def content_last_in_q(x, row, column):
    """In q the content comes last, in k first: the wrong features meet. The same order in
    both."""
    return content_last_in_k(x, row, column)


def pair_column_by_column(q, k, rows, columns):
    """You flatten both maps column by column, (w h). Pixels are read row by row: (h w)."""
    h, w = q.shape[-3:-1]
    pair = augmented_pair(q, k, rows, columns)
    return tuple(rearrange(x, "... (h w) m -> ... (w h) m", h=h, w=w) for x in pair)


def ones_for_the_query(q, k, rows, columns):
    """You append the ones to the queries, and what a query says to the keys. A key cannot know
    who asks: the query brings the products, the key its ones."""
    h, w = q.shape[-3:-1]
    return joined(q, *ones(h, w, q)), joined(k, *axis_logits(q, rows, columns))


def roles_exchanged(q, k, rows, columns):
    """You append the products to the keys and the ones to the queries: then k asks for the
    places. It is q."""
    longer_k, longer_q = augmented_pair(k, q, rows, columns)
    return longer_q, longer_k


def keys_returned_first(q, k, rows, columns):
    """You return the keys first. First the longer queries, then the longer keys."""
    return augmented_pair(q, k, rows, columns)[::-1]


def everything_scaled(q, k, rows, columns):
    """You divide by sqrt(d) here. The queries come divided: append plain products."""
    longer_q, longer_k = augmented_pair(q, k, rows, columns)
    return longer_q / math.sqrt(q.shape[-1]), longer_k


def products_of_k(q, k, rows, columns):
    """You append to q what k says to rows and columns. It is what q says: `axis_logits(q,
    …)`."""
    h, w = q.shape[-3:-1]
    return joined(q, *axis_logits(k, rows, columns)), joined(k, *ones(h, w, k))


def marks_in_front(q, k, rows, columns):
    """Passed in another order of features: the ones and what meets them come first, the content
    last. A product does not care."""
    h, w = q.shape[-3:-1]
    longer = []
    for x, parts in ((q, axis_logits(q, rows, columns)), (k, ones(h, w, k))):
        parts = [p.expand(*x.shape[:-3], *p.shape[-3:]) for p in parts]
        longer.append(torch.cat([*parts, x], -1).flatten(-3, -2))
    return tuple(longer)


def in_the_order(name, says, *order):
    """A variant: content, rows and columns (0, 1, 2) one behind the other in this order."""

    def answer(q, k, rows, columns):
        h, w = q.shape[-3:-1]
        longer = []
        for x, parts in ((q, axis_logits(q, rows, columns)), (k, ones(h, w, k))):
            parts = [x, *(p.expand(*x.shape[:-3], *p.shape[-3:]) for p in parts)]
            longer.append(torch.cat([parts[p] for p in order], -1).flatten(-3, -2))
        return tuple(longer)

    text = f"Passed in another order of features: {says}. A product does not care."
    return Slip(name, text, (lambda: answer,), variant=True)


ORDERS = (
    in_the_order("columns_then_rows", "content, columns, rows", 0, 2, 1),
    in_the_order("rows_content_columns", "rows, content, columns", 1, 0, 2),
    in_the_order("columns_content_rows", "columns, content, rows", 2, 0, 1),
    in_the_order("columns_rows_content", "columns, rows, content", 2, 1, 0),
)


def pair_by_one_hot(q, k, rows, columns):
    h, w = q.shape[-3:-1]
    n = torch.arange(h * w, device=q.device)
    marks = torch.cat([F.one_hot(n // w, h), F.one_hot(n % w, w)], -1).to(k)
    down, across = axis_logits(q, rows, columns)
    longer_q = torch.cat([q, down, across], -1).flatten(-3, -2)
    flat = k.flatten(-3, -2)
    return longer_q, torch.cat([flat, marks.expand(*flat.shape[:-1], h + w)], -1)


def pair_filled(q, k, rows, columns):
    h, w, d = q.shape[-3:]
    longer_q, longer_k = (x.new_zeros(*x.shape[:-1], d + h + w) for x in (q, k))
    longer_q[..., :d], longer_k[..., :d] = q, k
    for a in range(h):
        longer_q[..., a, :, d : d + h] = q[..., a, :, :] @ rows[h - 1 - a : 2 * h - 1 - a].T
        longer_k[..., a, :, d + a] = 1
    for b in range(w):
        cut = columns[w - 1 - b : 2 * w - 1 - b].T
        longer_q[..., b, d + h :] = q[..., b, :] @ cut
        longer_k[..., b, d + h + b] = 1
    return longer_q.flatten(-3, -2), longer_k.flatten(-3, -2)


EXERCISE = Exercise(
    id="relative_2d.augmented_pair",
    solution=augmented_pair,
    probes={"augmented_pair": ("b head i m", "b head j m")},
    trials=pair_trials,
    slips=(
        *family(
            augmenting,
            paired=(said_scaled, said_turned, marks_column_by_column),
            saying=(said_scaled, said_turned, said_absolute),
            marking=(
                marks_column_by_column,
                marks_of_rows_repeated,
                marks_of_columns_repeated,
                marks_turned,
                marks_all_ones,
                marks_missing,
                marks_of_rows_alone,
            ),
            joining_q=(
                columns_before_rows_in_q,
                content_left_out_of_q,
                content_scaled,
                content_last_in_q,
                query_not_flattened_alike,
            ),
            joining_k=(
                columns_before_rows_in_k,
                key_not_flattened_alike,
                content_left_out_of_k,
                content_last_in_k,
                keys_scaled,
            ),
        ),
        pair_column_by_column,
        ones_for_the_query,
        roles_exchanged,
        keys_returned_first,
        everything_scaled,
        products_of_k,
        replace(slip(marks_in_front), variant=True),
        *ORDERS,
    ),
    hints=(
        (
            "(q_i, a, b) · (k_j, 0, 1, 0, …) = q_i · k_j + one entry of a. Which entry do"
            " you want for a key in row y?"
        ),
        (
            "Entry y of what the query says to the rows. So q gets `axis_logits` appended,"
            " h + w numbers, and k a row of the unit matrix of size h for its row, and one"
            " of size w for its column, the same in each example and head."
        ),
        (
            "down, across = axis_logits(q, rows, columns)\n"
            'torch.eye(h) as "h y -> h w y", torch.eye(w) as "w x -> h w x", expanded\n'
            "cat q, down, across; cat k, row, column; both read as … (h w) m"
        ),
    ),
    minutes=12,
    difficulty=3,
    otherwise=(pair_by_one_hot, pair_filled),
    laws=("examples_do_not_mix",),
)
