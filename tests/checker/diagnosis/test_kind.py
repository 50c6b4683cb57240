"""Kind, number and shape of what is returned."""

from told import ATTENTION, first_line

from attncourse import check
from attncourse.exercises.record import Exercise, Trial
from solutions.relative_2d import attention_widths
from solutions.scaled_dot_product import scaled_dot_product_attention


def test_a_squeeze_that_takes_too_much_is_caught():
    verdict = check(ATTENTION, lambda *a: scaled_dot_product_attention(*a).squeeze())
    assert verdict.status == "not yet"
    assert "`squeeze()` takes all of them away" in first_line(verdict)


def test_of_several_numbers_the_wrong_one_is_named():
    def second_wrong(out_channels, kappa, upsilon, heads):
        dk, dv = attention_widths(out_channels, kappa, upsilon, heads)
        return dk, dv + 1

    verdict = check("relative_2d.attention_widths", second_wrong)
    assert "[1]` returns 49; it should return 48" in first_line(verdict)


def test_several_values_may_come_in_a_list():
    def two(x):
        return x + 1, 2 * x

    def listed(x):
        return [x + 1, 2 * x]

    trial = Trial("on two examples", dict(b=2, n=3), dict(x="b n"))
    ex = Exercise("engine.two", two, {"two": ("b n", "b n")}, lambda: (trial,), (), (), 1, 1)
    assert check(ex, listed).status == "passed"
