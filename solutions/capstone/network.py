"""A residual network for pictures of 32 x 32 with a place for every mechanism of the course.

    stem       3x3 to the channels of the first stage, with a stride of 1 or 2
    3 stages   blocks of two 3x3; h and w halve at the first block of the second and third
    gate       y = relu(shortcut(x) + a(branch(x)))     se, ge, eca, cbam, gala; every block
    between    x = a(x), behind a stage                 bam, non_local, position, channel
    instead    a 3x3 becomes a(x)                       augmented, sasa, windows; by stage

Axes     b batch, c channels, e outgoing channels, h w height and width in pixels, i j those of
         what comes out
Cost     with widths 16, 32, 64, three blocks a stage and no attention, for 32 x 32: 272,474
         weights and 40.8 M multiply-adds
Source   He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition", CVPR 2016,
         arXiv:1512.03385, sec. 4.2. The papers of the mechanisms are named in their files
Differs  a shortcut that changes the shape is a 1x1 convolution (option B; theirs on CIFAR has
         none). Reductions of 4 where the papers have 16: these networks are narrow
"""

from collections.abc import Callable, Iterable
from functools import partial
from itertools import cycle
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor, nn

from solutions.arguments import equip, whole
from solutions.backbones.residual import Attention, Basic, Spatial, convolution, windows
from solutions.capstone.shifted import ShiftedWindowAttention2d
from solutions.channel import squeeze
from solutions.registry import create_attention

Between = Callable[[int, int], nn.Module | None]  # channels, stage
HEADS = 2  # of what attends in place of a convolution


class SmallResNet(nn.Module):
    """Three stages of residual blocks, for small pictures.

    widths     channels of the three stages
    blocks     of each stage
    stem       the stride of the first convolution: 2 halves the picture at once
    attention  from channels to a module, which works on each branch before the addition
    spatial    from channels, out_channels, stride, stage to a module that takes the place of a
               3x3, or to None, which keeps it
    between    from channels, stage to a module that stands behind a stage, or to None
    """

    def __init__(
        self,
        widths: tuple[int, int, int] = (16, 32, 64),
        blocks: int = 3,
        classes: int = 10,
        stem: int = 1,
        attention: Attention | None = None,
        spatial: Spatial | None = None,
        between: Between | None = None,
    ):
        super().__init__()
        self.conv1 = convolution(3, widths[0], 3, stem)
        self.bn1 = nn.BatchNorm2d(widths[0])
        before = widths[0]
        for stage, planes in enumerate(widths, start=1):
            window, layer = windows(spatial, stage), nn.Sequential()
            for position in range(blocks):
                stride = 2 if stage > 1 and position == 0 else 1
                layer.append(Basic(before, planes, stride, window, attention, "standard"))
                before = planes
            follows = between(planes, stage) if between else None
            self.add_module(f"layer{stage}", layer)
            self.add_module(f"between{stage}", follows or nn.Identity())
        self.fc = nn.Linear(before, classes)

    def stages(self, x: Float[Tensor, "b rgb h w"]) -> list[Float[Tensor, "b e i j"]]:
        """The maps behind each of the three stages."""
        x, maps = self.bn1(self.conv1(x)).relu(), []
        for stage in (1, 2, 3):
            layer, follows = (getattr(self, f"{name}{stage}") for name in ("layer", "between"))
            x = follows(layer(x))
            maps.append(x)
        return maps

    def forward(self, x: Float[Tensor, "b rgb h w"]) -> Float[Tensor, "b classes"]:
        """One score for each class."""
        return self.fc(squeeze(self.stages(x)[-1]))


class Place(NamedTuple):
    """Where a mechanism stands: a gate in each block, behind stages, or instead of 3x3s."""

    says: str
    kind: str  # "gate", "between", "instead"
    name: str  # in the registry, or "windows"
    stages: tuple[int, ...] = (1, 2, 3)
    given: tuple[tuple[str, int | float], ...] = ()


_NARROW = (("reduction", 4),)
MECHANISMS: dict[str, Place | None] = {
    "none": None,
    "se": Place("squeeze-and-excitation", "gate", "se", given=_NARROW),
    "ge": Place("gather-excite without weights", "gate", "ge"),
    "eca": Place("ECA", "gate", "eca"),
    "bam": Place("BAM, behind stages 1 and 2", "between", "bam", (1, 2), _NARROW),
    "cbam": Place("CBAM", "gate", "cbam", given=_NARROW),
    "gala": Place("GALA", "gate", "gala", given=_NARROW),
    "non_local": Place("a non-local block behind stage 2", "between", "non_local", (2,)),
    "position": Place("DANet's position attention at the end", "between", "position", (3,)),
    "channel": Place("DANet's channel attention at the end", "between", "channel", (3,)),
    "augmented": Place(
        "attention beside the 3x3s of stages 2 and 3", "instead", "augmented", (2, 3)
    ),
    "sasa3": Place("attention for the 3x3s of stage 3", "instead", "stand_alone", (3,)),
    "sasa23": Place("… of stages 2 and 3", "instead", "stand_alone", (2, 3)),
    "sasa": Place("… of all stages", "instead", "stand_alone"),
    "windows": Place("shifted windows in stages 2 and 3", "instead", "windows", (2, 3)),
}


def instead(
    operations: Iterable[str], image: int, window: int = 7, fast: bool = False
) -> Spatial:
    """What stands for the 3x3s of each stage: "convolution", "augmented", "stand_alone" or
    "windows", three of them.

    image   height and width of the maps of the first stage
    window  of stand-alone attention; the shifted windows are of 4
    """
    chosen, shifts = tuple(operations), cycle((0, 2))

    def make(channels: int, out_channels: int, stride: int, stage: int) -> nn.Module | None:
        operation = chosen[stage - 1]
        if operation == "convolution":
            return None
        more = dict(heads=HEADS, stride=stride, out_channels=out_channels)
        if operation == "windows":
            return ShiftedWindowAttention2d(channels, shift=next(shifts), **more)
        if operation == "stand_alone":
            return create_attention(operation, channels, fast=fast, window=window, **more)
        size = -(-image // 2 ** (stage - 1)) * stride  # of the maps that come in
        share = dict(in_channels=channels, upsilon=0.25, size=size)
        if not fast:  # the form that multiplies least
            share["implementation"] = "broadcast"
        return create_attention(operation, channels, fast=fast, **share, **more)

    return make


def create_network(
    mechanism: str | Iterable[str] = "none",
    widths: tuple[int, int, int] = (16, 32, 64),
    blocks: int = 3,
    classes: int = 10,
    stem: int = 1,
    window: int = 7,
    image: int = 32,
    fast: bool = False,
) -> SmallResNet:
    """The network with one mechanism of `MECHANISMS`, or with three operations, one a stage.

    widths  channels of the three stages
    window  of stand-alone attention
    image   height and width of the pictures for which augmented convolutions have positions
    fast    take mechanisms from `solutions.fast`, where they are there

    Raises ValueError for a mechanism that is not in the list, and what the layers raise.
    """
    shape = dict(widths=widths, blocks=blocks, classes=classes, stem=stem)
    image = -(-image // stem)
    if not isinstance(mechanism, str):
        return SmallResNet(**shape, spatial=instead(mechanism, image, window, fast))
    if mechanism not in MECHANISMS:
        raise ValueError(f"{mechanism=} is none of {', '.join(MECHANISMS)}")
    place = MECHANISMS[mechanism]
    if place is None:
        return SmallResNet(**shape)
    make = partial(create_attention, place.name, fast=fast, **dict(place.given))
    if place.kind == "gate":
        return SmallResNet(**shape, attention=make)
    if place.kind == "between":
        return SmallResNet(
            **shape, between=lambda c, stage: make(c) if stage in place.stages else None
        )
    operations = [place.name if s in place.stages else "convolution" for s in (1, 2, 3)]
    return SmallResNet(**shape, spatial=instead(operations, image, window, fast))


def three_widths(width: int | float, step: int = 4) -> tuple[int, int, int]:
    """The channels of the three stages for a width: width, twice and four times as much, each
    rounded to a multiple of `step` and at least that."""
    return tuple(max(step, step * round(times * width / step)) for times in (1, 2, 4))


equip(
    SmallResNet,
    blocks=whole(1),
    stem=whole(1),
    attention=None,
    spatial=None,
    between=None,
)
