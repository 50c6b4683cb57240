"""Networks of the papers, each with a place for attention."""

from solutions.backbones.mobile import MnasNet, MobileNet
from solutions.backbones.residual import ResNet
from solutions.backbones.wide import WideResNet

__all__ = ["MnasNet", "MobileNet", "ResNet", "WideResNet"]
