"""What a stage costs, how wide a network may be, and which of many are worth a look.

    9 pixels c_in c_out                a 3x3 convolution, in multiply-adds
    stage = Σ blocks of two 3x3, and a 1x1 where the shape changes
    width for a budget                 the multiple of a step whose cost is nearest to it
    dominated                          another costs no more and scores no less, and one of
                                       the two is better

Axes     n networks; channels, height and width as whole numbers
Source   He et al., CVPR 2016, arXiv:1512.03385 (the blocks); Pareto, "Manuale di economia
         politica", 1906 (the front)
"""

from bisect import bisect_left
from collections.abc import Callable

from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor


def stage_multiply_adds(
    channels: int, out_channels: int, blocks: int, height: int, width: int, stride: int = 1
) -> int:
    """Multiply-adds of a stage of residual blocks for one image, without normalisation.

    Each block has two 3x3 convolutions. The first convolution of the first block goes from
    `channels` to `out_channels` with the stride, and beside it stands a 1x1 on the shortcut
    if the stride is not 1 or the channels change. `height` and `width` are those of the maps
    that come in; a stride rounds up.
    """
    pixels = -(-height // stride) * -(-width // stride)
    changes = stride > 1 or channels != out_channels
    first = (9 + changes) * channels * out_channels
    others = 9 * (2 * blocks - 1) * out_channels**2
    return pixels * (first + others)


def width_for(cost: Callable[[int], int], budget: int, step: int = 4) -> int:
    """The multiple of `step`, from `step` on, whose cost is nearest to the budget.

    cost  grows with the width. Of two widths that are equally near, the smaller is taken.
    """
    most = step
    while cost(most) < budget:
        most *= 2
    widths = range(step, most + step, step)
    above = widths[bisect_left(widths, budget, key=cost)]
    below = max(above - step, step)
    return below if budget - cost(below) <= cost(above) - budget else above


def pareto_front(cost: Float[Tensor, " n"], score: Float[Tensor, " n"]) -> Bool[Tensor, " n"]:
    """True for those that no other dominates: one that costs no more, scores no less, and is
    better in one of the two. Of equals, all stay."""
    other_cost, other_score = (rearrange(x, "n -> n 1") for x in (cost, score))
    no_worse = (other_cost <= cost) & (other_score >= score)
    better = (other_cost < cost) | (other_score > score)
    return ~(no_worse & better).any(0)
