"""A map cut into windows that lie side by side."""

import torch

from attncourse.exercises.edits import often, wrong
from attncourse.exercises.record import Exercise, Trial
from solutions.united.windows import split_windows


def window_trials():
    def trial(name, h, w, window, **sizes):
        sizes |= dict(h=h, w=w, i=window**2, win=(h // window) * (w // window))
        return Trial(name, sizes, dict(x="b h w dim", window=window))

    return (
        trial("for window = 3", 6, 15, 3, b=2, dim=7),
        trial("for window = 2", 6, 10, 2, b=3, dim=7),
        trial("for a map of one row of windows", 3, 12, 3, b=2, dim=5),
    )


def maps_not_filled():
    sizes = dict(b=2, dim=5)
    return (
        Trial("6 rows in windows of 4", sizes, dict(x="b 6 8 dim", window=4), says=(6, 8, 4)),
        Trial(
            "9 columns in windows of 4", sizes, dict(x="b 8 9 dim", window=4), says=(8, 9, 4)
        ),
    )


# fmt: off
CUTS = (
    *often(
        wrong("windows_in_columns", "b (high wide)", "b (wide high)",
              "Your windows are in order of columns. They are in order of rows: (high wide)."),
        wrong("tokens_in_columns", "(high wide) (y x) dim", "(high wide) (x y) dim",
              "The tokens of a window are in order of columns. They are in order of rows: (y x)."),
    ),
    wrong("tokens_spread", "b (high y) (wide x) dim ->", "b (y high) (x wide) dim ->",
          "Your windows are made of tokens that are spread over the map. A window is of neighbours:"
          " the outer letter comes first, (high y)."),
    wrong("strips", "b (high y) (wide x) dim -> b (high wide) (y x) dim", "b (high y) (x wide) dim -> b (high wide) (y x) dim",
          "Your windows are spread across: (x wide) takes every so manieth column. The outer letter"
          " comes first: (wide x)."),
    wrong("raw_reshape",
          "rearrange(x, letters, y=window, x=window)",
          "x.reshape(len(x), -1, window * window, x.shape[-1])",
          "You reshape without moving an axis: a window then holds tokens of one row. Use"
          " `rearrange`."),
)
# fmt: on


def refuse_unfilled(x, window):
    h, w = x.shape[1:3]
    if h % window or w % window:
        raise ValueError(f"{window=} does not divide {h} x {w}")


def windows_by_permute(x, window):
    refuse_unfilled(x, window)
    b, h, w, dim = x.shape
    x = x.reshape(b, h // window, window, w // window, window, dim).permute(0, 1, 3, 2, 4, 5)
    return x.reshape(b, -1, window * window, dim)


def windows_by_loops(x, window):
    refuse_unfilled(x, window)
    cut = [
        x[:, y : y + window, z : z + window].flatten(1, 2)
        for y in range(0, x.shape[1], window)
        for z in range(0, x.shape[2], window)
    ]
    return torch.stack(cut, dim=1)


EXERCISE = Exercise(
    id="united.split_windows",
    solution=split_windows,
    probes={"split_windows": "b win i dim"},
    trials=window_trials,
    slips=CUTS,
    hints=(
        "Where have you cut a map into pieces that do not overlap before?",
        "In `patch_embedding`. Here the tokens of a piece stay apart: they become an axis of their"
        " own, i = (y x), and the pieces another, win = (high wide).",
        "ValueError where the window does not divide h and w\n"
        '"b (high y) (wide x) dim -> b ( … ) ( … ) dim", y and x the window',
    ),
    minutes=4,
    difficulty=1,
    otherwise=(windows_by_permute, windows_by_loops),
    refuses=maps_not_filled,
    laws=("examples_do_not_mix",),
    tied=("h w i win",),
)
