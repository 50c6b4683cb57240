"""One training step of whole networks, beside their convolutional twins.

The step is forward + backward, to the gradients of all weights; what the optimizer does with
them is the same for both and left out.

ResNet-26, -50        convolutions alone
stand-alone           StandAloneResNet(26), window 7, by solutions.fast, and by the reference
augmented             ResNet-50 with attention-augmented convolutions in stages 2 to 4
"""

from collections.abc import Callable
from functools import partial

from torch import nn

from attncourse.bench.measuring import Case, Setting, Way, layer
from attncourse.bench.reporting import Figure
from solutions import fast
from solutions.backbones import ResNet, StandAloneResNet, augmented_resnet

WHAT = "a training step of whole networks, beside their convolutional twins"
FIGURE = Figure(
    "pixels of the image (2 images)",
    ("ResNet-26", "stand-alone", "stand-alone, reference", "ResNet-50", "augmented"),
    ours="stand-alone",
    over=("ResNet-26",),
)
SIDES, TINY = (64, 96, 128), (64,)


def cases(setting: Setting) -> list[Case]:
    """Two images, of 64 to 128 pixels; 32 on a GPU, of 128 to 224."""
    sides = TINY if setting.tiny else SIDES if setting.device == "cpu" else (128, 160, 224)
    return [_case(side, setting) for side in sides]


def _case(side: int, setting: Setting) -> Case:
    b = 2 if setting.device == "cpu" else 32

    def step(make: Callable[[], nn.Module]) -> Way:
        return layer(setting.here(make().train()), setting.randn(b, 3, side, side))

    def quick(make: Callable[[], nn.Module]) -> nn.Module:
        return fast.faster(make())

    alone = partial(StandAloneResNet, 26, classes=10)
    augmented = partial(augmented_resnet, 50, image=side, classes=10)
    ways = {
        "ResNet-26": partial(step, partial(ResNet, 26, classes=10)),
        "stand-alone": partial(step, partial(quick, alone)),
        "stand-alone, reference": partial(step, alone),
        "ResNet-50": partial(step, partial(ResNet, 50, classes=10)),
        "augmented": partial(step, partial(quick, augmented)),
    }
    return Case(
        f"{b} images of {side} x {side}",
        dict(b=b, side=side),
        ways,
        over=("ResNet-26", "ResNet-50", "stand-alone, reference"),
        alike=("stand-alone", "stand-alone, reference"),
        at=side * side,
        core=side == 128,
    )
