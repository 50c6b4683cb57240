"""The record of `shapes.pool`."""

import torch
from einops import reduce

from attncourse.exercises.record import Exercise
from attncourse.exercises.shapes.shared import corners, cut_trials, patches_by_loops
from solutions import shapes


def largest(picture, p, q):
    """You keep the largest number of each patch, "max". Asked is the mean."""
    return reduce(picture, "(h p) (w q) c -> h w c", "max", p=p, q=q)


def sums(picture, p, q):
    """You add up each patch, "sum", which is `(p q)` times too much. Asked is the mean."""
    return reduce(picture, "(h p) (w q) c -> h w c", "sum", p=p, q=q)


def mean_of_far_pixels(picture, p, q):
    """You average pixels that lie h rows and w columns apart: that is `(p h) (q w)`.
    Neighbours are the inner letter: `(h p) (w q)`."""
    return reduce(picture, "(p h) (q w) c -> h w c", "mean", p=p, q=q)


def mean_within_the_grid(picture, p, q):
    """You average over the patches and keep the place within one: `p q c`. The letters that
    you want to keep are `h w c`."""
    return reduce(picture, "(h p) (w q) c -> p q c", "mean", p=p, q=q)


def pool_exchanged(picture, p, q):
    """p and q are exchanged: your patches are q pixels high and p wide. The height is `(h
    p)`, the width is `(w q)`."""
    return reduce(picture, "(h q) (w p) c -> h w c", "mean", p=p, q=q)


def channels_averaged_too(picture, p, q):
    """The channels are averaged as well: c is missing on the right. Keep the colours: `h w
    c`."""
    return reduce(picture, "(h p) (w q) c -> h w", "mean", p=p, q=q)


def pool_lying(picture, p, q):
    """h and w are exchanged: your picture is mirrored at its diagonal. Rows come first: `h w
    c`."""
    return reduce(picture, "(h p) (w q) c -> w h c", "mean", p=p, q=q)


def pool_by_torch(picture, p, q):
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
    slips=(
        largest,
        sums,
        mean_of_far_pixels,
        mean_within_the_grid,
        corners,
        pool_exchanged,
        channels_averaged_too,
        pool_lying,
    ),
    hints=(
        "Each patch becomes one pixel. Which letters are left, and which are averaged away?",
        "The left side is that of `patches`. A letter that is missing on the right of "
        '`reduce` is averaged: leave out p and q, and say "mean".',
        'reduce(picture, "( … ) ( … ) c -> …", "mean", p=p, q=q).',
    ),
    minutes=1,
    difficulty=2,
    otherwise=(pool_by_torch, pool_by_patches),
)
