"""A trial made ready: its numbers drawn, the same ones every time, and varied."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any
from zlib import crc32

import torch
from torch import Tensor

from attncourse.exercises.letters import draw
from attncourse.exercises.record import Exercise, Given, Trial

VALUES, LARGE, STRIDED, FLOAT32, HALF = "values", "large", "strided", "float32", "half"


@dataclass(frozen=True)
class Prepared:
    """A trial with its numbers drawn, and with the weights that every module is given.

    drawn  the inputs that are random numbers; the others have the values that they need
    """

    name: str
    group: str
    sizes: Mapping[str, int]
    inputs: Mapping[str, Any]
    axes: Mapping[str, str]
    init: Mapping[str, Any]
    weights: Mapping[str, Tensor] | None
    evaluate: bool = False
    drawn: frozenset[str] = frozenset()

    def fresh(self) -> dict[str, Any]:
        """The inputs, cloned, so that nobody can spoil them for the next."""
        return {name: _clone(value) for name, value in self.inputs.items()}

    @property
    def dtype(self) -> torch.dtype:
        """The floating type of this trial."""
        return {FLOAT32: torch.float32, HALF: torch.float16}.get(self.group, torch.float64)

    @property
    def seen(self) -> str:
        """How a message says on which trial something was seen."""
        sizes = ", ".join(f"{axis}={n}" for axis, n in self.sizes.items())
        return f"Seen {self.name} ({sizes})." if sizes else f"Seen {self.name}."


def _clone(value: Any) -> Any:
    if not isinstance(value, Tensor):
        return value
    copy = value.clone()  # keeps the order in memory, not the gaps
    return copy if copy.stride() == value.stride() else _strided(value)


def _strided(value: Tensor) -> Tensor:
    """The same numbers scattered in memory: no two neighbours, and the last axes exchanged."""
    if value.ndim >= 2:
        return torch.stack([value.mT, value.mT], dim=-1)[..., 0].mT
    return torch.stack([value, value], dim=-1)[..., 0] if value.ndim else value


def prepare(ex: Exercise, trial: Trial, seed: str, weights: bool = True) -> Prepared:
    """Draw a trial's inputs and the weights of its modules, always the same for the same
    seed."""
    generator = torch.Generator().manual_seed(crc32(f"{ex.id} {seed}".encode()))
    inputs, axes = {}, {}
    for name, value in trial.inputs.items():
        if isinstance(value, str):
            inputs[name], axes[name] = draw(value, trial.sizes, generator), value
        elif isinstance(value, Given):
            inputs[name], axes[name] = value.value, value.axes
        else:
            inputs[name] = value
    drawn = _weights(ex, trial, generator) if ex.is_module and weights else None
    return Prepared(
        name=trial.name,
        group=VALUES,
        sizes=trial.sizes,
        inputs=inputs,
        axes=axes,
        init=trial.init,
        weights=drawn,
        evaluate=trial.evaluate,
        drawn=frozenset(n for n, value in trial.inputs.items() if isinstance(value, str)),
    )


def _weights(ex: Exercise, trial: Trial, generator: torch.Generator) -> dict[str, Tensor]:
    """What every module is given on a trial, whatever it begins with."""
    weights = {
        name: (
            0.5 * torch.randn(w.shape, generator=generator, dtype=torch.float64)
            if w.is_floating_point()
            else w
        )
        for name, w in ex.solution(**trial.init).state_dict().items()
    }
    for name in weights:  # a running variance is positive
        if name.endswith("running_var"):
            weights[name] = weights[name].abs() + 0.5
    return weights


def three_more(ex: Exercise, first: Prepared, large: bool = True) -> Iterator[Prepared]:
    """The first trial once more: with large numbers, scattered in memory, in single
    precision."""

    def turned(group: str, name: str, turn: Callable[[Tensor], Tensor], weights=first.weights):
        inputs = {
            n: turn(x) if isinstance(x, Tensor) and x.is_floating_point() else x
            for n, x in first.inputs.items()
        }
        return replace(first, group=group, name=name, inputs=inputs, weights=weights)

    tensors = [x for x in first.inputs.values() if isinstance(x, Tensor)]
    floats = [x for x in tensors if x.is_floating_point()]
    if floats and large and LARGE not in ex.skip:
        yield turned(LARGE, f"{first.name}, a thousand times as large", lambda x: 1000 * x)
    if floats and STRIDED not in ex.skip:
        yield turned(STRIDED, f"{first.name}, not contiguous in memory", _strided)
    if floats and FLOAT32 not in ex.skip:
        yield in_precision(first, FLOAT32, "in single precision", torch.float32)


def in_precision(first: Prepared, group: str, name: str, dtype: torch.dtype) -> Prepared:
    """A trial once more, its numbers and weights in another floating type."""

    def turn(x: Any) -> Any:
        return x.to(dtype) if isinstance(x, Tensor) and x.is_floating_point() else x

    inputs = {n: turn(x) for n, x in first.inputs.items()}
    weights = first.weights and {n: turn(w) for n, w in first.weights.items()}
    return replace(
        first, group=group, name=f"{first.name}, {name}", inputs=inputs, weights=weights
    )
