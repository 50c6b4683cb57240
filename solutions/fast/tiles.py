"""FlashAttention: the scores of a tile of keys at a time, the output so far rescaled.

    m' = max(m, max_j s)                    the largest score so far, of a tile's keys j
    l' = e^(m - m') l + Σ_j e^(s - m')      the sum so far
    y' = e^(m - m') y + Σ_j e^(s - m') v    the output so far; at the end y / l
    L = m + log l                           log-sum-exp: all that training keeps of a row
    y = e^(L_1 - L) y_1 + e^(L_2 - L) y_2   of two outputs, L = log(e^L_1 + e^L_2)
    A = e^(s - L),  D = Σ_e dy y            the map again, and the sum of A dy v over its row
    ds = A (dy vᵀ - D),  dv = Aᵀ dy,  dq = ds k / sqrt(d),  dk = dsᵀ q / sqrt(d)

Axes     b batch (any leading axes), i query, j key, d features of q and k, e of v
Units    L has the units of a score: one added to all scores adds one to L
Cost     the multiply-adds of the map; memory for i tile scores instead of i j. Backwards 2.5
         times as many; here the map is made once more, whole: scaled_dot_product.py has tiles
Source   Milakov, Gimelshein, "Online normalizer calculation for softmax", 2018,
         arXiv:1805.02867, alg. 3;
         Dao et al., "FlashAttention", NeurIPS 2022, arXiv:2205.14135, algs. 1 and 4
"""

import math

import torch
from einops import einsum, rearrange, reduce
from jaxtyping import Float
from torch import Tensor


def online_softmax(x: Float[Tensor, "*batch j"], tile: int) -> Float[Tensor, "*batch j"]:
    """`softmax` along the last axis, whose largest entry and sum are found in one pass.

    x is read `tile` entries at a time, the last time what is left. Entries of -inf get 0, also
    where they fill the first tile; at least one of a row is finite, and may be however large.
    """
    lowest = torch.finfo(x.dtype).min  # and not -inf: -inf - -inf is nan
    largest = torch.full_like(x[..., :1], lowest)
    total = torch.zeros_like(largest)
    for part in x.split(tile, dim=-1):
        new = torch.maximum(largest, reduce(part, "... j -> ... 1", "max"))
        rescale = (largest - new).exp()
        total = total * rescale + reduce((part - new).exp(), "... j -> ... 1", "sum")
        largest = new
    return (x - largest).exp() / total


def merge(
    y: Float[Tensor, "*batch i e"],
    lse: Float[Tensor, "*batch i"],
    other: Float[Tensor, "*batch i e"],
    other_lse: Float[Tensor, "*batch i"],
) -> tuple[Float[Tensor, "*batch i e"], Float[Tensor, "*batch i"]]:
    """The outputs of two attentions of the same queries to different keys put together, as if
    all keys had been there at once; and the log-sum-exp of all of their scores.

    Where a query has no key its log-sum-exp is -inf and its output 0: so it is given, and
    returned where neither has a key.
    """
    total = torch.logaddexp(lse, other_lse)
    known = total.masked_fill(total == -math.inf, 0)  # -inf - -inf is nan
    share = rearrange((lse - known).exp(), "... i -> ... i 1")
    rest = rearrange((other_lse - known).exp(), "... i -> ... i 1")
    return share * y + rest * other, total


def attention_by_tiles(
    q: Float[Tensor, "*batch i d"],
    k: Float[Tensor, "*batch j d"],
    v: Float[Tensor, "*batch j e"],
    tile: int,
    causal: bool = False,
) -> tuple[Float[Tensor, "*batch i e"], Float[Tensor, "*batch i"]]:
    """Scaled dot-product attention and the log-sum-exp of each query's scaled scores, with the
    scores of at most `tile` keys at a time.

    causal  query i sees the keys up to j = i
    """
    q = q / math.sqrt(q.shape[-1])
    i = torch.arange(q.shape[-2], device=q.device)
    largest = torch.full_like(q[..., :1], -math.inf)
    total = torch.zeros_like(largest)
    read = q.new_zeros(*q.shape[:-1], v.shape[-1])
    for start in range(0, k.shape[-2], tile):
        some = slice(start, start + tile)
        scores = einsum(q, k[..., some, :], "... i d, ... j d -> ... i j")
        if causal:
            j = start + torch.arange(scores.shape[-1], device=q.device)
            scores = scores.masked_fill(rearrange(i, "i -> i 1") < j, -math.inf)
        new = torch.maximum(largest, reduce(scores, "... i j -> ... i 1", "max"))
        rescale, shares = (largest - new).exp(), (scores - new).exp()
        total = total * rescale + reduce(shares, "... i j -> ... i 1", "sum")
        read = read * rescale + shares @ v[..., some, :]
        largest = new
    return read / total, rearrange(largest + total.log(), "... i 1 -> ... i")


def attention_gradients(
    dy: Float[Tensor, "*batch i e"],
    q: Float[Tensor, "*batch i d"],
    k: Float[Tensor, "*batch j d"],
    v: Float[Tensor, "*batch j e"],
    y: Float[Tensor, "*batch i e"],
    lse: Float[Tensor, "*batch i"],
) -> tuple[
    Float[Tensor, "*batch i d"], Float[Tensor, "*batch j d"], Float[Tensor, "*batch j e"]
]:
    """From the gradient dy those of q, k and v, by what the forward pass kept: the output y and
    the log-sum-exp of the scaled scores. The map is made again."""
    scale = 1 / math.sqrt(q.shape[-1])
    scores = scale * einsum(q, k, "... i d, ... j d -> ... i j")
    shares = (scores - rearrange(lse, "... i -> ... i 1")).exp()
    dv = einsum(shares, dy, "... i j, ... i e -> ... j e")
    slope = einsum(dy, v, "... i e, ... j e -> ... i j")
    delta = reduce(dy * y, "... i e -> ... i 1", "sum")
    ds = shares * (slope - delta)
    dq = scale * einsum(ds, k, "... i j, ... j d -> ... i d")
    dk = scale * einsum(ds, q, "... i j, ... i d -> ... j d")
    return dq, dk, dv
