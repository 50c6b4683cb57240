"""The trials of attention, and right answers that several exercises have: scaled_dot_product."""

import math

import torch
from torch.nn import functional as F

from attncourse.exercises.record import Given, Trial
from solutions.scaled_dot_product import causal_mask, padding_mask


def attention_masks(sizes):
    """A causal mask, a padding mask, and one with a query that may attend to nothing."""
    b, i, j = sizes["b"], sizes["i"], sizes["j"]
    some = torch.rand(b, i, j, generator=torch.Generator().manual_seed(3)) < 0.6
    some[:, :, 0] |= ~some.any(-1)
    some[1, 1] = False
    return (
        Given("i j", causal_mask(i, j)),
        Given("b 1 j", padding_mask(torch.arange(b) + 2, j)),
        Given("b i j", some),
    )


def far_below_zero(sizes):
    """Queries and keys that all disagree: a filler that is not -inf stands out among them."""
    dice, d = torch.Generator().manual_seed(7), sizes["d"]
    q = torch.randn(sizes["b"], sizes["i"], d, generator=dice, dtype=torch.float64)
    k = torch.randn(sizes["b"], sizes["j"], d, generator=dice, dtype=torch.float64)
    q[..., 0], k[..., 0] = -3 + q[..., 0] / 10, 2000 * math.sqrt(d) / 3 + k[..., 0]
    return q, k


def attention_trials(values=True):
    qkv = dict(q="b i d", k="b j d") | (dict(v="b j e") if values else {})

    def sizes(**all_sizes):
        return all_sizes if values else {a: n for a, n in all_sizes.items() if a != "e"}

    one, two = sizes(b=2, i=3, j=5, d=7, e=11), sizes(b=3, i=6, j=4, d=5, e=2)
    square = sizes(b=3, i=4, j=4, d=6, e=6)
    lone = sizes(b=1, i=1, j=4, d=7, e=3)
    causal, padding, empty = attention_masks(two)
    other = attention_masks(one)[2]
    q, k = far_below_zero(one)
    return (
        Trial("without a mask", one, qkv),
        Trial("without a mask, with other sizes", two, qkv),
        Trial("with as many keys as queries", square, qkv),
        Trial("with a causal mask", two, qkv | dict(mask=causal)),
        Trial("with a padding mask", two, qkv | dict(mask=padding)),
        Trial("with a query that may attend to nothing", two, qkv | dict(mask=empty)),
        Trial("with one query of one example", lone, qkv),
        Trial(
            "with a causal mask and as many keys as queries",
            square,
            qkv | dict(mask=Given("i j", causal_mask(4, 4))),
        ),
        Trial(
            "with another such mask and scores around -2000",
            one,
            qkv | dict(q=Given("b i d", q), k=Given("b j d", k), mask=other),
        ),
    )


def attention_with_heads(values=True):
    sizes = dict(b=2, head=4, i=3, j=5, d=7) | (dict(e=6) if values else {})
    qkv = dict(q="b head i d", k="b head j d") | (dict(v="b head j e") if values else {})
    return Trial("with an axis of heads, b head i d", sizes, qkv)


def weights_loops(q, k, mask=None):
    *batch, i, d = q.shape
    j = k.shape[-2]
    allowed = (
        torch.ones(*batch, i, j, dtype=torch.bool)
        if mask is None
        else mask.expand(*batch, i, j)
    )
    rows = []
    for a, keys, row in zip(
        q.reshape(-1, d),
        k.unsqueeze(-3).expand(*batch, i, j, d).reshape(-1, j, d),
        allowed.reshape(-1, j),
        strict=True,
    ):
        scores = [(a * c).sum() / d**0.5 for c in keys]
        top = max((s for s, ok in zip(scores, row, strict=True) if ok), default=torch.zeros(()))
        shares = [(s - top).exp() if ok else 0 * s for s, ok in zip(scores, row, strict=True)]
        total = sum(shares)
        rows.append(torch.stack([s / total if row.any() else 0 * s for s in shares]))
    return torch.stack(rows).reshape(*batch, i, j)


def weights_by_bias(q, k, mask=None):
    scores = torch.einsum("...id,...jd->...ij", q, k) * q.shape[-1] ** -0.5
    if mask is None:
        return F.softmax(scores, dim=-1)
    scores = torch.where(mask, scores, torch.finfo(scores.dtype).min)
    return F.softmax(scores, dim=-1) * mask


# ------------------------------------------------------------------ steps that multi_head takes


def dots(q, k):
    return q @ k.mT


def over_keys(scores):
    return scores.softmax(-1)


def as_it_comes(weights, mask):
    """Rows without keys are left alone; where that shows, as nan, it is a slip of its own."""
    if weights.isnan().any():
        raise ValueError("this shows")
    return weights


def nan_to_zero(weights, mask):
    return weights.nan_to_num(0)


def hide(scores, mask):
    return scores if mask is None else scores.masked_fill(~mask, -math.inf)


def cosine_similarity(q, k):
    """You divide queries and keys by their lengths (cosine similarity). The scores are the
    plain inner products, over sqrt(d)."""
    return F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).mT


def absolute_products(q, k):
    """You take the absolute value of the scores: a key that disagrees counts like one that
    agrees."""
    return dots(q, k).abs()


def always_causal(scores, mask):
    """You hide the future always. A causal mask is one of the masks you may be given, not a
    part of attention."""
    lower = torch.ones(scores.shape[-2:], dtype=torch.bool).tril()
    return hide(scores.masked_fill(~lower, -math.inf), mask)


def over_queries(scores):
    """Your softmax runs over the queries i: your weights sum to 1 down the columns. It runs
    over the keys j, the last axis."""
    return scores.softmax(-2)


def over_batch(scores):
    """Your softmax runs over the first axis, b: examples compete with each other. It runs over
    the keys j, the last axis."""
    return scores.softmax(0)


def over_queries_and_keys(scores):
    """Your softmax runs over i and j together. Every query has its own, over the keys j."""
    return scores.flatten(-2).softmax(-1).reshape(scores.shape)


def no_softmax(scores):
    """The softmax is missing: your weights are the bare scores."""
    return scores


def softmax_twice(scores):
    """The softmax is applied twice: the second one flattens the weights."""
    return scores.softmax(-1).softmax(-1)


def log_of_softmax(scores):
    """You use log_softmax: weights are the shares themselves, not their logarithms."""
    return scores.log_softmax(-1)


def sigmoid_for_softmax(scores):
    """You use a sigmoid: each weight by itself, not as a share that competes with the others.
    The softmax over j makes them sum to 1."""
    return scores.sigmoid()


def exp_not_divided(scores):
    """You take exp of the scores but do not divide by their sum over the keys j."""
    return scores.exp()


def squashed(scores):
    """You squash the scores with a tanh before the softmax. It takes any number."""
    return scores.tanh().masked_fill(scores == -math.inf, -math.inf).softmax(-1)


def two_best_keys(scores):
    """Each query attends to its two best keys alone (top-k). The softmax shares the weight out
    over all keys."""
    least = scores.topk(min(2, scores.shape[-1]), -1).values[..., -1:]
    return scores.masked_fill(scores < least, -math.inf).softmax(-1)


def softmin(scores):
    """The sign is turned: keys that agree least get the most weight."""
    return (-scores).masked_fill(scores == -math.inf, -math.inf).softmax(-1)


def naive_exponential(scores):
    """For large scores exp overflows: inf / inf is nan. Use `softmax`, or subtract the largest
    score of the row first."""
    return scores.exp() / scores.exp().sum(-1, keepdim=True)
