"""Attention that is a convolution: a head for each place of the kernel, and it reads one pixel.

    r_ij = (x_j - x_i, y_j - y_i, (x_j - x_i)² + (y_j - y_i)²)         offset        i j three
    v_Δ = sharpness (2 Δx, 2 Δy, -1)                        head of the shift Δ     head three
    v_Δ · r_ij = -sharpness (|offset - Δ|² - |Δ|²)          largest where offset = Δ
    A = softmax over j of v_Δ · r_ij                        weights                 head i j
    y_i = Σ_Δ W_Δ Σ_j A_Δij x_j  ->  Σ_Δ W_Δ x_(i+Δ)        a convolution, for sharpness -> ∞

    leak = 1 - (Σ_n exp(-sharpness n²))^-2    n from -reach to reach: what others get of a head
    |y - convolution| <= leak (largest - smallest x) Σ |W|

Axes     i query and j key, pixels row by row; head = (dy dx), a place in the kernel; c channels
         that enter, f that leave
Units    A sums to 1 over j; sharpness is 1 / (2 variance) of a head's Gaussian, in pixels^-2
Cost     window² (h w)² numbers for the maps: a proof, no way to compute a convolution
Source   Cordonnier, Loukas, Jaggi, "On the Relationship between Self-Attention and
         Convolutional Layers", ICLR 2020, arXiv:1911.03584, theorem 1, lemmas 1 and 2, eq. 9;
         for patches Li et al., "Can Vision Transformers Perform Convolution?", 2021,
         arXiv:2111.01353
Differs  the order of r is that of ConViT's code; the paper's is (|offset|², rows, columns).
         Keys are the pixels of the padded map, so that beyond the edges a head reads 0
"""

import math

import torch
from einops import einsum, rearrange
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F


def offset_encoding(height: int, width: int, reach: int = 0) -> Float[Tensor, "i j three"]:
    """From each pixel to each key: columns to the right, rows down, and the distance squared.

    Keys are the pixels of the map with `reach` more on every side; the queries have none.
    """
    y, x = torch.arange(height), torch.arange(width)
    down = torch.arange(-reach, height + reach) - rearrange(y, "y -> y 1")
    across = torch.arange(-reach, width + reach) - rearrange(x, "x -> x 1")
    down = rearrange(down, "y down -> y 1 down 1")
    across = rearrange(across, "x across -> 1 x 1 across")
    offset = torch.stack(torch.broadcast_tensors(across, down, across**2 + down**2), -1)
    offset = rearrange(offset, "y x down across three -> (y x) (down across) three")
    return offset.to(torch.get_default_dtype())


def shift_vectors(window: int, sharpness: float) -> Float[Tensor, "head three"]:
    """A vector for each place of a window x window kernel, row by row: its product with
    `offset_encoding` is largest, by `sharpness`, where the offset is that of the place."""
    place = torch.arange(window) - (window - 1) / 2
    down = rearrange(place, "dy -> dy 1")
    down, across = torch.broadcast_tensors(down, place)
    vectors = sharpness * torch.stack([2 * across, 2 * down, -torch.ones_like(down)], -1)
    return rearrange(vectors, "dy dx three -> (dy dx) three")


def leak(sharpness: float, reach: int) -> float:
    """The share that a head gives to other pixels than its own, where keys lie up to `reach`
    rows and columns away from it on every side."""
    beside = 2 * sum(math.exp(-sharpness * n**2) for n in range(1, reach + 1))
    return beside * (2 + beside) / (1 + beside) ** 2


def attention_as_convolution(
    x: Float[Tensor, "b c h w"], kernel: Float[Tensor, "f c dy dx"], sharpness: float
) -> Float[Tensor, "b f h w"]:
    """Self-attention by place alone, with a head for each place of the kernel: the convolution
    with zeros beyond the edges, up to what leaks.

    Raises ValueError, with the kernel's size, for an even one, which has no middle.
    """
    window = kernel.shape[-1]
    if window % 2 == 0:
        raise ValueError(f"a kernel of {window=} has no middle: take an odd one")
    reach = window // 2
    offset = offset_encoding(*x.shape[-2:], reach).to(x)
    logits = einsum(shift_vectors(window, sharpness).to(x), offset, "head r, i j r -> head i j")
    v = rearrange(F.pad(x, 4 * (reach,)), "b c y x -> b (y x) c")
    read = einsum(logits.softmax(-1), v, "head i j, b j c -> b head i c")
    matrices = rearrange(kernel, "f c dy dx -> (dy dx) f c")
    y = einsum(matrices, read, "head f c, b head i c -> b f i")
    return rearrange(y, "b f (h w) -> b f h w", h=x.shape[-2])


def patch_kernel(
    kernel: Float[Tensor, "f c dy dx"], patch: int
) -> Float[Tensor, "f_out c_in 3 3"]:
    """The same convolution on patches as tokens, (f y x) and (c y x) as their features: 3 x 3,
    so that nine heads are enough for any kernel that reaches no further than a patch.

    Raises ValueError, with both numbers, for a kernel that does, and for an even one.
    """
    window, reach = kernel.shape[-1], kernel.shape[-1] // 2
    if window % 2 == 0 or reach > patch:
        raise ValueError(f"a kernel of {window=} on patches of {patch=}: odd, half at most")
    features = kernel.shape[1] * patch**2
    units = torch.eye(features, dtype=kernel.dtype, device=kernel.device)
    units = rearrange(units, "unit (c y x) -> unit c y x", y=patch, x=patch)
    told = F.conv2d(F.pad(units, 4 * (patch,)), kernel, padding=reach)  # what each tells around
    return rearrange(told, "unit f (dy y) (dx x) -> (f y x) unit dy dx", y=patch, x=patch).flip(
        -1, -2
    )
