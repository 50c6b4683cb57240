"""The difference of two networks over seeds, and how sure its mean is."""

import torch

from attncourse.exercises.edits import often, same, wrong
from attncourse.exercises.record import Exercise, Given, Trial
from solutions.capstone import paired_difference


def seeds(*numbers):
    return Given("n", torch.tensor(numbers, dtype=torch.float64))


def paired_trials():
    def trial(name, a, b):
        return Trial(name, dict(n=len(a)), {"a": seeds(*a), "b": seeds(*b)})

    return (
        trial("of 3 seeds", (0.52, 0.61, 0.58), (0.50, 0.57, 0.59)),
        trial("of 2 seeds", (0.40, 0.47), (0.45, 0.43)),
        trial(
            "of 5 seeds, where both rise and fall together",
            (0.31, 0.72, 0.55, 0.43, 0.64),
            (0.30, 0.68, 0.53, 0.42, 0.61),
        ),
    )


def too_few():
    given = {"a": seeds(0.5), "b": seeds(0.4)}
    none = {"a": seeds(), "b": seeds()}
    return (
        Trial("one seed", dict(n=1), given, says=(1,)),
        Trial("no seed", dict(n=0), none, says=(0,)),
    )


# fmt: off
PAIRS = (
    *often(
        wrong("turned_round", "d = a - b", "d = b - a",
              "You take b - a. Asked is what a has more than b."),
        wrong("without_a_sign", "d = a - b", "d = (a - b).abs()",
              "You leave out the signs. Where b was better the difference is below 0."),
        wrong("relative", "d = a - b", "d = (a - b) / b",
              "You divide by b. The difference itself is asked for, in the unit of a and b."),
    ),
    wrong("not_paired", "d.std() / math.sqrt(n)", "((a.var() + b.var()) / n).sqrt()",
          "You take the spreads of a and of b apart. What both owe to their seed stays in them; in"
          " a - b it cancels: take the spread of the differences."),
)

SPREADS = (
    *often(
        wrong("spread_of_one", "d.std() / math.sqrt(n)", "d.std()",
              "You give the spread of single differences. Their mean is surer than one of them: divide"
              " by the root of n."),
        wrong("divided_by_n", "math.sqrt(n)", "n",
              "You divide by n. The spread of a mean falls with the root of n."),
        wrong("root_of_one_less", "math.sqrt(n)", "math.sqrt(n - 1)",
              "You divide by the root of n - 1. The n - 1 already stands in the standard deviation:"
              " here it is the root of n."),
        wrong("population_spread", "d.std()", "d.std(correction=0)",
              "Your standard deviation divides by n. The mean was taken from the same seeds, so that"
              " n - 1 is left: `std()` as it comes."),
        wrong("variance", "d.std() / math.sqrt(n)", "d.var() / n",
              "You give the square of the error. Take the root."),
    ),
    wrong("half_of_the_interval", "d.std() / math.sqrt(n)", "1.96 * d.std() / math.sqrt(n)",
          "You multiply by 1.96: that is half of a 95 % interval. The standard error itself is asked"
          " for."),
    wrong("both_counted", "math.sqrt(n)", "math.sqrt(2 * n)",
          "You divide by the root of 2 n, as if a and b were single measurements. There are n"
          " differences."),
    wrong("spread_of_sizes", "d.std()", "d.abs().std()",
          "You take the spread of the differences without their signs. Keep the signs."),
    wrong("median_for_mean", "d.mean()", "d.median()",
          "You give the median. The standard error is that of the mean."),
    wrong("t_for_error", "return d.mean(), d.std() / math.sqrt(n)",
          "return d.mean(), d.mean() / (d.std() / math.sqrt(n))",
          "The second number is t, the mean over its error. The error itself is asked for."),
    same("d.std() / math.sqrt(n)", "(d.var() / n).sqrt()"),
)
# fmt: on


def paired_by_sums(a, b):
    d = [x - y for x, y in zip(a, b, strict=True)]
    if len(d) < 2:
        raise ValueError(f"{len(d)} seeds have no spread")
    mean = sum(d) / len(d)
    squares = sum((x - mean) ** 2 for x in d)
    return mean, (squares / (len(d) - 1) / len(d)) ** 0.5


def paired_by_moments(a, b):
    if a.numel() < 2:
        raise ValueError(f"only {a.numel()}")
    variance, mean = torch.var_mean(a - b)
    return mean, variance.sqrt() * a.numel() ** -0.5


EXERCISE = Exercise(
    id="capstone.paired_difference",
    solution=paired_difference,
    probes={"paired_difference": ("", "")},
    trials=paired_trials,
    slips=(*PAIRS, *SPREADS),
    hints=(
        "Two networks share a seed. What do their accuracies have in common, and where does it cancel?",
        (
            "d = a - b has one number a seed. The spread of single differences is `d.std()`, with"
            " n - 1. By how much is a mean of n surer than one of them?"
        ),
        "d = a - b\nmean of d, and std of d over the root of n\nValueError, with n, for n < 2",
    ),
    minutes=5,
    difficulty=2,
    otherwise=(paired_by_sums, paired_by_moments),
    refuses=too_few,
)
