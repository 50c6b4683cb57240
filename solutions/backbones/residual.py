"""Residual networks with a place for attention: one skeleton for every mechanism.

    y = relu(shortcut(x) + a(branch(x)))        b c h w -> b e i j, a is the attention
    basic        3x3, 3x3                       e = planes
    bottleneck   1x1, 3x3 in groups, 1x1        e = 4 planes
    planes double from stage to stage, h and w halve at the first block of all but the first

Axes     b batch, c channels, e outgoing channels, h w height and width in pixels, i j those of
         what comes out
Cost     trainable weights and multiply-adds of convolutions and fully connected layers, for
         224 x 224, with the stride in the 3x3 | in the first 1x1:
         ResNet-18 11,689,512, 1.81 G; ResNet-50 25,557,032, 4.09 G | 3.86 G;
         ResNet-101 44,549,160, 7.80 G | 7.57 G; ResNeXt-50 (32x4d) 25,028,904, 4.23 G | 3.77 G
Source   He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition", CVPR 2016,
         arXiv:1512.03385; He et al., "Delving Deep into Rectifiers", ICCV 2015,
         arXiv:1502.01852, eq. 14 (the variance of the weights at the start);
         Xie et al., "Aggregated Residual Transformations for Deep Neural Networks", CVPR 2017,
         arXiv:1611.05431 (groups, width; depth 29 is theirs, for 32 x 32);
         Ramachandran et al., "Stand-Alone Self-Attention in Vision Models", NeurIPS 2019,
         arXiv:1906.05909 (depths 26 and 38)
Differs  the stride stands in the 3x3, as everybody has it now; He et al. and the papers on
         attention that count their operations have it in the first 1x1 (`stride_in="1x1"`)
"""

from collections.abc import Callable, Collection

from jaxtyping import Float
from torch import Tensor, nn

from solutions.arguments import equip
from solutions.channel import PLACEMENTS, residual, squeeze

Attention = Callable[[int], nn.Module]  # channels
Spatial = Callable[[int, int, int, int], nn.Module | None]  # channels, out, stride, stage
Convolution = Callable[[int, int, int], nn.Module]  # channels, out, stride

BASIC = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3)}
BOTTLENECK = {
    26: (1, 2, 4, 1),
    29: (3, 3, 3),
    38: (2, 3, 5, 2),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
}


class HeConv2d(nn.Conv2d):
    """A convolution whose weights start as He et al.'s."""

    def reset_parameters(self) -> None:
        """The variance of the gradients is kept, through a ReLU."""
        super().reset_parameters()  # so that a seed gives what it always gave
        nn.init.kaiming_normal_(self.weight, mode="fan_out", nonlinearity="relu")


def convolution(
    channels: int, out_channels: int, window: int, stride: int = 1, groups: int = 1
) -> nn.Conv2d:
    """A convolution that keeps the size of the map, up to its stride; He et al.'s start."""
    padding = window // 2
    return HeConv2d(channels, out_channels, window, stride, padding, groups=groups, bias=False)


def least_width(widen: int | float, planes: int) -> None:
    """Raises ValueError where `planes` channels times `widen` are less than one."""
    if int(planes * widen) < 1:
        raise ValueError(
            f"{widen=} leaves none of {planes} channels: take {1 / planes} or more"
        )


def windows(spatial: Spatial | None, stage: int, groups: int = 1) -> Convolution:
    """What makes the 3x3 of a stage: a convolution, or what `spatial` puts in its place."""

    def make(channels: int, out_channels: int, stride: int) -> nn.Module:
        chosen = spatial(channels, out_channels, stride, stage) if spatial else None
        kept = chosen is None
        return convolution(channels, out_channels, 3, stride, groups) if kept else chosen

    return make


class ResidualBlock(nn.Module):
    """What all blocks share: the shortcut, the addition and the place for attention.

    Whoever inherits has a `branch` from `channels` to `out_channels`.
    """

    def join(
        self,
        channels: int,
        out_channels: int,
        stride: int,
        attention: Attention | None,
        placement: str,
    ):
        """Make what stands around the branch."""
        self.placement = placement
        gated = channels if placement == "pre" else out_channels
        self.attention = attention(gated) if attention else nn.Identity()
        self.downsample = nn.Identity()
        if stride > 1 or channels != out_channels:
            self.downsample = nn.Sequential(
                convolution(channels, out_channels, 1, stride), nn.BatchNorm2d(out_channels)
            )

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b e i j"]:
        """The shortcut and the attended branch, added."""
        return residual(x, self.branch, self.attention, self.placement, self.downsample)


class Basic(ResidualBlock):
    """Two 3x3 convolutions."""

    expansion = 1

    def __init__(
        self,
        channels: int,
        planes: int,
        stride: int,
        window: Convolution,
        attention: Attention | None,
        placement: str,
    ):
        super().__init__()
        self.conv1 = window(channels, planes, stride)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = window(planes, planes, 1)
        self.bn2 = nn.BatchNorm2d(planes)
        self.join(channels, planes, stride, attention, placement)

    def branch(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b e i j"]:
        """The maps that are to be added to x, before attention."""
        return self.bn2(self.conv2(self.bn1(self.conv1(x)).relu()))


class Bottleneck(ResidualBlock):
    """A 3x3 convolution of `middle` channels between two 1x1, which narrow and widen."""

    expansion = 4

    def __init__(
        self,
        channels: int,
        planes: int,
        stride: int,
        window: Convolution,
        attention: Attention | None,
        placement: str,
        middle: int,
        stride_in: str,
    ):
        super().__init__()
        out_channels = planes * self.expansion
        early, late = (stride, 1) if stride_in == "1x1" else (1, stride)
        self.conv1 = convolution(channels, middle, 1, early)
        self.bn1 = nn.BatchNorm2d(middle)
        self.conv2 = window(middle, middle, late)
        self.bn2 = nn.BatchNorm2d(middle)
        self.conv3 = convolution(middle, out_channels, 1)
        self.bn3 = nn.BatchNorm2d(out_channels)
        self.join(channels, out_channels, stride, attention, placement)

    def branch(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b e i j"]:
        """The maps that are to be added to x, before attention."""
        x = self.bn1(self.conv1(x)).relu()
        x = self.bn2(self.conv2(x)).relu()
        return self.bn3(self.conv3(x))


def begin(stem: str | nn.Module, channels: int) -> tuple[nn.Module, nn.Module, nn.Module]:
    """Convolution, normalisation and pooling before the first stage."""
    if isinstance(stem, nn.Module):
        return stem, nn.Identity(), nn.Identity()
    if stem == "imagenet":
        first, pool = convolution(3, channels, 7, 2), nn.MaxPool2d(3, 2, padding=1)
    elif stem == "small":
        first, pool = convolution(3, channels, 3), nn.Identity()
    else:
        raise ValueError(f'{stem=} is neither "imagenet" nor "small" nor a module')
    return first, nn.BatchNorm2d(channels), pool


def through(
    network: nn.Module, stages: int, x: Float[Tensor, "b c h w"]
) -> Float[Tensor, "b e i j"]:
    """The stages of a network one after the other, with what stands between them."""
    for stage in range(1, stages + 1):
        x = getattr(network, f"layer{stage}")(x)
        x = getattr(network, f"between{stage}")(x)
    return x


class ResNet(nn.Module):
    """A residual network whose blocks have a place for attention.

    attention      from channels to a module, which works on the branch before the addition
    stages         the stages whose blocks get it, counted from 1
    groups, width  ResNeXt: groups of the 3x3, and the width of one where planes are 64
    stem           "imagenet" (7x7 and pooling: a quarter of the size), "small" (3x3, for
                   pictures of 32 x 32), or a module that makes 64 maps; a ReLU follows it
    stride_in      which convolution of a bottleneck halves the map, "3x3" or the first "1x1"
    between        from channels to a module, which stands between a stage and the next
    spatial        from channels, out_channels, stride, stage to a module that takes the place
                   of a 3x3, or to None, which keeps it
    placement      where in a block attention stands: see `residual` in solutions.channel
    widen          multiplies the planes of the stages; the stem keeps its 64
    zero_init      start each block as its shortcut alone: no weight in its last normalisation

    The names of the weights are torchvision's. Raises ValueError for what does not exist.
    """

    def __init__(
        self,
        depth: int,
        attention: Attention | None = None,
        classes: int = 1000,
        stages: Collection[int] = (1, 2, 3, 4),
        groups: int = 1,
        width: int = 64,
        stem: str | nn.Module = "imagenet",
        stride_in: str = "3x3",
        between: Attention | None = None,
        spatial: Spatial | None = None,
        placement: str = "standard",
        widen: int | float = 1,
        zero_init: bool = False,
    ):
        super().__init__()
        blocks = BASIC | BOTTLENECK
        if depth not in blocks:
            raise ValueError(f"{depth=} is none of {sorted(blocks)}")
        if stride_in not in ("3x3", "1x1"):
            raise ValueError(f'{stride_in=} is neither "3x3" nor "1x1"')
        if placement not in PLACEMENTS:
            raise ValueError(f"{placement=} is none of {', '.join(PLACEMENTS)}")
        if depth in BASIC and (groups, width) != (1, 64):
            raise ValueError(f"{depth=} has no bottlenecks for {groups=}, {width=}")
        if not set(stages) <= {1, 2, 3, 4}:
            raise ValueError(f"{stages=} has others than 1, 2, 3 and 4")
        channels = 64
        self.conv1, self.bn1, self.maxpool = begin(stem, channels)
        self.numbers = blocks[depth]
        for stage, number in enumerate(self.numbers, start=1):
            planes = int(64 * widen) * 2 ** (stage - 1)
            layer = nn.Sequential()
            for position in range(number):
                stride = 2 if stage > 1 and position == 0 else 1
                gate = attention if stage in stages else None
                window = windows(spatial, stage, groups)
                place = channels, planes, stride, window, gate, placement
                if depth in BASIC:
                    block = Basic(*place)
                else:
                    block = Bottleneck(*place, planes * width // 64 * groups, stride_in)
                layer.append(block)
                channels = planes * block.expansion
            self.add_module(f"layer{stage}", layer)
            follows = between is not None and stage < len(self.numbers)
            self.add_module(f"between{stage}", between(channels) if follows else nn.Identity())
        self.fc = nn.Linear(channels, classes)
        self.zero_init = zero_init
        _shortcuts_alone(self)

    def features(self, x: Float[Tensor, "b rgb h w"]) -> Float[Tensor, "b e i j"]:
        """The maps behind the last stage."""
        x = self.maxpool(self.bn1(self.conv1(x)).relu())
        return through(self, len(self.numbers), x)

    def forward(self, x: Float[Tensor, "b rgb h w"]) -> Float[Tensor, "b classes"]:
        """One score for each class."""
        return self.fc(squeeze(self.features(x)))


def _shortcuts_alone(network: ResNet) -> None:
    """Where that was asked for."""
    for block in network.modules() if network.zero_init else ():
        if isinstance(block, ResidualBlock):
            nn.init.zeros_((block.bn2 if isinstance(block, Basic) else block.bn3).weight)


def _wide_enough(widen: int | float, **_) -> None:
    least_width(widen, 64)


equip(Basic, Bottleneck, window=None)  # it makes the convolution
equip(ResNet, check=_wide_enough, reset=_shortcuts_alone)
