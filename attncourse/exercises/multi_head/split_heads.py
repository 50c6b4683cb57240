"""Splitting heads: the features of each token, cut into pieces side by side."""

import torch

from attncourse.exercises.edits import wrong
from attncourse.exercises.record import Exercise, Trial
from solutions.multi_head import split_heads


def split_trials():
    return (
        Trial("in 3 heads", dict(b=2, n=5, head=3, d=4), dict(x="b n (head d)", heads=3)),
        Trial("in 5 heads", dict(b=4, n=3, head=5, d=2), dict(x="b n (head d)", heads=5)),
    )


# fmt: off
SPLITS = (
    wrong("features_outside", "b n (head d) ->", "b n (d head) ->",
          'Your heads take features that lie far apart: "(d head)". Head 0 is the first d features in'
          ' a row: "(head d)", with the head outside.'),
    wrong("tokens_and_heads_mixed", 'rearrange(x, "b n (head d) -> b head n d", head=heads)',
          "x.reshape(x.shape[0], heads, x.shape[1], -1)",
          "You reshape to b head n d in one go: the numbers of different tokens get mixed. Cut the"
          " last axis first, then move the heads forward."),
    wrong("as_many_features", "head=heads", "d=heads",
          "You give each head `heads` features; `heads` is the number of the heads."),
    wrong("no_pieces", 'rearrange(x, "b n (head d) -> b head n d"',
          'repeat(x, "b n dim -> b head n dim"',
          "You put a copy of all features into every head. Each head gets a piece of its own."),
    wrong("tokens_in_heads", '"b n (head d) -> b head n d", head=heads)',
          '"b n (head d) -> b d head n", head=heads).reshape(len(x), heads, x.shape[1], -1)',
          "You cut tokens and features at once: b d head n, reshaped. Cut the last axis, (head d),"
          " then move the heads before the tokens."),
)
# fmt: on


def undivided_widths():
    return (
        Trial("7 features in 3 heads", dict(b=2, n=5), dict(x="b n 7", heads=3), says=(7, 3)),
    )


def refuse_rest(x, heads):
    if x.shape[-1] % heads:
        raise ValueError(f"{x.shape[-1]} features do not make {heads} heads")


def split_by_view(x, heads):
    refuse_rest(x, heads)
    return x.reshape(*x.shape[:-1], heads, -1).transpose(1, 2)


def split_by_chunks(x, heads):
    refuse_rest(x, heads)
    return torch.stack(x.chunk(heads, dim=-1), dim=1)


EXERCISE = Exercise(
    id="multi_head.split_heads",
    solution=split_heads,
    probes={"split_heads": "b head n d"},
    trials=split_trials,
    slips=SPLITS,
    hints=(
        (
            "The last axis holds the features of all heads in a row. Which of the two"
            " letters, head and d, changes slowest along it?"
        ),
        (
            "The head: its d features stand next to each other. In einops the slow letter"
            " comes first in the bracket, (head d)."
        ),
        'rearrange(x, "b n (head d) -> b head n d", head=heads)',
    ),
    minutes=4,
    difficulty=1,
    otherwise=(split_by_view, split_by_chunks),
    refuses=undivided_widths,
)
