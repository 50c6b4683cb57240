"""Multi-head attention, faster: the map of the heads is left to torch's fused attention.

    y = [fused(q, k, v, mask), heads side by side] W_o

Axes     as in solutions.multi_head
Cost     the multiply-adds of solutions.multi_head, and no map: memory for q, k, v and y
Source   as in solutions.multi_head; the kernel is torch's
"""

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor

from solutions import multi_head
from solutions.fast.scaled_dot_product import choose, scaled_dot_product_attention
from solutions.multi_head import merge_heads, split_heads, tokens_fit


class MultiHeadAttention(multi_head.MultiHeadAttention):
    """The layer of `solutions.multi_head`, same weights and same results.

    implementation  may be changed at any time: "auto", "reference", "tiled", "torch", "triton"
    """

    implementation: str = "auto"

    def forward(
        self,
        x: Float[Tensor, "b i dim"],
        context: Float[Tensor, "b j dim"] | None = None,
        mask: Bool[Tensor, "*#b #i #j"] | None = None,
    ) -> Float[Tensor, "b i dim"]:
        """For each token of x what its heads read from the context, or from x where there is
        none."""
        tokens_fit(self, x, context, mask)
        context = x if context is None else context
        q = split_heads(self.query(x), self.heads)
        k, v = (split_heads(layer(context), self.heads) for layer in (self.key, self.value))
        if mask is not None:
            mask = rearrange(mask, "... i j -> ... 1 i j")
        way = {"implementation": self.implementation}
        return self.out(merge_heads(scaled_dot_product_attention(q, k, v, mask, **way)))

    @torch.no_grad()
    def runs(self, x: Float[Tensor, "b i dim"]) -> str:
        """The implementation that `forward` takes for such tokens."""
        q = split_heads(self.query(x), self.heads)
        return choose(q, q) if self.implementation == "auto" else self.implementation
