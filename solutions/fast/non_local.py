"""Non-local and position attention, faster: no map of all pixels with all pixels.

    y = fused(q, k, v), scale 1        Gaussian and embedded Gaussian, and position attention
    y = q (kᵀ v) / N                   dot product, as in solutions.non_local

Axes     as in solutions.non_local; m features of q and k, e of v
Cost     as in solutions.non_local, without N x N numbers. Torch's kernel wants one width: q and
         k are filled up with zeros to that of v. Where v is much wider, as in DANet, that costs
         more than it saves, and tiles are taken
Source   as in solutions.non_local and solutions.fast.scaled_dot_product
"""

import torch
from einops import rearrange, unpack
from jaxtyping import Float
from torch import Tensor

from solutions import non_local
from solutions.arguments import equip
from solutions.fast.scaled_dot_product import (
    by_torch,
    choose_tiles,
    tiled_attention,
    together,
)
from solutions.fast.switch import switched

IMPLEMENTATIONS = ("reference", "tiled", "torch", "triton")
NARROW = 64  # features up to which filling up costs less than it saves
FEW = 1024  # pixels up to which a map fits into the cache


def gaussian_mixture(
    q: Float[Tensor, "*batch i m"],
    k: Float[Tensor, "*batch j m"],
    v: Float[Tensor, "*batch j e"],
    implementation: str = "auto",
) -> Float[Tensor, "*batch i e"]:
    """What `solutions.non_local.gaussian_weights` make of the values.

    Raises ValueError for what does not fit together.
    """
    q, k, v = together(q, k, v)
    implementation = choose(q, k, v) if implementation == "auto" else implementation
    if implementation == "reference":
        return non_local.gaussian_weights(q, k) @ v
    if implementation == "torch":
        return by_torch(q, k, v, scale=1.0)
    if implementation in ("tiled", "triton"):
        return tiled_attention(q, k, v, scale=1.0, implementation=implementation)[0]
    raise ValueError(f"no {implementation=}: there are auto, {', '.join(IMPLEMENTATIONS)}")


@switched(*IMPLEMENTATIONS)
def choose(q: Tensor, k: Tensor, v: Tensor) -> str:
    """What "auto" takes, as was measured on the CPU."""
    if v.shape[-1] <= max(NARROW, 2 * q.shape[-1]):
        return "torch"
    return "reference" if k.shape[-2] <= FEW else choose_tiles(q, v)


class NonLocal(non_local.NonLocal):
    """The block of `solutions.non_local`, same weights and same results.

    implementation  may be changed at any time: "auto" or one of IMPLEMENTATIONS

    The forms "dot", linear already, and "concatenation" have the reference alone.
    """

    implementation: str = "auto"

    def forward(self, x: Float[Tensor, "b c *space"]) -> Float[Tensor, "b c *space"]:
        """The pixels with what they found added."""
        if self.form in ("dot", "concatenation"):
            return super().forward(x)
        y = gaussian_mixture(*self._projected(x), self.implementation)
        found = self.norm(rearrange(self.out(y), "b i c -> b c i"))
        return x + unpack(found, [x.shape[2:]], "b c *")[0]

    @torch.no_grad()
    def runs(self, x: Float[Tensor, "b c *space"]) -> str:
        """The implementation that `forward` takes for such maps."""
        if self.form in ("dot", "concatenation"):
            return "reference"
        auto = self.implementation == "auto"
        return choose(*self._projected(x)) if auto else self.implementation

    def _projected(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        v = self.pool(self.value(rearrange(x, "b c ... -> b ... c")))
        return *self.queries_and_keys(x), v


class PositionAttention(non_local.PositionAttention):
    """The layer of `solutions.non_local`, same weights and same results.

    implementation  may be changed at any time: "auto" or one of IMPLEMENTATIONS
    """

    implementation: str = "auto"

    def forward(self, x: Float[Tensor, "b c *space"]) -> Float[Tensor, "b c *space"]:
        """The pixels with gamma times what they gathered added."""
        y = gaussian_mixture(*self._projected(x), self.implementation)
        y = rearrange(y, "b i c -> b c i")
        return x + self.gamma * unpack(y, [x.shape[2:]], "b c *")[0]

    @torch.no_grad()
    def runs(self, x: Float[Tensor, "b c *space"]) -> str:
        """The implementation that `forward` takes for such maps."""
        auto = self.implementation == "auto"
        return choose(*self._projected(x)) if auto else self.implementation

    def _projected(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        pixels = rearrange(x, "b c ... -> b (...) c")
        return self.query(pixels), self.key(pixels), self.value(pixels)


class DANetHead(non_local.DANetHead):
    """The head of `solutions.non_local` with this position attention."""

    def __init__(
        self,
        channels: int,
        classes: int,
        reduction: int = 4,
        released: bool = False,
        dropout: float = 0.1,
    ):
        super().__init__(channels, classes, reduction, released, dropout)
        weights = self.position.state_dict()
        self.position = PositionAttention(channels // reduction)
        self.position.load_state_dict(weights)


equip(DANetHead)
