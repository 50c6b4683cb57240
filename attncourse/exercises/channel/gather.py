"""The record of `channel.gather`."""

import math

import torch
from einops import reduce
from torch.nn import functional as F

from attncourse.exercises.channel.shared import (
    gather_by_matrices,
    gather_loops,
    separate_blocks,
    whole,
)
from attncourse.exercises.families import family, remade
from attncourse.exercises.record import Exercise, Trial, slip
from solutions.channel import (
    gather,
    squeeze,
)


def gather_trials():
    def trial(name, extent, **sizes):
        return Trial(name, sizes, dict(x="b c h w", extent=extent))

    return (
        trial("with extent 2 on an odd map", 2, b=2, c=8, h=7, w=11, u=4, v=6),
        trial("over the whole map", None, b=3, c=2, h=5, w=7),
        trial("with extent 4", 4, b=2, c=5, h=9, w=13, u=3, v=4),
        trial("with an extent beyond the map", 8, b=3, c=4, h=5, w=6),
        trial("with extent 1, each pixel by itself", 1, b=2, c=4, h=3, w=5),
    )


def gather_recipe(global_=whole, local=gather):
    """`gather` with one of its two cases replaced."""

    def answer(x, extent=None):
        return (global_ if extent is None else local)(x, extent)

    return answer


def pooled(x, window, step, margin, border_counts=False):
    """Means of windows, padded by hand, so that any margin will do."""
    count = torch.ones_like(x)
    total, count = (
        F.avg_pool2d(F.pad(t, [margin] * 4), window, step, divisor_override=1)
        for t in (x, count)
    )
    return total / (window**2 if border_counts else count)


def where_it_fits(choice):
    """The same slip by someone who takes the whole map where a window does not fit."""

    def step(x, extent):
        try:
            return choice(x, extent)
        except RuntimeError:
            return whole(x, extent)

    return gather_recipe(local=step)


def border_counted(x, extent):
    """You count the zeros beyond the border as pixels. The mean is over the pixels there are:
    `count_include_pad=False`."""
    return pooled(x, 2 * extent - 1, extent, extent - 1, border_counts=True)


def separate_blocks_cut(x, extent):
    """You average separate blocks of extent x extent and drop what is left over. All pixels
    nearer than the extent count, a window of 2 extent - 1 with a margin of extent - 1."""
    return F.avg_pool2d(x, extent)


def one_pixel_more(x, extent):
    """Your window is 2 extent + 1 wide: it takes in pixels that lie at the extent itself.
    Nearer than the extent are 2 extent - 1."""
    return pooled(x, 2 * extent + 1, extent, extent)


def no_margin(x, extent):
    """You do not pad: there are no means around the pixels near the border. Pad by extent -
    1."""
    return F.avg_pool2d(x, 2 * extent - 1, extent)


def every_pixel(x, extent):
    """You gather around every pixel. Only every `extent`-th gets a mean: the stride is the
    extent."""
    return pooled(x, 2 * extent - 1, 1, extent - 1)


def largest_nearby(x, extent):
    """You take the largest value nearby. θ⁻ gathers the mean."""
    reach = min(extent, max(x.shape[-2:]))
    return F.max_pool2d(x, 2 * reach - 1, extent, reach - 1)


def sum_nearby(x, extent):
    """You sum the values nearby. θ⁻ gathers their mean."""
    x = F.pad(x, [extent - 1] * 4)
    return F.avg_pool2d(x, 2 * extent - 1, extent, divisor_override=1)


def samples(x, extent):
    """You take every `extent`-th pixel as it is. Average what is nearer than the extent."""
    return x[..., ::extent, ::extent].clone()


def extent_is_the_window(x, extent):
    """Your window is as wide as the extent. It reaches extent - 1 to both sides: 2 extent -
    1."""
    return F.avg_pool2d(x, extent, extent, extent // 2, count_include_pad=False)


def window_of_3(x, extent):
    """Your window is 3 wide, whatever the extent. It reaches extent - 1 to both sides:
    2 extent - 1."""
    return F.avg_pool2d(x, 3, extent, 1, count_include_pad=False)


def mirrored(x, extent):
    """Beyond the border you mirror the map. What is not there does not count:
    `count_include_pad=False`."""
    reach = min(extent, *x.shape[-2:])
    x = F.pad(x, [reach - 1] * 4, mode="reflect")
    return F.avg_pool2d(x, 2 * reach - 1, extent)


def as_many_parts(x, extent):
    """You cut each side into `extent` parts. The extent is how far a mean reaches, not how many
    there are."""
    return F.adaptive_avg_pool2d(x, extent)


def parts_of_the_map(x, extent):
    """You cut the map into as many parts as there are means. The means overlap: a window of
    2 extent - 1 around every `extent`-th pixel."""
    return F.adaptive_avg_pool2d(x, [math.ceil(n / extent) for n in x.shape[-2:]])


def border_from_the_other_side(x, extent):
    """Beyond the border you go on at the other side of the map. What is not there does not
    count: `count_include_pad=False`."""
    reach = min(extent, *x.shape[-2:])
    x = F.pad(x, [reach - 1] * 4, mode="circular")
    return F.avg_pool2d(x, 2 * reach - 1, extent)


def resized(x, extent):
    """You resize the map by interpolation. Average what is nearer than the extent."""
    size = [math.ceil(n / extent) for n in x.shape[-2:]]
    return F.interpolate(x, size, mode="bilinear")


def border_continued(x, extent):
    """Beyond the border you repeat the last pixels. What is not there does not count:
    `count_include_pad=False`."""
    x = F.pad(x, [extent - 1] * 4, mode="replicate")
    return F.avg_pool2d(x, 2 * extent - 1, extent)


def windows(x, extent, before, after):
    """Means from `before` pixels before every `extent`-th to `after` behind it."""
    rows = []
    for i in range(0, x.shape[-2], extent):
        row = [
            x[..., max(i - before, 0) : i + after + 1, max(j - before, 0) : j + after + 1]
            for j in range(0, x.shape[-1], extent)
        ]
        rows.append(torch.stack([near.mean((-2, -1)) for near in row], -1))
    return torch.stack(rows, -2)


def from_the_other_end(x, extent):
    """At the border your slices begin at a negative number, which counts from the other end and
    leaves nothing to average. Begin at max(i - extent + 1, 0)."""
    rows = []
    for i in range(0, x.shape[-2], extent):
        row = [
            x[..., i - extent + 1 : i + extent, j - extent + 1 : j + extent].mean((-2, -1))
            for j in range(0, x.shape[-1], extent)
        ]
        rows.append(torch.stack(row, -1))
    return torch.stack(rows, -2)


def last_pixel_missed(x, extent):
    """Your windows end one pixel early: a slice stops before its end. Up to extent - 1 behind
    the middle is `… : i + extent`."""
    return windows(x, extent, extent - 1, max(extent - 2, 0))


def middle_of_the_blocks(x, extent):
    """Your means stand around extent / 2, 3 extent / 2, …. They stand around 0, extent,
    2 extent, …."""
    start = x[..., extent // 2 :, extent // 2 :]
    return pooled(start, 2 * extent - 1, extent, extent - 1)


def rows_and_columns_exchanged(x, extent):
    """Rows and columns of the result are exchanged: it is b c u v, with u along h."""
    return gather(x, extent).mT


def rows_only(x, extent):
    """You gather along h alone. Gather along w as well."""
    wide, step = 2 * extent - 1, extent
    return F.avg_pool2d(x, (wide, 1), (step, 1), (step - 1, 0), count_include_pad=False)


def channels_averaged_too(x, extent):
    """You average over c as well: all channels get the same means. Each map has its own."""
    z = gather(x, extent)
    return z.mean(1, keepdim=True).expand_as(z)


def whole_map_too_early(x, extent):
    """You take the whole map as soon as the extent is half of a side. The means stand around
    every `extent`-th pixel as long as there is one."""
    return whole(x, extent) if extent >= min(x.shape[-2:]) // 2 else gather(x, extent)


def extent_1_is_the_whole(x, extent):
    """Extent 1 gives you the whole map. It is each pixel by itself; only None is the whole
    map."""
    return whole(x, extent) if extent <= 1 else gather(x, extent)


def largest_of_the_map(x, extent):
    """Without an extent you take the largest value. It is the mean of the whole map."""
    return reduce(x, "b c h w -> b c 1 1", "max")


def axes_dropped(x, extent):
    """Without an extent you return b c. Keep the axes, of length 1: b c 1 1."""
    return squeeze(x)


def map_kept(x, extent):
    """Without an extent you return the map as it is, or the mean over its full size. It becomes
    one number: b c 1 1."""
    return x.clone()


def gather_by_division(x, extent=None):
    if extent is None:
        return F.adaptive_avg_pool2d(x, 1)
    return pooled(x, 2 * extent - 1, extent, extent - 1)


EXERCISE = Exercise(
    id="channel.gather",
    solution=gather,
    probes={"gather": "b c u v"},
    trials=gather_trials,
    slips=(
        *family(
            gather_recipe,
            local=(
                border_counted,
                separate_blocks,
                one_pixel_more,
                every_pixel,
                largest_nearby,
                sum_nearby,
                samples,
                extent_is_the_window,
                window_of_3,
                mirrored,
                as_many_parts,
                parts_of_the_map,
                border_continued,
                border_from_the_other_side,
                resized,
                from_the_other_end,
                last_pixel_missed,
                rows_and_columns_exchanged,
                rows_only,
                channels_averaged_too,
                whole_map_too_early,
                extent_1_is_the_whole,
            ),
            global_=(largest_of_the_map, axes_dropped, map_kept),
        ),
        *(
            remade(
                slip(step),
                answer=gather_recipe(local=step),
                ways=(where_it_fits(step),),
            )
            for step in (separate_blocks_cut, no_margin, middle_of_the_blocks)
        ),
    ),
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
