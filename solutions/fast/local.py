"""Local 2D attention, faster: blocks of queries in plain PyTorch, kernels in C and Triton.

    reference   windows of k and v are copied: window² d numbers a pixel
    blocked     4 x 4 queries share a halo of (window + 3)² keys: 6 d numbers a pixel for 7
    native      C: scores of 16 pixels in registers, the map is never stored
    triton      on an NVIDIA GPU: as solutions.fast.local_triton says

Axes     as in solutions.stand_alone: b batch, d e features of a head, h w pixels, dy dx places
Cost     native: memory for the padded k and v of one head a thread; the backward pass computes
         the map again from the log-sum-exp, so training keeps q, k, v, the output and one
         number a pixel and head
Source   Ramachandran et al., 2019, arXiv:1906.05909, sec. 3, which asks for such kernels;
         blocks with halos after Vaswani et al., "Scaling Local Self-Attention for Parameter
         Efficient Visual Backbones", CVPR 2021, arXiv:2103.12731, sec. 3; recomputing from the
         log-sum-exp after Dao et al., "FlashAttention", NeurIPS 2022, arXiv:2205.14135
Differs  as solutions.stand_alone does; float16 and bfloat16 are computed in float32 in C, and
         summed in float32 in Triton
"""

import ctypes
from functools import cache, lru_cache

import torch
from einops import einsum, rearrange, repeat
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from solutions import stand_alone
from solutions.fast import gpu, native

BLOCK = 4  # queries a side
AT_HAND = 2**18  # scores: a mebibyte, which stays in the cache of a core
HIDDEN = -1e30  # as a score; minus infinity times 0 would be no number
LARGEST = 31  # window of the kernel in C
IMPLEMENTATIONS = ("reference", "blocked", "native", "triton")


def local_attention(
    q: Float[Tensor, "b head d h w"],
    k: Float[Tensor, "b head d h w"],
    v: Float[Tensor, "b head e h w"],
    rows: Float[Tensor, "head dy half"],
    columns: Float[Tensor, "head dx half"],
    window: int,
    implementation: str = "auto",
) -> Float[Tensor, "b head e h w"]:
    """As `solutions.stand_alone.local_attention`, by the implementation that is asked for.

    "auto" takes what `choose` says. Raises ValueError for one that cannot run here, with the
    reason, and for an even window.
    """
    if window < 1 or window % 2 == 0:
        raise ValueError(f"{window=} has no middle: take an odd number")
    if implementation == "auto":
        implementation = choose(q, window, v)
    if implementation == "reference":
        return stand_alone.local_attention(q, k, v, rows, columns, window)
    if implementation == "blocked":
        return blocked(q, k, v, rows, columns, window)
    if implementation not in IMPLEMENTATIONS:
        raise ValueError(f"no {implementation=}: there are auto, {', '.join(IMPLEMENTATIONS)}")
    if why := cannot(q, window, implementation, v):
        raise ValueError(f"the {implementation} kernel cannot run: {why}")
    if implementation == "triton" and q.device.type == "cpu":
        return Interpreted.apply(q, k, v, rows, columns, window)
    return operator(q, k, v, rows, columns, window)[0]


def choose(q: Tensor, window: int, v: Tensor | None = None) -> str:
    """What "auto" takes: the device's kernel where it runs, else blocks. On the CPU that was
    measured; on a GPU nothing is measured yet. The interpreter is never taken."""
    kernel = "native" if q.device.type == "cpu" else "triton"
    return "blocked" if cannot(q, window, kernel, v) else kernel


def cannot(
    q: Tensor, window: int, implementation: str = "native", v: Tensor | None = None
) -> str:
    """Why the native or the Triton kernel cannot do this, in one line; "" where it can. v
    where its width is not that of q."""
    if implementation == "triton":
        return _no_triton(
            q.device, q.dtype, q.shape[2], (q if v is None else v).shape[2], window
        )
    if q.device.type != "cpu":
        return f"the tensors are on {q.device}, and it is for the CPU"
    if window > LARGEST:
        return f"{window=} is more than {LARGEST}"
    return _no_native()


# torch.compile asks once and does not look inside


@torch.compiler.assume_constant_result
def _no_native() -> str:
    return native.available("local")


@torch.compiler.assume_constant_result
def _no_triton(device: torch.device, dtype: torch.dtype, d: int, e: int, window: int) -> str:
    return gpu.available(device) or gpu.kernels("local").cannot(device, dtype, d, e, window)


# ---------------------------------------------------------------- blocks, in plain PyTorch


def blocked(
    q: Float[Tensor, "b head d h w"],
    k: Float[Tensor, "b head d h w"],
    v: Float[Tensor, "b head e h w"],
    rows: Float[Tensor, "head dy half"],
    columns: Float[Tensor, "head dx half"],
    window: int,
) -> Float[Tensor, "b head e h w"]:
    """Local attention, a block of queries at a time: all of a block see one halo of keys."""
    given, offsets = (q, k, v, rows, columns), _offsets(rows, columns)
    if torch.compiler.is_compiling():
        return _traced(q, k, v, offsets, window)
    keep = torch.is_grad_enabled() and any(x.requires_grad for x in given)
    return ByBlocks.apply(q, k, v, offsets, window, keep)


def _traced(q: Tensor, k: Tensor, v: Tensor, offsets: Tensor, window: int) -> Tensor:
    """All heads at once, nothing in place: for torch.compile and torch.export, which plan the
    memory themselves."""
    (_, heads, _, h, w), side = q.shape, BLOCK + window - 1
    queries = rearrange(
        _blocks(_maps(q)), "(b head) block own d -> b head block own d", head=heads
    )
    hidden = rearrange(_hidden(window, h, w).to(queries), "own block line -> block own line")
    said = einsum(
        queries, offsets, "b head block own d, head own d line -> b head block own line"
    )
    edge = -h % BLOCK + window // 2, -w % BLOCK + window // 2
    around = (window // 2, edge[1], window // 2, edge[0])
    keys, values = (
        rearrange(
            F.pad(x, around).unfold(3, side, BLOCK).unfold(4, side, BLOCK),
            "b head d by bx ky kx -> b head (by bx) (ky kx) d",
        ).to(queries.dtype)
        for x in (k, v)
    )
    scores = (said + hidden) @ _lines(side).to(queries) + queries @ keys.mT
    y = rearrange(
        scores.softmax(-1) @ values,
        "b head (by bx) (y x) e -> b head e (by y) (bx x)",
        by=-(-h // BLOCK),
        y=BLOCK,
    )
    return y[..., :h, :w].to(v.dtype)


class ByBlocks(torch.autograd.Function):
    """Some heads at a time, as many as a cache holds, in the same memory for all; keeps the
    shares of each block, for the way back.

    The scores of places are a product too: what a query says to the lines of its halo, rows
    and columns, times which line a key is in.
    """

    @staticmethod
    def forward(ctx, q, k, v, offsets, window, keep):
        maps = [_maps(x) for x in (q, k, v)]
        offsets = offsets.to(maps[0].dtype)
        heads, side = len(offsets), BLOCK + window - 1
        lines = _kept_lines(side).to(offsets)
        hidden = _kept_hidden(window, *q.shape[-2:]).to(offsets)
        n, own, blocks, _ = len(maps[0]), *hidden.shape
        several = _several(n, blocks * own * side**2, q.device)
        shares = offsets.new_empty(n if keep else several, blocks, own, side**2)
        halo_k, halo_v = _halos(maps, window, several)
        out = torch.empty_like(maps[2])
        for start in range(0, n, several):
            i = slice(start, min(start + several, n))
            count = i.stop - start
            queries = _blocks(maps[0][i])
            share = shares[i] if keep else shares[:count]  # scores at first
            for one in range(count):
                table = offsets[(start + one) % heads]
                said = torch.baddbmm(hidden, _by_own(queries[one]), table)
                said = rearrange(said, "own block line -> (block own) line")
                torch.mm(
                    said, lines, out=rearrange(share[one], "block own key -> (block own) key")
                )
            _each(share).baddbmm_(_each(queries), _each(halo_k.of(maps[1][i])).mT)
            torch.softmax(share, -1, out=share)
            mixed = torch.bmm(_each(share), _each(halo_v.of(maps[2][i])))
            _from_blocks(out[i], mixed)
        if keep:
            ctx.save_for_backward(q, k, v, offsets, out, shares)
            ctx.window = window
        return out.reshape(v.shape).to(v.dtype)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, dout):
        q, k, v, offsets, out, shares = ctx.saved_tensors
        maps, dout = [_maps(x) for x in (q, k, v)], _maps(dout)
        n, blocks, own, keys = shares.shape
        heads, lines = len(offsets), _kept_lines(BLOCK + ctx.window - 1).to(offsets)
        several = _several(n, blocks * own * keys, q.device)
        slopes = torch.empty_like(shares[:several])
        halo_k, halo_v = _halos(maps, ctx.window, several)
        dq, dk, dv = (torch.empty_like(x) for x in maps)
        doffsets = torch.zeros_like(offsets)
        mean = (dout * out).sum(1, keepdim=True)
        for start in range(0, n, several):
            i = slice(start, min(start + several, n))
            count = i.stop - start
            queries, dmixed = _blocks(maps[0][i]), _blocks(dout[i])
            share, slope = shares[i], slopes[:count]
            values = halo_v.of(maps[2][i])
            torch.bmm(_each(dmixed), _each(values).mT, out=_each(slope))
            slope.sub_(_blocks(mean[i])).mul_(share)
            torch.bmm(_each(share).mT, _each(dmixed), out=_each(values))
            halo_v.back(dv[i], values)
            keys = halo_k.of(maps[1][i])
            dsaid = torch.mm(rearrange(slope, "m block own key -> (m block own) key"), lines.T)
            dsaid = rearrange(dsaid, "(m block own) line -> m own block line", m=count, own=own)
            dqueries = torch.bmm(_each(slope), _each(keys))
            dqueries = rearrange(dqueries, "(m block) own d -> m block own d", m=count)
            for one in range(count):
                table = (start + one) % heads
                more = torch.bmm(dsaid[one], offsets[table].mT)
                dqueries[one] += rearrange(more, "own block d -> block own d")
                doffsets[table].baddbmm_(_by_own(queries[one]).mT, dsaid[one])
            _from_blocks(dq[i], _each(dqueries))
            torch.bmm(_each(slope).mT, _each(queries), out=_each(keys))
            halo_k.back(dk[i], keys)
        found = zip((dq, dk, dv), (q, k, v), strict=True)
        grads = (grad.reshape(x.shape).to(x.dtype) for grad, x in found)
        return *grads, doffsets, None, None


def _maps(x: Tensor) -> Tensor:
    """Images and heads as one axis, in single or double precision."""
    exact = x.to(torch.promote_types(x.dtype, torch.float32))
    return rearrange(exact, "b head d h w -> (b head) d h w")


def _each(x: Tensor) -> Tensor:
    return rearrange(x, "m block ... -> (m block) ...")


def _by_own(x: Tensor) -> Tensor:
    return rearrange(x, "block own d -> own block d")


def _several(n: int, scores: int, device: torch.device) -> int:
    """How many heads at a time: what a cache holds; on a GPU all."""
    return max(1, n if device.type != "cpu" else min(n, AT_HAND // max(scores, 1)))


def _offsets(rows: Tensor, columns: Tensor) -> Tensor:
    """What q is multiplied by to give its scores of the lines of its halo, for each place of
    its own in the block: head own d line. Rows come first, for the first half of d."""

    def moved(table: Tensor) -> Tensor:
        steps = [F.pad(table, (0, 0, y, BLOCK - 1 - y)) for y in range(BLOCK)]
        return rearrange(steps, "y head line half -> y head half line")

    down = repeat(moved(rows), "y head half line -> head (y x) half line", x=BLOCK)
    across = repeat(moved(columns), "x head half line -> head (y x) half line", y=BLOCK)
    side = down.shape[-1]
    return torch.cat([F.pad(down, (0, side)), F.pad(across, (side, 0))], 2)


def _lines(side: int) -> Float[Tensor, "line key"]:
    """Which row and which column of the halo a key is in: a 1 for each."""
    one = torch.eye(side)
    down = repeat(one, "line ky -> line (ky kx)", kx=side)
    return torch.cat([down, repeat(one, "line kx -> line (ky kx)", ky=side)])


def _hidden(window: int, h: int, w: int) -> Float[Tensor, "own block line"]:
    """0 for the lines of its halo that a query sees, HIDDEN for the others.

    A block lies BLOCK lines into the picture for each block before it, and its halo starts
    window // 2 lines earlier.
    """
    place = torch.arange(BLOCK + window - 1)
    offset = place - rearrange(torch.arange(BLOCK), "own -> own 1")
    near = (offset >= 0) & (offset < window)
    seen = []
    for size in (h, w):
        start = torch.arange(-(-size // BLOCK)) * BLOCK - window // 2
        keys = rearrange(start, "block -> block 1 1") + place
        seen.append(near & (keys >= 0) & (keys < size))
    (by, bx), down, across = map(len, seen), *seen
    down = repeat(down, "by y line -> (y x) (by bx) line", bx=bx, x=BLOCK)
    across = repeat(across, "bx x line -> (y x) (by bx) line", by=by, y=BLOCK)
    return torch.where(torch.cat([down, across], -1), 0.0, HIDDEN)


# not for what is traced: tensors without numbers must not be kept
_kept_lines, _kept_hidden = cache(_lines), lru_cache(maxsize=16)(_hidden)


def _blocks(x: Tensor) -> Tensor:
    """The pixels of each block: m block own d, zeros beyond the edge."""
    h, w = x.shape[-2:]
    if h % BLOCK or w % BLOCK:
        x = F.pad(x, (0, -w % BLOCK, 0, -h % BLOCK))
    pattern = "m d (by y) (bx x) -> m (by bx) (y x) d"
    return rearrange(x, pattern, y=BLOCK, x=BLOCK).contiguous()


def _from_blocks(to: Tensor, x: Tensor) -> None:
    """The other way round, (m block) own d, cut to the picture."""
    m, _, h, w = to.shape
    pattern = "(m by bx) (y x) d -> m d (by y) (bx x)"
    by, bx = -(-h // BLOCK), -(-w // BLOCK)
    if h % BLOCK or w % BLOCK:
        to.copy_(rearrange(x, pattern, m=m, by=by, bx=bx, y=BLOCK)[..., :h, :w])
    else:  # in place of the blocks: no copy between
        inside = "m d (by y) (bx x) -> m d by y bx x"
        across = "(m by bx) (y x) d -> m d by y bx x"
        whole = rearrange(to, inside, y=BLOCK, x=BLOCK)
        whole.copy_(rearrange(x, across, m=m, by=by, bx=bx, y=BLOCK))


def _halos(maps: list[Tensor], window: int, several: int) -> list["_Halos"]:
    """For k and for v: the same memory where they are equally wide."""
    found = [_Halos(maps[1], window, several)]
    same = maps[1].shape == maps[2].shape
    return found * 2 if same else [*found, _Halos(maps[2], window, several)]


class _Halos:
    """The pixels that the queries of each block see, and back, in memory that is used again.

    Maps stand with zeros around, a whole number of blocks in each direction.
    """

    def __init__(self, x: Tensor, window: int, several: int):
        d, self.h, self.w = x.shape[-3:]
        self.reach, self.side = window // 2, BLOCK + window - 1
        self.by, self.bx = -(-self.h // BLOCK), -(-self.w // BLOCK)
        more = -(-self.side // BLOCK) - 1
        high, wide = (self.by + more) * BLOCK, (self.bx + more) * BLOCK
        self.around = x.new_zeros(several, high, wide, d)
        self.halos = x.new_empty(several, self.by * self.bx, self.side**2, d)

    def inside(self, m: int) -> Tensor:
        first = self.reach
        return self.around[:m, first : first + self.h, first : first + self.w]

    def of(self, x: Tensor) -> Tensor:
        """m block key d, to be used before the next."""
        m = len(x)
        self.inside(m).copy_(rearrange(x, "m d h w -> m h w d"))
        seen = self.around[:m].unfold(1, self.side, BLOCK).unfold(2, self.side, BLOCK)
        halos = self.halos[:m]
        self.split(halos).copy_(rearrange(seen, "m by bx d ky kx -> m by bx ky kx d"))
        return halos

    def split(self, halos: Tensor) -> Tensor:
        pattern = "m (by bx) (ky kx) d -> m by bx ky kx d"
        return rearrange(halos, pattern, by=self.by, ky=self.side)

    def back(self, to: Tensor, halos: Tensor) -> None:
        """To each pixel the sum of what its halos have for it: one part of BLOCK x BLOCK of all
        halos at a time, since those do not overlap."""
        m = len(to)
        self.around.zero_()
        pattern = "m (by y) (bx x) d -> m by bx y x d"
        whole, halos = rearrange(self.around[:m], pattern, y=BLOCK, x=BLOCK), self.split(halos)
        for y in range(0, self.side, BLOCK):
            for x in range(0, self.side, BLOCK):
                part = halos[:, :, :, y : y + BLOCK, x : x + BLOCK]
                down, across, (high, wide) = y // BLOCK, x // BLOCK, part.shape[3:5]
                there = whole[:, down : down + self.by, across : across + self.bx]
                there[:, :, :, :high, :wide] += part
        to.copy_(rearrange(self.inside(m), "m h w d -> m d h w"))
        self.around.zero_()  # the next is read into its middle


# ---------------------------------------------------------------- as an operator of torch


@torch.library.custom_op("attncourse::local_attention", mutates_args=(), device_types="cpu")
def operator(
    q: Tensor, k: Tensor, v: Tensor, rows: Tensor, columns: Tensor, window: int
) -> tuple[Tensor, Tensor]:
    """Local attention and the log-sum-exp of its scores, b head h w, for autograd to keep. On
    the CPU in C, on CUDA in Triton, which lays y out in memory as v."""
    given = tuple(_ready(x) for x in (q, k, v, rows, columns))
    out, lse = torch.empty_like(given[2]), given[0].new_empty(_but_features(q))
    _call("forward", (out, lse, *given), q, v, window)
    return out.to(q.dtype), lse


@operator.register_kernel("cuda")
def _(q, k, v, rows, columns, window):
    return gpu.kernels("local").attend(q, k, v, rows, columns, window)


@operator.register_fake
def _(q, k, v, rows, columns, window):
    exact = torch.float64 if q.dtype == torch.float64 else torch.float32
    return _like(v, q.dtype), q.new_empty(_but_features(q), dtype=exact)


@torch.library.custom_op(
    "attncourse::local_attention_backward", mutates_args=(), device_types="cpu"
)
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
    q_, k_, v_, rows_, columns_, dout_, out_ = (
        _ready(x) for x in (q, k, v, rows, columns, dout, out)
    )
    delta = einsum(dout_, out_, "b head e h w, b head e h w -> b head h w").contiguous()
    grads = [torch.empty_like(x) for x in (q_, k_, v_)]
    tables = [x.new_empty(len(q), *x.shape) for x in (rows_, columns_)]
    _call(
        "backward",
        (*grads, *tables, q_, k_, v_, rows_, columns_, dout_, lse, delta),
        q,
        v,
        window,
    )
    tables = [table.sum(0) for table in tables]
    return tuple(
        g.to(x.dtype) for g, x in zip((*grads, *tables), (q, k, v, rows, columns), strict=True)
    )


@backward.register_kernel("cuda")
def _(dout, q, k, v, rows, columns, out, lse, window):
    return gpu.kernels("local").gradients(dout, q, k, v, rows, columns, out, lse, window)


@backward.register_fake
def _(dout, q, k, v, rows, columns, out, lse, window):
    return *map(_like, (q, k, v)), *(x.new_empty(x.shape) for x in (rows, columns))


def _like(x: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """As the device's kernel lays it out: the one in C side by side, the other as it was."""
    if x.device.type == "cpu":
        return torch.empty(x.shape, dtype=dtype or x.dtype)
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
    def forward(ctx, q, k, v, rows, columns, window):
        y, lse = gpu.kernels("local").attend(q, k, v, rows, columns, window)
        ctx.window = window
        ctx.save_for_backward(q, k, v, rows, columns, y, lse)
        return y

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, dy):
        grads = gpu.kernels("local").gradients(dy, *ctx.saved_tensors, ctx.window)
        return *grads, None


# ---------------------------------------------------------------- the kernel in C


def _ready(x: Tensor) -> Tensor:
    """As the kernel reads it: contiguous, in single or double precision."""
    return x.to(torch.float64 if x.dtype == torch.float64 else torch.float32).contiguous()


def _but_features(q: Tensor) -> tuple:
    b, head, _, h, w = q.shape
    return b, head, h, w


def _call(name: str, tensors: tuple[Tensor, ...], q: Tensor, v: Tensor, window: int) -> None:
    """Run the kernel of this name and of the tensors' type."""
    b, heads, d, h, w = q.shape
    if b * heads * h * w == 0:
        for x in tensors:
            if x.numel() and name == "backward" and x.shape[0] == b:
                x.zero_()
        return
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


# ---------------------------------------------------------------- the layer


class StandAloneSelfAttention2d(stand_alone.StandAloneSelfAttention2d):
    """The layer of `solutions.stand_alone`, same weights and same results, by a fast
    implementation.

    implementation  may be changed at any time: "auto", "reference", "blocked", "native" or
                    "triton"
    ran             the one that the last call took; None before the first
    """

    implementation: str = "auto"
    ran: str | None = None

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b e h2 w2"]:
        """What the heads read, side by side; with a stride, averaged over its pixels."""
        q, k = self.split(self.query(x)) * self.scale, self.split(self.key(x))
        v = self.split(self.value(x))
        auto = self.implementation == "auto"
        self.ran = choose(q, self.window) if auto else self.implementation
        y = local_attention(q, k, v, self.rows, self.columns, self.window, self.ran)
        y = rearrange(y, "b head d h w -> b (head d) h w")
        return y if self.stride == 1 else F.avg_pool2d(y, self.stride, ceil_mode=True)
