"""Pictures of a batch side by side."""

import torch

from attncourse.exercises.edits import wrong
from attncourse.exercises.record import Exercise, Trial
from solutions import shapes

# fmt: off
ORDERS = (
    wrong("interleaved_columns", "(b w)", "(w b)",
          "Your pictures are interleaved, a column of each in turn: that is `(w b)`. The outer"
          " letter stands first: `(b w)` is all columns of one picture, then all of the next."),
    wrong("stacked", "-> h (b w) c", "-> (b h) w c",
          "Your pictures stand on top of each other: `(b h) w c`. Side by side, b joins the width:"
          " `h (b w) c`."),
    wrong("interleaved_rows", "-> h (b w) c", "-> (h b) w c",
          "You joined b to the height, `(h b)`, a row of each picture in turn. It belongs to the"
          " width: `h (b w) c`."),
)

OTHER_WAYS = (
    wrong("strip_reshaped", 'rearrange(pictures, "b h w c -> h (b w) c")',
          "pictures.reshape(pictures.shape[1], -1, pictures.shape[3])",
          "`reshape` and `view` keep the numbers in the order `b h w c` and cut them anew, so rows"
          " get mixed. Here b moves past h: name both sides, `b h w c -> h (b w) c`."),
    wrong("first_repeated", "rearrange(pictures,", "rearrange([pictures[0]] * len(pictures),",
          "You show picture b = 0 several times. Each picture of the batch is to appear once."),
)
# fmt: on


def strip_by_cat(pictures):
    return torch.cat(list(pictures), dim=1)


def strip_by_permute(pictures):
    b, h, w, c = pictures.shape
    return pictures.permute(1, 0, 2, 3).reshape(h, b * w, c)


def trials():
    return tuple(
        Trial(name, sizes, {"pictures": "b h w c"})
        for name, sizes in (
            ("on 2 pictures", {"b": 2, "h": 5, "w": 7, "c": 3}),
            ("on 4 pictures", {"b": 4, "h": 3, "w": 2, "c": 5}),
        )
    )


EXERCISE = Exercise(
    id="shapes.strip",
    solution=shapes.strip,
    probes={"strip": "h (b w) c"},
    trials=trials,
    slips=(*ORDERS, *OTHER_WAYS),
    hints=(
        "Which axis of the result grows when one more picture is put beside the others?",
        "b joins w. Going right, all columns of one picture come before those of the "
        "next, so b changes slowest: it is the outer letter and stands first, (b w).",
        'rearrange(pictures, "b h w c -> h ( … ) c"), with two letters in the brackets.',
    ),
    minutes=1,
    difficulty=1,
    otherwise=(strip_by_cat, strip_by_permute),
)
