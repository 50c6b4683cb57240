"""What the tests of spatial attention share."""

import math
from importlib.util import find_spec

import pytest
import torch

B, C, H, W = 3, 8, 5, 7


SIZES = [(5, 7), (7, 7), (6, 4), (1, 5), (3, 1), (1, 1), (2, 2)]


def random(*sizes, seed=0):
    dice = torch.Generator().manual_seed(seed + sum(s * 7**i for i, s in enumerate(sizes)))
    return torch.randn(*sizes, generator=dice, dtype=torch.float64)


def filled(layer, seed=0):
    """The layer in double precision and evaluation mode, no weight and no statistic at 0 or
    1."""
    dice = torch.Generator().manual_seed(seed)
    layer = layer.double().eval()
    with torch.no_grad():
        for name, w in layer.state_dict().items():
            if w.is_floating_point():
                w.copy_(torch.randn(w.shape, generator=dice, dtype=w.dtype) / 2)
                if name.endswith("running_var"):
                    w.abs_().add_(0.5)
    return layer


def size(layer):
    return sum(p.numel() for p in layer.parameters())


def sigmoid(z):
    return 1 / (1 + math.exp(-z))


def oracle(name):
    """A test against a package that plain pip leaves out."""
    reason = f"no {name}: pip install -e '.[oracles]'"
    return pytest.mark.skipif(not find_spec(name), reason=reason)


def mlp(gate, z):
    """The shared MLP, a number at a time."""
    down, up = gate.down, gate.up
    hidden = [
        max(0.0, sum(w * v for w, v in zip(row, z, strict=True)) + bias)
        for row, bias in zip(down.weight.tolist(), down.bias.tolist(), strict=True)
    ]
    return [
        sum(w * v for w, v in zip(row, hidden, strict=True)) + bias
        for row, bias in zip(up.weight.tolist(), up.bias.tolist(), strict=True)
    ]


def correlate(plane, kernel, size):
    """A padded correlation of one plane, a pixel at a time."""
    h, w, half = len(plane), len(plane[0]), size // 2
    y = [[0.0] * w for _ in range(h)]
    for i in range(h):
        for j in range(w):
            for u in range(size):
                for v in range(size):
                    r, s = i + u - half, j + v - half
                    if 0 <= r < h and 0 <= s < w:
                        y[i][j] += kernel[u][v] * plane[r][s]
    return y


RESNET_50 = 25_557_032  # weights without attention


WHICH = torch.tensor([2, 0, 3])
