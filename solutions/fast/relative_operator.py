"""Relative attention in C as an operator of torch, there and back.

What it keeps for the way back is q, k, v, the tables, the output and the log-sum-exp of the
scores. It is an operator, so torch.compile and torch.export do not look inside, and it checks
what it is given: `torch.ops.attncourse.relative_attention_2d` may be called by anybody.

Axes     as in solutions.relative_2d: h w row and column of a query, y x those of a key
Source   as in solutions.fast.relative_2d
Differs  float16 and bfloat16 are computed in float32
"""

import ctypes
import math

import torch
from torch import Tensor

from solutions import checks
from solutions.fast import native
from solutions.fast.autocast import exactly


@torch.library.custom_op(
    "attncourse::relative_attention_2d", mutates_args=(), device_types="cpu"
)
@exactly
def operator(
    q: Tensor, k: Tensor, v: Tensor, rows: Tensor, columns: Tensor
) -> tuple[Tensor, Tensor]:
    """Attention with scores q · (k + R + C) / sqrt(d), "*batch h w e", and the log-sum-exp of
    the scores, "*batch h w", for autograd to keep."""
    _check(q, k, v, rows, columns)
    given = _ready(q, k, v, rows, columns)
    out = torch.empty_like(given[2])
    lse = out.new_empty(q.shape[:-1])
    if lse.numel():
        _call("forward", (out, lse, *given), q, v)
    return out.reshape(v.shape).to(q.dtype), lse


@operator.register_fake
def _(q, k, v, rows, columns):
    _check(q, k, v, rows, columns)
    return v.new_empty(v.shape), q.new_empty(q.shape[:-1], dtype=_exact(q))


@torch.library.custom_op(
    "attncourse::relative_attention_2d_backward", mutates_args=(), device_types="cpu"
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
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """The gradients of q, k, v, rows and columns."""
    _check_back(dout, q, k, v, rows, columns, out, lse)
    of = q, k, v, rows, columns
    if not lse.numel():  # nobody attends
        return tuple(x.new_zeros(x.shape) for x in of)
    given, kind = _ready(*of), _exact(q)
    heads, threads = math.prod(q.shape[:-3]), torch.get_num_threads()
    parts = max(1, -(-threads // max(heads, 1)))  # of a head, where heads are few
    dq = torch.empty_like(given[0])
    several = [x.new_empty(parts, *x.shape) for x in given[1:3]]
    several += [x.new_empty(parts * heads, *x.shape) for x in given[3:]]
    rest = lines(dout, kind), lines(out, kind), lse.to(kind).contiguous()
    _call("backward", (dq, *several, *given, *rest), q, v, parts)
    grads = dq, *(x[0] if len(x) == 1 else x.sum(0) for x in several)
    return tuple(grad.reshape(x.shape).to(x.dtype) for grad, x in zip(grads, of, strict=True))


@backward.register_fake
def _(dout, q, k, v, rows, columns, out, lse):
    _check_back(dout, q, k, v, rows, columns, out, lse)
    return tuple(x.new_empty(x.shape) for x in (q, k, v, rows, columns))


def _check(q, k, v, rows, columns) -> None:
    h, w = q.shape[-3:-1] if q.ndim > 2 else (0, 0)
    given = ("q", q, "*batch h w d"), ("k", k, "*batch h w d"), ("v", v, "*batch h w e")
    offsets = {"r": max(2 * h - 1, 0), "s": max(2 * w - 1, 0)}
    checks.sizes(*given, ("rows", rows, "r d"), ("columns", columns, "s d"), **offsets)
    checks.alike(("q", q), ("k", k), ("v", v))
    checks.tables(q, ("rows", rows), ("columns", columns))


def _check_back(dout, q, k, v, rows, columns, out, lse) -> None:
    _check(q, k, v, rows, columns)
    checks.sizes(
        ("q", q, "*batch h w d"),
        ("v", v, "*batch h w e"),
        ("dout", dout, "*batch h w e"),
        ("out", out, "*batch h w e"),
        ("lse", lse, "*batch h w"),
    )
    checks.alike(("q", q), ("dout", dout), ("out", out))
    checks.tables(q, ("lse", lse))


def _keep(ctx, inputs, output):
    ctx.save_for_backward(*inputs, *output)
    ctx.mark_non_differentiable(output[1])


def _backward(ctx, dout, _):
    return backward(dout, *ctx.saved_tensors)


operator.register_autograd(_backward, setup_context=_keep)


def _exact(q: Tensor) -> torch.dtype:
    """What the kernel computes in: one precision for all that it is given."""
    return torch.promote_types(q.dtype, torch.float32)


def _ready(
    q: Tensor, k: Tensor, v: Tensor, rows: Tensor, columns: Tensor
) -> tuple[Tensor, ...]:
    """As the kernel reads them: contiguous, in its precision."""
    kind = _exact(q)
    tables = (x.to(kind).contiguous() for x in (rows, columns))
    return *(lines(x, kind) for x in (q, k, v)), *tables


def _call(name: str, tensors: tuple[Tensor, ...], q: Tensor, v: Tensor, *parts: int) -> None:
    """Run the kernel of this name and of the tensors' type."""
    *batch, h, w, d = q.shape
    sizes = math.prod(batch), d, v.shape[-1], h, w, *parts
    kind = "double" if tensors[0].dtype == torch.float64 else "float"
    kernel = getattr(native.library("relative_2d"), f"{name}_{kind}")
    failed = kernel(
        *(ctypes.c_void_p(x.data_ptr()) for x in tensors),
        *map(ctypes.c_int64, sizes),
        ctypes.c_int(torch.get_num_threads()),
    )
    if failed:
        raise MemoryError(
            f"relative attention: no memory for a head of {h} x {w} x {d} numbers"
        )


def lines(x: Tensor, kind: torch.dtype | None = None) -> Tensor:
    """All leading axes as one, pixels in a line, in single or double precision."""
    kind = torch.promote_types(x.dtype, torch.float32) if kind is None else kind
    shape = math.prod(x.shape[:-3]), x.shape[-3] * x.shape[-2], x.shape[-1]
    return x.to(kind).reshape(shape).contiguous()
