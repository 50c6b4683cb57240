"""For every pixel the window around it, with zeros beyond the edges."""

import torch
from torch.nn import functional as F

from attncourse.exercises.edits import wrong
from attncourse.exercises.record import Cost, Exercise, Trial
from attncourse.exercises.stand_alone.shared import refuse_even, windows_by_unfold
from solutions.stand_alone import windows


def windows_trials():
    def trial(name, window, axes="b c h w", **sizes):
        sizes |= dict(dy=window, dx=window)
        return Trial(name, sizes, dict(x=axes, window=window))

    return (
        trial("for window = 5", 5, b=2, c=4, h=6, w=7),
        trial(
            "for window = 3 with an axis of heads",
            3,
            "b head d h w",
            b=2,
            head=4,
            d=11,
            h=5,
            w=7,
        ),
        trial("for a window larger than the picture", 7, b=3, c=5, h=1, w=4),
        trial("for window = 1", 1, b=2, c=3, h=4, w=5),
    )


def even_windows():
    return (
        Trial(
            "an even window, which has no middle",
            dict(b=2, h=5, w=6),
            dict(x="b h w", window=4),
            says=(4,),
        ),
    )


def continued(x, reach, taken):
    """A picture that goes on in some way beyond its edges: `taken(i, n)` are the pixels, of n,
    that stand at i."""
    h, w = (taken(torch.arange(-reach, n + reach), n) for n in x.shape[-2:])
    return x[..., h, :][..., w]


def shifted_at_the_edges(x, window):
    """At the edges you move the window back into the picture. That is neighbourhood attention;
    here the pixel stays in the middle and zeros fill up."""
    if min(x.shape[-2:]) < window:
        return windows(x, window)
    h, w = (
        (torch.arange(n) - window // 2).clamp(0, n - window)[:, None] + torch.arange(window)
        for n in x.shape[-2:]
    )
    return x[..., h, :][..., w].movedim(-3, -2)


# fmt: off
PADDED = "F.pad(x, (reach, reach, reach, reach))"
UNFOLDED = "unfold(-2, window, 1).unfold(-2, window, 1)"

PLACES = (
    wrong("not_padded", PADDED, "x",
          "The picture is not padded: there are fewer windows than pixels. Put window // 2 zeros"
          " around it first."),
    wrong("padded_across_only", "(reach, reach, reach, reach)", "(reach, reach)",
          "You pad left and right alone. Above and below want zeros too: F.pad takes the last axis"
          " first, (left, right, top, bottom)."),
    wrong("padded_too_much", "(reach, reach, reach, reach)", "(window, window, window, window)",
          "You pad by `window` on each side: there are more windows than pixels. Half a window,"
          " window // 2, is enough."),
    wrong("begins_at_the_pixel", "(reach, reach, reach, reach)", "(0, window - 1, 0, window - 1)",
          "Your windows begin at the pixel. It stands in their middle: as many zeros on the left"
          " and top as on the right and bottom."),
    wrong("ends_at_the_pixel", "(reach, reach, reach, reach)", "(window - 1, 0, window - 1, 0)",
          "Your windows end at the pixel. It stands in their middle: as many zeros on the left and"
          " top as on the right and bottom."),
    wrong("one_too_late", "(reach, reach, reach, reach)",
          "(reach - 1, reach + 1, reach - 1, reach + 1)",
          "Your windows are one pixel off: the middle of a window, at place window // 2, is the"
          " pixel itself."),
    wrong("one_too_early", "(reach, reach, reach, reach)",
          "(reach + 1, reach - 1, reach + 1, reach - 1)",
          "Your windows are one pixel off, up and to the left: the middle of a window, at place"
          " window // 2, is the pixel itself."),
)

EDGES = (
    wrong("padded_with_ones", "reach, reach)", "reach, reach), value=1.0",
          "Beyond the edges you put ones. There should be zeros."),
    wrong("edges_repeated", PADDED, "continued(x, reach, lambda i, n: i.clamp(0, n - 1))",
          "Beyond the edges you repeat the last pixel. There should be zeros."),
    wrong("edges_reflected", PADDED,
          "continued(x, reach, lambda i, n: n - 1 - (n - 1 - i % max(2 * n - 2, 1)).abs())",
          "Beyond the edges you mirror the picture. There should be zeros."),
    wrong("wrapped_around", PADDED, "continued(x, reach, lambda i, n: i % n)",
          "Your windows wrap around: beyond the right edge comes the left one. There should be"
          " zeros."),
)

CUTS = (
    wrong("places_transposed", UNFOLDED, "unfold(-1, window, 1).unfold(-3, window, 1)",
          "Rows and columns of your windows are exchanged: the first axis of a window, dy, runs"
          " down, the second, dx, across."),
    wrong("windows_turned", UNFOLDED, f"{UNFOLDED}.flip(-1, -2)",
          "Your windows are turned round: place 0, 0 is the pixel above and to the left, at h -"
          " window // 2, not the one below."),
    wrong("counted_from_the_front", UNFOLDED, "unfold(2, window, 1).unfold(3, window, 1)",
          "You count the axes from the front: with an axis of heads, rows are not axis 2. Rows and"
          " columns are the last two: -2 and -1."),
    wrong("spread_out", "window // 2", "window - 1",
          "You take every second pixel: a window is dilated. Its places are neighbours.",
          (UNFOLDED, "unfold(-2, 2 * window - 1, 1).unfold(-2, 2 * window - 1, 1)[..., ::2, ::2]")),
    wrong("blocks_instead", UNFOLDED, "unfold(-2, window, window).unfold(-2, window, window)",
          "You cut the picture into blocks: one window for every `window` pixels. Every pixel has a"
          " window of its own: stride 1."),
    wrong("raw_reshape", UNFOLDED,
          f"{UNFOLDED}.movedim((-2, -1), (-4, -3)).reshape(*x.shape, window, window)",
          "You reshape dy dx h w to h w dy dx without moving an axis: places and pixels get mixed."
          " Use `rearrange`."),
)
# fmt: on


def copied(x, window):
    """The values are right, but every window is copied, window² times the picture: by `F.unfold`,
    by `stack`, or by `contiguous` or a reshape at the end. The method `x.unfold`, along rows and
    then along columns, gives a view, in which nothing is copied."""
    return windows_by_unfold(x, window)


def windows_columns_first(x, window):
    refuse_even(window)
    padded = F.pad(x, 4 * (window // 2,))
    return padded.unfold(-1, window, 1).unfold(-3, window, 1).movedim(-1, -2)


def windows_by_strides(x, window):
    refuse_even(window)
    padded = F.pad(x, 4 * (window // 2,)).contiguous()
    down, across = padded.stride()[-2:]
    return padded.as_strided((*x.shape, window, window), (*padded.stride(), down, across))


EXERCISE = Exercise(
    id="stand_alone.windows",
    solution=windows,
    probes={"windows": "b c h w dy dx"},
    trials=windows_trials,
    slips=(
        *PLACES,
        *EDGES,
        *CUTS,
        shifted_at_the_edges,
        copied,
    ),
    hints=(
        "A window of 5 around the pixel at row 0: which rows does it cover?",
        (
            "Rows -2 to 2, of which two are not there. So first put window // 2 zeros on"
            " every side (`F.pad` takes left, right, top, bottom). `x.unfold(axis, window,"
            " 1)` then cuts windows along one axis and puts their places last."
        ),
        (
            "padded = F.pad(x, four times window // 2)\n"
            "unfold along the rows, then along the columns: ... h w dy dx\n"
            "The axis to unfold is the last but one, both times"
        ),
    ),
    minutes=8,
    difficulty=2,
    otherwise=(windows_by_strides, windows_columns_first),
    cost=Cost(largest_tensor=1.5),
    refuses=even_windows,
    laws=("examples_do_not_mix",),
    tied=("dy dx",),
)
