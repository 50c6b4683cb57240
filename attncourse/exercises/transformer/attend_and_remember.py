"""The record of `transformer.attend_and_remember`."""

import math

import torch
from einops import reduce
from torch.nn import functional as F

from attncourse.exercises.record import Exercise, Trial
from solutions.scaled_dot_product import (
    attention_weights,
    causal_mask,
    scaled_dot_product_attention,
)
from solutions.transformer import (
    attend_and_remember,
)


def cache_trials():
    new = dict(q="b head 1 d", k="b head 1 d", v="b head 1 d")
    past = dict(keys="b head past d", values="b head past d")
    empty = dict(keys="b head 0 d", values="b head 0 d")
    return (
        Trial("with 5 words remembered", dict(b=2, head=3, past=5, d=4, now=6), new | past),
        Trial("with one word remembered", dict(b=3, head=2, past=1, d=5, now=2), new | past),
        Trial("with nothing remembered", dict(b=2, head=4, d=3, now=1), new | empty),
    )


def joined(old, new):
    return torch.cat([old, new], dim=-2)


def itself_not_seen(q, k, v, keys, values):
    """The newest token attends to the earlier ones only. It attends to itself as well: append
    its key and value first."""
    return attention_weights(q, keys) @ values, joined(keys, k), joined(values, v)


def only_itself_seen(q, k, v, keys, values):
    """The newest token attends to itself alone: what was remembered is not used."""
    return attention_weights(q, k) @ v, joined(keys, k), joined(values, v)


def nothing_remembered(q, k, v, keys, values):
    """You return the keys and values as they came in. Return them with the new ones at the
    end, or the next step will not know this one."""
    return attention_weights(q, joined(keys, k)) @ joined(values, v), keys, values


def past_dropped(q, k, v, keys, values):
    """You return only the new key and value. Those before are needed in the next step as
    well."""
    return attention_weights(q, joined(keys, k)) @ joined(values, v), k, v


def newest_value_lost(q, k, v, keys, values):
    """The newest token has a weight, but its value is not read: the weights of the earlier ones
    alone are used. All values are read, the new one too."""
    longer = joined(keys, k)
    read = attention_weights(q, longer)[..., :-1] @ values
    return read, longer, joined(values, v)


def values_asked(q, k, v, keys, values):
    """You compare the query with the values and read the keys. It is the other way round: keys
    are compared, values are read."""
    keys, values = joined(keys, k), joined(values, v)
    return attention_weights(q, values) @ keys, keys, values


def values_averaged(q, k, v, keys, values):
    """You read the plain mean of the values: query and keys play no part."""
    keys, values = joined(keys, k), joined(values, v)
    return reduce(values, "b head j d -> b head 1 d", "mean"), keys, values


def key_for_the_value(q, k, v, keys, values):
    """You append the new key to the values. The new value is appended."""
    keys, values = joined(keys, k), joined(values, k)
    return attention_weights(q, keys) @ values, keys, values


def value_for_the_key(q, k, v, keys, values):
    """You append the new value to the keys. The new key is appended."""
    keys, values = joined(keys, v), joined(values, v)
    return attention_weights(q, keys) @ values, keys, values


def only_the_latest(q, k, v, keys, values):
    """The newest token sees itself and the one before. It sees all so far."""
    longer, more = joined(keys, k), joined(values, v)
    return attention_weights(q, longer[:, :, -2:]) @ more[:, :, -2:], longer, more


def divided_by_the_root_of_length(q, k, v, keys, values):
    """You divide the scores by the root of the number of keys. It is the width that counts:
    sqrt(d)."""
    keys, values = joined(keys, k), joined(values, v)
    share = (q @ keys.mT / math.sqrt(keys.shape[-2])).softmax(-1)
    return share @ values, keys, values


def put_in_front(q, k, v, keys, values):
    """The new key and value stand in front. What is read is the same; but the place of a key is
    its position, and the newest comes last."""
    keys, values = joined(k, keys), joined(v, values)
    return attention_weights(q, keys) @ values, keys, values


def put_in_place_of_the_last(q, k, v, keys, values):
    """The new key and value replace the last ones. They come after them."""
    keys, values = joined(keys[:, :, :-1], k), joined(values[:, :, :-1], v)
    return attention_weights(q, keys) @ values, keys, values


def oldest_forgotten(q, k, v, keys, values):
    """You drop the oldest key and value as you append new ones. All are kept."""
    keys, values = joined(keys, k)[:, :, 1:], joined(values, v)[:, :, 1:]
    return attention_weights(q, keys) @ values, keys, values


def keys_for_values(q, k, v, keys, values):
    """You read the keys. What is read are the values, weighted by how well the keys agree."""
    keys, values = joined(keys, k), joined(values, v)
    return attention_weights(q, keys) @ keys, keys, values


def returned_in_another_order(q, k, v, keys, values):
    """Keys and values are exchanged in what you return: what is read, then keys, then
    values."""
    keys, values = joined(keys, k), joined(values, v)
    return attention_weights(q, keys) @ values, values, keys


def not_scaled(q, k, v, keys, values):
    """The scores are not divided by sqrt(d): use `attention_weights`."""
    keys, values = joined(keys, k), joined(values, v)
    return (q @ keys.mT).softmax(-1) @ values, keys, values


def query_remembered(q, k, v, keys, values):
    """You append the query to the keys. The key of the new token is appended."""
    keys, values = joined(keys, q), joined(values, v)
    return attention_weights(q, keys) @ values, keys, values


def causal_mask_on_one_query(q, k, v, keys, values):
    """You use a causal mask: aligned at the first key, it lets the only query see one. Nothing
    lies in the future here, so no mask is needed."""
    keys, values = joined(keys, k), joined(values, v)
    mask = causal_mask(1, keys.shape[-2]).to(q.device)
    return scaled_dot_product_attention(q, keys, values, mask), keys, values


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
    slips=(
        itself_not_seen,
        only_itself_seen,
        nothing_remembered,
        past_dropped,
        put_in_front,
        put_in_place_of_the_last,
        oldest_forgotten,
        keys_for_values,
        returned_in_another_order,
        not_scaled,
        query_remembered,
        newest_value_lost,
        values_asked,
        values_averaged,
        key_for_the_value,
        value_for_the_key,
        only_the_latest,
        divided_by_the_root_of_length,
        causal_mask_on_one_query,
    ),
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
