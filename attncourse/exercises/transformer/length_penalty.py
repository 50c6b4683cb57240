"""What the log-probability of a target is divided by, for its length."""

import torch

from attncourse.exercises.edits import wrong
from attncourse.exercises.record import Exercise, Given, Trial
from solutions.transformer import length_penalty


def penalty_trials():
    def trial(name, alpha):
        length = Given("n", torch.tensor([1.0, 2, 4, 5, 9, 12, 13, 20, 31]).double())
        return Trial(name, dict(n=9), dict(length=length, alpha=alpha))

    return (
        trial("with alpha = 0.6", 0.6),
        trial("with alpha = 0", 0.0),
        trial("with alpha = 1.5", 1.5),
    )


# fmt: off
POWERS = (
    wrong("power_of_the_length", "((5 + length) / 6)", "length",
          "You take the length to the power alpha. Wu et al. shift it first: (5 + length) / 6."),
    wrong("power_of_the_five_only", "((5 + length) / 6) ** alpha", "(5 + length) ** alpha / 6",
          "Only the numerator is raised to alpha. The whole fraction is."),
    wrong("powers_apart", "((5 + length) / 6) ** alpha", "(5 + length**alpha) / 6",
          "You raise the length alone to alpha. The whole fraction is raised."),
    wrong("power_forgotten", " ** alpha", "",
          "alpha is not used: it is the power of the fraction."),
    wrong("logarithm_of_the_penalty", "((5 + length) / 6) ** alpha",
          "alpha * ((5 + length) / 6).log()",
          "This is the logarithm of the penalty. Nothing is in logarithms here but the"
          " probability."),
)

FRACTIONS = (
    wrong("penalty_inverted", "(5 + length) / 6", "6 / (5 + length)",
          "This is 1 over the penalty: it falls with the length. Log-probabilities are divided by"
          " it, so it rises."),
    wrong("one_word_fewer", "5 + length", "4 + length",
          "You do not count END. It is part of the length, which comes in already counted."),
    wrong("whole_sixths", "/ 6", "// 6",
          "You divide with `//`, which leaves the remainder out. It is a fraction: `/`."),
    wrong("parentheses_lost", "((5 + length) / 6)", "(5 + length / 6)",
          "Parentheses are lost: 5 + length / 6. The sum is divided by 6."),
)
# fmt: on


def penalty_by_logarithm(length, alpha):
    return (alpha * ((5 + length) / 6).log()).exp()


def penalty_by_ratio(length, alpha):
    return torch.pow(5 + length, alpha) / torch.pow(torch.tensor(6.0).to(length), alpha)


EXERCISE = Exercise(
    id="transformer.length_penalty",
    solution=length_penalty,
    probes={"length_penalty": "n"},
    trials=penalty_trials,
    slips=(*POWERS, *FRACTIONS),
    hints=(
        "What should the penalty be for a single word?",
        "(5 + length) / 6, to the power alpha.",
        "((5 + length) / 6) ** alpha, without parentheses lost",
    ),
    minutes=2,
    difficulty=1,
    otherwise=(penalty_by_logarithm, penalty_by_ratio),
    laws=("penalty_of_one_word", "one_step_more_or_less", "a_constant_factor"),
)
