"""Channel attention: the image decides how loud each of its feature maps should be.

    z = mean of x over h, w                 squeeze    b c h w -> b c
    s = σ(W_up relu(W_down z))              excite     b c -> b m -> b c
    y = s x                                 scale      b c, b c h w -> b c h w
    y = relu(x + s F(x))                    standard   the gate in a block with branch F
    z = mean of x around every e-th pixel   gather θ⁻  b c h w -> b c u v, u = h / e rounded up
    z = BN(w * x), a filter a channel       gather θ   b c h w -> b c u v, 1 1 for the whole map
    y = σ(z spread to h w) x                excite     θ, θ⁻; the two layers above before σ: θ⁺
    s = σ(k * z along c)                    ECA        b c -> b c, k weights for all channels

Axes     b batch, c channels, h w height and width in pixels, m = c / reduction,
         u v rows and columns of the gathered map
Units    s is a gain in (0, 1), without dimension; y keeps the units of x
Cost     weights: 2 c m (+ c + m biases) for squeeze-excite; 0 for θ⁻; (h w + 2) c for θ of the
         whole map, (9 + 2) c for each halving of a local one; k for ECA. Squeeze-excite takes
         2 c m multiply-adds an image, and two passes over x
Source   Hu, Shen, Sun, "Squeeze-and-Excitation Networks", CVPR 2018, arXiv:1709.01507, eqs.
         2-5, and the placements of the journal version (TPAMI 2020), table 14;
         Hu, Shen, Albanie, Sun, Vedaldi, "Gather-Excite: Exploiting Feature Context in
         Convolutional Neural Networks", NeurIPS 2018, arXiv:1810.12348, secs. 2 and 3;
         Wang et al., "ECA-Net", CVPR 2020, arXiv:1910.03151, eqs. 9 and 12
Differs  squeeze-excite has no biases, as in eq. 3, unless asked: the authors' Caffe release has
         them in both layers. Odd maps are gathered to their half rounded up, which the papers
         never need
"""

import math
from collections.abc import Callable

import torch
from einops import rearrange, reduce
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from solutions.arguments import equip, sides

PLACEMENTS = ("standard", "pre", "post", "identity")


def squeeze(x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c"]:
    """One number for each feature map: its mean."""
    return reduce(x, "b c h w -> b c", "mean")


class SqueezeExcite(nn.Module):
    """Scale every channel by a gain computed from the whole image.

    Raises ValueError when `channels` is not a multiple of `reduction`.
    """

    def __init__(self, channels: int, reduction: int = 16, bias: bool = False):
        super().__init__()
        middle = bottleneck(channels, reduction)
        self.down = nn.Linear(channels, middle, bias=bias)
        self.up = nn.Linear(middle, channels, bias=bias)

    def attention(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c"]:
        """One gain per image and channel, in (0, 1)."""
        z = squeeze(x)
        return self.up(self.down(z).relu()).sigmoid()

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """x, each channel scaled by its gain."""
        return x * rearrange(self.attention(x), "b c -> b c 1 1")


def bottleneck(channels: int, reduction: int) -> int:
    """The width between the two layers. Raises ValueError where it is no whole number."""
    if reduction < 1 or channels < 1 or channels % reduction:
        raise ValueError(
            f"{channels=} is not a multiple of {reduction=}; the width between the layers is"
            " their quotient"
        )
    return channels // reduction


def added_parameters(
    stages: tuple[tuple[int, int], ...], reduction: int = 16, bias: bool = False
) -> int:
    """How many weights squeeze-and-excitation adds to a network (eq. 5 of the paper).

    stages  for each stage how many blocks it has, and how many channels come out of them
    """
    total = 0
    for blocks, channels in stages:
        m = bottleneck(channels, reduction)
        total += blocks * (2 * channels * m + bias * (channels + m))
    return total


def identity(x: Tensor) -> Tensor:
    """x, as it came: the shortcut of a block that keeps the shape."""
    return x


def residual(
    x: Float[Tensor, "b c h w"],
    branch: Callable,
    gate: Callable,
    placement: str = "standard",
    shortcut: Callable = identity,
) -> Float[Tensor, "b out rows columns"]:
    """A residual block, with its gate in one of four places.

    branch    the convolutions F, to the shape that `shortcut` gives
    gate      what scales its input, such as a SqueezeExcite: as wide as x where it stands
              before the branch ("pre"), else as wide as the output
    Raises ValueError, with its name, for an unknown placement.
    """
    if placement == "standard":
        return (shortcut(x) + gate(branch(x))).relu()
    if placement == "pre":
        return (shortcut(x) + branch(gate(x))).relu()
    if placement == "post":
        return gate((shortcut(x) + branch(x)).relu())
    if placement == "identity":
        return (gate(shortcut(x)) + branch(x)).relu()
    raise ValueError(f"{placement=} is none of {', '.join(PLACEMENTS)}")


# An answer of chapter 5; nothing in the library uses it.


def placement_of(block: Callable) -> str:
    """Where a residual block has its gate, found out by two probes, without looking inside.

    block  is called as block(x, branch, gate), in this order, and returns its output: x is
           b c h w of any size and floating type, branch and gate are functions that keep its
           shape. Without any gate it reads as "pre": a branch that returns a constant does not
           show what it was given
    Returns one of PLACEMENTS, or "none of the four" where the probes give what none of them
    would give.
    """

    def halve(t):
        return t / 2

    x = torch.ones(1, 1, 1, 1)
    silent = block(x, torch.zeros_like, halve).item()  # what of x gets through
    steady = block(x, torch.ones_like, halve).item() - silent  # what of the branch
    return {
        (1.0, 0.5): "standard",
        (1.0, 1.0): "pre",
        (0.5, 0.5): "post",
        (0.5, 1.0): "identity",
    }.get((silent, steady), "none of the four")


def gather(x: Float[Tensor, "b c h w"], extent: int | None = None) -> Float[Tensor, "b c u v"]:
    """The mean of each map around every `extent`-th pixel, over the pixels that are nearer than
    `extent` in rows and in columns; without an extent, over the whole map, b c 1 1.
    """
    if extent is None:
        return reduce(x, "b c h w -> b c 1 1", "mean")
    return F.avg_pool2d(x, 2 * extent - 1, extent, extent - 1, count_include_pad=False)


class GatherExcite(nn.Module):
    """Scale every channel at every place by what is gathered around it.

    extent     how far a pixel looks, and by how much the gathered map is smaller; the whole map
               where it is left out
    learned    gather by filters, one a channel (θ), instead of by means (θ⁻): one as large as
               the map for the whole map; else a 3x3 at every other pixel, once a halving
    size       height and width of the maps, which a filter as large as the map must know
    reduction  with a number, two layers over the channels follow, as in squeeze-excite (θ⁺);
               over means of the whole map that is squeeze-excite with biases
    Raises ValueError
        for an extent below 1
        if learned, for an extent that is no power of two from 2 on
        if learned, for neither extent nor size
        if learned over the whole map, for maps of another than `size`, with both sizes
    """

    def __init__(
        self,
        channels: int,
        size: tuple[int, int] | None = None,
        extent: int | None = None,
        learned: bool = False,
        reduction: int | None = None,
    ):
        super().__init__()
        if extent is not None and extent < 1:
            raise ValueError(f"{extent=} must be at least 1")
        self.extent, self.size = extent, size
        self.filters = gather_filters(channels, size, extent) if learned else None
        self.layers = None
        if reduction is not None:
            middle = bottleneck(channels, reduction)
            first = nn.ReLU() if learned else nn.Identity()  # after the batch norm
            down, up = nn.Conv2d(channels, middle, 1), nn.Conv2d(middle, channels, 1)
            self.layers = nn.Sequential(first, down, nn.ReLU(), up)

    def gather(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c u v"]:
        """What there is around every `extent`-th pixel."""
        if self.filters is None:
            return gather(x, self.extent)
        if self.extent is None and tuple(x.shape[-2:]) != tuple(self.size):
            raise ValueError(
                f"maps are {tuple(x.shape[-2:])}; filters were made for {self.size}"
            )
        return self.filters(x)

    def attention(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """A gain per image, channel and pixel, in (0, 1)."""
        z = self.gather(x)
        if self.layers is not None:
            z = self.layers(z)
        return F.interpolate(z.sigmoid(), x.shape[-2:])  # every pixel from the nearest

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """x, each channel at each pixel scaled by its gain."""
        return x * self.attention(x)


def gather_filters(
    channels: int, size: tuple[int, int] | None, extent: int | None
) -> nn.Sequential:
    """A filter a channel: one as large as the map, or 3x3 at every other pixel, repeated."""
    norm = nn.BatchNorm2d
    if extent is None:
        if size is None:
            raise ValueError("filters over the whole map need its size=(height, width)")
        whole = nn.Conv2d(channels, channels, size, groups=channels, bias=False)
        return nn.Sequential(whole, norm(channels))
    halvings = extent.bit_length() - 1
    if extent != 2**halvings or not halvings:
        raise ValueError(
            f"{extent=} is no power of two from 2 on: each 3x3 filter halves the map"
        )
    steps = []
    for _ in range(halvings):
        filters = nn.Conv2d(channels, channels, 3, 2, 1, groups=channels, bias=False)
        steps += [filters, norm(channels), nn.ReLU()]
    return nn.Sequential(*steps[:-1])  # no relu after the last


class ECA(nn.Module):
    """Scale every channel by a gain computed from the means of its neighbours in the list of
    channels.

    window  how many of them, odd; grows with the logarithm of the channels where left out
    """

    def __init__(self, channels: int, window: int | None = None):
        super().__init__()
        window = eca_window(channels) if window is None else window
        if window < 1 or window % 2 == 0:
            raise ValueError(f"{window=} must be odd, so that it has a middle")
        self.conv = nn.Conv1d(1, 1, window, padding=window // 2, bias=False)

    def attention(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c"]:
        """One gain per image and channel, in (0, 1)."""
        z = rearrange(squeeze(x), "b c -> b 1 c")
        return rearrange(self.conv(z), "b 1 c -> b c").sigmoid()

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """x, each channel scaled by its gain."""
        return x * rearrange(self.attention(x), "b c -> b c 1 1")


def eca_window(channels: int) -> int:
    """log2(c) / 2 + 1/2, cut to a whole number, and one more where that is even."""
    cut = int((math.log2(channels) + 1) / 2)
    return cut if cut % 2 else cut + 1


equip(SqueezeExcite, ECA)
equip(GatherExcite, size=sides(alone=False))
