"""An argument with a default that no trial gives: true for false, more for less."""

from collections.abc import Iterator
from inspect import signature
from typing import Any

from attncourse.checker.trials import Prepared
from attncourse.checker.varied.kind import Varied, before, changed
from attncourse.exercises.record import Exercise


def varied(ex: Exercise, trial: Prepared) -> Iterator[Varied]:
    if ex.through:
        return
    owners = [getattr(ex.solution, p) for p in ex.probes] if ex.is_module else [ex.solution]
    for owner in owners:
        for name, parameter in signature(owner).parameters.items():
            other = _other(trial.inputs.get(name, parameter.default))
            if other is None:
                continue
            inputs = {**before(owner, name), **trial.inputs, name: other}
            one = changed(trial, f"with {name} = {other}", inputs)
            yield Varied(one, "ignores_an_argument", f"Is `{name}` used?")


def _other(value: Any) -> Any:
    """Another value of the same kind; None where none is safe to choose."""
    if isinstance(value, bool):
        return not value
    return value * 1.25 if isinstance(value, float) else None
