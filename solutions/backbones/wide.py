"""Wide residual networks for small pictures: activation first, few layers, many channels.

    y = x + a(conv(relu(BN(conv(relu(BN(x)))))))      b c h w -> b e i j, a is the attention
    depth = 6 n + 4, or 6 n + 2 for the narrow ones   three stages of n blocks
    e = 16 widen, 32 widen, 64 widen                  the maps halve between the stages

Axes     b batch, c channels, e outgoing channels, h w height and width in pixels, i j those of
         what comes out
Cost     WRN-28-10 with 100 classes: 36,536,884 weights and 5.24 G multiply-adds for 32 x 32;
         with pooled shortcuts 36,278,324 and 5.21 G
Source   Zagoruyko, Komodakis, "Wide Residual Networks", BMVC 2016, arXiv:1605.07146, table 1;
         He, Zhang, Ren, Sun, "Identity Mappings in Deep Residual Networks", ECCV 2016,
         arXiv:1603.05027 (activation first)
Differs  no dropout. The pooled shortcut counts no places outside of an odd map
"""

from collections.abc import Collection

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from solutions.backbones.residual import (
    Attention,
    Convolution,
    Spatial,
    convolution,
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


class PreActivation(nn.Module):
    """Two 3x3 convolutions, each behind its normalisation and its ReLU."""

    def __init__(
        self,
        channels: int,
        out_channels: int,
        stride: int,
        window: Convolution,
        attention: Attention | None,
        pooled: bool,
    ):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv1 = window(channels, out_channels, stride)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.conv2 = convolution(out_channels, out_channels, 3)
        self.attention = attention(out_channels) if attention else nn.Identity()
        self.project = None
        self.shortcut = nn.Identity()
        if stride > 1 or channels != out_channels:
            if pooled:
                self.shortcut = PooledShortcut(channels, out_channels, stride)
            else:
                self.project = convolution(channels, out_channels, 1, stride)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b e i j"]:
        """The shortcut and the attended branch, added. A 1x1 shortcut sees the activated x."""
        active = self.bn1(x).relu()
        branch = self.conv2(self.bn2(self.conv1(active)).relu())
        kept = self.project(active) if self.project else self.shortcut(x)
        return kept + self.attention(branch)


class WideResNet(nn.Module):
    """A residual network in which activation comes first, for pictures of 32 x 32.

    depth      28 with widen=10 is WRN-28-10; 110 with widen=1 is the PreResNet-110
    attention  from channels to a module, which works on the branch before the addition
    stages     the stages whose blocks get it, counted from 1
    shortcut   where the shape changes: "1x1", a convolution, or "pooled", which has no weights
    between    from channels to a module, which stands between a stage and the next
    spatial    from channels, out_channels, stride, stage to a module that takes the place of a
               block's first 3x3, or to None, which keeps it
    Raises ValueError for what does not exist.
    """

    def __init__(
        self,
        depth: int = 28,
        widen: float = 10,
        attention: Attention | None = None,
        classes: int = 100,
        stages: Collection[int] = (1, 2, 3),
        shortcut: str = "1x1",
        between: Attention | None = None,
        spatial: Spatial | None = None,
    ):
        super().__init__()
        if depth < 8 or depth % 6 not in (2, 4):
            raise ValueError(f"{depth=} is neither 6 n + 2 nor 6 n + 4 with n from 1 on")
        if shortcut not in ("1x1", "pooled"):
            raise ValueError(f'{shortcut=} is neither "1x1" nor "pooled"')
        channels = 16
        self.conv1 = convolution(3, channels, 3)
        self.between = nn.ModuleList()
        for stage in (1, 2, 3):
            out_channels = int(16 * widen) * 2 ** (stage - 1)
            layer = nn.Sequential()
            for position in range((depth - 2) // 6):
                stride = 2 if stage > 1 and position == 0 else 1
                gate = attention if stage in stages else None
                window = windows(spatial, stage)
                layer.append(
                    PreActivation(
                        channels, out_channels, stride, window, gate, shortcut == "pooled"
                    )
                )
                channels = out_channels
            self.add_module(f"layer{stage}", layer)
            self.between.append(between(channels) if between and stage < 3 else nn.Identity())
        self.bn = nn.BatchNorm2d(channels)
        self.fc = nn.Linear(channels, classes)

    def features(self, x: Float[Tensor, "b rgb h w"]) -> Float[Tensor, "b e i j"]:
        """The maps behind the last stage, activated."""
        x = self.conv1(x)
        for stage, between in enumerate(self.between, start=1):
            x = between(self.get_submodule(f"layer{stage}")(x))
        return self.bn(x).relu()

    def forward(self, x: Float[Tensor, "b rgb h w"]) -> Float[Tensor, "b classes"]:
        """One score for each class."""
        return self.fc(squeeze(self.features(x)))
