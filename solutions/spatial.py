"""Spatial attention: the image decides where to look, not only which of its maps are loud.

    M_c = σ(Σ_p W_up relu(W_down p(x)))      CBAM, channel   p: mean, max over h, w; one W
    M_s = σ(norm(f * [max; mean over c]))    CBAM, spatial   b c h w -> b 2 h w -> b h w
    y = M_s(M_c x) M_c x                     CBAM            channel first, then spatial
    y = x + x σ(B_c + B_s)                   BAM             b c and b h w make b c h w
    y = x σ(f3 up(relu f2(relu f1 x̄)))       SResNet         x̄: mean over c; 46 weights
    y = x tanh(a (g + l) + μ g l)            GALA            g: b c, l: b h w, a and μ: c
    L = relu(Σ_c (mean of ∂S/∂A_c) A_c)      Grad-CAM        A: b c h w, S: score of a class

Axes     b batch, c channels, h w height and width in pixels, m = c / reduction
Units    CBAM's and SResNet's gains are in (0, 1), BAM's in (1, 2), GALA's in (-1, 1); L has
         those of the score, up to the number of pixels
Cost     weights: CBAM 2 c m + m + c and 2 kernel² + 2, its MLP runs once for each pool; BAM
         2 c m + 3 m + c and c m + 18 m² + 10 m + 1; SResNet 46; GALA 3 c m + 3 m + 3 c + 1
Source   Woo et al., "CBAM: Convolutional Block Attention Module", ECCV 2018, arXiv:1807.06521,
         eqs. 1-3; Park et al., "BAM: Bottleneck Attention Module", BMVC 2018,
         arXiv:1807.06514, eqs. 1-4; Linsley et al., "Learning what and where to attend",
         ICLR 2019, arXiv:1805.08819, sec. 3; Selvaraju et al., "Grad-CAM", ICCV 2017,
         arXiv:1610.02391, eqs. 1-2; SResNet: the spatial layer in Xu Ma's released code
Differs  CBAM's eq. 3 has (mean, max) and no normalisation; order (max, mean), BatchNorm and no
         bias are the released code's, which also starts BatchNorm's weight at 0. BAM's
         BatchNorms stand after the hidden layers, as released, where the paper has one at the
         end of each branch. CBAM does not say how parallel gates meet: here both see x and
         their gains multiply. GALA as printed: its code squashes by a sigmoid and has a 5x5
         convolution more. SResNet's map is cut to h w; the released one fails on odd sizes
"""

from collections.abc import Sequence

import torch
from einops import einsum, rearrange, reduce, repeat
from jaxtyping import Float, Int
from torch import Tensor, nn

from solutions.arguments import equip
from solutions.channel import bottleneck, squeeze
from solutions.splitting import Head, outside_inference, split_at


def centred(kernel: int) -> int:
    """The padding with which a convolution keeps the size. Raises ValueError if there is
    none."""
    if kernel % 2 == 0 or kernel < 1:
        raise ValueError(f"{kernel=} has no middle: take an odd one")
    return kernel // 2


class ChannelGate(nn.Module):
    """CBAM's channel attention: a gain for each channel out of its mean and its largest value.

    One MLP for all pools; its outputs are added before the sigmoid. With pools=("mean",) it is
    squeeze-and-excitation. Raises ValueError when `channels` is not a multiple of `reduction`.
    """

    def __init__(
        self, channels: int, reduction: int = 16, pools: Sequence[str] = ("mean", "max")
    ):
        super().__init__()
        if not pools or not set(pools) <= {"mean", "max"}:
            raise ValueError(f'{pools=}: one or both of "mean" and "max"')
        self.pools = tuple(pools)
        self.down = nn.Linear(channels, bottleneck(channels, reduction))
        self.up = nn.Linear(channels // reduction, channels)

    def attention(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c"]:
        """One gain per image and channel, in (0, 1)."""
        pooled = (reduce(x, "b c h w -> b c", pool) for pool in self.pools)
        return sum(self.up(self.down(z).relu()) for z in pooled).sigmoid()

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """x, each channel scaled by its gain."""
        return x * rearrange(self.attention(x), "b c -> b c 1 1")


class SpatialGate(nn.Module):
    """CBAM's spatial attention: a gain for each pixel out of its neighbourhood.

    Each pixel is described by the largest and the mean of its channels, in this order. Raises
    ValueError for an even kernel.
    """

    def __init__(self, kernel: int = 7):
        super().__init__()
        self.conv = nn.Conv2d(2, 1, kernel, padding=centred(kernel), bias=False)
        self.norm = nn.BatchNorm2d(1)

    def describe(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b two h w"]:
        """The largest and the mean of the channels, for each pixel."""
        pooled = [reduce(x, "b c h w -> b h w", pool) for pool in ("max", "mean")]
        return rearrange(pooled, "two b h w -> b two h w")

    def attention(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b h w"]:
        """One gain per image and pixel, in (0, 1)."""
        logits = self.norm(self.conv(self.describe(x)))
        return rearrange(logits, "b 1 h w -> b h w").sigmoid()

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """x, each pixel scaled by its gain."""
        return x * rearrange(self.attention(x), "b h w -> b 1 h w")


class ProjectedSpatialGate(SpatialGate):
    """The other half of CBAM's Table 2: a 1x1 convolution describes each pixel by one number,
    instead of pooling."""

    def __init__(self, channels: int, kernel: int = 7):
        super().__init__(kernel)
        self.mix = nn.Conv2d(channels, 1, 1)
        self.conv = nn.Conv2d(1, 1, kernel, padding=centred(kernel), bias=False)

    def describe(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b one h w"]:
        """One learned mixture of the channels, for each pixel."""
        return self.mix(x)


class CBAM(nn.Module):
    """First which channels, then where in the image.

    order     who sees the work of whom: "channel-spatial", "spatial-channel" or "parallel"
    pools     what the channel gate pools by
    describe  what the spatial gate sees of a pixel: its channels pooled ("pool"), or one
              learned mixture of them ("conv")
    """

    ORDERS = ("channel-spatial", "spatial-channel", "parallel")

    def __init__(
        self,
        channels: int,
        reduction: int = 16,
        kernel: int = 7,
        order: str = "channel-spatial",
        pools: Sequence[str] = ("mean", "max"),
        describe: str = "pool",
    ):
        super().__init__()
        if order not in self.ORDERS:
            raise ValueError(f"{order=} is none of {', '.join(self.ORDERS)}")
        if describe not in ("pool", "conv"):
            raise ValueError(f'{describe=} is neither "pool" nor "conv"')
        self.order = order
        self.channel = ChannelGate(channels, reduction, pools)
        if describe == "pool":
            self.spatial = SpatialGate(kernel)
        else:
            self.spatial = ProjectedSpatialGate(channels, kernel)

    def attention(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """The gain of each channel at each pixel: the product of both gates' gains."""
        if self.order == "spatial-channel":
            where = rearrange(self.spatial.attention(x), "b h w -> b 1 h w")
            return where * rearrange(self.channel.attention(x * where), "b c -> b c 1 1")
        what = rearrange(self.channel.attention(x), "b c -> b c 1 1")
        seen = x if self.order == "parallel" else x * what
        return what * rearrange(self.spatial.attention(seen), "b h w -> b 1 h w")

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """x, each number scaled by its gain."""
        return x * self.attention(x)


class ChannelBranch(nn.Module):
    """BAM's view of the channels: a logit for each, out of its mean over the image."""

    def __init__(self, channels: int, reduction: int = 16):
        super().__init__()
        middle = bottleneck(channels, reduction)
        self.down = nn.Linear(channels, middle)
        self.norm = nn.BatchNorm1d(middle)
        self.up = nn.Linear(middle, channels)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c"]:
        """One logit per image and channel; no sigmoid yet."""
        return self.up(self.norm(self.down(squeeze(x))).relu())


class SpatialBranch(nn.Module):
    """BAM's view of the pixels: a logit for each, out of 4 dilation + 1 pixels
    across."""

    def __init__(self, channels: int, reduction: int = 16, dilation: int = 4):
        super().__init__()
        middle = bottleneck(channels, reduction)
        self.down = nn.Conv2d(channels, middle, 1)
        self.near = nn.Conv2d(middle, middle, 3, padding=dilation, dilation=dilation)
        self.far = nn.Conv2d(middle, middle, 3, padding=dilation, dilation=dilation)
        self.norms = nn.ModuleList(nn.BatchNorm2d(middle) for _ in range(3))
        self.out = nn.Conv2d(middle, 1, 1)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b h w"]:
        """One logit per image and pixel; no sigmoid yet."""
        layers = (self.down, self.near, self.far)
        for layer, norm in zip(layers, self.norms, strict=True):
            x = norm(layer(x)).relu()
        return rearrange(self.out(x), "b 1 h w -> b h w")


class BAM(nn.Module):
    """Both branches see x; together they say how much of x is added to it.

    `combine` is how the branches meet: "sum", as in the paper, or "product", as in its
    released code.
    """

    def __init__(
        self, channels: int, reduction: int = 16, dilation: int = 4, combine: str = "sum"
    ):
        super().__init__()
        if combine not in ("sum", "product"):
            raise ValueError(f'{combine=} is neither "sum" nor "product"')
        self.combine = combine
        self.channel = ChannelBranch(channels, reduction)
        self.spatial = SpatialBranch(channels, reduction, dilation)

    def attention(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """How much each number is raised, in (0, 1)."""
        what = rearrange(self.channel(x), "b c -> b c 1 1")
        where = rearrange(self.spatial(x), "b h w -> b 1 h w")
        return (what + where if self.combine == "sum" else what * where).sigmoid()

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """x, and what the map lets through once more."""
        return x + x * self.attention(x)


class SpatialLayer(nn.Module):
    """SResNet's gain for each pixel: the mean channel, seen coarsely, in 46 weights."""

    def __init__(self):
        super().__init__()
        self.look = nn.Conv2d(1, 1, 5, padding=2)
        self.shrink = nn.Conv2d(1, 1, 3, stride=2, padding=1)
        self.smooth = nn.Conv2d(1, 1, 3, padding=1)

    def attention(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b h w"]:
        """One gain per image and pixel, in (0, 1)."""
        h, w = x.shape[-2:]
        z = reduce(x, "b c h w -> b 1 h w", "mean")
        z = self.shrink(self.look(z).relu()).relu()
        z = repeat(z, "b 1 h w -> b 1 (h down) (w across)", down=2, across=2)
        return rearrange(self.smooth(z[..., :h, :w]), "b 1 h w -> b h w").sigmoid()

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """x, each pixel scaled by its gain."""
        return x * rearrange(self.attention(x), "b h w -> b 1 h w")


class GALA(nn.Module):
    """Global and local attention: what the whole image and what the pixel itself say, summed
    and multiplied; every channel weighs the two by itself. A gain may turn the sign."""

    def __init__(self, channels: int, reduction: int = 4):
        super().__init__()
        middle = bottleneck(channels, reduction)
        self.down = nn.Linear(channels, middle)
        self.up = nn.Linear(middle, channels)
        self.shrink = nn.Conv2d(channels, middle, 1)
        self.collapse = nn.Conv2d(middle, 1, 1)
        self.additive = nn.Parameter(torch.randn(channels) / channels**0.5)
        self.multiplicative = nn.Parameter(torch.randn(channels) / channels**0.5)

    def channels(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c"]:
        """What the image as a whole says of each channel: g."""
        return self.up(self.down(squeeze(x)).relu())

    def pixels(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b h w"]:
        """What each pixel says of itself: l."""
        return rearrange(self.collapse(self.shrink(x).relu()), "b 1 h w -> b h w")

    def attention(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """The gain of each channel at each pixel, in (-1, 1)."""
        g = rearrange(self.channels(x), "b c -> b c 1 1")
        l = rearrange(self.pixels(x), "b h w -> b 1 h w")  # noqa: E741 (the paper's letter)
        a = rearrange(self.additive, "c -> c 1 1")
        m = rearrange(self.multiplicative, "c -> c 1 1")
        return (a * (g + l) + m * g * l).tanh()

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """x, each number scaled by its gain."""
        return x * self.attention(x)


def grad_cam(
    maps: Float[Tensor, "b c h w"],
    head: Head,
    classes: Int[Tensor, " b"],
    rectify: bool = True,
) -> Float[Tensor, "b h w"]:
    """Where the maps speak for a class: `head` makes of them the scores, b k, of all classes.

    The score is the one before any softmax. `rectify=False` keeps what speaks against it.
    It must leave no gradient in the maps or in the head's weights.
    """
    with torch.enable_grad():
        maps = maps.detach().requires_grad_()
        scores = head(maps)
        chosen = scores[torch.arange(len(scores), device=scores.device), classes]
        (gradient,) = torch.autograd.grad(chosen.sum(), maps)
    gains = reduce(gradient, "b c h w -> b c", "mean")
    raw = einsum(gains, maps.detach(), "b c, b c h w -> b h w")
    return raw.relu() if rectify else raw


def _shares_of_both(gala: GALA) -> None:
    for share in (gala.additive, gala.multiplicative):
        nn.init.normal_(share, std=len(share) ** -0.5)


equip(ChannelGate, SpatialGate, ProjectedSpatialGate, CBAM)
equip(ChannelBranch, SpatialBranch, BAM, SpatialLayer)
equip(GALA, reset=_shares_of_both)
grad_cam = outside_inference(grad_cam)

__all__ = [
    "BAM",
    "CBAM",
    "GALA",
    "ChannelBranch",
    "ChannelGate",
    "Head",
    "ProjectedSpatialGate",
    "SpatialBranch",
    "SpatialGate",
    "SpatialLayer",
    "centred",
    "grad_cam",
    "split_at",
]
