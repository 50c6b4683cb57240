"""CoAtNet's relative attention: a depthwise kernel inside the softmax.

    y_i = Σ_j exp(q_i · k_j / sqrt(d) + w_(i-j)) v_j / Σ_j exp(q_i · k_j / sqrt(d) + w_(i-j))
    without q and k:   y = (exp(w) * v) / (exp(w) * 1)      * a depthwise convolution

Axes     b batch, h w rows and columns of a map of tokens; i query, j key; dim = (head d)
Units    a row of the map sums to 1
Cost     4 dim² + 4 dim + (2 h - 1) (2 w - 1) heads weights; 2 (h w)² dim multiply-adds
Source   Dai, Liu, Le, Tan, "CoAtNet: Marrying Convolution and Attention for All Data Sizes",
         NeurIPS 2021, arXiv:2106.04803, sec. 2.1, eq. 3 (pre-normalisation), appendix A.1
Differs  projections and heads, as in the networks that the paper measures; its equation has
         none. For a map of another size the kernel is interpolated, the ends kept. It is Swin's
         attention with one window that covers the map, and its weights are named alike
"""

import math

import torch
from einops import einsum, rearrange
from jaxtyping import Float
from torch import Tensor, nn

from solutions.arguments import equip
from solutions.multi_head import merge_heads, split_heads
from solutions.resizing import resize_positions
from solutions.united.blocks import divided
from solutions.united.windows import relative_bias_index


class RelativeAttention2d(nn.Module):
    """Multi-head attention of all tokens of a map, with a learned number for each offset.

    size  height and width of the maps that the kernel is made for
    Raises ValueError when `heads` does not divide `dim`.
    """

    def __init__(self, dim: int, heads: int, size: int | tuple[int, int] = 7):
        super().__init__()
        divided(dim, heads)
        self.heads = heads
        self.size = (size, size) if isinstance(size, int) else tuple(size)
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)
        h, w = self.size
        places = (2 * h - 1) * (2 * w - 1)
        self.relative_position_bias_table = nn.Parameter(torch.randn(places, heads) * 0.02)

    def kernel(self, height: int, width: int) -> Float[Tensor, "r head"]:
        """A number for each offset of query minus key, row by row, for a map of this size."""
        table = self.relative_position_bias_table
        if (height, width) == self.size:
            return table
        old, new = ((2 * h - 1, 2 * w - 1) for h, w in (self.size, (height, width)))
        return resize_positions(table, new, old=old, align=True)

    def project(self, x: Float[Tensor, "b h w dim"]) -> tuple[Float[Tensor, "b head n d"], ...]:
        """Queries, keys and values of each head, tokens row by row."""
        parts = self.qkv(rearrange(x, "b h w dim -> b (h w) dim")).chunk(3, -1)
        return tuple(split_heads(part, self.heads) for part in parts)

    def attention(self, x: Float[Tensor, "b h w dim"]) -> Float[Tensor, "b head i j"]:
        """The map of each head."""
        q, k, _ = self.project(x)
        return self.weights(q, k, *x.shape[1:3])

    def weights(
        self,
        q: Float[Tensor, "b head i d"],
        k: Float[Tensor, "b head j d"],
        height: int,
        width: int,
    ) -> Float[Tensor, "b head i j"]:
        """Scaled products, and the kernel's number for the offset, under one softmax."""
        scores = einsum(q, k, "b head i d, b head j d -> b head i j") / math.sqrt(q.shape[-1])
        index = relative_bias_index(height, width).to(q.device)
        bias = self.kernel(height, width)[index]
        return (scores + rearrange(bias, "i j head -> head i j")).softmax(-1)

    def forward(self, x: Float[Tensor, "b h w dim"]) -> Float[Tensor, "b h w dim"]:
        """For each token what its heads read from the map, side by side; then `proj`."""
        q, k, v = self.project(x)
        y = self.proj(merge_heads(self.weights(q, k, *x.shape[1:3]) @ v))
        return rearrange(y, "b (h w) dim -> b h w dim", h=x.shape[1])


def _kernel(attention: RelativeAttention2d) -> None:
    nn.init.trunc_normal_(attention.relative_position_bias_table, std=0.02)


equip(RelativeAttention2d, reset=_kernel)
