"""What a variation is, and what the kinds of them share."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from inspect import Parameter, signature
from typing import Any
from zlib import crc32

import torch
from torch import Tensor

from attncourse.checker.trials import Prepared
from attncourse.exercises.record import Exercise

VARIED = "varied"


@dataclass(frozen=True, eq=False)
class Varied:
    """A trial like a declared one but for one thing.

    slip   the name of the mistake of an answer that departs here alone
    often  what mostly goes wrong here, as the learner reads it
    after  only where the solution answers that variation: a size of 1 says nothing of an axis
           that can have no other
    ties   whether it makes numbers equal that were different: what is chosen by them, and
           told in integers, is then open
    """

    trial: Prepared
    slip: str
    often: str
    after: "Varied | None" = None
    ties: bool = False


def changed(trial: Prepared, name: str, inputs: Mapping[str, Any], **more: Any) -> Prepared:
    """A trial with some inputs replaced, and with other names for what is seen there."""
    return replace(trial, name=name, group=VARIED, inputs={**trial.inputs, **inputs}, **more)


def numbers(ex: Exercise, seed: str, shape: tuple[int, ...]) -> Tensor:
    """Normal random numbers, always the same for the same seed."""
    generator = torch.Generator().manual_seed(crc32(f"{ex.id} {seed}".encode()))
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def before(owner: Callable, name: str) -> dict[str, Any]:
    """The defaults of the arguments before this one, so that it can be given in its place."""
    found = {}
    for one, parameter in signature(owner).parameters.items():
        if one == name:
            break
        if parameter.default is not Parameter.empty:
            found[one] = parameter.default
    return found


def annotations(ex: Exercise) -> dict[str, str]:
    """The axes that the stub's annotations promise, by the names of arguments: "*batch i d".

    Where several methods take an argument of one name, the first of them counts.
    """
    owners = [getattr(ex.solution, p) for p in ex.probes] if ex.is_module else [ex.solution]
    found: dict[str, str] = {}
    for owner in owners:
        for name, parameter in signature(owner).parameters.items():
            if (spelt := _spelt(parameter.annotation)) is not None:
                found.setdefault(name, spelt)
    return found


def _spelt(annotation: Any) -> str | None:
    """The axes of a jaxtyping annotation, "| None" or not."""
    parts = (annotation, *getattr(annotation, "__args__", ()))
    return next((part.dim_str for part in parts if hasattr(part, "dim_str")), None)
