"""Networks of the papers, each with a place for attention."""

from solutions.backbones.residual import ResNet

__all__ = ["ResNet"]
