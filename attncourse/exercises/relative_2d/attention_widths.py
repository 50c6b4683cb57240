"""The record of `relative_2d.attention_widths`."""

import math

from attncourse.exercises.families import family
from attncourse.exercises.record import Exercise, Trial
from solutions.relative_2d import (
    attention_widths,
)


def width_trials():
    return tuple(
        Trial(
            name,
            {},
            dict(out_channels=channels, kappa=kappa, upsilon=upsilon, heads=heads),
        )
        for name, channels, kappa, upsilon, heads in (
            ("for 512 channels, kappa = 0.2, upsilon = 0.1, 8 heads", 512, 0.2, 0.1, 8),
            ("for 1000 channels, kappa = 0.3, upsilon = 0.25, 7 heads", 1000, 0.3, 0.25, 7),
            ("for 90 channels, kappa = 1, upsilon = 0.5, 4 heads", 90, 1.0, 0.5, 4),
            ("for 30 channels, kappa = 0.5, upsilon = 0.1, 3 heads", 30, 0.5, 0.1, 3),
            ("for 130 channels, upsilon = 0, 6 heads", 130, 1.0, 0.0, 6),
            ("for 2050 channels, kappa = upsilon = 0.5, 4 heads", 2050, 0.5, 0.5, 4),
            ("for 100 channels, kappa = 0.58, upsilon = 0.29, 1 head", 100, 0.58, 0.29, 1),
            ("for 40 channels, kappa = 1, upsilon = 0.1, 5 heads", 40, 1.0, 0.1, 5),
        )
    )


def down_to_heads(part, heads):
    return math.floor(round(part / heads, 6)) * heads


def twenty_a_head(dk, heads):
    return max(dk, 20 * heads)


def none_without_values(dk, dv):
    return (dk, dv) if dv else (0, 0)


def widths_recipe(
    sharing=lambda channels, kappa, upsilon: (kappa * channels, upsilon * channels),
    rounding=down_to_heads,
    least=twenty_a_head,
    emptying=none_without_values,
):
    """`attention_widths` with some of its steps replaced."""

    def answer(out_channels, kappa, upsilon, heads):
        dk, dv = (rounding(x, heads) for x in sharing(out_channels, kappa, upsilon))
        return emptying(least(int(dk), heads), int(dv))

    return answer


def shares_swapped(channels, kappa, upsilon):
    """kappa and upsilon are exchanged: kappa is for the keys, upsilon for the values."""
    return upsilon * channels, kappa * channels


def keys_by_upsilon_too(channels, kappa, upsilon):
    """The keys get kappa of the values' channels. Both are shares of out_channels."""
    return kappa * upsilon * channels, upsilon * channels


def rounded_up(part, heads):
    """You round up to a multiple of the heads. The paper's parameters come out when it is
    rounded down."""
    return math.ceil(round(part / heads, 6)) * heads


def rounded_to_the_nearest(part, heads):
    """You round to the nearest multiple of the heads. The paper's parameters come out when it
    is rounded down."""
    return math.floor(part / heads + 0.5) * heads


def rounded_half_to_even(part, heads):
    """You round to the nearest multiple of the heads, with `round`. The paper's parameters come
    out when it is rounded down."""
    return round(part / heads) * heads


def not_a_multiple(part, heads):
    """You round to a whole number only. Heads are of equal width: round down to a multiple of
    `heads`."""
    return math.floor(round(part, 6))


def cut_in_floats(part, heads):
    """You cut off in floats: 0.29 · 100 is 28.999… there, and becomes 28. Round to six places
    before you round down."""
    return int(part) // heads * heads


def width_of_one_head(part, heads):
    """You return the width of one head. dk and dv are those of all heads together."""
    return math.floor(round(part / heads, 6))


def no_least_width(dk, heads):
    """Your keys may get fewer than 20 features a head."""
    return dk


def twenty_in_all(dk, heads):
    """You ask for 20 features in all. It is 20 for each head: 20 heads."""
    return max(dk, 20)


def always_twenty(dk, heads):
    """You take 20 features a head whatever kappa says. It is the least, not the rule."""
    return 20 * heads


def at_most_twenty(dk, heads):
    """You take the smaller of the two: 20 features a head is the least, not the most."""
    return min(dk, 20 * heads)


def keys_without_values(dk, dv):
    """Without values (dv = 0) nothing reads the keys: return 0, 0."""
    return dk, dv


def values_returned_first(out_channels, kappa, upsilon, heads):
    """You return dv first. The order is dk, dv."""
    return attention_widths(out_channels, kappa, upsilon, heads)[::-1]


def widths_of_one_head(out_channels, kappa, upsilon, heads):
    """You return the widths of one head. dk and dv are those of all heads together."""
    dk, dv = attention_widths(out_channels, kappa, upsilon, heads)
    return dk // heads, dv // heads


def multiple_of_eight(out_channels, kappa, upsilon, heads):
    """You round down to a multiple of 8. It is a multiple of `heads`; in the paper's networks
    the two are the same."""
    dk, dv = (math.floor(round(x * out_channels / 8, 6)) * 8 for x in (kappa, upsilon))
    return (max(dk, 20 * heads), dv) if dv else (0, 0)


def values_have_a_least_width(out_channels, kappa, upsilon, heads):
    """You give the values 20 features a head as well. The least width is for the keys."""
    dk, dv = attention_widths(out_channels, kappa, upsilon, heads)
    return dk, max(dv, 20 * heads) if dv else 0


def one_feature_a_head_at_least(out_channels, kappa, upsilon, heads):
    """You give each head one value at least. Where upsilon leaves none, there is no attention:
    0, 0."""
    dk, dv = attention_widths(out_channels, kappa, upsilon, heads)
    return dk or max(down_to_heads(kappa * out_channels, heads), 20 * heads), max(dv, heads)


def empty_for_upsilon_0_alone(out_channels, kappa, upsilon, heads):
    """You return 0, 0 where upsilon is 0. A small upsilon may leave no values either, once
    rounded down: look at dv."""
    dk, dv = (down_to_heads(part * out_channels, heads) for part in (kappa, upsilon))
    return (max(dk, 20 * heads), dv) if upsilon else (0, 0)


def widths_by_remainder(out_channels, kappa, upsilon, heads):
    values = int(upsilon * out_channels + 1e-6)
    values -= values % heads
    if values == 0:
        return 0, 0
    keys = int(kappa * out_channels + 1e-6)
    return max(keys - keys % heads, 20 * heads), values


def widths_a_head(out_channels, kappa, upsilon, heads):
    e = int(upsilon * out_channels / heads + 1e-9)
    d = max(20, int(kappa * out_channels / heads + 1e-9)) if e else 0
    return d * heads, e * heads


EXERCISE = Exercise(
    id="relative_2d.attention_widths",
    solution=attention_widths,
    probes={"attention_widths": ("", "")},
    trials=width_trials,
    slips=(
        *family(
            widths_recipe,
            paired=(
                shares_swapped,
                rounded_up,
                rounded_to_the_nearest,
                not_a_multiple,
                no_least_width,
                keys_without_values,
            ),
            sharing=(shares_swapped, keys_by_upsilon_too),
            rounding=(
                rounded_up,
                rounded_to_the_nearest,
                rounded_half_to_even,
                not_a_multiple,
                cut_in_floats,
                width_of_one_head,
            ),
            least=(no_least_width, twenty_in_all, always_twenty, at_most_twenty),
            emptying=(keys_without_values,),
        ),
        values_returned_first,
        widths_of_one_head,
        multiple_of_eight,
        values_have_a_least_width,
        one_feature_a_head_at_least,
        empty_for_upsilon_0_alone,
    ),
    hints=(
        "0.1 · 512 = 51.2 channels for eight heads. How many does each head get?",
        (
            "6, with 3.2 channels left to the convolution: round down to a multiple of"
            " `heads`. The same for the keys, and then 20 heads if that is more."
        ),
        (
            "dv = floor(upsilon out_channels / heads) heads; without any, return 0, 0\n"
            "dk = the larger of floor(kappa out_channels / heads) heads and 20 heads\n"
            "round the quotient to six places first: in floats 0.29 · 100 is not quite 29"
        ),
    ),
    minutes=5,
    difficulty=1,
    otherwise=(widths_by_remainder, widths_a_head),
    skip=frozenset({"gradients", "large", "strided", "float32", "device"}),
)
