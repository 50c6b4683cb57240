"""The vision transformer: a picture as a sentence of patches, read by an encoder.

    z = [class token; E patch_1; … E patch_n] + T     tokens       b c h w -> b (1 + n) dim
    z = block(z), depth times                         encoder      blocks.py
    y = W norm(z)_0                                   the class token's answer    b classes

    T' = [T_0; bilinear(T_1 … T_n)]                   for a picture of another size
    D = mean over i of Σ_j A_ij |place_i - place_j| / Σ_j A_ij    attention distance of a head

Axes     b batch, n = (high wide) patches row by row, behind the class token; i query, j key
Units    distances are in pixels of the picture: patches times their side
Cost     dim (channels patch² + n + 2) + depth (4 dim² + 2 dim hidden + 4 dim + …) + classes
         (dim + 1) weights: 86.57 M for B/16 at 224 with 1,000 classes
Source   Dosovitskiy et al., "An Image is Worth 16x16 Words", ICLR 2021, arXiv:2010.11929, table
         1, sec. 3 and fig. 7; S and Ti: Touvron et al., "Training data-efficient image
         transformers", ICML 2021, arXiv:2012.12877, table 1
Differs  the head is one layer, as for fine-tuning; the paper pre-trains with a hidden one.
         Names of weights are timm's
"""

import torch
from einops import rearrange, reduce, repeat
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from solutions.arguments import equip
from solutions.united.blocks import PatchEmbedding, PreNormBlock, SelfAttention, small


def grid_positions(
    table: Float[Tensor, "n dim"], old: tuple[int, int], new: tuple[int, int]
) -> Float[Tensor, "m dim"]:
    """A learned table of positions for a picture of another size: the first row, which is the
    class token's, as it is; the others, a grid row by row, interpolated bilinearly.

    Pixels have areas (`align_corners=False`). Raises ValueError, with both numbers, where the
    table has not a row for each place of the old grid and one more.
    """
    high, wide = old
    if len(table) != 1 + high * wide:
        raise ValueError(f"{len(table)} rows for {high * wide} places and a class token")
    grid = rearrange(table[1:], "(high wide) dim -> 1 dim high wide", high=high)
    grid = F.interpolate(grid, new, mode="bilinear", align_corners=False)
    return torch.cat([table[:1], rearrange(grid, "1 dim high wide -> (high wide) dim")])


def attention_distance(
    weights: Float[Tensor, "b head n n"], wide: int, patch: int
) -> Float[Tensor, " head"]:
    """How far each head looks: the mean distance in pixels from a query to its keys, weighted
    by attention, over queries and pictures.

    weights  of patches to patches, row by row in a grid `wide` across: the class token is left
             out, so they need not sum to 1, and are divided by their sum
    """
    n = torch.arange(weights.shape[-1], device=weights.device)
    y, x = n // wide, n % wide
    down, across = y - rearrange(y, "i -> i 1"), x - rearrange(x, "i -> i 1")
    distance = patch * torch.hypot(down.to(weights), across.to(weights))
    share = weights / reduce(weights, "b head i j -> b head i 1", "sum")
    looked = reduce(share * distance, "b head i j -> b head i", "sum")
    return reduce(looked, "b head i -> head", "mean")


class VisionTransformer(nn.Module):
    """A picture cut into patches, a class token before them, an encoder, and one layer.

    hidden  features within a block's small network, four times `dim` where left out
    size    of the pictures that the positions are made for; others are interpolated
    Raises ValueError where patches do not fill the picture, and `heads` does not divide `dim`.
    """

    def __init__(
        self,
        dim: int = 768,
        depth: int = 12,
        heads: int = 12,
        hidden: int | None = None,
        patch: int = 16,
        size: int | tuple[int, int] = 224,
        classes: int = 1000,
        channels: int = 3,
    ):
        super().__init__()
        self.patch, self.grid = patch, grid_of(size, patch)
        hidden = 4 * dim if hidden is None else hidden
        self.cls_token = nn.Parameter(torch.randn(1, 1, dim) * 1e-6)
        places = 1 + self.grid[0] * self.grid[1]
        self.pos_embed = nn.Parameter(torch.randn(1, places, dim) * 0.02)
        self.patch_embed = PatchEmbedding(dim, patch, channels)
        self.blocks = nn.ModuleList(
            PreNormBlock(dim, hidden, SelfAttention(dim, heads)) for _ in range(depth)
        )
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.head = nn.Linear(dim, classes)
        self.apply(small)

    def tokens(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b n dim"]:
        """What enters the first block: the class token, then the patches row by row, each with
        its position. Positions of another size are interpolated."""
        made = self.patch_embed(x)
        positions, new = self.pos_embed[0], tuple(made.shape[1:3])
        if new != self.grid:
            positions = grid_positions(positions, self.grid, new)
        first = repeat(self.cls_token, "1 1 dim -> b 1 dim", b=len(x))
        made = rearrange(made, "b high wide dim -> b (high wide) dim")
        return torch.cat([first, made], 1) + positions

    def attention(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "layer b head n n"]:
        """The maps of all layers, the class token first among queries and keys."""
        z, maps = self.tokens(x), []
        for layer in self.blocks:
            maps.append(layer.attn.attention(layer.norm1(z)))
            z = layer(z)
        return torch.stack(maps)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b classes"]:
        """A score for each class, from the class token alone."""
        z = self.tokens(x)
        for block in self.blocks:
            z = block(z)
        return self.head(self.norm(z)[:, 0])


def grid_of(size: int | tuple[int, int], patch: int) -> tuple[int, int]:
    """How many patches a picture has, down and across. Raises ValueError where they do not fill
    it."""
    h, w = (size, size) if isinstance(size, int) else size
    if h % patch or w % patch:
        raise ValueError(f"{patch=} does not divide a picture of {h} x {w}")
    return h // patch, w // patch


SIZES = {
    "Ti": dict(dim=192, depth=12, heads=3),
    "S": dict(dim=384, depth=12, heads=6),
    "B": dict(dim=768, depth=12, heads=12),
    "L": dict(dim=1024, depth=24, heads=16),
    "H": dict(dim=1280, depth=32, heads=16),
}


def vit(name: str, **more) -> VisionTransformer:
    """A network by the papers' name, as in `vit("B/16")`: Ti, S, B, L or H, and the patch.

    `more` are arguments of VisionTransformer. Raises ValueError for another name.
    """
    letter, _, patch = name.partition("/")
    if letter not in SIZES or not patch.isdigit():
        raise ValueError(f'{name=}: one of {", ".join(SIZES)}, and a patch, as in "B/16"')
    return VisionTransformer(**(SIZES[letter] | dict(patch=int(patch)) | more))


def _tokens(net: VisionTransformer) -> None:
    nn.init.normal_(net.cls_token, std=1e-6)
    nn.init.normal_(net.pos_embed, std=0.02)
    net.apply(small)


equip(VisionTransformer, reset=_tokens)
