"""The record of `shapes.channel_means`."""

import torch
from einops import reduce

from attncourse.exercises.record import Exercise, Trial
from solutions import shapes


def one_colour_for_all(pictures):
    """All your pictures share one colour: b is averaged too. Keep b on the right: `b c`."""
    return reduce(pictures, "b h w c -> c", "mean")


def one_number_a_picture(pictures):
    """You get one number a picture: c is averaged too. Keep c on the right: `b c`."""
    return reduce(pictures, "b h w c -> b", "mean")


def as_if_channels_first(pictures):
    """You average over w and c, as if the axes were `b c h w`. Here the channels come last:
    average over h and w."""
    return pictures.mean((2, 3))


def mean_of_the_channels(pictures):
    """You average over c and keep the pixels, `b h w`. It is the other way round: average
    over h and w, keep c."""
    return reduce(pictures, "b h w c -> b h w", "mean")


def only_down(pictures):
    """You average over h only. w has to go as well: `b c`."""
    return reduce(pictures, "b h w c -> b w c", "mean")


def channel_sums(pictures):
    """You add up the pixels, which is `(h w)` times too much. Asked is the mean."""
    return reduce(pictures, "b h w c -> b c", "sum")


def channel_peaks(pictures):
    """You keep the largest number of each channel, "max". Asked is the mean."""
    return reduce(pictures, "b h w c -> b c", "max")


def colours_lying(pictures):
    """Your result is `c b`. One row a picture: `b c`."""
    return reduce(pictures, "b h w c -> c b", "mean")


def axes_of_length_one(pictures):
    """The averaged axes are still there, with length 1: `b 1 1 c`. Leave them out: `b c`."""
    return reduce(pictures, "b h w c -> b 1 1 c", "mean")


def means_by_torch(pictures):
    return pictures.mean((1, 2))


def means_by_loops(pictures):
    return torch.stack(
        [picture.flatten(0, 1).sum(0) / picture[..., 0].numel() for picture in pictures]
    )


def means_trials():
    return tuple(
        Trial(name, sizes, {"pictures": "b h w c"})
        for name, sizes in (
            ("on 2 pictures", {"b": 2, "h": 5, "w": 7, "c": 3}),
            ("on 3 pictures", {"b": 3, "h": 4, "w": 2, "c": 5}),
        )
    )


EXERCISE = Exercise(
    id="shapes.channel_means",
    solution=shapes.channel_means,
    probes={"channel_means": "b c"},
    trials=means_trials,
    slips=(
        one_colour_for_all,
        one_number_a_picture,
        as_if_channels_first,
        mean_of_the_channels,
        only_down,
        channel_sums,
        channel_peaks,
        colours_lying,
        axes_of_length_one,
    ),
    hints=(
        "A colour is c numbers, and each picture has its own. Which axes are averaged away?",
        "h and w go, b and c stay: leave h and w out on the right.",
        'reduce(pictures, "b h w c -> …", "mean").',
    ),
    minutes=1,
    difficulty=1,
    otherwise=(means_by_torch, means_by_loops),
    laws=("examples_do_not_mix",),
)
