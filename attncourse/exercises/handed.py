"""Records that are handed out in place of solutions: where they lie, and their trials as data.

In a clone there are none. A released package has one beside each record, `NAME.json`, which
`attncourse.classroom.recording` wrote.
"""

import json
from collections.abc import Callable, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from attncourse.exercises.record import Given, Trial

HERE = Path(__file__).parent


@cache
def handed_out(id: str) -> Mapping[str, Any] | None:
    """The record of an exercise, where it is handed out without its solution."""
    chapter, _, name = id.partition(".")
    path = HERE / chapter / f"{name}.json"
    if not (chapter.isidentifier() and name.isidentifier() and path.is_file()):
        return None
    return json.loads(path.read_text(encoding="utf-8"))


def trials_of(id: str, which: str) -> Callable[[], tuple[Trial, ...]]:
    """Makes the trials that the record of an exercise holds: `trials` or `refuses`."""
    return partial(_trials, id, which)


def remark_of(id: str) -> Callable[[], Trial]:
    """Makes the trial outside the contract proper."""
    return partial(_remark, id)


def _trials(id: str, which: str) -> tuple[Trial, ...]:
    return tuple(map(trial_from, handed_out(id)["inputs"][which]))


def _remark(id: str) -> Trial:
    return _trials(id, "remark")[0]


def trial_as_data(trial: Trial) -> dict[str, Any]:
    """A trial in the types of JSON. Raises TypeError for what is no data, as a function."""
    return {
        "name": trial.name,
        "sizes": dict(trial.sizes),
        "inputs": {name: _data(value) for name, value in trial.inputs.items()},
        "init": {name: _data(value) for name, value in trial.init.items()},
        "evaluate": trial.evaluate,
        "says": list(trial.says),
    }


def trial_from(kept: Mapping[str, Any]) -> Trial:
    """The trial that `trial_as_data` made this of."""
    inputs, init = ({n: _value(x) for n, x in kept[one].items()} for one in ("inputs", "init"))
    says = tuple(kept["says"])
    return Trial(kept["name"], kept["sizes"], inputs, init, kept["evaluate"], says)


def _data(x: Any) -> Any:
    if isinstance(x, Tensor):
        dtype = str(x.dtype).removeprefix("torch.")
        return {"tensor": x.detach().flatten().tolist(), "shape": [*x.shape], "dtype": dtype}
    if isinstance(x, Given):
        return {"given": _data(x.value), "axes": x.axes}
    if isinstance(x, (tuple, list)):
        return {type(x).__name__: [*map(_data, x)]}
    if x is None or isinstance(x, (bool, int, float, str)):
        return x
    raise TypeError(f"a {type(x).__name__} is no data")


def _value(kept: Any) -> Any:
    match kept:
        case {"tensor": numbers, "shape": shape, "dtype": dtype}:
            return torch.tensor(numbers, dtype=getattr(torch, dtype)).reshape(shape)
        case {"given": value, "axes": axes}:
            return Given(axes, _value(value))
        case {"tuple": parts}:
            return tuple(map(_value, parts))
        case {"list": parts}:
            return [*map(_value, parts)]
    return kept
