"""The record of `sparse.with_previous`."""

import torch
from einops import rearrange
from torch.nn import functional as F

from attncourse.exercises.record import Exercise, Trial
from attncourse.exercises.sparse.shared import beside_it, moved_down
from solutions.sparse import (
    with_previous,
)


def previous_trials():
    axes = dict(x="b block place d")
    return (
        Trial("on three examples", dict(b=3, block=5, place=4, d=7, key=8), axes),
        Trial("on one block", dict(b=4, block=1, place=3, d=5, key=6), axes),
        Trial(
            "with an axis of heads",
            dict(b=2, head=3, block=4, place=5, d=6),
            dict(x="b head block place d"),
        ),
        Trial("on blocks of one token", dict(b=3, block=4, place=1, d=2), axes),
    )


def wraps_around(x):
    """The block before the first is the last one in yours: `roll` wraps around, and the first
    tokens would read the last. Before the first there are zeros."""
    return beside_it(x, x.roll(1, -3))


def next_block(x):
    """You put the next block in front: queries would read the future. The block before, shifted
    by one towards later blocks."""
    y = torch.cat([x[..., 1:, :, :], torch.zeros_like(x[..., :1, :, :])], dim=-3)
    return beside_it(x, y)


def own_block_first(x):
    """The own block comes first in yours. The block before stands in front: keys stay in the
    order of the tokens."""
    return beside_it(moved_down(x), x)


def next_block_behind(x):
    """You put the next block behind the own one: queries would read the future. The block
    before goes in front."""
    y = torch.cat([x[..., 1:, :, :], torch.zeros_like(x[..., :1, :, :])], dim=-3)
    return beside_it(y, x)


def mixed_token_by_token(x):
    """The tokens of the two blocks alternate in yours: (place two). First the whole block
    before, then the own: (two place)."""
    return rearrange([moved_down(x), x], "two ... place d -> ... (place two) d")


def own_block_twice(x):
    """You put the own block in front of itself. The one before belongs there."""
    return beside_it(x, x)


def first_block_repeated(x):
    """Before the first block you put the first block itself. There are no keys before it:
    zeros."""
    return beside_it(x, torch.cat([x[..., :1, :, :], x[..., :-1, :, :]], dim=-3))


def shifted_by_one_token(x):
    """You shift by one token, not by one block: pad the axis of the blocks, the last but two
    (`F.pad` counts axes from the last)."""
    flat = rearrange(x, "... block place d -> ... (block place) d")
    late = F.pad(flat, (0, 0, 1, -1))
    return beside_it(x, rearrange(late, "... (block p) d -> ... block p d", p=x.shape[-2]))


def shifted_inside_the_block(x):
    """You shift the tokens inside their block. It is the blocks that move by one: the axis last
    but two."""
    return beside_it(x, F.pad(x, (0, 0, 1, -1)))


def previous_alone(x):
    """You return the block before alone. Its own block comes behind it: twice as many keys."""
    return moved_down(x)


def features_side_by_side(x):
    """You put the two blocks side by side in their features, d. They are keys: one behind the
    other, along place."""
    return torch.cat([moved_down(x), x], dim=-1)


def two_blocks_back(x):
    """You shift by two blocks. The one directly before is wanted."""
    return beside_it(x, moved_down(moved_down(x)))


def blocks_behind(x):
    """You join the blocks behind one another along the axis of blocks: twice as many blocks.
    Each block gets twice as many keys, along place."""
    return torch.cat([moved_down(x), x], dim=-3)


def wraps_to_the_left(x):
    """You shift the other way, and `roll` wraps around: the next block stands in front, and
    the first one before the last. The block before, and zeros where there is none."""
    return beside_it(x, x.roll(-1, -3))


def features_shifted(x):
    """You shift the features. It is the blocks that move by one: `F.pad` takes pairs from the
    last axis on, (0, 0, 0, 0, 1, -1)."""
    return beside_it(x, F.pad(x, (1, -1)))


def examples_shifted(x):
    """You shift the first axis, the examples of the batch. It is the blocks that move by one:
    axis -3."""
    return beside_it(x, torch.cat([torch.zeros_like(x[:1]), x[:-1]], 0))


def axis_1_shifted(x):
    """You count the axes from the front: with an axis of heads, blocks are not axis 1. They are
    the last but two, -3."""
    return beside_it(x, torch.cat([torch.zeros_like(x[:, :1]), x[:, :-1]], 1))


def joined_at_axis_2(x):
    """You count the axes from the front: with an axis of heads, blocks are not axis 1 and
    places not axis 2. They are -3 and -2."""
    return torch.cat([torch.cat([torch.zeros_like(x[:, :1]), x[:, :-1]], 1), x], 2)


def ones_in_front(x):
    """You put ones in front of the first block. There should be zeros."""
    return beside_it(x, F.pad(x, (0, 0, 0, 0, 1, -1), value=1.0))


def first_block_dropped(x):
    """You return one block less: the first has none before it, so zeros stand there."""
    return torch.cat([x[..., :-1, :, :], x[..., 1:, :, :]], dim=-2)


def not_cut_off(x):
    """You return one block more: pad in front by one block and cut one off at the end, (0, 0,
    0, 0, 1, -1)."""
    return torch.cat([F.pad(x, (0, 0, 0, 0, 1, 0)), F.pad(x, (0, 0, 0, 0, 0, 1))], -2)


def an_axis_of_two(x):
    """The two blocks have an axis of their own. Join them to one axis of keys: (two place)."""
    return torch.stack([moved_down(x), x], dim=-3)


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
    slips=(
        wraps_around,
        next_block,
        own_block_first,
        next_block_behind,
        mixed_token_by_token,
        own_block_twice,
        first_block_repeated,
        shifted_by_one_token,
        shifted_inside_the_block,
        previous_alone,
        features_side_by_side,
        two_blocks_back,
        blocks_behind,
        wraps_to_the_left,
        features_shifted,
        examples_shifted,
        axis_1_shifted,
        joined_at_axis_2,
        ones_in_front,
        first_block_dropped,
        not_cut_off,
        an_axis_of_two,
    ),
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
