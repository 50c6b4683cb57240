"""Every block of tokens behind the block before it."""

import torch
from torch.nn import functional as F

from attncourse.exercises.edits import wrong
from attncourse.exercises.record import Exercise, Trial
from solutions.sparse import with_previous


def previous_trials():
    axes = dict(x="b block place d")
    return (
        Trial("on three examples", dict(b=3, block=5, place=4, d=7, key=8), axes),
        Trial("on one block", dict(b=4, block=1, place=3, d=5, key=6), axes),
        Trial(
            "with an axis of heads",
            dict(b=2, head=3, block=4, place=5, d=7),
            dict(x="b head block place d"),
        ),
        Trial("on blocks of one token", dict(b=3, block=4, place=1, d=2), axes),
    )


# fmt: off
SHIFTS = (
    wrong("wraps_around", "F.pad(x, (0, 0, 0, 0, 1, -1))", "x.roll(1, -3)",
          "The block before the first is the last one in yours: `roll` wraps around, and the first"
          " tokens would read the last. Before the first there are zeros."),
    wrong("wraps_to_the_left", "F.pad(x, (0, 0, 0, 0, 1, -1))", "x.roll(-1, -3)",
          "You shift the other way, and `roll` wraps around: the next block stands in front, and"
          " the first one before the last. The block before, and zeros where there is none."),
    wrong("next_block", "1, -1", "-1, 1",
          "You put the next block in front: queries would read the future. The block before,"
          " shifted by one towards later blocks."),
    wrong("first_block_repeated", "F.pad(x, (0, 0, 0, 0, 1, -1))",
          "torch.cat([x[..., :1, :, :], x[..., :-1, :, :]], -3)",
          "Before the first block you put the first block itself. There are no keys before it:"
          " zeros."),
    wrong("two_blocks_back", "(0, 0, 0, 0, 1, -1))", "(0, 0, 0, 0, 2, 0))[..., :-2, :, :]",
          "You shift by two blocks. The one directly before is wanted."),
    wrong("ones_in_front", "1, -1)", "1, -1), value=1.0",
          "You put ones in front of the first block. There should be zeros."),
    wrong("first_block_dropped", "previous = F.pad(x, (0, 0, 0, 0, 1, -1))",
          "previous, x = x[..., :-1, :, :], x[..., 1:, :, :]",
          "You return one block less: the first has none before it, so zeros stand there."),
)

AXES = (
    wrong("shifted_by_one_token", "F.pad(x, (0, 0, 0, 0, 1, -1))",
          "F.pad(x.flatten(-3, -2), (0, 0, 1, -1)).view_as(x)",
          "You shift by one token, not by one block: pad the axis of the blocks, the last but two"
          " (`F.pad` counts axes from the last)."),
    wrong("shifted_inside_the_block", "(0, 0, 0, 0, 1, -1)", "(0, 0, 1, -1)",
          "You shift the tokens inside their block. It is the blocks that move by one: the axis"
          " last but two."),
    wrong("features_shifted", "(0, 0, 0, 0, 1, -1)", "(1, -1)",
          "You shift the features. It is the blocks that move by one: `F.pad` takes pairs from the"
          " last axis on, (0, 0, 0, 0, 1, -1)."),
    wrong("examples_shifted", "F.pad(x, (0, 0, 0, 0, 1, -1))",
          "torch.cat([torch.zeros_like(x[:1]), x[:-1]])",
          "You shift the first axis, the examples of the batch. It is the blocks that move by one:"
          " axis -3."),
    wrong("axis_1_shifted", "F.pad(x, (0, 0, 0, 0, 1, -1))",
          "torch.cat([torch.zeros_like(x[:, :1]), x[:, :-1]], 1)",
          "You count the axes from the front: with an axis of heads, blocks are not axis 1. They"
          " are the last but two, -3."),
    wrong("joined_at_axis_2", "F.pad(x, (0, 0, 0, 0, 1, -1))",
          "torch.cat([torch.zeros_like(x[:, :1]), x[:, :-1]], 1)",
          "You count the axes from the front: with an axis of heads, blocks are not axis 1 and"
          " places not axis 2. They are -3 and -2.",
          ('rearrange([previous, x], "two ... block place d -> ... block (two place) d")',
           "torch.cat([previous, x], 2)")),
)

ORDERS = (
    wrong("own_block_first", "[previous, x]", "[x, previous]",
          "The own block comes first in yours. The block before stands in front: keys stay in the"
          " order of the tokens."),
    wrong("next_block_behind", "1, -1", "-1, 1",
          "You put the next block behind the own one: queries would read the future. The block"
          " before goes in front.",
          ("[previous, x]", "[x, previous]")),
    wrong("mixed_token_by_token", "(two place)", "(place two)",
          "The tokens of the two blocks alternate in yours: (place two). First the whole block"
          " before, then the own: (two place)."),
    wrong("own_block_twice", "[previous, x]", "[x, x]",
          "You put the own block in front of itself. The one before belongs there."),
)
# fmt: on


def previous_loops(x):
    blocks = []
    for g in range(x.shape[-3]):
        before = x[..., g - 1, :, :] if g else torch.zeros_like(x[..., 0, :, :])
        blocks.append(torch.cat([before, x[..., g, :, :]], dim=-2))
    return torch.stack(blocks, dim=-3)


def previous_by_windows(x):
    place = x.shape[-2]
    flat = F.pad(x.flatten(-3, -2), (0, 0, place, 0))
    return flat.unfold(-2, 2 * place, place).transpose(-1, -2)


EXERCISE = Exercise(
    id="sparse.with_previous",
    solution=with_previous,
    probes={"with_previous": "b block key d"},
    trials=previous_trials,
    slips=(*SHIFTS, *AXES, *ORDERS),
    hints=(
        "Blocks [1 2 3] [4 5 6] [7 8 9]: what stands in front of 4 5 6, and what in front"
        " of 1 2 3?",
        "Shift all blocks by one, zeros first. Then put shifted and own one behind the"
        ' other: "two ... block place d -> ... block (two place) d".',
        "previous = F.pad(x, (0, 0, 0, 0, 1, -1))   # pairs from the last axis on\n"
        "rearrange of [previous, x] to ... block (two place) d",
    ),
    minutes=7,
    difficulty=2,
    otherwise=(previous_loops, previous_by_windows),
    laws=("examples_do_not_mix",),
)
