"""The record of `stand_alone.windows`."""

import torch
from einops import rearrange
from torch.nn import functional as F

from attncourse.exercises.record import Exercise, Trial
from attncourse.exercises.stand_alone.shared import (
    in_ways,
    padded_windows,
    refuse_even,
    windows_by_unfold,
)
from solutions.stand_alone import (
    windows,
)


def windows_trials():
    def trial(name, window, axes="b c h w", **sizes):
        sizes |= dict(dy=window, dx=window)
        return Trial(name, sizes, dict(x=axes, window=window))

    return (
        trial("for window = 5", 5, b=2, c=3, h=6, w=7),
        trial(
            "for window = 3 with an axis of heads",
            3,
            "b head d h w",
            b=2,
            head=4,
            d=6,
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
        ),
    )


def places_transposed(x, window):
    """Rows and columns of your windows are exchanged: the first axis of a window, dy, runs
    down, the second, dx, across."""
    return windows(x, window).mT


def windows_turned(x, window):
    """Your windows are turned round: place 0, 0 is the pixel above and to the left, at
    h - window // 2, not the one below."""
    return windows(x, window).flip(-1, -2)


def not_padded(x, window):
    """The picture is not padded: there are fewer windows than pixels. Put window // 2 zeros
    around it first."""
    return padded_windows(x, min(window, *x.shape[-2:]), 0, 0)


def not_padded_at_all(x, window):
    return padded_windows(x, window, 0, 0)


def across_alone(x, window):
    return padded_windows(F.pad(x, (window // 2, window // 2)), window, 0, 0)


def begins_at_the_pixel(x, window):
    """Your windows begin at the pixel. It stands in their middle: as many zeros on the left and
    top as on the right and bottom."""
    return padded_windows(x, window, 0, window - 1)


def ends_at_the_pixel(x, window):
    """Your windows end at the pixel. It stands in their middle: as many zeros on the left and
    top as on the right and bottom."""
    return padded_windows(x, window, window - 1, 0)


def one_too_late(x, window):
    """Your windows are one pixel off: the middle of a window, at place window // 2, is the
    pixel itself."""
    return padded_windows(x, window, window // 2 - 1, window // 2 + 1)


def one_too_early(x, window):
    """Your windows are one pixel off, up and to the left: the middle of a window, at place
    window // 2, is the pixel itself."""
    return padded_windows(x, window, window // 2 + 1, window // 2 - 1)


def padded_too_much(x, window):
    """You pad by `window` on each side: there are more windows than pixels. Half a window,
    window // 2, is enough."""
    return padded_windows(x, window, window, window)


def padded_by_one_more(x, window):
    """You pad by one pixel too many on each side: window // 2 is enough, as the pixel itself
    stands in the middle."""
    return padded_windows(x, window, window // 2 + 1, window // 2 + 1)


def as_wide_as_high(x, window):
    """You take the height for both axes. A picture need not be square: h and w differ."""
    r, h = window // 2, x.shape[-2]
    padded = F.pad(x, (r, r, r, r))
    rows = [
        torch.stack([padded[..., dy : dy + h, dx : dx + h] for dx in range(window)], -1)
        for dy in range(window)
    ]
    return torch.stack(rows, -2)


def padded_across_only(x, window):
    """You pad left and right alone. Above and below want zeros too: F.pad takes the last axis
    first, (left, right, top, bottom)."""
    padded = F.pad(x, (window // 2, window // 2))
    rows = min(window, x.shape[-2])
    return padded.unfold(-2, rows, 1).unfold(-2, window, 1)


def beyond(x, window, taken):
    """Windows of a picture that goes on in some way beyond its edges."""
    reach = window // 2
    h, w = (taken(torch.arange(-reach, n + reach), n) for n in x.shape[-2:])
    return x[..., h, :][..., w].unfold(-2, window, 1).unfold(-2, window, 1)


def edges_repeated(x, window):
    """Beyond the edges you repeat the last pixel. There should be zeros."""
    return beyond(x, window, lambda i, n: i.clamp(0, n - 1))


def edges_reflected(x, window):
    """Beyond the edges you mirror the picture. There should be zeros."""
    return beyond(
        x, window, lambda i, n: (n - 1 - (i % (2 * n - 2) - n + 1).abs()) if n > 1 else 0 * i
    )


def padded_with_ones(x, window):
    """Beyond the edges you put ones. There should be zeros."""
    return windows(x - 1, window) + 1


def across_turned(x, window):
    """Left and right are exchanged in your windows: dx = 0 is the pixel on the left."""
    return windows(x, window).flip(-1)


def counted_from_the_front(x, window):
    """You count the axes from the front: with an axis of heads, rows are not axis 2. Rows and
    columns are the last two: -2 and -1."""
    reach = window // 2
    padded = F.pad(x, (reach, reach, reach, reach))
    return padded.unfold(2, window, 1).unfold(3, window, 1)


def wrapped_around(x, window):
    """Your windows wrap around: beyond the right edge comes the left one. There should be
    zeros."""
    return beyond(x, window, lambda i, n: i % n)


def spread_out(x, window):
    """You take every second pixel: a window is dilated. Its places are neighbours."""
    wide = windows(x, 2 * window - 1)
    return wide[..., ::2, ::2]


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


def blocks_instead(x, window):
    """You cut the picture into blocks: one window for every `window` pixels. Every pixel has a
    window of its own: stride 1."""
    reach = window // 2
    padded = F.pad(x, (reach, reach, reach, reach))
    return padded.unfold(-2, window, window).unfold(-2, window, window)


def places_before_pixels(x, window):
    """The places come before the pixels: dy dx h w. They come last: h w dy dx."""
    return rearrange(windows(x, window), "... h w dy dx -> ... dy dx h w")


def raw_reshape(x, window):
    """You reshape dy dx h w to h w dy dx without moving an axis: places and pixels get mixed.
    Use `rearrange`."""
    found = rearrange(windows(x, window), "... h w dy dx -> ... dy dx h w")
    return found.reshape(*x.shape, window, window)


def places_in_one_axis(x, window):
    """The places of a window are one axis, (dy dx). Keep rows and columns apart: dy dx."""
    return rearrange(windows(x, window), "... dy dx -> ... (dy dx)")


def windows_by_shifts(x, window):
    refuse_even(window)
    r, (h, w) = window // 2, x.shape[-2:]
    padded = F.pad(x, (r, r, r, r))
    rows = [
        torch.stack([padded[..., dy : dy + h, dx : dx + w] for dx in range(window)], -1)
        for dy in range(window)
    ]
    return torch.stack(rows, -2)


def windows_by_loops(x, window):
    refuse_even(window)
    r, (h, w) = window // 2, x.shape[-2:]
    found = x.new_zeros(*x.shape, window, window)
    for i in range(h):
        for j in range(w):
            for dy in range(window):
                for dx in range(window):
                    y, z = i + dy - r, j + dx - r
                    if 0 <= y < h and 0 <= z < w:
                        found[..., i, j, dy, dx] = x[..., y, z]
    return found


EXERCISE = Exercise(
    id="stand_alone.windows",
    solution=windows,
    probes={"windows": "b c h w dy dx"},
    trials=windows_trials,
    slips=(
        places_transposed,
        windows_turned,
        in_ways(not_padded, not_padded_at_all),
        begins_at_the_pixel,
        ends_at_the_pixel,
        one_too_late,
        one_too_early,
        padded_too_much,
        padded_by_one_more,
        as_wide_as_high,
        in_ways(padded_across_only, across_alone),
        edges_repeated,
        edges_reflected,
        wrapped_around,
        padded_with_ones,
        across_turned,
        counted_from_the_front,
        shifted_at_the_edges,
        spread_out,
        blocks_instead,
        places_before_pixels,
        raw_reshape,
        places_in_one_axis,
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
    otherwise=(windows_by_unfold, windows_by_shifts, windows_by_loops),
    refuses=even_windows,
    laws=("examples_do_not_mix",),
)
