"""Gather θ⁻: the mean of each map around every few pixels, or over the whole of it."""

import torch
from torch.nn import functional as F

from attncourse.exercises.channel.shared import gather_by_matrices, gather_loops
from attncourse.exercises.edits import often, same, wrong
from attncourse.exercises.record import Exercise, Trial
from solutions.channel import gather


def trials():
    def trial(name, extent, **sizes):
        return Trial(name, sizes, dict(x="b c h w", extent=extent))

    return (
        trial("with extent 2 on an odd map", 2, b=2, c=9, h=7, w=11, u=4, v=6),
        trial("over the whole map", None, b=3, c=2, h=5, w=7),
        trial("with extent 4", 4, b=2, c=5, h=9, w=13, u=3, v=4),
        trial("with an extent beyond the map", 8, b=3, c=4, h=5, w=6),
        trial("with extent 1, each pixel by itself", 1, b=2, c=4, h=3, w=5),
    )


# fmt: off
WINDOW = "2 * extent - 1, extent, extent - 1, count_include_pad=False"
MEANS = "F.avg_pool2d(x, 2 * extent - 1, extent, extent - 1, count_include_pad=False)"

WINDOWS = (
    same("extent is None", "extent is None or extent >= max(x.shape[-2:])"),
    wrong("border_counted", ", count_include_pad=False", "",
          "You count the zeros beyond the border as pixels. The mean is over the pixels there"
          " are: `count_include_pad=False`."),
    wrong("separate_blocks", WINDOW, "extent, ceil_mode=True",
          "You average separate blocks of extent x extent. The means overlap: all pixels nearer"
          " than the extent count, a window of 2 extent - 1."),
    wrong("one_pixel_more", "2 * extent - 1, extent, extent - 1",
          "2 * extent + 1, extent, extent",
          "Your window is 2 extent + 1 wide: it takes in pixels that lie at the extent itself."
          " Nearer than the extent are 2 extent - 1."),
    wrong("extent_is_the_window", "2 * extent - 1, extent, extent - 1",
          "extent, extent, extent // 2",
          "Your window is as wide as the extent. It reaches extent - 1 to both sides: 2 extent"
          " - 1."),
    wrong("every_pixel", "extent, extent - 1", "1, extent - 1",
          "You gather around every pixel. Only every `extent`-th gets a mean: the stride is the"
          " extent."),
    wrong("separate_blocks_cut", WINDOW, "extent",
          "You average separate blocks of extent x extent and drop what is left over. All pixels"
          " nearer than the extent count, a window of 2 extent - 1 with a margin of extent - 1."),
    wrong("no_margin", ", extent - 1, count_include_pad=False", "",
          "You do not pad: there are no means around the pixels near the border. Pad by extent -"
          " 1."),
    wrong("window_of_3", "2 * extent - 1, extent, extent - 1", "3, extent, 1",
          "Your window is 3 wide, whatever the extent. It reaches extent - 1 to both sides: 2"
          " extent - 1."),
    wrong("middle_of_the_blocks", "F.avg_pool2d(x,",
          "F.avg_pool2d(x[..., extent // 2 :, extent // 2 :],",
          "Your means stand around extent / 2, 3 extent / 2, …. They stand around 0, extent, 2"
          " extent, …."),
    wrong("as_many_parts", MEANS, "F.adaptive_avg_pool2d(x, extent)",
          "You cut each side into `extent` parts. The extent is how far a mean reaches, not how"
          " many there are."),
    wrong("parts_of_the_map", MEANS,
          "F.adaptive_avg_pool2d(x, [-(n // -extent) for n in x.shape[-2:]])",
          "You cut the map into as many parts as there are means. The means overlap: a window of 2"
          " extent - 1 around every `extent`-th pixel."),
)

BORDERS = (
    wrong("mirrored", f"return {MEANS}",
          "reach = min(extent, *x.shape[-2:])\n"
          'x = F.pad(x, [reach - 1] * 4, mode="reflect")\n'
          "return F.avg_pool2d(x, 2 * reach - 1, extent)",
          "Beyond the border you mirror the map. What is not there does not count:"
          " `count_include_pad=False`."),
    wrong("border_continued", f"return {MEANS}",
          'x = F.pad(x, [extent - 1] * 4, mode="replicate")\n'
          "return F.avg_pool2d(x, 2 * extent - 1, extent)",
          "Beyond the border you repeat the last pixels. What is not there does not count:"
          " `count_include_pad=False`."),
)

WHOLE_MAP = (
    wrong("axes_dropped", "-> b c 1 1", "-> b c",
          "Without an extent you return b c. Keep the axes, of length 1: b c 1 1."),
    wrong("map_kept", 'reduce(x, "b c h w -> b c 1 1", "mean")', "x.clone()",
          "Without an extent you return the map as it is, or the mean over its full size. It"
          " becomes one number: b c 1 1."),
    wrong("whole_map_too_early", "extent is None",
          "extent is None or extent >= min(x.shape[-2:]) // 2",
          "You take the whole map as soon as the extent is half of a side. The means stand around"
          " every `extent`-th pixel as long as there is one."),
    wrong("extent_1_is_the_whole", "extent is None", "extent is None or extent <= 1",
          "Extent 1 gives you the whole map. It is each pixel by itself; only None is the whole"
          " map."),
)
# fmt: on


def windows(x, extent, window):
    """Means over slices: `window` gives the slice around the i-th row or column."""
    if extent is None:
        return gather(x)
    rows = []
    for i in range(0, x.shape[-2], extent):
        row = [x[..., window(i), window(j)] for j in range(0, x.shape[-1], extent)]
        rows.append(torch.stack([near.mean((-2, -1)) for near in row], -1))
    return torch.stack(rows, -2)


def from_the_other_end(x, extent=None):
    """At the border your slices begin at a negative number, which counts from the other end and
    leaves nothing to average. Begin at max(i - extent + 1, 0)."""
    return windows(x, extent, lambda i: slice(i - extent + 1, i + extent))


def last_pixel_missed(x, extent=None):
    """Your windows end one pixel early: a slice stops before its end. Up to extent - 1 after
    the middle is `… : i + extent`."""
    return windows(x, extent, lambda i: slice(max(i - extent + 1, 0), i + max(extent - 1, 1)))


def gather_by_division(x, extent=None):
    if extent is None:
        return F.adaptive_avg_pool2d(x, 1)
    total, count = (
        F.avg_pool2d(F.pad(t, [extent - 1] * 4), 2 * extent - 1, extent, divisor_override=1)
        for t in (x, torch.ones_like(x))
    )
    return total / count


EXERCISE = Exercise(
    id="channel.gather",
    solution=gather,
    probes={"gather": "b c u v"},
    trials=trials,
    slips=often(*WINDOWS, *BORDERS, *WHOLE_MAP, from_the_other_end, last_pixel_missed),
    hints=(
        "Extent 2, around pixel 4 of a row: which pixels are nearer than 2? And around 0?",
        (
            "3, 4 and 5: a window of 2 extent - 1. Around 0 only 0 and 1: what lies beyond"
            " the border counts neither as a value nor as a pixel. The means stand at 0,"
            " extent, 2 extent, …"
        ),
        (
            "no extent: reduce to b c 1 1\n"
            "else F.avg_pool2d(x, 2 reach - 1, extent, reach - 1,"
            " count_include_pad=False),\n"
            "with reach = the extent, or the larger side of the map if that is less"
        ),
    ),
    minutes=10,
    difficulty=3,
    otherwise=(gather_loops, gather_by_matrices, gather_by_division),
    laws=("examples_do_not_mix", "pixels_of_the_mean", "a_mean_keeps_what_is_even"),
)
