"""RetinaNet, small: a pyramid of features, two heads on each of its levels, and a loss that
does not drown in background.

    p_coarse = W coarse;  p = W' fine + p_coarse, enlarged        the pyramid, top down
    y = 3x3 of p                                                  on each level
    FL = -alpha_t (1 - p_t)^gamma log p_t     p_t = p where the class is there, else 1 - p
    loss = (Σ FL + Σ smooth L1) / anchors that have a truth

Axes     b pictures, c channels, h w height and width in pixels, a anchors of all levels,
         n boxes
Cost     the heads have the same weights on every level: 2 (depth) 3x3 and one that tells
Source   Lin et al., "Feature Pyramid Networks for Object Detection", CVPR 2017,
         arXiv:1612.03144, sec. 3; Lin, Goyal, Girshick, He, Dollár, "Focal Loss for Dense
         Object Detection", ICCV 2017, arXiv:1708.02002, eqs. 4 and 5, secs. 4 and 4.1
Differs  three levels in place of five, and the one made by a stride takes part in the pyramid;
         two layers a head in place of four; smooth L1 turns at 1/9, as in the authors' code,
         which the paper leaves open
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from solutions.arguments import equip
from solutions.capstone.boxes import (
    IGNORED,
    anchors,
    box_iou,
    decode,
    encode,
    match,
    non_maximum_suppression,
)

PRIOR = 0.01  # of an object at an anchor, before anything is learnt (sec. 4.1)
TURN = 1 / 9
LARGEST = 4.0  # of the logarithm of a side: exp overflows soon after


def focal_loss(
    logits: Float[Tensor, "*b"],
    targets: Bool[Tensor, "*b"],
    alpha: float = 0.25,
    gamma: float | int = 2.0,
) -> Float[Tensor, "*b"]:
    """The focal loss of each score by itself (eq. 5 of the paper).

    targets  True where the class is there
    alpha    the weight of what is there; 1 - alpha is that of what is not
    gamma    how much less counts what is right already; 0 is cross-entropy, weighted by alpha
    """
    there = targets.to(logits)
    sign = 2 * there - 1
    weight = alpha * there + (1 - alpha) * (1 - there)
    wrong = (-sign * logits).sigmoid()  # 1 - p_t
    return -weight * wrong**gamma * F.logsigmoid(sign * logits)


class FeaturePyramid(nn.Module):
    """Three maps of a backbone made equally rich: what the coarse ones know is handed down.

    widths        channels of the maps, the finest first
    out_channels  of all that come out
    """

    def __init__(self, widths: tuple[int, int, int], out_channels: int):
        super().__init__()
        self.lateral = nn.ModuleList(nn.Conv2d(c, out_channels, 1) for c in widths)
        self.output = nn.ModuleList(
            nn.Conv2d(out_channels, out_channels, 3, padding=1) for _ in widths
        )

    def forward(
        self,
        fine: Float[Tensor, "b c_fine h w"],
        middle: Float[Tensor, "b c_middle h_middle w_middle"],
        coarse: Float[Tensor, "b c_coarse h_coarse w_coarse"],
    ) -> tuple[
        Float[Tensor, "b e h w"],
        Float[Tensor, "b e h_middle w_middle"],
        Float[Tensor, "b e h_coarse w_coarse"],
    ]:
        """The three levels, each of the size of its map.

        Coarser sums are enlarged to the size of the next map by copying the nearest pixel.
        """
        top = self.lateral[2](coarse)
        between = self.lateral[1](middle)
        between = between + F.interpolate(top, size=between.shape[-2:], mode="nearest")
        bottom = self.lateral[0](fine)
        bottom = bottom + F.interpolate(between, size=bottom.shape[-2:], mode="nearest")
        return self.output[0](bottom), self.output[1](between), self.output[2](top)


class Found(NamedTuple):
    """What was found in one picture, the best first.

    boxes   n 4, left, top, right, bottom, in pixels
    scores  n, from 0 to 1
    labels  n, the classes
    """

    boxes: Float[Tensor, "n 4"]
    scores: Float[Tensor, " n"]
    labels: Int[Tensor, " n"]


class RetinaNet(nn.Module):
    """A detector on a backbone, whose second and third map it reads, and one made of the third
    by a convolution with a stride of 2.

    backbone  its `stages(x)` gives three maps, each half as high and wide as the one before
    channels  of the second and of the third
    stride    pixels of the picture between two of the second map
    sizes     of the anchors of each level, in pixels
    """

    def __init__(
        self,
        backbone: nn.Module,
        channels: tuple[int, int],
        stride: int,
        classes: int,
        sizes: tuple[float | int, ...] = (11, 15, 21),
        scales: tuple[float, ...] = (1.0, 1.25),
        ratios: tuple[float, ...] = (1.5,),
        features: int = 32,
        depth: int = 2,
    ):
        super().__init__()
        self.backbone, self.classes = backbone, classes
        self.strides = (stride, 2 * stride, 4 * stride)
        self.sizes, self.scales, self.ratios = sizes, scales, ratios
        each = len(scales) * len(ratios)
        self.coarser = nn.Conv2d(channels[1], features, 3, stride=2, padding=1)
        self.pyramid = FeaturePyramid((*channels, features), features)
        self.scores = _head(features, depth, each * classes)
        self.edges = _head(features, depth, each * 4)
        nn.init.constant_(self.scores[-1].bias, -math.log((1 - PRIOR) / PRIOR))

    def forward(
        self, x: Float[Tensor, "b rgb h w"]
    ) -> tuple[Float[Tensor, "b a classes"], Float[Tensor, "b a 4"], Float[Tensor, "a 4"]]:
        """Of every anchor the scores of all classes, as logits, and where its box is, as
        `encode` tells it; and the anchors."""
        fine, middle = self.backbone.stages(x)[1:]
        levels = self.pyramid(fine, middle, self.coarser(middle.relu()))
        sizes = [level.shape[-2:] for level in levels]
        logits = torch.cat([_by_anchor(self.scores(one), self.classes) for one in levels], 1)
        deltas = torch.cat([_by_anchor(self.edges(one), 4) for one in levels], 1)
        return logits, deltas, self.anchors(sizes).to(deltas)

    def anchors(self, sizes: list[tuple[int, int]]) -> Float[Tensor, "a 4"]:
        """Those of all levels, whose heights and widths are given."""
        found = [
            anchors(*size, stride, large, self.scales, self.ratios)
            for size, stride, large in zip(sizes, self.strides, self.sizes, strict=True)
        ]
        return torch.cat(found)


def _head(features: int, depth: int, out_channels: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for _ in range(depth):
        layers += [nn.Conv2d(features, features, 3, padding=1), nn.ReLU()]
    return nn.Sequential(*layers, nn.Conv2d(features, out_channels, 3, padding=1))


def _by_anchor(y: Float[Tensor, "b e h w"], each: int) -> Float[Tensor, "b a each"]:
    return rearrange(y, "b (s each) h w -> b (h w s) each", each=each)


def detection_loss(
    logits: Float[Tensor, "b a classes"],
    deltas: Float[Tensor, "b a 4"],
    anchors: Float[Tensor, "a 4"],
    boxes: list[Float[Tensor, "... 4"]],
    labels: list[Int[Tensor, "..."]],
    focal: Callable = focal_loss,
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """Of scores and of boxes, each by the number of anchors that have a truth.

    boxes, labels  the truths of each picture
    """
    scored, placed, count = logits.new_zeros(()), deltas.new_zeros(()), 0
    for picture, (truths, classes) in enumerate(zip(boxes, labels, strict=True)):
        truth = match(box_iou(truths, anchors))
        hit, counted = truth >= 0, truth != IGNORED
        targets = torch.zeros_like(logits[picture], dtype=torch.bool)
        targets[hit, classes[truth[hit]]] = True
        scored = scored + focal(logits[picture][counted], targets[counted]).sum()
        wanted = encode(truths[truth[hit]], anchors[hit])
        placed = placed + F.smooth_l1_loss(
            deltas[picture][hit], wanted, beta=TURN, reduction="sum"
        )
        count += int(hit.sum())
    return scored / max(count, 1), placed / max(count, 1)


def detections(
    logits: Float[Tensor, "b a classes"],
    deltas: Float[Tensor, "b a 4"],
    anchors: Float[Tensor, "a 4"],
    threshold: float = 0.05,
    overlap: float = 0.5,
    most: int = 100,
) -> list[Found]:
    """What is found in each picture: every class by itself, what overlaps suppressed.

    threshold  least score of a box
    overlap    over which the worse of two boxes of a class goes
    most       boxes of a picture, before and after suppression
    """
    found = []
    for scores, moved in zip(logits.sigmoid(), deltas, strict=True):
        place, label = (scores > threshold).nonzero(as_tuple=True)
        score, order = scores[place, label].sort(descending=True, stable=True)
        place, label, score = (x[:most] for x in (place[order], label[order], score))
        boxes = decode(moved[place].clamp(max=LARGEST), anchors[place])
        apart = boxes + rearrange(label, "n -> n 1") * (
            boxes.abs().max() * 2 + 1 if len(boxes) else 0
        )
        kept = non_maximum_suppression(apart, score, overlap)
        found.append(Found(boxes[kept], score[kept], label[kept]))
    return found


equip(FeaturePyramid)
