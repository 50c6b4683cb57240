"""Softmax: scores of a row become positive weights that sum to 1, however large they are."""

import torch
from torch.nn import functional as F

from attncourse.exercises.edits import wrong
from attncourse.exercises.record import Exercise, Given, Trial
from solutions.scaled_dot_product import softmax


def softmax_trials():
    dice = torch.Generator().manual_seed(1)
    near = 1000 + torch.randn(2, 5, generator=dice, dtype=torch.float64)
    wide = torch.tensor(
        [[-3000.0, 0, 1, 2000], [1, 2, 3, 4], [0, -2, -4, 900]], dtype=torch.float64
    )
    return (
        Trial("on scores around 0", dict(i=3, j=5), dict(x="i j")),
        Trial("with a batch axis in front", dict(b=2, i=4, j=7), dict(x="b i j")),
        Trial("on scores around 1000", dict(i=2, j=5), dict(x=Given("i j", near))),
        Trial("on scores around -1000", dict(i=2, j=5), dict(x=Given("i j", near - 2000))),
        Trial("on rows of very different size", dict(i=3, j=4), dict(x=Given("i j", wide))),
    )


# fmt: off
MAXIMA = (
    wrong("no_maximum", 'x - reduce(x, "... j -> ... 1", "max")', "x",
          "For large scores exp overflows: inf / inf is nan. Subtract the largest score of each"
          " row first; it cancels in the quotient."),
    wrong("global_maximum", 'reduce(x, "... j -> ... 1", "max")', "x.max()",
          "You subtract one maximum for all rows. A row far below it becomes 0 / 0. Every row"
          ' needs its own: "... j -> ... 1".'),
    wrong("mean_subtracted", '"max"', '"mean"',
          "You subtract the mean of each row; a score far above it still overflows. Subtract the"
          " maximum."),
    wrong("minimum_subtracted", '"max"', '"min"',
          "You subtract the smallest score of each row; the largest still overflows. Subtract the"
          " largest."),
    wrong("absolute_maximum", "reduce(x,", "reduce(x.abs(),",
          "You subtract the largest absolute value: where it belongs to a negative score, all"
          " exponentials are 0. Subtract the largest score."),
    wrong("divided_by_the_maximum", "x - reduce", "x / reduce",
          "You divide by the largest score instead of subtracting it. Only a difference cancels."),
    wrong("capped", 'x - reduce(x, "... j -> ... 1", "max")', "x.clamp(max=88)",
          "You clamp large scores so that exp does not overflow: those above all count alike."
          " Subtract the largest score of the row instead; it cancels in the quotient."),
)

EXPONENTIALS = (
    wrong("no_exponential", "shifted.exp()", "x",
          "You divide the scores by their sum, without exp. Scores may be negative or sum to 0."),
    wrong("sigmoid_instead", 'powers / reduce(powers, "... j -> ... 1", "sum")', "x.sigmoid()",
          "A sigmoid looks at each score alone. In a softmax the scores of a row compete: their"
          " weights sum to 1."),
    wrong("logarithm", 'powers / reduce(powers, "... j -> ... 1", "sum")',
          'shifted - reduce(powers, "... j -> ... 1", "sum").log()',
          "This is the logarithm of the softmax; the weights themselves are asked for."),
)

SUMS = (
    wrong("over_the_first_axis", 'reduce(powers, "... j -> ... 1", "sum")', "powers.sum(0)",
          "Your weights sum to 1 over the first axis. They must sum to 1 over the last, j.",
          ('reduce(x, "... j -> ... 1", "max")', "x.amax(0)")),
    wrong("over_the_axis_before", 'reduce(powers, "... j -> ... 1", "sum")',
          "powers.sum(-2, keepdim=True)",
          "Your weights sum to 1 over i, the axis before the last. They must sum to 1 over the"
          " last, j.",
          ('reduce(x, "... j -> ... 1", "max")', "x.amax(-2, keepdim=True)")),
    wrong("not_divided", ' / reduce(powers, "... j -> ... 1", "sum")', "",
          "The weights are positive but do not sum to 1: divide by their sum over j."),
)
# fmt: on


def softmax_by_logsumexp(x):
    return (x - x.logsumexp(-1, keepdim=True)).exp()


def softmax_functional(x):
    return F.softmax(x, dim=-1)


def softmax_detached_maximum(x):
    shares = torch.exp(x - x.detach().max(dim=-1, keepdim=True).values)
    return shares / torch.einsum("...j->...", shares)[..., None]


EXERCISE = Exercise(
    id="scaled_dot_product.softmax",
    solution=softmax,
    probes={"softmax": "i j"},
    trials=softmax_trials,
    slips=(*MAXIMA, *EXPONENTIALS, *SUMS),
    hints=(
        ("What does a softmax do to a row when you add the same number to all of its scores?"),
        (
            "Because nothing changes, you may subtract the largest score of the row. Then"
            " the largest exponent is 0 and exp cannot overflow."
        ),
        (
            "shifted = x minus its maximum over j (keep an axis of length 1)\n"
            "powers  = exp(shifted)\n"
            "return powers / (their sum over j, again with an axis of length 1)"
        ),
    ),
    minutes=6,
    difficulty=2,
    otherwise=(softmax_by_logsumexp, softmax_functional, softmax_detached_maximum),
    laws=("rows_sum_to_one", "ratios_of_shares", "one_step_more_or_less"),
    ready=(
        "torch.softmax",
        "torch.Tensor.softmax",
        "torch.nn.functional.softmax",
        "torch.log_softmax",
        "torch.Tensor.log_softmax",
        "torch.nn.functional.log_softmax",
        "torch.nn.functional.softmin",
    ),
)
