"""A probe of the solution on one trial: watched once, and run otherwise again and again."""

from collections.abc import Iterator
from functools import cache, partial
from inspect import isfunction
from typing import Any

import torch
from torch import Tensor, nn

from attncourse.checker.alterations.every import Alteration, alterations
from attncourse.checker.alterations.otherwise import Otherwise
from attncourse.checker.alterations.watch import Watch
from attncourse.checker.building import build
from attncourse.checker.calling import call
from attncourse.checker.ending import undisturbed
from attncourse.checker.running import attempt, calm
from attncourse.checker.sheet import sheet
from attncourse.checker.trials import Prepared
from attncourse.exercises.record import Exercise


class Runs:
    """A probe of the solution on one trial, watched once and run otherwise.

    `right` are the methods that are known to be right: each of their calls counts as one step.
    """

    def __init__(self, ex: Exercise, trial: Prepared, probe: str, right: tuple[str, ...]):
        self.ex, self.trial, self.probe, self.right = ex, trial, probe, right
        self.graph = "gradients" in ex.skip
        self.built = build(ex, ex.solution, trial).answer
        module = self.built if isinstance(self.built, nn.Module) else nn.Module()
        self.parts = dict(_parts(module))
        self.moving = [(t, t.clone()) for t in module.buffers()]
        names = {id(t): n for n, t in module.named_parameters()}
        names |= {id(t): n for n, t in module.named_buffers()}
        self.watch = Watch(names, trial)
        self.result = self.run(self.watch)
        steps = self.watch.steps
        self.slopes = max((n.number for n in steps if n.kind == "gradient"), default=-1)
        every = []
        if isinstance(self.result, Tensor):
            layers = {n: m for n, m in module.named_modules() if n}
            every = alterations(self.watch, self.result, layers)
        self.every = {one.key: one for one in reversed(every)}
        # of two that cannot be told apart on another trial, the first
        self.likely = [one for one in every if self.every[one.key] is one]
        self.outcomes: dict[tuple, Any] = {}

    def cost(self, one: Alteration) -> float:
        """About how many calls an alteration takes."""
        if not one.steps:
            return 1
        first = min(one.steps)
        if first <= self.slopes:
            return 6 + 1.5 * self.watch.calls  # all of it, and with a graph
        return 6 + self.watch.calls - self.watch.begun[first]

    def run(self, mode: Watch | Otherwise) -> Any:
        """What comes out of the probe in this mode, or the Crash it ends in."""
        for statistics, begun in self.moving:
            statistics.copy_(begun)
        inputs = self._inputs(mode)
        self._follow_methods(mode)

        def go():
            with torch.set_grad_enabled(self.graph), mode:
                return call(self.ex, self.built, self.probe, inputs)

        with undisturbed():
            return attempt(go)

    def _inputs(self, mode: Watch | Otherwise) -> dict[str, Any]:
        """The inputs of the trial by name, and each function among them as one step."""
        inputs = self.trial.fresh()
        for name, value in inputs.items():
            if isinstance(value, Tensor):
                if isinstance(mode, Watch):
                    mode.name(value, f"`{name}`", name)
            elif callable(value):
                inputs[name] = mode.call(name, value)
        return inputs

    def _follow_methods(self, mode: Watch | Otherwise) -> None:
        """Methods that are right, and parts of the course, are one step each."""
        for name in self.right:
            usual = getattr(type(self.built), name).__get__(self.built)
            self.built.__dict__[name] = mode.call(f"self.{name}", usual)
        for name, part in self.parts.items():
            for method in _methods(type(part)):
                usual = getattr(type(part), method).__get__(part)
                part.__dict__[method] = mode.call(f"self.{name}", usual)

    def otherwise(self, one: Alteration) -> Any:
        """What comes out with an alteration, made once."""
        if one.key not in self.outcomes:
            early = min(one.steps, default=0) <= self.slopes  # nothing of another graph
            again = Otherwise(one.steps, None if early else self.watch.outs)
            y = self.run(again) if one.steps else self.result
            if one.last:
                y = attempt(partial(one.last, y))
            self.outcomes[one.key] = y.detach() if isinstance(y, Tensor) else None
        return self.outcomes[one.key]


def _parts(layer: nn.Module, before: str = "") -> Iterator[tuple[str, nn.Module]]:
    """The modules of the course inside a module, each of which counts as one step."""
    for name, part in layer.named_children():
        if type(part).__module__.startswith("torch."):
            yield from _parts(part, f"{before}{name}.")
        else:
            yield f"{before}{name}", part


def _methods(kind: type) -> list[str]:
    """What may be called of such a module."""
    own = {
        n: f for k in kind.__mro__ if k.__module__[:6] != "torch." for n, f in vars(k).items()
    }
    return [n for n, f in own.items() if isfunction(f) and n[0] != "_"]


@cache
def runs(ex: Exercise, index: int, probe: str, right: tuple[str, ...] = ()) -> Runs:
    """The solution's run of a probe on a declared trial, watched once."""
    with undisturbed(), calm():
        return Runs(ex, sheet(ex).trials[index], probe, right)
