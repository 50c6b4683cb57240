"""Residual networks for small pictures, activation first: wide ones, and deep narrow ones.

    y = x + a(conv(relu(BN(conv(relu(BN(x)))))))       b c h w -> b e i j, a is the attention
    e = 16 widen, 32 widen, 64 widen                   three stages, the maps halve between them
    depth = 6 n + 4, or 6 n + 2 by another count       n blocks a stage, of two 3x3 each
    depth = 9 n + 2, and e four times as large         with bottlenecks: 1x1, 3x3, 1x1

Axes     b batch, c channels, e outgoing channels, h w height and width in pixels, i j those of
         what comes out
Cost     trainable weights and multiply-adds for 32 x 32 and 100 classes: WRN-28-10 36,536,884,
         5.24 G; with pooled shortcuts 36,278,324, 5.21 G; 164 layers of bottlenecks 1,726,388,
         0.25 G
Source   Zagoruyko, Komodakis, "Wide Residual Networks", BMVC 2016, arXiv:1605.07146, table 1;
         He, Zhang, Ren, Sun, "Identity Mappings in Deep Residual Networks", ECCV 2016,
         arXiv:1603.05027 (activation first)
Differs  no dropout; a pooled shortcut takes the mean of what is there at the edge of an odd map
"""

from collections.abc import Collection

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from solutions.arguments import equip
from solutions.backbones.residual import (
    Attention,
    Convolution,
    Spatial,
    convolution,
    least_width,
    through,
    windows,
)
from solutions.channel import squeeze


class PooledShortcut(nn.Module):
    """A shortcut without weights: means of 2x2 pixels, and new channels that are 0."""

    def __init__(self, channels: int, out_channels: int, stride: int):
        super().__init__()
        self.stride = stride
        new = out_channels - channels
        self.before, self.after = new // 2, new - new // 2

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b e i j"]:
        """x, smaller and with more channels."""
        x = F.avg_pool2d(x, self.stride, ceil_mode=True)
        return F.pad(x, (0, 0, 0, 0, self.before, self.after))


def activated(conv: nn.Module, channels: int) -> list[nn.Module]:
    """A convolution behind its normalisation and ReLU."""
    return [nn.BatchNorm2d(channels), nn.ReLU(), conv]


class PreActivation(nn.Module):
    """A block whose convolutions stand behind their normalisation and ReLU."""

    def __init__(
        self,
        channels: int,
        out_channels: int,
        stride: int,
        window: Convolution,
        attention: Attention | None,
        pooled: bool,
        bottleneck: bool,
        stride_in: str,
    ):
        super().__init__()
        self.bn = nn.BatchNorm2d(channels)
        if bottleneck:
            middle = out_channels // 4
            early, late = (stride, 1) if stride_in == "1x1" else (1, stride)
            self.branch = nn.Sequential(
                convolution(channels, middle, 1, early),
                *activated(window(middle, middle, late), middle),
                *activated(convolution(middle, out_channels, 1), middle),
            )
        else:
            self.branch = nn.Sequential(
                window(channels, out_channels, stride),
                *activated(convolution(out_channels, out_channels, 3), out_channels),
            )
        self.attention = attention(out_channels) if attention else nn.Identity()
        self.shortcut, self.project = nn.Identity(), None
        if stride > 1 or channels != out_channels:
            if pooled:
                self.shortcut = PooledShortcut(channels, out_channels, stride)
            else:
                self.project = convolution(channels, out_channels, 1, stride)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b e i j"]:
        """The shortcut and the attended branch, added. A 1x1 shortcut sees the activated x."""
        active = self.bn(x).relu()
        kept = self.project(active) if self.project else self.shortcut(x)
        return kept + self.attention(self.branch(active))


class WideResNet(nn.Module):
    """A residual network in which activation comes first, for pictures of 32 x 32.

    attention   from channels to a module, which works on the branch before the addition
    stages      the stages whose blocks get it, counted from 1
    shortcut    where the shape changes: "1x1", a convolution, or "pooled", without weights
    between     from channels to a module, which stands between a stage and the next
    spatial     from channels, out_channels, stride, stage to a module that takes the place of
                a block's first 3x3, or to None, which keeps it
    bottleneck  blocks of 1x1, 3x3, 1x1, with stride_in="3x3" or the first "1x1"

    Raises ValueError for what does not exist.
    """

    def __init__(
        self,
        depth: int = 28,
        widen: int | float = 10,
        attention: Attention | None = None,
        classes: int = 100,
        stages: Collection[int] = (1, 2, 3),
        shortcut: str = "1x1",
        between: Attention | None = None,
        spatial: Spatial | None = None,
        bottleneck: bool = False,
        stride_in: str = "3x3",
    ):
        super().__init__()
        number, rest = divmod(depth - 2, 9 if bottleneck else 6)
        if number < 1 or rest not in ((0,) if bottleneck else (0, 2)):
            form = "9 n + 2" if bottleneck else "6 n + 4 or 6 n + 2"
            raise ValueError(f"{depth=} is not {form} with n from 1 on")
        if shortcut not in ("1x1", "pooled"):
            raise ValueError(f'{shortcut=} is neither "1x1" nor "pooled"')
        if stride_in not in ("3x3", "1x1"):
            raise ValueError(f'{stride_in=} is neither "3x3" nor "1x1"')
        if not set(stages) <= {1, 2, 3}:
            raise ValueError(f"{stages=} has others than 1, 2 and 3")
        pooled, channels = shortcut == "pooled", 16
        self.conv1 = convolution(3, channels, 3)
        for stage in (1, 2, 3):
            out_channels = int(16 * widen) * 2 ** (stage - 1) * (4 if bottleneck else 1)
            gate = attention if stage in stages else None
            window = windows(spatial, stage)
            kind = window, gate, pooled, bottleneck, stride_in
            layer = nn.Sequential(
                PreActivation(channels, out_channels, 1 if stage == 1 else 2, *kind)
            )
            for _ in range(number - 1):
                layer.append(PreActivation(out_channels, out_channels, 1, *kind))
            channels = out_channels
            self.add_module(f"layer{stage}", layer)
            follows = between is not None and stage < 3
            self.add_module(f"between{stage}", between(channels) if follows else nn.Identity())
        self.bn = nn.BatchNorm2d(channels)
        self.fc = nn.Linear(channels, classes)

    def features(self, x: Float[Tensor, "b rgb h w"]) -> Float[Tensor, "b e i j"]:
        """The maps behind the last stage, activated."""
        return self.bn(through(self, 3, self.conv1(x))).relu()

    def forward(self, x: Float[Tensor, "b rgb h w"]) -> Float[Tensor, "b classes"]:
        """One score for each class."""
        return self.fc(squeeze(self.features(x)))


def _wide_enough(widen: int | float, **_) -> None:
    least_width(widen, 16)


equip(PooledShortcut)
equip(PreActivation, window=None)  # it makes the convolution
equip(WideResNet, check=_wide_enough)
