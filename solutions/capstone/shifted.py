"""Attention in windows that do not overlap, shifted in every other layer, for maps.

    roll x by the shift, cut it into windows      b c h w -> (b high wide) n c
    A = softmax(q k / sqrt(d) + B)                b head i j, among the n pixels of a window
    y = W A v, put back and rolled back           b c h w

Axes     b batch, c channels, (head d) those that leave, h w height and width in pixels, i j
         pixels of a window, high wide rows and columns of windows
Cost     4 c² + 2 window² c multiply-adds a pixel; (2 window - 1)² biases a head
Source   Liu et al., "Swin Transformer", ICCV 2021, arXiv:2103.14030, sec. 3.2
Differs  takes the place of a 3 x 3 convolution in a residual network, without the MLP and the
         norms of a Transformer's layer; a stride averages 2 x 2 pixels afterwards, as in
         stand-alone self-attention. Maps that the windows do not fill are padded, and the
         padding is masked; a map no wider than its window is not shifted, as in the paper
"""

import math

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor, nn
from torch.nn import functional as F

from solutions.arguments import FROM_0, equip


class ShiftedWindowAttention2d(nn.Module):
    """Each pixel attends to those of its window; a relative bias says how far they are.

    shift  by how many pixels the windows are moved, less than the window
    Raises ValueError when `heads` does not divide the channels, and for a shift as large as
    the window.
    """

    def __init__(
        self,
        channels: int,
        heads: int = 2,
        window: int = 4,
        shift: int = 0,
        stride: int = 1,
        out_channels: int | None = None,
    ):
        super().__init__()
        out_channels = channels if out_channels is None else out_channels
        if out_channels % heads:
            raise ValueError(f"channels={out_channels} is not a multiple of {heads=}")
        if shift >= window:
            raise ValueError(f"{shift=} is not less than {window=}")
        self.heads, self.window, self.shift, self.stride = heads, window, shift, stride
        self.qkv = nn.Conv2d(channels, 3 * out_channels, 1)
        self.out = nn.Conv2d(out_channels, out_channels, 1)
        side = 2 * window - 1
        self.bias = nn.Parameter(torch.randn(heads, side, side) * 0.02)

    def shifts(self, h: int, w: int) -> tuple[int, int]:
        """By how much rows and columns are rolled: not at all where one window holds them."""
        return tuple(self.shift if n > self.window else 0 for n in (h, w))

    def cut(self, x: Shaped[Tensor, "b c h w"]) -> Shaped[Tensor, "b high wide n c"]:
        """The pixels of each window as tokens; 0 where the map does not fill it."""
        h, w = x.shape[-2:]
        padded = F.pad(x, (0, -w % self.window, 0, -h % self.window))
        rolled = padded.roll([-n for n in self.shifts(h, w)], (-2, -1))
        sides = dict(y=self.window, x=self.window)
        return rearrange(rolled, "b c (high y) (wide x) -> b high wide (y x) c", **sides)

    def paste(
        self, tokens: Float[Tensor, "b high wide n c"], h: int, w: int
    ) -> Float[Tensor, "b c h w"]:
        """The map of which `cut` made the windows."""
        sides = dict(y=self.window, x=self.window)
        rolled = rearrange(tokens, "b high wide (y x) c -> b c (high y) (wide x)", **sides)
        return rolled.roll(self.shifts(h, w), (-2, -1))[..., :h, :w]

    def may_attend(self, h: int, w: int) -> Bool[Tensor, "high wide i j"]:
        """Whether two pixels of a window are neighbours in the map too: those that were rolled
        in from the other side, and the padding, are regions of their own."""
        device = self.bias.device
        axes = []
        for n, shift in zip((h, w), self.shifts(h, w), strict=True):
            place = torch.arange(n + -n % self.window, device=device)
            axes.append(torch.where(place < n, (place < shift).long(), 2))
        region = rearrange(3 * axes[0][:, None] + axes[1], "h w -> 1 1 h w")
        label = self.cut(region)[0, ..., 0]
        return rearrange(label, "... i -> ... i 1") == rearrange(label, "... j -> ... 1 j")

    def places(self) -> Float[Tensor, "head i j"]:
        """The bias of each pair of pixels in a window, by their offset."""
        n: Int[Tensor, " n"] = torch.arange(self.window, device=self.bias.device)
        offset = n - rearrange(n, "i -> i 1") + self.window - 1  # of key and query
        down, across = rearrange(offset, "i j -> i 1 j 1"), rearrange(offset, "i j -> 1 i 1 j")
        return rearrange(self.bias[:, down, across], "head yi xi yj xj -> head (yi xi) (yj xj)")

    def _weights(self, q: Tensor, k: Tensor, h: int, w: int) -> Tensor:
        scores = q @ rearrange(k, "... j d -> ... d j") / math.sqrt(q.shape[-1])
        seen = rearrange(self.may_attend(h, w), "high wide i j -> high wide 1 i j")
        return (scores + self.places()).masked_fill(~seen, -math.inf).softmax(-1)

    def _heads(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        pattern = "b high wide n (three head d) -> three b high wide head n d"
        return tuple(rearrange(self.cut(self.qkv(x)), pattern, three=3, head=self.heads))

    def attention(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b high wide head i j"]:
        """The weights within each window."""
        q, k, _ = self._heads(x)
        return self._weights(q, k, *x.shape[-2:])

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b f h2 w2"]:
        """What each pixel reads in its window; with a stride, averaged over its pixels."""
        h, w = x.shape[-2:]
        q, k, v = self._heads(x)
        y = self._weights(q, k, h, w) @ v
        y = rearrange(y, "b high wide head n d -> b high wide n (head d)")
        y = self.out(self.paste(y, h, w))
        return y if self.stride == 1 else F.avg_pool2d(y, self.stride, ceil_mode=True)


def _table(attention: ShiftedWindowAttention2d) -> None:
    nn.init.normal_(attention.bias, std=0.02)


equip(ShiftedWindowAttention2d, reset=_table, shift=FROM_0, window=None)
