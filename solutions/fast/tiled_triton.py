"""Attention by tiles as kernels for a GPU, in Triton: no score ever leaves the chip.

    s_ij = scale q_i · k_j + down_i y + across_i x     key j = (y x), where places are given
    _forward       a tile of queries against all tiles of keys: y and L, as in
                   solutions.fast.scaled_dot_product
    _for_queries   the same on the way back: dq, ddown = Σ_x ds, dacross = Σ_y ds
    _for_keys      a tile of keys against all tiles of queries: dk and dv

Axes     b batch, h heads, i query, j key, d features of q and k, e of v; y x row and column of
         a key. A tile has M queries and N keys, D >= d and E >= e features, powers of two
Cost     the multiply-adds of the map, 3.5 times as many on the way back, since both of its
         kernels compute the scores again; each writes what is its own, so that nothing is
         added up by several at once and two runs agree to the last bit
Source   Dao et al., "FlashAttention", NeurIPS 2022, arXiv:2205.14135; queries as the outer loop
         after Dao, "FlashAttention-2", arXiv:2307.08691, sec. 3.1
Differs  products of float16 and bfloat16 are summed in float32, and the shares rounded for the
         next product, as such units want it; products of float32 are exact unless
         `torch.set_float32_matmul_precision` allows less. Not yet measured on a GPU
"""

from bisect import bisect_left
from typing import no_type_check

import torch
import triton
import triton.language as tl
from torch import Tensor

from solutions.fast import gpu
from solutions.fast.scaled_dot_product import two_leading

TILES = {  # of two bytes a number or more, on the way back or not: d up to 64, 128, 256
    (False, False): ((128, 64, 8, 2), (128, 64, 8, 2), (64, 32, 8, 2)),
    (False, True): ((64, 64, 8, 2), (64, 32, 8, 2), (64, 32, 8, 2)),
    (True, False): ((32, 32, 8, 1), (32, 32, 8, 1), (16, 32, 8, 1)),
    (True, True): ((32, 32, 8, 1), (16, 16, 8, 1), (16, 16, 8, 1)),
}
PRECISION = {"highest": "ieee", "high": "tf32x3", "medium": "tf32"}  # as torch was told
PLACES = 64  # rows and columns of the map that one program adds gradients for
LOG2E = tl.constexpr(1.4426950408889634)  # e^s = 2^(s LOG2E), and the unit has powers of two


# ---------------------------------------------------------------- what is launched


def tile(dtype: torch.dtype, width: int, back: bool = False) -> tuple[int, int, int, int]:
    """Queries, keys, warps and stages of a tile for heads of so many features: such that
    registers and shared memory suffice on sm_80 and sm_90, not yet such that it is fastest."""
    if gpu.interpreting():
        return 16, 16, 4, 1
    return TILES[dtype.itemsize > 2, back][bisect_left((64, 128), width)]


def forward(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mask: Tensor | None = None,
    down: Tensor | None = None,
    across: Tensor | None = None,
    causal: bool = False,
    scale: float = 1.0,
) -> tuple[Tensor, Tensor]:
    """y, as *batch i e, and the log-sum-exp of each query's scores, in float32 at least."""
    batch, (i, d), (j, e) = q.shape[:-2], q.shape[-2:], v.shape[-2:]
    y = q.new_empty(*batch, i, e)
    lse = q.new_empty(*batch, i, dtype=_exact(q.dtype))
    if 0 in (*batch, i, j):
        return y.zero_(), lse.fill_(-torch.inf)
    given = _Given(q, k, v, mask, down, across, causal, scale)
    shape = _shape(tile(q.dtype, max(d, e)))
    with torch.cuda.device_of(q):
        _forward[(triton.cdiv(i, shape["M"]) * given.heads,)](
            *given.pointers, y, lse, *given.numbers, **given.constants, **shape
        )
    return y, lse


def backward(
    dy: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    y: Tensor,
    lse: Tensor,
    mask: Tensor | None = None,
    down: Tensor | None = None,
    across: Tensor | None = None,
    causal: bool = False,
    scale: float = 1.0,
) -> tuple[Tensor, Tensor, Tensor, Tensor | None, Tensor | None]:
    """dq, dk, dv, ddown and dacross, of the types of what they belong to.

    `y` and `lse` may be those of a whole of which these keys are a part.
    """
    batch, (i, d), (j, e) = q.shape[:-2], q.shape[-2:], v.shape[-2:]
    likes = (q, k, v) if down is None else (q, k, v, down, across)
    grads = [x.new_empty(x.shape) for x in likes]
    grads += [None] * (5 - len(grads))
    if 0 in (*batch, i, j):
        return tuple(grad if grad is None else grad.zero_() for grad in grads)
    given = _Given(q, k, v, mask, down, across, causal, scale)
    dq, dk, dv, ddown, dacross = grads
    dy, y, lse = dy.contiguous(), y.contiguous(), lse.contiguous()
    mean = torch.empty_like(lse)  # Σ_e dy y
    shape = _shape(tile(q.dtype, max(d, e), back=True))
    larger = 1 if down is None else max(down.shape[-1], across.shape[-1])
    places = min(PLACES, max(16, triton.next_power_of_2(larger)))
    with torch.cuda.device_of(q):
        _for_queries[triton.cdiv(i, shape["M"]) * given.heads, triton.cdiv(larger, places)](
            *given.pointers,
            *(dy, y, lse, mean),
            *(dq if x is None else x for x in (dq, ddown, dacross)),
            *given.numbers,
            **given.constants,
            **shape,
            P=places,
        )
        _for_keys[(triton.cdiv(j, shape["N"]) * given.heads,)](
            *given.pointers,
            *(dy, lse, mean, dk, dv),
            *given.numbers,
            **given.constants,
            **shape,
        )
    return dq, dk, dv, ddown, dacross


class _Given:
    """What all kernels are given, in their order."""

    def __init__(self, q, k, v, mask, down, across, causal, scale):
        i, j, leading = q.shape[-2], k.shape[-2], q.ndim - 2
        if mask is not None and leading > 2:
            mask = mask[(None,) * (2 - mask.ndim)]
            mask = mask.expand(*q.shape[:-2], *mask.shape[-2:])
        q, k, v = (two_leading(x, leading) for x in (q, k, v))
        batch, heads = q.shape[:2]
        self.heads = batch * heads
        steps = [0, 0, 0, 0]
        if mask is not None:
            mask = two_leading(mask, leading).expand(batch, heads, i, j)
            mask, steps = mask.view(torch.uint8), mask.stride()
        high, wide = (1, 1) if down is None else (down.shape[-1], across.shape[-1])
        if down is not None:
            down, across = down.contiguous(), across.contiguous()
        # nothing is read through a pointer that stands for nothing
        self.pointers = (q, k, v, *(q if x is None else x for x in (mask, down, across)))
        strides = *q.stride(), *k.stride(), *v.stride(), *steps
        self.numbers = (*strides, heads, i, j, high, wide)
        d, e = q.shape[-1], v.shape[-1]
        single = q.dtype == torch.float32
        precision = PRECISION[torch.get_float32_matmul_precision()] if single else "ieee"
        self.constants = {
            "d": d,
            "e": e,
            "D": max(16, triton.next_power_of_2(d)),
            "E": max(16, triton.next_power_of_2(e)),
            "SCALE": float(scale),  # as a number it would be in single precision
            "CAUSAL": causal,
            "MASKED": mask is not None,
            "PLACED": down is not None,
            "SUM": tl.float64 if q.dtype == torch.float64 else tl.float32,
            "CAST": gpu.interpreting(),  # which knows no bfloat16
            "PRECISION": precision,
        }


def _shape(tile: tuple[int, int, int, int]) -> dict[str, int | bool]:
    M, N, warps, stages = tile
    return dict(M=M, N=N, num_warps=warps, num_stages=stages, enable_fp_fusion=True)


def _exact(dtype: torch.dtype) -> torch.dtype:
    return torch.promote_types(dtype, torch.float32)


# ---------------------------------------------------------------- the kernels
#
# A kernel is run for one tile of one head. `first` is where the tile starts; pointers are moved
# there in 64 bits, what is added within a tile fits into 32.


@triton.jit
@no_type_check
def _head(heads, tiles):
    """Which batch, which head, which of its tiles."""
    program = tl.program_id(0)
    head = (program // tiles).to(tl.int64)
    return head // heads, head % heads, head, program % tiles


@triton.jit
@no_type_check
def _rows(x, first, step, across, count, width, ROWS: tl.constexpr, WIDTH: tl.constexpr,
          SUM: tl.constexpr, CAST: tl.constexpr):  # fmt: skip
    """A tile of tokens, token feature; zeros beyond the last."""
    token, feature = tl.arange(0, ROWS)[:, None], tl.arange(0, WIDTH)[None, :]
    there = (first + token < count) & (feature < width)
    at = x + first.to(tl.int64) * step + token * step + feature * across
    found = tl.load(at, mask=there, other=0.0)
    return found.to(SUM) if CAST else found


@triton.jit
@no_type_check
def _write(x, tile, head, first, count, width, ROWS: tl.constexpr, WIDTH: tl.constexpr):
    """The other way round, to head token feature without gaps."""
    token, feature = tl.arange(0, ROWS)[:, None], tl.arange(0, WIDTH)[None, :]
    there = (first + token < count) & (feature < width)
    at = x + (head * count + first) * width + token * width + feature
    tl.store(at, tile.to(x.dtype.element_ty), mask=there)


@triton.jit
@no_type_check
def _seen(products, i, j, mask, mask_i, mask_j, down, across, queries, keys, high, wide,
          SCALE: tl.constexpr, CAUSAL: tl.constexpr, MASKED: tl.constexpr, PLACED: tl.constexpr,
          SUM: tl.constexpr):  # fmt: skip
    """Scores in powers of two, -inf where a query may not attend. i and j lie along the axes
    of the tile, whichever they are."""
    there = (i < queries) & (j < keys)
    scores = products * (SCALE * LOG2E)
    if PLACED:
        row, column, query = j // wide, j % wide, i.to(tl.int64)
        place = tl.load(down + query * high + row, mask=there, other=0.0).to(SUM)
        place += tl.load(across + query * wide + column, mask=there, other=0.0).to(SUM)
        scores += place * LOG2E
    if CAUSAL:
        there = there & (j <= i)
    if MASKED:
        at = mask + i.to(tl.int64) * mask_i + j.to(tl.int64) * mask_j
        there = there & (tl.load(at, mask=there, other=0) != 0)
    return tl.where(there, scores, -float("inf"))


@triton.jit
@no_type_check
def _forward(q, k, v, mask, down, across, y, lse,
             q_b, q_h, q_i, q_d, k_b, k_h, k_j, k_d, v_b, v_h, v_j, v_e,
             mask_b, mask_h, mask_i, mask_j, heads, queries, keys, high, wide,
             d: tl.constexpr, e: tl.constexpr, D: tl.constexpr, E: tl.constexpr,
             CAUSAL: tl.constexpr, MASKED: tl.constexpr, PLACED: tl.constexpr,
             SUM: tl.constexpr, CAST: tl.constexpr, PRECISION: tl.constexpr,
             SCALE: tl.constexpr, M: tl.constexpr, N: tl.constexpr):  # fmt: skip
    """y and L of M queries."""
    batch, in_batch, head, tile = _head(heads, tl.cdiv(queries, M))
    first = tile * M
    i = first + tl.arange(0, M)
    mask += batch * mask_b + in_batch * mask_h
    down += head * queries * high
    across += head * queries * wide
    q_tile = _rows(q + batch * q_b + in_batch * q_h, first, q_i, q_d, queries, d, M, D,
                   SUM, CAST)  # fmt: skip
    k += batch * k_b + in_batch * k_h
    v += batch * v_b + in_batch * v_h
    largest = tl.full((M,), -float("inf"), SUM)
    total = tl.zeros((M,), SUM)
    read = tl.zeros((M, E), SUM)
    end = tl.minimum(first + M, keys) if CAUSAL else keys
    for start in range(0, end, N):
        start = tl.multiple_of(start, N)
        k_tile = _rows(k, start, k_j, k_d, keys, d, N, D, SUM, CAST)
        products = tl.dot(q_tile, tl.trans(k_tile), input_precision=PRECISION)
        j = start + tl.arange(0, N)
        scores = _seen(products, i[:, None], j[None, :], mask, mask_i, mask_j, down, across,
                       queries, keys, high, wide, SCALE, CAUSAL, MASKED, PLACED,
                       SUM)  # fmt: skip
        new = tl.maximum(largest, tl.max(scores, 1))
        shift = tl.where(new == -float("inf"), 0.0, new)  # nothing seen so far
        shares, fade = tl.exp2(scores - shift[:, None]), tl.exp2(largest - shift)
        total = total * fade + tl.sum(shares, 1)
        v_tile = _rows(v, start, v_j, v_e, keys, e, N, E, SUM, CAST)
        read = read * fade[:, None]
        read += tl.dot(shares.to(v_tile.dtype), v_tile, input_precision=PRECISION)
        largest = new
    seen = total > 0
    total = tl.where(seen, total, 1.0)
    _write(y, read / total[:, None], head, first, queries, e, M, E)
    known = tl.where(seen, (largest + tl.log2(total)) / LOG2E, -float("inf"))
    tl.store(lse + head * queries + i, known, mask=i < queries)


@triton.jit
@no_type_check
def _for_queries(q, k, v, mask, down, across, dy, y, lse, mean, dq, ddown, dacross,
                 q_b, q_h, q_i, q_d, k_b, k_h, k_j, k_d, v_b, v_h, v_j, v_e,
                 mask_b, mask_h, mask_i, mask_j, heads, queries, keys, high, wide,
                 d: tl.constexpr, e: tl.constexpr, D: tl.constexpr, E: tl.constexpr,
                 CAUSAL: tl.constexpr, MASKED: tl.constexpr, PLACED: tl.constexpr,
                 SUM: tl.constexpr, CAST: tl.constexpr, PRECISION: tl.constexpr,
                 SCALE: tl.constexpr,
                 M: tl.constexpr, N: tl.constexpr, P: tl.constexpr):  # fmt: skip
    """dq of M queries, Σ dy y, and what goes to P rows and P columns of the map: the sum over
    keys is a product with their one-hot places."""
    batch, in_batch, head, tile = _head(heads, tl.cdiv(queries, M))
    first = tile * M
    i = first + tl.arange(0, M)
    mask += batch * mask_b + in_batch * mask_h
    down += head * queries * high
    across += head * queries * wide
    q_tile = _rows(q + batch * q_b + in_batch * q_h, first, q_i, q_d, queries, d, M, D,
                   SUM, CAST)  # fmt: skip
    own = head * queries * e
    slope = _rows(dy + own, first, e, 1, queries, e, M, E, SUM, CAST)
    y_tile = _rows(y + own, first, e, 1, queries, e, M, E, SUM, CAST)
    delta = tl.sum(slope.to(SUM) * y_tile.to(SUM), 1)
    known = tl.load(lse + head * queries + i, mask=i < queries, other=0.0)
    known = tl.where(known == -float("inf"), 0.0, known) * LOG2E
    k += batch * k_b + in_batch * k_h
    v += batch * v_b + in_batch * v_h
    found = tl.zeros((M, D), SUM)
    place = tl.program_id(1) * P + tl.arange(0, P)
    found_down = tl.zeros((M, P), SUM)
    found_across = tl.zeros((M, P), SUM)
    end = tl.minimum(first + M, keys) if CAUSAL else keys
    for start in range(0, end, N):
        start = tl.multiple_of(start, N)
        k_tile = _rows(k, start, k_j, k_d, keys, d, N, D, SUM, CAST)
        products = tl.dot(q_tile, tl.trans(k_tile), input_precision=PRECISION)
        j = start + tl.arange(0, N)
        scores = _seen(products, i[:, None], j[None, :], mask, mask_i, mask_j, down, across,
                       queries, keys, high, wide, SCALE, CAUSAL, MASKED, PLACED,
                       SUM)  # fmt: skip
        v_tile = _rows(v, start, v_j, v_e, keys, e, N, E, SUM, CAST)
        steep = tl.dot(slope, tl.trans(v_tile), input_precision=PRECISION) - delta[:, None]
        steep = (tl.exp2(scores - known[:, None]) * steep).to(k_tile.dtype)
        found += tl.dot(steep, k_tile, input_precision=PRECISION)
        if PLACED:
            row = ((j // wide)[:, None] == place[None, :]).to(k_tile.dtype)
            column = ((j % wide)[:, None] == place[None, :]).to(k_tile.dtype)
            found_down += tl.dot(steep, row, input_precision=PRECISION)
            found_across += tl.dot(steep, column, input_precision=PRECISION)
    if tl.program_id(1) == 0:
        tl.store(mean + head * queries + i, delta, mask=i < queries)
        _write(dq, found * SCALE, head, first, queries, d, M, D)
    if PLACED:
        there, at = (i < queries)[:, None], head * queries + i[:, None]
        tl.store(ddown + at * high + place[None, :],
                 found_down.to(ddown.dtype.element_ty),
                 mask=there & (place < high)[None, :])  # fmt: skip
        tl.store(dacross + at * wide + place[None, :],
                 found_across.to(dacross.dtype.element_ty),
                 mask=there & (place < wide)[None, :])  # fmt: skip


@triton.jit
@no_type_check
def _for_keys(q, k, v, mask, down, across, dy, lse, mean, dk, dv,
              q_b, q_h, q_i, q_d, k_b, k_h, k_j, k_d, v_b, v_h, v_j, v_e,
              mask_b, mask_h, mask_i, mask_j, heads, queries, keys, high, wide,
              d: tl.constexpr, e: tl.constexpr, D: tl.constexpr, E: tl.constexpr,
              CAUSAL: tl.constexpr, MASKED: tl.constexpr, PLACED: tl.constexpr,
              SUM: tl.constexpr, CAST: tl.constexpr, PRECISION: tl.constexpr,
              SCALE: tl.constexpr, M: tl.constexpr, N: tl.constexpr):  # fmt: skip
    """dk and dv of N keys. Tiles of the map lie on their side: key query."""
    batch, in_batch, head, tile = _head(heads, tl.cdiv(keys, N))
    first = tile * N
    j = first + tl.arange(0, N)
    mask += batch * mask_b + in_batch * mask_h
    down += head * queries * high
    across += head * queries * wide
    k_tile = _rows(k + batch * k_b + in_batch * k_h, first, k_j, k_d, keys, d, N, D,
                   SUM, CAST)  # fmt: skip
    v_tile = _rows(v + batch * v_b + in_batch * v_h, first, v_j, v_e, keys, e, N, E,
                   SUM, CAST)  # fmt: skip
    q += batch * q_b + in_batch * q_h
    dy += head * queries * e
    found, found_v = tl.zeros((N, D), SUM), tl.zeros((N, E), SUM)
    begin = (first // M) * M if CAUSAL else 0  # those before see none of these keys
    for start in range(begin, queries, M):
        start = tl.multiple_of(start, M)
        i = start + tl.arange(0, M)
        q_tile = _rows(q, start, q_i, q_d, queries, d, M, D, SUM, CAST)
        products = tl.dot(k_tile, tl.trans(q_tile), input_precision=PRECISION)
        scores = _seen(products, i[None, :], j[:, None], mask, mask_i, mask_j, down, across,
                       queries, keys, high, wide, SCALE, CAUSAL, MASKED, PLACED,
                       SUM)  # fmt: skip
        known = tl.load(lse + head * queries + i, mask=i < queries, other=0.0)
        known = tl.where(known == -float("inf"), 0.0, known) * LOG2E
        delta = tl.load(mean + head * queries + i, mask=i < queries, other=0.0)
        shares = tl.exp2(scores - known[None, :])
        slope = _rows(dy, start, e, 1, queries, e, M, E, SUM, CAST)
        found_v += tl.dot(shares.to(slope.dtype), slope, input_precision=PRECISION)
        steep = tl.dot(v_tile, tl.trans(slope), input_precision=PRECISION) - delta[None, :]
        steep = (shares * steep).to(q_tile.dtype)
        found += tl.dot(steep, q_tile, input_precision=PRECISION)
    _write(dk, found * SCALE, head, first, keys, d, N, D)
    _write(dv, found_v, head, first, keys, e, N, E)
