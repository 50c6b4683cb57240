"""Sinusoidal positions of pixels: the row in one half of the features, the column in the other."""

import torch

from attncourse.exercises.edits import published, wrong
from attncourse.exercises.positional.shared import numbers
from attncourse.exercises.record import Exercise, Given, Trial
from solutions.positional import sinusoidal, sinusoidal_2d


def trials():
    def trial(name, rows, columns, dim):
        inputs = dict(rows=Given("h", rows), columns=Given("w", columns), dim=dim)
        return Trial(name, dict(h=len(rows), w=len(columns), dim=dim), inputs)

    return (
        trial("on 3 x 5 pixels, dim = 8", numbers(*range(3)), numbers(*range(5)), 8),
        trial("with odd halves, dim = 6", numbers(*range(4)), numbers(*range(2)), 6),
        trial("on a piece of a larger image", numbers(7, 8), numbers(3, 4, 5), 4),
    )


def widths_without_halves():
    inputs = dict(rows=Given("h", numbers(0, 1)), columns=Given("w", numbers(0, 1, 2)), dim=5)
    return (Trial("dim = 5, which has no halves", dict(h=2, w=3), inputs, says=(5,)),)


def in_halves_or_not(dim):
    if dim % 2:
        raise ValueError(f"{dim=} has no halves")


# fmt: off
COLUMNS_WHOLE = "sinusoidal(columns, dim // 2)", "sinusoidal(columns, dim)"

HALVES = (
    wrong("halves_added", "sinusoidal(rows, dim // 2)", "sinusoidal(rows, dim)",
          "You add the vectors of row and column: many pixels become alike. Each gets one half of"
          " the features.",
          COLUMNS_WHOLE, ("torch.cat([down, across], dim=-1)", "down + across")),
    wrong("halves_multiplied", "sinusoidal(rows, dim // 2)", "sinusoidal(rows, dim)",
          "You multiply the vectors of row and column. They stand side by side, half the features"
          " each.",
          COLUMNS_WHOLE, ("torch.cat([down, across], dim=-1)", "down * across")),
    wrong("twice_as_wide", "sinusoidal(rows, dim // 2)", "sinusoidal(rows, dim)",
          "Row and column both get all `dim` features, so yours are twice as wide. Each gets half.",
          COLUMNS_WHOLE),
    wrong("rows_cut_from_the_whole", "sinusoidal(rows, dim // 2)", "sinusoidal(rows, dim)",
          "You make vectors of all `dim` features and cut them in the middle: the slow half is"
          " lost. Make them dim / 2 wide.",
          COLUMNS_WHOLE, ("[down, across]", "[down[..., : dim // 2], across[..., : dim // 2]]")),
    wrong("rows_alone", "[down, across]", "[down, down]",
          "The columns play no part: both halves say the row."),
    wrong("columns_alone", "[down, across]", "[across, across]",
          "The rows play no part: both halves say the column."),
    wrong("features_interleaved", "torch.cat([down, across], dim=-1)",
          'rearrange([down, across], "two h w half -> h w (half two)")',
          "You deal the features out in turn. The first half is for rows, the second for columns."),
)

POSITIONS = (
    wrong("counted_from_the_corner", "sinusoidal(rows,",
          "sinusoidal(torch.arange(len(rows)).to(rows),",
          "You count 0, 1, 2, … yourself: the positions that come in are not used.",
          ("sinusoidal(columns,", "sinusoidal(torch.arange(len(columns)).to(columns),")),
    wrong("scaled_to_the_picture", "sinusoidal(rows,", "sinusoidal(rows / len(rows),",
          "You divide the positions by height and width. They are used as they are.",
          ("sinusoidal(columns,", "sinusoidal(columns / len(columns),")),
    wrong("in_reading_order", "return torch.cat([down, across], dim=-1)",
          "order = columns + len(columns) * rows[:, None]\n"
          'return rearrange(sinusoidal(order.flatten(), dim), "(h w) d -> h w d", h=len(rows))',
          "You number the pixels in reading order and take that as position: pixels above each"
          " other are then far apart. Row and column get half of the features each."),
)

PUBLISHED = (
    published("columns_first", "[down, across]", "[across, down]",
              'The column is in the first half, as in the code of the masked autoencoder ("here w'
              ' goes first"). Here the row comes first, as in DETR.'),
    published("sines_before_cosines", "[down, across]",
              "[down[..., ::2], down[..., 1::2], across[..., ::2], across[..., 1::2]]",
              "In each half you have all sines, then all cosines, as in the code of the masked"
              " autoencoder; for a network that is alike. In this chapter sine and cosine"
              " alternate."),
)
# fmt: on


def image_loops(rows, columns, dim):
    in_halves_or_not(dim)
    down, across = sinusoidal(rows, dim // 2), sinusoidal(columns, dim // 2)
    return torch.stack([torch.stack([torch.cat([a, c]) for c in across]) for a in down])


def image_filled(rows, columns, dim):
    in_halves_or_not(dim)
    half = dim // 2
    table = torch.zeros(len(rows), len(columns), dim, dtype=rows.dtype, device=rows.device)
    table[:, :, :half] = sinusoidal(rows, half)[:, None]
    table[:, :, half:] = sinusoidal(columns, half)[None]
    return table


EXERCISE = Exercise(
    id="positional.sinusoidal_2d",
    solution=sinusoidal_2d,
    probes={"sinusoidal_2d": "h w dim"},
    trials=trials,
    slips=(*HALVES, *POSITIONS, *PUBLISHED),
    hints=(
        "What do all pixels of one row have in common, and in which features?",
        (
            "The vector of their row: `sinusoidal(rows, dim // 2)` is h half. Copy it along"
            " w, copy the columns' along h, and put the two side by side."
        ),
        (
            'repeat(…, "h half -> h w half", w=…)\nrepeat(…, "w half -> h w half", h=…)\n'
            "torch.cat of both, along the last axis; before that a ValueError for odd dim"
        ),
    ),
    minutes=6,
    difficulty=2,
    otherwise=(image_loops, image_filled),
    refuses=widths_without_halves,
    skip=frozenset({"gradients", "large"}),
)
