"""An answer called: what its probes give on a trial, what they change, and their gradients."""

import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial, wraps
from inspect import isfunction, signature
from typing import Any

import torch
from torch import Tensor, nn

from attncourse.checker.building import build, in_order
from attncourse.checker.running import Crash, attempt
from attncourse.checker.trials import Prepared
from attncourse.exercises.record import Exercise
from attncourse.exercises.source import docstrings


@dataclass(frozen=True)
class Result:
    """What an answer makes of one trial.

    outcomes  a value or a Crash for each probe
    fault     why there are none: a Crash, or a sentence about the layers
    changed   (probe, name) of the first input or weight that was changed in place
    note      what was let pass when the weights were copied
    """

    outcomes: Mapping[str, Any]
    fault: Crash | str | None = None
    changed: tuple[str, str] | None = None
    note: str = ""


def probe_of(ex: Exercise, built: Any, probe: str) -> Callable:
    """What is called for a probe. A class may lack the method: then an AttributeError,
    later."""
    if ex.through:
        return partial(ex.through, built)
    if not ex.is_module:
        return built
    if probe == "forward":
        return built
    return getattr(built, probe)


@cache
def parameters(ex: Exercise, probe: str) -> tuple[str, ...]:
    """The names of what a probe takes: inputs of a trial go to the parameters of their name."""
    if ex.through:
        return tuple(signature(ex.through).parameters)[1:]  # the first is the answer
    owner = getattr(ex.solution, probe) if ex.is_module else ex.solution
    return tuple(signature(owner).parameters)


def arguments(ex: Exercise, probe: str, inputs: Mapping[str, Any]) -> list[Any]:
    """The inputs of a trial that a probe takes, in the order of the call."""
    return [inputs[name] for name in parameters(ex, probe) if name in inputs]


def call(ex: Exercise, built: Any, probe: str, inputs: Mapping[str, Any]) -> Any:
    """What one probe gives. Raises what the answer raises."""
    return probe_of(ex, built, probe)(*arguments(ex, probe, inputs))


def outcome(ex: Exercise, built: Any, probe: str, inputs: Mapping[str, Any]) -> Any:
    """What one probe gives, or the Crash it ends in."""
    with torch.set_grad_enabled("gradients" in ex.skip):  # it may take some itself
        return attempt(lambda: call(ex, built, probe, inputs))


def run(ex: Exercise, answer: Callable, trial: Prepared) -> Result:
    """All probes of an answer on one trial."""
    built, fault, note = build(ex, answer, trial)
    if fault is not None:
        return Result({}, fault, note=note)
    return run_built(ex, built, trial, note)


def run_built(ex: Exercise, built: Any, trial: Prepared, note: str = "") -> Result:
    """All probes of what has been built, on one trial."""
    outcomes, changed = {}, None
    for probe in ex.probes:
        inputs = trial.fresh()
        outcomes[probe] = outcome(ex, built, probe, inputs)
        changed = changed or _changed(ex, built, trial, probe, inputs)
    return Result(outcomes, None, changed, note)


def _changed(
    ex: Exercise, built: Any, trial: Prepared, probe: str, inputs: Mapping[str, Any]
) -> tuple[str, str] | None:
    """(probe, name) of an input or a weight that is not as it was. Statistics may move; an
    input may not begin to ask for gradients, nor a module among the inputs get any."""
    for n, x in inputs.items():
        if isinstance(x, nn.Module) and any(w.grad is not None for w in x.parameters()):
            x.zero_grad(set_to_none=True)
            return probe, n
    kept = [(n, x, inputs[n]) for n, x in trial.inputs.items() if isinstance(x, Tensor)]
    if ex.is_module:
        now = dict(zip(trial.weights, in_order(trial.weights, built.state_dict()), strict=True))
        moving = ("running_", "num_batches")
        kept += [
            (n, x, now[n]) for n, x in trial.weights.items() if not any(m in n for m in moving)
        ]
    return next(((probe, n) for n, before, now in kept if not _untouched(before, now)), None)


def _untouched(before: Tensor, after: Tensor) -> bool:
    """Still the same numbers, with gradients asked for or not, as before."""
    if after.requires_grad != before.requires_grad:
        return False
    return after.shape == before.shape and torch.equal(after.nan_to_num(), before.nan_to_num())


def gradients(ex: Exercise, answer: Callable, trial: Prepared, probe: str) -> Any:
    """The gradient of a fixed weighted sum of a probe's output, for each input and parameter.

    A dict from names to tensors or None, or the Crash, or None where there is no gradient to
    have.
    """

    def compute():
        built, fault, _ = build(ex, answer, trial)
        if fault is not None:
            return None
        inputs = trial.fresh()
        leaves = {
            name: value.requires_grad_()
            for name, value in inputs.items()
            if isinstance(value, Tensor) and value.is_floating_point()
        }
        given = {n: value.clone() if n in leaves else value for n, value in inputs.items()}
        if ex.is_module:
            names = trial.weights  # in this order, whatever the learner calls them
            leaves |= dict(zip(_trainable(names, built), built.parameters(), strict=False))
        total = _weighted_sum(call(ex, built, probe, given))
        if not isinstance(total, Tensor):
            return dict.fromkeys(leaves)
        found = torch.autograd.grad(total, list(leaves.values()), allow_unused=True)
        return dict(zip(leaves, found, strict=True))

    return attempt(compute)


def _weighted_sum(output: Any) -> Tensor | float:
    """One number to take the gradient of, the same sum every time; 0.0 if none can be had."""
    total = 0.0
    parts = output if isinstance(output, (tuple, list)) else (output,)
    for number, part in enumerate(parts):
        if isinstance(part, Tensor) and part.is_floating_point() and part.requires_grad:
            dice = torch.Generator().manual_seed(number)
            weights = torch.randn(part.shape, generator=dice, dtype=torch.float32)
            total = total + (part * weights.to(part)).sum()
    return total


def _trainable(names: Mapping[str, Tensor], built: nn.Module) -> list[str]:
    own = dict(built.named_parameters())
    if own.keys() <= names.keys():
        return list(own)
    return [n for n in names if "running_" not in n and "num_batches" not in n]


def to_be_called_once(ex: Exercise, trial: Prepared) -> list[str]:
    """Functions among the inputs of which the stub says that they are called once."""
    said = "\n".join(docstrings(ex))
    names = [n for n, x in trial.inputs.items() if isfunction(x)]
    return [n for n in names if re.search(rf"`{n}`[^.]*\bonce\b", said)]


def calls_in(ex: Exercise, answer: Callable, trial: Prepared) -> dict[str, int]:
    """How often each function that is to be called once, and each BatchNorm in training, runs
    in one call of the last probe; by their names."""
    counted: Counter[str] = Counter()

    def watched(name: str, function: Callable) -> Callable:
        @wraps(function)
        def call(*given, **named):
            counted[name] += 1
            return function(*given, **named)

        return call

    built = build(ex, answer, trial).answer
    inputs = trial.fresh()
    inputs |= {name: watched(name, inputs[name]) for name in to_be_called_once(ex, trial)}
    outcome(ex, built, list(ex.probes)[-1], inputs)
    if ex.is_module and not trial.evaluate:
        state = built.state_dict()
        norms = [n for n in trial.weights or () if n.endswith("num_batches_tracked")]
        counted |= {n: int(state[n]) for n in norms if n in state}
    return dict(counted)
