"""Relative positions through a kernel that knows none: they become features of q and k.

    q' = [q, down, across] / sqrt(d)     down_y = q · R_(y-h),  across_x = q · C_(x-w)
    k' = [k, 1_y, 1_x]                   a 1 for the key's own row, and one for its column
    q' · k' = q · (k + R_(y-h) + C_(x-w)) / sqrt(d)
    v' = [v, 0]                          as wide as q' and k': fast kernels want one width

Axes     h w row and column of a query, y x those of a key; d features of q and k, e of v;
         m = d + h + w features of q' and k'
Cost     (h w)² 2 m multiply-adds where attention without places has (h w)² (d + e); memory for
         h w m numbers a head instead of (h w)²
Source   Bello et al., "Attention Augmented Convolutional Networks", ICCV 2019,
         arXiv:1904.09925, sec. 3.1, for what is computed
"""

import math

import torch
from einops import einsum, rearrange, repeat
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from solutions import checks


def augmented_attention(
    q: Float[Tensor, "*batch h w d"],
    k: Float[Tensor, "*batch h w d"],
    v: Float[Tensor, "*batch h w e"],
    rows: Float[Tensor, "r d"],
    columns: Float[Tensor, "s d"],
) -> Float[Tensor, "*batch h w e"]:
    """Attention over all pixels with relative positions, scaled by 1 / sqrt(d), in one call of
    torch's fused attention: nothing has the size of the map.

    Row r of `rows` is the offset r - (h - 1) of key minus query, and so for `columns`.
    """
    h, w, d = q.shape[-3:]
    q = q / math.sqrt(d)
    y, x = (torch.arange(n, device=q.device) for n in (h, w))
    down = einsum(q, rows[y - y[:, None] + h - 1], "... h w d, h y d -> ... h w y")
    across = einsum(q, columns[x - x[:, None] + w - 1], "... h w d, w x d -> ... h w x")
    row = repeat(torch.eye(h).to(k), "h y -> h w y", w=w).expand(*k.shape[:-1], h)
    column = repeat(torch.eye(w).to(k), "w x -> h w x", h=h).expand(*k.shape[:-1], w)
    q, k = torch.cat([q, down, across], -1), torch.cat([k, row, column], -1)
    e = v.shape[-1]
    width = max(q.shape[-1], e)
    q, k, v = (
        F.pad(rearrange(one, "... h w m -> ... (h w) m"), (0, width - one.shape[-1]))
        for one in (q, k, v)
    )
    read = F.scaled_dot_product_attention(
        q.contiguous(), k.contiguous(), v.contiguous(), scale=1.0
    )
    return rearrange(read[..., :e], "... (h w) e -> ... h w e", h=h)


augmented_attention = checks.before(checks.relative)(augmented_attention)
