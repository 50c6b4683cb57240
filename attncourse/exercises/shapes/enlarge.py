"""Each pixel as a patch of equal pixels."""

import torch

from attncourse.exercises.edits import wrong
from attncourse.exercises.record import Exercise, Trial
from attncourse.exercises.shapes.shared import ONE, OTHER
from solutions import shapes

# fmt: off
TILED = (
    wrong("tiled", "(h p) (w q)", "(p h) (q w)",
          "You repeat the whole picture, as tiles on a wall: `(p h) (q w)`. To repeat each pixel,"
          " the pixel is the outer letter: `(h p) (w q)`."),
    wrong("tiled_across", "(w q)", "(q w)",
          "The height is right; across, the whole picture is repeated: `(q w)`. The pixel is the"
          " outer letter: `(w q)`."),
    wrong("tiled_down", "(h p)", "(p h)",
          "The width is right; downwards, the whole picture is repeated: `(p h)`. The pixel is the"
          " outer letter: `(h p)`."),
)

NOT_REPEATED = (
    wrong("blended", 'return repeat(picture, "h w c -> (h p) (w q) c", p=p, q=q)',
          'planes = rearrange(picture, "h w c -> 1 c h w")\n'
          'large = F.interpolate(planes, scale_factor=(p, q), mode="bilinear")\n'
          'return rearrange(large, "1 c h w -> h w c")',
          "You blend neighbouring pixels into each other. Here nothing is computed: each pixel is"
          " repeated as it is."),
    wrong("row_numbers_rounded", 'return repeat(picture, "h w c -> (h p) (w q) c", p=p, q=q)',
          "h, w, _ = picture.shape\n"
          "y = (torch.arange(h * p) / p).round().long().clamp(max=h - 1)\n"
          "x = (torch.arange(w * q) / q).round().long().clamp(max=w - 1)\n"
          "return picture[y][:, x]",
          "Your patches are moved by half: row y shows row y / p, rounded to the nearest. It is"
          " rounded down, so that the rows 0 to p - 1 all show row 0."),
    wrong("zeros_between", 'return repeat(picture, "h w c -> (h p) (w q) c", p=p, q=q)',
          "h, w, c = picture.shape\n"
          "large = picture.new_zeros(h * p, w * q, c)\n"
          "large[::p, ::q] = picture\n"
          "return large",
          "One pixel of each patch is right and the others are 0. All `(p q)` are to be the same."),
)
# fmt: on


def enlarge_by_torch(picture, p, q):
    return picture.repeat_interleave(p, dim=0).repeat_interleave(q, dim=1)


def enlarge_by_kron(picture, p, q):
    return torch.kron(picture.contiguous(), picture.new_ones(p, q, 1))


def enlarge_by_loops(picture, p, q):
    h, w, _ = picture.shape
    rows = [torch.stack([picture[y // p, x // q] for x in range(w * q)]) for y in range(h * p)]
    return torch.stack(rows)


def trials():
    return tuple(
        Trial(name, s, {"picture": "h w c", "p": s["p"], "q": s["q"]})
        for name, s in (("on a high picture", ONE), ("on a wide picture", OTHER))
    )


EXERCISE = Exercise(
    id="shapes.enlarge",
    solution=shapes.enlarge,
    probes={"enlarge": "(h p) (w q) c"},
    trials=trials,
    slips=(*TILED, *NOT_REPEATED),
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
    ready=("torch.nn.functional.interpolate",),
)
