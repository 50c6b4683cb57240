"""Local attention by blocks: neighbours share their keys, so a block fetches them once.

    halo = block + window - 1                          as many rows and columns of keys
    s = q kᵀ                                           b head high wide i j
    s = -1e308 where j is not in the window of i, or not in the picture
    y = softmax over j of s, times v                   b head high wide i e

Axes     b batch, d features of q and k, e of v, h w height and width in pixels; high wide the
         blocks, i = (y x) the queries of a block, j the keys of its halo
Cost     for each pixel halo² (d + e) multiply-adds, where windows need window² (d + e); memory
         for halo² scores, and (halo / block)² copies of k instead of window²
Source   Vaswani, Ramachandran, Srinivas, Parmar, Hechtman, Shlens, "Scaling Local
         Self-Attention for Parameter Efficient Visual Backbones", CVPR 2021, arXiv:2103.12731,
         sec. 2.2
Differs  their queries see the whole halo; here each sees its own window, as in stand_alone.py
"""

import torch
from einops import einsum, rearrange
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from solutions import checks
from solutions.arguments import COUNT, INTEGER


def halo_attention(
    q: Float[Tensor, "b head d h w"],
    k: Float[Tensor, "b head d h w"],
    v: Float[Tensor, "b head e h w"],
    window: int,
    block: int,
) -> Float[Tensor, "b head e h w"]:
    """For each pixel the mean of the values in its window, weighted by the softmax of q · k.

    Blocks of block x block queries meet the (block + window - 1)² keys around them; the map
    may end within a block. Keys beyond the edge do not count. Nothing is scaled.
    Raises ValueError, with the window, for an even one.
    """
    if window % 2 == 0:
        raise ValueError(f"{window=} has no middle: take an odd number")
    h, w = q.shape[-2:]
    reach, side = window // 2, block + window - 1
    right, bottom = -w % block, -h % block

    def halos(x):
        x = F.pad(x, (reach, reach + right, reach, reach + bottom))
        x = x.unfold(-2, side, block).unfold(-2, side, block)
        return rearrange(x, "... high wide y x -> ... high wide (y x)")

    queries = rearrange(
        F.pad(q, (0, right, 0, bottom)),
        "b head d (high y) (wide x) -> b head d high wide (y x)",
        y=block,
        x=block,
    )
    scores = einsum(
        queries, halos(k), "b head d high wide i, b head d high wide j -> b head high wide i j"
    )
    ahead = torch.arange(side, device=q.device) - torch.arange(block, device=q.device)[:, None]
    near = (0 <= ahead) & (ahead < window)  # of a query on one axis, and a place of the halo
    near = rearrange(near[:, None, :, None] & near[:, None], "y x v u -> (y x) (v u)")
    inside = rearrange(halos(torch.ones_like(q[0, 0, 0])) > 0, "high wide j -> high wide 1 j")
    # Not -inf: a query of the padding may see nothing. It is cut off in the end.
    shares = scores.masked_fill(~(near & inside), torch.finfo(q.dtype).min).softmax(-1)
    y = einsum(
        shares, halos(v), "b head high wide i j, b head e high wide j -> b head e high wide i"
    )
    y = rearrange(y, "b head e high wide (y x) -> b head e (high y) (wide x)", y=block, x=block)
    return y[..., :h, :w]


def _fit(q: Tensor, k: Tensor, v: Tensor, window: int, block: int) -> None:
    if window < 1 or window % 2 == 0:
        raise ValueError(f"{window=} has no middle: take an odd number")
    maps = ("q", q, "b head d h w"), ("k", k, "b head d h w"), ("v", v, "b head e h w")
    checks.sizes(*maps)
    checks.alike(*((name, x) for name, x, _ in maps))


halo_attention = checks.before(_fit)(halo_attention)
halo_attention = checks.numbers(window=INTEGER, block=COUNT)(halo_attention)
