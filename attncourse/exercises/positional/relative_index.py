"""The record of `positional.relative_index`."""

import torch

from attncourse.exercises.record import Exercise, Trial, variant
from solutions.positional import (
    relative_index,
)


def index_trials():
    return tuple(
        Trial(name, dict(i=i, j=j), dict(queries=i, keys=j, clip=clip))
        for name, i, j, clip in (
            ("for 5 queries, 7 keys, clip = 2", 5, 7, 2),
            ("for 6 queries, 3 keys, clip = 1", 6, 3, 1),
            ("for clip = 0", 2, 4, 0),
            ("where clip = 9 clips nothing", 4, 5, 9),
        )
    )


def distances(queries, keys):
    return torch.arange(keys) - torch.arange(queries)[:, None]


def not_clipped(queries, keys, clip):
    """Far distances are not clipped: they would point outside the table. Clamp j - i to
    -clip … clip before you add clip."""
    return distances(queries, keys) + clip


def not_shifted(queries, keys, clip):
    """Your rows begin at -clip. Add clip: a table counts from 0. (A negative index counts from
    the end without a word.)"""
    return distances(queries, keys).clamp(-clip, clip)


def clipped_after_the_shift(queries, keys, clip):
    """You add clip first and clamp to -clip … clip afterwards. Clamp first, or clamp to
    0 … 2 clip."""
    return (distances(queries, keys) + clip).clamp(-clip, clip)


def only_how_far(queries, keys, clip):
    """You take the absolute distance: left and right neighbours would share a vector. The sign
    counts."""
    return distances(queries, keys).abs().clamp(-clip, clip) + clip


def wraps_around(queries, keys, clip):
    """You take the distance modulo 2 clip + 1: a far key gets the vector of a near one. Beyond
    clip all share the outermost."""
    return (distances(queries, keys) + clip) % (2 * clip + 1)


def one_too_high(queries, keys, clip):
    """Your rows are 1 too high: distance 0 is row clip."""
    return distances(queries, keys).clamp(-clip, clip) + clip + 1


def one_row_short(queries, keys, clip):
    """You clip at clip - 1 on the right: the last of the 2 clip + 1 rows is never used."""
    return distances(queries, keys).clamp(max=clip - 1).clamp(min=-clip) + clip


def past_alone(queries, keys, clip):
    """You clip at 0: all later keys share the row of the query itself. Later keys have rows of
    their own."""
    return distances(queries, keys).clamp(-clip, 0) + clip


def keys_down(queries, keys, clip):
    """Your rows are keys and your columns queries: j i. The queries go down: i j."""
    return distances(queries, keys).clamp(-clip, clip).mT + clip


def aligned_at_the_end(queries, keys, clip):
    """You line up the last query with the last key. Both count from the first."""
    return (distances(queries, keys) - (keys - queries)).clamp(-clip, clip) + clip


def clipped_to_the_table(queries, keys, clip):
    """You clamp j - i to 0 … 2 clip and add clip afterwards. Add clip first, or clamp to
    -clip … clip."""
    return distances(queries, keys).clamp(0, 2 * clip) + clip


def first_row_unused(queries, keys, clip):
    """You clip at clip - 1 on the left: row 0 of the table is never used."""
    return distances(queries, keys).clamp(min=1 - clip).clamp(max=clip) + clip


def past_ends_early(queries, keys, clip):
    """All earlier keys share the row of the query itself. They have rows of their own, up to
    clip."""
    return distances(queries, keys).clamp(0, clip) + clip


def shifted_by_queries(queries, keys, clip):
    """You add queries - 1, as for a table of all distances. This table has 2 clip + 1 rows:
    add clip."""
    return (distances(queries, keys) + queries - 1).clamp(0, 2 * clip)


def sums_for_distances(queries, keys, clip):
    """You add i and j. A distance is their difference, j - i."""
    i, j = torch.arange(queries)[:, None], torch.arange(keys)
    return (i + j).clamp(-clip, clip) + clip


def as_fractions(queries, keys, clip):
    """Your rows are floating numbers. An index is an integer: keep what `arange` gives."""
    return (distances(queries, keys).clamp(-clip, clip) + clip).float()


@variant
def sign_turned(queries, keys, clip):
    """You count i - j, as lucidrains' conformer does. Shaw et al. count j - i; the table is the
    same, read from the other end."""
    return (-distances(queries, keys)).clamp(-clip, clip) + clip


def index_loops(queries, keys, clip):
    return torch.tensor(
        [[max(-clip, min(clip, j - i)) + clip for j in range(keys)] for i in range(queries)]
    )


def index_by_clip_of_rows(queries, keys, clip):
    i = torch.arange(queries).unsqueeze(1).expand(queries, keys)
    j = torch.arange(keys).unsqueeze(0).expand(queries, keys)
    return torch.clip(j - i + clip, 0, 2 * clip)


EXERCISE = Exercise(
    id="positional.relative_index",
    solution=relative_index,
    probes={"relative_index": "i j"},
    trials=index_trials,
    slips=(
        not_clipped,
        not_shifted,
        clipped_after_the_shift,
        only_how_far,
        wraps_around,
        one_too_high,
        one_row_short,
        past_alone,
        keys_down,
        aligned_at_the_end,
        clipped_to_the_table,
        first_row_unused,
        past_ends_early,
        shifted_by_queries,
        sums_for_distances,
        as_fractions,
        sign_turned,
    ),
    hints=(
        "With clip = 2 there are 5 rows. Which distance does row 0 stand for, which row 4?",
        (
            "Distances j - i as a table i j: one arange down, one across. `clamp` keeps"
            " them within -clip … clip; adding clip makes them count from 0."
        ),
        "(j - i as i j).clamp(-clip, clip) + clip, with i of shape i 1",
    ),
    minutes=6,
    difficulty=2,
    otherwise=(index_loops, index_by_clip_of_rows),
    laws=("rows_follow_distances",),
)
