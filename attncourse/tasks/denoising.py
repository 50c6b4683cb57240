"""What a notebook needs to take noise off a picture, h w c, and to say how well it went."""

import math

import torch
from einops import rearrange
from jaxtyping import Float
from scipy.ndimage import gaussian_filter
from torch import Tensor
from torch.nn import functional as F


def psnr(picture: Float[Tensor, "h w c"], clean: Float[Tensor, "h w c"]) -> float:
    """Peak signal-to-noise ratio in decibels, for pictures between 0 and 1: more is better."""
    return -10 * math.log10((picture - clean).square().mean().item())


def blur(picture: Float[Tensor, "h w c"], width: float) -> Float[Tensor, "h w c"]:
    """Each channel smoothed by a Gaussian whose standard deviation is `width` pixels."""
    return torch.from_numpy(gaussian_filter(picture.numpy(), (width, width, 0)))


def surroundings(picture: Float[Tensor, "h w c"], size: int) -> Float[Tensor, "n d"]:
    """Around every pixel its size x size neighbours, as one row: n = h w, d = size size c.

    `size` is odd; at the border the picture is mirrored. Raises ValueError for an even size.
    """
    if size % 2 == 0:
        raise ValueError(
            f"a patch has a pixel in its middle, so its size is odd; this is {size}"
        )
    planes = F.pad(rearrange(picture, "h w c -> 1 c h w"), (size // 2,) * 4, mode="reflect")
    return rearrange(F.unfold(planes, size), "1 d n -> n d")


def places(height: int, width: int) -> Float[Tensor, "n d"]:
    """Row and column of every pixel, in pixels from the middle: n = height width, d = 2."""
    rows, columns = torch.arange(height), torch.arange(width)
    grid = torch.cartesian_prod(rows, columns).double()
    return grid - grid.mean(0)
