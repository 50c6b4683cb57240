"""One network with a place for every mechanism, the width that a budget allows, and what
differences are worth.

    network.py    a ResNet for pictures of 32 x 32, and the places of attention in it
    shifted.py    attention in windows that do not overlap, shifted in every other layer
    budget.py     multiply-adds of a stage, the width for a budget, the Pareto front
    evidence.py   differences between runs: by seed, and by picture
"""

from solutions.capstone.budget import pareto_front, stage_multiply_adds, width_for
from solutions.capstone.evidence import paired_difference, sign_test
from solutions.capstone.network import MECHANISMS, SmallResNet, create_network, three_widths
from solutions.capstone.shifted import ShiftedWindowAttention2d

__all__ = [
    "MECHANISMS",
    "ShiftedWindowAttention2d",
    "SmallResNet",
    "create_network",
    "paired_difference",
    "pareto_front",
    "sign_test",
    "stage_multiply_adds",
    "three_widths",
    "width_for",
]
