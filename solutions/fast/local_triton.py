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

import torch
import triton
from torch import Tensor

from solutions.fast import gpu
from solutions.fast.local_back_triton import backward_keys, backward_queries
from solutions.fast.local_tiles_triton import forward

WIDEST = 128  # features of a head
LARGEST = 31  # window
FAR = 2**31  # numbers of an image and more: 32 bits do not tell them apart


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
