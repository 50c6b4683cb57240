"""Scaled dot-product attention by tiles: only a square of the map is there at a time.

    m' = max(m, max_j s)                       the largest score so far, of a tile's keys j
    l' = e^(m - m') l + Σ_j e^(s - m')         the sum so far
    y' = e^(m - m') y + Σ_j e^(s - m') v_j     what was read so far; at the end y / l
    L = m + log l                              log-sum-exp, all that training keeps of the map
    A = e^(s - L)                              again, tile by tile, on the way back
    dv = Aᵀ dy,  ds = A (dy vᵀ - Σ dy y),  dq = ds k,  dk = dsᵀ q

Axes     b batch (any leading axes), i query, j key, d features of q and k, e of v
Cost     the multiply-adds of the map, 2.5 times as many on the way back; memory for rows times
         columns scores. A causal tile that is all in the future is left out
Source   Milakov, Gimelshein, "Online normalizer calculation for softmax", 2018,
         arXiv:1805.02867, alg. 3;
         Dao et al., "FlashAttention", NeurIPS 2022, arXiv:2205.14135, algs. 1 and 4
Differs  queries are the outer loop, as in FlashAttention-2; float16 and bfloat16 are summed in
         float32. On a GPU, by the kernels of solutions.fast.tiled_triton; their speed has not
         been measured yet
"""

import math
from collections.abc import Iterator

import torch
from einops import einsum
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from solutions import scaled_dot_product
from solutions.fast import checks, gpu
from solutions.fast.autocast import exactly, lowered
from solutions.fast.switch import switched

IMPLEMENTATIONS = ("reference", "tiled", "torch", "triton")
ROWS, COLUMNS = 256, 512  # queries and keys of a tile
LARGEST = 256  # features of a head in the Triton kernels


def scaled_dot_product_attention(
    q: Float[Tensor, "*batch i d"],
    k: Float[Tensor, "*batch j d"],
    v: Float[Tensor, "*batch j e"],
    mask: Bool[Tensor, "*#batch #i #j"] | None = None,
    causal: bool = False,
    scale: float | None = None,
    implementation: str = "auto",
) -> Float[Tensor, "*batch i e"]:
    """As `solutions.scaled_dot_product.scaled_dot_product_attention`.

    causal  query i sees keys up to j = i, of those that the mask allows
    scale   1 / sqrt(d) if not given

    Raises ValueError for an implementation that cannot run here, with the reason, for a mask
    that is not of bool, and for what does not fit together; leading axes may be 1, or missing,
    and stand for all.
    """
    q, k, v = together(q, k, v, mask)
    checks.features(q.shape[-1])
    implementation = choose(q, v) if implementation == "auto" else implementation
    scale = 1 / math.sqrt(q.shape[-1]) if scale is None else scale
    if implementation in ("tiled", "triton"):
        way = {"implementation": implementation}
        return tiled_attention(q, k, v, mask, causal, scale, **way)[0]
    if implementation == "torch":
        return by_torch(q, k, v, mask, causal, scale)
    if implementation != "reference":
        raise ValueError(f"no {implementation=}: there are auto, {', '.join(IMPLEMENTATIONS)}")
    if causal:
        early = scaled_dot_product.causal_mask(q.shape[-2], k.shape[-2]).to(q.device)
        mask = early if mask is None else mask & early
    q = q * (scale * math.sqrt(q.shape[-1]))
    return scaled_dot_product.scaled_dot_product_attention(q, k, v, mask)


def together(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> list[Tensor]:
    """q, k and v with the same leading axes. Raises ValueError for what does not fit."""
    given = ("q", q, "*batch i d"), ("k", k, "*batch j d"), ("v", v, "*batch j e")
    spread = checks.spread(*given)
    checks.alike(*((name, x) for name, x, _ in given))
    if mask is not None:
        checks.allowed(mask, (*spread[0].shape[:-1], k.shape[-2]), q.device)
    return spread


@switched(*IMPLEMENTATIONS)
def choose(q: Tensor, v: Tensor) -> str:
    """What "auto" takes: torch's own, on the CPU as was measured, elsewhere unmeasured."""
    return "torch"


def by_torch(
    q: Float[Tensor, "*batch i d"],
    k: Float[Tensor, "*batch j d"],
    v: Float[Tensor, "*batch j e"],
    mask: Bool[Tensor, "*#batch #i #j"] | None = None,
    causal: bool = False,
    scale: float | None = None,
) -> Float[Tensor, "*batch i e"]:
    """Torch's own attention, on what its fast kernel for the CPU asks for.

    It wants two leading axes, one width for q, k and v, and features side by side in memory;
    without a word it takes a slower way for anything else. Zeros fill up.
    """
    q, k, v = together(q, k, v, mask)
    batch, i, j, e = q.shape[:-2], q.shape[-2], k.shape[-2], v.shape[-1]
    if 0 in (*batch, i, j):
        return scaled_dot_product.scaled_dot_product_attention(q, k, v)
    scale = 1 / math.sqrt(q.shape[-1]) if scale is None else scale
    if mask is not None and causal:
        mask, causal = mask & scaled_dot_product.causal_mask(i, j).to(mask.device), False
    if mask is not None:
        mask = two_leading(mask.expand(*batch, i, j) if len(batch) > 2 else mask, len(batch))
    width = max(q.shape[-1], e)
    q, k, v = (two_leading(_wide(x, width), len(batch)) for x in (q, k, v))
    y = F.scaled_dot_product_attention(q, k, v, mask, is_causal=causal, scale=scale)
    return y[..., :e].reshape(*batch, i, e)


def _wide(x: Tensor, width: int) -> Tensor:
    x = F.pad(x, (0, width - x.shape[-1])) if x.shape[-1] < width else x
    return x if x.stride(-1) == 1 else x.contiguous()


def two_leading(x: Tensor, leading: int) -> Tensor:
    """With `leading` axes before the last two made two; a mask may have fewer."""
    if leading > 2:
        return x.flatten(0, -4)
    x = x[(None,) * (leading + 2 - x.ndim)]
    return x[(None,) * (2 - leading)] if leading != 1 else x[:, None]


def tiled_attention(
    q: Float[Tensor, "*batch i d"],
    k: Float[Tensor, "*batch j d"],
    v: Float[Tensor, "*batch j e"],
    mask: Bool[Tensor, "*#batch #i #j"] | None = None,
    causal: bool = False,
    scale: float | None = None,
    rows: int = ROWS,
    columns: int = COLUMNS,
    down: Float[Tensor, "*batch i y"] | None = None,
    across: Float[Tensor, "*batch i x"] | None = None,
    implementation: str = "auto",
) -> tuple[Float[Tensor, "*batch i e"], Float[Tensor, "*batch i"]]:
    """Attention in tiles of rows x columns scores, and the log-sum-exp L of each query.

    down, across    where j = (y x) is a map: what a query says to each row and to each column
                    of it is added to the score
    implementation  "tiled" in PyTorch, "triton" in kernels with tiles of their own; "auto"
                    takes the kernels where there is a GPU for them

    L is not differentiated. A query that may attend to nothing gets 0, and L = -inf.
    """
    if implementation == "auto":
        implementation = choose_tiles(q, v)
    if implementation not in ("tiled", "triton"):
        raise ValueError(f"no {implementation=} of tiles: there are auto, tiled, triton")
    if implementation == "triton" and (why := cannot(q, v)):
        raise ValueError(f"the Triton kernels cannot run: {why}")
    if scale is None:
        checks.features(q.shape[-1])
    q, k, v = together(q, k, v, mask)
    if down is not None and across is not None:
        here = (
            ("q", q, "*batch i d"),
            ("down", down, "*batch i y"),
            ("across", across, "*batch i x"),
        )
        q, down, across = checks.spread(*here)
        q, k, v = together(q, k, v, mask)
    scale = 1 / math.sqrt(q.shape[-1]) if scale is None else scale
    rest = causal, float(scale), rows, columns, implementation == "triton"
    return operator(q, k, v, mask, down, across, *rest)


def choose_tiles(q: Tensor, v: Tensor) -> str:
    """What "auto" takes for tiles. On the CPU, where kernels are only interpreted, PyTorch."""
    return "triton" if q.device.type == "cuda" and not cannot(q, v) else "tiled"


def cannot(q: Tensor, v: Tensor) -> str:
    """Why the Triton kernels cannot do this, in one line; "" where they can."""
    d, e = q.shape[-1], v.shape[-1]
    if max(d, e) > LARGEST:
        return f"{d=} and {e=}, and they have at most {LARGEST}"
    return gpu.available(q.device)


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
    checks.whole(rows=rows, columns=columns)
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
