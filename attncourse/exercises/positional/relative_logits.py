"""Logits of relative positions, with no vector for every pair (Music Transformer, sec. 3.4)."""

import torch
from torch.nn import functional as F

from attncourse.exercises.edits import by_hand, wrong
from attncourse.exercises.positional.shared import SKEWS
from attncourse.exercises.record import Cost, Exercise, Trial
from solutions.positional import relative_logits


def trials():
    return (
        Trial("on two examples", dict(b=2, i=13, d=32), dict(q="b i d", table="i d")),
        Trial(
            "with an axis of heads",
            dict(b=2, head=3, i=4, d=5),
            dict(q="b head i d", table="i d"),
        ),
    )


# fmt: off
LOGITS = (
    by_hand('return skew(einsum(q, table, "... i d, r d -> ... i r"))',
            'x = einsum(q, table, "... i d, r d -> ... i r")\n'
            "n = x.shape[-1]\n"
            'padded = rearrange(F.pad(x, (1, 0)), "... i r -> ... (i r)")\n'
            'return rearrange(padded, "... (r i) -> ... r i", i=n)[..., 1:, :].tril()'),
    wrong("largest_tensor", 'return skew(einsum(q, table, "... i d, r d -> ... i r"))',
          "n = len(table)\n"
          "rows = relative_index(n, n, n - 1).clamp(max=n - 1)\n"
          'return einsum(q, table[rows], "... i d, i j d -> ... i j").tril()',
          "Right, but a vector for every pair is gathered first."),
    wrong("softmax_of_logits", '-> ... i r"))', '-> ... i r")).softmax(-1)',
          "You apply a softmax. That comes when the content is added: plain products."),
    wrong("divided_already", '-> ... i r"))', '-> ... i r")) / math.sqrt(q.shape[-1])',
          "You divide by sqrt(d) already. That comes when the content is added: plain products."),
    wrong("keys_for_queries", '-> ... i r"))', '-> ... r i"))',
          "You multiply the table with q the other way round: rows are distances, r i. The queries"
          " go down: i r."),
    wrong("own_row_alone", 'skew(einsum(q, table, "... i d, r d -> ... i r"))',
          "(q * table).sum(-1, keepdim=True).expand(*q.shape[:-1], len(table)).tril()",
          "You multiply query i with row i of the table. Every query meets every row; skewing sorts"
          " them."),
    wrong("feature_sums", "r d -> ... i r", "r f -> ... i r",
          "You sum the features of q and of the table apart: the letter d must be the same on both"
          " sides of the comma."),
)
# fmt: on


def logits_by_gather(q, table):
    product, i = q @ table.mT, torch.arange(len(table), device=q.device)
    rows = (i[None] - i[:, None] + len(table) - 1).clamp(max=len(table) - 1)
    return torch.take_along_dim(product, rows.expand(product.shape), -1).tril()


def logits_by_rows(q, table):
    n = len(table)
    rows = [F.pad(q[..., i, :] @ table[n - 1 - i :].mT, (0, n - 1 - i)) for i in range(n)]
    return torch.stack(rows, dim=-2)


EXERCISE = Exercise(
    id="positional.relative_logits",
    solution=relative_logits,
    probes={"relative_logits": "b i j"},
    trials=trials,
    slips=(*SKEWS, *LOGITS),
    hints=(
        "How many numbers are there in table[rows], i j d? How many in q times the table?",
        (
            "Multiply first, sort afterwards: every query with every row of the table is"
            " i r. Then column r is a distance, and `skew` makes it a key."
        ),
        "skew(einsum of q (… i d) and table (r d), summed over d)",
    ),
    minutes=4,
    difficulty=2,
    otherwise=(logits_by_gather, logits_by_rows),
    laws=(
        "examples_do_not_mix",
        "nothing_above_the_diagonal",
        "one_step_more_or_less",
        "a_constant_factor",
        "cells_hold_their_distance",
    ),
    cost=Cost(largest_tensor=2),
)
