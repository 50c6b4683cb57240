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
    return Trial("with an axis of heads, b head i d, which later chapters need", sizes, qkv)


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
