"""The record of `positional.sinusoidal`."""

import math

import torch
from einops import rearrange, repeat
from torch.nn import functional as F

from attncourse.exercises.families import also, family, named
from attncourse.exercises.positional.shared import numbers
from attncourse.exercises.record import Exercise, Given, Trial, variant
from solutions.positional import (
    sinusoidal,
)


def sinusoidal_trials():
    def trial(name, positions, dim):
        sizes = dict(n=len(positions), dim=dim)
        return Trial(name, sizes, dict(positions=Given("n", positions), dim=dim))

    return (
        trial("at positions 0 to 8, dim = 6", numbers(*range(9)), 6),
        trial("with an odd width, dim = 5", numbers(*range(7)), 5),
        trial("at positions 12 to 18, dim = 4", numbers(*range(12, 19)), 4),
        trial("between positions, at 0.25, 1.5 and 4", numbers(0.25, 1.5, 4), 2),
    )


def as_given(positions):
    return positions


def geometric(positions, dim):
    return 10000 ** (-torch.arange(0, dim, 2).to(positions) / dim)


def in_turn(angles, dim):
    return rearrange([angles.sin(), angles.cos()], "wave n pair -> n (pair wave)")[:, :dim]


def sinusoidal_recipe(placing=as_given, timing=geometric, waving=in_turn):
    """`sinusoidal` with some of its steps replaced."""

    def answer(positions, dim):
        angles = placing(positions)[:, None] * timing(positions, dim)
        return waving(angles, dim)

    return answer


def positions_ignored(positions):
    """You count 0, 1, 2, … yourself: the positions that come in are not used."""
    return torch.arange(len(positions)).to(positions)


def counted_from_one(positions):
    """You add 1 to the positions. They are used as they are."""
    return positions + 1


def each_feature_its_own(angles, dim):
    wave = torch.arange(dim) % 2 == 0
    return torch.where(wave, angles.sin(), angles.cos())


@also(waving=each_feature_its_own)
def exponent_over_all_features(positions, dim):
    """The exponent is 2i/d where i counts the features: i counts pairs. Feature 2i and feature
    2i + 1 share their frequency."""
    return 10000 ** (-2 * torch.arange(dim).to(positions) / dim)


@also(waving=each_feature_its_own)
def every_feature_its_frequency(positions, dim):
    """Sine and cosine of a pair have frequencies of their own: feature 2i + 1 has the exponent
    (2i + 1)/d. The two share the exponent 2i/d."""
    return 10000 ** (-torch.arange(dim).to(positions) / dim)


def base_1000(positions, dim):
    """Your base is 1000. It is 10000."""
    return 1000 ** (-torch.arange(0, dim, 2).to(positions) / dim)


def base_100000(positions, dim):
    """Your base is 100000. It is 10000."""
    return 100000 ** (-torch.arange(0, dim, 2).to(positions) / dim)


def ever_faster(positions, dim):
    """The sign of the exponent is turned: your pairs get faster. The first has frequency 1, the
    others are slower: 10000 to the power of -2i/d."""
    return 10000 ** (torch.arange(0, dim, 2).to(positions) / dim)


def half_the_exponent(positions, dim):
    """The exponent is i/d where i counts the pairs: the 2 is missing. It is 2i/d."""
    return 10000 ** (-torch.arange((dim + 1) // 2).to(positions) / dim)


def twice_the_exponent(positions, dim):
    """The exponent is 4i/d: i counts the pairs, or the features in steps of 2, and you multiply
    by 2 once too often."""
    return 10000 ** (-2 * torch.arange(0, dim, 2).to(positions) / dim)


def to_the_last_pair(positions, dim):
    """Your exponents are i / (d/2 - 1), so that the last pair has exactly 1/10000, as in
    tensor2tensor. In the paper's formula they are 2i/d."""
    pairs = (dim + 1) // 2
    return 10000 ** (-torch.arange(pairs).to(positions) / max(pairs - 1, 1))


def one_more_pair(positions, dim):
    """Your pairs begin with i = 1. They begin with i = 0: the first has frequency 1."""
    return 10000 ** (-(torch.arange(0, dim, 2).to(positions) + 2) / dim)


def in_steps(positions, dim):
    """Your frequencies fall along a straight line. They are powers: 10000^(-2i/d)."""
    return 1 - torch.arange(0, dim, 2).to(positions) / dim


def binary(positions, dim):
    """Your frequencies halve from pair to pair. They are powers of 10000^(-2/d)."""
    return 2.0 ** -torch.arange((dim + 1) // 2).to(positions)


def full_turns(positions, dim):
    """You multiply by 2π. The angle is the position times the frequency, in radians."""
    return 2 * math.pi * geometric(positions, dim)


def cosine_first(angles, dim):
    """Sine and cosine are exchanged: even features are sines, odd ones cosines."""
    return rearrange([angles.cos(), angles.sin()], "wave n pair -> n (pair wave)")[:, :dim]


def sines_only(angles, dim):
    """You take the sine in every feature. Odd features are cosines."""
    return repeat(angles.sin(), "n pair -> n (pair wave)", wave=2)[:, :dim]


def cosines_only(angles, dim):
    """You take the cosine in every feature. Even features are sines."""
    return repeat(angles.cos(), "n pair -> n (pair wave)", wave=2)[:, :dim]


def last_feature_missing(angles, dim):
    """With an odd width the last feature is missing: it is a sine without its cosine."""
    return in_turn(angles, dim)[:, : dim // 2 * 2]


def last_feature_empty(angles, dim):
    """With an odd width your last feature is 0: it is a sine without its cosine."""
    return F.pad(last_feature_missing(angles, dim), (0, dim % 2))


def one_feature_too_many(angles, dim):
    """With an odd width you return a feature too many: the last sine has no cosine."""
    return rearrange([angles.sin(), angles.cos()], "wave n pair -> n (pair wave)")


def features_down(angles, dim):
    """Your rows are features and your columns positions: dim n. A row is a position: n dim."""
    return in_turn(angles, dim).mT


def halves_with_cosines_first(angles, dim):
    """All cosines come first, then all sines, as in code for diffusion steps. In this formula
    sine and cosine alternate, and the sine is the first."""
    return torch.cat([angles.cos(), angles.sin()], -1)[:, :dim]


def in_halves(angles, dim):
    """Passed in another order of features: all sines first, then all cosines, as in
    tensor2tensor. The paper has them in turn; for a network the two are alike."""
    return torch.cat([angles.sin(), angles.cos()], dim=-1)[:, :dim]


@variant
def tensor2tensor(positions, dim):
    """These are the frequencies of tensor2tensor, the authors' code: all sines, then all
    cosines, with exponents i / (d/2 - 1), so that the slowest pair has exactly 1/10000. The
    paper has them in turn, with exponents 2i/d."""
    pairs = dim // 2
    steps = torch.arange(pairs).to(positions) / max(pairs - 1, 1)
    angles = positions[:, None] * 10000**-steps
    return F.pad(torch.cat([angles.sin(), angles.cos()], -1), (0, dim % 2))


@variant
def next_even_width(positions, dim):
    """For an odd width your frequencies are those of the next even one, cut off, as in the
    package positional-encodings. The paper's formula has d itself; it does not speak of odd
    d."""
    return sinusoidal(positions, dim + dim % 2)[:, :dim]


def sinusoidal_loops(positions, dim):
    rows = []
    for p in positions.tolist():
        angles = [p / 10000 ** ((f - f % 2) / dim) for f in range(dim)]
        rows.append([math.cos(a) if f % 2 else math.sin(a) for f, a in enumerate(angles)])
    return torch.tensor(rows, dtype=positions.dtype)


def sinusoidal_filled(positions, dim):
    table = torch.zeros(len(positions), dim, dtype=positions.dtype, device=positions.device)
    step = torch.arange(0, dim, 2, device=positions.device) * (-math.log(10000.0) / dim)
    angles = positions.unsqueeze(1) * torch.exp(step)
    table[:, 0::2] = torch.sin(angles)
    table[:, 1::2] = torch.cos(angles)[:, : dim // 2]
    return table


def sinusoidal_by_phase(positions, dim):
    feature = torch.arange(dim, device=positions.device)
    frequency = 1 / 10000 ** ((feature - feature % 2) / dim)
    return torch.sin(torch.outer(positions, frequency) + feature % 2 * math.pi / 2)


EXERCISE = Exercise(
    id="positional.sinusoidal",
    solution=sinusoidal,
    probes={"sinusoidal": "n dim"},
    trials=sinusoidal_trials,
    slips=(
        *family(
            sinusoidal_recipe,
            unsaid=dict(waving=(in_halves,)),
            placing=(positions_ignored, counted_from_one),
            timing=(
                exponent_over_all_features,
                every_feature_its_frequency,
                base_1000,
                base_100000,
                ever_faster,
                half_the_exponent,
                twice_the_exponent,
                binary,
                full_turns,
                to_the_last_pair,
                one_more_pair,
                in_steps,
            ),
            waving=(
                cosine_first,
                sines_only,
                cosines_only,
                last_feature_missing,
                last_feature_empty,
                one_feature_too_many,
                halves_with_cosines_first,
                features_down,
            ),
        ),
        named(
            "in_halves",
            " ".join(in_halves.__doc__.split()),
            sinusoidal_recipe(waving=in_halves),
            variant=True,
        ),
        tensor2tensor,
        next_even_width,
    ),
    hints=(
        "How many different frequencies do 6 features have? And 5?",
        (
            "One frequency for each pair of features: 10000^(-2i/d) for i = 0, 1, …, and"
            " `torch.arange(0, dim, 2)` is 2i already. Angles are positions times"
            " frequencies, n pair. An odd width loses its last cosine."
        ),
        (
            "angles = positions (n) times 10000 ** (-arange(0, dim, 2) / dim) (pair)\n"
            'rearrange([sin, cos], "wave n pair -> n (pair wave)"), cut to dim columns'
        ),
    ),
    minutes=10,
    difficulty=2,
    otherwise=(sinusoidal_loops, sinusoidal_filled, sinusoidal_by_phase),
    laws=(
        "norm_is_constant",
        "gram_is_toeplitz",
        "shift_is_a_rotation",
        "frequencies_have_their_base",
        "pairs_turn_at_their_speed",
    ),
    skip=frozenset({"gradients", "large"}),
)
