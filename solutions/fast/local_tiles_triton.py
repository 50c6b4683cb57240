"""A tile of local attention and the kernel of the way there: see solutions.fast.local_triton.

Axes     a program has ROWS x COLUMNS queries of one image and head, and reads LINES lines of
         WIDE keys of their halo at a time; places of the window are first its rows, then its
         columns
"""

from typing import no_type_check

import triton
import triton.language as tl


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
