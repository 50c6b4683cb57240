"""What the tests of the backbones share."""

from functools import partial

import torch

from solutions.channel import SqueezeExcite

SE = partial(SqueezeExcite, bias=True)


RESNEXT = {"groups": 32, "width": 4}


def weights(model):
    return sum(w.numel() for w in model.parameters())


def filled(model):
    """In double precision and evaluation mode, no bias and no statistic at 0 or 1."""
    dice = torch.Generator().manual_seed(0)
    for w in model.double().eval().state_dict().values():
        if w.dim() == 1:
            w.copy_(0.5 + torch.rand(w.shape, generator=dice, dtype=w.dtype))
    return model


def pictures(b, h, w):
    return torch.randn(b, 3, h, w, generator=torch.Generator().manual_seed(1)).double()
