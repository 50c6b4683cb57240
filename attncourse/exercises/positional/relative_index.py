"""Which row of a table of relative positions belongs to each pair."""

import torch

from attncourse.exercises.edits import published, wrong
from attncourse.exercises.record import Exercise, Trial
from solutions.positional import relative_index


def trials():
    return tuple(
        Trial(name, dict(i=i, j=j), dict(queries=i, keys=j, clip=clip))
        for name, i, j, clip in (
            ("for 5 queries, 7 keys, clip = 2", 5, 7, 2),
            ("for 6 queries, 3 keys, clip = 1", 6, 3, 1),
            ("for clip = 0", 2, 4, 0),
            ("where clip = 9 clips nothing", 4, 5, 9),
        )
    )


# fmt: off
CLIPS = (
    wrong("not_clipped", ".clamp(-clip, clip)", "",
          "Far distances are not clipped: they would point outside the table. Clamp j - i to -clip"
          " … clip before you add clip."),
    wrong("clipped_after_the_shift", ").clamp(-clip, clip) + clip", " + clip).clamp(-clip, clip)",
          "You add clip first and clamp to -clip … clip afterwards. Clamp first, or clamp to 0 … 2"
          " clip."),
    wrong("clipped_to_the_table", ".clamp(-clip, clip)", ".clamp(0, 2 * clip)",
          "You clamp j - i to 0 … 2 clip and add clip afterwards. Add clip first, or clamp to -clip"
          " … clip."),
    wrong("wraps_around", ").clamp(-clip, clip) + clip", " + clip) % (2 * clip + 1)",
          "You take the distance modulo 2 clip + 1: a far key gets the vector of a near one. Beyond"
          " clip all share the outermost."),
    wrong("one_row_short", ".clamp(-clip, clip)", ".clamp(max=clip - 1).clamp(min=-clip)",
          "You clip at clip - 1 on the right: the last of the 2 clip + 1 rows is never used."),
    wrong("past_alone", ".clamp(-clip, clip)", ".clamp(-clip, 0)",
          "You clip at 0: all later keys share the row of the query itself. Later keys have rows of"
          " their own."),
    wrong("past_ends_early", ".clamp(-clip, clip)", ".clamp(0, clip)",
          "All earlier keys share the row of the query itself. They have rows of their own, up to"
          " clip."),
)

DISTANCES = (
    wrong("not_shifted", ".clamp(-clip, clip) + clip", ".clamp(-clip, clip)",
          "Your rows begin at -clip. Add clip: a table counts from 0. (A negative index counts from"
          " the end without a word.)"),
    wrong("shifted_by_queries", ").clamp(-clip, clip) + clip",
          " + queries - 1).clamp(0, 2 * clip)",
          "You add queries - 1, as for a table of all distances. This table has 2 clip + 1 rows:"
          " add clip."),
    wrong("only_how_far", ".clamp(-clip, clip)", ".abs().clamp(-clip, clip)",
          "You take the absolute distance: left and right neighbours would share a vector. The sign"
          " counts."),
    wrong("sums_for_distances", "j - rearrange", "j + rearrange",
          "You add i and j. A distance is their difference, j - i."),
    wrong("aligned_at_the_end", "(j - rearrange", "(j - (keys - queries) - rearrange",
          "You line up the last query with the last key. Both count from the first."),
    published("sign_turned", 'j - rearrange(i, "i -> i 1")', 'rearrange(i, "i -> i 1") - j',
              "You count i - j, as lucidrains' conformer does. Shaw et al. count j - i; the table"
              " is the same, read from the other end."),
)
# fmt: on


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
    trials=trials,
    slips=(*CLIPS, *DISTANCES),
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
