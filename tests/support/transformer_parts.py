"""What the tests of the Transformer share: sizes that all differ, no weight at 0."""

import torch
from torch import nn

# Every axis has its own size, so that no transposed or swapped axis can hide.
B, TARGETS, SOURCES, HEADS, DIM, HIDDEN = 2, 5, 7, 3, 12, 20


WORDS, LAYERS = 11, 2


NORMS = ("post", "pre")


def random(*sizes):
    return torch.randn(*sizes, dtype=torch.float64)


def learned(model):
    """How many numbers a model learns; a shared matrix counts once."""
    return sum(p.numel() for p in model.parameters())


def shuffled(module):
    """The module in float64 without dropout, with weights of which none is 0 or 1."""
    for weight in module.parameters():
        nn.init.normal_(weight, std=0.3)
    return module.double().eval()
