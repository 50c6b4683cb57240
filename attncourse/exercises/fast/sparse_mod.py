"""A pattern for FlexAttention: the last `stride` keys, and every stride-th one before them."""

import torch

from attncourse.exercises.edits import wrong
from attncourse.exercises.fast.shared import mod_trials
from attncourse.exercises.record import Exercise
from solutions.fast.mods import sparse_mod

sparse_mod_trials = mod_trials(
    (
        (14, dict(stride=4)),
        (11, dict(stride=3)),
        (12, dict(stride=5)),
        (5, dict(stride=1)),
        (4, dict(stride=6)),
    )
)

# fmt: off
BEHIND = (
    wrong("near_ones_not_causal", "(ago >= 0) & ((ago < stride) | (ago % stride == 0))",
          "(abs(ago) < stride) | ((ago >= 0) & (ago % stride == 0))",
          "Near keys that come later are seen: the test that a key is not later must hold for both"
          " kinds of keys."),
    wrong("future_seen", "(ago >= 0) & ((ago < stride) | (ago % stride == 0))",
          "(ago < stride) | (ago % stride == 0)",
          "Later keys are seen: i - j is negative there, below the stride and often a multiple of"
          " it. j <= i must hold for both patterns."),
    wrong("future_seen_in_strides", "(ago >= 0) & ((ago < stride) | (ago % stride == 0))",
          "(ago >= 0) & (ago < stride) | (ago % stride == 0)",
          "Later keys are seen: j <= i holds for the near keys only, since `&` binds before `|`."
          " Put the two patterns in brackets."),
    wrong("itself_left_out", "ago >= 0", "ago > 0",
          "The query itself is hidden: j <= i, with the equals sign."),
    wrong("i_and_j_exchanged", "i - j", "j - i",
          "i and j have changed places: your queries see later keys. What is behind is i - j."),
    wrong("to_both_sides", "(ago >= 0) & ((ago < stride) | (ago % stride == 0))",
          "(abs(ago) < stride) | (ago % stride == 0)",
          "You take the distance without its sign: later keys are seen. i - j must not be"
          " negative."),
    wrong("all_before", "(ago >= 0) & ((ago < stride) | (ago % stride == 0))", "ago >= 0",
          "You show all keys before the query. Only the last `stride` and every stride-th count."),
    wrong("the_opposite", "(ago >= 0) & ((ago < stride) | (ago % stride == 0))",
          "~((ago >= 0) & ((ago < stride) | (ago % stride == 0)))",
          "Your mask is inverted: True where a query may *not* attend. FlexAttention keeps what"
          " is True."),
)

BOTH = (
    wrong("both_at_once", ") | (", ") & (",
          "You ask for both patterns at once, which leaves the query itself. A key of either"
          " counts: `|`."),
    wrong("near_alone", "((ago < stride) | (ago % stride == 0))", "(ago < stride)",
          "The strided keys are missing: (i - j) % stride == 0."),
    wrong("strided_alone", "((ago < stride) | (ago % stride == 0))", "(ago % stride == 0)",
          "The near keys are missing: i - j < stride."),
)

NEAR = (
    wrong("near_one_too_many", "ago < stride", "ago <= stride + 1",
          "You show near keys too many. The query and stride - 1 before it: i - j < stride."),
    wrong("near_too_few", "ago < stride", "ago < stride - 1",
          "You show one near key too few. The query and stride - 1 before it: i - j < stride."),
    wrong("own_block_and_strides", "ago < stride", "i // stride == j // stride",
          "You show the near keys of the query's own block. The last `stride` keys move with the"
          " query: i - j < stride."),
    wrong("half_a_stride", "ago < stride", "ago <= stride // 2",
          "You show half as many near keys. The last `stride` count: i - j < stride."),
)

STRIDED = (
    wrong("columns_from_zero", "ago % stride == 0", "j % stride == 0",
          "You count every stride-th key from token 0. Here one counts back from the query: (i -"
          " j) % stride."),
    wrong("fixed_summary", "ago % stride == 0", "j % stride == stride - 1",
          "You show the last key of every block. That is the fixed pattern; the strided one"
          " counts back from the query: (i - j) % stride == 0."),
    wrong("fixed_pattern", "ago < stride", "i // stride == j // stride",
          "You show the query's own block and the last key of every block. That is the fixed"
          " pattern; this one counts back from the query: i - j < stride, (i - j) % stride == 0.",
          ("ago % stride == 0", "j % stride == stride - 1")),
    wrong("step_too_long", "ago % stride", "ago % (stride + 1)",
          "Your step is stride + 1. From one strided key to the next it is `stride` tokens."),
    wrong("added_for_subtracted", "ago % stride", "(i + j) % stride",
          "You take the remainder of i + j. The distance is i - j."),
    wrong("queries_at_multiples", "ago % stride", "i % stride",
          "You ask which queries are at a multiple of the stride, i % stride. It is the distance:"
          " (i - j) % stride."),
    wrong("one_step_off_it", "ago % stride == 0", "ago % stride == 1 % stride",
          "Your strided keys are off by one: (i - j) % stride must be 0."),
    wrong("one_multiple_alone", "ago % stride == 0", "ago == stride",
          "You show one key a stride before, and none further back. Every multiple counts: %."),
)
# fmt: on


def sparse_mod_by_torch(batch, head, i, j, stride):
    near = torch.logical_and(j > i - stride, j <= i)
    far = torch.logical_and(j <= i, torch.eq(i % stride, j % stride))
    return torch.logical_or(near, far)


def sparse_mod_by_where(batch, head, i, j, stride):
    ago = i - j
    return torch.where(ago < stride, ago >= 0, torch.fmod(ago, stride) == 0)


EXERCISE = Exercise(
    id="fast.sparse_mod",
    solution=sparse_mod,
    probes={"sparse_mod": "i j"},
    trials=sparse_mod_trials,
    slips=(*BEHIND, *BOTH, *NEAR, *STRIDED),
    hints=(
        "stride 4: which keys does query 9 see nearby, which further back, and which not"
        " at all?",
        "Not later: i >= j. And one of the two: i - j < stride, or i - j a multiple of"
        " the stride. `&` and `|` with brackets, for they bind before comparisons.",
        "ago = i - j\n(ago >= 0) & ((ago < stride) | (ago % stride == 0))",
    ),
    minutes=4,
    difficulty=2,
    otherwise=(sparse_mod_by_torch, sparse_mod_by_where),
    skip=frozenset({"gradients", "large", "strided", "float32"}),
    tied=("i j",),
)
