"""The record of `multi_head.merge_heads`."""

import torch
from einops import rearrange, reduce

from attncourse.exercises.multi_head.shared import merged_features_outside
from attncourse.exercises.record import Exercise, Trial
from solutions.multi_head import (
    merge_heads,
)


def merge_trials():
    return (
        Trial("of 3 heads", dict(b=2, head=3, n=5, d=4), dict(x="b head n d")),
        Trial("of 5 heads", dict(b=4, head=5, n=3, d=2), dict(x="b head n d")),
    )


def merged_by_reshape(x):
    """You reshape b head n d without moving the heads back: different tokens get mixed."""
    return x.reshape(x.shape[0], x.shape[2], -1)


def merged_tokens(x):
    """You put heads and tokens together. It is the features of the heads that stand side by
    side: b n (head d)."""
    return rearrange(x, "b head n d -> b (head n) d")


def heads_summed(x):
    """You sum over the heads. They stand side by side: the result has head times d features."""
    return reduce(x, "b head n d -> b n d", "sum")


def heads_averaged(x):
    """You average the heads. They stand side by side: the result has head times d features."""
    return reduce(x, "b head n d -> b n d", "mean")


def heads_kept(x):
    """The heads are moved but not joined: b n head d. The last two axes become one: (head
    d)."""
    return rearrange(x, "b head n d -> b n head d")


def features_before_tokens(x):
    """You exchange tokens and features instead of heads and tokens: what is reshaped is b head
    d n. It must be b n head d."""
    return x.transpose(2, 3).reshape(x.shape[0], x.shape[2], -1)


def best_of_heads(x):
    """You take the largest of the heads. They stand side by side: the result has head times d
    features."""
    return x.amax(1)


def heads_beside_batch(x):
    """You join batch and heads. It is the features of the heads that stand side by side: b n
    (head d)."""
    return rearrange(x, "b head n d -> (b head) n d")


def features_first(x):
    """Your features come before the tokens: b (head d) n. Tokens are rows: b n (head d)."""
    return rearrange(x, "b head n d -> b (head d) n")


def heads_backwards(x):
    """The heads stand in reverse order. Head 0 comes first."""
    return rearrange(x.flip(1), "b head n d -> b n (head d)")


def merge_by_view(x):
    return x.transpose(1, 2).contiguous().flatten(2)


def merge_by_cat(x):
    return torch.cat([x[:, head] for head in range(x.shape[1])], dim=-1)


EXERCISE = Exercise(
    id="multi_head.merge_heads",
    solution=merge_heads,
    probes={"merge_heads": "b n (head d)"},
    trials=merge_trials,
    slips=(
        merged_features_outside,
        merged_by_reshape,
        merged_tokens,
        heads_summed,
        heads_averaged,
        heads_kept,
        heads_backwards,
        features_before_tokens,
        best_of_heads,
        heads_beside_batch,
        features_first,
    ),
    hints=(
        "Which pattern undoes the one of `split_heads`?",
        "The same letters the other way round: b head n d on the left.",
        'rearrange(x, "b head n d -> b n (head d)")',
    ),
    minutes=2,
    difficulty=1,
    otherwise=(merge_by_view, merge_by_cat),
)
