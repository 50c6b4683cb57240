"""Small networks for telephones: MobileNet and MnasNet, with a place for attention.

    y = relu(BN(1x1(relu(BN(3x3(x))))))                  MobileNet   b c h w -> b e i j
    y = BN(1x1(a(relu(BN(window(relu(BN(1x1(x)))))))))   MnasNet     c -> t c -> t c -> e
    y + x                                                where it has the shape of x

    3x3 and window look at each channel alone; a is the attention. MobileNet has it behind the
    1x1, behind the 3x3, behind the convolution before the first block, or behind all of them.

Axes     b batch, c channels, e outgoing channels, t expansion, h w height and width in pixels,
         i j those of what comes out
Cost     trainable weights and multiply-adds of convolutions and fully connected layers, for
         224 x 224: MobileNet 4,231,976, 0.569 G; MnasNet-A1 3,887,038, 0.312 G; MnasNet-B1
         4,383,312, 0.314 G
Source   Howard et al., "MobileNets: Efficient Convolutional Neural Networks for Mobile Vision
         Applications", 2017, arXiv:1704.04861, table 1;
         Tan et al., "MnasNet: Platform-Aware Neural Architecture Search for Mobile", CVPR 2019,
         arXiv:1807.11626, fig. 7
Differs  no dropout
"""

from collections.abc import Collection

from jaxtyping import Float
from torch import Tensor, nn

from solutions.arguments import equip
from solutions.backbones.residual import Attention, convolution, least_width
from solutions.channel import SqueezeExcite, squeeze

MOBILE = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2)) + 5 * ((512, 1),)
MOBILE += ((1024, 2), (1024, 1))  # channels and stride of each block

# expansion, channels, blocks, window, stride, squeeze-and-excitation
MNAS = {
    "A1": (
        (6, 24, 2, 3, 2, False),
        (3, 40, 3, 5, 2, True),
        (6, 80, 4, 3, 2, False),
        (6, 112, 2, 3, 1, True),
        (6, 160, 3, 5, 2, True),
        (6, 320, 1, 3, 1, False),
    ),
    "B1": (
        (3, 24, 3, 3, 2, False),
        (3, 40, 3, 5, 2, False),
        (6, 80, 3, 5, 2, False),
        (6, 96, 2, 3, 1, False),
        (6, 192, 4, 5, 2, False),
        (6, 320, 1, 3, 1, False),
    ),
}


def normalised(
    channels: int, out_channels: int, window: int, stride: int = 1, groups: int = 1
) -> list[nn.Module]:
    """A convolution and its normalisation."""
    conv = convolution(channels, out_channels, window, stride, groups)
    return [conv, nn.BatchNorm2d(out_channels)]


class MobileNet(nn.Module):
    """Each block looks at every channel alone (3x3) and then at every pixel alone (1x1).

    attention  from channels to a module
    after      behind what it stands: "stem", every "depthwise" 3x3, every "pointwise" 1x1
    between    from channels to a module, which stands before each block that halves the map,
               but for the first of them
    widen      multiplies the channels of all blocks
    Raises ValueError for a place that does not exist.
    """

    def __init__(
        self,
        attention: Attention | None = None,
        classes: int = 1000,
        after: Collection[str] = ("pointwise",),
        between: Attention | None = None,
        widen: int | float = 1,
    ):
        super().__init__()
        if not set(after) <= {"stem", "depthwise", "pointwise"}:
            raise ValueError(f'{after=} has others than "stem", "depthwise", "pointwise"')
        self.layers = nn.Sequential()
        channels = int(32 * widen)

        def add(place, *convolved):
            self.layers.extend([*normalised(*convolved), nn.ReLU()])
            if attention and place in after:
                self.layers.append(attention(convolved[1]))

        add("stem", 3, channels, 3, 2)
        for number, (planes, stride) in enumerate(MOBILE):
            out_channels = int(planes * widen)
            if between and stride == 2 and number > 1:
                self.layers.append(between(channels))
            add("depthwise", channels, channels, 3, stride, channels)
            add("pointwise", channels, out_channels, 1)
            channels = out_channels
        self.fc = nn.Linear(channels, classes)

    def features(self, x: Float[Tensor, "b rgb h w"]) -> Float[Tensor, "b e i j"]:
        """The maps behind the last block."""
        return self.layers(x)

    def forward(self, x: Float[Tensor, "b rgb h w"]) -> Float[Tensor, "b classes"]:
        """One score for each class."""
        return self.fc(squeeze(self.features(x)))


def eights(number: int | float) -> int:
    """The nearest multiple of 8, but none that is smaller by more than a tenth."""
    nearest = max(8, int(number + 4) // 8 * 8)
    return nearest if nearest >= 0.9 * number else nearest + 8


class Inverted(nn.Module):
    """A residual block that is wide in the middle, where it looks at each channel alone."""

    def __init__(
        self,
        channels: int,
        out_channels: int,
        expansion: int,
        window: int,
        stride: int,
        attention: Attention | None,
    ):
        super().__init__()
        wide = channels * expansion
        self.kept = stride == 1 and channels == out_channels
        layers = nn.Sequential(*normalised(channels, wide, 1), nn.ReLU())
        layers.extend([*normalised(wide, wide, window, stride, wide), nn.ReLU()])
        if attention:
            layers.append(attention(wide))
        self.layers = layers.extend(normalised(wide, out_channels, 1))

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b e i j"]:
        """The branch, on top of x where they have the same shape."""
        return x + self.layers(x) if self.kept else self.layers(x)


class MnasNet(nn.Module):
    """Inverted bottlenecks that a search has put together.

    kind       "A1", which has squeeze-and-excitation in some stages, or "B1", which has none
    attention  from channels to a module, which stands in the middle of every block that has no
               squeeze-and-excitation of its own
    widen      multiplies the channels, which stay multiples of 8

    The names of the weights of B1 are torchvision's. Raises ValueError for another kind.
    """

    def __init__(
        self,
        kind: str = "A1",
        attention: Attention | None = None,
        classes: int = 1000,
        widen: int | float = 1,
    ):
        super().__init__()
        if kind not in MNAS:
            raise ValueError(f"{kind=} is none of {', '.join(MNAS)}")
        first, channels = eights(32 * widen), eights(16 * widen)
        layers = [*normalised(3, first, 3, 2), nn.ReLU()]
        layers += [*normalised(first, first, 3, 1, first), nn.ReLU()]
        layers += normalised(first, channels, 1)
        for expansion, number, blocks, window, stride, excited in MNAS[kind]:
            out_channels = eights(number * widen)
            stage = nn.Sequential()
            for position in range(blocks):

                def excite(wide, reduction=4 * expansion):
                    return SqueezeExcite(wide, reduction, bias=True)

                stage.append(
                    Inverted(
                        channels,
                        out_channels,
                        expansion,
                        window,
                        stride if position == 0 else 1,
                        excite if excited else attention,
                    )
                )
                channels = out_channels
            layers.append(stage)
        self.layers = nn.Sequential(*layers, *normalised(channels, 1280, 1), nn.ReLU())
        dropout = nn.Identity()  # torchvision has one here, which gives the next its name
        self.classifier = nn.Sequential(dropout, nn.Linear(1280, classes))

    def features(self, x: Float[Tensor, "b rgb h w"]) -> Float[Tensor, "b e i j"]:
        """The maps behind the last convolution."""
        return self.layers(x)

    def forward(self, x: Float[Tensor, "b rgb h w"]) -> Float[Tensor, "b classes"]:
        """One score for each class."""
        return self.classifier(squeeze(self.features(x)))


def _wide_enough(widen: int | float, **_) -> None:
    least_width(widen, 32)


equip(Inverted, MnasNet)
equip(MobileNet, check=_wide_enough)
