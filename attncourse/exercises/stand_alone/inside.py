"""Which places of the windows lie in the picture."""

import torch

from attncourse.exercises.edits import Wrong, wrong
from attncourse.exercises.record import Exercise, Trial
from attncourse.exercises.stand_alone.shared import at, inside_by_unfold
from solutions.stand_alone import inside


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


ONES = "windows(torch.ones(height, width, dtype=torch.bool), window)"


def compared(name: str, condition: str, message: str) -> Wrong:
    """A slip of one who compares the row y and the column x of every place."""
    new = f"y, x = at(height, width, window)\nreturn {condition}"
    return wrong(name, f"return {ONES}", new, message)


# fmt: off
COMPARISONS = (
    compared("rows_alone_count", "((y >= 0) & (y < height)).expand(-1, width, -1, window)",
             "You look at the rows alone: a place to the left or right of the picture is outside"
             " too."),
    compared("columns_alone_count", "((x >= 0) & (x < width)).expand(height, -1, window, -1)",
             "You look at the columns alone: a place above or below the picture is outside too."),
    compared("either_is_enough", "((y >= 0) & (y < height)) | ((x >= 0) & (x < width))",
             "A place is inside if its row *and* its column are. You take `or`."),
    compared("first_pixels_left_out", "(y > 0) & (y < height) & (x > 0) & (x < width)",
             "Your first row and column are outside: pixels count from 0, so 0 is inside."),
    compared("one_beyond", "(y >= 0) & (y <= height) & (x >= 0) & (x <= width)",
             "The pixel after the last one is inside in yours: the last row is height - 1, the last"
             " column width - 1."),
    compared("last_pixels_left_out",
             "(y >= 0) & (y < height - 1) & (x >= 0) & (x < width - 1)",
             "Your last row and column are outside: height - 1 and width - 1 are inside."),
    compared("far_edges_forgotten", "(y >= 0) & (x >= 0)",
             "You look at the top and left edge alone. A place may lie below or to the right of the"
             " picture as well."),
    compared("near_edges_forgotten", "(y < height) & (x < width)",
             "You look at the bottom and right edge alone. A place may lie above or to the left of"
             " the picture as well."),
    compared("height_and_width_exchanged",
             "(y >= 0) & (y < width) & (x >= 0) & (x < height)",
             "You compare rows with the width and columns with the height. It is the other way"
             " round."),
    compared("counted_from_the_pixel",
             "(y + window // 2 < height) & (x + window // 2 < width)",
             "Your windows begin at the pixel. It stands in their middle: place dy is row h + dy -"
             " window // 2."),
)

PICTURES = (
    wrong("everywhere", ONES, "torch.ones(height, width, window, window, dtype=torch.bool)",
          "All places are inside, also those beyond the edges. There the picture of ones has to be"
          " padded with zeros."),
    wrong("outside", "windows", "~windows",
          "Yours is True outside the picture. A mask is True where a query may attend: inside."),
    wrong("rows_and_columns_exchanged", ", window)", ", window).mT",
          "Rows and columns of your windows are exchanged: the first axis of a window, dy, runs"
          " down, the second, dx, across."),
    wrong("whole_windows_only", f"return {ONES}",
          f"seen = {ONES}\n"
          "return seen.all(-1, keepdim=True).all(-2, keepdim=True).expand_as(seen)",
          "You leave out every window that meets an edge. It is the places beyond the edge that are"
          " left out, one by one."),
    wrong("middle_left_out", f"return {ONES}",
          f"seen = {ONES}.clone()\nseen[..., window // 2, window // 2] = False\nreturn seen",
          "You leave out the pixel itself, in the middle of its window. It is inside like the"
          " others."),
)
# fmt: on


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
    slips=(*COMPARISONS, *PICTURES),
    hints=(
        "What does `windows` put where there is no picture?",
        "Zeros. So what do the windows of a picture of ones hold?",
        "windows of a boolean picture of ones, height x width",
    ),
    minutes=4,
    difficulty=1,
    otherwise=(inside_by_comparison, inside_by_loops, inside_by_unfold),
    skip=frozenset({"gradients", "large"}),
    tied=("dy dx",),
)
