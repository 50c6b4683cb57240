"""Attention a word at a time: the newest token asks, and its key and value are kept."""

import torch
from torch.nn import functional as F

from attncourse.exercises.edits import wrong
from attncourse.exercises.record import Exercise, Trial
from solutions.transformer import attend_and_remember


def cache_trials():
    new = dict(q="b head 1 d", k="b head 1 d", v="b head 1 d")
    past = dict(keys="b head past d", values="b head past d")
    empty = dict(keys="b head 0 d", values="b head 0 d")
    return (
        Trial("with 6 words remembered", dict(b=2, head=5, past=6, d=4, now=7), new | past),
        Trial("with one word remembered", dict(b=3, head=2, past=1, d=5, now=2), new | past),
        Trial("with nothing remembered", dict(b=2, head=4, d=3, now=1), new | empty),
    )


# fmt: off
READING = (
    wrong("itself_not_seen", "keys, values = torch.cat", "longer, more = torch.cat",
          "The newest token attends to the earlier ones only. It attends to itself as well: append"
          " its key and value first.",
          ("values, keys, values", "values, longer, more")),
    wrong("only_itself_seen", "(q, keys) @ values", "(q, k) @ v",
          "The newest token attends to itself alone: what was remembered is not used."),
    wrong("keys_for_values", "@ values", "@ keys",
          "You read the keys. What is read are the values, weighted by how well the keys agree."),
    wrong("values_asked", "(q, keys) @ values", "(q, values) @ keys",
          "You compare the query with the values and read the keys. It is the other way round: keys"
          " are compared, values are read."),
    wrong("causal_mask_on_one_query", "(q, keys)", "(q, keys, causal_mask(1, keys.shape[-2]))",
          "You use a causal mask: aligned at the first key, it lets the only query see one. Nothing"
          " lies in the future here, so no mask is needed."),
)

KEEPING = (
    wrong("nothing_remembered", "keys, values = torch.cat", "longer, more = torch.cat",
          "You return the keys and values as they came in. Return them with the new ones at the"
          " end, or the next step will not know this one.",
          ("(q, keys) @ values", "(q, longer) @ more")),
    wrong("past_dropped", "values, keys, values", "values, k, v",
          "You return only the new key and value. Those before are needed in the next step as"
          " well."),
    wrong("put_in_front", "[keys, k]", "[k, keys]",
          "The new key and value stand in front. What is read is the same; but the place of a key"
          " is its position, and the newest comes last.",
          ("[values, v]", "[v, values]")),
    wrong("put_in_place_of_the_last", "[keys, k]", "[keys[:, :, :-1], k]",
          "The new key and value replace the last ones. They come after them.",
          ("[values, v]", "[values[:, :, :-1], v]")),
    wrong("oldest_forgotten", "[keys, k], dim=-2)", "[keys, k], dim=-2)[:, :, 1:]",
          "You drop the oldest key and value as you append new ones. All are kept.",
          ("[values, v], dim=-2)", "[values, v], dim=-2)[:, :, 1:]")),
)
# fmt: on


def step_by_torch(q, k, v, keys, values):
    keys, values = torch.cat((keys, k), 2), torch.cat((values, v), 2)
    return F.scaled_dot_product_attention(q, keys, values), keys, values


def step_by_parts(q, k, v, keys, values):
    """Old and new scores apart, then one softmax over both."""
    scale = q.shape[-1] ** -0.5
    scores = torch.cat([q @ keys.mT, (q * k).sum(-1, keepdim=True)], dim=-1) * scale
    share = scores.softmax(-1)
    read = share[..., :-1] @ values + share[..., -1:] * v
    return read, torch.cat([keys, k], dim=2), torch.cat([values, v], dim=2)


EXERCISE = Exercise(
    id="transformer.attend_and_remember",
    solution=attend_and_remember,
    probes={
        "attend_and_remember": ("b head 1 d", "b head now d", "b head now d"),
    },
    trials=cache_trials,
    slips=(*READING, *KEEPING),
    hints=(
        "Which keys may the newest token see? Is one of them its own?",
        (
            "Append k to the keys and v to the values, along the axis of tokens. Then the"
            " one query attends to all of them: nothing is hidden."
        ),
        (
            "keys = keys and then k, values = values and then v (torch.cat, axis -2)\n"
            "return attention_weights(q, keys) @ values, keys, values"
        ),
    ),
    minutes=6,
    difficulty=2,
    otherwise=(step_by_torch, step_by_parts),
    laws=("cache_holds_all",),
)
