"""Leading axes in another order in memory, and the same memory for several examples."""

from collections.abc import Iterator

from torch import Tensor

from attncourse.checker.trials import Prepared
from attncourse.checker.varied.kind import Varied, changed
from attncourse.exercises.record import Exercise

OFTEN = "`view` and `.data_ptr` ask for one order in memory; `rearrange` takes any."


def varied(ex: Exercise, trial: Prepared) -> Iterator[Varied]:
    names = [n for n in sorted(trial.drawn) if trial.inputs[n].ndim > 1]
    if not names:
        return
    turned = {n: _turned(trial.inputs[n]) for n in names}
    yield Varied(
        changed(trial, "with its axes in reverse order in memory", turned),
        "needs_contiguous",
        OFTEN,
    )


def _turned(x: Tensor) -> Tensor:
    """The same numbers, the first axis running fastest in memory."""
    back = tuple(reversed(range(x.ndim)))
    return x.permute(back).contiguous().permute(back)
