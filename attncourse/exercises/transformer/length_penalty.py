"""The record of `transformer.length_penalty`."""

import torch

from attncourse.exercises.record import Exercise, Given, Trial
from solutions.transformer import (
    length_penalty,
)


def penalty_trials():
    def trial(name, alpha):
        length = Given("n", torch.arange(1.0, 10).double())
        return Trial(name, dict(n=9), dict(length=length, alpha=alpha))

    return (
        trial("with alpha = 0.6", 0.6),
        trial("with alpha = 0", 0.0),
        trial("with alpha = 1.5", 1.5),
    )


def power_of_the_length(length, alpha):
    """You take the length to the power alpha. Wu et al. shift it first: (5 + length) / 6."""
    return length**alpha


def power_of_the_five_only(length, alpha):
    """Only the numerator is raised to alpha. The whole fraction is."""
    return (5 + length) ** alpha / 6


def power_forgotten(length, alpha):
    """alpha is not used: it is the power of the fraction."""
    return (5 + length) / 6


def alpha_as_a_factor(length, alpha):
    """You multiply by alpha. It is the power of the fraction."""
    return alpha * (5 + length) / 6


def penalty_inverted(length, alpha):
    """This is 1 over the penalty: it falls with the length. Log-probabilities are divided by
    it, so it rises."""
    return (6 / (5 + length)) ** alpha


def five_and_six_exchanged(length, alpha):
    """5 and 6 are exchanged: it is (5 + length) / 6, which is 1 for one word."""
    return ((6 + length) / 5) ** alpha


def one_word_fewer(length, alpha):
    """You do not count END. It is part of the length, which comes in already counted."""
    return ((4 + length) / 6) ** alpha


def six_for_five(length, alpha):
    """You add 6 where it is 5: (5 + length) / 6, which is 1 for one word."""
    return ((6 + length) / 6) ** alpha


def divided_by_five(length, alpha):
    """You divide by 5 where it is 6: (5 + length) / 6, which is 1 for one word."""
    return ((5 + length) / 5) ** alpha


def numerator_not_divided(length, alpha):
    """You do not divide by 6: (5 + length) / 6 is 1 for one word."""
    return (5 + length) ** alpha


def whole_sixths(length, alpha):
    """You divide with `//`, which leaves the remainder out. It is a fraction: `/`."""
    return ((5 + length) // 6) ** alpha


def powers_apart(length, alpha):
    """You raise the length alone to alpha. The whole fraction is raised."""
    return (5 + length**alpha) / 6


def parentheses_lost(length, alpha):
    """Parentheses are lost: 5 + length / 6. The sum is divided by 6."""
    return (5 + length / 6) ** alpha


def logarithm_of_the_penalty(length, alpha):
    """This is the logarithm of the penalty. Nothing is in logarithms here but the
    probability."""
    return alpha * ((5 + length) / 6).log()


def penalty_by_logarithm(length, alpha):
    return (alpha * ((5 + length) / 6).log()).exp()


def penalty_by_ratio(length, alpha):
    return torch.pow(5 + length, alpha) / torch.pow(torch.tensor(6.0).to(length), alpha)


EXERCISE = Exercise(
    id="transformer.length_penalty",
    solution=length_penalty,
    probes={"length_penalty": "n"},
    trials=penalty_trials,
    slips=(
        power_of_the_length,
        power_of_the_five_only,
        power_forgotten,
        alpha_as_a_factor,
        penalty_inverted,
        five_and_six_exchanged,
        one_word_fewer,
        six_for_five,
        divided_by_five,
        numerator_not_divided,
        powers_apart,
        whole_sixths,
        parentheses_lost,
        logarithm_of_the_penalty,
    ),
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
