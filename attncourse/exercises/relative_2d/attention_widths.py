"""How many features the keys and the values of all heads have."""

from attncourse.exercises.edits import often, wrong
from attncourse.exercises.record import Exercise, Trial
from solutions.relative_2d import attention_widths


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
            ("for 40 channels, kappa = 1, upsilon = 0.1, 5 heads", 40, 1.0, 0.1, 5),
        )
    )


def not_quite_whole():
    name = "where 0.29 · 100 should be 29 and is 28.999… in floats: round to six places first"
    return Trial(name, {}, dict(out_channels=100, kappa=0.58, upsilon=0.29, heads=1))


# fmt: off
SHARES = (
    *often(
        wrong("shares_swapped", "share(upsilon)", "share(kappa)",
              "kappa and upsilon are exchanged: kappa is for the keys, upsilon for the values.",
              ("max(share(kappa)", "max(share(upsilon)")),
    ),
    wrong("keys_by_upsilon_too", "share(kappa)", "share(kappa * upsilon)",
          "The keys get kappa of the values' channels. Both are fractions of out_channels."),
)

ROUNDINGS = (
    *often(
        wrong("rounded_up", "math.floor", "math.ceil",
              "You round up to a multiple of the heads. The paper's parameters come out when it is"
              " rounded down."),
        wrong("rounded_to_the_nearest", "math.floor(round(part * out_channels / heads, 6))",
              "math.floor(part * out_channels / heads + 0.5)",
              "You round to the nearest multiple of the heads. The paper's parameters come out when"
              " it is rounded down."),
        wrong("not_a_multiple", "out_channels / heads, 6)) * heads", "out_channels, 6))",
              "You round to a whole number only. Heads are of equal width: round down to a multiple"
              " of `heads`."),
    ),
    wrong("rounded_half_to_even", "math.floor(round(part * out_channels / heads, 6))",
          "round(part * out_channels / heads)",
          "You round to the nearest multiple of the heads, with `round`. The paper's parameters"
          " come out when it is rounded down."),
    wrong("multiple_of_eight", "/ heads, 6)) * heads", "/ 8, 6)) * 8",
          "You round down to a multiple of 8. It is a multiple of `heads`; in the paper's networks"
          " the two are the same."),
    wrong("width_of_one_head", "6)) * heads", "6))",
          "You return the width of one head. dk and dv are those of all heads together."),
    wrong("widths_of_one_head", "20 * heads), dv)", "20 * heads) // heads, dv // heads)",
          "You return the widths of one head. dk and dv are those of all heads together."),
)

LEAST = (
    *often(
        wrong("no_least_width", "max(share", "(share",
              "Your keys may get fewer than 20 features a head.",
              (", 20 * heads)", ")")),
        wrong("keys_without_values", " if dv else (0, 0)", "",
              "Without values (dv = 0) nothing reads the keys: return 0, 0."),
    ),
    wrong("twenty_in_all", "20 * heads", "20",
          "You ask for 20 features in all. It is 20 for each head: 20 heads."),
    wrong("twenty_in_all_rounded_up", "20 * heads", "-(-20 // heads) * heads",
          "You ask for 20 features in all. It is 20 for each head: 20 heads."),
    wrong("twenty_where_all_have_fewer", "max(share(kappa), 20 * heads)",
          "(20 * heads if share(kappa) < 20 else share(kappa))",
          "You compare the width of all heads with 20. It is each head that needs 20: the larger of"
          " kappa's share and 20 heads."),
    wrong("always_twenty", "max(share(kappa), 20 * heads)", "20 * heads",
          "You take 20 features a head whatever kappa says. It is the least, not the rule."),
    wrong("at_most_twenty", "max(", "min(",
          "You take the smaller of the two: 20 features a head is the least, not the most."),
    wrong("values_have_a_least_width", "20 * heads), dv)", "20 * heads), max(dv, 20 * heads))",
          "You give the values 20 features a head as well. The least width is for the keys."),
    wrong("one_feature_a_head_at_least", "dv = share(upsilon)", "dv = max(share(upsilon), heads)",
          "You give each head one value at least. Where upsilon leaves none, there is no attention:"
          " 0, 0."),
    wrong("empty_for_upsilon_0_alone", "if dv else", "if upsilon else",
          "You return 0, 0 where upsilon is 0. A small upsilon may leave no values either, once"
          " rounded down: look at dv."),
    wrong("values_returned_first", "(max(share(kappa), 20 * heads), dv)",
          "(dv, max(share(kappa), 20 * heads))",
          "You return dv first. The order is dk, dv."),
)
# fmt: on


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
    remark=not_quite_whole,
    slips=(*SHARES, *ROUNDINGS, *LEAST),
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
