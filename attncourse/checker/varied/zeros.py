"""Genuine zeros: a number like any other, not padding."""

from collections.abc import Iterator

import torch

from attncourse.checker.trials import Prepared
from attncourse.checker.varied.kind import Varied, changed, numbers
from attncourse.exercises.record import Exercise

OFTEN = "Is padding, or what is hidden, found by its value? A 0 may be a number like any other."


def varied(ex: Exercise, trial: Prepared) -> Iterator[Varied]:
    if "sizes" in ex.skip:
        return
    some = {n: _some(ex, n, trial.inputs[n]) for n in sorted(trial.drawn)}
    none = {n: torch.zeros_like(trial.inputs[n]) for n in sorted(trial.drawn)}
    for name, inputs in (
        ("with zeros among the numbers", some),
        ("where all numbers are 0", none),
    ):
        changes = changed(trial, name, inputs)
        yield Varied(changes, "takes_zeros_for_padding", OFTEN, ties=True)


def _some(ex: Exercise, name: str, x: torch.Tensor) -> torch.Tensor:
    """Every second number 0, about; and all of those that stand first along some axis."""
    x = torch.where(numbers(ex, f"zeros {name}", tuple(x.shape)) > 0, x, 0.0)
    if x.ndim:
        x.select(-1, 0).zero_()
    if x.ndim > 1:
        x.select(-2, 0).zero_()
    return x
