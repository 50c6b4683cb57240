"""One network with a place for every mechanism, the width that a budget allows, and what
differences are worth.

    network.py    a ResNet for pictures of 32 x 32, and the places of attention in it
    shifted.py    attention in windows that do not overlap, shifted in every other layer
    budget.py     multiply-adds of a stage, the width for a budget, the Pareto front
    evidence.py   differences between runs: by seed, and by picture
    boxes.py      overlaps, anchors, suppression
    detection.py  the focal loss, a pyramid of features, a small RetinaNet
"""

from solutions.capstone.boxes import (
    anchors,
    box_iou,
    decode,
    encode,
    match,
    middles,
    non_maximum_suppression,
)
from solutions.capstone.budget import pareto_front, stage_multiply_adds, width_for
from solutions.capstone.detection import (
    FeaturePyramid,
    RetinaNet,
    detection_loss,
    detections,
    focal_loss,
)
from solutions.capstone.evidence import paired_difference, sign_test
from solutions.capstone.network import MECHANISMS, SmallResNet, create_network, three_widths
from solutions.capstone.shifted import ShiftedWindowAttention2d

__all__ = [
    "MECHANISMS",
    "FeaturePyramid",
    "RetinaNet",
    "ShiftedWindowAttention2d",
    "SmallResNet",
    "anchors",
    "box_iou",
    "create_network",
    "decode",
    "detection_loss",
    "detections",
    "encode",
    "focal_loss",
    "match",
    "middles",
    "non_maximum_suppression",
    "paired_difference",
    "pareto_front",
    "sign_test",
    "stage_multiply_adds",
    "three_widths",
    "width_for",
]
