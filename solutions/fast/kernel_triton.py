"""The kernel around a step: some queries, and one tile of keys after the other.

Imported where Triton is. A program has ROWS queries of one head; a tile has COLUMNS keys.
"""

import inspect

import triton
import triton.language as tl

ROWS, COLUMNS = 16, 32


@triton.jit
def attend(
    q, k, v, y, lse,  # the first number of each, rows of d or e numbers, heads one by one
    queries, keys, d, e, scale,
    step: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, D: tl.constexpr, E: tl.constexpr,
):  # fmt: skip
    tile, head = tl.program_id(0), tl.program_id(1)
    i = tile * ROWS + tl.arange(0, ROWS)  # our queries
    feature, column = tl.arange(0, D), tl.arange(0, E)  # powers of two: masked beyond d and e

    place = (head * queries + i)[:, None] * d + feature
    some_q = tl.load(q + place, (i < queries)[:, None] & (feature < d), 0.0)

    largest = tl.full([ROWS], -float("inf"), some_q.dtype)
    total = tl.zeros([ROWS], some_q.dtype)
    read = tl.zeros([ROWS, E], some_q.dtype)
    for start in range(0, keys, COLUMNS):
        j = start + tl.arange(0, COLUMNS)  # the keys of this tile; the last has fewer
        line = head * keys + j
        there = (j < keys)[:, None]
        some_k = tl.load(k + line[:, None] * d + feature, there & (feature < d), 0.0)
        some_v = tl.load(v + line[:, None] * e + column, there & (column < e), 0.0)
        scores = tl.dot(some_q, tl.trans(some_k), input_precision="ieee") * scale
        scores = tl.where(j < keys, scores, -float("inf"))
        largest, total, read = step(scores, some_v, largest, total, read)

    place = (head * queries + i)[:, None] * e + column
    tl.store(y + place, read / total[:, None], (i < queries)[:, None] & (column < e))
    tl.store(lse + head * queries + i, largest + tl.log(total), i < queries)


def launch(step, q, k, v, y, lse, scale):
    """Starts a program for each ROWS queries of each head. All tensors are contiguous."""
    heads, queries, d = q.shape
    keys, e = v.shape[-2:]
    widths = (max(16, triton.next_power_of_2(n)) for n in (d, e))  # no dot is narrower than 16
    step = jit(step) if inspect.isfunction(step) else step
    grid = triton.cdiv(queries, ROWS), heads
    attend[grid](q, k, v, y, lse, queries, keys, d, e, scale, step, ROWS, COLUMNS, *widths)


def jit(step):
    """The function as one of Triton's, however it was wrapped."""
    return triton.jit(inspect.unwrap(step))
