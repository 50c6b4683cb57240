"""Whole layers, with their projections, beside a whole 3x3 convolution of equal width.

convolution            nn.Conv2d, 3 x 3, without a bias, as in a residual network
stand-alone            the layer of solutions.fast, window 7: three projections and attention
stand-alone, reference the same of solutions
augmented              attention-augmented convolution, a fifth of the channels by attention
halonet                halonet-pytorch's layer: blocks of 7 x 7 with a halo of 3
"""

import math
from collections.abc import Callable
from functools import partial

from torch import nn

from attncourse.bench.measuring import Case, Setting, Way, layer
from attncourse.bench.reporting import Figure
from solutions import fast, stand_alone

WHAT = "whole layers with their projections, beside a whole 3x3 convolution"
WINDOW = 7
FIGURE = Figure(
    "pixels (64 channels, 4 heads)",
    ("convolution", "stand-alone", "stand-alone, reference", "augmented", "halonet"),
    ours="stand-alone",
    over=("convolution",),
)
# b c h w heads; the first sizes are on the figure
SHOWN = ((2, 64, 14, 14, 4), (2, 64, 28, 28, 4), (2, 64, 56, 56, 4))
SMALL = (*SHOWN, (1, 256, 28, 28, 8))
TINY = ((1, 8, 6, 5, 2),)


def cases(setting: Setting) -> list[Case]:
    """From few pixels to many, and once with many channels."""
    sizes = TINY if setting.tiny else SMALL
    return [_case(size, setting, number) for number, size in enumerate(sizes)]


def _case(size: tuple[int, ...], setting: Setting, number: int) -> Case:
    b, c, h, w, heads = size

    def whole(make: Callable[[], nn.Module], work: int | None = None) -> Way:
        x = setting.randn(b, c, h, w) / math.sqrt(c)
        return layer(setting.here(make()), x, work)

    pairs = b * heads * int(stand_alone.inside(h, w, WINDOW).sum())
    work = 2 * pairs * (c // heads) + b * c * h * w * (3 * c + WINDOW)
    given = dict(heads=heads, window=WINDOW)
    ways = {
        "convolution": partial(
            whole, partial(nn.Conv2d, c, c, 3, padding=1, bias=False), 9 * b * c * c * h * w
        ),
        "stand-alone": partial(
            whole, partial(fast.StandAloneSelfAttention2d, c, **given), work
        ),
        "stand-alone, reference": partial(
            whole, partial(stand_alone.StandAloneSelfAttention2d, c, **given), work
        ),
        "augmented": partial(
            whole,
            partial(fast.AttentionAugmentedConv2d, c, c, upsilon=0.2, heads=heads, size=(h, w)),
        ),
        "halonet": partial(whole, partial(_halonet, c, heads)),
    }
    return Case(
        f"{b} x {c} x {h} x {w}, {heads} heads",
        dict(zip(("b", "c", "h", "w", "heads"), size, strict=True)),
        ways,
        over=("convolution", "stand-alone, reference", "halonet"),
        alike=("stand-alone", "stand-alone, reference"),
        at=h * w if number < len(SHOWN) else None,
        core=number == 1,
        spare=("halonet",),
    )


def _halonet(c: int, heads: int) -> nn.Module:
    from halonet_pytorch import HaloAttention

    return HaloAttention(dim=c, block_size=7, halo_size=3, dim_head=c // heads, heads=heads)
