"""Does a module begin with the values that the exercise gives, where these are not random?"""

import torch
from torch import Tensor

from attncourse.checker.case import Case
from attncourse.checker.fault import Fault
from attncourse.checker.running import Crash, attempt


def examine(case: Case) -> Fault | None:
    if not case.ex.is_module:
        return None
    for index in case.sheet.declared:
        trial = case.trials[index]
        one, two = (_begun(case.ex.solution, trial.init, seed) for seed in (0, 1))
        mine = attempt(lambda t=trial: _begun(case.answer, t.init, 0))
        if isinstance(mine, Crash) or len(mine) != len(one):
            return None
        for (name, right), other, own in zip(
            one.items(), two.values(), mine.values(), strict=True
        ):
            fixed = torch.equal(right, other)
            if fixed and right.shape == own.shape and not torch.allclose(own.to(right), right):
                return Fault(
                    f"The values are right, but `{name}` begins at {_shown(own)} where the"
                    f" given `__init__` begins at {_shown(right)}. Leave it as it is.",
                    (),
                    "begins_otherwise",
                )
    return None


def _begun(module, init, seed: int) -> dict[str, Tensor]:
    torch.manual_seed(seed)
    return module(**init).state_dict()


def _shown(w: Tensor) -> str:
    """One number where all are alike."""
    low, high = w.min().item(), w.max().item()
    return f"{low:.4g}" if low == high else f"{low:.4g} to {high:.4g}"
