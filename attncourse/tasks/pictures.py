"""The pictures that ship with scikit-learn: two photographs, and digits."""

from typing import NamedTuple

import torch
from einops import rearrange, reduce
from jaxtyping import Float, Int
from sklearn.datasets import load_digits, load_sample_image
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


class Digits(NamedTuple):
    """Written digits and which they are.

    image  b 1 h w, grey from 0 (paper) to 1 (ink), 8 x 8 pixels
    label  b, from 0 to 9
    """

    image: Float[Tensor, "b 1 h w"]
    label: Int[Tensor, " b"]


UNSEEN = 450  # digits kept for testing, a quarter of the 1797


def digits(test: bool = False) -> Digits:
    """The digits that ship with scikit-learn, in the order in which they are stored.

    The first 1347 are for training, the last 450 for testing: `test` gives those.
    """
    stored = load_digits()
    image = rearrange(torch.from_numpy(stored.images / 16).float(), "b h w -> b 1 h w")
    label = torch.from_numpy(stored.target).long()
    part = slice(-UNSEEN, None) if test else slice(-UNSEEN)
    return Digits(image[part], label[part])
