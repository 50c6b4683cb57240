"""Local 2D attention on an NVIDIA GPU, in Triton: a tile of queries against its halo of keys.

    place = T q                                 what a query says to the rows and columns
    s = q · k + place_dy + place_dx             of all keys of the halo, -inf to those not seen
    y, L                                        online softmax over blocks of the halo's lines
    A = e^(s - L), ds = A (dy · v - Σ dy y)     again on the way back
    dq = Σ ds k + Tᵀ dplace                     a tile of queries, over its halo of keys
    dk = Σ ds q, dv = Σ A dy                    a tile of keys, over its halo of queries
    dT = Σ dplace q                             a sum for each program, added up afterwards

Axes     as in solutions.stand_alone: b batch, d e features of a head, h w pixels, dy dx places
Cost     memory: the output, its log-sum-exp and, on the way back, one number a pixel and head;
         2 window d numbers a tile for the tables. No windows, and no atomics: two runs agree to
         the last bit. Multiply-adds and numbers of k and v read, a query (window 7, d = e = 32,
         tiles of 8 x 8), and registers of the way there (sm_90, bfloat16; in brackets with
         features side by side in memory):
             dense halo               16,384 on matrix units       196     174 (128)
             loop over the places      3,136 on ordinary units   3,136     155 (80)
         The halo makes 5.2 times as many products, on units that an H200's data sheet gives 15
         times the rate (989 to 67 TFLOPS), and reads a sixteenth: hence the halo. In float32
         ordinary units make all products: which is faster there is open. No time was measured
         on a GPU yet, neither of this nor of another size of the tiles
Source   solutions.fast.local has those of the idea; online softmax as in
         solutions.fast.scaled_dot_product
Differs  float32, bfloat16 and float16 only; products in the type of the tensors, sums and
         softmax in float32
"""

from functools import reduce
from typing import no_type_check

import torch
import triton
import triton.language as tl
from torch import Tensor

from solutions.fast import gpu

WIDEST = 128  # features of a head
LARGEST = 31  # window
FAR = 2**31  # numbers of an image and more: 32 bits do not tell them apart


# ---------------------------------------------------------------- what all kernels do


@triton.jit
@no_type_check
def _tile(program, h, w, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """Of a program: its image and head as one number, its tile, and where that tile begins."""
    across = tl.cdiv(w, COLUMNS)
    tiles = tl.cdiv(h, ROWS) * across
    tile = program % tiles
    return program // tiles, tile // across * ROWS, tile % across * COLUMNS


@triton.jit
@no_type_check
def _of_head(pointer, strides, plane, heads):
    """Where the numbers of an image and head begin; that may be more than 2^31 numbers away."""
    image, head = (plane // heads).to(tl.int64), (plane % heads).to(tl.int64)
    return pointer + image * strides[0] + head * strides[1]


@triton.jit
@no_type_check
def _load(pointer, strides, y, x, h, w, FEATURES: tl.constexpr, PADDED: tl.constexpr):
    """The features of some pixels, pixel feature: 0 beyond the picture."""
    feature = tl.arange(0, PADDED)
    there = (y >= 0) & (y < h) & (x >= 0) & (x < w)
    at = pointer + (y * strides[3] + x * strides[4])[:, None] + (feature * strides[2])[None, :]
    return tl.load(at, mask=there[:, None] & (feature < FEATURES)[None, :], other=0.0)


@triton.jit
@no_type_check
def _store(pointer, strides, value, y, x, h, w, FEATURES: tl.constexpr, PADDED: tl.constexpr):
    feature = tl.arange(0, PADDED)
    there = (y < h) & (x < w)
    at = pointer + (y * strides[3] + x * strides[4])[:, None] + (feature * strides[2])[None, :]
    tl.store(at, value, mask=there[:, None] & (feature < FEATURES)[None, :])


@triton.jit
@no_type_check
def _table(
    rows,
    columns,
    head,
    WINDOW: tl.constexpr,
    HALF: tl.constexpr,
    D: tl.constexpr,
    PLACES: tl.constexpr,
    PADDED_D: tl.constexpr,
):
    """T, place feature: the rows' half of a vector, then for as many places the columns'."""
    place, feature = tl.arange(0, PLACES)[:, None], tl.arange(0, PADDED_D)[None, :]
    down = (place < WINDOW) & (feature < HALF)
    right = (place >= WINDOW) & (place < 2 * WINDOW) & (feature >= HALF) & (feature < D)
    of_rows = rows + head * WINDOW * HALF + place * HALF + feature
    rest = D - HALF
    of_columns = columns + head * WINDOW * rest + (place - WINDOW) * rest + feature - HALF
    said = tl.load(of_rows, mask=down, other=0.0).to(tl.float32)
    return said + tl.load(of_columns, mask=right, other=0.0).to(tl.float32)


@triton.jit
@no_type_check
def _said(place, away, there, OFFSET: tl.constexpr, WINDOW: tl.constexpr):
    """Of each row of `place` the entries at places `away` of one axis; -inf outside the window
    or where nothing is there."""
    seen = (away >= 0) & (away < WINDOW) & there
    at = tl.minimum(tl.maximum(away, 0), WINDOW - 1) + OFFSET
    return tl.where(seen, tl.gather(place, at, 1), float("-inf"))


@triton.jit
@no_type_check
def _scores(q, k, down, right, PRECISION: tl.constexpr):
    """q · k and what is said to the lines and columns of the keys: query (line column)."""
    QUERIES: tl.constexpr = q.shape[0]
    LINES: tl.constexpr = down.shape[1]
    WIDE: tl.constexpr = right.shape[1]
    content = tl.dot(q, tl.trans(k), input_precision=PRECISION)
    scores = tl.reshape(content, (QUERIES, LINES, WIDE)) + down[:, :, None] + right[:, None, :]
    return tl.reshape(scores, (QUERIES, LINES * WIDE))


# ---------------------------------------------------------------- there


@triton.jit
@no_type_check
def forward(
    q,
    k,
    v,
    rows,
    columns,
    y,
    lse,
    q_strides,
    k_strides,
    v_strides,
    y_strides,
    heads,
    h,
    w,
    WINDOW: tl.constexpr,
    HALF: tl.constexpr,
    D: tl.constexpr,
    E: tl.constexpr,
    PADDED_D: tl.constexpr,
    PADDED_E: tl.constexpr,
    PLACES: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    LINES: tl.constexpr,
    WIDE: tl.constexpr,
    HALO: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """A tile of ROWS x COLUMNS queries; LINES of its halo, WIDE keys each, at a time."""
    plane, top, left = _tile(tl.program_id(0), h, w, ROWS, COLUMNS)
    query, key = tl.arange(0, ROWS * COLUMNS), tl.arange(0, LINES * WIDE)
    own_y, own_x = query // COLUMNS, query % COLUMNS
    line, column = tl.arange(0, LINES), tl.arange(0, WIDE)
    reach: tl.constexpr = WINDOW // 2

    q_of = _of_head(q, q_strides, plane, heads)
    k_of = _of_head(k, k_strides, plane, heads)
    v_of = _of_head(v, v_strides, plane, heads)
    queries = _load(q_of, q_strides, top + own_y, left + own_x, h, w, D, PADDED_D)
    table = _table(rows, columns, plane % heads, WINDOW, HALF, D, PLACES, PADDED_D)
    place = tl.dot(queries, tl.trans(table.to(queries.dtype)), input_precision=PRECISION)
    seen_x = left - reach + column
    right = _said(
        place,
        column[None, :] - own_x[:, None],
        ((seen_x >= 0) & (seen_x < w))[None, :],
        WINDOW,
        WINDOW,
    )

    largest = tl.full((ROWS * COLUMNS,), float("-inf"), tl.float32)
    total = tl.zeros((ROWS * COLUMNS,), tl.float32)
    read = tl.zeros((ROWS * COLUMNS, PADDED_E), tl.float32)
    first = tl.maximum(reach - top, 0)
    last = tl.minimum(ROWS + 2 * reach, h + reach - top)
    for start in range(first, last, LINES):
        seen_y = top - reach + start + line
        down = _said(
            place,
            (start + line)[None, :] - own_y[:, None],
            (seen_y < h)[None, :],
            0,
            WINDOW,
        )
        at_y, at_x = top - reach + start + key // WIDE, left - reach + key % WIDE
        keys = _load(k_of, k_strides, at_y, at_x, h, w, D, PADDED_D)
        scores = _scores(queries, keys, down, right, PRECISION)
        new = tl.maximum(largest, tl.max(scores, 1))
        shift = tl.where(new == float("-inf"), 0.0, new)  # nothing seen so far
        fade, shares = tl.exp(largest - shift), tl.exp(scores - shift[:, None])
        total = total * fade + tl.sum(shares, 1)
        values = _load(v_of, v_strides, at_y, at_x, h, w, E, PADDED_E)
        read = read * fade[:, None]
        read += tl.dot(shares.to(values.dtype), values, input_precision=PRECISION)
        largest = new

    seen = total > 0  # not by queries beyond the picture
    total = tl.where(seen, total, 1.0)
    y_of = _of_head(y, y_strides, plane, heads)
    mean = (read / total[:, None]).to(y.dtype.element_ty)
    _store(y_of, y_strides, mean, top + own_y, left + own_x, h, w, E, PADDED_E)
    at = plane.to(tl.int64) * h * w + (top + own_y) * w + left + own_x
    there = (top + own_y < h) & (left + own_x < w)
    tl.store(lse + at, largest + tl.log(total), mask=there)


# ---------------------------------------------------------------- and back


@triton.jit
@no_type_check
def backward_queries(
    dy,
    q,
    k,
    v,
    rows,
    columns,
    y,
    lse,
    delta,
    dq,
    drows,
    dcolumns,
    dy_strides,
    q_strides,
    k_strides,
    v_strides,
    y_strides,
    dq_strides,
    heads,
    h,
    w,
    WINDOW: tl.constexpr,
    HALF: tl.constexpr,
    D: tl.constexpr,
    E: tl.constexpr,
    PADDED_D: tl.constexpr,
    PADDED_E: tl.constexpr,
    PLACES: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    LINES: tl.constexpr,
    WIDE: tl.constexpr,
    HALO: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """dq, Σ dy y and this tile's part of the tables' gradients. HALO is a power of two that
    holds the halo's lines."""
    program = tl.program_id(0)
    plane, top, left = _tile(program, h, w, ROWS, COLUMNS)
    query, key = tl.arange(0, ROWS * COLUMNS), tl.arange(0, LINES * WIDE)
    own_y, own_x = query // COLUMNS, query % COLUMNS
    line, column = tl.arange(0, LINES), tl.arange(0, WIDE)
    reach: tl.constexpr = WINDOW // 2

    q_of = _of_head(q, q_strides, plane, heads)
    k_of = _of_head(k, k_strides, plane, heads)
    v_of = _of_head(v, v_strides, plane, heads)
    dy_of = _of_head(dy, dy_strides, plane, heads)
    y_of = _of_head(y, y_strides, plane, heads)
    queries = _load(q_of, q_strides, top + own_y, left + own_x, h, w, D, PADDED_D)
    slope = _load(dy_of, dy_strides, top + own_y, left + own_x, h, w, E, PADDED_E)
    mean = _load(y_of, y_strides, top + own_y, left + own_x, h, w, E, PADDED_E)
    mixed = tl.sum(slope.to(tl.float32) * mean.to(tl.float32), 1)
    at = plane.to(tl.int64) * h * w + (top + own_y) * w + left + own_x
    there = (top + own_y < h) & (left + own_x < w)
    tl.store(delta + at, mixed, mask=there)
    known = tl.load(lse + at, mask=there, other=float("inf"))

    table = _table(rows, columns, plane % heads, WINDOW, HALF, D, PLACES, PADDED_D)
    table = table.to(queries.dtype)
    place = tl.dot(queries, tl.trans(table), input_precision=PRECISION)
    seen_x = left - reach + column
    right = _said(
        place,
        column[None, :] - own_x[:, None],
        ((seen_x >= 0) & (seen_x < w))[None, :],
        WINDOW,
        WINDOW,
    )

    d_queries = tl.zeros((ROWS * COLUMNS, PADDED_D), tl.float32)
    d_down = tl.zeros((ROWS * COLUMNS, HALO), tl.float32)
    d_right = tl.zeros((ROWS * COLUMNS, WIDE), tl.float32)
    first = tl.maximum(reach - top, 0)
    last = tl.minimum(ROWS + 2 * reach, h + reach - top)
    for start in range(first, last, LINES):
        seen_y = top - reach + start + line
        down = _said(
            place,
            (start + line)[None, :] - own_y[:, None],
            (seen_y < h)[None, :],
            0,
            WINDOW,
        )
        at_y, at_x = top - reach + start + key // WIDE, left - reach + key % WIDE
        keys = _load(k_of, k_strides, at_y, at_x, h, w, D, PADDED_D)
        shares = tl.exp(_scores(queries, keys, down, right, PRECISION) - known[:, None])
        values = _load(v_of, v_strides, at_y, at_x, h, w, E, PADDED_E)
        steep = tl.dot(slope, tl.trans(values), input_precision=PRECISION) - mixed[:, None]
        steep *= shares
        d_queries += tl.dot(steep.to(keys.dtype), keys, input_precision=PRECISION)
        by_place = tl.reshape(steep, (ROWS * COLUMNS, LINES, WIDE))
        d_right += tl.sum(by_place, 1)
        here = tl.arange(0, HALO)[:, None] == (start + line)[None, :]
        of_lines = tl.sum(by_place, 2)
        d_down += tl.sum(tl.where(here[None, :, :], of_lines[:, None, :], 0.0), 2)

    # from lines and columns of the halo back to places of the window
    back = tl.arange(0, PLACES)[None, :]
    from_line = tl.minimum(back + own_y[:, None], HALO - 1)
    from_column = tl.minimum(tl.maximum(back - WINDOW + own_x[:, None], 0), WIDE - 1)
    d_place = tl.where(
        back < WINDOW,
        tl.gather(d_down, from_line, 1),
        tl.where(back < 2 * WINDOW, tl.gather(d_right, from_column, 1), 0.0),
    ).to(queries.dtype)
    d_queries += tl.dot(d_place, table, input_precision=PRECISION)
    dq_of = _of_head(dq, dq_strides, plane, heads)
    d_queries = d_queries.to(dq.dtype.element_ty)
    _store(dq_of, dq_strides, d_queries, top + own_y, left + own_x, h, w, D, PADDED_D)

    part = tl.dot(tl.trans(d_place), queries, input_precision=PRECISION)
    place, feature = tl.arange(0, PLACES)[:, None], tl.arange(0, PADDED_D)[None, :]
    rest: tl.constexpr = D - HALF
    tl.store(
        drows + program.to(tl.int64) * WINDOW * HALF + place * HALF + feature,
        part,
        mask=(place < WINDOW) & (feature < HALF),
    )
    tl.store(
        dcolumns
        + program.to(tl.int64) * WINDOW * rest
        + (place - WINDOW) * rest
        + feature
        - HALF,
        part,
        mask=(place >= WINDOW) & (place < 2 * WINDOW) & (feature >= HALF) & (feature < D),
    )


@triton.jit
@no_type_check
def backward_keys(
    dy,
    q,
    k,
    v,
    rows,
    columns,
    lse,
    delta,
    dk,
    dv,
    dy_strides,
    q_strides,
    k_strides,
    v_strides,
    dk_strides,
    dv_strides,
    heads,
    h,
    w,
    WINDOW: tl.constexpr,
    HALF: tl.constexpr,
    D: tl.constexpr,
    E: tl.constexpr,
    PADDED_D: tl.constexpr,
    PADDED_E: tl.constexpr,
    PLACES: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    LINES: tl.constexpr,
    WIDE: tl.constexpr,
    HALO: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """dk and dv of a tile of keys, from the queries of its halo that see them."""
    plane, top, left = _tile(tl.program_id(0), h, w, ROWS, COLUMNS)
    key, query = tl.arange(0, ROWS * COLUMNS), tl.arange(0, LINES * WIDE)
    own_y, own_x = top + key // COLUMNS, left + key % COLUMNS
    row, column = tl.arange(0, ROWS), tl.arange(0, COLUMNS)
    reach: tl.constexpr = WINDOW // 2

    q_of = _of_head(q, q_strides, plane, heads)
    k_of = _of_head(k, k_strides, plane, heads)
    v_of = _of_head(v, v_strides, plane, heads)
    dy_of = _of_head(dy, dy_strides, plane, heads)
    keys = _load(k_of, k_strides, own_y, own_x, h, w, D, PADDED_D)
    values = _load(v_of, v_strides, own_y, own_x, h, w, E, PADDED_E)
    table = _table(rows, columns, plane % heads, WINDOW, HALF, D, PLACES, PADDED_D)
    table = tl.trans(table.to(keys.dtype))

    d_keys = tl.zeros((ROWS * COLUMNS, PADDED_D), tl.float32)
    d_values = tl.zeros((ROWS * COLUMNS, PADDED_E), tl.float32)
    first = tl.maximum(reach - top, 0)
    last = tl.minimum(ROWS + 2 * reach, h + reach - top)
    for start in range(first, last, LINES):
        line = start + query // WIDE
        at_y, at_x = top - reach + line, left - reach + query % WIDE
        queries = _load(q_of, q_strides, at_y, at_x, h, w, D, PADDED_D)
        slope = _load(dy_of, dy_strides, at_y, at_x, h, w, E, PADDED_E)
        at = plane.to(tl.int64) * h * w + at_y * w + at_x
        there = (at_y >= 0) & (at_y < h) & (at_x >= 0) & (at_x < w)
        known = tl.load(lse + at, mask=there, other=float("inf"))
        mixed = tl.load(delta + at, mask=there, other=0.0)
        place = tl.dot(queries, table, input_precision=PRECISION)
        # a key of the tile lies `reach` below the halo's line of its number
        away_y = row[None, :] + 2 * reach - line[:, None]
        away_x = column[None, :] + 2 * reach - (query % WIDE)[:, None]
        down = _said(place, away_y, there[:, None], 0, WINDOW)
        right = _said(place, away_x, there[:, None], WINDOW, WINDOW)
        shares = tl.exp(_scores(queries, keys, down, right, PRECISION) - known[:, None])
        steep = tl.dot(slope, tl.trans(values), input_precision=PRECISION) - mixed[:, None]
        steep *= shares
        shares, steep = shares.to(slope.dtype), steep.to(queries.dtype)
        d_values += tl.dot(tl.trans(shares), slope, input_precision=PRECISION)
        d_keys += tl.dot(tl.trans(steep), queries, input_precision=PRECISION)

    dk_of = _of_head(dk, dk_strides, plane, heads)
    dv_of = _of_head(dv, dv_strides, plane, heads)
    d_keys, d_values = d_keys.to(dk.dtype.element_ty), d_values.to(dv.dtype.element_ty)
    _store(dk_of, dk_strides, d_keys, own_y, own_x, h, w, D, PADDED_D)
    _store(dv_of, dv_strides, d_values, own_y, own_x, h, w, E, PADDED_E)


# ---------------------------------------------------------------- how they are started


def cannot(device: torch.device, dtype: torch.dtype, d: int, e: int, window: int) -> str:
    """Why the kernels cannot do this where there is Triton, in one line; "" where they can."""
    if max(d, e) > WIDEST:
        return f"{d=} and {e=}, and a head has at most {WIDEST} features"
    if window > LARGEST:
        return f"{window=} is more than {LARGEST}"
    if gpu.interpreting():
        return ""
    if dtype == torch.float64:
        return "the tensors are float64, and it sums in float32"
    if device.type == "cuda" and (has := torch.cuda.get_device_capability(device)) < (8, 0):
        return f"the device is sm_{has[0]}{has[1]}, and the kernels are for sm_80 and newer"
    return ""


def shapes(
    h: int, w: int, d: int, e: int, window: int, dtype: torch.dtype, back: bool = False
) -> dict[str, int]:
    """The sizes with which a kernel is compiled for such tensors.

    So that registers and shared memory suffice on sm_80 and sm_90; no time was measured yet.
    """
    queries, keys, warps = _block(max(d, e), dtype.itemsize, back)
    rows, columns = min(
        ((queries // columns, columns) for columns in (8, 16, 4)),
        key=lambda tile: _work(h, w, *tile, window, keys),
    )
    wide = triton.next_power_of_2(columns + window - 1)
    return dict(
        WINDOW=window,
        HALF=d // 2,
        D=d,
        E=e,
        PADDED_D=max(16, triton.next_power_of_2(d)),
        PADDED_E=max(16, triton.next_power_of_2(e)),
        PLACES=max(16, triton.next_power_of_2(2 * window)),
        ROWS=rows,
        COLUMNS=columns,
        LINES=max(1, keys // wide),
        WIDE=wide,
        HALO=triton.next_power_of_2(rows + window - 1),
        PRECISION="ieee",
        num_warps=warps,
        num_stages=2 if dtype.itemsize == 2 else 1,
        enable_fp_fusion=True,
    )


def _block(width: int, bytes_: int, back: bool) -> tuple[int, int, int]:
    """Queries of a tile, keys at a time, warps: for heads of so many features."""
    if gpu.interpreting():  # whose time goes by the number of blocks
        return 64, 64, 4
    if bytes_ == 2:
        if width > 64:
            return 32, 32, 8
        if back:
            return 64, 32, 8 if width > 32 else 4
        return 64, 64 if width <= 32 else 32, 4
    if width > 64:
        return 16, 16, 8
    return 32, 32 if width <= 32 else 16, 8


def _work(h: int, w: int, rows: int, columns: int, window: int, keys: int) -> int:
    """Scores that all tiles of a map compute, those of keys that only fill up included."""
    wide = triton.next_power_of_2(columns + window - 1)
    lines = max(1, keys // wide)
    halo = -(-(rows + window - 1) // lines) * lines
    return -(-h // rows) * -(-w // columns) * rows * columns * halo * wide


def attend(
    q: Tensor, k: Tensor, v: Tensor, rows: Tensor, columns: Tensor, window: int
) -> tuple[Tensor, Tensor]:
    """y, laid out in memory as v, and the log-sum-exp of its scores, b head h w."""
    sizes, programs = _launch(q, k, v, rows, columns, window)
    kind = _kind(q, k, v)
    given = tuple(_ready(x, kind) for x in (q, k, v))
    y = torch.empty_like(v, dtype=kind)
    lse = q.new_empty((*q.shape[:2], *q.shape[3:]), dtype=torch.float32)
    if programs:
        tables = rows.contiguous(), columns.contiguous()
        strides = (x.stride() for x in (*given, y))
        with torch.cuda.device_of(q):
            forward[(programs,)](
                *given, *tables, y, lse, *strides, q.shape[1], *q.shape[3:], **sizes
            )
    return y.to(q.dtype), lse


def gradients(
    dy: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    rows: Tensor,
    columns: Tensor,
    y: Tensor,
    lse: Tensor,
    window: int,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """The gradients of q, k, v, rows and columns, each laid out as what it belongs to."""
    sizes, programs = _launch(q, k, v, rows, columns, window, back=True)
    kind = _kind(q, k, v)
    dy_, q_, k_, v_, y_ = (_ready(x, kind) for x in (dy, q, k, v, y))
    dq, dk, dv = (torch.empty_like(x, dtype=kind) for x in (q, k, v))
    b, head, _, h, w = q.shape
    tiles = programs // max(b * head, 1)
    parts = [lse.new_empty(b, head, tiles, *table.shape[1:]) for table in (rows, columns)]
    if programs:
        tables, delta = (rows.contiguous(), columns.contiguous()), torch.empty_like(lse)
        with torch.cuda.device_of(q):
            backward_queries[(programs,)](
                *(dy_, q_, k_, v_, *tables, y_, lse, delta, dq, *parts),
                *(x.stride() for x in (dy_, q_, k_, v_, y_, dq)),
                *(head, h, w),
                **sizes,
            )
            backward_keys[(programs,)](
                *(dy_, q_, k_, v_, *tables, lse, delta, dk, dv),
                *(x.stride() for x in (dy_, q_, k_, v_, dk, dv)),
                *(head, h, w),
                **sizes,
            )
    tables = (part.sum((0, 2)) for part in parts)
    given = q, k, v, rows, columns
    return tuple(x.to(of.dtype) for x, of in zip((dq, dk, dv, *tables), given, strict=True))


def _launch(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    rows: Tensor,
    columns: Tensor,
    window: int,
    back: bool = False,
) -> tuple[dict[str, int], int]:
    """With which sizes, and how many programs. Raises ValueError for what does not fit
    together: a kernel would read beyond the end of a tensor."""
    b, head, d, h, w = q.shape
    e = v.shape[2]
    if k.shape != q.shape or v.shape != (b, head, e, h, w):
        shapes_ = ", ".join(f"{tuple(x.shape)}" for x in (q, k, v))
        raise ValueError(f"q, k and v are of {shapes_}: give them one b, head, h and w")
    if head * max(d, e) * h * w >= FAR:
        raise ValueError(f"{head} heads of {max(d, e)} x {h} x {w} numbers are 2^31 or more")
    table = (head, window, d // 2)
    if d % 2 or tuple(rows.shape) != table or tuple(columns.shape) != table:
        found = f"{tuple(rows.shape)} and {tuple(columns.shape)}"
        raise ValueError(f"rows and columns are of {found}: for {d=} and {window=} {table}")
    if why := gpu.available(q.device) or cannot(q.device, q.dtype, d, e, window):
        raise ValueError(f"the Triton kernel cannot run: {why}")
    sizes = shapes(h, w, d, e, window, _kind(q, k, v), back)
    tiles = triton.cdiv(h, sizes["ROWS"]) * triton.cdiv(w, sizes["COLUMNS"])
    return sizes, b * head * tiles


def _kind(*tensors: Tensor) -> torch.dtype:
    """The type in which the products are formed; the interpreter has float32 alone."""
    if gpu.interpreting():
        return torch.float32
    return reduce(torch.promote_types, (x.dtype for x in tensors))


def _ready(x: Tensor, kind: torch.dtype) -> Tensor:
    """In this type, and laid out so that 32 bits tell where in a head a number is."""
    x = x.to(kind)
    far = sum((n - 1) * s for n, s in zip(x.shape[2:], x.stride()[2:], strict=True))
    return x if far < FAR else x.contiguous()
