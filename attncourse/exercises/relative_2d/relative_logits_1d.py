"""The record of `relative_2d.relative_logits_1d`."""

import math

import torch
from einops import einsum

from attncourse.exercises.families import remade
from attncourse.exercises.record import Cost, Exercise, Slip, Trial, slip
from attncourse.exercises.relative_2d.shared import SKEWS
from solutions.relative_2d import (
    offsets,
    rel_to_abs,
    relative_logits_1d,
)


def line_trials():
    def trial(name, front="b", **sizes):
        sizes |= dict(r=2 * sizes["i"] - 1, j=sizes["i"])
        return Trial(name, sizes, dict(q=f"{front} i d", table="r d"))

    return (
        trial("for 13 queries", b=2, i=13, d=32),
        trial("on the rows of a map", "b head h", b=2, head=4, h=3, i=5, d=6),
    )


def skewed_by(wrong):
    """`relative_logits_1d` with a slip of `rel_to_abs` inside."""
    one = wrong if isinstance(wrong, Slip) else slip(wrong)
    return remade(one, answer=lambda q, table: one.answer(q @ table.mT))


def largest_tensor(q, table):
    """Right, but a vector for every pair is gathered first."""
    rows = table[offsets(q.shape[-2])]
    return einsum(q, rows, "... i d, i j d -> ... i j")


def line_divided(q, table):
    """You divide by sqrt(d) here. The queries come divided: these are plain products."""
    return relative_logits_1d(q, table) / math.sqrt(q.shape[-1])


def feature_sums(q, table):
    """You sum the features of q and of the table apart: the letter d must be the same on both
    sides of the comma."""
    return rel_to_abs(q.sum(-1, keepdim=True) * table.sum(-1))


def own_row(q, table):
    """You multiply query i with one row of the table, the i-th. Every query meets every row;
    the skew sorts them."""
    n = q.shape[-2]
    return (q * table[:n]).sum(-1, keepdim=True).expand(*q.shape[:-1], n).contiguous()


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
    slips=(*map(skewed_by, SKEWS), largest_tensor, line_divided, feature_sums, own_row),
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
)
