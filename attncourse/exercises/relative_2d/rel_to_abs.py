"""The record of `relative_2d.rel_to_abs`."""

import torch
from torch.nn import functional as F

from attncourse.exercises.record import Exercise, Trial
from attncourse.exercises.relative_2d.shared import SKEWS, width
from solutions.relative_2d import (
    offsets,
    rel_to_abs,
)


def skew_trials():
    def trial(name, front="b", **sizes):
        r = 2 * sizes["i"] - 1
        return Trial(name, sizes | dict(r=r, j=sizes["i"]), dict(x=f"{front} i r"))

    return (
        trial("for 4 queries and 7 offsets", b=2, i=4),
        trial("with an axis of heads, 5 queries", "b head", b=2, head=3, i=5),
        trial("for one query", b=3, i=1),
    )


def skew_by_gather(x):
    n = width(x)
    return x.gather(-1, offsets(n, x.device).expand(*x.shape[:-1], n))


def skew_by_rows(x):
    n = width(x)
    return torch.stack([x[..., i, n - 1 - i : 2 * n - 1 - i] for i in range(n)], dim=-2)


def skew_as_in_the_paper(x):
    n = x.shape[-2]
    flat = F.pad(F.pad(x, (0, 1)).reshape(*x.shape[:-2], -1), (0, n - 1))
    return flat.reshape(*x.shape[:-2], n + 1, 2 * n - 1)[..., :n, n - 1 :]


EXERCISE = Exercise(
    id="relative_2d.rel_to_abs",
    solution=rel_to_abs,
    probes={"rel_to_abs": "b i j"},
    trials=skew_trials,
    slips=SKEWS,
    hints=(
        (
            "Write the offsets of three queries into their cells: -2 -1 0 1 2 in each row."
            " Which three belong to row 0, which to row 1, which to row 2?"
        ),
        (
            "Row i begins at column n - 1 - i: one further left in each row. Read the table"
            " as one long line. With one number more in each row, a step of 2n instead of"
            " 2n - 1, cutting the line every 2n - 1 numbers moves each row by one."
        ),
        (
            "F.pad(x, (0, 1)), read as one line\n"
            "from number n - 1 on, without the last one, cut into n rows\n"
            "the first n columns of that"
        ),
    ),
    minutes=12,
    difficulty=3,
    otherwise=(skew_by_gather, skew_by_rows, skew_as_in_the_paper),
    laws=("examples_do_not_mix",),
)
