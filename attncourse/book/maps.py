"""Attention in windows as maps over the whole image, `head i j`: what `explore` shows."""

import torch
from einops import rearrange, repeat
from jaxtyping import Float
from torch import Tensor

from solutions.stand_alone import windows
from solutions.united import ShiftedWindowAttention


def from_windows(weights: Float[Tensor, "head h w dy dx"]) -> Float[Tensor, "head i j"]:
    """Of the weights of a window around each pixel; 0 outside of the window."""
    heads, h, w, window, _ = weights.shape
    numbers = rearrange(1 + torch.arange(h * w, device=weights.device), "(h w) -> h w", w=w)
    keys = windows(numbers, window)  # 0 beyond the edges of the image
    keys = repeat(keys, "h w dy dx -> head (h w) (dy dx)", head=heads)
    weights = rearrange(weights, "head h w dy dx -> head (h w) (dy dx)")
    maps = weights.new_zeros(heads, h * w, 1 + h * w)
    return maps.scatter_add(2, keys, weights)[:, :, 1:]


def from_shifted(
    layer: ShiftedWindowAttention, x: Float[Tensor, "1 h w dim"]
) -> Float[Tensor, "head i j"]:
    """Of attention in windows that lie side by side; 0 where a token may not look."""
    n = x.shape[1] * x.shape[2]
    numbers = 1 + torch.arange(n, dtype=torch.float64, device=x.device)
    numbers = layer.windows(rearrange(numbers, "(h w) -> 1 h w 1", w=x.shape[2]))
    number = rearrange(numbers, "1 win i 1 -> win i").long()  # 0 where it is padding
    maps = x.new_zeros(layer.heads, 1 + n, 1 + n)
    weights = rearrange(layer.attention(x), "1 win head i j -> head win i j")
    maps[:, number[:, :, None], number[:, None, :]] = weights
    return maps[:, 1:, 1:]
