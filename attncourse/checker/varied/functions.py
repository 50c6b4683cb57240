"""Another function passed in: what it returns counts, not what it mostly is."""

from collections.abc import Callable, Iterator
from functools import wraps
from inspect import signature
from typing import Any

from torch import Tensor, nn

from attncourse.checker.trials import Prepared
from attncourse.checker.varied.kind import Varied, before, changed
from attncourse.exercises.record import Exercise


def varied(ex: Exercise, trial: Prepared) -> Iterator[Varied]:
    if ex.is_module or ex.through:
        return
    for name, parameter in signature(ex.solution).parameters.items():
        function = trial.inputs.get(name, parameter.default)
        if callable(function) and not isinstance(function, type | nn.Module):
            inputs = {**before(ex.solution, name), **trial.inputs, name: _scaled(function)}
            one = changed(trial, f"with another `{name}`", inputs)
            yield Varied(one, "ignores_an_argument", f"Is `{name}` what you call?")


def _scaled(function: Callable) -> Callable:
    """The same function, its results three times as large."""

    @wraps(function)
    def scaled(*given: Any, **named: Any) -> Any:
        y = function(*given, **named)
        return 3 * y if isinstance(y, Tensor) and y.is_floating_point() else y

    return scaled
