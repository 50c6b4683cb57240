"""The record of `positional.sinusoidal_2d`."""

import torch
from einops import rearrange, repeat

from attncourse.exercises.positional.shared import numbers
from attncourse.exercises.record import Exercise, Given, Trial, slip, variant
from solutions.positional import (
    sinusoidal,
    sinusoidal_2d,
)


def image_trials():
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
    return (Trial("dim = 5, which has no halves", dict(h=2, w=3), inputs),)


def in_halves_or_not(dim):
    if dim % 2:
        raise ValueError(f"{dim=} has no halves")


def grid(down, across):
    """Vectors of rows and of columns, each spread over the whole grid."""
    h, w = len(down), len(across)
    return repeat(down, "h d -> h w d", w=w), repeat(across, "w d -> h w d", h=h)


def two_halves(rows, columns, dim):
    return grid(sinusoidal(rows, dim // 2), sinusoidal(columns, dim // 2))


@slip
def halves_added(rows, columns, dim):
    """You add the vectors of row and column: many pixels become alike. Each gets one half of
    the features."""
    down, across = grid(sinusoidal(rows, dim), sinusoidal(columns, dim))
    return down + across


@slip
def twice_as_wide(rows, columns, dim):
    """Row and column both get all `dim` features, so yours are twice as wide. Each gets
    half."""
    return torch.cat(grid(sinusoidal(rows, dim), sinusoidal(columns, dim)), -1)


@slip
def rows_cut_from_the_whole(rows, columns, dim):
    """You make vectors of all `dim` features and cut them in the middle: the slow half is lost.
    Make them dim / 2 wide."""
    down, across = grid(sinusoidal(rows, dim), sinusoidal(columns, dim))
    return torch.cat([down[..., : dim // 2], across[..., : dim // 2]], -1)


@slip
def in_reading_order(rows, columns, dim):
    """You number the pixels in reading order and take that as position: pixels above each other
    are then far apart. Row and column get half of the features each."""
    order = columns + len(columns) * rows[:, None]
    return rearrange(sinusoidal(order.flatten(), dim), "(h w) d -> h w d", h=len(rows))


@slip
def columns_down(rows, columns, dim):
    """Your first axis is the column: w h dim. Rows go down: h w dim."""
    return rearrange(sinusoidal_2d(rows, columns, dim), "h w d -> w h d")


@slip
def features_interleaved(rows, columns, dim):
    """You deal the features out in turn. The first half is for rows, the second for columns."""
    return rearrange(list(two_halves(rows, columns, dim)), "two h w half -> h w (half two)")


@slip
def rows_alone(rows, columns, dim):
    """The columns play no part: both halves say the row."""
    down, _ = two_halves(rows, columns, dim)
    return torch.cat([down, down], -1)


@slip
def columns_alone(rows, columns, dim):
    """The rows play no part: both halves say the column."""
    _, across = two_halves(rows, columns, dim)
    return torch.cat([across, across], -1)


@slip
def counted_from_the_corner(rows, columns, dim):
    """You count 0, 1, 2, … yourself: the positions that come in are not used."""
    across, down = torch.arange(len(columns)).to(columns), torch.arange(len(rows)).to(rows)
    return sinusoidal_2d(down, across, dim)


@slip
def scaled_to_the_picture(rows, columns, dim):
    """You divide the positions by height and width. They are used as they are."""
    return sinusoidal_2d(rows / len(rows), columns / len(columns), dim)


@slip
def halves_multiplied(rows, columns, dim):
    """You multiply the vectors of row and column. They stand side by side, half the features
    each."""
    down, across = grid(sinusoidal(rows, dim), sinusoidal(columns, dim))
    return down * across


@variant
def columns_first(rows, columns, dim):
    """The column is in the first half, as in the code of the masked autoencoder ("here w goes
    first"). Here the row comes first, as in DETR."""
    down, across = two_halves(rows, columns, dim)
    return torch.cat([across, down], -1)


@variant
def sines_before_cosines(rows, columns, dim):
    """In each half you have all sines, then all cosines, as in the code of the masked
    autoencoder; for a network that is alike. In this chapter sine and cosine alternate."""

    def table(at):
        return torch.cat(
            [sinusoidal(at, dim // 2)[:, ::2], sinusoidal(at, dim // 2)[:, 1::2]], 1
        )

    return torch.cat(grid(table(rows), table(columns)), -1)


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
    trials=image_trials,
    slips=(
        halves_added,
        twice_as_wide,
        rows_cut_from_the_whole,
        in_reading_order,
        columns_down,
        features_interleaved,
        rows_alone,
        columns_alone,
        counted_from_the_corner,
        halves_multiplied,
        scaled_to_the_picture,
        columns_first,
        sines_before_cosines,
    ),
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
    skip=frozenset({"gradients", "large", "kind"}),
)
