"""The record of `transformer.learning_rate`."""

import math

import torch

from attncourse.exercises.record import Exercise, Given, Trial
from solutions.transformer import (
    learning_rate,
)


def schedule_trials():
    def trial(name, step, dim, warmup):
        return Trial(name, {}, dict(step=Given("n", step), dim=dim, warmup=warmup))

    return (
        trial("on the way up", torch.arange(1.0, 8).double(), 16, 10),
        trial("past the top", torch.arange(11.0, 20).double(), 9, 10),
        trial(
            "for the base model", torch.tensor([1.0, 777, 3999, 4001, 1e5]).double(), 512, 4000
        ),
    )


def width_forgotten(step, dim, warmup=4000):
    """The factor 1 / sqrt(dim) is missing: wider models take smaller steps."""
    return torch.minimum(step**-0.5, step * warmup**-1.5)


def width_multiplied(step, dim, warmup=4000):
    """You multiply by sqrt(dim). It divides: wider models take smaller steps."""
    return dim**0.5 * torch.minimum(step**-0.5, step * warmup**-1.5)


def width_without_root(step, dim, warmup=4000):
    """You divide by dim. It is its root: dim^-0.5."""
    return torch.minimum(step**-0.5, step * warmup**-1.5) / dim


def larger_of_both(step, dim, warmup=4000):
    """You take the larger of the two curves. It is the smaller: up first, then down."""
    return dim**-0.5 * torch.maximum(step**-0.5, step * warmup**-1.5)


def never_warm(step, dim, warmup=4000):
    """The warm-up is missing: the rate falls from the first step on. (Or is the sign of an
    exponent turned, so that the line is never the lower one?)"""
    return dim**-0.5 * step**-0.5


def never_falls(step, dim, warmup=4000):
    """The rate stays where the warm-up has brought it. It falls again, as 1 / sqrt(step)."""
    return dim**-0.5 * warmup**-0.5 * torch.minimum(step / warmup, torch.ones_like(step))


def line_too_steep(step, dim, warmup=4000):
    """The line of the warm-up has slope warmup^-0.5, and the curve meets it far too early. Its
    slope is warmup^-1.5, so that both meet at step = warmup."""
    return dim**-0.5 * torch.minimum(step**-0.5, step * warmup**-0.5)


def line_too_flat(step, dim, warmup=4000):
    """The line of the warm-up rises to 1 at step = warmup. Both curves are warmup^-0.5 there:
    step warmup^-1.5."""
    return dim**-0.5 * torch.minimum(step**-0.5, step / warmup)


def falls_like_one_over_step(step, dim, warmup=4000):
    """The rate falls as 1 / step. It falls as 1 / sqrt(step)."""
    return dim**-0.5 * torch.minimum(warmup**0.5 / step, step * warmup**-1.5)


def always_4000(step, dim, warmup=4000):
    """`warmup` is not used: you have 4000 in its place."""
    return learning_rate(step, dim, 4000)


def one_at_the_top(step, dim, warmup=4000):
    """Your rate is sqrt(warmup) times too large: it is 1 / sqrt(dim) at the top. There both
    curves are warmup^-0.5."""
    return learning_rate(step, dim, warmup) * warmup**0.5


def counted_from_the_top(step, dim, warmup=4000):
    """After the warm-up you count the steps anew, from `warmup` on. They go on counting from 1:
    step^-0.5."""
    late = (step - warmup).clamp(min=1) ** -0.5
    return dim**-0.5 * torch.where(step <= warmup, step * warmup**-1.5, late)


def falls_along_a_line(step, dim, warmup=4000):
    """The rate falls along a straight line. It falls as 1 / sqrt(step)."""
    late = (2 * warmup - step).clamp(min=0) / warmup
    return (dim * warmup) ** -0.5 * torch.minimum(step / warmup, late)


def curve_without_its_root(step, dim, warmup=4000):
    """The curve is 1 / step. It is 1 / sqrt(step), and meets the line at step = warmup."""
    return dim**-0.5 * torch.minimum(1 / step, step * warmup**-1.5)


def counted_from_zero(step, dim, warmup=4000):
    """You shift the steps by one. They count from 1 already."""
    return dim**-0.5 * torch.minimum((step + 1) ** -0.5, (step + 1) * warmup**-1.5)


def rate_by_where(step, dim, warmup=4000):
    top = (dim * warmup) ** -0.5
    return torch.where(step < warmup, top * step / warmup, top * (warmup / step).sqrt())


def rate_by_loop(step, dim, warmup=4000):
    rates = [min(s**-0.5, s / warmup**1.5) / math.sqrt(dim) for s in step.tolist()]
    return torch.tensor(rates, dtype=step.dtype, device=step.device)


EXERCISE = Exercise(
    id="transformer.learning_rate",
    solution=learning_rate,
    probes={"learning_rate": "n"},
    trials=schedule_trials,
    slips=(
        width_forgotten,
        width_multiplied,
        width_without_root,
        larger_of_both,
        never_warm,
        never_falls,
        line_too_steep,
        line_too_flat,
        falls_like_one_over_step,
        always_4000,
        one_at_the_top,
        counted_from_the_top,
        falls_along_a_line,
        curve_without_its_root,
        counted_from_zero,
    ),
    hints=(
        "Which of the two curves is lower before step = warmup, and which after it?",
        "The lower of step^-0.5 and step warmup^-1.5, times dim^-0.5.",
        "dim^-0.5 times torch.minimum(step^-0.5, step times warmup^-1.5)",
    ),
    minutes=4,
    difficulty=1,
    otherwise=(rate_by_where, rate_by_loop),
    laws=("rates_rise_and_fall",),
    skip=frozenset({"gradients", "device"}),
)
