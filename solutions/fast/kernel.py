"""Attention as a kernel in Triton, with its heart left open: what a tile of keys changes.

Answers of chapter 11; nothing in the library uses them.

    m' = max(m, max_j s),  rescale = e^(m - m')   i
    l' = rescale l + Σ_j e^(s - m')               i
    y' = rescale y + Σ_j e^(s - m') v             i e

The loop around it is in kernel_triton.py: loads, masks, stores.

Axes     i queries and j keys of a tile, e features of v, all of them powers of two
Source   Dao et al., "FlashAttention", NeurIPS 2022, arXiv:2205.14135, alg. 1
"""

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from solutions import checks
from solutions.fast import gpu

try:
    import triton.language as tl
except ImportError:  # Triton is there for Linux
    tl = None


def online_step(scores, v, largest, total, read):
    """What was seen of the keys so far, and then of this tile too: largest, total, read.

    scores   i j, -inf for a key that does not exist; v  j e
    largest  i, the largest score; before the first tile -inf
    total    i, the sum of e^(score - largest); read  i e, the sum of e^(score - largest) v
    """
    new = tl.maximum(largest, tl.max(scores, 1))
    rescale = tl.exp(largest - new)
    shares = tl.exp(scores - new[:, None])
    total = rescale * total + tl.sum(shares, 1)
    read = rescale[:, None] * read + tl.dot(shares, v, input_precision="ieee")
    return new, total, read


def kernel_attention(
    q: Float[Tensor, "*batch i d"],
    k: Float[Tensor, "*batch j d"],
    v: Float[Tensor, "*batch j e"],
    step: Callable = online_step,
) -> tuple[Float[Tensor, "*batch i e"], Float[Tensor, "*batch i"]]:
    """Scaled dot-product attention and its log-sum-exp, by the kernel with this step in it.

    step  as `online_step`: a function of Triton's language, decorated by `triton.jit` or not
    Needs Triton, and a GPU or Triton's interpreter (TRITON_INTERPRET=1 before its import).
    Computes in float32, or float64 for such inputs. Raises ValueError for what does not fit
    together.
    """
    given = ("q", q, "*batch i d"), ("k", k, "*batch j d"), ("v", v, "*batch j e")
    q, k, v = checks.spread(*given)
    checks.alike(*((name, x) for name, x, _ in given))
    checks.features(q.shape[-1])
    kernels, dtype = gpu.kernels("kernel"), q.dtype
    batch, (i, d), e = q.shape[:-2], q.shape[-2:], v.shape[-1]
    exact = torch.promote_types(q.dtype, torch.float32)
    q, k, v = (x.to(exact).reshape(-1, *x.shape[-2:]).contiguous() for x in (q, k, v))
    y, lse = q.new_empty(*batch, i, e), q.new_empty(*batch, i)
    kernels.launch(step, q, k, v, y, lse, 1 / math.sqrt(d))
    return y.to(dtype), lse
