"""Positions: attention takes its tokens for an unordered set, so each must say where it is.

    P_p = sin(p ω_0), cos(p ω_0), sin(p ω_1), …    sinusoidal   n -> n d, ω_f = 10000^(-2f/d)
    y = x + T                                      learned      n d, one row of T a position
    s_ij = q_i · (k_j + a_(j-i)) / sqrt(d)         relative     2 clip + 1 vectors a of width d
    y_i = Σ_j A_ij (v_j + a_(j-i))                 relative     as many others of width e
    s_ij = q_i · a_(j-i)                           skewed       i r -> i j, for j <= i
    q_i -> R^i q_i,  k_j -> R^j k_j                rotary       pair f turns by p ω_f
    y = conv(x, columns, rows, distance)           coordinates  b c h w -> b e h w

Axes     b batch (any leading axes), n tokens, i query, j key, d features of q and k, e of v,
         r rows of a table of relative positions, h w height and width in pixels, c channels
Units    positions count tokens from 0; coordinates run from -1 to 1 across the picture
Cost     weights: 0 for sinusoidal and rotary, length d for learned, (2 clip + 1) (d + e) for
         relative; memory, skewed: i j numbers a head, where a gathered table takes i j d
Source   Vaswani et al., "Attention Is All You Need", NeurIPS 2017, arXiv:1706.03762, sec. 3.5;
         Shaw, Uszkoreit, Vaswani, "Self-Attention with Relative Position Representations",
         NAACL 2018, arXiv:1803.02155, eqs. 3-5;
         Huang et al., "Music Transformer", ICLR 2019, arXiv:1809.04281, sec. 3.4;
         Liu et al., "An Intriguing Failing of Convolutional Neural Networks and the CoordConv
         Solution", NeurIPS 2018, arXiv:1807.03247, sec. 3;
         Su et al., "RoFormer", 2021, arXiv:2104.09864, eqs. 14-16 and 34
Differs  skewed logits are 0 above the diagonal, where the paper leaves what the reshape puts
         there; the distance of CoordConv is taken from the scaled coordinates, as in the
         authors' code; an axis of one pixel has coordinate 0, where their code divides by 0
"""

import math
from collections.abc import Callable
from functools import wraps

import torch
from einops import einsum, rearrange, repeat
from jaxtyping import Bool, Float, Int, Real
from torch import Tensor, nn
from torch.nn import functional as F

from solutions import checks
from solutions.arguments import FROM_0, ODD, equip
from solutions.scaled_dot_product import scaled_dot_product_attention


def sinusoidal(positions: Float[Tensor, " n"], dim: int) -> Float[Tensor, "n dim"]:
    """A vector for each position: sine and cosine in turn, the pairs ever slower.

    With an odd `dim` the last pair has its sine only.
    """
    even = torch.arange(0, dim, 2, dtype=positions.dtype, device=positions.device)
    angles = einsum(positions, 10000 ** (-even / dim), "n, pair -> n pair")
    return rearrange([angles.sin(), angles.cos()], "wave n pair -> n (pair wave)")[:, :dim]


def sinusoidal_2d(
    rows: Float[Tensor, " h"], columns: Float[Tensor, " w"], dim: int
) -> Float[Tensor, "h w dim"]:
    """A vector for each pixel: its row in the first half of the features, its column in the
    second.

    Raises ValueError, with `dim`, when it has no halves.
    """
    if dim % 2:
        raise ValueError(f"{dim=} is odd: rows and columns get one half each")
    down = repeat(sinusoidal(rows, dim // 2), "h half -> h w half", w=len(columns))
    across = repeat(sinusoidal(columns, dim // 2), "w half -> h w half", h=len(rows))
    return torch.cat([down, across], dim=-1)


class LearnedPositions(nn.Module):
    """Adds a vector of its own to each position, up to a length that is fixed beforehand."""

    def __init__(self, dim: int, length: int):
        super().__init__()
        self.table = nn.Parameter(0.02 * torch.randn(length, dim))

    def forward(self, x: Float[Tensor, "*batch n dim"]) -> Float[Tensor, "*batch n dim"]:
        """The tokens with their places added. Raises ValueError, with the number of tokens and
        that of places, beyond the last place."""
        tokens, length = x.shape[-2], len(self.table)
        if tokens > length:
            raise ValueError(f"{tokens} tokens, but the table ends after {length} positions")
        return x + self.table[:tokens]


def relative_index(queries: int, keys: int, clip: int) -> Int[Tensor, "i j"]:
    """Which row of a table of 2 clip + 1 vectors belongs to each pair: j - i, from -clip to
    clip, counted from 0."""
    i, j = torch.arange(queries), torch.arange(keys)
    return (j - rearrange(i, "i -> i 1")).clamp(-clip, clip) + clip


def masked_softmax(
    scores: Float[Tensor, "*batch i j"], mask: Bool[Tensor, "*#batch #i #j"] | None = None
) -> Float[Tensor, "*batch i j"]:
    """Attention weights over the keys where the mask is True; all 0 for a query that may attend
    to nothing."""
    if mask is None:
        return scores.softmax(-1)
    nothing = ~mask.any(-1, keepdim=True)
    scores = scores.masked_fill(~mask, -math.inf).masked_fill(nothing, 0)  # no nan on the way
    return scores.softmax(-1).masked_fill(nothing, 0)


class RelativeAttention(nn.Module):
    """Attention in which keys and values know how far they are from the query.

    q_dim features of q and k, v_dim of v; distances beyond `clip` share a vector. One table for
    all heads, which come as leading axes.
    """

    def __init__(self, q_dim: int, v_dim: int, clip: int):
        super().__init__()
        self.clip = clip
        self.keys = nn.Parameter(torch.randn(2 * clip + 1, q_dim) / math.sqrt(q_dim))
        self.values = nn.Parameter(torch.randn(2 * clip + 1, v_dim) / math.sqrt(v_dim))

    def index(self, q: Tensor, k: Tensor) -> Int[Tensor, "i j"]:
        """The row of the tables for each pair, on the device of q."""
        return relative_index(q.shape[-2], k.shape[-2], self.clip).to(q.device)

    def attention(
        self,
        q: Float[Tensor, "*batch i d"],
        k: Float[Tensor, "*batch j d"],
        mask: Bool[Tensor, "*#batch #i #j"] | None = None,
    ) -> Float[Tensor, "*batch i j"]:
        """The map: a key is scored by what it holds and by how far it is."""
        content = einsum(q, k, "... i d, ... j d -> ... i j")
        place = einsum(q, self.keys[self.index(q, k)], "... i d, i j d -> ... i j")
        return masked_softmax((content + place) / math.sqrt(q.shape[-1]), mask)

    def forward(
        self,
        q: Float[Tensor, "*batch i d"],
        k: Float[Tensor, "*batch j d"],
        v: Float[Tensor, "*batch j e"],
        mask: Bool[Tensor, "*#batch #i #j"] | None = None,
    ) -> Float[Tensor, "*batch i e"]:
        """For each query the weighted mean of the values, each with the vector of its
        distance."""
        weights = self.attention(q, k, mask)
        places = self.values[self.index(q, k)]
        return weights @ v + einsum(weights, places, "... i j, i j e -> ... i e")


def skew(x: Float[Tensor, "*batch i r"]) -> Float[Tensor, "*batch i j"]:
    """From one column a distance to one column a key: entry i j is x at distance j - i.

    Column r of x belongs to distance r - (n - 1): the last is the token itself. Above the
    diagonal the result is 0. Raises ValueError, with both sizes, for a table that is not
    square.
    """
    n = x.shape[-1]
    if x.shape[-2] != n:
        raise ValueError(f"{x.shape[-2]} queries and {n} distances; there must be as many")
    padded = rearrange(F.pad(x, (1, 0)), "... i r -> ... (i r)")
    return rearrange(padded, "... (r i) -> ... r i", i=n)[..., 1:, :].tril()


def relative_logits(
    q: Float[Tensor, "*batch i d"], table: Float[Tensor, "i d"]
) -> Float[Tensor, "*batch i j"]:
    """q_i · a_(j-i) for keys j <= i, 0 for later ones; never makes an i j d tensor.

    The last row of the table is for the token itself, the one before for its left neighbour.
    """
    return skew(einsum(q, table, "... i d, r d -> ... i r"))


def rotary(
    x: Float[Tensor, "*batch n d"], positions: Real[Tensor, " n"]
) -> Float[Tensor, "*batch n d"]:
    """Turns each pair of features (2f, 2f + 1) by its position times the pair's frequency.

    Inner products of turned vectors depend on the difference of their positions alone. Angles
    are made in single precision at least. Raises ValueError, with `d`, when it does not come in
    pairs.
    """
    if x.shape[-1] % 2:
        raise ValueError(f"d={x.shape[-1]} is odd: features turn in pairs")
    positions = positions.to(torch.promote_types(x.dtype, torch.float32))
    waves = sinusoidal(positions, x.shape[-1]).to(x.dtype)
    sin, cos = rearrange(waves, "n (pair wave) -> wave n pair", wave=2)
    a, b = rearrange(x, "... n (pair two) -> two ... n pair", two=2)
    turned = [a * cos - b * sin, a * sin + b * cos]
    return rearrange(turned, "two ... n pair -> ... n (pair two)")


def rotary_attention(
    q: Float[Tensor, "*batch n d"],
    k: Float[Tensor, "*batch n d"],
    v: Float[Tensor, "*batch n e"],
    positions: Real[Tensor, " n"],
    mask: Bool[Tensor, "*#batch #n #n"] | None = None,
) -> Float[Tensor, "*batch n e"]:
    """Attention of tokens at these positions: queries and keys are turned, values are not."""
    q, k = rotary(q, positions), rotary(k, positions)
    return scaled_dot_product_attention(q, k, v, mask)


class CoordConv2d(nn.Module):
    """A convolution that sees where it is: coordinates come as further input channels."""

    def __init__(self, channels: int, out_channels: int, window: int, radius: bool = False):
        super().__init__()
        self.radius = radius
        extra = 3 if radius else 2
        self.conv = nn.Conv2d(channels + extra, out_channels, window, padding=window // 2)

    def coordinates(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b xyr h w"]:
        """Column, row and, with `radius`, distance from the middle, for every pixel.

        From -1 at the left and top edge to 1 at the right and bottom one; 0 on an axis of one
        pixel.
        """
        b, _, h, w = x.shape
        across, down = (
            torch.linspace(-1, 1, n, dtype=x.dtype, device=x.device)
            if n > 1
            else x.new_zeros(1)
            for n in (w, h)
        )
        maps = [
            repeat(across, "w -> b h w", h=h, b=b),
            repeat(down, "h -> b h w", w=w, b=b),
        ]
        if self.radius:
            maps.append(torch.hypot(*maps))
        return rearrange(maps, "xyr b h w -> b xyr h w")

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b e h w"]:
        """The convolution of the channels with the coordinates behind them."""
        return self.conv(torch.cat([x, self.coordinates(x)], dim=1))


# Positions of 16 bits: angles and coordinates are made in 32 and rounded once, at the end. The
# functions above stay as one writes them on paper.


def _exact(dtype: torch.dtype) -> torch.dtype:
    return torch.promote_types(dtype, torch.float32)


def _exact_waves(make: Callable) -> Callable:
    @wraps(make)
    def waves(positions, dim):
        return make(positions.to(_exact(positions.dtype)), dim).to(positions.dtype)

    return waves


def _exact_coordinates(make: Callable) -> Callable:
    @wraps(make)
    def coordinates(self, x):
        like = x.new_empty((), dtype=_exact(x.dtype)).expand(x.shape)  # no memory
        return make(self, like).to(x.dtype)

    return coordinates


def _a_place_for_each(x: Tensor, positions: Tensor) -> None:
    if x.ndim > 1 and tuple(positions.shape) != (x.shape[-2],):
        raise ValueError(
            f"{x.shape[-2]} tokens and positions {tuple(positions.shape)}: one each"
        )


def _of_the_map(scores: Tensor, mask: Tensor | None = None) -> None:
    checks.allowed(mask, tuple(scores.shape), scores.device)


sinusoidal = checks.numbers(dim=FROM_0)(_exact_waves(sinusoidal))
sinusoidal_2d = checks.numbers(dim=FROM_0)(sinusoidal_2d)
relative_index = checks.numbers(queries=FROM_0, keys=FROM_0, clip=FROM_0)(relative_index)
rotary = checks.before(_a_place_for_each)(rotary)
masked_softmax = checks.before(_of_the_map)(masked_softmax)
CoordConv2d.coordinates = _exact_coordinates(CoordConv2d.coordinates)


def _small_table(positions: LearnedPositions) -> None:
    nn.init.normal_(positions.table, std=0.02)


def _tables_of_distances(attention: RelativeAttention) -> None:
    for table in (attention.keys, attention.values):
        nn.init.normal_(table, std=table.shape[-1] ** -0.5)


equip(LearnedPositions, reset=_small_table)
equip(RelativeAttention, reset=_tables_of_distances)
equip(CoordConv2d, window=ODD)
