"""Shapes: every change of axes is one line that names them.

    strip            pictures side by side           b h w c -> h (b w) c
    patches          a picture cut up                (row p) (column q) c -> (row column) p q c
    mosaic           patches put together            (row column) p q c -> (row p) (column q) c
    pool             the mean of each patch          (h p) (w q) c -> h w c
    enlarge          each pixel a patch              h w c -> (h p) (w q) c
    channel_means    the mean colour of a picture    b h w c -> b c
    grey             channels, weighted and summed   h w c, c -> h w
    similarity       all pairs of vectors            i d, j d -> i j

Axes     b batch, c channels, h w height and width in pixels; row column of the patches of a
         picture, n = (row column) of them, p q height and width of one in pixels
Units    those of the input; grey keeps them where the weights sum to 1
Cost     each number is read once and written once; similarity: i j d multiply-adds
Source   Rogozhnikov, "Einops: Clear and Reliable Tensor Manipulations with Einstein-like
         Notation", ICLR 2022
"""

from einops import einsum, rearrange, reduce, repeat
from jaxtyping import Float
from torch import Tensor

from solutions import checks
from solutions.arguments import COUNT


def strip(pictures: Float[Tensor, "b h w c"]) -> Float[Tensor, "h width c"]:
    """All pictures of a batch side by side, the first at the left."""
    return rearrange(pictures, "b h w c -> h (b w) c")


def patches(
    picture: Float[Tensor, "height width c"], p: int, q: int
) -> Float[Tensor, "n p q c"]:
    """A picture cut into patches of p x q pixels, row by row from the top left.

    Raises ValueError, with all four numbers, unless p divides the height and q the width.
    """
    height, width, _ = picture.shape
    if height % p or width % q:
        raise ValueError(f"{height} x {width} pixels do not divide into patches of {p} x {q}")
    return rearrange(picture, "(row p) (column q) c -> (row column) p q c", p=p, q=q)


def mosaic(tiles: Float[Tensor, "n p q c"], columns: int) -> Float[Tensor, "height width c"]:
    """Tiles put together in so many columns, row by row from the top left: undoes `patches`.

    Raises ValueError, with both numbers, when `columns` does not divide n: the last row would
    not be full.
    """
    if len(tiles) % columns:
        raise ValueError(f"{len(tiles)} tiles do not fill rows of {columns}")
    pattern = "(row column) p q c -> (row p) (column q) c"
    return rearrange(tiles, pattern, column=columns)


def pool(picture: Float[Tensor, "height width c"], p: int, q: int) -> Float[Tensor, "h w c"]:
    """The mean of each patch of p x q pixels, as one pixel of a smaller picture.

    Raises ValueError, with all four numbers, unless p divides the height and q the width.
    """
    height, width, _ = picture.shape
    if height % p or width % q:
        raise ValueError(f"{height} x {width} pixels do not divide into patches of {p} x {q}")
    return reduce(picture, "(h p) (w q) c -> h w c", "mean", p=p, q=q)


def enlarge(picture: Float[Tensor, "h w c"], p: int, q: int) -> Float[Tensor, "height width c"]:
    """Each pixel as a patch of p x q equal pixels."""
    return repeat(picture, "h w c -> (h p) (w q) c", p=p, q=q)


def channel_means(pictures: Float[Tensor, "b h w c"]) -> Float[Tensor, "b c"]:
    """The mean of each channel of each picture: its mean colour."""
    return reduce(pictures, "b h w c -> b c", "mean")


def grey(picture: Float[Tensor, "h w c"], weights: Float[Tensor, " c"]) -> Float[Tensor, "h w"]:
    """At each pixel the sum of the channels, each times its weight."""
    return einsum(picture, weights, "h w c, c -> h w")


def similarity(x: Float[Tensor, "i d"], y: Float[Tensor, "j d"]) -> Float[Tensor, "i j"]:
    """The inner product of each row of x with each row of y."""
    return einsum(x, y, "i d, j d -> i j")


_whole = checks.numbers(p=COUNT, q=COUNT, columns=COUNT)
patches = _whole(patches)
mosaic = _whole(mosaic)
pool = _whole(pool)
enlarge = _whole(enlarge)
