"""The mean colour of each picture."""

import torch

from attncourse.exercises.edits import wrong
from attncourse.exercises.record import Exercise, Trial
from solutions import shapes

# fmt: off
MEANS = (
    wrong("one_colour_for_all", "-> b c", "-> c",
          "All your pictures share one colour: b is averaged too. Keep b on the right: `b c`."),
    wrong("mean_of_the_channels", "-> b c", "-> b h w",
          "You average over c and keep the pixels, `b h w`. It is the other way round: average over"
          " h and w, keep c."),
    wrong("as_if_channels_first", 'reduce(pictures, "b h w c -> b c", "mean")',
          "pictures.mean((2, 3))",
          "You average over w and c, as if the axes were `b c h w`. Here the channels come last:"
          " average over h and w."),
    wrong("means_reshaped", 'return reduce(pictures, "b h w c -> b c", "mean")',
          "b, h, w, c = pictures.shape\nreturn pictures.reshape(b, c, h * w).mean(-1)",
          "You reshape to b c (h w) without moving c: the numbers of different channels get mixed."
          " `reduce` averages over h and w where they stand."),
    wrong("channel_sums", '"mean"', '"sum"',
          "You add up the pixels, which is `(h w)` times too much. The mean is asked for."),
)
# fmt: on


def means_by_torch(pictures):
    return pictures.mean((1, 2))


def means_by_loops(pictures):
    return torch.stack(
        [picture.flatten(0, 1).sum(0) / picture[..., 0].numel() for picture in pictures]
    )


def trials():
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
    trials=trials,
    slips=MEANS,
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
