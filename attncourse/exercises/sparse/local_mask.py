"""A mask that shows every query the last `window` keys up to itself."""

import torch

from attncourse.exercises.edits import wrong
from attncourse.exercises.record import Exercise
from attncourse.exercises.sparse.shared import NO_TENSORS, mask_trials
from solutions.sparse import local_mask

# fmt: off
BOUNDS = (
    wrong("paper_window", "i - j < window", "i - j <= window",
          "You take window + 1 keys. The query itself is one of the `window` keys: i - j < window."
          " (The paper's A1 does have l + 1, the authors' released code l; here the window says how"
          " many.)"),
    wrong("one_key_short", "i - j < window", "i - j < window - 1",
          "You take one key too few. The query itself and window - 1 before it: i - j < window."),
    wrong("others_alone", "(j <= i) & (i - j < window)", "(j < i) & (i - j <= window)",
          "You take the `window` keys before the query and leave the query out. It is one of them:"
          " 0 <= i - j < window."),
    wrong("not_itself", "j <= i", "j < i",
          "Your diagonal is False: the query itself is missing. j <= i, with the equals sign."),
)

DIRECTIONS = (
    wrong("both_sides", "(j <= i) & (i - j < window)", "(i - j).abs() < window",
          "Your window reaches into the future as well. i - j must not be negative: no absolute"
          " value, and j <= i."),
    wrong("all_later_keys", "(j <= i) & ", "",
          "j <= i is missing: i - j < window also holds for all later keys, where i - j is"
          " negative."),
    wrong("ahead", "(j <= i) & (i - j < window)", "(j >= i) & (j - i < window)",
          "i and j have changed places: your queries see the keys after them. Queries go down, keys"
          " to the right; what is behind is i - j."),
    wrong("centred", "(j <= i) & (i - j < window)", "(i - j).abs() <= window // 2",
          "Your window has the query in its middle. Its last key is the query: nothing later."),
)

OTHER_MASKS = (
    wrong("fixed_blocks", "i - j < window", "i // window == j // window",
          "You cut the keys into fixed blocks. A local window moves with its query: every query has"
          " the `window` keys up to itself."),
    wrong("window_ignored", " & (i - j < window)", "",
          "You let a query see all keys before it: i - j < window is missing."),
    wrong("hidden_is_true", "(j <= i) & (i - j < window)", "(j > i) | (i - j >= window)",
          "Your mask is inverted: True where a query may not attend."),
    wrong("either_is_enough", "&", "|",
          "Both conditions must hold, j <= i *and* i - j < window. You take `or`."),
)
# fmt: on


def local_loops(n, window):
    rows = [[max(0, i - window + 1) <= j <= i for j in range(n)] for i in range(n)]
    return torch.tensor(rows)


def local_by_triangles(n, window):
    ones = torch.ones(n, n, dtype=torch.bool)
    return torch.tril(ones) & torch.triu(ones, diagonal=1 - window)


def local_by_difference(n, window):
    ago = torch.arange(n).view(-1, 1) - torch.arange(n).view(1, -1)
    return torch.logical_and(ago.ge(0), ago.lt(window))


EXERCISE = Exercise(
    id="sparse.local_mask",
    solution=local_mask,
    probes={"local_mask": "i j"},
    trials=mask_trials("window"),
    slips=(*BOUNDS, *DIRECTIONS, *OTHER_MASKS),
    hints=(
        "With a window of 3, which keys does query 7 see? And query 1?",
        "Two conditions: not later, j <= i, and not too long ago: i - j is 0 … window - 1.",
        "i as a column, j as a row, both counted from 0\n(j <= i) & (i - j < window)",
    ),
    minutes=4,
    difficulty=1,
    otherwise=(local_loops, local_by_triangles, local_by_difference),
    laws=("queries_see_their_keys",),
    skip=NO_TENSORS,
    tied=("i j",),
)
