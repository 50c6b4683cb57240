"""Boxes for the trials of the exercises on detection."""

import torch
from torch import Tensor

from attncourse.exercises.record import Given


def boxes(count: int, seed: int, side: float = 20.0) -> Tensor:
    """So many boxes with area, left, top, right, bottom, in float64."""
    dice = torch.Generator().manual_seed(seed)
    corner = side * torch.rand(count, 2, generator=dice, dtype=torch.float64)
    size = side / 8 + side / 2 * torch.rand(count, 2, generator=dice, dtype=torch.float64)
    return torch.cat([corner, corner + size * torch.tensor([1.0, 1.5]).double()], dim=1)


def given(count: int, seed: int, axis: str = "n") -> Given:
    return Given(f"{axis} 4", boxes(count, seed))
