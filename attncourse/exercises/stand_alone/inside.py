"""The record of `stand_alone.inside`."""

import torch
from einops import rearrange

from attncourse.exercises.record import Exercise, Trial
from attncourse.exercises.stand_alone.shared import (
    at,
    between,
    columns_alone_count,
    inside_by_unfold,
    rows_alone_count,
)
from solutions.stand_alone import (
    inside,
)


def inside_trials():
    return tuple(
        Trial(name, dict(h=h, w=w, dy=k, dx=k), dict(height=h, width=w, window=k))
        for name, h, w, k in (
            ("for 6 x 8 pixels, window = 5", 6, 8, 5),
            ("for 4 x 2 pixels, window = 3", 4, 2, 3),
            ("for 2 x 1 pixels, window = 7", 2, 1, 7),
            ("for window = 1", 3, 4, 1),
        )
    )


def everywhere(height, width, window):
    """All places are inside, also those beyond the edges. There the picture of ones has to be
    padded with zeros."""
    return torch.ones(height, width, window, window, dtype=torch.bool)


def outside(height, width, window):
    """Yours is True outside the picture. A mask is True where a query may attend: inside."""
    return ~inside(height, width, window)


def either_is_enough(height, width, window):
    """A place is inside if its row *and* its column are. You take `or`."""
    y, x = at(height, width, window)
    return ((y >= 0) & (y < height)) | ((x >= 0) & (x < width))


def first_pixels_left_out(height, width, window):
    """Your first row and column are outside: pixels count from 0, so 0 is inside."""
    return between(*at(height, width, window), 1, height, 1, width)


def one_beyond(height, width, window):
    """The pixel after the last one is inside in yours: the last row is height - 1, the last
    column width - 1."""
    return between(*at(height, width, window), 0, height + 1, 0, width + 1)


def last_pixels_left_out(height, width, window):
    """Your last row and column are outside: height - 1 and width - 1 are inside."""
    return between(*at(height, width, window), 0, height - 1, 0, width - 1)


def far_edges_forgotten(height, width, window):
    """You look at the top and left edge alone. A place may lie below or to the right of the
    picture as well."""
    y, x = at(height, width, window)
    return (y >= 0) & (x >= 0)


def near_edges_forgotten(height, width, window):
    """You look at the bottom and right edge alone. A place may lie above or to the left of the
    picture as well."""
    y, x = at(height, width, window)
    return (y < height) & (x < width)


def height_and_width_exchanged(height, width, window):
    """You compare rows with the width and columns with the height. It is the other way
    round."""
    return between(*at(height, width, window), 0, width, 0, height)


def counted_from_the_pixel(height, width, window):
    """Your windows begin at the pixel. It stands in their middle: place dy is row
    h + dy - window // 2."""
    y, x = at(height, width, window)
    return between(y + window // 2, x + window // 2, 0, height, 0, width)


def whole_windows_only(height, width, window):
    """You leave out every window that meets an edge. It is the places beyond the edge that are
    left out, one by one."""
    whole = inside(height, width, window).all(-1, keepdim=True).all(-2, keepdim=True)
    return whole.expand(height, width, window, window)


def rows_and_columns_exchanged(height, width, window):
    """Rows and columns of your windows are exchanged: the first axis of a window, dy, runs
    down, the second, dx, across."""
    return inside(height, width, window).mT


def middle_left_out(height, width, window):
    """You leave out the pixel itself, in the middle of its window. It is inside like the
    others."""
    own = torch.zeros(window, window, dtype=torch.bool)
    own[window // 2, window // 2] = True
    return inside(height, width, window) & ~own


def diamond(height, width, window):
    """Your windows are diamonds: you add the steps down and across. A window is a square, and
    each of the two may be as far as window // 2."""
    step = (torch.arange(window) - window // 2).abs()
    return inside(height, width, window) & (step[:, None] + step <= window // 2)


def places_first(height, width, window):
    """The places come before the pixels: dy dx h w. They come last: h w dy dx."""
    return rearrange(inside(height, width, window), "h w dy dx -> dy dx h w")


def ones_and_zeros(height, width, window):
    """You return numbers. A mask is boolean: `dtype=torch.bool`, or compare with 0."""
    return inside(height, width, window).float()


def inside_by_comparison(height, width, window):
    y, x = at(height, width, window)
    return (y >= 0) & (y < height) & (x >= 0) & (x < width)


def inside_by_loops(height, width, window):
    r = window // 2
    return torch.tensor(
        [
            [
                [
                    [0 <= i + y - r < height and 0 <= j + x - r < width for x in range(window)]
                    for y in range(window)
                ]
                for j in range(width)
            ]
            for i in range(height)
        ]
    )


EXERCISE = Exercise(
    id="stand_alone.inside",
    solution=inside,
    probes={"inside": "h w dy dx"},
    trials=inside_trials,
    slips=(
        everywhere,
        outside,
        rows_alone_count,
        columns_alone_count,
        either_is_enough,
        first_pixels_left_out,
        one_beyond,
        last_pixels_left_out,
        far_edges_forgotten,
        near_edges_forgotten,
        height_and_width_exchanged,
        counted_from_the_pixel,
        whole_windows_only,
        rows_and_columns_exchanged,
        middle_left_out,
        diamond,
        places_first,
        ones_and_zeros,
    ),
    hints=(
        "What does `windows` put where there is no picture?",
        "Zeros. So what do the windows of a picture of ones hold?",
        "windows of a boolean picture of ones, height x width",
    ),
    minutes=4,
    difficulty=1,
    otherwise=(inside_by_comparison, inside_by_loops, inside_by_unfold),
    skip=frozenset({"gradients", "large"}),
)
