"""The record of `multi_head.split_heads`."""

import torch
from einops import rearrange, repeat

from attncourse.exercises.record import Exercise, Trial
from solutions.multi_head import (
    split_heads,
)


def split_trials():
    return (
        Trial("in 3 heads", dict(b=2, n=5, head=3, d=4), dict(x="b n (head d)", heads=3)),
        Trial("in 5 heads", dict(b=4, n=3, head=5, d=2), dict(x="b n (head d)", heads=5)),
    )


def features_outside(x, heads):
    """Your heads take every so-many-th feature: "(d head)". Head 0 is the first d features in a
    row: "(head d)", with the head outside."""
    return rearrange(x, "b n (d head) -> b head n d", head=heads)


def tokens_and_heads_mixed(x, heads):
    """You reshape to b head n d in one go: the numbers of different tokens get mixed. Cut the
    last axis first, then move the heads forward."""
    return x.reshape(x.shape[0], heads, x.shape[1], -1)


def heads_not_moved(x, heads):
    """The heads are cut but not moved: b n head d. They stand before the tokens: b head n d."""
    return rearrange(x, "b n (head d) -> b n head d", head=heads)


def as_many_features(x, heads):
    """You give each head `heads` features; `heads` is the number of the heads."""
    return rearrange(x, "b n (head d) -> b head n d", d=heads)


def tokens_last(x, heads):
    """The last two axes are swapped: b head d n. Each head sees its tokens as rows: b head n
    d."""
    return rearrange(x, "b n (head d) -> b head d n", head=heads)


def heads_before_batch(x, heads):
    """The heads come before the batch: head b n d. It is b head n d."""
    return rearrange(x, "b n (head d) -> head b n d", head=heads)


def heads_in_the_batch(x, heads):
    """You fold the heads into the batch: (b head) n d. Keep them as an axis of their own."""
    return rearrange(x, "b n (head d) -> (b head) n d", head=heads)


def no_pieces(x, heads):
    """You put a copy of all features into every head. Head h gets the h-th piece alone."""
    return repeat(x, "b n dim -> b head n dim", head=heads)


def heads_from_the_last(x, heads):
    """The heads stand in reverse order. Head 0 is the first piece of the features."""
    return rearrange(x, "b n (head d) -> b head n d", head=heads).flip(1)


def tokens_in_heads(x, heads):
    """You cut tokens and features at once: b d head n, reshaped. Cut the last axis, (head d),
    then move the heads before the tokens."""
    return rearrange(x, "b n (head d) -> b d head n", head=heads).reshape(
        x.shape[0], heads, x.shape[1], -1
    )


def features_and_heads_exchanged(x, heads):
    """Heads and features have changed places: b d n head. It is b head n d."""
    return rearrange(x, "b n (head d) -> b d n head", head=heads)


def undivided_widths():
    return (Trial("7 features in 3 heads", dict(b=2, n=5), dict(x="b n 7", heads=3)),)


def split_by_view(x, heads):
    return x.reshape(*x.shape[:-1], heads, -1).transpose(1, 2)


def split_by_chunks(x, heads):
    return torch.stack(x.chunk(heads, dim=-1), dim=1)


EXERCISE = Exercise(
    id="multi_head.split_heads",
    solution=split_heads,
    probes={"split_heads": "b head n d"},
    trials=split_trials,
    slips=(
        features_outside,
        tokens_and_heads_mixed,
        heads_not_moved,
        as_many_features,
        tokens_last,
        heads_before_batch,
        heads_in_the_batch,
        no_pieces,
        heads_from_the_last,
        tokens_in_heads,
        features_and_heads_exchanged,
    ),
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
    skip=frozenset({"kind"}),
)
