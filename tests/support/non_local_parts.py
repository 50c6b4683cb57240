"""What the tests of attention over a whole image share."""

from importlib.util import find_spec

import pytest
import torch

# Every axis has its own size, so that no transposed or swapped axis can hide.
B, C, M, H, W, Q, J, E = 2, 6, 4, 3, 5, 8, 7, 9


IMAGES = [(H, W), (5, 3), (1, 4), (4, 1), (1, 1)]


def random(*sizes):
    return torch.randn(*sizes, dtype=torch.float64)


def awake(layer):
    """The layer in double precision with every parameter random: none that starts at 0 hides
    what it multiplies."""
    for p in layer.double().parameters():
        torch.nn.init.normal_(p, std=0.7)
    return layer


def oracle(name):
    """A test against a package that plain pip leaves out."""
    reason = f"no {name}: pip install -e '.[oracles]'"
    return pytest.mark.skipif(not find_spec(name), reason=reason)
