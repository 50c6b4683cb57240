"""Networks of the papers, each with a place for attention."""

from solutions.backbones.augmented import (
    augmented_mnasnet,
    augmented_resnet,
    augmented_wide_resnet,
)
from solutions.backbones.mobile import MnasNet, MobileNet
from solutions.backbones.residual import ResNet
from solutions.backbones.stand_alone import StandAloneResNet
from solutions.backbones.wide import WideResNet

__all__ = [
    "MnasNet",
    "MobileNet",
    "ResNet",
    "StandAloneResNet",
    "WideResNet",
    "augmented_mnasnet",
    "augmented_resnet",
    "augmented_wide_resnet",
]
