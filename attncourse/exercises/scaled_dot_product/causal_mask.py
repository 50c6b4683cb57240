"""The causal mask: True where a key is not later than the query."""

import torch

from attncourse.exercises.edits import wrong
from attncourse.exercises.record import Exercise, Trial
from solutions.scaled_dot_product import causal_mask


def causal_trials():
    return tuple(
        Trial(name, dict(i=i, j=j), dict(queries=i, keys=j))
        for name, i, j in (
            ("with fewer queries than keys", 3, 5),
            ("with more queries than keys", 7, 4),
            ("with one query", 1, 2),
        )
    )


# fmt: off
MASKS = (
    wrong("later_keys", ">= j", "<= j",
          "This mask lets a query see what comes later and hides the past. True where j <= i."),
    wrong("masked_is_true", ">= j", "< j",
          "The mask is inverted: here True means may attend, and you mark what is hidden."),
    wrong("not_itself", ">= j", "> j",
          "A query may not see its own position. It may: j <= i, not j < i."),
    wrong("one_ahead", ">= j", "+ 1 >= j",
          "A query sees one position too far: j <= i, not j <= i + 1."),
    wrong("bottom_right", ">= j", ">= j - (keys - queries)",
          "Your mask is aligned at the bottom right, so that the last query sees the last key. In"
          " this course, as in torch, both count from the first (top left)."),
    wrong("minus_infinity", 'rearrange(i, "i -> i 1") >= j',
          "torch.full((queries, keys), -math.inf).triu(1)",
          "This is the additive kind of mask, 0 and -inf. Here a mask is boolean: True where a"
          " query may attend."),
)
# fmt: on


def causal_by_tril(queries, keys):
    return torch.ones(queries, keys, dtype=torch.bool).tril()


def causal_loops(queries, keys):
    return torch.tensor([[j <= i for j in range(keys)] for i in range(queries)])


EXERCISE = Exercise(
    id="scaled_dot_product.causal_mask",
    solution=causal_mask,
    probes={"causal_mask": "i j"},
    trials=causal_trials,
    slips=MASKS,
    hints=(
        "Query i = 0 is the first. How many keys may it see, and how many may query i = 2?",
        "Compare two counts: i as a column, i 1, and j as a row. True where j <= i.",
        (
            "i = 0 … queries - 1, with a second axis of length 1\nj = 0 … keys - 1\nreturn"
            " i >= j"
        ),
    ),
    minutes=4,
    difficulty=1,
    otherwise=(causal_by_tril, causal_loops),
    laws=("queries_see_their_keys",),
)
