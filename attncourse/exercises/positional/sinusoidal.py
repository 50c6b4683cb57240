"""Sinusoidal positions: sine and cosine in turn, the pairs ever slower."""

import math

import torch

from attncourse.exercises.edits import often, published, unsaid, wrong
from attncourse.exercises.positional.shared import numbers
from attncourse.exercises.record import Exercise, Given, Trial
from solutions.positional import sinusoidal


def trials():
    def trial(name, positions, dim):
        sizes = dict(n=len(positions), dim=dim)
        return Trial(name, sizes, dict(positions=Given("n", positions), dim=dim))

    return (
        trial("at positions 0 to 8, dim = 6", numbers(*range(9)), 6),
        trial("with an odd width, dim = 5", numbers(*range(7)), 5),
        trial("at positions 12 to 18, dim = 4", numbers(*range(12, 19)), 4),
        trial("between positions, at 0.25, 1.5 and 4", numbers(0.25, 1.5, 4), 2),
    )


# fmt: off
IN_TURN = 'rearrange([angles.sin(), angles.cos()], "wave n pair -> n (pair wave)")'
IN_HALVES = "torch.cat([angles.sin(), angles.cos()], -1)"
EACH_FEATURE = "torch.where(even % 2 == 0, angles.sin(), angles.cos())"

POSITIONS = (
    wrong("positions_ignored", "einsum(positions,",
          "einsum(torch.arange(len(positions)).to(positions),",
          "You count 0, 1, 2, … yourself: the positions that come in are not used."),
    wrong("counted_from_one", "einsum(positions,", "einsum(positions + 1,",
          "You add 1 to the positions. They are used as they are."),
)

FREQUENCIES = (
    wrong("ever_faster", "-even / dim", "even / dim",
          "The sign of the exponent is turned: your pairs get faster. The first has frequency"
          " 1, the others are slower: 10000 to the power of -2f/d."),
    wrong("half_the_exponent", "-even / dim", "-even / 2 / dim",
          "The exponent is f/d where f counts the pairs: the 2 is missing. It is 2f/d."),
    wrong("twice_the_exponent", "-even / dim", "-2 * even / dim",
          "The exponent is 4f/d: f counts the pairs, or the features in steps of 2, and you"
          " multiply by 2 once too often."),
    wrong("exponent_over_all_features", "-even / dim", "-2 * even / dim",
          "In your exponent 2f/d, f counts the features; it counts pairs. Feature 2f and feature"
          " 2f + 1 share their frequency.",
          ("torch.arange(0, dim, 2", "torch.arange(dim"), (IN_TURN, EACH_FEATURE)),
    wrong("every_feature_its_frequency", "torch.arange(0, dim, 2", "torch.arange(dim",
          "Sine and cosine of a pair have frequencies of their own: feature 2f + 1 has the exponent"
          " (2f + 1)/d. The two share the exponent 2f/d.",
          (IN_TURN, EACH_FEATURE)),
    wrong("binary", "10000 ** (-even / dim)", "2 ** (-even / 2)",
          "Your frequencies halve from pair to pair. They are powers of 10000^(-2/d)."),
    wrong("full_turns", "10000 **", "2 * math.pi * 10000 **",
          "You multiply by 2π. The angle is the position times the frequency, in radians."),
    wrong("to_the_last_pair", "-even / dim", "-even / max(2 * (len(even) - 1), 1)",
          "Your exponents are f / (d/2 - 1), so that the last pair has exactly 1/10000, as in"
          " tensor2tensor. In the paper's formula they are 2f/d."),
    wrong("one_more_pair", "-even / dim", "-(even + 2) / dim",
          "Your pairs begin with f = 1. They begin with f = 0: the first has frequency 1."),
    wrong("in_steps", "10000 ** (-even / dim)", "1 - even / dim",
          "Your frequencies fall along a straight line. They are powers: 10000^(-2f/d)."),
)

WAVES = (
    unsaid(IN_TURN, IN_HALVES),
    wrong("cosine_first", "[angles.sin(), angles.cos()]", "[angles.cos(), angles.sin()]",
          "Sine and cosine are exchanged: even features are sines, odd ones cosines."),
    wrong("sines_only", "angles.cos()", "angles.sin()",
          "You take the sine in every feature. Odd features are cosines."),
    wrong("one_feature_too_many", "[:, :dim]", "",
          "With an odd width you return a feature too many: the last sine has no cosine."),
    wrong("cosines_only", "angles.sin()", "angles.cos()",
          "You take the cosine in every feature. Even features are sines."),
    wrong("last_feature_missing", "[:, :dim]", "[:, : dim // 2 * 2]",
          "With an odd width the last feature is missing: it is a sine without its cosine."),
    wrong("last_feature_empty", "return rearrange", "return F.pad(rearrange",
          "With an odd width your last feature is 0: it is a sine without its cosine.",
          ("[:, :dim]", "[:, : dim // 2 * 2], (0, dim % 2))")),
    wrong("halves_with_cosines_first", IN_TURN, "torch.cat([angles.cos(), angles.sin()], -1)",
          "All cosines come first, then all sines, as in code for diffusion steps. In this formula"
          " sine and cosine alternate, and the sine is the first."),
)

PUBLISHED = (
    published("in_halves", IN_TURN, IN_HALVES,
              "Passed in another order of features: all sines first, then all cosines, as in"
              " tensor2tensor. The paper has them in turn; for a network the two are alike."),
    published("tensor2tensor", "torch.arange(0, dim, 2", "torch.arange(dim // 2",
              "These are the frequencies of tensor2tensor, the authors' code: all sines, then all"
              " cosines, with exponents f / (d/2 - 1), so that the slowest pair has exactly"
              " 1/10000. The paper has them in turn, with exponents 2f/d.",
              ("-even / dim", "-even / max(dim // 2 - 1, 1)"),
              (f"{IN_TURN}[:, :dim]", f"F.pad({IN_HALVES}, (0, dim % 2))")),
    published("next_even_width", "-even / dim", "-even / (dim + dim % 2)",
              "For an odd width your frequencies are those of the next even one, cut off, as in the"
              " package positional-encodings. The paper's formula has d itself; it does not speak"
              " of odd d."),
)
# fmt: on


def sinusoidal_loops(positions, dim):
    rows = []
    for p in positions.tolist():
        angles = [p / 10000 ** ((f - f % 2) / dim) for f in range(dim)]
        rows.append([math.cos(a) if f % 2 else math.sin(a) for f, a in enumerate(angles)])
    return torch.tensor(rows, dtype=positions.dtype, device=positions.device)


def sinusoidal_filled(positions, dim):
    table = torch.zeros(len(positions), dim, dtype=positions.dtype, device=positions.device)
    step = torch.arange(0, dim, 2, device=positions.device) * (-math.log(10000.0) / dim)
    angles = positions.unsqueeze(1) * torch.exp(step)
    table[:, 0::2] = torch.sin(angles)
    table[:, 1::2] = torch.cos(angles)[:, : dim // 2]
    return table


def sinusoidal_by_phase(positions, dim):
    feature = torch.arange(dim, device=positions.device, dtype=torch.float64)
    frequency = 1 / 10000 ** ((feature - feature % 2) / dim)
    waves = torch.sin(
        torch.outer(positions.to(frequency), frequency) + feature % 2 * math.pi / 2
    )
    return waves.to(positions.dtype)


EXERCISE = Exercise(
    id="positional.sinusoidal",
    solution=sinusoidal,
    probes={"sinusoidal": "n dim"},
    trials=trials,
    slips=often(*POSITIONS, *FREQUENCIES, *WAVES, *PUBLISHED),
    hints=(
        "How many different frequencies do 6 features have? And 5?",
        (
            "One frequency for each pair of features: 10000^(-2f/d) for f = 0, 1, …, and"
            " `torch.arange(0, dim, 2)` is 2f already. Angles are positions times"
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
