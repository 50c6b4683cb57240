"""The learning rate: up along a line, then down as one over the root of the step."""

import math

import torch

from attncourse.exercises.edits import wrong
from attncourse.exercises.record import Exercise, Given, Trial
from solutions.transformer import learning_rate


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


# fmt: off
CURVES = (
    wrong("larger_of_both", "minimum", "maximum",
          "You take the larger of the two curves. It is the smaller: up first, then down."),
    wrong("never_warm", "torch.minimum(step**-0.5, step * warmup**-1.5)", "step**-0.5",
          "The warm-up is missing: the rate falls from the first step on. (Or is the sign of an"
          " exponent turned, so that the line is never the lower one?)"),
    wrong("line_too_steep", "warmup**-1.5", "warmup**-0.5",
          "The line of the warm-up has slope warmup^-0.5, and the curve meets it far too early. Its"
          " slope is warmup^-1.5, so that both meet at step = warmup."),
    wrong("line_too_flat", "step * warmup**-1.5", "step / warmup",
          "The line of the warm-up rises to 1 at step = warmup. Both curves are warmup^-0.5 there:"
          " step warmup^-1.5."),
    wrong("falls_along_a_line", "torch.minimum(step**-0.5, step * warmup**-1.5)",
          "warmup**-1.5 * torch.minimum(step, (2 * warmup - step).clamp(min=0))",
          "The rate falls along a straight line. It falls as 1 / sqrt(step)."),
    wrong("counted_from_zero", "return", "step = step + 1\nreturn",
          "You shift the steps by one. They count from 1 already."),
)

HEIGHTS = (
    wrong("width_forgotten", "dim**-0.5 * ", "",
          "The factor 1 / sqrt(dim) is missing: wider models take smaller steps."),
    wrong("one_at_the_top", "dim**-0.5", "dim**-0.5 * warmup**0.5",
          "Your rate is sqrt(warmup) times too large: it is 1 / sqrt(dim) at the top. There both"
          " curves are warmup^-0.5."),
)
# fmt: on


def rate_by_where(step, dim, warmup=4000):
    top = (dim * warmup) ** -0.5
    return torch.where(step < warmup, top * step / warmup, top * (warmup / step).sqrt())


def rate_by_loop(step, dim, warmup=4000):
    steps = step.flatten().tolist()
    rates = [min(s**-0.5, s / warmup**1.5) / math.sqrt(dim) for s in steps]
    return torch.tensor(rates, dtype=step.dtype, device=step.device).reshape(step.shape)


EXERCISE = Exercise(
    id="transformer.learning_rate",
    solution=learning_rate,
    probes={"learning_rate": "n"},
    trials=schedule_trials,
    slips=(*CURVES, *HEIGHTS),
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
