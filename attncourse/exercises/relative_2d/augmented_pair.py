"""Longer queries and keys, whose plain products hold content and places together."""

import torch
from torch.nn import functional as F

from attncourse.exercises.edits import Wrong, often, published, wrong
from attncourse.exercises.record import Exercise, Trial
from solutions.relative_2d import augmented_pair, axis_logits


def pair_trials():
    def trial(name, **sizes):
        h, w = sizes["h"], sizes["w"]
        inputs = dict(q="b head h w d", k="b head h w d", rows="r d", columns="s d")
        sizes |= dict(r=2 * h - 1, s=2 * w - 1, i=h * w, j=h * w, m=sizes["d"] + h + w)
        return Trial(name, sizes, inputs)

    return (
        trial("on a map of 4 x 6 pixels", b=5, head=3, h=4, w=6, d=13),
        trial("on a map of 5 x 2 pixels", b=4, head=1, h=5, w=2, d=6),
    )


# fmt: off
QUERIES = (
    *often(
        wrong("said_scaled", "axis_logits(q,", "axis_logits(q / math.sqrt(q.shape[-1]),",
              "You divide what the query says by sqrt(d). q comes divided: append plain products."),
        wrong("said_turned", "rows, columns)]", "rows.flip(0), columns.flip(0))]",
              "Your tables are read from the other end: i - j. An offset is key minus query."),
    ),
    wrong("said_absolute", "*axis_logits(q, rows, columns)", "q @ rows[:h].mT, q @ columns[:w].mT",
          "You cut the products with the tables to h and w columns: the most negative offsets, the"
          " same for all queries. `axis_logits` sorts them."),
    wrong("products_of_k", "axis_logits(q,", "axis_logits(k,",
          "You append the position scores of k to q. They are those of q itself: `axis_logits(q,"
          " …)`."),
    wrong("columns_before_rows_in_q", "rows, columns)]", "rows, columns)[::-1]]",
          "In q the columns come before the rows, in k the rows before the columns: the wrong ones"
          " meet. Rows first in both."),
    wrong("content_left_out_of_q", "[q,", "[0 * q,",
          "The content of the queries is missing: q itself comes first, then its position"
          " scores of rows and columns."),
    wrong("content_scaled", "[q,", "[q / math.sqrt(q.shape[-1]),",
          "You divide q by sqrt(d) here. The queries come divided: q is taken as it is."),
    wrong("content_last_in_q", "[q, *axis_logits(q, rows, columns)]",
          "[*axis_logits(q, rows, columns), q]",
          "In q the content comes last, in k first: the wrong features meet. The same order in"
          " both."),
    wrong("everything_scaled", "q.shape[-3:-1]", "q.shape[-3:-1]\nq = q / math.sqrt(q.shape[-1])",
          "You divide by sqrt(d) here. The queries come divided: append plain products."),
)

KEYS = (
    *often(
        wrong("marks_column_by_column", '"h y -> h w y", w=w)',
              '"h y -> (w h) y", w=w).reshape(h, w, h)',
              "Your ones number the pixels column by column: pixel 1 would be in row 1. Reading row"
              ' by row, the row stays the same for w pixels: "h y -> (h w) y".',
              ('"w x -> h w x", h=h)', '"w x -> (w h) x", h=h).reshape(h, w, w)')),
    ),
    wrong("marks_of_rows_repeated", '"h y -> h w y", w=w)',
          '"h y -> (w h) y", w=w).reshape(h, w, h)',
          "Your ones for the rows change from pixel to pixel. Reading row by row, the row stays the"
          ' same for w pixels: "h y -> (h w) y", or repeat_interleave(w).'),
    wrong("marks_of_columns_repeated", '"w x -> h w x", h=h)',
          '"w x -> (w h) x", h=h).reshape(h, w, w)',
          "Your ones for the columns stay for several pixels. Reading row by row, the column"
          ' changes with every pixel: "w x -> (h w) x", or repeat(h, 1).'),
    wrong("marks_turned", "eye(h)", "eye(h).flip(-1)",
          "Your ones count rows and columns from the far end. Row 0 has its 1 first.",
          ("eye(w)", "eye(w).flip(-1)")),
    wrong("marks_all_ones", "torch.eye(h)", "torch.ones(h, h)",
          "Your marks are 1 everywhere: every key gets the sum over all rows and columns. A key has"
          " one 1 for its own row and one for its own column.",
          ("torch.eye(w)", "torch.ones(w, w)")),
    wrong("marks_missing", "torch.eye(h)", "torch.zeros(h, h)",
          "Your marks are 0: what the query appends meets nothing. A key has a 1 for its own row"
          " and one for its own column.",
          ("torch.eye(w)", "torch.zeros(w, w)")),
    wrong("marks_of_rows_alone", "torch.eye(w)", "torch.zeros(w, w)",
          "The keys have no 1 for their column: only rows are told apart."),
    wrong("columns_before_rows_in_k", "[k, row, column]", "[k, column, row]",
          "In k the columns come before the rows, in q the rows before the columns: the wrong ones"
          " meet. The same order in both."),
    wrong("content_left_out_of_k", "[k,", "[0 * k,",
          "The content of the keys is missing: k itself comes first, then the ones."),
    wrong("content_last_in_k", "[k, row, column]", "[row, column, k]",
          "In k the content comes last, in q first: the wrong features meet. The same order in"
          " both."),
    wrong("keys_scaled", "[k,", "[k / math.sqrt(q.shape[-1]),",
          "You divide k by sqrt(d) here. The queries come divided: k is taken as it is."),
)

PAIRS = (
    wrong("ones_for_the_query", "[q, *axis_logits(q, rows, columns)]", "[q, row, column]",
          "You append the ones to the queries, and the position scores to the keys. A key cannot know"
          " who asks: the query brings the products, the key its ones.",
          ("[k, row, column]", "[k, *axis_logits(q, rows, columns)]")),
    wrong("roles_exchanged", "[q, *axis_logits(q, rows, columns)]", "[q, row, column]",
          "You append the products to the keys and the ones to the queries: then k asks for the"
          " places. It is q.",
          ("[k, row, column]", "[k, *axis_logits(k, rows, columns)]")),
    wrong("keys_returned_first", "in longer)", "in longer[::-1])",
          "You return the keys first. First the longer queries, then the longer keys."),
    wrong("pair_column_by_column", "(h w) m", "(w h) m",
          "You flatten both maps column by column, (w h). Pixels are read row by row: (h w)."),
    wrong("query_not_flattened_alike", "-1), torch.cat", "-1).transpose(-3, -2), torch.cat",
          "You flatten the queries column by column. Pixels are read row by row: (h w)."),
    wrong("key_not_flattened_alike", "row, column], -1)", "row, column], -1).transpose(-3, -2)",
          "You flatten the keys column by column. Pixels are read row by row: (h w)."),
)
# fmt: on


def in_the_order(name: str, of_q: str, of_k: str, says: str) -> Wrong:
    """Another order of features, the same in both."""
    return published(
        name,
        "longer = torch.cat([q, *axis_logits(q, rows, columns)]",
        f"down, across = axis_logits(q, rows, columns)\nlonger = torch.cat([{of_q}]",
        f"Passed in another order of features: {says}. A product does not care.",
        ("[k, row, column]", f"[{of_k}]"),
    )


# fmt: off
FEATURES = (
    in_the_order("marks_in_front", "down, across, q", "row, column, k",
                 "the ones and what meets them come first, the content last"),
    in_the_order("columns_then_rows", "q, across, down", "k, column, row",
                 "content, columns, rows"),
    in_the_order("rows_content_columns", "down, q, across", "row, k, column",
                 "rows, content, columns"),
    in_the_order("columns_content_rows", "across, q, down", "column, k, row",
                 "columns, content, rows"),
    in_the_order("columns_rows_content", "across, down, q", "column, row, k",
                 "columns, rows, content"),
)
# fmt: on


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
    slips=(*QUERIES, *KEYS, *PAIRS, *FEATURES),
    hints=(
        (
            "(q_i, a, b) · (k_j, 0, 1, 0, …) = q_i · k_j + one entry of a. Which entry do"
            " you want for a key in row y?"
        ),
        (
            "Entry y of the position scores of the rows. So q gets `axis_logits` appended,"
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
    tied=("h w i j",),
)
