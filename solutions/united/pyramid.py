"""Swin: a pyramid of blocks that attend in windows, every second one with its windows shifted.

    patch embedding, norm            4 x 4 pixels a token       b c h w -> b high wide dim
    block      attention in windows, shift 0 and window // 2 in turn, between blocks.py's norms
    merging    the 2 x 2 neighbours side by side, norm, one matrix       dim -> 4 dim -> 2 dim
    norm, mean over the map, one layer

Axes     b batch, h w rows and columns of a map of tokens, dy dx place in a group of 2 x 2
Cost     T 28.29 M, S 49.61 M, B 87.77 M weights with 1,000 classes; the multiply-adds of a
         layer grow with the map's size, not with its square
Source   Liu et al., "Swin Transformer", ICCV 2021, arXiv:2103.14030, sec. 3.1 and 3.3, table 7
Differs  no stochastic depth; a map with an odd side is padded with zeros before merging, as in
         the released code, whose order of the four neighbours this is: columns outside, rows
         inside. Names of weights are timm's
"""

from einops import rearrange, reduce
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from solutions.arguments import COUNT, POSITIVE, each, equip
from solutions.united.blocks import PatchEmbedding, PreNormBlock, small
from solutions.united.windows import ShiftedWindowAttention


class PatchMerging(nn.Module):
    """From 2 x 2 tokens to one, with twice as many features."""

    def __init__(self, dim: int):
        super().__init__()
        self.norm = nn.LayerNorm(4 * dim)
        self.reduction = nn.Linear(4 * dim, 2 * dim, bias=False)

    def forward(self, x: Float[Tensor, "b h w dim"]) -> Float[Tensor, "b h2 w2 dim2"]:
        """The map of half the height and width, rounded up."""
        x = F.pad(x, (0, 0, 0, x.shape[2] % 2, 0, x.shape[1] % 2))
        x = rearrange(x, "b (h dy) (w dx) dim -> b h w (dx dy dim)", dy=2, dx=2)
        return self.reduction(self.norm(x))


class SwinStage(nn.Module):
    """Blocks of one resolution, after the merging that leads to it.

    merge  whether the map is halved first, from `dim` / 2 features to `dim`
    """

    def __init__(
        self, dim: int, depth: int, heads: int, window: int, expansion: float, merge: bool
    ):
        super().__init__()
        self.downsample = PatchMerging(dim // 2) if merge else nn.Identity()
        shifts = (window // 2 * (n % 2) for n in range(depth))
        self.blocks = nn.Sequential(
            *(
                PreNormBlock(
                    dim,
                    int(expansion * dim),
                    ShiftedWindowAttention(dim, heads, window, shift),
                    eps=1e-5,
                )
                for shift in shifts
            )
        )

    def forward(self, x: Float[Tensor, "b h w dim"]) -> Float[Tensor, "b h2 w2 dim2"]:
        """The map after the blocks."""
        return self.blocks(self.downsample(x))


class SwinTransformer(nn.Module):
    """Stages of attention in shifted windows, each with half the rows and columns and twice the
    features of the one before.

    dim     features of the first stage
    depths  blocks of each stage
    heads   heads of each stage
    Raises ValueError where depths and heads are not as many, and what its layers raise.
    Pictures may have any size that patches fill.
    """

    def __init__(
        self,
        dim: int = 96,
        depths: tuple[int, ...] = (2, 2, 6, 2),
        heads: tuple[int, ...] = (3, 6, 12, 24),
        window: int = 7,
        patch: int = 4,
        expansion: float = 4.0,
        classes: int = 1000,
        channels: int = 3,
    ):
        super().__init__()
        if len(depths) != len(heads):
            raise ValueError(f"{depths=} and {heads=}: one of each for a stage")
        self.patch_embed = PatchEmbedding(dim, patch, channels, norm=True)
        self.layers = nn.Sequential(
            *(
                SwinStage(dim * 2**n, depth, head, window, expansion, n > 0)
                for n, (depth, head) in enumerate(zip(depths, heads, strict=True))
            )
        )
        last = dim * 2 ** (len(depths) - 1)
        self.norm = nn.LayerNorm(last)
        self.head = nn.ModuleDict({"fc": nn.Linear(last, classes)})
        self.apply(small)

    def features(self, x: Float[Tensor, "b c h w"]) -> list[Float[Tensor, "b dim2 h2 w2"]]:
        """The maps of all stages, for a head that wants a pyramid."""
        maps = [self.patch_embed(x)]
        for stage in self.layers:
            maps.append(stage(maps[-1]))
        return [rearrange(y, "b h w dim -> b dim h w") for y in maps[1:]]

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b classes"]:
        """A score for each class."""
        y = self.norm(self.layers(self.patch_embed(x)))
        return self.head["fc"](reduce(y, "b h w dim -> b dim", "mean"))


SIZES = {
    "T": dict(dim=96, depths=(2, 2, 6, 2), heads=(3, 6, 12, 24)),
    "S": dict(dim=96, depths=(2, 2, 18, 2), heads=(3, 6, 12, 24)),
    "B": dict(dim=128, depths=(2, 2, 18, 2), heads=(4, 8, 16, 32)),
    "L": dict(dim=192, depths=(2, 2, 18, 2), heads=(6, 12, 24, 48)),
}


def swin(name: str, **more) -> SwinTransformer:
    """A network by the paper's name: `swin("T")`, S, B or L.

    `more` are arguments of SwinTransformer. Raises ValueError for another name.
    """
    if name not in SIZES:
        raise ValueError(f"{name=}: one of {', '.join(SIZES)}")
    return SwinTransformer(**(SIZES[name] | more))


def _small(net: SwinTransformer) -> None:
    net.apply(small)


equip(PatchMerging)
equip(SwinStage, window=COUNT, expansion=POSITIVE)
equip(SwinTransformer, reset=_small, window=COUNT, expansion=POSITIVE, heads=each(COUNT))
