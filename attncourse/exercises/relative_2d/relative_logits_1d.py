"""The position scores on one axis: a product with the table, skewed by `rel_to_abs`."""

import torch

from attncourse.exercises.edits import wrong
from attncourse.exercises.record import Cost, Exercise, Trial
from attncourse.exercises.relative_2d import rel_to_abs
from attncourse.exercises.relative_2d.shared import slipped
from solutions.relative_2d import offsets, relative_logits_1d


def line_trials():
    def trial(name, front="b", **sizes):
        sizes |= dict(r=2 * sizes["i"] - 1, j=sizes["i"])
        return Trial(name, sizes, dict(q=f"{front} i d", table="r d"))

    return (
        trial("for 13 queries", b=2, i=13, d=32),
        trial("on the rows of a map", "b head h", b=2, head=4, h=3, i=5, d=7),
    )


def skew(name):
    """`rel_to_abs` with a slip in it."""
    return slipped(rel_to_abs.EXERCISE, name)


# fmt: off
SKEWS = tuple(
    wrong(one.name, "rel_to_abs(", f"skew({one.name!r})(", one.message)
    for one in rel_to_abs.EXERCISE.slips
)

PRODUCTS = (
    wrong("line_divided", "d -> ... i r\"))", "d -> ... i r\")) / math.sqrt(q.shape[-1])",
          "You divide by sqrt(d) here. The queries come divided: these are plain products."),
    wrong("feature_sums", 'einsum(q, table, "... i d, r d -> ... i r")',
          "q.sum(-1, keepdim=True) * table.sum(-1)",
          "You sum the features of q and of the table apart: the letter d must be the same on both"
          " sides of the comma."),
    wrong("own_row", 'rel_to_abs(einsum(q, table, "... i d, r d -> ... i r"))',
          'repeat((q * table[: q.shape[-2]]).sum(-1), "... i -> ... i j", j=q.shape[-2])',
          "You multiply query i with one row of the table, the i-th. Every query meets every row;"
          " the skew sorts them."),
)
# fmt: on


def line_by_gather(q, table):
    n = q.shape[-2]
    return torch.take_along_dim(q @ table.mT, offsets(n, q.device).expand(*q.shape[:-1], n), -1)


def line_by_rows(q, table):
    n = q.shape[-2]
    rows = [
        torch.matmul(table[n - 1 - i : 2 * n - 1 - i], q[..., i, :, None])[..., 0]
        for i in range(n)
    ]
    return torch.stack(rows, dim=-2)


EXERCISE = Exercise(
    id="relative_2d.relative_logits_1d",
    solution=relative_logits_1d,
    probes={"relative_logits_1d": "b i j"},
    trials=line_trials,
    slips=(*SKEWS, *PRODUCTS),
    hints=(
        "How many numbers has table[offsets(n)], and how many q times the table?",
        "Multiply first, sort afterwards: i r is small, and `rel_to_abs` makes i j of it.",
        "rel_to_abs(einsum of q (… i d) and table (r d), summed over d)",
    ),
    minutes=4,
    difficulty=1,
    otherwise=(line_by_gather, line_by_rows),
    laws=("examples_do_not_mix",),
    cost=Cost(largest_tensor=2),
    tied=("i j",),
)
