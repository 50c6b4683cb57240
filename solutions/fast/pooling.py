"""The mean of stride x stride pixels, as `F.avg_pool2d` with `ceil_mode`, compiled or not.

Axes     b batch, c channels, h w height and width in pixels, y x a block of them
Differs  torch 2.13's inductor gets the gradient of `avg_pool2d(..., ceil_mode=True)` wrong on
         maps that the stride does not divide: it divides by the whole block, not by the pixels
         that there are. Under torch.compile the sum and the count are therefore written out.
         `solutions.stand_alone` has torch's own: train its layer compiled on maps that the
         stride divides
"""

import torch
from einops import rearrange, reduce
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from solutions import checks
from solutions.arguments import COUNT


def averaged(x: Float[Tensor, "b c h w"], stride: int) -> Float[Tensor, "b c y x"]:
    """The mean of each block; one that the map cuts off has the mean of the pixels it has."""
    if stride == 1:
        return x
    if not torch.compiler.is_compiling() and 0 not in x.shape[-2:]:
        return F.avg_pool2d(x, stride, ceil_mode=True)
    return by_counting(x, stride)


def by_counting(x: Float[Tensor, "b c h w"], stride: int) -> Float[Tensor, "b c y x"]:
    """The sum of each block over how many pixels it has."""
    h, w = x.shape[-2:]
    filled = F.pad(x, (0, -w % stride, 0, -h % stride))
    total = reduce(filled, "b c (y i) (x j) -> b c y x", "sum", i=stride, j=stride)
    high, wide = (
        (n - torch.arange(0, n, stride, device=x.device)).clamp(max=stride) for n in (h, w)
    )
    return total / (rearrange(high, "y -> y 1") * wide).to(x)


def _a_map(x: Tensor, stride: int) -> None:
    checks.sizes(("x", x, "b c h w"))


averaged = checks.numbers(stride=COUNT)(checks.before(_a_map)(averaged))
by_counting = checks.numbers(stride=COUNT)(checks.before(_a_map)(by_counting))
