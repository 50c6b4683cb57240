"""The record of `channel.squeeze`."""

import torch
from einops import reduce
from torch.nn import functional as F

from attncourse.exercises.channel.shared import (
    after_a_relu,
    half_way,
    largest,
    magnitudes,
    same_for_all_images,
    summed,
)
from attncourse.exercises.record import Exercise, Trial
from solutions.channel import (
    squeeze,
)


def squeeze_trials():
    return (
        Trial("on maps of 5 x 7", dict(b=2, c=3, h=5, w=7), dict(x="b c h w")),
        Trial("on maps of 4 x 3", dict(b=5, c=6, h=4, w=3), dict(x="b c h w")),
        Trial("on one image", dict(b=1, c=4, h=2, w=3), dict(x="b c h w")),
    )


def over_the_batch_too(x):
    """You average over b as well: all images share one vector. Average over h and w only."""
    return reduce(x, "b c h w -> c", "mean")


def channels_averaged(x):
    """You average over c, and keep the pixels: b h w. Average over h and w, and keep c."""
    return reduce(x, "b c h w -> b h w", "mean")


def rows_alone(x):
    """You average over h and keep w. The whole map becomes one number: average over both."""
    return reduce(x, "b c h w -> b c w", "mean")


def columns_alone(x):
    """You average over w and keep h. The whole map becomes one number: average over both."""
    return reduce(x, "b c h w -> b c h", "mean")


def axes_of_one_kept(x):
    """You keep the two axes as axes of length 1: b c 1 1. The result is b c."""
    return reduce(x, "b c h w -> b c 1 1", "mean")


def root_mean_square(x):
    """You take the root of the mean square. Eq. 2 is the plain mean."""
    return reduce(x.square(), "b c h w -> b c", "mean").sqrt()


def spread(x):
    """You take the standard deviation of each map. Eq. 2 takes the mean."""
    return x.std((-2, -1))


def first_pixel(x):
    """You take one pixel, at h = 0, w = 0. Average over all of them."""
    return x[:, :, 0, 0]


def divided_by_the_width(x):
    """You divide the sum by w alone. There are h w pixels."""
    return reduce(x, "b c h w -> b c", "sum") / x.shape[-1]


def divided_by_the_height(x):
    """You divide the sum by h alone. There are h w pixels."""
    return reduce(x, "b c h w -> b c", "sum") / x.shape[-2]


def one_number_an_image(x):
    """You average over c as well: one number an image. Every channel keeps its own mean: b
    c."""
    return reduce(x, "b c h w -> b", "mean")


def squeeze_loops(x):
    return torch.stack([torch.stack([fmap.mean() for fmap in image]) for image in x])


def squeeze_einsum(x):
    return torch.einsum("bchw->bc", x) / (x.shape[2] * x.shape[3])


def squeeze_pooled(x):
    return F.adaptive_avg_pool2d(x, 1).flatten(1)


EXERCISE = Exercise(
    id="channel.squeeze",
    solution=squeeze,
    probes={"squeeze": "b c"},
    trials=squeeze_trials,
    slips=(
        largest,
        summed,
        over_the_batch_too,
        same_for_all_images,
        channels_averaged,
        rows_alone,
        columns_alone,
        axes_of_one_kept,
        magnitudes,
        after_a_relu,
        root_mean_square,
        spread,
        half_way,
        first_pixel,
        divided_by_the_width,
        divided_by_the_height,
        one_number_an_image,
    ),
    hints=(
        "Which axes are gone in b c? What becomes of an axis named on the left only?",
        "One number for each image and each channel: the mean over h and w.",
        'reduce(x, "b c h w -> b c", "mean")',
    ),
    minutes=2,
    difficulty=1,
    otherwise=(squeeze_loops, squeeze_einsum, squeeze_pooled),
    laws=("examples_do_not_mix", "pixels_are_all_alike", "a_mean_keeps_what_is_even"),
)
