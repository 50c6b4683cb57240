"""Boxes: how much two overlap, where anchors stand, and how a box is told from its anchor.

    iou = overlap / (area + area' - overlap)     n 4, m 4 -> n m
    anchor of scale s, ratio r                   width s / sqrt(r), height s sqrt(r), around the
                                                 middle of each pixel of a map
    t = (x - x_a) / w_a, (y - y_a) / h_a, log(w / w_a), log(h / h_a)       of the centres
    truth of an anchor                           the best one if iou >= 1/2; background if less
                                                 than 0.4; between them neither
    suppression                                  from the best score down, what overlaps a kept
                                                 box by more than a threshold goes

Axes     n boxes, m other boxes, a anchors, g truths, k kept; a box is its left, top, right and
         bottom edge, h w height and width in pixels of the map
Units    edges in pixels of the picture, from its left and top; t without dimension
Cost     n m of memory for overlaps, and as many steps; suppression up to n^2
Source   Girshick et al., "Rich feature hierarchies …", CVPR 2014, arXiv:1311.2524, appendix C
         (the four numbers of a box); Ren et al., "Faster R-CNN", NeurIPS 2015,
         arXiv:1506.01497, eq. 2 and sec. 3.1.1 (anchors); Lin et al., "Focal Loss for Dense
         Object Detection", ICCV 2017, arXiv:1708.02002, sec. 4 (thresholds)
"""

import math

import torch
from einops import rearrange, repeat
from jaxtyping import Float, Int
from torch import Tensor

BACKGROUND, IGNORED = -1, -2


def box_iou(boxes: Float[Tensor, "n 4"], others: Float[Tensor, "m 4"]) -> Float[Tensor, "n m"]:
    """The intersection of each two boxes over their union, from 0 to 1.

    A box is left, top, right, bottom. Two boxes without area have 0.
    """
    left, top, right, bottom = rearrange(boxes, "n edge -> edge n 1")
    left2, top2, right2, bottom2 = rearrange(others, "m edge -> edge 1 m")
    width = (torch.minimum(right, right2) - torch.maximum(left, left2)).clamp(min=0)
    height = (torch.minimum(bottom, bottom2) - torch.maximum(top, top2)).clamp(min=0)
    overlap = width * height
    union = (right - left) * (bottom - top) + (right2 - left2) * (bottom2 - top2) - overlap
    return overlap / torch.where(union > 0, union, 1)


def anchors(
    height: int,
    width: int,
    stride: int,
    size: float | int,
    scales: tuple[float | int, ...] = (1.0,),
    ratios: tuple[float | int, ...] = (1.0,),
) -> Float[Tensor, "a 4"]:
    """The anchors of a map, row by row, at each pixel all of them: a = height width s r.

    stride  pixels of the picture between two of the map; they stand at its pixels' middles
    size    the root of an anchor's area at scale 1, in pixels of the picture
    scales  factors of the size; they come one after the other, each with all ratios
    ratios  of height to width
    """
    rows = (torch.arange(height) + 0.5) * stride
    columns = (torch.arange(width) + 0.5) * stride
    shapes = [
        (size * scale / math.sqrt(ratio), size * scale * math.sqrt(ratio))
        for scale in scales
        for ratio in ratios
    ]
    half = torch.tensor(shapes) / 2
    half_w, half_h = repeat(half, "s side -> side (h w s)", h=height, w=width)
    x = repeat(columns, "w -> (h w s)", h=height, s=len(shapes))
    y = repeat(rows, "h -> (h w s)", w=width, s=len(shapes))
    return torch.stack([x - half_w, y - half_h, x + half_w, y + half_h], dim=-1)


def middles(boxes: Float[Tensor, "n 4"]) -> Float[Tensor, "4 n"]:
    """Centre, width and height of boxes: x, y, w, h."""
    left, top, right, bottom = rearrange(boxes, "n edge -> edge n")
    return torch.stack([(left + right) / 2, (top + bottom) / 2, right - left, bottom - top])


def encode(boxes: Float[Tensor, "n 4"], anchors: Float[Tensor, "n 4"]) -> Float[Tensor, "n 4"]:
    """Each box as it is told from its anchor: how far its centre is off, in widths and heights
    of the anchor, and the logarithms of how much wider and higher it is."""
    x, y, w, h = middles(boxes)
    x_a, y_a, w_a, h_a = middles(anchors)
    told = [(x - x_a) / w_a, (y - y_a) / h_a, (w / w_a).log(), (h / h_a).log()]
    return torch.stack(told, dim=-1)


def decode(deltas: Float[Tensor, "n 4"], anchors: Float[Tensor, "n 4"]) -> Float[Tensor, "n 4"]:
    """The boxes that `encode` made these of: left, top, right, bottom."""
    x_a, y_a, w_a, h_a = middles(anchors)
    dx, dy, dw, dh = rearrange(deltas, "n delta -> delta n")
    x, y = x_a + dx * w_a, y_a + dy * h_a
    w, h = w_a * dw.exp(), h_a * dh.exp()
    return torch.stack([x - w / 2, y - h / 2, x + w / 2, y + h / 2], dim=-1)


def match(
    iou: Float[Tensor, "g a"], foreground: float = 0.5, background: float = 0.4
) -> Int[Tensor, " a"]:
    """Which truth each anchor is to find: the one that overlaps it most.

    -1 where that overlap is less than `background`, or where there is no truth; -2, which
    counts as nothing in the loss, where it lies from there up to `foreground`, itself left out.
    """
    if len(iou) == 0:
        return torch.full(iou.shape[1:], BACKGROUND, device=iou.device)
    best, truth = iou.max(0)
    truth = torch.where(best < foreground, IGNORED, truth)
    return torch.where(best < background, BACKGROUND, truth)


def non_maximum_suppression(
    boxes: Float[Tensor, "n 4"], scores: Float[Tensor, " n"], threshold: float = 0.5
) -> Int[Tensor, " k"]:
    """The boxes that stay, by their indices, the best score first.

    Each is kept unless it overlaps one that was kept before by more than `threshold`. Of equal
    scores the first comes first.
    """
    order = scores.argsort(descending=True, stable=True)
    iou = box_iou(boxes[order], boxes[order])
    alive = torch.ones(len(order), dtype=torch.bool, device=boxes.device)
    kept = []
    for place in range(len(order)):
        if alive[place]:
            kept.append(place)
            alive = alive & (iou[place] <= threshold)
    return order[torch.tensor(kept, dtype=torch.long, device=boxes.device)]
