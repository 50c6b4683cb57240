"""Squeeze: each feature map becomes one number, its mean (eq. 2)."""

import torch
from torch.nn import functional as F

from attncourse.exercises.edits import wrong
from attncourse.exercises.record import Exercise, Trial
from solutions.channel import squeeze


def trials():
    return (
        Trial("on maps of 5 x 7", dict(b=2, c=3, h=5, w=7), dict(x="b c h w")),
        Trial("on maps of 4 x 3", dict(b=5, c=6, h=4, w=3), dict(x="b c h w")),
        Trial("on one image", dict(b=1, c=4, h=2, w=3), dict(x="b c h w")),
    )


# fmt: off
MEANS = (
    wrong("largest", '"mean"', '"max"',
          "You take the largest value of each map. Eq. 2 takes the mean."),
    wrong("summed", '"mean"', '"sum"',
          "You sum each map. Eq. 2 divides by h w: a mean."),
    wrong("divided_by_the_width", '"mean")', '"sum") / x.shape[-1]',
          "You divide the sum by w alone. There are h w pixels."),
    wrong("divided_by_the_height", '"mean")', '"sum") / x.shape[-2]',
          "You divide the sum by h alone. There are h w pixels."),
    wrong("first_pixel", 'reduce(x, "b c h w -> b c", "mean")', "x[:, :, 0, 0]",
          "You take one pixel, at h = 0, w = 0. Average over all of them."),
)

AXES = (
    wrong("over_the_batch_too", "-> b c", "-> c",
          "You average over b as well: all images share one vector. Average over h and w only."),
    wrong("same_for_all_images", '"mean")', '"mean").mean(0, keepdim=True).expand(len(x), -1)',
          "You average over b as well, so that every image gets the same vector. Average over h"
          " and w only."),
    wrong("channels_averaged", "-> b c", "-> b h w",
          "You average over c, and keep the pixels: b h w. Average over h and w, and keep c."),
    wrong("rows_alone", "-> b c", "-> b c w",
          "You average over h and keep w. The whole map becomes one number: average over both."),
    wrong("columns_alone", "-> b c", "-> b c h",
          "You average over w and keep h. The whole map becomes one number: average over both."),
    wrong("axes_of_one_kept", "-> b c", "-> b c 1 1",
          "You keep the two axes as axes of length 1: b c 1 1. The result is b c."),
    wrong("one_number_an_image", "-> b c", "-> b",
          "You average over c as well: one number an image. Every channel keeps its own mean: b"
          " c."),
)
# fmt: on


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
    trials=trials,
    slips=(*MEANS, *AXES),
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
