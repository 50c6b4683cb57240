"""Local attention by blocks, in plain PyTorch: 4 x 4 queries share a halo of keys.

    s = q · k + down_line + across_line        scores of a block's queries and its halo's keys
    s = -inf                                   for keys that are not in the query's window
    y = softmax(s) v

Axes     m images and heads, block, own the queries of a block, key those of its halo, line its
         rows and then its columns; the rest as in solutions.stand_alone
Cost     as in solutions.fast.local; some heads at a time, as many as a cache holds
Source   as in solutions.fast.local
Differs  float16 and bfloat16 are computed in float32. On the CPU a number that is none, in one
         pixel, goes where the reference says, to those whose window has it, because such maps
         are left to the reference; when traced, and on a GPU, its gradients may reach all who
         share its halo
"""

import math

import torch
from einops import einsum, rearrange, repeat
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from solutions import stand_alone
from solutions.fast import autocast, once

BLOCK = 4  # queries a side
AT_HAND = 2**18  # scores: a mebibyte, which stays in the cache of a core


def blocked(
    q: Float[Tensor, "b head d h w"],
    k: Float[Tensor, "b head d h w"],
    v: Float[Tensor, "b head e h w"],
    rows: Float[Tensor, "head dy half"],
    columns: Float[Tensor, "head dx half"],
    window: int,
) -> Float[Tensor, "b head e h w"]:
    """Local attention, a block of queries at a time: all of a block see one halo of keys."""
    kind = torch.promote_types(rows.dtype, torch.float32)
    q, k, v = autocast.cast(q, k, v)
    with autocast.off(q):
        offsets = _offsets(rows.to(kind), columns.to(kind))
        if torch.compiler.is_compiling() or once.transforming():
            return _traced(q, k, v, offsets, window)
        if q.device.type == "cpu" and not _finite(q, k, v, offsets):
            tables = (x.to(q.dtype) for x in (rows, columns))
            return stand_alone.local_attention(q, k, v, *tables, window)
        keep = torch.is_grad_enabled() and any(x.requires_grad for x in (q, k, v, offsets))
        return ByBlocks.apply(q, k, v, offsets, window, keep)[0]


def _finite(*given: Tensor) -> bool:
    """Whether nothing in them is infinite or no number. A sum tells, in one pass; where it
    overflows that is a false alarm."""
    return all(math.isfinite(x.detach().sum(dtype=torch.float32)) for x in given)


def _traced(q: Tensor, k: Tensor, v: Tensor, offsets: Tensor, window: int) -> Tensor:
    """All heads at once, nothing in place: for torch.compile and torch.export, which plan the
    memory themselves."""
    (_, heads, _, h, w), side = q.shape, BLOCK + window - 1
    queries = rearrange(
        _blocks(_maps(q)), "(b head) block own d -> b head block own d", head=heads
    )
    said = einsum(
        queries, offsets, "b head block own d, head own d line -> b head block own line"
    )
    edge = -h % BLOCK + window // 2, -w % BLOCK + window // 2
    around = (window // 2, edge[1], window // 2, edge[0])
    numbers = torch.nan_to_num(v, 0.0, 0.0, 0.0)  # a share of 0 must hide what is no number
    keys, values = (
        rearrange(
            F.pad(x, around).unfold(3, side, BLOCK).unfold(4, side, BLOCK),
            "b head d by bx ky kx -> b head (by bx) (ky kx) d",
        ).to(queries.dtype)
        for x in (k, numbers)
    )
    scores = said @ _lines(side, q.device).to(queries) + queries @ keys.mT
    scores = scores.masked_fill(_most(window, h, w, q.device) < 0, -math.inf)
    y = rearrange(
        scores.softmax(-1) @ values,
        "b head (by bx) (y x) e -> b head e (by y) (bx x)",
        by=-(-h // BLOCK),
        y=BLOCK,
    )
    return y[..., :h, :w].to(v.dtype) + _where_none(v, window)


def _where_none(v: Tensor, window: int) -> Tensor:
    """0 for a query that sees numbers alone, nan where its window has what is none."""
    reach, line = window // 2, rearrange(v - v, "b head e h w -> b (head e) h w").detach()
    line = F.avg_pool2d(line, (window, 1), 1, (reach, 0))
    line = F.avg_pool2d(line, (1, window), 1, (0, reach))
    return rearrange(line, "b (head e) h w -> b head e h w", head=v.shape[1])


class ByBlocks(torch.autograd.Function):
    """Some heads at a time, as many as a cache holds, in the same memory for all; keeps the
    shares of each block, for the way back.

    The scores of places are a product too: what a query says to the lines of its halo, rows
    and columns, times which line a key is in.
    """

    @staticmethod
    def forward(q, k, v, offsets, window, keep):
        """y, and if they are to be kept the shares m block own key."""
        maps = [_maps(x) for x in (q, k, v)]
        offsets = offsets.to(maps[0].dtype)
        heads, side = len(offsets), BLOCK + window - 1
        lines = _lines(side, q.device).to(offsets)
        most = _most(window, *q.shape[-2:], q.device).to(offsets)
        n, blocks, own, _ = len(maps[0]), *most.shape
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
                said = torch.bmm(_by_own(queries[one]), table)
                said = rearrange(said, "own block line -> (block own) line")
                torch.mm(
                    said, lines, out=rearrange(share[one], "block own key -> (block own) key")
                )
            _each(share).baddbmm_(_each(queries), _each(halo_k.of(maps[1][i])).mT)
            torch.softmax(torch.minimum(share, most, out=share), -1, out=share)
            mixed = torch.bmm(_each(share), _each(halo_v.of(maps[2][i])))
            _from_blocks(out[i], mixed)
        return out.reshape(v.shape).to(v.dtype), shares if keep else None

    @staticmethod
    def setup_context(ctx, inputs, output):
        *tensors, ctx.window, keep = inputs
        if keep:
            ctx.save_for_backward(*tensors, *output)
            ctx.mark_non_differentiable(output[1])

    @staticmethod
    def backward(ctx, dout, _):
        with autocast.off(dout):
            given = (dout, *ctx.saved_tensors), ctx.window
            return *once.gradients("local attention by blocks", _gradients, *given), None, None


def _gradients(dout, q, k, v, offsets, out, shares, window: int) -> tuple[Tensor, ...]:
    """Those of q, k, v and of the offsets."""
    maps, dout, out = [_maps(x) for x in (q, k, v)], _maps(dout), _maps(out)
    kind, offsets = offsets.dtype, offsets.to(maps[0].dtype)
    n, blocks, own, keys = shares.shape
    heads, lines = len(offsets), _lines(BLOCK + window - 1, q.device).to(offsets)
    several = _several(n, blocks * own * keys, q.device)
    slopes = torch.empty_like(shares[:several])
    halo_k, halo_v = _halos(maps, window, several)
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
    return *grads, doffsets.to(kind)


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


def _lines(side: int, device: torch.device) -> Float[Tensor, "line key"]:
    """Which row and which column of the halo a key is in: a 1 for each."""
    one = torch.eye(side, device=device)
    down = repeat(one, "line ky -> line (ky kx)", kx=side)
    return torch.cat([down, repeat(one, "line kx -> line (ky kx)", ky=side)])


def _most(window: int, h: int, w: int, device: torch.device) -> Float[Tensor, "block own key"]:
    """What a score may be at most: -inf for keys of the halo that a query does not see.

    A block lies BLOCK lines into the picture for each block before it, and its halo starts
    window // 2 lines earlier.
    """
    place = torch.arange(BLOCK + window - 1, device=device)
    own = rearrange(torch.arange(BLOCK, device=device), "own -> own 1")
    near = (place >= own) & (place < own + window)
    most = []
    for size in (h, w):
        first = torch.arange(-(-size // BLOCK), device=device) * BLOCK
        first = rearrange(first, "block -> block 1 1")
        keys = first - window // 2 + place
        seen = near & (keys >= 0) & (keys < size)
        beyond = first + own >= size  # a query that is none: its shares are to be numbers
        most.append(torch.where(seen | beyond, math.inf, -math.inf))
    down = rearrange(most[0], "by y ky -> by 1 y 1 ky 1")
    across = rearrange(most[1], "bx x kx -> 1 bx 1 x 1 kx")
    both = torch.minimum(down, across)
    return rearrange(both, "by bx y x ky kx -> (by bx) (y x) (ky kx)")


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
