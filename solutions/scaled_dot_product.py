"""Attention: every query takes the mean of the values, weighted by how well their keys agree.

    s = uᵀ tanh(W_q q + W_k k)               additive scores      b i d, b j d -> b i j
    s = q kᵀ                                 dot-product scores   b i d, b j d -> b i j
    A = softmax over j of s / sqrt(d)        weights              b i j
    y = A v                                  output               b i j, b j e -> b i e

Axes     b batch (any leading axes), i query, j key, d features of q and k, e of v, m hidden
Units    A is a weight: over the keys j it sums to 1; y keeps the units of v
Cost     i j d + i j e multiply-adds an example, and i j numbers for the map A
Source   Bahdanau, Cho, Bengio, "Neural Machine Translation by Jointly Learning to Align and
         Translate", ICLR 2015, arXiv:1409.0473, appendix A.1.2 (additive);
         Vaswani et al., "Attention Is All You Need", NeurIPS 2017, arXiv:1706.03762, eq. 1
Differs  a query that may attend to nothing gets 0; the papers leave it open
"""

import math
from collections.abc import Callable
from functools import wraps

import torch
from einops import einsum, rearrange, reduce
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from solutions import checks
from solutions.arguments import FROM_0, equip


def softmax(x: Float[Tensor, "*batch j"]) -> Float[Tensor, "*batch j"]:
    """Weights along the last axis that keep the order of x: positive, with sum 1.

    Finite for any finite x, however large.
    """
    shifted = x - reduce(x, "... j -> ... 1", "max")
    powers = shifted.exp()
    return powers / reduce(powers, "... j -> ... 1", "sum")


class AdditiveAttention(nn.Module):
    """Attention whose scores come from a small network that sees query and key together."""

    def __init__(self, query_dim: int, key_dim: int, hidden: int):
        super().__init__()
        self.query = nn.Linear(query_dim, hidden, bias=False)
        self.key = nn.Linear(key_dim, hidden, bias=False)
        self.score = nn.Linear(hidden, 1, bias=False)

    def scores(
        self, q: Float[Tensor, "b i query_dim"], k: Float[Tensor, "b j key_dim"]
    ) -> Float[Tensor, "b i j"]:
        """How well each key answers each query: at most the sum of |u|, whatever q and k
        are."""
        q, k = (
            rearrange(self.query(q), "b i m -> b i 1 m"),
            rearrange(self.key(k), "b j m -> b 1 j m"),
        )
        return rearrange(self.score((q + k).tanh()), "b i j 1 -> b i j")

    def attention(
        self, q: Float[Tensor, "b i query_dim"], k: Float[Tensor, "b j key_dim"]
    ) -> Float[Tensor, "b i j"]:
        """The attention weights: for each query, one for each key."""
        return self.scores(q, k).softmax(-1)

    def forward(
        self,
        q: Float[Tensor, "b i query_dim"],
        k: Float[Tensor, "b j key_dim"],
        v: Float[Tensor, "b j e"],
    ) -> Float[Tensor, "b i e"]:
        """For each query the weighted mean of the values."""
        return self.attention(q, k) @ v


def dot_product_scores(
    q: Float[Tensor, "*batch i d"], k: Float[Tensor, "*batch j d"]
) -> Float[Tensor, "*batch i j"]:
    """How well each key agrees with each query: their inner product."""
    return einsum(q, k, "... i d, ... j d -> ... i j")


def causal_mask(queries: int, keys: int) -> Bool[Tensor, "i j"]:
    """True where key j is not later than query i. Both count from the first (top-left
    aligned)."""
    i, j = torch.arange(queries), torch.arange(keys)
    return rearrange(i, "i -> i 1") >= j


def padding_mask(lengths: Int[Tensor, " b"], keys: int) -> Bool[Tensor, "b 1 j"]:
    """True for the first `lengths[b]` keys of each example; the rest is padding."""
    j = torch.arange(keys, device=lengths.device)
    return rearrange(j, "j -> 1 1 j") < rearrange(lengths, "b -> b 1 1")


def attention_weights(
    q: Float[Tensor, "*batch i d"],
    k: Float[Tensor, "*batch j d"],
    mask: Bool[Tensor, "*#batch #i #j"] | None = None,
) -> Float[Tensor, "*batch i j"]:
    """The attention map: for each query i the weights of the keys j.

    `mask` broadcasts to the map and is True where a query may attend. A query that may attend
    to nothing gets weights 0.
    """
    scores = dot_product_scores(q, k) / math.sqrt(q.shape[-1])
    if mask is None:
        return scores.softmax(-1)
    weights = scores.masked_fill(~mask, -math.inf).softmax(-1)
    return weights.masked_fill(~mask.any(-1, keepdim=True), 0)


def scaled_dot_product_attention(
    q: Float[Tensor, "*batch i d"],
    k: Float[Tensor, "*batch j d"],
    v: Float[Tensor, "*batch j e"],
    mask: Bool[Tensor, "*#batch #i #j"] | None = None,
) -> Float[Tensor, "*batch i e"]:
    """For each query the mean of the values, weighted by how well their keys agree (eq. 1).

    `mask` broadcasts to the map b i j and is True where a query may attend. A query that may
    attend to nothing gets 0.
    """
    return attention_weights(q, k, mask) @ v


# What is asked before the functions above, which stay as one writes them on paper.


def _map(q: Tensor, k: Tensor, mask: Tensor | None = None) -> None:
    checks.spread(("q", q, "*batch i d"), ("k", k, "*batch j d"))
    checks.alike(("q", q), ("k", k))
    if mask is not None:
        batch = torch.broadcast_shapes(q.shape[:-2], k.shape[:-2])
        checks.allowed(mask, (*batch, q.shape[-2], k.shape[-2]), q.device)
    checks.features(q.shape[-1])


def _all(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> None:
    checks.attention(q, k, v, mask)
    checks.features(q.shape[-1])


def _finite(make: Callable) -> Callable:
    """The weights without a nan on the way, forward or back: a query that may attend to nothing
    attends to all at first, and its weights are 0 afterwards."""

    @wraps(make)
    def weights(q: Tensor, k: Tensor, mask: Tensor | None = None) -> Tensor:
        if mask is None:
            return make(q, k)
        nothing = ~mask.any(-1, keepdim=True)
        return make(q, k, mask | nothing).masked_fill(nothing, 0)

    return weights


causal_mask = checks.numbers(queries=FROM_0, keys=FROM_0)(causal_mask)
padding_mask = checks.numbers(keys=FROM_0)(padding_mask)
attention_weights = checks.before(_map)(_finite(attention_weights))
scaled_dot_product_attention = checks.before(_all)(scaled_dot_product_attention)
equip(AdditiveAttention)
