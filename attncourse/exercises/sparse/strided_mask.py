"""A mask that shows every stride-th key, counted back from the query."""

import torch

from attncourse.exercises.edits import wrong
from attncourse.exercises.record import Exercise
from attncourse.exercises.sparse.shared import NO_TENSORS, mask_trials
from solutions.sparse import strided_mask

# fmt: off
COUNTS = (
    wrong("floor_for_remainder", "(i - j) %", "(i - j) //",
          "You divide where the remainder is meant: (i - j) // stride == 0 is a local window. Every"
          " stride-th key has (i - j) % stride == 0."),
    wrong("counted_from_the_start", "(i - j)", "j",
          "You count every stride-th key from token 0: the same columns for all queries. Here one"
          " counts back from the query: (i - j) % stride."),
    wrong("last_column", "(i - j) % stride == 0", "j % stride == stride - 1",
          "You show the last key of every block. That is the fixed pattern; the strided one counts"
          " back from the query: (i - j) % stride == 0."),
    wrong("columns_for_queries", "(i - j)", "i",
          "You ask which queries are at a multiple of the stride, i % stride. It is the distance:"
          " (i - j) % stride."),
    wrong("sum_for_difference", "i - j", "i + j",
          "You add i and j. The distance is i - j."),
    wrong("one_step_off", "== 0", "== 1 % stride",
          "You are off by one: (i - j) % stride must be 0, so that the query is one of its keys."),
    wrong("stride_plus_one", "% stride", "% (stride + 1)",
          "Your step is stride + 1: between two of your keys lie `stride` others. From one to the"
          " next it is `stride` tokens."),
    wrong("one_step_only", "(i - j) % stride == 0", "(i == j) | (i - j == stride)",
          "You show the query and one key a stride before it. All the others further back belong to"
          " it: % instead of a comparison."),
    wrong("same_block", "(i - j) % stride == 0", "i // stride == j // stride",
          "You show the query's own block, i // stride == j // stride. Every stride-th key stands"
          " at the same place of its block: the remainder."),
    wrong("strided_and_local", "(i - j) % stride == 0",
          "((i - j) % stride == 0) | (i - j < stride)",
          "You show the local keys as well. That is the union of both; here only every stride-th"
          " key is wanted."),
)

DIRECTIONS = (
    wrong("strided_both_sides", "(j <= i) & ", "",
          "j <= i is missing: the remainder of a negative distance is 0 as well, so later keys are"
          " seen."),
    wrong("strided_not_itself", "j <= i", "j < i",
          "Your diagonal is False: the query itself is missing. j <= i, with the equals sign."),
    wrong("strided_ahead", "j <= i", "j >= i",
          "i and j have changed places: your queries see later keys. Queries go down, keys to the"
          " right: j <= i."),
    wrong("strided_hidden_is_true", "(j <= i) & ((i - j) % stride == 0)",
          "(j > i) | ((i - j) % stride != 0)",
          "Your mask is inverted: True where a query may not attend."),
)
# fmt: on


def strided_loops(n, stride):
    mask = torch.zeros(n, n, dtype=torch.bool)
    for i in range(n):
        mask[i, i % stride : i + 1 : stride] = True
    return mask


def strided_by_columns(n, stride):
    column = torch.arange(n) % stride
    return torch.eq(column[:, None], column[None]).tril()


def strided_by_sets(n, stride):
    keys = [set(range(i, -1, -stride)) for i in range(n)]
    return torch.tensor([[j in keys[i] for j in range(n)] for i in range(n)])


EXERCISE = Exercise(
    id="sparse.strided_mask",
    solution=strided_mask,
    probes={"strided_mask": "i j"},
    trials=mask_trials("stride"),
    slips=(*COUNTS, *DIRECTIONS),
    hints=(
        "With a stride of 3, which keys does query 7 see? And query 8?",
        "The distance i - j is a multiple of the stride, and not negative.",
        "(j <= i) & ((i - j) % stride == 0)",
    ),
    minutes=4,
    difficulty=1,
    otherwise=(strided_loops, strided_by_columns, strided_by_sets),
    laws=("queries_see_their_keys",),
    skip=NO_TENSORS,
    tied=("i j",),
)
