"""Attention in windows that are laid side by side, and shifted from layer to layer (Swin).

    windows      (b win) of h / window times w / window, window² tokens each, no overlap
    s_ij = q_i · k_j / sqrt(d) + B_(i - j)       B a table of (2 window - 1)² numbers a head
    A = softmax over j of s                      within the window        b win head i j
    shifted      roll by -shift, attend within the windows, roll back; what the roll has brought
                 together from opposite edges must not see each other

    B_(i - j) = R_(y - y') + C_(x - x') are chapter 8's logits for queries that are all alike

Axes     b batch, h w rows and columns of a map of tokens; win windows row by row, i query and j
         key within a window, row by row; dim = (head d)
Units    A sums to 1 over the window's keys that may be seen
Cost     4 dim² + 4 dim + (2 window - 1)² heads weights; 4 dim² + 2 window² dim multiply-adds a
         token, however large the map
Source   Liu et al., "Swin Transformer: Hierarchical Vision Transformer using Shifted Windows",
         ICCV 2021, arXiv:2103.14030, sec. 3.2, eqs. 1-4 and fig. 4
Differs  a map that windows do not fill is padded, and nobody sees the padding (the released
         code lets zeros take part); an axis that one window covers is not shifted, as in the
         code. Rows of the table count i - j, query minus key; chapter 8's count j - i
"""

import math

import torch
from einops import einsum, rearrange
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor, nn
from torch.nn import functional as F

from solutions.arguments import COUNT, equip
from solutions.positional import masked_softmax
from solutions.united.blocks import divided


def split_windows(x: Shaped[Tensor, "b h w dim"], window: int) -> Shaped[Tensor, "b win i dim"]:
    """The map cut into windows of window x window tokens, both row by row.

    Raises ValueError, with height, width and window, where they do not fill it.
    """
    h, w = x.shape[1:3]
    if h % window or w % window:
        raise ValueError(f"windows of {window=} do not fill a map of {h} x {w}")
    letters = "b (high y) (wide x) dim -> b (high wide) (y x) dim"
    return rearrange(x, letters, y=window, x=window)


def merge_windows(
    x: Shaped[Tensor, "b win i dim"], height: int, width: int
) -> Shaped[Tensor, "b h w dim"]:
    """The map put together again: undoes `split_windows`."""
    window = math.isqrt(x.shape[2])
    high, wide = height // window, width // window
    return rearrange(
        x,
        "b (high wide) (y x) dim -> b (high y) (wide x) dim",
        high=high,
        wide=wide,
        y=window,
    )


def shift_mask(
    height: int, width: int, window: int, shift: tuple[int, int]
) -> Bool[Tensor, "win i j"]:
    """True where a token may see another of its window after the map was rolled up and to the
    left by `shift` rows and columns: not where an edge of the map has come between them.

    Windows fill the map, as for `split_windows`.
    """
    down = torch.arange(height) >= height - shift[0]  # came from the other edge
    across = torch.arange(width) >= width - shift[1]
    came = rearrange(down, "h -> h 1") + 2 * rearrange(across, "w -> 1 w")
    label = split_windows(rearrange(came, "h w -> 1 h w 1"), window)[0]
    return label == rearrange(label, "win j 1 -> win 1 j")


def relative_bias_index(height: int, width: int) -> Int[Tensor, "i j"]:
    """Which row of a table of (2 height - 1) (2 width - 1) rows belongs to each pair of tokens
    of a window: by the rows from key to query, then by the columns, the most negative
    first."""
    n = torch.arange(height * width)
    y, x = n // width, n % width
    down = rearrange(y, "i -> i 1") - y + height - 1
    across = rearrange(x, "i -> i 1") - x + width - 1
    return down * (2 * width - 1) + across


class ShiftedWindowAttention(nn.Module):
    """Multi-head attention within windows, on a map of tokens of any height and width.

    shift  by how many rows and columns the windows are moved: 0, or half of the window
    Raises ValueError when `heads` does not divide `dim`, and for a shift of a window or more.
    """

    def __init__(self, dim: int, heads: int, window: int = 7, shift: int = 0):
        super().__init__()
        divided(dim, heads)
        if not 0 <= shift < window:
            raise ValueError(f"{shift=} must be from 0 to less than {window=}")
        self.heads, self.window, self.shift = heads, window, shift
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)
        places = (2 * window - 1) ** 2
        self.relative_position_bias_table = nn.Parameter(torch.randn(places, heads) * 0.02)

    def bias(self) -> Float[Tensor, "head i j"]:
        """What is added to the scores of each pair of a window."""
        table = self.relative_position_bias_table
        index = relative_bias_index(self.window, self.window).to(table.device)
        return rearrange(table[index], "i j head -> head i j")

    def shifts(self, height: int, width: int) -> tuple[int, int]:
        """By how many rows and columns a map is rolled: none where one window covers it."""
        return tuple(0 if n <= self.window else self.shift for n in (height, width))

    def padded(self, x: Shaped[Tensor, "b h w c"]) -> Shaped[Tensor, "b h2 w2 c"]:
        """The map with zeros below and to the right, so that windows fill it."""
        _, h, w, _ = x.shape
        return F.pad(x, (0, 0, 0, -w % self.window, 0, -h % self.window))

    def may(self, height: int, width: int) -> Bool[Tensor, "win i j"]:
        """True where a token may see another of its window: what was near before the roll, and
        no padding."""
        down, across = self.shifts(height, width)
        real = self.padded(torch.ones(1, height, width, 1, dtype=torch.bool))
        near = shift_mask(*real.shape[1:3], self.window, (down, across))
        real = split_windows(real.roll((-down, -across), (1, 2)), self.window)[0]
        return near & rearrange(real, "win j 1 -> win 1 j")

    def windows(self, x: Float[Tensor, "b h w dim"]) -> Float[Tensor, "b win i dim"]:
        """The tokens of each window: of the padded map, rolled up and to the left by
        `shifts`."""
        down, across = self.shifts(*x.shape[1:3])
        return split_windows(self.padded(x).roll((-down, -across), (1, 2)), self.window)

    def project(
        self, tokens: Float[Tensor, "b win i dim"]
    ) -> tuple[Float[Tensor, "b win head i d"], ...]:
        """Queries, keys and values of each window and head."""
        parts = self.qkv(tokens).chunk(3, -1)
        letters = "b win i (head d) -> b win head i d"
        return tuple(rearrange(part, letters, head=self.heads) for part in parts)

    def attention(self, x: Float[Tensor, "b h w dim"]) -> Float[Tensor, "b win head i j"]:
        """The map of each window and head."""
        q, k, _ = self.project(self.windows(x))
        return self.weights(q, k, self.may(*x.shape[1:3]).to(x.device))

    def weights(
        self,
        q: Float[Tensor, "b win head i d"],
        k: Float[Tensor, "b win head j d"],
        may: Bool[Tensor, "win i j"],
    ) -> Float[Tensor, "b win head i j"]:
        """Scaled products and the bias, under a softmax over the tokens that may be seen
        (`masked_softmax` of chapter 3 is at hand)."""
        scores = einsum(q, k, "b win head i d, b win head j d -> b win head i j")
        scores = scores / math.sqrt(q.shape[-1]) + self.bias()
        return masked_softmax(scores, rearrange(may, "win i j -> win 1 i j"))

    def forward(self, x: Float[Tensor, "b h w dim"]) -> Float[Tensor, "b h w dim"]:
        """For each token what its heads read in its window, side by side, at the token's own
        place, without the padding; then `proj`."""
        h, w = x.shape[1:3]
        q, k, v = self.project(self.windows(x))
        y = self.weights(q, k, self.may(h, w).to(x.device)) @ v
        y = rearrange(y, "b win head i d -> b win i (head d)")
        y = merge_windows(y, *self.padded(x).shape[1:3])
        y = y.roll(self.shifts(h, w), (1, 2))
        return self.proj(y[:, :h, :w])


def _table(attention: ShiftedWindowAttention) -> None:
    nn.init.trunc_normal_(attention.relative_position_bias_table, std=0.02)


equip(ShiftedWindowAttention, reset=_table, window=COUNT)
