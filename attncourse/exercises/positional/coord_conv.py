"""The record of `positional.coord_conv`."""

import math

import torch
from einops import repeat
from torch.nn import functional as F

from attncourse.exercises.families import family, named
from attncourse.exercises.positional.shared import numbers
from attncourse.exercises.record import Exercise, Trial
from solutions.positional import (
    CoordConv2d,
)


def coord_trials():
    def trial(name, radius=False, window=3, **sizes):
        init = dict(channels=sizes["c"], out_channels=sizes["e"], window=window, radius=radius)
        return Trial(name, sizes, dict(x="b c h w"), init)

    return (
        trial("on 3 x 5 pixels", b=4, c=6, h=3, w=5, e=7, xyr=2),
        trial("with the distance", True, b=2, c=4, h=5, w=9, e=6, xyr=3),
        trial("on one row", True, b=2, c=4, h=1, w=5, e=6, xyr=3),
        trial("on one pixel, with a window of 1", False, 1, b=3, c=4, h=1, w=1, e=5, xyr=2),
    )


def from_minus_1_to_1(n, other):
    return torch.linspace(-1, 1, n, dtype=torch.float64) if n > 1 else numbers(0)


def columns_then_rows(across, down):
    return [across, down]


def from_scaled(across, down):
    return torch.hypot(across, down)


def behind(x, coordinates):
    return torch.cat([x, coordinates], 1)


def convolved(self, x):
    return self.conv(x)


def coord_recipe(
    ruling=from_minus_1_to_1,
    ordering=columns_then_rows,
    measuring=from_scaled,
    joining=behind,
    ending=convolved,
):
    """`CoordConv2d` with some of its steps replaced."""

    class Answer(CoordConv2d):
        def coordinates(self, x):
            b, _, h, w = x.shape
            across = repeat(ruling(w, h).to(x), "w -> b h w", b=b, h=h)
            down = repeat(ruling(h, w).to(x), "h -> b h w", b=b, w=w)
            maps = ordering(across, down)
            maps = [*maps, measuring(across, down)] if self.radius else maps
            return torch.stack(maps, 1)

        def forward(self, x):
            return ending(self, joining(x, self.coordinates(x)))

    return Answer


def from_0_to_1(n, other):
    """Your coordinates run from 0 to 1. They run from -1 to 1: times 2, minus 1."""
    return (from_minus_1_to_1(n, other) + 1) / 2


def in_pixels(n, other):
    """Your coordinates count pixels. They are scaled to run from -1 to 1."""
    return torch.arange(n, dtype=torch.float64)


def one_step_short(n, other):
    """You divide by n: the last pixel does not reach 1. Divide by n - 1."""
    return 2 * torch.arange(n, dtype=torch.float64) / n - 1


def pixel_centres(n, other):
    """Your coordinates belong to the centres of pixels in an image from -1 to 1
    (align_corners=False). Here the first and the last pixel are at -1 and 1."""
    return (2 * torch.arange(n, dtype=torch.float64) + 1) / n - 1


def by_the_other_side(n, other):
    """You scale the columns by the height and the rows by the width: on an image that is not
    square they leave [-1, 1]. Each axis has its own length."""
    return 2 * torch.arange(n, dtype=torch.float64) / max(other - 1, 1) - 1


def from_the_far_end(n, other):
    """Your coordinates run from 1 to -1. They grow to the right and downwards."""
    return from_minus_1_to_1(n, other).flip(0)


def one_pixel_is_nan(n, other):
    """On an axis of one pixel you divide by 0: nan. Its coordinate is 0."""
    return 2 * torch.arange(n, dtype=torch.float64) / (n - 1) - 1


def one_pixel_at_the_edge(n, other):
    """On an axis of one pixel your coordinate is -1, which is what torch.linspace(-1, 1, 1)
    gives. One pixel is in the middle: 0."""
    return torch.linspace(-1, 1, n, dtype=torch.float64)


def middle_is_not_0(n, other):
    """You centre without scaling: your coordinates are pixels from the middle. The edges are at
    -1 and 1."""
    return torch.arange(n, dtype=torch.float64) - (n - 1) / 2


def rows_then_columns(across, down):
    return [down, across]


def columns_twice(across, down):
    """Both channels hold the columns. The second holds the rows."""
    return [across, across]


def rows_twice(across, down):
    """Both channels hold the rows. The first holds the columns."""
    return [down, down]


def rows_negative(across, down):
    """Your rows grow upwards. They grow downwards, as in the tensor."""
    return [across, -down]


def half_subtracted(across, down):
    """You subtract 0.5 before you measure the distance, as if coordinates ran from 0 to 1. The
    middle is at 0 already."""
    return torch.hypot(across - 0.5, down - 0.5)


def squared(across, down):
    """The root is missing: your distance is squared."""
    return across**2 + down**2


def along_the_axes(across, down):
    """You add the distances along both axes. The distance is the root of the sum of squares."""
    return across.abs() + down.abs()


def scaled_to_1(across, down):
    """You scale the distance so that the corners are at 1. They are at sqrt(2): the root of the
    sum of squares, no more."""
    return torch.hypot(across, down) / math.sqrt(2)


def scaled_to_the_largest(across, down):
    """You divide the distance by the largest, so that it ends at 1. It is the root of the sum
    of squares, no more: sqrt(2) in the corners."""
    distance = torch.hypot(across, down)
    return distance / distance.max().clamp(min=1e-9)


def from_the_corner(across, down):
    """You measure from the corner at the top left. The distance is that from the middle."""
    return torch.hypot(across + 1, down + 1)


def in_front(x, coordinates):
    """The coordinates come before the channels. They come behind: the first weights belong to
    x."""
    return torch.cat([coordinates, x], 1)


def coordinates_left_out(x, coordinates):
    """The convolution does not see the coordinates: zeros take their place."""
    return torch.cat([x, 0 * coordinates], 1)


def picture_left_out(x, coordinates):
    """The convolution does not see the picture, only coordinates."""
    return torch.cat([0 * x, coordinates], 1)


def of_first_example(x, coordinates):
    """All examples get the first picture. Each has its own; only the coordinates are shared."""
    return torch.cat([x[:1].expand(x.shape), coordinates], 1)


def rectified(self, x):
    """You apply a ReLU at the end. CoordConv is a convolution, nothing more."""
    return self.conv(x).relu()


def without_bias(self, x):
    """The bias is left out: call the layer, not only its weight."""
    return F.conv2d(x, self.conv.weight, padding=self.conv.padding)


RowsFirst = named(
    "RowsFirst",
    "The rows come first, as the paper lists them (i, then j) and as the most used port to"
    " PyTorch does. Here, as in the authors' code, the columns do.",
    coord_recipe(ordering=rows_then_columns),
    variant=True,
)


class CoordByMeshgrid(CoordConv2d):
    def coordinates(self, x):
        h, w = x.shape[-2:]
        y = torch.linspace(-1, 1, h).to(x) if h > 1 else torch.zeros(1).to(x)
        c = torch.linspace(-1, 1, w).to(x) if w > 1 else torch.zeros(1).to(x)
        rows, columns = torch.meshgrid(y, c, indexing="ij")
        maps = [columns, rows]
        if self.radius:
            maps.append((rows**2 + columns**2).sqrt())
        return torch.stack(maps).unsqueeze(0).repeat(x.shape[0], 1, 1, 1)


class CoordLoops(CoordConv2d):
    def coordinates(self, x):
        b, _, h, w = x.shape
        maps = x.new_zeros(b, 2 + self.radius, h, w)
        for row in range(h):
            for column in range(w):
                across = 2 * column / (w - 1) - 1 if w > 1 else 0
                down = 2 * row / (h - 1) - 1 if h > 1 else 0
                maps[:, 0, row, column] = across
                maps[:, 1, row, column] = down
                if self.radius:
                    maps[:, 2, row, column] = math.sqrt(across**2 + down**2)
        return maps

    def forward(self, x):
        channels, conv = x.shape[1], self.conv
        picture = F.conv2d(x, conv.weight[:, :channels], conv.bias, padding=conv.padding)
        maps = self.coordinates(x)
        return picture + F.conv2d(maps, conv.weight[:, channels:], padding=conv.padding)


EXERCISE = Exercise(
    id="positional.coord_conv",
    solution=CoordConv2d,
    probes={"coordinates": "b xyr h w", "forward": "b e h w"},
    trials=coord_trials,
    blank=("coordinates", "forward"),
    slips=(
        *family(
            coord_recipe,
            ruling=(
                from_0_to_1,
                in_pixels,
                one_step_short,
                pixel_centres,
                by_the_other_side,
                from_the_far_end,
                one_pixel_is_nan,
                one_pixel_at_the_edge,
                middle_is_not_0,
            ),
            ordering=(columns_twice, rows_twice, rows_negative),
            measuring=(
                half_subtracted,
                squared,
                along_the_axes,
                scaled_to_1,
                scaled_to_the_largest,
                from_the_corner,
            ),
            joining=(in_front, coordinates_left_out, picture_left_out, of_first_example),
            ending=(rectified, without_bias),
        ),
        RowsFirst,
    ),
    hints=(
        (
            "Five pixels in a row, the first at -1 and the last at 1. Where is the second?"
            " And where would a single pixel be?"
        ),
        (
            "`torch.linspace(-1, 1, n)` for n > 1, else 0, with dtype and device of x."
            " Columns w are copied along b and h, rows h along b and w; the distance is"
            " sqrt(columns² + rows²)."
        ),
        (
            "coordinates: across (w), down (h), each repeated to b h w\n"
            "    with self.radius also torch.hypot(across, down)\n"
            '    "xyr b h w -> b xyr h w"\n'
            "forward: self.conv of x and the coordinates, joined along the channels"
        ),
    ),
    minutes=12,
    difficulty=3,
    otherwise=(CoordByMeshgrid, CoordLoops),
    laws=(
        "coordinates_span_the_picture",
        "examples_do_not_mix",
        "one_step_more_or_less",
        "a_constant_factor",
    ),
)
