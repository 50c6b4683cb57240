"""Rates and penalties: powers and factors, read off by asking at other steps and lengths."""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from attncourse.checker.laws.look import Look, close, in_letters, law, said_first
from attncourse.exercises.letters import number

Rate = Callable[..., list[float]]


@said_first
@law
def rates_rise_and_fall(look: Look) -> str | None:
    """The powers of step, of dim and of warmup in the rate, before the top and after it."""
    step, warmup, dim = map(look.trial.inputs.get, ("step", "warmup", "dim"))
    if warmup is None:
        return None

    def rate(*steps: float, **changes: Any) -> list[float]:
        y = look.ask(step=torch.tensor(steps, dtype=step.dtype), **changes)
        if not isinstance(y, Tensor) or y.shape != (len(steps),) or not (y > 0).all():
            raise ValueError("no rates")
        return y.tolist()

    top = float(warmup)
    low, mid, at_top = rate(top / 5, top / 2.5, top)
    if rate(top / 5, 5 * top, warmup=2 * warmup) == rate(top / 5, 5 * top):
        return "The rate does not depend on `warmup`: is a number written in its place?"
    rise = math.log(mid / low) / math.log(2)
    if abs(rise - 1) > 1e-6:
        return (
            f"Up to step = warmup your rate changes like step^{number(rise)}; it must rise"
            " along a straight line, like step."
        )
    high = rate(*_far(top))
    if said := _of_the_fall(rate, top, high):
        return said
    width = math.log(rate(top / 5, dim=4 * dim)[0] / low) / math.log(4)
    if abs(width + 0.5) > 1e-6:
        return f"Your rate changes with the width like dim^{number(width)}; it is dim^-0.5."
    right = [dim**-0.5 * min(s**-0.5, s * warmup**-1.5) for s in (top / 2.5, top, 2 * top)]
    before, there, behind = (a / b for a, b in zip((mid, at_top, high[0]), right, strict=True))
    return _of_factors(rate, warmup, before, there, behind)


def _far(top: float) -> list[float]:
    """Steps after the warm-up, each four times the one before."""
    return [2 * top, 8 * top, 32 * top]


def _of_the_fall(rate: Rate, top: float, high: list[float]) -> str | None:
    """Rates after the warm-up that do not fall like the root of the step."""
    falls = _powers(high)
    if not max(abs(f + 0.5) for f in falls) > 1e-6:
        return None
    since = _powers(rate(*(s + top for s in _far(top))))
    if max(abs(f + 0.5) for f in since) < 1e-6:
        return (
            "After the warm-up you count the steps anew, from `warmup` on. They go on"
            " counting from 1: step^-0.5."
        )
    if abs(falls[0] - falls[1]) < 1e-6:
        how = f"changes like step^{number(falls[0])}"
    else:
        how = f"is multiplied by {number(high[1] / high[0])} from step = 2 warmup to 8 warmup"
    return (
        f"After the warm-up your rate {how}; it must fall like step^-0.5: half as much at"
        " four times the step."
    )


def _of_factors(
    rate: Rate, warmup: int, before: float, there: float, behind: float
) -> str | None:
    """Rates of the right powers, times a factor before step = warmup, there, or behind it."""
    top = float(warmup)
    other = rate(top / 5, warmup=3 * warmup)[0] / rate(top / 5)[0] * 3**1.5
    sizes = {"warmup": warmup} if abs(other - 1) > 1e-6 else {}
    if abs(before - behind) < 1e-6 * before and abs(before - 1) > 1e-6:
        return f"Your rate is everywhere {in_letters(before, sizes)} times what it should be."
    if abs(behind - 1) < 1e-6 and abs(before - 1) > 1e-6:
        return (
            f"Your rate rises as if `warmup` were {number(warmup * before ** (-2 / 3))} and not"
            f" {warmup}: its slope is warmup^-1.5."
        )
    for factor, where in ((before, "up to step = warmup"), (behind, "after the warm-up")):
        if abs(factor - 1) > 1e-6:
            return f"Your rate {where} is {in_letters(factor, sizes)} times what it should be."
    if abs(there - 1) > 1e-6:
        return "Your rate is right before and after step = warmup, but not at this very step."
    return None


def _powers(rates: Sequence[float]) -> list[float]:
    """The power of the step by which a rate changes each time the step becomes four times."""
    return [math.log(one / other, 4) for other, one in pairwise(rates)]


@said_first
@law
def penalty_of_one_word(look: Look) -> str | None:
    """A line of the length to the power alpha, and 1 for one word."""
    alpha = look.trial.inputs.get("alpha")
    if alpha is None:
        return None
    length = torch.arange(1.0, 9, dtype=torch.float64)

    def penalty(alpha: float) -> Tensor:
        y = look.ask(length=length, alpha=alpha)
        if not isinstance(y, Tensor) or y.shape != length.shape:
            raise ValueError("no penalties")
        return y

    plain, squares = penalty(1.0), penalty(2.0)
    slope = (plain[1] - plain[0]).item()
    straight = close(plain, plain[0] + slope * (length - 1)) and abs(slope) > 1e-9
    if straight and close(squares, plain.square()):
        begin = plain[0].item() / slope - 1
        if abs(begin - 5) + abs(6 * slope - 1) < 1e-6:
            return None
        return (
            f"Yours is (({number(begin)} + length) / {number(1 / slope)})^alpha; it should be"
            " ((5 + length) / 6)^alpha."
        )
    if alpha and straight and close(squares, 2 * plain):
        return "You multiply by alpha. It is the power of the whole fraction."
    if not close(penalty(0.0), torch.ones_like(length)):
        return "With alpha = 0 the penalty must be 1 for every length: alpha is a power."
    one = plain[0].item()
    if abs(one - 1) > 1e-6:
        return f"With alpha = 1 one word has the penalty {number(one)}; it must be 6 / 6 = 1."
    return None
