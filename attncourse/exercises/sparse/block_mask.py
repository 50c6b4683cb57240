"""A mask that shows every query its own block, up to itself."""

import torch

from attncourse.exercises.edits import wrong
from attncourse.exercises.record import Exercise
from attncourse.exercises.sparse.shared import NO_TENSORS, mask_trials
from solutions.sparse import block_mask

# fmt: off
BLOCKS = (
    wrong("sliding_window", "j // stride == i // stride", "i - j < stride",
          "You show the last `stride` keys of every query. A block stands still: it begins at a"
          " multiple of the stride, i // stride == j // stride."),
    wrong("same_column", "j // stride == i // stride", "j % stride == i % stride",
          "You take the remainder, which says the place inside a block. The block itself is the"
          " quotient: i // stride == j // stride."),
    wrong("not_rounded", "j // stride == i // stride", "j / stride == i / stride",
          "You divide without rounding: i / stride == j / stride only for i = j. The number of a"
          " block is i // stride."),
    wrong("as_many_blocks", "return (j <= i) & (j // stride == i // stride)",
          "length = math.ceil(n / stride)\nreturn (j <= i) & (j // length == i // length)",
          "You cut the tokens into `stride` blocks. The stride is how long a block is, not how many"
          " there are."),
    wrong("block_ends_late", "j // stride == i // stride",
          "j >= (i - 1).clamp(min=0) // stride * stride",
          "Your blocks end one token late: the first query of a block still sees the block before."
          " It begins a new one. (A known mistake of a widely used library.)"),
    wrong("counted_from_one", "j // stride == i // stride",
          "(j + 1) // stride == (i + 1) // stride",
          "Your blocks are shifted by one token, as if positions counted from 1. They count from 0:"
          " the first block is 0 … stride - 1."),
    wrong("begins_one_late", "j // stride == i // stride", "(j - 1) // stride == (i - 1) // stride",
          "Your blocks begin one token late, as if positions counted from -1. They count from 0:"
          " the first block is 0 … stride - 1."),
    wrong("block_before_too", "j // stride == i // stride", "i // stride - j // stride <= 1",
          "You show the block before as well. Only the query's own block counts."),
    wrong("earlier_blocks", "j // stride == i // stride", "j // stride <= i // stride",
          "You show all blocks up to the query's own. The quotients must be equal, not ordered."),
)

DIRECTIONS = (
    wrong("block_looks_ahead", "(j <= i) & ", "",
          "j <= i is missing: your queries see the later keys of their block."),
    wrong("block_not_itself", "j <= i", "j < i",
          "Your diagonal is False: the query itself is missing. j <= i, with the equals sign."),
    wrong("block_ahead", "j <= i", "j >= i",
          "i and j have changed places: your queries see the later keys of their block alone. j <="
          " i."),
    wrong("block_hidden_is_true", "(j <= i) & (j // stride == i // stride)",
          "(j > i) | (j // stride != i // stride)",
          "Your mask is inverted: True where a query may not attend."),
)
# fmt: on


def block_loops(n, stride):
    mask = torch.zeros(n, n, dtype=torch.bool)
    for i in range(n):
        mask[i, i - i % stride : i + 1] = True
    return mask


def block_by_triangles(n, stride):
    blocks = -(-n // stride)
    triangle = torch.ones(stride, stride, dtype=torch.bool).tril()
    return torch.block_diag(*[triangle] * blocks)[:n, :n].bool()


EXERCISE = Exercise(
    id="sparse.block_mask",
    solution=block_mask,
    probes={"block_mask": "i j"},
    trials=mask_trials("stride"),
    slips=(*BLOCKS, *DIRECTIONS),
    hints=(
        "With blocks of 3, in which block is token 7? Which keys of it may it see?",
        "The block of a token is its position divided by the stride, rounded down.",
        "(j <= i) & (j // stride == i // stride)",
    ),
    minutes=4,
    difficulty=1,
    otherwise=(block_loops, block_by_triangles),
    laws=("queries_see_their_keys",),
    skip=NO_TENSORS,
    tied=("i j",),
)
