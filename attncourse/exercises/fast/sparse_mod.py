"""The record of `fast.sparse_mod`."""

import torch

from attncourse.exercises.families import remade
from attncourse.exercises.record import Exercise, slip
from solutions.fast.mods import sparse_mod

try:
    import triton.language as tl
except ImportError:  # Triton is there for Linux
    tl = None
from attncourse.exercises.fast.shared import mod_trials

sparse_mod_trials = mod_trials(
    (
        (14, dict(stride=4)),
        (11, dict(stride=3)),
        (12, dict(stride=5)),
        (5, dict(stride=1)),
        (4, dict(stride=6)),
    )
)


def sparse_recipe(joining):
    def answer(batch, head, i, j, stride):
        return joining(i, j, i - j, stride)

    return answer


def future_seen(i, j, ago, stride):
    """Later keys are seen: i - j is negative there, below the stride and often a multiple of
    it. j <= i must hold for both patterns."""
    return (ago < stride) | (ago % stride == 0)


def future_seen_in_strides(i, j, ago, stride):
    """Later keys are seen: j <= i holds for the near keys only, since `&` binds before `|`. Put
    the two patterns in brackets."""
    return (ago >= 0) & (ago < stride) | (ago % stride == 0)


def both_at_once(i, j, ago, stride):
    """You ask for both patterns at once, which leaves the query itself. A key of either counts:
    `|`."""
    return (ago >= 0) & (ago < stride) & (ago % stride == 0)


def near_alone(i, j, ago, stride):
    """The strided keys are missing: (i - j) % stride == 0."""
    return (ago >= 0) & (ago < stride)


def strided_alone(i, j, ago, stride):
    """The near keys are missing: i - j < stride."""
    return (ago >= 0) & (ago % stride == 0)


def near_one_too_many(i, j, ago, stride):
    """You show near keys too many. The query and stride - 1 before it: i - j < stride."""
    return (ago >= 0) & ((ago <= stride + 1) | (ago % stride == 0))


def near_too_few(i, j, ago, stride):
    """You show one near key too few. The query and stride - 1 before it: i - j < stride."""
    return (ago >= 0) & ((ago < stride - 1) | (ago % stride == 0))


def columns_from_zero(i, j, ago, stride):
    """You count every stride-th key from token 0. Here one counts back from the query: (i - j)
    % stride."""
    return (ago >= 0) & ((ago < stride) | (j % stride == 0))


def fixed_summary(i, j, ago, stride):
    """You show the last key of every block. That is the fixed pattern; the strided one counts
    back from the query: (i - j) % stride == 0."""
    return (ago >= 0) & ((ago < stride) | (j % stride == stride - 1))


def own_block_and_strides(i, j, ago, stride):
    """You show the near keys of the query's own block. The last `stride` keys move with the
    query: i - j < stride."""
    return (ago >= 0) & ((i // stride == j // stride) | (ago % stride == 0))


def one_step_off_it(i, j, ago, stride):
    """Your strided keys are off by one: (i - j) % stride must be 0."""
    return (ago >= 0) & ((ago < stride) | (ago % stride == 1 % stride))


def fixed_pattern(i, j, ago, stride):
    """You show the query's own block and the last key of every block. That is the fixed
    pattern; this one counts back from the query: i - j < stride, (i - j) % stride == 0."""
    return (ago >= 0) & ((i // stride == j // stride) | (j % stride == stride - 1))


def step_too_long(i, j, ago, stride):
    """Your step is stride + 1. From one strided key to the next it is `stride` tokens."""
    return (ago >= 0) & ((ago < stride) | (ago % (stride + 1) == 0))


def added_for_subtracted(i, j, ago, stride):
    """You take the remainder of i + j. The distance is i - j."""
    return (ago >= 0) & ((ago < stride) | ((i + j) % stride == 0))


def queries_at_multiples(i, j, ago, stride):
    """You ask which queries are at a multiple of the stride, i % stride. It is the distance: (i
    - j) % stride."""
    return (ago >= 0) & ((ago < stride) | (i % stride == 0))


def half_a_stride(i, j, ago, stride):
    """You show half as many near keys. The last `stride` count: i - j < stride."""
    return (ago >= 0) & ((ago <= stride // 2) | (ago % stride == 0))


def itself_left_out(i, j, ago, stride):
    """The query itself is hidden: j <= i, with the equals sign."""
    return (ago > 0) & ((ago < stride) | (ago % stride == 0))


def i_and_j_exchanged(i, j, ago, stride):
    """i and j have changed places: your queries see later keys. What is behind is i - j."""
    return (ago <= 0) & ((-ago < stride) | (ago % stride == 0))


def to_both_sides(i, j, ago, stride):
    """You take the distance without its sign: later keys are seen. i - j must not be
    negative."""
    return (abs(ago) < stride) | (ago % stride == 0)


def all_before(i, j, ago, stride):
    """You show all keys before the query. Only the last `stride` and every stride-th count."""
    return ago >= 0


def the_opposite(i, j, ago, stride):
    """Your mask is inverted: True where a query may *not* attend. FlexAttention keeps what is
    True."""
    return ~((ago >= 0) & ((ago < stride) | (ago % stride == 0)))


def one_multiple_alone(i, j, ago, stride):
    """You show one key a stride before, and none further back. Every multiple counts: %."""
    return (ago >= 0) & (ago <= stride)


def sparse_numbers(batch, head, i, j, stride):
    """You return numbers. A mask_mod returns True or False: comparisons make it so."""
    return sparse_mod(batch, head, i, j, stride).double()


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
    slips=(
        *(
            remade(slip(one), answer=sparse_recipe(one))
            for one in (
                future_seen,
                future_seen_in_strides,
                both_at_once,
                near_alone,
                strided_alone,
                near_one_too_many,
                near_too_few,
                columns_from_zero,
                fixed_summary,
                own_block_and_strides,
                fixed_pattern,
                step_too_long,
                added_for_subtracted,
                queries_at_multiples,
                half_a_stride,
                one_step_off_it,
                itself_left_out,
                i_and_j_exchanged,
                to_both_sides,
                all_before,
                the_opposite,
                one_multiple_alone,
            )
        ),
        sparse_numbers,
    ),
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
)
