"""Residual networks whose 3x3 convolutions are attention in windows: without any convolution
wider than a pixel, if the stem attends too.

    bottleneck   1x1, attention in a window (averaged 2x2 afterwards for a stride), 1x1
    stem         7x7 and pooling, or attention in 4x4 blocks and their maximum

Axes     b batch, c channels, h w height and width in pixels
Cost     trainable weights, and twice the multiply-adds for 224 x 224, as the paper counts them;
         all stages, window 7, with a convolution | attention in the stem:
         26: 10,342,632, 4.48 G | 10,335,016, 4.70 G
         38: 14,190,632, 5.73 G | 14,183,016, 5.94 G
         50: 18,038,632, 6.97 G | 18,031,016, 7.18 G
Source   Ramachandran, Parmar, Vaswani, Bello, Levskaya, Shlens, "Stand-Alone Self-Attention in
         Vision Models", NeurIPS 2019, arXiv:1906.05909, sec. 4 and appendix
Differs  a ReLU follows the stem with attention as it follows the one with a convolution
"""

from collections.abc import Collection

from torch import nn

from solutions.arguments import equip
from solutions.backbones.residual import ResNet, least_width
from solutions.stand_alone import AttentionStem, StandAloneSelfAttention2d


class StandAloneResNet(ResNet):
    """A ResNet-26, 38 or 50 with attention in the place of its 3x3 convolutions.

    stages   those whose convolutions are replaced, counted from 1: (3, 4) keeps convolutions
             early, () keeps them all
    stem     "imagenet" (7x7 and pooling), "small" (3x3, for pictures of 32 x 32), "attention"
    grouped  a head projects its own share of the channels, as the paper's text has it; its
             tables count full projections
    """

    def __init__(
        self,
        depth: int = 50,
        stages: Collection[int] = (1, 2, 3, 4),
        stem: str | nn.Module = "imagenet",
        heads: int = 8,
        window: int = 7,
        classes: int = 1000,
        scaled: bool = False,
        grouped: bool = False,
        widen: float = 1.0,
    ):
        def spatial(channels: int, out_channels: int, stride: int, stage: int):
            if stage not in stages:
                return None
            return StandAloneSelfAttention2d(
                channels, heads, window, stride, out_channels, scaled, grouped
            )

        if stem == "attention":
            stem = AttentionStem()
        super().__init__(depth, classes=classes, stem=stem, spatial=spatial, widen=widen)


def _stages_that_are(stages: Collection[int], widen: float, **_) -> None:
    least_width(widen, 64)
    if not set(stages) <= {1, 2, 3, 4}:
        raise ValueError(f"{stages=} has others than 1, 2, 3 and 4")


equip(StandAloneResNet, check=_stages_that_are)
