"""The record of `scaled_dot_product.dot_product_scores`."""

import math

import torch
from einops import einsum
from torch.nn import functional as F

from attncourse.exercises.record import Exercise, Trial
from solutions.scaled_dot_product import (
    dot_product_scores,
)


def scores_trials():
    return (
        Trial("on two examples", dict(b=2, i=3, j=5, d=7), dict(q="b i d", k="b j d")),
        Trial("with other sizes", dict(b=3, i=5, j=2, d=4), dict(q="b i d", k="b j d")),
    )


def scores_with_heads():
    return Trial(
        "with an axis of heads, b head i d",
        dict(b=2, head=4, i=3, j=5, d=7),
        dict(q="b head i d", k="b head j d"),
    )


def scaled(q, k):
    """You divide by sqrt(d) already. That comes later; here the plain products are asked
    for."""
    return einsum(q, k, "... i d, ... j d -> ... i j") / math.sqrt(q.shape[-1])


def keys_first(q, k):
    """Your rows are keys and your columns queries: j i. The queries go down, the keys across:
    i j."""
    return einsum(q, k, "... i d, ... j d -> ... j i")


def reshaped_keys(q, k):
    """You reshape k to b d j instead of transposing it: the numbers of different keys get
    mixed."""
    return q @ k.reshape(*k.shape[:-2], k.shape[-1], k.shape[-2])


def summed_over_the_batch(q, k):
    """The examples of the batch mix: the pattern sums over b. Keep b on both sides and behind
    the arrow."""
    total = torch.einsum("...id,...jd->...ij", q, k).sum(0, keepdim=True)
    return total.expand(q.shape[0], *total.shape[1:]).clone()


def cosines(q, k):
    """You divide queries and keys by their lengths (cosine similarity). The plain product keeps
    them."""
    return F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).mT


def distances(q, k):
    """These are distances; scores are inner products, large where query and key agree."""
    return (q[..., :, None, :] - k[..., None, :, :]).square().sum(-1)


def distances_turned(q, k):
    """These are negative squared distances; scores are inner products."""
    return -(q[..., :, None, :] - k[..., None, :, :]).square().sum(-1)


def keys_of_length_one(q, k):
    """You divide the keys by their lengths. The plain product keeps them."""
    return q @ F.normalize(k, dim=-1).mT


def queries_of_length_one(q, k):
    """You divide the queries by their lengths. The plain product keeps them."""
    return F.normalize(q, dim=-1) @ k.mT


def features_averaged(q, k):
    """You take the mean over the features. An inner product is their sum."""
    return (q[..., :, None, :] * k[..., None, :, :]).mean(-1)


def products_of_sums(q, k):
    """You sum the features of q and of k apart and multiply the sums: the letter d must be the
    same on both sides of the comma."""
    return einsum(q, k, "... i d, ... j f -> ... i j")


def not_summed(q, k):
    """The axis d is still there: an inner product sums over it."""
    return einsum(q, k, "... i d, ... j d -> ... i j d")


def softmax_already(q, k):
    """You apply the softmax already; here the scores are asked for."""
    return dot_product_scores(q, k).softmax(-1)


def scores_loops(q, k):
    flat_q, flat_k = q.reshape(-1, *q.shape[-2:]), k.reshape(-1, *k.shape[-2:])
    each = [
        torch.stack([(row * c).sum(-1) for row in a])
        for a, c in zip(flat_q, flat_k, strict=True)
    ]
    return torch.stack(each).reshape(*q.shape[:-1], k.shape[-2])


def scores_matmul(q, k):
    return torch.matmul(q, k.transpose(-2, -1))


def scores_broadcast(q, k):
    return (q.unsqueeze(-2) * k.unsqueeze(-3)).sum(dim=-1)


EXERCISE = Exercise(
    id="scaled_dot_product.dot_product_scores",
    solution=dot_product_scores,
    probes={"dot_product_scores": "b i j"},
    trials=scores_trials,
    slips=(
        scaled,
        keys_first,
        reshaped_keys,
        summed_over_the_batch,
        cosines,
        distances,
        distances_turned,
        keys_of_length_one,
        queries_of_length_one,
        features_averaged,
        products_of_sums,
        not_summed,
        softmax_already,
    ),
    hints=(
        "Which letter do q, b i d, and k, b j d, share, and which of them survive?",
        (
            "An einsum multiplies where letters are equal and sums over those missing"
            " behind the arrow: d. All leading axes can be written as `...`."
        ),
        'einsum(q, k, "... i d, ... j d -> ... i j")',
    ),
    minutes=4,
    difficulty=1,
    otherwise=(scores_loops, scores_matmul, scores_broadcast),
    laws=("examples_do_not_mix", "one_step_more_or_less", "a_constant_factor"),
    remark=scores_with_heads,
)
