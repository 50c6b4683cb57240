"""Local attention as an operator of torch: in C on the CPU, in Triton on CUDA.

What it keeps for the way back is q, k, v, the output and the log-sum-exp of the scores. It is
an operator, so torch.compile and torch.export do not look inside, and it checks everything it
is given: whoever calls `torch.ops.attncourse.local_attention` himself is told as well.

Axes     as in solutions.stand_alone: b batch, d e features of a head, h w pixels, dy dx places
Source   as in solutions.fast.local
Differs  float16 and bfloat16 are computed in float32 in C
"""

import ctypes

import torch
from einops import einsum
from torch import Tensor

from solutions import checks
from solutions.fast import gpu, native, once
from solutions.fast.autocast import exactly

LARGEST = 31  # window of the kernel in C


check = checks.local


@torch.library.custom_op("attncourse::local_attention", mutates_args=(), device_types="cpu")
@exactly
def operator(
    q: Tensor, k: Tensor, v: Tensor, rows: Tensor, columns: Tensor, window: int
) -> tuple[Tensor, Tensor]:
    """Local attention and the log-sum-exp of its scores, b head h w, for autograd to keep. On
    the CPU in C, on CUDA in Triton, which lays y out in memory as v."""
    _check(q, k, v, rows, columns, window)
    kind = _exact(q)
    given = tuple(_ready(x, kind) for x in (q, k, v, rows, columns))
    out, lse = q.new_empty(v.shape, dtype=kind), q.new_empty(_but_features(q), dtype=kind)
    if lse.numel():
        _call("forward", (out, lse, *given), q, v, window)
    return out.to(q.dtype), lse


@operator.register_kernel("cuda")
def _(q, k, v, rows, columns, window):
    _check(q, k, v, rows, columns, window)
    return gpu.kernels("local").attend(q, k, v, rows, columns, window)


@operator.register_fake
def _(q, k, v, rows, columns, window):
    _check(q, k, v, rows, columns, window)
    return _like(v, q.dtype), q.new_empty(_but_features(q), dtype=_exact(q))


@torch.library.custom_op(
    "attncourse::local_attention_backward", mutates_args=(), device_types="cpu"
)
@exactly
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
    _check_back(dout, q, k, v, rows, columns, out, lse, window)
    kind, of = _exact(q), (q, k, v, rows, columns)
    given = [_ready(x, kind) for x in of]
    dout, out, lse = (_ready(x, kind) for x in (dout, out, lse))
    if not lse.numel():  # nobody attends: the tables hear of nothing
        return tuple(x.new_zeros(x.shape) for x in of)
    delta = einsum(dout, out, "b head e h w, b head e h w -> b head h w").contiguous()
    grads = [torch.empty_like(x) for x in given[:3]]
    tables = [x.new_empty(len(q), *x.shape) for x in given[3:]]
    _call("backward", (*grads, *tables, *given, dout, lse, delta), q, v, window)
    grads += [table.sum(0) for table in tables]
    return tuple(grad.to(x.dtype) for grad, x in zip(grads, of, strict=True))


@backward.register_kernel("cuda")
def _(dout, q, k, v, rows, columns, out, lse, window):
    _check_back(dout, q, k, v, rows, columns, out, lse, window)
    return gpu.kernels("local").gradients(dout, q, k, v, rows, columns, out, lse, window)


@backward.register_fake
def _(dout, q, k, v, rows, columns, out, lse, window):
    _check_back(dout, q, k, v, rows, columns, out, lse, window)
    return *map(_like, (q, k, v)), *(x.new_empty(x.shape) for x in (rows, columns))


def _check(q, k, v, rows, columns, window: int) -> None:
    check(q, k, v, rows, columns, window)
    checks.alike(("q", q), ("k", k), ("v", v))
    checks.tables(q, ("rows", rows), ("columns", columns))
    if q.device.type == "cpu" and window > LARGEST:
        raise ValueError(f"the native kernel cannot run: {window=} is more than {LARGEST}")


def _check_back(dout, q, k, v, rows, columns, out, lse, window: int) -> None:
    _check(q, k, v, rows, columns, window)
    given = ("dout", dout, "b head e h w"), ("out", out, "b head e h w")
    checks.sizes(("q", q, "b head d h w"), ("v", v, "b head e h w"), *given,
                 ("lse", lse, "b head h w"))  # fmt: skip
    checks.alike(("q", q), ("dout", dout), ("out", out))
    checks.tables(q, ("lse", lse))


def _like(x: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """As the device's kernel lays it out: the one in C side by side, the other as it was."""
    if x.device.type == "cpu":
        return x.new_empty(x.shape, dtype=dtype or x.dtype)
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
    def forward(q, k, v, rows, columns, window):
        return gpu.kernels("local").attend(q, k, v, rows, columns, window)

    @staticmethod
    def setup_context(ctx, inputs, output):
        _keep(ctx, inputs, output)

    @staticmethod
    def backward(ctx, dy, _):
        given, name = (dy, *ctx.saved_tensors), "local attention in the interpreter"
        grads = once.gradients(name, gpu.kernels("local").gradients, given, ctx.window)
        return *grads, None


# ---------------------------------------------------------------- the kernel in C


def _exact(q: Tensor) -> torch.dtype:
    """What the kernel computes in, one precision for all that it is given, and keeps."""
    return torch.float64 if q.dtype == torch.float64 else torch.float32


def _ready(x: Tensor, kind: torch.dtype) -> Tensor:
    """As the kernel reads it: contiguous, in its precision."""
    return x.to(kind).contiguous()


def _but_features(q: Tensor) -> tuple:
    b, head, _, h, w = q.shape
    return b, head, h, w


def _call(name: str, tensors: tuple[Tensor, ...], q: Tensor, v: Tensor, window: int) -> None:
    """Run the kernel of this name and of the tensors' type, on what was checked."""
    b, heads, d, h, w = q.shape
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
