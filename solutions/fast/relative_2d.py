"""Relative positions in the plane, faster: the map of one head, some queries at a time.

    s_i(y x) = q_i · k_(y x) + down_i y + across_i x      scores of the queries at hand
    A = softmax over (y x),  o = A v                      then the next ones, in the same memory
    ds = A (do vᵀ - Σ do o)                               with A made again on the way back
    ddown = Σ_x ds,  dacross = Σ_y ds                     what is left for the two tables

    rows      in plain PyTorch: some rows of a map, as many as a cache holds
    native    C: 64 queries in the lanes of registers, 60 keys at a time, a running maximum

Axes     as in solutions.relative_2d: h w row and column of a query, y x those of a key
Cost     the multiply-adds of attention without places; memory: rows keeps h + w numbers for
         each query, h w (h + w) instead of (h w)², and one piece of a map; native keeps one
         number a query, and on the way back the gradients of one head a thread
Source   Bello et al., 2019, arXiv:1904.09925, sec. 3.1; recomputing after Dao et al.,
         "FlashAttention", NeurIPS 2022, arXiv:2205.14135
Differs  as solutions.relative_2d does; float16 and bfloat16 are computed in float32
"""

import math

import torch
from einops import einsum, rearrange
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from solutions import checks, relative_2d
from solutions.arguments import equip
from solutions.fast import autocast, native, once
from solutions.fast.relative_operator import backward, lines, operator
from solutions.fast.scaled_dot_product import choose_tiles, tiled_attention
from solutions.fast.switch import switched

__all__ = [
    "AttentionAugmentedConv2d",
    "backward",
    "cannot",
    "choose",
    "operator",
    "relative_attention_2d",
]

IMPLEMENTATIONS = (*relative_2d.IMPLEMENTATIONS, "rows", "native", "triton")
AT_HAND = 2**18  # scores: a mebibyte, which stays in the cache of a core
SMALL = 14 * 14  # pixels, below which one call for all heads is faster


def relative_attention_2d(
    q: Float[Tensor, "*batch h w d"],
    k: Float[Tensor, "*batch h w d"],
    v: Float[Tensor, "*batch h w e"],
    rows: Float[Tensor, "r d"] | None = None,
    columns: Float[Tensor, "s d"] | None = None,
    implementation: str = "auto",
) -> Float[Tensor, "*batch h w e"]:
    """As `solutions.relative_2d.relative_attention_2d`, by what is asked for.

    Raises ValueError for what does not fit together; leading axes may be 1, or missing, and
    stand for all.
    """
    q, k, v = checks.relative(q, k, v, rows, columns)
    if implementation == "auto":
        implementation = choose(q, rows, v)
    if implementation not in IMPLEMENTATIONS:
        raise ValueError(f"no {implementation=}: there are auto, {', '.join(IMPLEMENTATIONS)}")
    if implementation == "triton":
        return by_kernels(q, k, v, rows, columns)
    if implementation == "native":
        return _native(q, k, v, rows, columns)
    if implementation == "rows":
        if not (torch.compiler.is_compiling() or once.transforming()):
            return _by_rows(q, k, v, rows, columns)
        implementation = "augmented"  # writes into memory of its own, which cannot be traced
    return relative_2d.relative_attention_2d(q, k, v, rows, columns, implementation)


@switched(*IMPLEMENTATIONS, reference="augmented")
def choose(q: Tensor, rows: Tensor | None, v: Tensor) -> str:
    """What "auto" takes. On the CPU, as was measured, the kernel where it runs, else rows for
    maps that are not small.

    Without places torch's fused attention needs no help. On a GPU, the kernels where they run;
    their speed has not been measured yet.
    """
    if rows is None:
        return "fused"
    if once.transforming():
        return "augmented"
    if choose_tiles(q, v) == "triton":
        return "triton"
    if not cannot(q):
        return "native"
    if q.device.type == "cpu":
        native.say("relative_2d")
    large = q.shape[-3] * q.shape[-2] >= SMALL
    return "rows" if q.device.type == "cpu" and large else "augmented"


def by_kernels(
    q: Float[Tensor, "*batch h w d"],
    k: Float[Tensor, "*batch h w d"],
    v: Float[Tensor, "*batch h w e"],
    rows: Float[Tensor, "r d"] | None,
    columns: Float[Tensor, "s d"] | None,
) -> Float[Tensor, "*batch h w e"]:
    """By tiles in Triton, to which the scores of places are added as they are made."""
    q = q / math.sqrt(q.shape[-1])
    places = (None, None) if rows is None else relative_2d.axis_logits(q, rows, columns)
    line = "... h w d -> ... (h w) d"
    qkv = (rearrange(x, line) for x in (q, k, v))
    down, across = (None if x is None else rearrange(x, line) for x in places)
    y, _ = tiled_attention(*qkv, scale=1.0, down=down, across=across, implementation="triton")
    return y.reshape(v.shape)


def cannot(q: Tensor) -> str:
    """Why the native kernel cannot do this, in one line; "" where it can."""
    if q.device.type != "cpu":
        return f"the tensors are on {q.device}, and it is for the CPU"
    return native.available("relative_2d")


# ---------------------------------------------------------------- rows, in plain PyTorch


def _by_rows(q: Tensor, k: Tensor, v: Tensor, rows: Tensor | None, columns: Tensor | None):
    q, k, v = autocast.cast(q, k, v)
    q = q / math.sqrt(q.shape[-1])
    if rows is None:
        down, across = (q.new_zeros(*q.shape[:-1], n) for n in q.shape[-3:-1])
    else:
        down, across = relative_2d.axis_logits(q, rows, columns)
    with autocast.off(q):
        return ByRows.apply(q, k, v, down, across)


class ByRows(torch.autograd.Function):
    """Attention with scores for rows and for columns; keeps no map."""

    @staticmethod
    def forward(q, k, v, down, across):
        parts = [lines(x) for x in (q, k, v, down, across)]
        y = torch.empty_like(parts[2])
        for head, i, scores, _ in _pieces(*parts[:2], *parts[3:]):
            torch.mm(scores, parts[2][head], out=y[head, i])
        return y.reshape(v.shape).to(v.dtype)

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs, output)

    @staticmethod
    def backward(ctx, dy):
        with autocast.off(dy):
            given = dy, *ctx.saved_tensors
            return once.gradients("relative attention by rows", _row_gradients, given)


def _row_gradients(dy, q, k, v, down, across, y) -> tuple[Tensor, ...]:
    """Those of q, k, v, down and across."""
    given = q, k, v, down, across
    q, k, v, down, across = (lines(x) for x in given)
    dy, y = lines(dy), lines(y)
    h, w = down.shape[-1], across.shape[-1]
    dk, dv = torch.zeros_like(k), torch.zeros_like(v)
    dq, ddown, dacross = (torch.empty_like(x) for x in (q, down, across))
    mean = einsum(dy, y, "head i e, head i e -> head i")[..., None]
    for head, i, shares, spare in _pieces(q, k, down, across):
        slope = torch.mm(dy[head, i], v[head].T, out=spare)
        dv[head].addmm_(shares.T, dy[head, i])
        slope.sub_(mean[head, i]).mul_(shares)
        torch.mm(slope, k[head], out=dq[head, i])
        dk[head].addmm_(slope.T, q[head, i])
        plane = rearrange(slope, "i (y x) -> i y x", y=h, x=w)
        torch.sum(plane, -1, out=ddown[head, i])
        torch.sum(plane, -2, out=dacross[head, i])
    found = dq, dk, dv, ddown, dacross
    return tuple(
        grad.reshape(x.shape).to(x.dtype) for grad, x in zip(found, given, strict=True)
    )


def _pieces(q: Tensor, k: Tensor, down: Tensor, across: Tensor):
    """For each head some queries at a time: which, their shares i j, and as much spare memory,
    both to be used before the next."""
    heads, n, _ = q.shape
    h, w = down.shape[-1], across.shape[-1]
    several = max(1, min(n, AT_HAND // max(n, 1)))
    shares, spare = q.new_empty(several, n), q.new_empty(several, n)
    for head in range(heads):
        keys = k[head].T.contiguous()
        for start in range(0, n, several):
            i = slice(start, min(start + several, n))
            here = shares[: i.stop - start]  # scores at first
            plane = rearrange(here, "i (y x) -> i y x", y=h, x=w)
            torch.add(down[head, i, :, None], across[head, i, None, :], out=plane)
            here.addmm_(q[head, i], keys)
            torch.softmax(here, -1, out=here)
            yield head, i, here, spare[: i.stop - start]


# ---------------------------------------------------------------- the kernel in C


def _native(q: Tensor, k: Tensor, v: Tensor, rows: Tensor | None, columns: Tensor | None):
    if why := cannot(q):
        raise ValueError(f"the native kernel cannot run: {why}")
    h, w, d = q.shape[-3:]
    if rows is None:
        rows, columns = (q.new_zeros(max(2 * size - 1, 0), d) for size in (h, w))
    return operator(q, k, v, rows, columns)[0]


# ---------------------------------------------------------------- the layer


class AttentionAugmentedConv2d(relative_2d.AttentionAugmentedConv2d):
    """The layer of `solutions.relative_2d`, same weights and same results, by a fast
    implementation: "auto" unless one is named, which may be changed at any time.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int = 3,
        kappa: float | int = 0.2,
        upsilon: float | int = 0.1,
        heads: int = 8,
        size: int | tuple[int, int] | None = None,
        stride: int = 1,
        downsample: bool = False,
        stretch: bool = False,
        implementation: str = "auto",
    ):
        if implementation not in ("auto", *IMPLEMENTATIONS):
            names = ", ".join(IMPLEMENTATIONS)
            raise ValueError(f"no {implementation=}: there are auto, {names}")
        sizes = in_channels, out_channels, kernel, kappa, upsilon, heads, size
        super().__init__(*sizes, stride, downsample, stretch)
        self.implementation = implementation

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b f y x"]:
        """The maps of the convolution, then those of the attention."""
        if self.kqv is None:
            return self.conv(x)
        q, k, v = self.project(x)
        rows, columns = self.tables(*q.shape[-3:-1])
        y = relative_attention_2d(q, k, v, rows, columns, self.implementation)
        y = self.out(rearrange(y, "b head h w e -> b (head e) h w"))
        if self.downsample:
            size = [-(-n // self.stride) for n in x.shape[-2:]]
            y = F.interpolate(y, size=size, mode="bilinear", align_corners=False)
        return y if self.conv is None else torch.cat([self.conv(x), y], dim=1)

    @torch.no_grad()
    def runs(self, x: Float[Tensor, "b c h w"]) -> str | None:
        """The implementation that `forward` takes for such maps; None where none attends."""
        if self.kqv is None or self.implementation != "auto":
            return None if self.kqv is None else self.implementation
        q, _, v = self.project(x)
        return choose(q, self.rows, v)


equip(AttentionAugmentedConv2d)
