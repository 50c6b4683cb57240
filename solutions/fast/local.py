"""Local 2D attention, faster: blocks of queries in plain PyTorch, kernels in C and Triton.

    reference   windows of k and v are copied: window² d numbers a pixel
    blocked     4 x 4 queries share a halo of (window + 3)² keys: 6 d numbers a pixel for 7
    native      C: scores of 16 pixels in registers, the map is never stored
    triton      on an NVIDIA GPU: as solutions.fast.local_triton says

Axes     as in solutions.stand_alone: b batch, d e features of a head, h w pixels, dy dx places
Cost     native: memory for the padded k and v of one head a thread; the backward pass computes
         the map again from the log-sum-exp, so training keeps q, k, v, the output and one
         number a pixel and head
Source   Ramachandran et al., 2019, arXiv:1906.05909, sec. 3, which asks for such kernels;
         blocks with halos after Vaswani et al., "Scaling Local Self-Attention for Parameter
         Efficient Visual Backbones", CVPR 2021, arXiv:2103.12731, sec. 3; recomputing from the
         log-sum-exp after Dao et al., "FlashAttention", NeurIPS 2022, arXiv:2205.14135
Differs  as solutions.stand_alone does; float16 and bfloat16 are computed in float32 in C, and
         summed in float32 in Triton
"""

import ctypes
import math
from functools import cache

import torch
from einops import einsum, rearrange, repeat
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from solutions import stand_alone
from solutions.fast import gpu, native

BLOCK = 4  # queries a side
LARGEST = 31  # window of the kernel in C
IMPLEMENTATIONS = ("reference", "blocked", "native", "triton")


def local_attention(
    q: Float[Tensor, "b head d h w"],
    k: Float[Tensor, "b head d h w"],
    v: Float[Tensor, "b head e h w"],
    rows: Float[Tensor, "head dy half"],
    columns: Float[Tensor, "head dx half"],
    window: int,
    implementation: str = "auto",
) -> Float[Tensor, "b head e h w"]:
    """As `solutions.stand_alone.local_attention`, by the implementation that is asked for.

    "auto" takes what `choose` says. Raises ValueError for one that cannot run here, with the
    reason, and for an even window.
    """
    if window < 1 or window % 2 == 0:
        raise ValueError(f"{window=} has no middle: take an odd number")
    if implementation == "auto":
        implementation = choose(q, window, v)
    if implementation == "reference":
        return stand_alone.local_attention(q, k, v, rows, columns, window)
    if implementation == "blocked":
        return blocked(q, k, v, rows, columns, window)
    if implementation not in IMPLEMENTATIONS:
        raise ValueError(f"no {implementation=}: there are auto, {', '.join(IMPLEMENTATIONS)}")
    if why := cannot(q, window, implementation, v):
        raise ValueError(f"the {implementation} kernel cannot run: {why}")
    if implementation == "triton" and q.device.type == "cpu":
        return Interpreted.apply(q, k, v, rows, columns, window)
    return operator(q, k, v, rows, columns, window)[0]


def choose(q: Tensor, window: int, v: Tensor | None = None) -> str:
    """What "auto" takes: the device's kernel where it runs, else blocks. On the CPU that was
    measured; on a GPU nothing is measured yet. The interpreter is never taken."""
    kernel = "native" if q.device.type == "cpu" else "triton"
    return "blocked" if cannot(q, window, kernel, v) else kernel


def cannot(
    q: Tensor, window: int, implementation: str = "native", v: Tensor | None = None
) -> str:
    """Why the native or the Triton kernel cannot do this, in one line; "" where it can. v
    where its width is not that of q."""
    if implementation == "triton":
        return _no_triton(
            q.device, q.dtype, q.shape[2], (q if v is None else v).shape[2], window
        )
    if q.device.type != "cpu":
        return f"the tensors are on {q.device}, and it is for the CPU"
    if window > LARGEST:
        return f"{window=} is more than {LARGEST}"
    return _no_native()


# torch.compile asks once and does not look inside


@torch.compiler.assume_constant_result
def _no_native() -> str:
    return native.available("local")


@torch.compiler.assume_constant_result
def _no_triton(device: torch.device, dtype: torch.dtype, d: int, e: int, window: int) -> str:
    return gpu.available(device) or gpu.kernels("local").cannot(device, dtype, d, e, window)


# ---------------------------------------------------------------- blocks, in plain PyTorch


def blocked(
    q: Float[Tensor, "b head d h w"],
    k: Float[Tensor, "b head d h w"],
    v: Float[Tensor, "b head e h w"],
    rows: Float[Tensor, "head dy half"],
    columns: Float[Tensor, "head dx half"],
    window: int,
) -> Float[Tensor, "b head e h w"]:
    """Local attention, a block of queries at a time: all of a block see one halo of keys."""
    queries, place = _blocks(q), _places(q, rows, columns, window)
    keys, values = _halos(k, window), _halos(v, window)
    needs = torch.is_grad_enabled() and any(x.requires_grad for x in (q, k, v, rows, columns))
    if needs or 0 in place.shape or q.shape[2] != v.shape[2]:
        mixed = (place + queries @ keys.mT).softmax(-1) @ values
    else:  # torch's fused attention has no way back to the scores of places
        parts = (rearrange(x, "b head ... -> (b head) ...") for x in (queries, keys, values))
        place = rearrange(place, "b head ... -> (b head) ...")
        mixed = F.scaled_dot_product_attention(*parts, place, scale=1.0)
        mixed = rearrange(mixed, "(b head) ... -> b head ...", head=q.shape[1])
    return _from_blocks(mixed, *q.shape[-2:])


def _places(q: Tensor, rows: Tensor, columns: Tensor, window: int) -> Tensor:
    """What each query says to the places of its halo, b head block query key; -inf to those
    that it does not see."""
    scores = []
    for axis, table in enumerate((rows, columns)):
        own, seen = (x.to(q.device) for x in _tables(window, q.shape[3 + axis]))
        half = q[:, :, : rows.shape[-1]] if axis == 0 else q[:, :, rows.shape[-1] :]
        said = _along(einsum(half, table, _PLACES), own, "yx"[axis])
        across = -(-q.shape[4 - axis] // BLOCK)
        pattern = (
            "block y line -> (block across) (y x) line",
            "block x line -> (across block) (y x) line",
        )[axis]
        seen = repeat(seen, pattern, across=across, **{"xy"[axis]: BLOCK})
        scores.append(said.masked_fill(~seen, -math.inf))
    return rearrange(
        rearrange(scores[0], "... ky -> ... ky 1") + rearrange(scores[1], "... kx -> ... 1 kx"),
        "... ky kx -> ... (ky kx)",
    )


_PLACES = "b head half h w, head place half -> b head h w place"


@cache
def _tables(
    window: int, size: int
) -> tuple[Int[Tensor, "own line"], Bool[Tensor, "block own line"]]:
    """Along one axis: which place of the window a line of keys is for a line of queries, and
    whether it is seen.

    A block lies BLOCK lines into the picture for each block before it, and its halo starts
    window // 2 lines earlier.
    """
    reach, side = window // 2, BLOCK + window - 1
    place = torch.arange(side) - rearrange(torch.arange(BLOCK), "own -> own 1")
    near = (place >= 0) & (place < window)
    line = torch.arange(-(-size // BLOCK)) * BLOCK - reach
    keys = rearrange(line, "block -> block 1") + torch.arange(side)
    inside = (keys >= 0) & (keys < size)
    seen = rearrange(inside, "block line -> block 1 line") & near
    # queries beyond the picture see everything: their rows must not be empty
    return place.clamp(0, window - 1), seen | ~seen.any(-1, keepdim=True)


def _blocks(x: Tensor) -> Tensor:
    """The pixels of each block as tokens: b head block query d, zeros beyond the edge."""
    h, w = x.shape[-2:]
    padded = F.pad(x, (0, -w % BLOCK, 0, -h % BLOCK))
    return rearrange(
        padded, "b head d (by y) (bx x) -> b head (by bx) (y x) d", y=BLOCK, x=BLOCK
    )


def _from_blocks(x: Tensor, h: int, w: int) -> Tensor:
    """The other way round, cut to the picture."""
    whole = rearrange(
        x,
        "b head (by bx) (y x) d -> b head d (by y) (bx x)",
        by=-(-h // BLOCK),
        y=BLOCK,
    )
    return whole[..., :h, :w]


def _halos(x: Tensor, window: int) -> Tensor:
    """The pixels that a block's queries see, b head block key d."""
    h, w = x.shape[-2:]
    reach, side = window // 2, BLOCK + window - 1
    pixels = rearrange(x, "b head d h w -> b head h w d")  # copied in runs of d
    below, right = reach + -h % BLOCK, reach + -w % BLOCK
    padded = F.pad(pixels, (0, 0, reach, right, reach, below))
    halos = padded.unfold(2, side, BLOCK).unfold(3, side, BLOCK)
    return rearrange(halos, "b head by bx d y x -> b head (by bx) (y x) d")


def _along(scores: Tensor, own: Tensor, axis: str) -> Tensor:
    """Scores of the places of a window, b head h w place, as scores of a halo's lines:
    b head block query line."""
    blocks = _blocks(rearrange(scores, "b head h w place -> b head place h w"))
    pattern = "b head block (y x) place -> b head block y x place"
    split = rearrange(blocks, pattern, y=BLOCK)
    which = rearrange(
        own, "y line -> 1 1 1 y 1 line" if axis == "y" else "x line -> 1 1 1 1 x line"
    )
    which = which.expand(*split.shape[:-1], -1)
    return rearrange(
        split.gather(-1, which), "b head block y x line -> b head block (y x) line"
    )


# ---------------------------------------------------------------- as an operator of torch


@torch.library.custom_op("attncourse::local_attention", mutates_args=(), device_types="cpu")
def operator(
    q: Tensor, k: Tensor, v: Tensor, rows: Tensor, columns: Tensor, window: int
) -> tuple[Tensor, Tensor]:
    """Local attention and the log-sum-exp of its scores, b head h w, for autograd to keep. On
    the CPU in C, on CUDA in Triton, which lays y out in memory as v."""
    given = tuple(_ready(x) for x in (q, k, v, rows, columns))
    out, lse = torch.empty_like(given[2]), given[0].new_empty(_but_features(q))
    _call("forward", (out, lse, *given), q, v, window)
    return out.to(q.dtype), lse


@operator.register_kernel("cuda")
def _(q, k, v, rows, columns, window):
    return gpu.kernels("local").attend(q, k, v, rows, columns, window)


@operator.register_fake
def _(q, k, v, rows, columns, window):
    exact = torch.float64 if q.dtype == torch.float64 else torch.float32
    return _like(v, q.dtype), q.new_empty(_but_features(q), dtype=exact)


@torch.library.custom_op(
    "attncourse::local_attention_backward", mutates_args=(), device_types="cpu"
)
def backward(
    dout: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    rows: Tensor,
    columns: Tensor,
    out: Tensor,
    lse: Tensor,
    window: int,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """The gradients of q, k, v, rows and columns."""
    q_, k_, v_, rows_, columns_, dout_, out_ = (
        _ready(x) for x in (q, k, v, rows, columns, dout, out)
    )
    delta = einsum(dout_, out_, "b head e h w, b head e h w -> b head h w").contiguous()
    grads = [torch.empty_like(x) for x in (q_, k_, v_)]
    tables = [x.new_empty(len(q), *x.shape) for x in (rows_, columns_)]
    _call(
        "backward",
        (*grads, *tables, q_, k_, v_, rows_, columns_, dout_, lse, delta),
        q,
        v,
        window,
    )
    tables = [table.sum(0) for table in tables]
    return tuple(
        g.to(x.dtype) for g, x in zip((*grads, *tables), (q, k, v, rows, columns), strict=True)
    )


@backward.register_kernel("cuda")
def _(dout, q, k, v, rows, columns, out, lse, window):
    return gpu.kernels("local").gradients(dout, q, k, v, rows, columns, out, lse, window)


@backward.register_fake
def _(dout, q, k, v, rows, columns, out, lse, window):
    return *map(_like, (q, k, v)), *(x.new_empty(x.shape) for x in (rows, columns))


def _like(x: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """As the device's kernel lays it out: the one in C side by side, the other as it was."""
    if x.device.type == "cpu":
        return torch.empty(x.shape, dtype=dtype or x.dtype)
    return torch.empty_like(x, dtype=dtype)


def _keep(ctx, inputs, output):
    *tensors, ctx.window = inputs
    ctx.save_for_backward(*tensors, *output)
    ctx.mark_non_differentiable(output[1])


def _backward(ctx, dout, _):
    return *backward(dout, *ctx.saved_tensors, ctx.window), None


operator.register_autograd(_backward, setup_context=_keep)


def _autocast(device: str) -> None:
    """Under autocast q, k and v get its type, whichever that is: `register_autocast` of torch
    knows one for a device. The tables stay as they are; a kernel rounds them."""

    def cast(q, k, v, rows, columns, window):
        kind = torch.get_autocast_dtype(device)
        q, k, v = (x if x.dtype == torch.float64 else x.to(kind) for x in (q, k, v))
        with torch.autocast(device, enabled=False):
            return operator(q, k, v, rows, columns, window)

    _library.impl("local_attention", cast, f"Autocast{device.upper()}")


_library = torch.library.Library("attncourse", "FRAGMENT")
_autocast("cpu")
_autocast("cuda")


class Interpreted(torch.autograd.Function):
    """The Triton kernels on the CPU, by Triton's interpreter: for tests and for learning."""

    @staticmethod
    def forward(ctx, q, k, v, rows, columns, window):
        y, lse = gpu.kernels("local").attend(q, k, v, rows, columns, window)
        ctx.window = window
        ctx.save_for_backward(q, k, v, rows, columns, y, lse)
        return y

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, dy):
        grads = gpu.kernels("local").gradients(dy, *ctx.saved_tensors, ctx.window)
        return *grads, None


# ---------------------------------------------------------------- the kernel in C


def _ready(x: Tensor) -> Tensor:
    """As the kernel reads it: contiguous, in single or double precision."""
    return x.to(torch.float64 if x.dtype == torch.float64 else torch.float32).contiguous()


def _but_features(q: Tensor) -> tuple:
    b, head, _, h, w = q.shape
    return b, head, h, w


def _call(name: str, tensors: tuple[Tensor, ...], q: Tensor, v: Tensor, window: int) -> None:
    """Run the kernel of this name and of the tensors' type."""
    b, heads, d, h, w = q.shape
    if b * heads * h * w == 0:
        for x in tensors:
            if x.numel() and name == "backward" and x.shape[0] == b:
                x.zero_()
        return
    kind = "double" if tensors[0].dtype == torch.float64 else "float"
    kernel = getattr(native.library("local"), f"{name}_{kind}")
    sizes = (b * heads, heads, d, v.shape[2], h, w)
    failed = kernel(
        *(ctypes.c_void_p(x.data_ptr()) for x in tensors),
        *map(ctypes.c_int64, sizes),
        ctypes.c_int(window),
        ctypes.c_int(torch.get_num_threads()),
    )
    if failed:
        raise MemoryError(f"local attention: no memory for a head of {d} x {h} x {w} numbers")


# ---------------------------------------------------------------- the layer


class StandAloneSelfAttention2d(stand_alone.StandAloneSelfAttention2d):
    """The layer of `solutions.stand_alone`, same weights and same results, by a fast
    implementation.

    implementation  may be changed at any time: "auto", "reference", "blocked", "native" or
                    "triton"
    ran             the one that the last call took; None before the first
    """

    implementation: str = "auto"
    ran: str | None = None

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b e h2 w2"]:
        """What the heads read, side by side; with a stride, averaged over its pixels."""
        q, k = self.split(self.query(x)) * self.scale, self.split(self.key(x))
        v = self.split(self.value(x))
        auto = self.implementation == "auto"
        self.ran = choose(q, self.window) if auto else self.implementation
        y = local_attention(q, k, v, self.rows, self.columns, self.window, self.ran)
        y = rearrange(y, "b head d h w -> b (head d) h w")
        return y if self.stride == 1 else F.avg_pool2d(y, self.stride, ceil_mode=True)
