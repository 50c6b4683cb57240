"""Two outputs of the same queries put together by their log-sum-exps."""

import torch
from einops import einsum

from attncourse.exercises.edits import often, unsaid, wrong
from attncourse.exercises.fast.shared import HIDDEN
from attncourse.exercises.record import Exercise, Given, Trial
from solutions.fast.tiles import merge


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


# fmt: off
SHARES = (
    wrong("shares_by_the_logarithms", "return share * y + rest * other, total",
          "one, two = (x.masked_fill(x == -math.inf, 0)[..., None] for x in (lse, other_lse))\n"
          "both = (one + two).masked_fill(one + two == 0, 1)\n"
          "return (one * y + two * other) / both, total",
          "You weigh the outputs in proportion to their log-sum-exps. These are logarithms: weigh in"
          " proportion to exp(L)."),
    wrong("nan_where_nothing_was_seen", "total.masked_fill(total == -math.inf, 0)", "total",
          "Where neither saw anything your output is nan: -inf - -inf, or 0 / 0. Put a finite"
          " number for the one that you subtract; the exponential of -inf is 0 then."),
    # where neither saw anything: nan is read, or the log-sum-exp is nan as well
    unsaid("total = torch.logaddexp(lse, other_lse)",
           "total = torch.logaddexp(lse, other_lse)\n"
           "y = y.masked_fill((total == -math.inf)[..., None], math.nan)"),
    unsaid("total = torch.logaddexp(lse, other_lse)",
           "nothing = (lse == -math.inf) & (other_lse == -math.inf)\n"
           "lse = lse.masked_fill(nothing, math.nan)\n"
           "other = other.masked_fill(nothing[..., None], math.nan)\n"
           "total = torch.logaddexp(lse, other_lse)"),
    *often(
        wrong("halves", "share * y + rest * other", "(y + other) / 2",
              "You take the mean of the two outputs. The one whose keys score higher counts"
              " more: its weight is exp(its lse - lse of both)."),
        wrong("shares_exchanged", "share * y + rest * other", "rest * y + share * other",
              "Your weights are exchanged: an output is weighted by the log-sum-exp of the other"
              " one."),
        wrong("shares_not_normalised", "known = total", "known = torch.maximum(lse, other_lse)",
              "You weight by exp(lse - the larger one) and do not divide by the sum of both"
              " weights. The outputs are means: their weights must sum to 1."),
    ),
    wrong("both_in_full", "share * y + rest * other", "y + other",
          "You add the outputs. Each is a mean already; together their weights are 1."),
    wrong("shares_turned", "((lse - known)", "((known - lse)",
          "Your weights are upside down: exp(lse of both - lse) is 1 or more. It is exp(lse - lse of"
          " both).",
          ("(other_lse - known)", "(known - other_lse)")),
    wrong("shares_without_exp", "(lse - known).exp()", "lse / (lse + other_lse)",
          "You weight by the log-sum-exp itself. It is a logarithm: its exponential says how much"
          " was seen.",
          ("(other_lse - known).exp()", "other_lse / (lse + other_lse)")),
    wrong("weights_without_a_largest", "known = total.masked_fill(total == -math.inf, 0)",
          "known = lse.exp() + other_lse.exp()\n"
          "known = known.masked_fill(known == 0, 1)",
          "You take exp of a log-sum-exp as it is, which overflows for large scores. Subtract the"
          " larger one first, or the log-sum-exp of both: exp(lse - lse of both).",
          ("((lse - known).exp()", "(lse.exp() / known"),
          ("(other_lse - known).exp()", "other_lse.exp() / known")),
    wrong("weights_as_sums", "((lse - known)", "(lse",
          "You multiply each output by exp(lse) and do not divide again. Then it is a sum and no"
          " mean: divide by the sum of both exp(lse).",
          ("(other_lse - known)", "other_lse")),
    wrong("winner_takes_all", "share * y + rest * other",
          "torch.where((lse >= other_lse)[..., None], y, other)",
          "You keep the output with the larger log-sum-exp. The other one counts too, by its"
          " weight."),
    wrong("shares_of_base_two", "known = total", "known = torch.logaddexp2(lse, other_lse)",
          "You weight with powers of 2. Log-sum-exp is a natural logarithm: its inverse is exp.",
          ("((lse - known).exp()", "((lse - known).exp2()"),
          ("(other_lse - known).exp()", "(other_lse - known).exp2()")),
    wrong("minus_inf_as_zero", "known = total.masked_fill(total == -math.inf, 0)",
          "lse, other_lse = (x.masked_fill(x == -math.inf, 0) for x in (lse, other_lse))\n"
          "known = torch.logaddexp(lse, other_lse)",
          "You put 0 for a log-sum-exp of -inf: then what saw nothing counts as if it had seen a"
          " score of 0. e^-inf is 0 by itself."),
    wrong("one_share_for_both", "rest * other", "share * other",
          "You weight both outputs by the weight of the first. The second has its own:"
          " exp(other_lse - lse of both)."),
    wrong("shares_over_queries", "((lse - known).exp()",
          "(lse.nan_to_num(-1e9, neginf=-1e9).softmax(-1)",
          "Your softmax goes over the queries, the last axis of lse. It goes over the two"
          " outputs: stack them on a new axis, and take that one.",
          ("(other_lse - known).exp()", "other_lse.nan_to_num(-1e9, neginf=-1e9).softmax(-1)")),
)

SUMS = (
    wrong("second_not_weighted", "rest * other", "other",
          "You weight the first output and add the second as it is. It has a weight as well."),
    wrong("root_of_shares", "share * y + rest * other", "share.sqrt() * y + rest.sqrt() * other",
          "You multiply by the root of a weight. It is the weight itself."),
)

LOGS = (
    *often(
        wrong("logs_added", "other, total", "other, lse + other_lse",
              "You add the two log-sum-exps. It is what they are logarithms of that adds: log(exp(a)"
              " + exp(b))."),
        wrong("larger_log", "other, total", "other, torch.maximum(lse, other_lse)",
              "You return the larger log-sum-exp. Both count: log(exp(a) + exp(b)), which is more."),
    ),
    wrong("largest_not_added_back", "return share",
          "largest = torch.maximum(lse, other_lse).masked_fill(total == -math.inf, 0)\n"
          "return share",
          "You subtract the larger one before exp and do not add it again after the log.",
          ("other, total", "other, ((lse - largest).exp() + (other_lse - largest).exp()).log()")),
    wrong("sum_without_a_log", "other, total", "other, total.exp()",
          "You return the sum of the exponentials. Its logarithm is what the next merge expects."),
    wrong("larger_and_sum", "return share",
          "largest = torch.maximum(lse, other_lse).masked_fill(total == -math.inf, 0)\n"
          "return share",
          "You return the larger one and the sum of exp(lse - larger). It takes the logarithm of"
          " that sum.",
          ("other, total", "other, largest + (lse - largest).exp() + (other_lse - largest).exp()")),
    wrong("log_of_the_mean", "other, total", "other, total - math.log(2)",
          "You take the logarithm of the mean of both, log 2 too little. It is that of their sum."),
    wrong("first_log", "other, total", "other, lse",
          "You return the log-sum-exp of the first output. The result has seen all keys: log(exp(a)"
          " + exp(b))."),
    wrong("mean_of_logs", "other, total", "other, (lse + other_lse) / 2",
          "You return the mean of the two log-sum-exps. It is log(exp(a) + exp(b))."),
    wrong("log_of_base_two", "other, total", "other, torch.logaddexp2(lse, other_lse)",
          "You return a logarithm of base 2. Log-sum-exp is the natural one."),
    wrong("log_overflows", "other, total", "other, (lse.exp() + other_lse.exp()).log()",
          "Your log-sum-exp is right until exp overflows: log(exp(a) + exp(b)) is inf for large scores."
          " `torch.logaddexp`, or subtract the larger one and add it again."),
    wrong("log_nan", "return share", "largest = torch.maximum(lse, other_lse)\nreturn share",
          "Where neither saw anything, your log-sum-exp is nan: -inf - -inf. It is -inf there.",
          ("other, total",
           "other, largest + ((lse - largest).exp() + (other_lse - largest).exp()).log()")),
)
# fmt: on


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
    slips=(*SHARES, *SUMS, *LOGS),
    hints=(
        "A query read 0.2 from keys whose exp(s) sum to 3, and 0.8 from keys whose exp(s) sum"
        " to 1. What had it read from all of them at once?",
        "Each output is a mean; what it stands for is exp(lse). Together L = log(e^L1 +"
        " e^L2), and y = exp(L1 - L) y1 + exp(L2 - L) y2. Where L is -inf, subtract a finite"
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
