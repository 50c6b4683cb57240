"""A mask that shows every query the last keys of every block, as far as they are not later."""

import torch

from attncourse.exercises.edits import wrong
from attncourse.exercises.record import Exercise, Trial
from attncourse.exercises.sparse.shared import NO_TENSORS
from solutions.sparse import summary_mask

# fmt: off
CELLS = (
    wrong("one_cell_short", ">=", ">",
          "You show one cell too few of every block: the last c places are l - c … l - 1, so j %"
          " stride >= stride - summaries, with the equals sign."),
    wrong("one_cell_too_many", "stride - summaries", "stride - summaries - 1",
          "You show one cell too many of every block: places count from 0 to stride - 1, so the"
          " last c begin at stride - summaries. (The paper's {t, …, l} with t = l - c reads like c"
          " + 1, but no remainder is l.)"),
    wrong("first_cells", ">= stride - summaries", "< summaries",
          "You show the first cells of every block. The last ones are meant: only they can have"
          " read the whole block."),
    wrong("one_cell_whatever", "stride - summaries", "stride - 1",
          "You show the last cell of every block alone: `summaries` is not used."),
    wrong("first_summary_cell", ">=", "==",
          "You show place l - c of every block alone. All from there to the end belong to it: >="
          " instead of ==."),
    wrong("shifted_by_one_place", "j % stride >= stride - summaries",
          "(j + 1) % stride < summaries",
          "You count places from 1: the last of a block is then its 0. They count from 0 to stride"
          " - 1: j % stride >= stride - summaries."),
)

PLACES = (
    wrong("rows_for_columns", "j % stride", "i % stride",
          "You ask which queries are summaries, i % stride. It is the keys: j % stride. All queries"
          " read the same columns."),
    wrong("counted_from_the_query", "j % stride", "(i - j) % stride",
          "You count back from the query, (i - j) % stride. That is the strided pattern; summaries"
          " stand at fixed places: j % stride."),
    wrong("quotient_for_remainder", "j % stride", "j // stride",
          "You divide, j // stride, which says the number of the block. The place in it is the"
          " remainder: j % stride."),
    wrong("place_not_taken", "j % stride", "j",
          "You compare the position itself. It is its place in the block that counts: j % stride."),
)

SEEN = (
    wrong("summaries_to_come", "(j <= i) & ", "",
          "j <= i is missing: your queries see the summaries of blocks that are still to come.",
          ("- summaries)", "- summaries).expand(n, n)")),
    wrong("finished_blocks", "j <= i", "j // stride < i // stride",
          "You leave out the summary cells of the query's own block. All that are not later count:"
          " j <= i."),
    wrong("own_summaries_alone", "(j <= i)", "(j <= i) & (j // stride == i // stride)",
          "You show the summary cells of the query's own block alone. Those of all blocks before"
          " are what carries far."),
    wrong("summary_not_itself", "j <= i", "j < i",
          "A summary cell does not see itself in yours: j <= i, with the equals sign."),
    wrong("summary_hidden_is_true", "(j <= i) & (j % stride >= stride - summaries)",
          "(j > i) | (j % stride < stride - summaries)",
          "Your mask is inverted: True where a query may not attend."),
    wrong("and_itself", "(j <= i) & (j % stride >= stride - summaries)",
          "(j <= i) & (j % stride >= stride - summaries) | (i == j)",
          "You let every query see itself as well. That would mend the empty rows, and it is not"
          " the pattern: the first queries see nothing here."),
    wrong("empty_rows_see_themselves", "return (j <= i) & (j % stride >= stride - summaries)",
          "mask = (j <= i) & (j % stride >= stride - summaries)\n"
          "return mask | (i == j) & ~mask.any(-1, keepdim=True)",
          "You let queries without keys see themselves. The pattern gives them none: their rows are"
          " empty, and the attention returns 0 there."),
)
# fmt: on


def summary_loops(n, stride, summaries):
    mask = torch.zeros(n, n, dtype=torch.bool)
    for start in range(stride - summaries, n, stride):
        for j in range(start, min(start + summaries, n)):
            mask[j:, j] = True
    return mask


def summary_by_columns(n, stride, summaries):
    place = torch.arange(n).remainder(stride)
    column = torch.isin(place, torch.arange(stride - summaries, stride))
    return column.expand(n, n).tril()


def summary_by_sets(n, stride, summaries):
    wanted = set(range(stride - summaries, stride))
    return torch.tensor([[j <= i and j % stride in wanted for j in range(n)] for i in range(n)])


EXERCISE = Exercise(
    id="sparse.summary_mask",
    solution=summary_mask,
    probes={"summary_mask": "i j"},
    trials=lambda: tuple(
        Trial(
            f"for n={n}, stride={stride}, summaries={c}",
            dict(i=n, j=n),
            dict(n=n, stride=stride, summaries=c),
        )
        for n, stride, c in ((13, 5, 2), (11, 3, 1), (12, 4, 3), (9, 4, 4), (4, 6, 2))
    ),
    slips=(*CELLS, *PLACES, *SEEN),
    hints=(
        "With blocks of 5 and 2 summaries, which tokens are summaries at all?",
        "The place of a key in its block is j mod l, from 0 to l - 1. The last c places are"
        " l - c, …, l - 1. And no key may be later than the query.",
        "(j <= i) & (j % stride >= stride - summaries)",
    ),
    minutes=5,
    difficulty=2,
    otherwise=(summary_loops, summary_by_columns, summary_by_sets),
    laws=("queries_see_their_keys",),
    skip=NO_TENSORS,
    tied=("i j",),
)
