"""The kernels of the way back of local attention: see solutions.fast.local_triton.

backward_queries    a tile of queries over its halo of keys: dq, and what the tables get of it
backward_keys       a tile of keys over its halo of queries: dk and dv

Axes     as in solutions.fast.local_tiles_triton
"""

from typing import no_type_check

import triton
import triton.language as tl

from solutions.fast.local_tiles_triton import (
    _load,
    _of_head,
    _said,
    _scores,
    _store,
    _table,
    _tile,
)


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
