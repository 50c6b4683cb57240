"""Masks that hide all, that hide nothing, and that are broadcast."""

from collections.abc import Iterator

import torch
from torch import Tensor

from attncourse.checker.trials import Prepared
from attncourse.checker.varied.kind import Varied, annotations, changed
from attncourse.exercises.record import Exercise

ALL = "A query that may attend to nothing gets 0 everywhere."
BROADCAST = "The annotation has # before this axis: of length 1, it holds for the whole axis."


def varied(ex: Exercise, trial: Prepared) -> Iterator[Varied]:
    spelt = annotations(ex)
    for name, x in trial.inputs.items():
        if not isinstance(x, Tensor) or x.dtype != torch.bool:
            continue
        for value, how in ((False, "False everywhere"), (True, "True everywhere")):
            one = changed(trial, f"where `{name}` is {how}", {name: torch.full_like(x, value)})
            yield Varied(one, "needs_a_mixed_mask", "" if value else ALL)
        tokens = spelt.get(name, "").split()
        for back, token in enumerate(reversed(tokens), 1):
            if token.startswith("#") and x.shape[-back] > 1:
                short = x.narrow(-back, 0, 1).clone()
                how = f"where `{name}` has length 1 along {token[1:]}"
                one = changed(trial, how, {name: short}, axes=_without(trial.axes, name))
                yield Varied(one, "needs_a_whole_mask", BROADCAST)


def _without(axes, name):
    return {n: letters for n, letters in axes.items() if n != name}
