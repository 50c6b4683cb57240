"""The record of `positional.relative_logits`."""

import math

import torch
from einops import einsum
from torch.nn import functional as F

from attncourse.exercises.families import remade
from attncourse.exercises.positional.shared import SKEWS
from attncourse.exercises.record import Cost, Exercise, Slip, Trial, slip
from solutions.positional import (
    relative_logits,
    skew,
)


def logits_trials():
    return (
        Trial("on two examples", dict(b=2, i=13, d=32), dict(q="b i d", table="i d")),
        Trial(
            "with an axis of heads",
            dict(b=2, head=3, i=4, d=5),
            dict(q="b head i d", table="i d"),
        ),
    )


def skewed_by(wrong):
    """`relative_logits` with a slip of `skew` inside."""
    one = wrong if isinstance(wrong, Slip) else slip(wrong)
    return remade(one, answer=lambda q, table: one.answer(q @ table.mT))


def largest_tensor(q, table):
    """Right, but a vector for every pair is gathered first."""
    i = torch.arange(len(table))
    rows = (i[None] - i[:, None] + len(table) - 1).clamp(max=len(table) - 1)
    return einsum(q, table[rows], "... i d, i j d -> ... i j").tril()


def divided_already(q, table):
    """You divide by sqrt(d) already. That comes when the content is added: plain products."""
    return skew(q @ table.mT) / math.sqrt(q.shape[-1])


def softmax_of_logits(q, table):
    """You apply a softmax. That comes when the content is added: plain products."""
    return skew(q @ table.mT).softmax(-1)


def other_distances_above(q, table):
    """Above the diagonal you repeat the distance 0. Later keys get 0 here: `tril`."""
    i = torch.arange(len(table))
    rows = (i[None] - i[:, None] + len(table) - 1).clamp(max=len(table) - 1)
    product = q @ table.mT
    return product.gather(-1, rows.expand(product.shape))


def keys_for_queries(q, table):
    """You multiply the table with q the other way round: rows are distances, r i. The queries
    go down: i r."""
    return skew(table @ q.mT)


def own_row_alone(q, table):
    """You multiply query i with row i of the table. Every query meets every row; skewing sorts
    them."""
    n = len(table)
    product = (q * table).sum(-1, keepdim=True)
    return product.expand(*product.shape[:-1], n).tril()


def feature_sums(q, table):
    """You sum the features of q and of the table apart: the letter d must be the same on both
    sides of the comma."""
    return skew(q.sum(-1, keepdim=True) * table.sum(-1))


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
    trials=logits_trials,
    slips=(
        *map(skewed_by, SKEWS),
        largest_tensor,
        softmax_of_logits,
        other_distances_above,
        keys_for_queries,
        divided_already,
        own_row_alone,
        feature_sums,
    ),
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
