"""The attention of a vision transformer, faster: its maps are left to torch's fused attention.

    y = [fused(q, k, v), heads side by side] W_proj

Axes     as in solutions.united.blocks
Cost     the multiply-adds of solutions.united.blocks, and no map
Source   as in solutions.united.blocks
Differs  windows of 49 tokens, a gate between two maps and a kernel in the softmax stay as they
         are: their maps are small, or have to be made
"""

import torch
from jaxtyping import Float
from torch import Tensor

from solutions.fast.scaled_dot_product import choose, scaled_dot_product_attention
from solutions.multi_head import merge_heads
from solutions.united import blocks


class SelfAttention(blocks.SelfAttention):
    """The layer of `solutions.united`, same weights and same results.

    implementation  may be changed at any time: "auto", "reference", "tiled", "torch", "triton"
    """

    implementation: str = "auto"

    def forward(self, x: Float[Tensor, "b n dim"]) -> Float[Tensor, "b n dim"]:
        """For each token what its heads read from all."""
        way = {"implementation": self.implementation}
        read = scaled_dot_product_attention(*self.project(x), **way)
        return self.proj(merge_heads(read))

    @torch.no_grad()
    def runs(self, x: Float[Tensor, "b n dim"]) -> str:
        """The implementation that `forward` takes for such tokens."""
        q, k, _ = self.project(x)
        return choose(q, k) if self.implementation == "auto" else self.implementation
