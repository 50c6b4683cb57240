"""The record of `positional.rotary`."""

import torch
from einops import rearrange, repeat

from attncourse.exercises.families import family, named
from attncourse.exercises.positional.shared import rotary_complex
from attncourse.exercises.record import Exercise, Given, Trial, slip
from solutions.positional import (
    rotary,
)


def rotary_trials():
    def trial(name, positions, front="b", **sizes):
        where = Given("n", torch.tensor(positions))
        return Trial(name, sizes, dict(x=f"{front} n d", positions=where))

    return (
        trial("at positions 0 to 4", list(range(5)), b=2, n=5, d=6),
        trial("at positions 7, 2, 2 and 9", [7, 2, 2, 9], b=3, n=4, d=8),
        trial("with an axis of heads", [3, 4, 5, 6, 7], "b head", b=2, head=3, n=5, d=4),
    )


def odd_widths():
    where = Given("n", torch.arange(4))
    return (Trial("5 features", dict(b=2, n=4), dict(x="b n 5", positions=where)),)


def as_they_come(positions, x):
    return positions.to(x)


def geometric_pairs(d):
    return 10000 ** (-torch.arange(0, d, 2, dtype=torch.float64) / d)


def neighbours(x):
    return rearrange(x, "... (pair two) -> two ... pair", two=2)


def beside(a, b):
    return rearrange([a, b], "two ... pair -> ... (pair two)")


def halves(x):
    return rearrange(x, "... (two pair) -> two ... pair", two=2)


def after_each_other(a, b):
    return rearrange([a, b], "two ... pair -> ... (two pair)")


def in_pairs():
    return neighbours, beside


def as_halves():
    return halves, after_each_other


def turn(a, b, cos, sin):
    return a * cos - b * sin, a * sin + b * cos


def rotary_recipe(placing=as_they_come, timing=geometric_pairs, laying=in_pairs, turning=turn):
    """`rotary` with some of its steps replaced."""

    def answer(x, positions):
        angles = placing(positions, x)[:, None] * timing(x.shape[-1]).to(x)
        take, put = laying()
        return put(*turning(*take(x), angles.cos(), angles.sin()))

    return answer


def counted_by_yourself(positions, x):
    """You count 0, 1, 2, … yourself: the positions that come in are not used."""
    return torch.arange(len(positions)).to(x)


def begun_at_one(positions, x):
    """You add 1 to the positions. Position 0 is not turned."""
    return positions.to(x) + 1


def turned_back(positions, x):
    """You turn the wrong way round: (a, b) becomes (a cos - b sin, a sin + b cos)."""
    return -positions.to(x)


def pairs_of_base_1000(d):
    """Your base is 1000. It is 10000."""
    return 1000 ** (-torch.arange(0, d, 2, dtype=torch.float64) / d)


def pairs_ever_faster(d):
    """The sign of the exponent is turned: your pairs get faster. Pair i has frequency
    10000^(-2i/d)."""
    return 10000 ** (torch.arange(0, d, 2, dtype=torch.float64) / d)


def pairs_half_the_exponent(d):
    """The exponent is i/d where i counts the pairs: the 2 is missing. It is 2i/d."""
    return 10000 ** (-torch.arange(d // 2, dtype=torch.float64) / d)


def pairs_twice_the_exponent(d):
    """The exponent is 4i/d: you multiply by 2 once too often. It is 2i/d where i counts the
    pairs."""
    return 10000 ** (-2 * torch.arange(0, d, 2, dtype=torch.float64) / d)


def one_angle(d):
    """All pairs turn by the same angle. Pair i has a frequency of its own, 10000^(-2i/d)."""
    return torch.ones(d // 2, dtype=torch.float64)


def backwards(d):
    """Your frequencies come in the wrong order: the first pair is the fastest."""
    return geometric_pairs(d).flip(0)


def added(a, b, cos, sin):
    """You add sine and cosine to the features, as sinusoidal positions do. Here each pair
    turns."""
    return a + sin, b + cos


def scaled_by_waves(a, b, cos, sin):
    """You multiply each feature with a sine or a cosine. A rotation mixes the two of a pair:
    (a cos - b sin, a sin + b cos)."""
    return a * cos, b * sin


def cosines_alone(a, b, cos, sin):
    """The sine terms are missing: (a cos - b sin, a sin + b cos)."""
    return a * cos, b * cos


def two_pluses(a, b, cos, sin):
    """Both signs are plus: that is no rotation. One of the two sine terms has a minus:
    a cos - b sin."""
    return a * cos + b * sin, a * sin + b * cos


def sine_for_cosine(a, b, cos, sin):
    """Sine and cosine are exchanged: at angle 0 nothing must change, so the cosine belongs to
    the feature itself."""
    return a * sin - b * cos, a * cos + b * sin


def second_left_alone(a, b, cos, sin):
    """Only the first of each pair is turned. The second becomes a sin + b cos."""
    return a * cos - b * sin, b + 0 * a


def first_overwritten(a, b, cos, sin):
    """You compute the second of a pair with the first already turned. Both need the old
    values."""
    a = a * cos - b * sin
    return a, a * sin + b * cos


def pair_exchanged(a, b, cos, sin):
    """The two of a pair come out in the wrong order."""
    return a * sin + b * cos, a * cos - b * sin


def pulled_apart():
    """You pair neighbours and put the results back as halves: the features change their places.
    Put them back as you took them: "(pair two)"."""
    return neighbours, after_each_other


def halves_put_back_as_neighbours():
    """You pair the halves and put the results back as neighbours: the features change their
    places. Put them back as you took them."""
    return halves, beside


TurnedInHalves = named(
    "TurnedInHalves",
    "You pair feature i with feature i + d/2, as GPT-NeoX and Llama do in Hugging Face's"
    " transformers. RoFormer pairs neighbours, 2i and 2i + 1. The two are alike up to the order"
    " of features, but weights trained for one do not fit the other.",
    rotary_recipe(laying=as_halves),
    variant=True,
)


@slip
def halves_by_angles_of_neighbours(x, positions):
    """You pair the halves, but your angles come in pairs of neighbours (repeat_interleave): the
    two of a pair turn by different angles. For halves the angles are repeated as a whole."""
    angles = positions.to(x)[:, None] * geometric_pairs(x.shape[-1]).to(x)
    angles = repeat(angles, "n pair -> n (pair two)", two=2)
    a, b = halves(x)
    return x * angles.cos() + torch.cat([-b, a], -1) * angles.sin()


@slip
def neighbours_by_angles_of_halves(x, positions):
    """You pair neighbours, but your angles are repeated as a whole (cat of twice the same): the
    two of a pair turn by different angles. Repeat each angle twice in a row."""
    angles = positions.to(x)[:, None] * geometric_pairs(x.shape[-1]).to(x)
    angles = repeat(angles, "n pair -> n (two pair)", two=2)
    a, b = neighbours(x)
    return x * angles.cos() + beside(-b, a) * angles.sin()


def rotary_by_matrices(x, positions):
    d = x.shape[-1]
    frequency = 1 / 10000 ** (torch.arange(0, d, 2, dtype=x.dtype, device=x.device) / d)
    angles = positions[:, None] * frequency
    cos, sin = angles.cos(), angles.sin()
    turns = torch.stack([torch.stack([cos, -sin], -1), torch.stack([sin, cos], -1)], -2)
    pairs = x.reshape(*x.shape[:-1], d // 2, 2, 1)
    return (turns @ pairs).flatten(-3)


def rotary_half_trick(x, positions):
    d = x.shape[-1]
    frequency = 10000 ** (-torch.arange(0, d, 2, device=x.device).to(x.dtype) / d)
    angles = (positions.to(x.dtype)[:, None] * frequency).repeat_interleave(2, dim=-1)
    other = torch.stack([-x[..., 1::2], x[..., 0::2]], dim=-1).reshape(x.shape)
    return x * angles.cos() + other * angles.sin()


EXERCISE = Exercise(
    id="positional.rotary",
    solution=rotary,
    probes={"rotary": "b n d"},
    trials=rotary_trials,
    slips=(
        *family(
            rotary_recipe,
            unsaid=dict(laying=(as_halves,)),
            placing=(counted_by_yourself, begun_at_one, turned_back),
            timing=(
                pairs_of_base_1000,
                pairs_ever_faster,
                pairs_half_the_exponent,
                pairs_twice_the_exponent,
                one_angle,
                backwards,
            ),
            laying=(pulled_apart, halves_put_back_as_neighbours),
            turning=(
                added,
                scaled_by_waves,
                cosines_alone,
                two_pluses,
                sine_for_cosine,
                second_left_alone,
                first_overwritten,
                pair_exchanged,
            ),
        ),
        halves_by_angles_of_neighbours,
        neighbours_by_angles_of_halves,
        TurnedInHalves,
    ),
    hints=(
        (
            "A point (a, b) of the plane turns by an angle φ about the origin. Where does"
            " it end up?"
        ),
        (
            "At (a cos φ - b sin φ, a sin φ + b cos φ). Every pair (2i, 2i + 1) is such a"
            " point, and its angle is the position times 10000^(-2i/d). All those sines and"
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
    skip=frozenset({"large", "kind"}),
)
