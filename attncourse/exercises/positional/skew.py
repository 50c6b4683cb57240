"""Skewing: from one column a distance to one column a key, without gathering."""

import torch
from torch.nn import functional as F

from attncourse.exercises.positional.shared import SKEWS
from attncourse.exercises.record import Exercise, Trial
from solutions.positional import skew


def trials():
    return (
        Trial("on two examples", dict(b=2, i=5), dict(x="b i i")),
        Trial("with an axis of heads", dict(b=2, head=3, i=4), dict(x="b head i i")),
        Trial("on one token", dict(b=3, i=1), dict(x="b i i")),
    )


def other_tables():
    return (Trial("4 queries and 6 distances", dict(b=2), dict(x="b 4 6"), says=(4, 6)),)


def refuse_oblong(x):
    if x.shape[-1] != x.shape[-2]:
        raise ValueError(f"{x.shape[-2]} x {x.shape[-1]} is not square")


def skew_by_gather(x):
    refuse_oblong(x)
    n = x.shape[-1]
    i = torch.arange(n, device=x.device)
    r = (i[None, :] - i[:, None] + n - 1).clamp(max=n - 1)
    return x.gather(-1, r.expand(x.shape)).tril()


def skew_by_rolls(x):
    refuse_oblong(x)
    n = x.shape[-1]
    return torch.stack([x[..., i, :].roll(i + 1 - n, -1) for i in range(n)], dim=-2).tril()


def skew_by_rows(x):
    refuse_oblong(x)
    n = x.shape[-1]
    rows = [F.pad(x[..., i, n - 1 - i :], (0, n - 1 - i)) for i in range(n)]
    return torch.stack(rows, dim=-2)


EXERCISE = Exercise(
    id="positional.skew",
    solution=skew,
    probes={"skew": "b i j"},
    trials=trials,
    slips=SKEWS,
    hints=(
        (
            "Write the distances of a 3 x 3 table into its cells, row by row: -2 -1 0 in"
            " each. By how many cells must each row move for column 0 to hold key 0?"
        ),
        (
            "Row i moves left by n - 1 - i: each row one less than the one above. Put a"
            " column of zeros on the left, read the numbers row by row into n columns"
            " again, and drop the first row. What is above the diagonal becomes 0: `tril`."
        ),
        (
            "padded = F.pad(x, (1, 0))                        i (1 + r)\n"
            "one long row, cut anew into rows of n            (1 + r) i\n"
            "without the first row, lower triangle"
        ),
    ),
    minutes=12,
    difficulty=3,
    otherwise=(skew_by_gather, skew_by_rolls, skew_by_rows),
    refuses=other_tables,
    laws=("examples_do_not_mix", "nothing_above_the_diagonal", "cells_hold_their_distance"),
)
