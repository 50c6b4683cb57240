"""Attention in pieces: dense parts one after the other, put together by their log-sum-exp.

    y_p, L_p      what a query reads from the keys of piece p, and log Σ_j exp s_ij over them
    L = log Σ_p exp L_p                             exact: no key is in two pieces
    y = Σ_p exp(L_p - L) y_p
    dq, dk, dv    of a piece by itself, from y and L of the whole: its shares are exp(s - L)

Axes     rows: what has keys of its own, i queries and j keys in it, d features
Cost     the work of the pieces, and one pass over y for each; the map is never stored
Source   Dao et al., "FlashAttention", NeurIPS 2022, arXiv:2205.14135, sec. 3.1 and appendix B,
         where the pieces are tiles
"""

import math
from collections.abc import Callable, Sequence
from functools import cache
from typing import NamedTuple

import torch
from einops import einsum
from torch import Tensor

from solutions.fast import gpu
from solutions.fast.scaled_dot_product import choose_tiles

Lay = Callable[[Tensor], Tensor]


class Piece(NamedTuple):
    """A dense part of a map: some queries, each with the same number of keys.

    queries  views tokens as batch rows i d; also for what is made of them, such as y
    keys     views tokens as batch rows j d
    collect  adds the gradient of such keys to that of the tokens, in place
    causal   query i sees the keys up to j = i
    mask     what is added to the scores, i j: 0 or -inf, alike for all rows
    fresh    no piece before it has any of these queries
    back     undoes `queries`; only where they are all tokens, and the keys the same
    """

    queries: Lay
    keys: Lay
    collect: Callable[[Tensor, Tensor], None]
    causal: bool = False
    mask: Tensor | None = None
    fresh: bool = False
    back: Lay | None = None


def causal(queries: Lay, keys: Lay, fresh: bool = False, back: Lay | None = None) -> Piece:
    """A causal piece whose keys are a view, no token twice."""
    return Piece(queries, keys, lambda to, x: keys(to).add_(x), True, None, fresh, back)


def attend(
    q: Tensor, k: Tensor, v: Tensor, pieces: Sequence[Piece], scale: float
) -> tuple[Tensor, Tensor]:
    """y and L, both in the order of the tokens. A query in no piece gets 0 and -inf."""
    if len(pieces) == 1 and pieces[0].back:
        return tuple(map(pieces[0].back, _forward(pieces[0], q, k, v, scale)))
    exact = torch.promote_types(q.dtype, torch.float32)
    y = torch.zeros(v.shape, dtype=exact, device=v.device)
    total = torch.full((*q.shape[:-1], 1), -math.inf, dtype=exact, device=q.device)
    for piece in pieces:
        part, lse = _forward(piece, q, k, v, scale)
        so_far, read = piece.queries(total), piece.queries(y)
        if piece.fresh:
            so_far.copy_(lse)
            read.copy_(part)
            continue
        new = torch.logaddexp(so_far, lse)
        read.mul_((so_far - new).exp()).addcmul_(part.to(exact), (lse - new).exp())
        so_far.copy_(new)
    return y, total


def gradients(
    dy: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    y: Tensor,
    total: Tensor,
    pieces: Sequence[Piece],
    scale: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """dq, dk and dv. The scores are computed again."""
    if len(pieces) == 1 and pieces[0].back:
        grads = _backward(pieces[0], dy, q, k, v, y, total, scale)
        return tuple(map(pieces[0].back, grads))
    exact = torch.promote_types(q.dtype, torch.float32)
    dq, dk, dv = (torch.zeros(x.shape, dtype=exact, device=x.device) for x in (q, k, v))
    for piece in pieces:
        queries, keys, values = _backward(piece, dy, q, k, v, y, total, scale)
        piece.queries(dq).add_(queries)
        piece.collect(dk, keys)
        piece.collect(dv, values)
    return dq, dk, dv


def fused(x: Tensor) -> bool:
    """Whether torch's attention that returns L runs for this tensor: on the CPU it does."""
    return x.device.type == "cpu" and _fused_is_there()


@cache
def _fused_is_there() -> bool:
    """Whether both operators of torch, which are its own affair, are there and do what they
    did: tried once on one query and two keys."""
    here = dict(device="cpu", dtype=torch.float32)  # whatever torch was told to make
    q, k = torch.zeros(1, 1, 1, 2, **here), torch.zeros(1, 1, 2, 2, **here)
    v = torch.tensor([[[[1, 0], [3, 0]]]], **here)
    dy = torch.ones(1, 1, 1, 2, **here)
    try:
        y, lse = _fused_forward(q, k, v, False, None, 1.0)
        grads = _fused_backward(dy, q, k, v, y, lse, False, None, 1.0)
        wanted = y[0, 0, 0, 0] == 2 and (lse - math.log(2)).abs().max() < 1e-5
        return bool(wanted and grads[2].sum() == 2 and y.shape == q.shape)
    except Exception:  # any torch release may take them away, or change what they are given
        return False


def _fused_forward(q, k, v, causal, mask, scale):
    call = getattr(torch.ops.aten, _FUSED)
    return call(q, k, v, 0.0, causal, attn_mask=mask, scale=scale)


def _fused_backward(dy, q, k, v, y, lse, causal, mask, scale):
    call = getattr(torch.ops.aten, f"{_FUSED}_backward")
    return call(dy, q, k, v, y, lse, 0.0, causal, attn_mask=mask, scale=scale)


def by_kernels(x: Tensor) -> bool:
    """Whether the Triton kernels run for this tensor: on a GPU they do."""
    return choose_tiles(x, x) == "triton"


_FUSED = "_scaled_dot_product_flash_attention_for_cpu"


def _forward(piece: Piece, q: Tensor, k: Tensor, v: Tensor, scale: float):
    """What one piece reads, batch rows i e, and its L, batch rows i 1."""
    q, k, v = piece.queries(q), piece.keys(k), piece.keys(v)
    if by_kernels(q):
        rest = {"mask": _allowed(piece), "causal": piece.causal, "scale": scale}
        part, lse = gpu.kernels("tiled").forward(q, k, v, **rest)
        return part, lse[..., None]
    if fused(q):
        part, lse = _fused_forward(q, k, v, piece.causal, piece.mask, scale)
        return part, lse[..., None]
    scores = _scores(piece, q, k, scale)
    lse = scores.logsumexp(-1, keepdim=True)
    return (scores - lse).exp().to(v.dtype) @ v, lse


def _backward(piece: Piece, dy, q, k, v, y, total, scale):
    """The gradients of one piece's queries, keys and values."""
    dy, q, y, total = (piece.queries(x) for x in (dy, q, y, total))
    k, v = piece.keys(k), piece.keys(v)
    if by_kernels(q):
        rest = {"mask": _allowed(piece), "causal": piece.causal, "scale": scale}
        given = dy, q, k, v, y, total[..., 0]
        return gpu.kernels("tiled").backward(*given, **rest)[:3]
    if fused(q):
        given = dy, q, k, v, y, total[..., 0]
        return _fused_backward(*given, piece.causal, piece.mask, scale)
    shares = (_scores(piece, q, k, scale) - total).exp().to(v.dtype)
    slope = dy @ v.mT - einsum(dy, y, "b row i e, b row i e -> b row i")[..., None]
    slope = shares * slope * scale
    return slope @ k, slope.mT @ q, shares.mT @ dy


def _allowed(piece: Piece) -> Tensor | None:
    return None if piece.mask is None else piece.mask == 0


def _scores(piece: Piece, q: Tensor, k: Tensor, scale: float) -> Tensor:
    scores = (q @ k.mT).to(torch.promote_types(q.dtype, torch.float32)) * scale
    if piece.causal:
        later = torch.ones(scores.shape[-2:], dtype=torch.bool, device=q.device).triu(1)
        scores = scores.masked_fill(later, -math.inf)
    return scores if piece.mask is None else scores + piece.mask
