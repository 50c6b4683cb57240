"""Tables of positions for another size: a model that has learnt at 14 x 14 read at 20 x 20.

    T' = [T_kept; resized(T_rest)]          n d -> n' d, n = kept + h w, n' = kept + h' w'
    a line    x' -> (x' + 1/2) n / n' - 1/2         linear between the two rows around it
    a map     the same for rows and for columns     bilinear
    align     x' -> x' (n - 1) / (n' - 1)           the ends keep their vectors

Axes     n positions, d features, h w rows and columns of a map: n = (h w), row by row
Units    a table's; each new row is a mean of old ones, with shares that sum to 1
Source   Dosovitskiy et al., "An Image is Worth 16x16 Words", ICLR 2021, arXiv:2010.11929,
         sec. 3.2, which interpolates "according to their location in the original image"
Differs  the paper does not say how; here pixels have areas, as in torch's `interpolate` with
         align_corners=False, so that twice the size is the same scene seen finer. Computed in
         float32 at least. Tables of offsets, 2 n - 1 rows, have `relative_2d.fit_table`
"""

import math

import torch
from einops import pack, rearrange, unpack
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from solutions import checks
from solutions.arguments import INTEGER, sides, whole


def resize_positions(
    table: Float[Tensor, "*batch n d"],
    size: int | tuple[int, int],
    kept: int = 0,
    old: tuple[int, int] | None = None,
    align: bool = False,
) -> Float[Tensor, "*batch m d"]:
    """The table for another size, differentiable.

    size   how many positions a line has, or (height, width) of a map; `kept` come on top
    kept   how many rows at the start are no places, such as one for a class token
    old    height and width that the table was made for; a square where left out. For maps alone
    align  the first and the last place keep their vectors, instead of pixels their areas

    Raises ValueError where the numbers do not fit.
    """
    n = table.shape[-2] - kept
    if not whole(0).holds(kept) or n < 1:
        raise ValueError(f"{kept=} of {table.shape[-2]} rows leave no places")
    if not sides(alone=True).holds(size):
        raise ValueError(f"{size=} must be {sides(alone=True).says}")
    first, places = table.split([kept, n], dim=-2)
    exact = places.to(torch.promote_types(places.dtype, torch.float32))
    exact, lead = pack([exact], "* n d")
    if not isinstance(size, tuple | list):
        if old is not None:
            raise ValueError(f"{old=} is for maps, and {size=} is a line")
        line = rearrange(exact, "b n d -> b d n")
        line = F.interpolate(line, size=size, mode="linear", align_corners=align)
        new = rearrange(line, "b d n -> b n d")
    else:
        h, w = _shape(n, old, kept)
        picture = rearrange(exact, "b (h w) d -> b d h w", h=h, w=w)
        picture = F.interpolate(picture, size=size, mode="bilinear", align_corners=align)
        new = rearrange(picture, "b d h w -> b (h w) d")
    (new,) = unpack(new.to(table.dtype), lead, "* n d")
    return torch.cat([first, new], dim=-2)


def _shape(n: int, old: tuple[int, int] | None, kept: int) -> tuple[int, int]:
    """Height and width of the old map."""
    if old is None:
        side = math.isqrt(n)
        if side**2 != n:
            rows = f"{n} places" + (f" beside {kept=}" if kept else "")
            raise ValueError(f"{rows} are no square: say old=(height, width)")
        return side, side
    h, w = old
    if h < 1 or h * w != n:
        raise ValueError(f"{old=} has {h * w} places, the table has {n}")
    return h, w


_whole = checks.numbers(size=sides(alone=True), kept=INTEGER)
resize_positions = _whole(resize_positions)
