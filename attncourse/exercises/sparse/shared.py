"""Of several exercises of the chapter: sparse."""

import math

import torch
from einops import rearrange
from torch.nn import functional as F

from attncourse.exercises.record import Trial
from solutions.positional import masked_softmax


def mask_trials(word):
    """n tokens with a window or a stride."""

    def trials():
        chosen = ((11, 3), (7, 4), (12, 4), (9, 5), (5, 1), (4, 6))
        return tuple(
            Trial(f"for n={n}, {word}={length}", dict(i=n, j=n), {"n": n, word: length})
            for n, length in chosen
        )

    return trials


def ij(n):
    return torch.arange(n)[:, None], torch.arange(n)


def hop(a, b):
    return a.double() @ b.double()


def by_dense_map(q, k, v, mask):
    return masked_softmax(q @ k.mT / math.sqrt(q.shape[-1]), mask) @ v


def masked_after_the_softmax(q, k, v, mask):
    """You mask the weights after the softmax: hidden keys have already taken their share. Mask
    the scores."""
    return ((q @ k.mT / math.sqrt(q.shape[-1])).softmax(-1) * mask) @ v


def mask_inverted(q, k, v, mask):
    """You attend where the mask is False. It is True where a query may."""
    return by_dense_map(q, k, v, ~mask)


def not_scaled(q, k, v, mask):
    """The scores are not divided by sqrt(d)."""
    return masked_softmax(q @ k.mT, mask) @ v


def scaled_by_d(q, k, v, mask):
    """You divide the scores by d. It is sqrt(d)."""
    return masked_softmax(q @ k.mT / q.shape[-1], mask) @ v


def scaled_by_values(q, k, v, mask):
    """You divide the scores by the root of the width of v. It is sqrt(d), the features of q and
    k."""
    return masked_softmax(q @ k.mT / math.sqrt(v.shape[-1]), mask) @ v


def beside_it(x, other):
    return torch.cat([other, x], dim=-2)


def moved_down(x):
    return torch.cat([torch.zeros_like(x[..., :1, :, :]), x[..., :-1, :, :]], dim=-3)


def cost_sizes(n, **sizes):
    return dict(b=2, n=n) | sizes


def filled(x, length):
    x = F.pad(x, (0, 0, 0, -x.shape[-2] % length))
    return rearrange(x, "... (block place) d -> ... block place d", place=length)


def cut_to(y, n):
    return rearrange(y, "... block place e -> ... (block place) e")[..., :n, :]


NO_TENSORS = frozenset({"gradients", "large", "strided", "float32", "device"})
