"""The record of `shapes.enlarge`."""

import torch
from einops import rearrange, repeat

from attncourse.exercises.record import Exercise, Trial
from attncourse.exercises.shapes.shared import ONE, OTHER
from solutions import shapes


def tiled(picture, p, q):
    """You repeat the whole picture, as tiles on a wall: `(p h) (q w)`. To repeat each pixel,
    the pixel is the outer letter: `(h p) (w q)`."""
    return repeat(picture, "h w c -> (p h) (q w) c", p=p, q=q)


def tiled_across(picture, p, q):
    """The height is right; across, the whole picture is repeated: `(q w)`. The pixel is the
    outer letter: `(w q)`."""
    return repeat(picture, "h w c -> (h p) (q w) c", p=p, q=q)


def tiled_down(picture, p, q):
    """The width is right; downwards, the whole picture is repeated: `(p h)`. The pixel is the
    outer letter: `(h p)`."""
    return repeat(picture, "h w c -> (p h) (w q) c", p=p, q=q)


def enlarge_exchanged(picture, p, q):
    """p and q are exchanged: your picture is `(h q)` high and `(w p)` wide. p belongs to h, q
    to w."""
    return repeat(picture, "h w c -> (h q) (w p) c", p=p, q=q)


def blended(picture, p, q):
    """You blend neighbouring pixels into each other. Here nothing is computed: each pixel is
    repeated as it is."""
    height, width, _ = picture.shape
    planes = rearrange(picture, "h w c -> 1 c h w")
    large = torch.nn.functional.interpolate(planes, (height * p, width * q), mode="bilinear")
    return rearrange(large, "1 c h w -> h w c")


def zeros_between(picture, p, q):
    """One pixel of each patch is right and the others are 0. All `(p q)` are to be the same."""
    h, w, c = picture.shape
    large = picture.new_zeros(h * p, w * q, c)
    large[::p, ::q] = picture
    return large


def not_joined(picture, p, q):
    """The new axes stand by themselves: `h p w q c`. Join them to a height and a width: `(h
    p) (w q) c`."""
    return repeat(picture, "h w c -> h p w q c", p=p, q=q)


def enlarge_lying(picture, p, q):
    """h and w are exchanged: your picture is mirrored at its diagonal. The height comes
    first: `(h p) (w q) c`."""
    return repeat(picture, "h w c -> (w q) (h p) c", p=p, q=q)


def shared_out(picture, p, q):
    """Your pixels are `(p q)` times too dark: each is shared out among its patch. Each is
    repeated as it is."""
    return repeat(picture / (p * q), "h w c -> (h p) (w q) c", p=p, q=q)


def enlarge_by_torch(picture, p, q):
    return picture.repeat_interleave(p, dim=0).repeat_interleave(q, dim=1)


def enlarge_by_kron(picture, p, q):
    return torch.kron(picture.contiguous(), picture.new_ones(p, q, 1))


def enlarge_by_loops(picture, p, q):
    h, w, _ = picture.shape
    rows = [torch.stack([picture[y // p, x // q] for x in range(w * q)]) for y in range(h * p)]
    return torch.stack(rows)


def enlarge_trials():
    return tuple(
        Trial(name, s, {"picture": "h w c", "p": s["p"], "q": s["q"]})
        for name, s in (("on a high picture", ONE), ("on a wide picture", OTHER))
    )


EXERCISE = Exercise(
    id="shapes.enlarge",
    solution=shapes.enlarge,
    probes={"enlarge": "(h p) (w q) c"},
    trials=enlarge_trials,
    slips=(
        tiled,
        tiled_across,
        tiled_down,
        enlarge_exchanged,
        blended,
        zeros_between,
        not_joined,
        enlarge_lying,
        shared_out,
    ),
    hints=(
        "Going down the result: does the pixel change first, or the copy of it?",
        "A letter that is new on the right of `repeat` makes copies. All p copies of "
        "a row come before the next row, so h is the outer letter: (h p). The width "
        "likewise.",
        'repeat(picture, "h w c -> ( … ) ( … ) c", p=p, q=q).',
    ),
    minutes=1,
    difficulty=2,
    otherwise=(enlarge_by_torch, enlarge_by_kron, enlarge_by_loops),
)
