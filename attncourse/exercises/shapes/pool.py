"""The mean of each patch of a picture."""

import torch

from attncourse.exercises.edits import wrong
from attncourse.exercises.record import Exercise
from attncourse.exercises.shapes.shared import (
    cut_trials,
    patches_by_loops,
    refuse_rest,
    uncut_trials,
)
from solutions import shapes

# fmt: off
LETTERS = (
    wrong("mean_of_far_pixels", "(h p) (w q)", "(p h) (q w)",
          "You average pixels that lie h rows and w columns apart: that is `(p h) (q w)`."
          " Neighbours are the inner letter: `(h p) (w q)`."),
    wrong("mean_within_the_grid", "-> h w c", "-> p q c",
          "You average over the patches and keep the place within one: `p q c`. The letters that"
          " you want to keep are `h w c`."),
    wrong("pool_exchanged", "(h p) (w q)", "(h q) (w p)",
          "p and q are exchanged: your patches are q pixels high and p wide. The height is `(h p)`,"
          " the width is `(w q)`."),
)

MEANS = (
    wrong("sums", '"mean"', '"sum"',
          'You add up each patch, "sum", which is `(p q)` times too much. The mean is asked for.'),
    wrong("corners", 'reduce(picture, "(h p) (w q) c -> h w c", "mean", p=p, q=q)',
          "picture[::p, ::q]",
          "You keep one pixel of each patch and throw the others away. Their mean is asked for."),
)
# fmt: on


def pool_by_torch(picture, p, q):
    refuse_rest(picture, p, q)
    planes = picture.permute(2, 0, 1)
    return torch.nn.functional.avg_pool2d(planes, (p, q)).permute(1, 2, 0)


def pool_by_patches(picture, p, q):
    height, width, c = picture.shape
    return patches_by_loops(picture, p, q).mean((1, 2)).reshape(height // p, width // q, c)


EXERCISE = Exercise(
    id="shapes.pool",
    solution=shapes.pool,
    probes={"pool": "h w c"},
    trials=cut_trials,
    slips=(*LETTERS, *MEANS),
    hints=(
        "Each patch becomes one pixel. Which letters are left, and which are averaged away?",
        "The left side takes the axes apart as in `patches`. A letter that is missing on the right of "
        '`reduce` is averaged: leave out p and q, and say "mean".',
        'reduce(picture, "( … ) ( … ) c -> …", "mean", p=p, q=q).',
    ),
    minutes=1,
    difficulty=2,
    otherwise=(pool_by_torch, pool_by_patches),
    ready=("torch.nn.functional.avg_pool2d", "torch.nn.functional.adaptive_avg_pool2d"),
    refuses=uncut_trials,
)
