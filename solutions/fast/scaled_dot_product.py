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

from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from solutions import checks, scaled_dot_product
from solutions.arguments import COUNT, Rule, real
from solutions.fast import gpu
from solutions.fast.switch import switched
from solutions.fast.tiled_operator import backward, by_tiles, gradients_by_tiles, operator

__all__ = [
    "backward",
    "by_tiles",
    "by_torch",
    "choose",
    "gradients_by_tiles",
    "operator",
    "scaled_dot_product_attention",
    "tiled_attention",
]

IMPLEMENTATIONS = ("reference", "tiled", "torch", "triton")
ROWS, COLUMNS = 256, 512  # queries and keys of a tile
SCALE = Rule("a finite number", lambda value: value is None or real(-math.inf).holds(value))
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
        return _by_torch(q, k, v, mask, causal, scale)
    if implementation != "reference":
        raise ValueError(f"no {implementation=}: there are auto, {', '.join(IMPLEMENTATIONS)}")
    if causal:
        early = scaled_dot_product.causal_mask(q.shape[-2], k.shape[-2]).to(q.device)
        mask = early if mask is None else mask & early
    q = q * (scale * math.sqrt(q.shape[-1]))
    return scaled_dot_product.scaled_dot_product_attention(q, k, v, mask)


together = checks.attention


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
    return _by_torch(*together(q, k, v, mask), mask, causal, scale)


def _by_torch(
    q: Tensor, k: Tensor, v: Tensor, mask, causal: bool, scale: float | None
) -> Tensor:
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


tiled_attention = checks.numbers(rows=COUNT, columns=COUNT, scale=SCALE)(tiled_attention)
scaled_dot_product_attention = checks.numbers(scale=SCALE)(scaled_dot_product_attention)
by_torch = checks.numbers(scale=SCALE)(by_torch)
