"""Of several exercises of the chapter: positional."""

import math

import torch
from torch.nn import functional as F

from attncourse.exercises.record import variant


def numbers(*values):
    """Positions in double precision."""
    return torch.tensor(values, dtype=torch.float64)


def reshaped(x):
    """Left column of zeros, other shape, first row off: what the paper does."""
    n = x.shape[-1]
    padded = F.pad(x, (1, 0)).reshape(*x.shape[:-2], n + 1, n)
    return padded[..., 1:, :]


def padded_on_the_right(x):
    """You put the column of zeros on the right. It goes to the left: `F.pad(x, (1, 0))`."""
    n = x.shape[-1]
    return F.pad(x, (0, 1)).reshape(*x.shape[:-2], n + 1, n)[..., 1:, :].tril()


def last_row_dropped(x):
    """You drop the last row after the reshape. The first holds the padding: drop that one."""
    n = x.shape[-1]
    return F.pad(x, (1, 0)).reshape(*x.shape[:-2], n + 1, n)[..., :-1, :].tril()


def not_skewed(x):
    """Your rows are not shifted: column r is still a distance. Row i moves left by
    n - 1 - i."""
    return x.tril()


def distances_reversed(x):
    """You read the distances backwards: the last column is the token itself, the first the
    farthest back."""
    return reshaped(x.flip(-1)).tril()


def shifted_to_the_right(x):
    """You shift to the right. Row i moves left by n - 1 - i."""
    n = x.shape[-1]
    rows = [x[..., i, :].roll(n - 1 - i, -1) for i in range(n)]
    return torch.stack(rows, -2).tril()


def shifted_by_i(x):
    """You shift row i by i. The last row stays as it is, the first moves by n - 1."""
    n = x.shape[-1]
    return torch.stack([x[..., i, :].roll(-i, -1) for i in range(n)], -2).tril()


def diagonal_lost(x):
    """Your diagonal is 0. A token has a distance to itself, 0: the last column of x."""
    return reshaped(x).tril(-1)


def minus_infinity_above(x):
    """You fill with -inf above the diagonal. The mask does that; here it is 0."""
    n = x.shape[-1]
    return reshaped(x).masked_fill(~torch.ones(n, n, dtype=torch.bool).tril(), -math.inf)


def turned_over(x):
    """Your rows are keys: j i. The queries go down, i j."""
    return reshaped(x).tril().mT


def upper_half(x):
    """You keep what is above the diagonal. What is below is right: j <= i."""
    return reshaped(x).triu()


@variant
def unmasked(x):
    """Above the diagonal you leave what the reshape puts there, as Music Transformer does,
    where a mask hides it. Here it is 0; with a causal mask the two are alike."""
    return reshaped(x)


def rotary_complex(x, positions):
    d = x.shape[-1]
    frequency = 10000 ** (-torch.arange(0, d, 2, dtype=x.dtype, device=x.device) / d)
    angles = torch.outer(positions.to(x), frequency)
    z = torch.view_as_complex(x.reshape(*x.shape[:-1], -1, 2).contiguous())
    return torch.view_as_real(z * torch.polar(torch.ones_like(angles), angles)).flatten(-2)


SKEWS = (
    padded_on_the_right,
    last_row_dropped,
    not_skewed,
    distances_reversed,
    shifted_to_the_right,
    shifted_by_i,
    diagonal_lost,
    minus_infinity_above,
    turned_over,
    upper_half,
    unmasked,
)
