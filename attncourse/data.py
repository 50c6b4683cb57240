"""Photographs that ship with scikit-learn, made small by exact means."""

import torch
from einops import reduce
from jaxtyping import Float
from sklearn.datasets import load_sample_image
from torch import Tensor

PHOTOGRAPHS = ("china", "flower")


def photograph(
    name: str = "china", height: int = 96, width: int = 144
) -> Float[Tensor, "h w c"]:
    """A colour photograph, h w c, in float32 between 0 and 1.

    "china" is a temple, "flower" a dahlia, 427 x 640 pixels each. As much of the middle as
    possible is kept, and each pixel is the exact mean of a square of k x k pixels of it.
    Raises ValueError for another name, or for more pixels than there are.
    """
    if name not in PHOTOGRAPHS:
        raise ValueError(f'there is no photograph "{name}"; there are {", ".join(PHOTOGRAPHS)}')
    pixels = torch.from_numpy(load_sample_image(f"{name}.jpg").copy())
    h, w, _ = pixels.shape
    if not (0 < height <= h and 0 < width <= w):
        raise ValueError(f"{name} has {h} x {w} pixels, too few for {height} x {width}")
    k = min(h // height, w // width)
    top, left = (h - k * height) // 2, (w - k * width) // 2
    middle = pixels[top : top + k * height, left : left + k * width]
    sums = reduce(middle.long(), "(h p) (w q) c -> h w c", "sum", p=k, q=k)
    return (sums.double() / (255 * k**2)).float()
