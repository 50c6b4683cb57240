"""Relative positions in the plane: 8 heads of 32 features, every pixel sees all.

no places    torch's fused attention without any positions
fused        torch's fused attention with the scores of places as a dense bias
layer        with the projection of q, k and v, as the two peers have it
timm         BottleneckAttn, where timm is installed
bottleneck   the attention of bottleneck-transformer-pytorch, where that is installed
flex         scores of rows and columns in a score_mod
"""

from collections.abc import Callable
from functools import partial

import torch
from einops import rearrange
from torch import nn
from torch.nn import functional as F

from attncourse.bench.local import flex
from attncourse.bench.measuring import Absent, Case, Setting, Way, asked, layer, runs_here
from attncourse.bench.reporting import Figure
from solutions.fast import relative_2d
from solutions.relative_2d import axis_logits

WHAT = "relative positions in the plane, 8 heads of 32 features"
HEADS, D = 8, 32
FIGURE = Figure(
    "pixels (8 heads of 32)",
    ("skew", "fused", "augmented", "rows", "native", "triton", "no places"),
    ours="auto",
    over=("no places",),
)
MAPS = ("naive", "broadcast")  # as slow as the skew, and nobody's choice
LARGEST = 2**28  # numbers of the naive table
SMALL, FULL = ((1, 14), (1, 28), (1, 40)), ((1, 14), (1, 28), (1, 40), (1, 56), (2, 32))


def cases(setting: Setting) -> list[Case]:
    """Square maps; peers at 28 x 28, or with `full` at all."""
    sizes = ((1, 5),) if setting.tiny else FULL if setting.full else SMALL
    if setting.device != "cpu" and not setting.tiny:
        sizes = [(16 * b, side) for b, side in sizes]
    return [_case(b, side, setting, setting.full or side in (5, 28)) for b, side in sizes]


class Layer(nn.Module):
    """Projects, attends, and lays the heads side by side."""

    def __init__(self, side: int):
        super().__init__()
        self.qkv = nn.Conv2d(HEADS * D, 3 * HEADS * D, 1, bias=False)
        self.rows = nn.Parameter(torch.randn(2 * side - 1, D) / D**0.5)
        self.columns = nn.Parameter(torch.randn(2 * side - 1, D) / D**0.5)

    def forward(self, x):
        """b c h w -> b c h w."""
        q, k, v = rearrange(
            self.qkv(x), "b (three head d) h w -> three b head h w d", three=3, head=HEADS
        )
        y = relative_2d.relative_attention_2d(q, k, v, self.rows, self.columns)
        return rearrange(y, "b head h w d -> b (head d) h w")


def _case(b: int, side: int, setting: Setting, peers: bool) -> Case:
    c, n = HEADS * D, side * side

    def inputs():
        qkv = [setting.randn(b, HEADS, side, side, D) for _ in range(3)]
        return qkv + [setting.randn(2 * side - 1, D) / D**0.5 for _ in range(2)]

    def line():
        return [rearrange(x, "b head h w d -> b head (h w) d") for x in inputs()[:3]]

    def picture():
        return setting.randn(b, c, side, side)

    dense, places = 2 * b * HEADS * n * n * D, b * HEADS * n * D * 2 * side
    projected = dense + places + 3 * b * n * c * c

    def ours(name: str) -> Way:
        runs_here(name, setting)
        if name == "naive" and n * n * D > LARGEST:
            raise Absent(f"its table has {n * n * D:.1e} numbers")
        if name in MAPS and n > 196 and not setting.full:
            raise Absent("another form of the map; with --full")
        call = partial(relative_2d.relative_attention_2d, implementation=name)
        return Way(call, inputs(), dense + places)

    def auto() -> str:
        q, _, v, rows, _ = inputs()
        return asked(relative_2d.choose, q, rows, v)

    ways: dict[str, Callable[[], Way]] = {
        "no places": lambda: Way(F.scaled_dot_product_attention, line(), dense)
    }
    for name in relative_2d.IMPLEMENTATIONS:
        ways[name] = partial(ours, name)
    ways["layer"] = lambda: layer(setting.here(Layer(side)), picture(), projected)
    ways["timm"] = lambda: layer(setting.here(_timm(c, side)), picture(), projected)
    ways["bottleneck"] = lambda: layer(setting.here(_bottleneck(c, side)), picture(), projected)
    if peers:
        ways["flex"] = lambda: _flex(inputs(), setting, dense + places)
    return Case(
        f"{b} x {side} x {side}",
        dict(b=b, side=side, heads=HEADS, d=D),
        ways,
        over=("no places", "skew", "timm", "bottleneck", "flex"),
        alike=("skew", *(x for x in relative_2d.IMPLEMENTATIONS if x != "skew")),
        auto=auto,
        at=n if b in (1, 16) else None,
        core=side >= 28,
        spare=("flex", *MAPS),
    )


def _timm(c: int, side: int) -> nn.Module:
    try:
        from timm.layers.bottleneck_attn import BottleneckAttn
    except ImportError:
        raise Absent("timm is not installed") from None
    return BottleneckAttn(c, c, feat_size=(side, side), num_heads=HEADS)


def _bottleneck(c: int, side: int) -> nn.Module:
    from bottleneck_transformer_pytorch.bottleneck_transformer_pytorch import Attention

    return Attention(dim=c, fmap_size=(side, side), heads=HEADS, dim_head=D, rel_pos_emb=True)


def _flex(inputs, setting: Setting, multiply_adds: int) -> Way:
    compiled, w = flex(setting), inputs[0].shape[-2]

    def call(q, k, v, rows, columns):
        said = axis_logits(q * D**-0.5, rows, columns)
        down, across = (rearrange(x, "b head h w y -> b head (h w) y") for x in said)

        def place(score, b, head, i, j):
            return score + down[b, head, i, j // w] + across[b, head, i, j % w]

        q, k, v = (rearrange(x, "b head h w d -> b head (h w) d") for x in (q, k, v))
        return compiled(q, k, v, score_mod=place)

    back = "FlexAttention has none on a CPU" if setting.device == "cpu" else ""
    return Way(call, inputs, multiply_adds, no_way_back=back, compiled=True)
