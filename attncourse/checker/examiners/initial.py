"""Does a module begin with the values that the exercise gives, or as widely spread as those?"""

from collections.abc import Mapping
from functools import cache
from math import sqrt

import torch
from torch import Tensor

from attncourse.checker.case import Case
from attncourse.checker.ending import undisturbed
from attncourse.checker.fault import Fault
from attncourse.checker.running import Crash, attempt
from attncourse.checker.sheet import sheet
from attncourse.exercises.record import Exercise


def examine(case: Case) -> Fault | None:
    if not case.ex.is_module:
        return None
    for index in case.sheet.declared:
        trial = case.trials[index]
        one, two = _given(case.ex, index)
        mine = attempt(lambda t=trial: _begun(case.answer, t.init, 0))
        if isinstance(mine, Crash) or len(mine) != len(one):
            return None
        for (name, right), other, own in zip(
            one.items(), two.values(), mine.values(), strict=True
        ):
            if right.shape != own.shape or not right.is_floating_point():
                continue
            if torch.equal(right, other):
                alike = torch.allclose(own.to(right), right)
            else:
                alike = _as_wide(own, right)
            if not alike:
                return Fault(
                    f"The values are right, but `{name}` begins at {_shown(own)} where the"
                    f" given `__init__` begins at {_shown(right)}. Leave it as it is.",
                    (),
                    "begins_otherwise",
                )
    return None


@cache
def _given(ex: Exercise, index: int) -> tuple[Mapping[str, Tensor], ...]:
    """What the solution begins with on a trial, twice."""
    with undisturbed():
        init = sheet(ex).trials[index].init
        return tuple(_begun(ex.solution, init, seed) for seed in (0, 1))


def _as_wide(own: Tensor, right: Tensor) -> bool:
    """Random numbers of the same size, as far as so many can tell: their root mean square
    is off by a part of 1 / sqrt(2 n), and six times that is no chance."""
    chance = 1 + 6 / sqrt(2 * right.numel())
    mine, given = (w.double().square().mean().sqrt().item() for w in (own, right))
    return given / chance**2 <= mine <= given * chance**2


def _begun(module, init, seed: int) -> dict[str, Tensor]:
    torch.manual_seed(seed)
    return module(**init).state_dict()


def _shown(w: Tensor) -> str:
    """One number where all are alike, else the smallest and the largest."""
    low, high = w.min().item(), w.max().item()
    return f"{low:.4g}" if low == high else f"{low:.4g} to {high:.4g}"
