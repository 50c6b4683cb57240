"""Rotary positions: each pair of features turns by its position times its frequency."""

import torch

from attncourse.exercises.edits import by_hand, often, published, unsaid, wrong
from attncourse.exercises.positional.shared import rotary_complex
from attncourse.exercises.record import Exercise, Given, Trial
from solutions.positional import rotary


def trials():
    def trial(name, positions, front="b", **sizes):
        where = Given("n", torch.tensor(positions))
        return Trial(name, sizes, dict(x=f"{front} n d", positions=where))

    return (
        trial("at positions 0 to 4", list(range(5)), b=2, n=5, d=6),
        trial("at positions 7, 2, 2 and 9", [7, 2, 2, 9], b=3, n=4, d=8),
        trial("at positions between", [0.5, 2.25, 3.0], b=2, n=3, d=10),
        trial("with an axis of heads", [3, 4, 5, 6, 7], "b head", b=2, head=3, n=5, d=4),
    )


def far_away():
    """Where half precision has no number between 2,048 and 2,050."""
    where = Given("n", torch.tensor([3, 2049, 2999, 4095]))
    return Trial(
        "at positions up to 4,095", dict(b=2, n=4, d=6), dict(x="b n d", positions=where)
    )


def odd_widths():
    where = Given("n", torch.arange(4))
    return (Trial("5 features", dict(b=2, n=4), dict(x="b n 5", positions=where), says=(5,)),)


# fmt: off
TAKE = '"... n (pair two) -> two ... n pair"', '"... n (two pair) -> two ... n pair"'
PUT = '"two ... n pair -> ... n (pair two)"', '"two ... n pair -> ... n (two pair)"'
TURNED = "[a * cos - b * sin, a * sin + b * cos]"

POSITIONS = (
    wrong("counted_by_yourself", "positions = positions",
          "positions = torch.arange(len(positions))",
          "You count 0, 1, 2, … yourself: the positions that come in are not used."),
    wrong("begun_at_one", "torch.float32))", "torch.float32)) + 1",
          "You add 1 to the positions. Position 0 is not turned."),
)

FREQUENCIES = (
    by_hand("waves = sinusoidal(positions, x.shape[-1]).to(x.dtype)\n"
            'sin, cos = rearrange(waves, "n (pair wave) -> wave n pair", wave=2)',
            "d = x.shape[-1]\n"
            "frequencies = 10000 ** (-torch.arange(0, d, 2).to(positions) / d)\n"
            "angles = positions[:, None] * frequencies\n"
            "sin, cos = angles.sin().to(x.dtype), angles.cos().to(x.dtype)"),
    wrong("pairs_ever_faster", "(-torch.arange", "(torch.arange",
          "The sign of the exponent is turned: your pairs get faster. Pair i has frequency"
          " 10000^(-2f/d)."),
    wrong("pairs_half_the_exponent", "-torch.arange(0, d, 2)", "-torch.arange(d // 2)",
          "The exponent is f/d where f counts the pairs: the 2 is missing. It is 2f/d."),
    wrong("pairs_of_base_1000", "10000 **", "1000 **",
          "Your base is 1000. It is 10000."),
    wrong("pairs_twice_the_exponent", "(-torch.arange", "(-2 * torch.arange",
          "The exponent is 4f/d: you multiply by 2 once too often. It is 2f/d where f counts the"
          " pairs."),
    wrong("one_angle", "positions[:, None] * frequencies", "positions[:, None].expand(-1, d // 2)",
          "All pairs turn by the same angle. Pair f has a frequency of its own, 10000^(-2f/d)."),
    wrong("backwards", "* frequencies", "* frequencies.flip(0)",
          "Your frequencies come in the wrong order: the first pair is the fastest."),
)

PAIRS = (
    unsaid(*TAKE, PUT),
    published("TurnedInHalves", *TAKE,
              "You pair feature i with feature i + d/2, as GPT-NeoX and Llama do in Hugging Face's"
              " transformers. RoFormer pairs neighbours, 2f and 2f + 1. The two are alike up to the"
              " order of features, but weights trained for one do not fit the other.",
              PUT),
    wrong("pulled_apart", *PUT,
          "You pair neighbours and put the results back as halves: the features change their"
          ' places. Put them back as you took them: "(pair two)".'),
    wrong("halves_put_back_as_neighbours", *TAKE,
          "You pair the halves and put the results back as neighbours: the features change"
          " their places. Put them back as you took them."),
)

TURNS = (
    wrong("turned_back", TURNED, "[a * cos + b * sin, b * cos - a * sin]",
          "You turn the wrong way round: (a, b) becomes (a cos - b sin, a sin + b cos)."),
    wrong("two_pluses", "a * cos - b * sin", "a * cos + b * sin",
          "Both signs are plus: that is no rotation. One of the two sine terms has a minus: a"
          " cos - b sin."),
    wrong("sine_for_cosine", TURNED, "[a * sin - b * cos, a * cos + b * sin]",
          "Sine and cosine are exchanged: at angle 0 nothing must change, so the cosine belongs"
          " to the feature itself."),
    wrong("pair_exchanged", TURNED, "[a * sin + b * cos, a * cos - b * sin]",
          "The two of a pair come out in the wrong order."),
    wrong("added", TURNED, "[a + sin, b + cos]",
          "You add sine and cosine to the features, as sinusoidal positions do. Here each pair"
          " turns."),
    wrong("scaled_by_waves", TURNED, "[a * cos, b * sin]",
          "You multiply each feature with a sine or a cosine. A rotation mixes the two of a pair:"
          " (a cos - b sin, a sin + b cos)."),
    wrong("cosines_alone", TURNED, "[a * cos, b * cos]",
          "The sine terms are missing: (a cos - b sin, a sin + b cos)."),
    wrong("second_left_alone", "a * sin + b * cos", "b",
          "Only the first of each pair is turned. The second becomes a sin + b cos."),
    wrong("first_overwritten", f"turned = {TURNED}",
          "a = a * cos - b * sin\nturned = [a, a * sin + b * cos]",
          "You compute the second of a pair with the first already turned. Both need the old"
          " values."),
)
# fmt: on


def half_trick(x, positions, twice, other):
    """x cos + other sin, with each angle twice: once for either of its pair."""
    d = x.shape[-1]
    if d % 2:
        raise ValueError(f"{d=} is odd")
    frequency = 10000 ** (-torch.arange(0, d, 2, device=x.device).double() / d)
    angles = twice(positions[:, None] * frequency)
    return x * angles.cos().to(x.dtype) + other(x) * angles.sin().to(x.dtype)


def twice_in_a_row(angles):
    return angles.repeat_interleave(2, dim=-1)


def twice_as_a_whole(angles):
    return torch.cat([angles, angles], dim=-1)


def of_neighbours(x):
    return torch.stack([-x[..., 1::2], x[..., 0::2]], dim=-1).reshape(x.shape)


def of_halves(x):
    a, b = x.chunk(2, dim=-1)
    return torch.cat([-b, a], dim=-1)


def halves_by_angles_of_neighbours(x, positions):
    """You pair the halves, but your angles come in pairs of neighbours (repeat_interleave): the
    two of a pair turn by different angles. For halves the angles are repeated as a whole."""
    return half_trick(x, positions, twice_in_a_row, of_halves)


def neighbours_by_angles_of_halves(x, positions):
    """You pair neighbours, but your angles are repeated as a whole (cat of twice the same): the
    two of a pair turn by different angles. Repeat each angle twice in a row."""
    return half_trick(x, positions, twice_as_a_whole, of_neighbours)


def rotary_by_matrices(x, positions):
    d = x.shape[-1]
    if d % 2:
        raise ValueError(f"{d=} is odd")
    frequency = 1 / 10000 ** (torch.arange(0, d, 2, dtype=torch.float64, device=x.device) / d)
    angles = positions[:, None] * frequency
    cos, sin = angles.cos(), angles.sin()
    turns = torch.stack([torch.stack([cos, -sin], -1), torch.stack([sin, cos], -1)], -2)
    pairs = x.reshape(*x.shape[:-1], d // 2, 2, 1)
    return (turns.to(x.dtype) @ pairs).flatten(-3)


def rotary_half_trick(x, positions):
    return half_trick(x, positions, twice_in_a_row, of_neighbours)


EXERCISE = Exercise(
    id="positional.rotary",
    solution=rotary,
    probes={"rotary": "b n d"},
    trials=trials,
    half=far_away,
    slips=often(
        *POSITIONS,
        *FREQUENCIES,
        *PAIRS,
        *TURNS,
        halves_by_angles_of_neighbours,
        neighbours_by_angles_of_halves,
    ),
    hints=(
        (
            "A point (a, b) of the plane turns by an angle φ about the origin. Where does"
            " it end up?"
        ),
        (
            "At (a cos φ - b sin φ, a sin φ + b cos φ). Every pair (2f, 2f + 1) is such a"
            " point, and its angle is the position times 10000^(-2f/d). All those sines and"
            " cosines are in `sinusoidal(positions, d)`."
        ),
        (
            "sin, cos = even and odd columns of sinusoidal(positions, d)   n pair\n"
            "a, b = even and odd features of x                             … n pair\n"
            "a cos - b sin and a sin + b cos, back in turn                 … n (pair two)"
        ),
    ),
    minutes=12,
    difficulty=3,
    otherwise=(rotary_complex, rotary_by_matrices, rotary_half_trick),
    refuses=odd_widths,
    laws=(
        "turning_keeps_lengths",
        "frequencies_have_their_base",
        "pairs_turn_by_their_angle",
        "examples_do_not_mix",
    ),
    skip=frozenset({"large"}),
)
