"""The record of `fast.merge`."""

import math

import torch
from einops import einsum

from attncourse.exercises.families import family
from attncourse.exercises.record import Exercise, Given, Trial
from solutions.fast.tiles import (
    merge,
)

try:
    import triton.language as tl
except ImportError:  # Triton is there for Linux
    tl = None
from attncourse.exercises.fast.shared import HIDDEN


def merge_trials():
    lse, other = (
        torch.tensor([[1.0, HIDDEN, 0.5, HIDDEN]]),
        torch.tensor([[HIDDEN, 2, 1, HIDDEN]]),
    )
    y, theirs = torch.randn(2, 1, 4, 3, generator=torch.Generator().manual_seed(3)).double()
    seen, also_seen = (~x.isinf()[..., None] for x in (lse, other))
    return (
        Trial(
            "with 3 queries",
            dict(b=2, i=3, e=5),
            {"y": "b i e", "lse": "b i", "other": "b i e", "other_lse": "b i"},
        ),
        Trial(
            "with heads",
            dict(b=2, head=3, i=5, e=4),
            {
                "y": "b head i e",
                "lse": "b head i",
                "other": "b head i e",
                "other_lse": "b head i",
            },
        ),
        Trial(
            "where some queries saw nothing (log-sum-exp -inf)",
            dict(b=1, i=4, e=3),
            {
                "y": Given("b i e", y * seen),
                "lse": Given("b i", lse.double()),
                "other": Given("b i e", theirs * also_seen),
                "other_lse": Given("b i", other.double()),
            },
        ),
    )


def known_to_be(total):
    return total.masked_fill(total.isinf(), 0)


def shares_of_both(lse, other):
    total = known_to_be(torch.logaddexp(lse, other))
    return (lse - total).exp(), (other - total).exp()


def weighted(y, other, mine, theirs):
    return mine[..., None] * y + theirs[..., None] * other


def log_of_both(lse, other):
    return torch.logaddexp(lse, other)


def as_read(y, log, nothing):
    return y, log


def nan_for_nothing(y, log, nothing):
    return y.masked_fill(nothing[..., None], math.nan), log


def nan_for_nothing_twice(y, log, nothing):
    return y.masked_fill(nothing[..., None], math.nan), log.masked_fill(nothing, math.nan)


def merge_recipe(sharing=shares_of_both, adding=weighted, logging=log_of_both, leaving=as_read):
    def answer(y, lse, other, other_lse):
        mine, theirs = sharing(lse, other_lse)
        nothing = (lse == HIDDEN) & (other_lse == HIDDEN)
        return leaving(adding(y, other, mine, theirs), logging(lse, other_lse), nothing)

    return answer


def halves(lse, other):
    """You take the mean of the two readings. The one whose keys score higher counts more: its
    share is e^(its lse - lse of both)."""
    return torch.full_like(lse, 0.5), torch.full_like(lse, 0.5)


def both_in_full(lse, other):
    """You add the readings. Each is a mean already; together their shares are 1."""
    return torch.ones_like(lse), torch.ones_like(lse)


def shares_exchanged(lse, other):
    """Your shares are exchanged: a reading is weighted by the log-sum-exp of the other one."""
    return shares_of_both(lse, other)[::-1]


def shares_turned(lse, other):
    """Your shares are upside down: e^(lse of both - lse) is 1 or more. It is e^(lse - lse of
    both)."""
    total = torch.logaddexp(lse, other)
    return (total - lse).exp(), (total - other).exp()


def shares_without_exp(lse, other):
    """You weight by the log-sum-exp itself. It is a logarithm: its exponential says how much
    was seen."""
    return lse / (lse + other), other / (lse + other)


def shares_not_normalised(lse, other):
    """You weight by e^(lse - the larger one) and do not divide by the sum of both weights. The
    readings are means: their weights must sum to 1."""
    largest = known_to_be(torch.maximum(lse, other))
    return (lse - largest).exp(), (other - largest).exp()


def weights_without_a_largest(lse, other):
    """You take exp of a log-sum-exp as it is, which overflows for large scores. Subtract the
    larger one first, or the log-sum-exp of both: e^(lse - lse of both)."""
    one, two = lse.exp(), other.exp()
    total = (one + two).masked_fill((one + two) == 0, 1)
    return one / total, two / total


def weights_as_sums(lse, other):
    """You multiply each reading by e^lse and do not divide again. Then it is a sum and no mean:
    divide by the sum of both e^lse."""
    return lse.exp(), other.exp()


def winner_takes_all(lse, other):
    """You keep the reading with the larger log-sum-exp. The other one counts too, by its
    share."""
    return (lse >= other).to(lse), (lse < other).to(lse)


def shares_of_base_two(lse, other):
    """You weight with powers of 2. Log-sum-exp is a natural logarithm: its inverse is exp."""
    one, two = torch.exp2(lse), torch.exp2(other)
    total = (one + two).masked_fill((one + two) == 0, 1)
    return one / total, two / total


def nan_where_nothing_was_seen(lse, other):
    """Where neither saw anything your reading is nan: -inf - -inf, or 0 / 0. Put a finite
    number for the one that you subtract; the exponential of -inf is 0 then."""
    total = torch.logaddexp(lse, other)
    return (lse - total).exp(), (other - total).exp()


def minus_inf_as_zero(lse, other):
    """You put 0 for a log-sum-exp of -inf: then what saw nothing counts as if it had seen a
    score of 0. e^-inf is 0 by itself."""
    lse, other = (x.masked_fill(x.isinf(), 0) for x in (lse, other))
    return shares_of_both(lse, other)


def shares_over_queries(lse, other):
    """Your softmax goes over the queries, the last axis of lse. It goes over the two readings:
    stack them on a new axis, and take that one."""
    return torch.stack([lse, other]).nan_to_num(neginf=-1e9).softmax(-1)


def one_share_for_both(lse, other):
    """You weight both readings by the share of the first. The second has its own: e^(other_lse
    - lse of both)."""
    mine, _ = shares_of_both(lse, other)
    return mine, mine


def second_not_weighted(y, other, mine, theirs):
    """You weight the first reading and add the second as it is. It has a share as well."""
    return mine[..., None] * y + other


def mean_of_the_weighted(y, other, mine, theirs):
    """You halve the weighted sum. Its shares sum to 1 already."""
    return (mine[..., None] * y + theirs[..., None] * other) / 2


def root_of_shares(y, other, mine, theirs):
    """You weight by the root of a share. It is the share itself."""
    return mine.sqrt()[..., None] * y + theirs.sqrt()[..., None] * other


def logs_added(lse, other):
    """You add the two log-sum-exps. It is what they are logarithms of that adds: log(e^a +
    e^b)."""
    return lse + other


def larger_log(lse, other):
    """You return the larger log-sum-exp. Both count: log(e^a + e^b), which is more."""
    return torch.maximum(lse, other)


def largest_not_added_back(lse, other):
    """You subtract the larger one before exp and do not add it again after the log."""
    largest = known_to_be(torch.maximum(lse, other))
    return ((lse - largest).exp() + (other - largest).exp()).log()


def larger_and_sum(lse, other):
    """You return the larger one and the sum of e^(lse - larger). It takes the logarithm of that
    sum."""
    largest = known_to_be(torch.maximum(lse, other))
    return largest + (lse - largest).exp() + (other - largest).exp()


def sum_without_a_log(lse, other):
    """You return the sum of the exponentials. Its logarithm is what the next merge expects."""
    return lse.exp() + other.exp()


def log_of_the_mean(lse, other):
    """You take the logarithm of the mean of both, log 2 too little. It is that of their sum."""
    return torch.logaddexp(lse, other) - math.log(2)


def first_log(lse, other):
    """You return the log-sum-exp of the first reading. The result has seen all keys: log(e^a +
    e^b)."""
    return lse.clone()


def mean_of_logs(lse, other):
    """You return the mean of the two log-sum-exps. It is log(e^a + e^b)."""
    return (lse + other) / 2


def log_of_base_two(lse, other):
    """You return a logarithm of base 2. Log-sum-exp is the natural one."""
    return torch.logaddexp2(lse, other)


def log_overflows(lse, other):
    """Your log-sum-exp is right until exp overflows: log(e^a + e^b) is inf for large scores.
    `torch.logaddexp`, or subtract the larger one and add it again."""
    return (lse.exp() + other.exp()).log()


def log_nan(lse, other):
    """Where neither saw anything, your log-sum-exp is nan: -inf - -inf. It is -inf there."""
    largest = torch.maximum(lse, other)
    return largest + ((lse - largest).exp() + (other - largest).exp()).log()


def merge_by_softmax(y, lse, other, other_lse):
    both = torch.stack([lse, other_lse], -1)
    shares = both.softmax(-1).nan_to_num(0.0)
    return einsum(
        shares, torch.stack([y, other], -1), "... p, ... e p -> ... e"
    ), both.logsumexp(-1)


def merge_by_sigmoid(y, lse, other, other_lse):
    share = torch.sigmoid(lse - other_lse).nan_to_num(0.0)[..., None]
    return y * share + other * (1 - share), torch.logaddexp(lse, other_lse)


def merge_by_hand(y, lse, other, other_lse):
    lowest = torch.finfo(y.dtype).min
    largest = torch.maximum(lse, other_lse).clamp(min=lowest)
    a, b = torch.exp(lse - largest), torch.exp(other_lse - largest)
    total = a + b
    read = (a[..., None] * y + b[..., None] * other) / torch.where(total == 0, 1.0, total)[
        ..., None
    ]
    return read, total.log() + largest.masked_fill(total == 0, HIDDEN)


EXERCISE = Exercise(
    id="fast.merge",
    solution=merge,
    probes={"merge": ("b i e", "b i")},
    trials=merge_trials,
    slips=family(
        merge_recipe,
        unsaid={"leaving": (nan_for_nothing, nan_for_nothing_twice)},
        paired=(halves, shares_exchanged, shares_not_normalised, larger_log, logs_added),
        sharing=(
            nan_where_nothing_was_seen,  # before those that are nan there as well
            halves,
            both_in_full,
            shares_exchanged,
            shares_turned,
            shares_without_exp,
            shares_not_normalised,
            weights_without_a_largest,
            weights_as_sums,
            winner_takes_all,
            shares_of_base_two,
            minus_inf_as_zero,
            one_share_for_both,
            shares_over_queries,
        ),
        adding=(second_not_weighted, mean_of_the_weighted, root_of_shares),
        logging=(
            logs_added,
            larger_log,
            largest_not_added_back,
            sum_without_a_log,
            larger_and_sum,
            log_of_the_mean,
            first_log,
            mean_of_logs,
            log_of_base_two,
            log_overflows,
            log_nan,
        ),
    ),
    hints=(
        "A query read 0.2 from keys whose e^s sum to 3, and 0.8 from keys whose e^s sum"
        " to 1. What had it read from all of them at once?",
        "Each reading is a mean; what it stands for is e^lse. Together L = log(e^L1 +"
        " e^L2), and y = e^(L1 - L) y1 + e^(L2 - L) y2. Where L is -inf, subtract a finite"
        " number instead.",
        "total = torch.logaddexp(lse, other_lse)\n"
        "known = total, with 0 where it is -inf\n"
        "share = exp(lse - known), rest = exp(other_lse - known), with an axis for e\n"
        "share * y + rest * other, total",
    ),
    minutes=10,
    difficulty=3,
    otherwise=(merge_by_softmax, merge_by_sigmoid, merge_by_hand),
    laws=("a_constant_factor", "examples_do_not_mix"),
    skip=frozenset({"gradients"}),  # a logarithm of nothing has none
)
