"""Merging heads: the pieces of each token, side by side again."""

import torch

from attncourse.exercises.edits import wrong
from attncourse.exercises.record import Exercise, Trial
from solutions.multi_head import merge_heads


def merge_trials():
    return (
        Trial("of 3 heads", dict(b=2, head=3, n=5, d=4), dict(x="b head n d")),
        Trial("of 5 heads", dict(b=4, head=5, n=3, d=2), dict(x="b head n d")),
    )


# fmt: off
MERGES = (
    wrong("merged_features_outside", "b n (head d)", "b n (d head)",
          'You put the features outside: "(d head)". What `split_heads` cut as "(head d)" must be'
          ' put together as "(head d)".'),
    wrong("merged_by_reshape", 'rearrange(x, "b head n d -> b n (head d)")',
          "x.reshape(x.shape[0], x.shape[2], -1)",
          "You reshape b head n d without moving the heads back: different tokens get mixed."),
    wrong("heads_summed", 'rearrange(x, "b head n d -> b n (head d)")', "x.sum(1)",
          "You sum over the heads. They stand side by side: the result has head times d features."),
    wrong("heads_averaged", 'rearrange(x, "b head n d -> b n (head d)")', "x.mean(1)",
          "You average the heads. They stand side by side: the result has head times d features."),
    wrong("heads_backwards", "rearrange(x,", "rearrange(x.flip(1),",
          "The heads stand in reverse order. Head 0 comes first."),
    wrong("features_before_tokens", 'rearrange(x, "b head n d -> b n (head d)")',
          "x.transpose(2, 3).reshape(x.shape[0], x.shape[2], -1)",
          "You exchange tokens and features instead of heads and tokens: what is reshaped is b head"
          " d n. It must be b n head d."),
)
# fmt: on


def merge_by_view(x):
    return x.transpose(1, 2).contiguous().flatten(2)


def merge_by_cat(x):
    return torch.cat([x[:, head] for head in range(x.shape[1])], dim=-1)


EXERCISE = Exercise(
    id="multi_head.merge_heads",
    solution=merge_heads,
    probes={"merge_heads": "b n (head d)"},
    trials=merge_trials,
    slips=MERGES,
    hints=(
        "Which pattern undoes the one of `split_heads`?",
        "The same letters the other way round: b head n d on the left.",
        'rearrange(x, "b head n d -> b n (head d)")',
    ),
    minutes=2,
    difficulty=1,
    otherwise=(merge_by_view, merge_by_cat),
)
