"""CoordConv: a convolution that sees where it is, by coordinates as further channels."""

import math

import torch
from torch.nn import functional as F

from attncourse.exercises.edits import often, published, same, wrong
from attncourse.exercises.record import Exercise, Trial
from solutions.positional import CoordConv2d


def trials():
    def trial(name, radius=False, window=3, **sizes):
        init = dict(channels=sizes["c"], out_channels=sizes["e"], window=window, radius=radius)
        return Trial(name, sizes, dict(x="b c h w"), init)

    return (
        trial("on 5 x 7 pixels", b=4, c=6, h=5, w=7, e=11, xyr=2),
        trial("with the distance", True, b=2, c=4, h=5, w=9, e=6, xyr=3),
        trial("on one row", True, b=2, c=4, h=1, w=5, e=6, xyr=3),
        trial("on one pixel, with a window of 1", False, 1, b=3, c=4, h=1, w=1, e=5, xyr=2),
    )


# fmt: off
RULER = (
    "torch.linspace(-1, 1, n, dtype=x.dtype, device=x.device)\n"
    "if n > 1\n"
    "else x.new_zeros(1)"
)

RULERS = (
    wrong("from_0_to_1", "torch.linspace(-1, 1, n,", "torch.linspace(0, 1, n,",
          "Your coordinates run from 0 to 1. They run from -1 to 1: times 2, minus 1."),
    wrong("one_step_short", RULER, "2 * torch.arange(n).to(x) / n - 1",
          "You divide by n: the last pixel does not reach 1. Divide by n - 1."),
    wrong("one_pixel_is_nan", RULER, "2 * torch.arange(n).to(x) / (n - 1) - 1",
          "On an axis of one pixel you divide by 0: nan. Its coordinate is 0."),
    wrong("one_pixel_at_the_edge", RULER,
          "torch.linspace(-1, 1, n, dtype=x.dtype, device=x.device)",
          "On an axis of one pixel your coordinate is -1, which is what torch.linspace(-1, 1,"
          " 1) gives. One pixel is in the middle: 0."),
    wrong("pixel_centres", RULER, "(2 * torch.arange(n).to(x) + 1) / n - 1",
          "Your coordinates belong to the centres of pixels in an image from -1 to 1"
          " (align_corners=False). Here the first and the last pixel are at -1 and 1."),
    wrong("by_the_other_side", RULER, "2 * torch.arange(n).to(x) / max(other - 1, 1) - 1",
          "You scale the columns by the height and the rows by the width: on an image that is not"
          " square they leave [-1, 1]. Each axis has its own length.",
          ("for n in (w, h)", "for n, other in ((w, h), (h, w))")),
    wrong("from_the_far_end", "torch.linspace(-1, 1, n,", "torch.linspace(1, -1, n,",
          "Your coordinates run from 1 to -1. They grow to the right and downwards."),
)

MAPS = (
    wrong("columns_twice", 'repeat(down, "h -> b h w", w=w, b=b)',
          'repeat(across, "w -> b h w", h=h, b=b)',
          "Both channels hold the columns. The second holds the rows."),
    wrong("rows_twice", 'repeat(across, "w -> b h w", h=h, b=b)',
          'repeat(down, "h -> b h w", w=w, b=b)',
          "Both channels hold the rows. The first holds the columns."),
    wrong("rows_negative", "repeat(down,", "repeat(-down,",
          "Your rows grow upwards. They grow downwards, as in the tensor."),
    published("RowsFirst", 'repeat(across, "w -> b h w", h=h, b=b)',
              'repeat(down, "h -> b h w", w=w, b=b)',
              "The rows come first, as the paper lists them (i, then j) and as the most used port"
              " to PyTorch does. Here, as in the authors' code, the columns do.",
              ('repeat(down, "h -> b h w", w=w, b=b)', 'repeat(across, "w -> b h w", h=h, b=b)')),
)

DISTANCES = (
    same("torch.hypot(*maps)", "torch.hypot(across, down[:, None]).expand(b, h, w)"),
    wrong("squared", "torch.hypot(*maps)", "maps[0] ** 2 + maps[1] ** 2",
          "The root is missing: your distance is squared."),
    wrong("along_the_axes", "torch.hypot(*maps)", "maps[0].abs() + maps[1].abs()",
          "You add the distances along both axes. The distance is the root of the sum of"
          " squares."),
    wrong("half_subtracted", "torch.hypot(*maps)", "torch.hypot(maps[0] - 0.5, maps[1] - 0.5)",
          "You subtract 0.5 before you measure the distance, as if coordinates ran from 0 to 1. The"
          " middle is at 0 already."),
    wrong("scaled_to_1", "torch.hypot(*maps)", "torch.hypot(*maps) / math.sqrt(2)",
          "You scale the distance so that the corners are at 1. They are at sqrt(2): the root of"
          " the sum of squares, no more."),
    wrong("scaled_to_the_largest", "torch.hypot(*maps)",
          "torch.hypot(*maps) / torch.hypot(*maps).max()",
          "You divide the distance by the largest, so that it ends at 1. It is the root of the sum"
          " of squares, no more: sqrt(2) in the corners."),
    wrong("from_the_corner", "torch.hypot(*maps)", "torch.hypot(maps[0] + 1, maps[1] + 1)",
          "You measure from the corner at the top left. The distance is that from the middle."),
)

INPUTS = (
    wrong("in_front", "[x, self.coordinates(x)]", "[self.coordinates(x), x]",
          "The coordinates come before the channels. They come behind: the first weights belong"
          " to x."),
    wrong("coordinates_left_out", "self.coordinates(x)]", "0 * self.coordinates(x)]",
          "The convolution does not see the coordinates: zeros take their place."),
    wrong("picture_left_out", "[x, self", "[0 * x, self",
          "The convolution does not see the picture, only coordinates."),
)
# fmt: on


class CoordByMeshgrid(CoordConv2d):
    def coordinates(self, x):
        h, w = x.shape[-2:]
        like = dict(dtype=x.dtype, device=x.device)
        y = torch.linspace(-1, 1, h, **like) if h > 1 else torch.zeros(1, **like)
        c = torch.linspace(-1, 1, w, **like) if w > 1 else torch.zeros(1, **like)
        rows, columns = torch.meshgrid(y, c, indexing="ij")
        maps = [columns, rows]
        if self.radius:
            maps.append((rows**2 + columns**2).sqrt())
        return torch.stack(maps).unsqueeze(0).repeat(x.shape[0], 1, 1, 1)

    def forward(self, x):
        return self.conv(torch.hstack([x, self.coordinates(x)]))


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
    trials=trials,
    blank=("coordinates", "forward"),
    slips=often(*RULERS, *MAPS, *DISTANCES, *INPUTS),
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
