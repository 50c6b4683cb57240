"""Attention by tiles in PyTorch, and as an operator of torch, there and back.

It is an operator, so torch.compile and torch.export do not look inside, and it checks what it
is given: `torch.ops.attncourse.tiled_attention` may be called by anybody. In PyTorch or, on a
GPU, by the kernels of solutions.fast.tiled_triton.

Axes     b batch (any leading axes), i query, j key, d features of q and k, e of v
Source   as in solutions.fast.scaled_dot_product
"""

import math
from collections.abc import Iterator

import torch
from einops import einsum
from torch import Tensor

from solutions import checks
from solutions.fast import gpu
from solutions.fast.autocast import exactly, lowered


def tiles(
    queries: int, keys: int, causal: bool, rows: int, columns: int
) -> Iterator[tuple[slice, list[slice]]]:
    """Some queries, and the tiles of keys that at least the last of them may see."""
    for start in range(0, queries, rows):
        stop = min(start + rows, queries)
        end = min(stop, keys) if causal else keys
        across = [slice(j, min(j + columns, end)) for j in range(0, end, columns)]
        yield slice(start, stop), across


def tile_scores(
    q: Tensor,
    k: Tensor,
    mask: Tensor | None,
    places: tuple[Tensor, Tensor] | None,
    causal: bool,
    scale: float,
    i: slice,
    j: slice,
) -> Tensor:
    """The scores of one tile, -inf where a query may not attend."""
    exact = torch.promote_types(q.dtype, torch.float32)
    scores = (q[..., i, :].to(exact) @ k[..., j, :].to(exact).mT).mul_(scale)
    if places is not None:
        for said, at in zip(places, _columns(places, j), strict=True):
            scores += said[..., i, :].to(exact)[..., at]
    if mask is not None:
        # an axis of length 1 stands for all
        mask = mask[(None,) * (2 - mask.ndim)]
        rows = i if mask.shape[-2] > 1 else slice(None)
        columns = j if mask.shape[-1] > 1 else slice(None)
        scores = scores.masked_fill_(~mask[..., rows, columns], -math.inf)
    if causal and j.stop > i.start + 1:
        query, key = torch.arange(i.start, i.stop), torch.arange(j.start, j.stop)
        scores = scores.masked_fill_((query[:, None] < key).to(q.device), -math.inf)
    return scores


def _columns(places: tuple[Tensor, Tensor], j: slice) -> tuple[Tensor, Tensor]:
    """The row of the map and the column that each key is at."""
    keys = torch.arange(j.start, j.stop, device=places[0].device)
    wide = places[1].shape[-1]
    return keys // wide, keys % wide


def by_tiles(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mask: Tensor | None,
    down: Tensor | None,
    across: Tensor | None,
    causal: bool,
    scale: float,
    rows: int,
    columns: int,
) -> tuple[Tensor, Tensor]:
    """y and L, one tile after the other."""
    exact = torch.promote_types(q.dtype, torch.float32)
    y = q.new_zeros(*q.shape[:-1], v.shape[-1])
    lse = q.new_full(q.shape[:-1], -math.inf, dtype=exact)
    places = None if down is None else (down, across)
    for i, keys in tiles(q.shape[-2], k.shape[-2], causal, rows, columns):
        largest = q.new_full((*q.shape[:-2], i.stop - i.start, 1), -math.inf, dtype=exact)
        total, read = torch.zeros_like(largest), 0
        for j in keys:
            scores = tile_scores(q, k, mask, places, causal, scale, i, j)
            new = torch.maximum(largest, scores.amax(-1, keepdim=True))
            shift = new.masked_fill(new == -math.inf, 0)  # nothing seen so far
            shares, fade = scores.sub_(shift).exp_(), (largest - shift).exp()
            total = total * fade + shares.sum(-1, keepdim=True)
            read = read * fade + shares @ v[..., j, :].to(exact)
            largest = new
        if keys:
            seen = total > 0
            y[..., i, :] = (read / total.masked_fill(~seen, 1)).to(y.dtype)
            lse[..., i] = (largest + total.log())[..., 0]
    return y, lse


def gradients_by_tiles(
    dy: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mask: Tensor | None,
    down: Tensor | None,
    across: Tensor | None,
    y: Tensor,
    lse: Tensor,
    causal: bool,
    scale: float,
    rows: int,
    columns: int,
) -> tuple[Tensor, ...]:
    """The gradients of q, k, v, down and across; of what is not there, one of no number."""
    places = None if down is None else (down, across)
    given = (q, k, v, *(places or ()))
    grads = [torch.zeros(x.shape, dtype=lse.dtype, device=x.device) for x in given]
    dq, dk, dv = grads[:3]
    for i, keys in tiles(q.shape[-2], k.shape[-2], causal, rows, columns):
        slope, rows_q = dy[..., i, :].to(lse.dtype), q[..., i, :].to(lse.dtype)
        known = lse[..., i, None]
        known = known.masked_fill(known == -math.inf, 0)
        mean = einsum(slope, y[..., i, :].to(lse.dtype), "... e, ... e -> ...")[..., None]
        for j in keys:
            scores = tile_scores(q, k, mask, places, causal, scale, i, j)
            shares = scores.sub_(known).exp_()
            dv[..., j, :] += shares.mT @ slope
            steep = (slope @ v[..., j, :].to(lse.dtype).mT).sub_(mean).mul_(shares)
            if places is not None:
                for grad, at in zip(grads[3:], _columns(places, j), strict=True):
                    grad[..., i, :].index_add_(-1, at, steep)
            steep = steep.mul_(scale)
            dq[..., i, :] += steep @ k[..., j, :].to(lse.dtype)
            dk[..., j, :] += steep.mT @ rows_q
    grads = [grad.to(x.dtype) for grad, x in zip(grads, given, strict=True)]
    return tuple(grads) if places else (*grads, q.new_empty(0), q.new_empty(0))


# ---------------------------------------------------------------- as an operator of torch


@torch.library.custom_op("attncourse::tiled_attention", mutates_args=())
@exactly
def operator(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mask: Tensor | None,
    down: Tensor | None,
    across: Tensor | None,
    causal: bool,
    scale: float,
    rows: int,
    columns: int,
    triton: bool,
) -> tuple[Tensor, Tensor]:
    """y and L, by the Triton kernels or in PyTorch."""
    _check(q, k, v, mask, down, across, rows, columns)
    if triton:
        return gpu.kernels("tiled").forward(q, k, v, mask, down, across, causal, scale)
    return by_tiles(q, k, v, mask, down, across, causal, scale, rows, columns)


@operator.register_fake
def _(q, k, v, mask, down, across, causal, scale, rows, columns, triton):
    _check(q, k, v, mask, down, across, rows, columns)
    exact = torch.promote_types(q.dtype, torch.float32)
    y = q.new_empty(*q.shape[:-1], v.shape[-1])
    return y, q.new_empty(q.shape[:-1], dtype=exact)


@torch.library.custom_op("attncourse::tiled_attention_backward", mutates_args=())
@exactly
def backward(
    dy: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mask: Tensor | None,
    down: Tensor | None,
    across: Tensor | None,
    y: Tensor,
    lse: Tensor,
    causal: bool,
    scale: float,
    rows: int,
    columns: int,
    triton: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """The gradients of q, k, v, down and across; of what is not there, one of no number."""
    _check_back(dy, q, k, v, mask, down, across, y, lse, rows, columns)
    if triton:
        kernels, given = gpu.kernels("tiled"), (dy, q, k, v, y, lse, mask, down, across)
        grads = kernels.backward(*given, causal, scale)
        return tuple(q.new_empty(0) if grad is None else grad for grad in grads)
    given = dy, q, k, v, mask, down, across, y, lse
    return gradients_by_tiles(*given, causal, scale, rows, columns)


@backward.register_fake
def _(dy, q, k, v, mask, down, across, y, lse, causal, scale, rows, columns, triton):
    _check_back(dy, q, k, v, mask, down, across, y, lse, rows, columns)
    given = q, k, v, down, across
    return tuple(q.new_empty(0 if x is None else x.shape) for x in given)


def _check(q, k, v, mask, down, across, rows: int, columns: int) -> None:
    given = [("q", q, "*batch i d"), ("k", k, "*batch j d"), ("v", v, "*batch j e")]
    if (down is None) != (across is None):
        raise ValueError("down and across go together: one of them is None")
    if down is not None:
        given += [("down", down, "*batch i y"), ("across", across, "*batch i x")]
    found = checks.sizes(*given)
    checks.alike(*((name, x) for name, x, _ in given))
    checks.allowed(mask, (*q.shape[:-1], found["j"]), q.device)
    checks.positive(rows=rows, columns=columns)
    if down is not None and found["y"] * found["x"] != found["j"]:
        size = f"{found['y']} x {found['x']}"
        raise ValueError(f"places for a map of {size} pixels, but {found['j']} keys")


def _check_back(dy, q, k, v, mask, down, across, y, lse, rows: int, columns: int) -> None:
    _check(q, k, v, mask, down, across, rows, columns)
    given = ("dy", dy, "*batch i e"), ("y", y, "*batch i e"), ("lse", lse, "*batch i")
    checks.sizes(("q", q, "*batch i d"), ("v", v, "*batch j e"), *given)
    checks.alike(("q", q), ("dy", dy), ("y", y))
    checks.tables(q, ("lse", lse))


def _keep(ctx, inputs, output):
    *tensors, ctx.causal, ctx.scale, ctx.rows, ctx.columns, ctx.triton = inputs
    ctx.save_for_backward(*tensors, *output)
    ctx.mark_non_differentiable(output[1])


def _backward(ctx, dy, _):
    tensors = ctx.saved_tensors  # once: a checkpoint gives them out once
    rest = ctx.causal, ctx.scale, ctx.rows, ctx.columns, ctx.triton
    *grads, ddown, dacross = backward(dy, *tensors, *rest)
    if tensors[4] is None:
        ddown = dacross = None
    return *grads, None, ddown, dacross, None, None, None, None, None


operator.register_autograd(_backward, setup_context=_keep)
lowered("tiled_attention")
