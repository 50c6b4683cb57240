"""A run of the solution, followed: its steps in order, and everything that passes by."""

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor
from torch.overrides import TorchFunctionMode

from attncourse.checker.alterations.steps import (
    LAYERS,
    NAMELESS,
    TRANSPARENT,
    Step,
    Value,
    kind_of,
    tensors_in,
)
from attncourse.checker.alterations.words import title_and_noun
from attncourse.checker.trials import Prepared


class Watch(TorchFunctionMode):
    """Follows a probe of the solution and writes down its steps."""

    def __init__(self, names: Mapping[int, str], trial: Prepared):
        super().__init__()
        self.names, self.trial = names, trial
        self.values: dict[int, Value] = {}
        self.order: list[Value] = []
        self.steps: list[Step] = []
        self.outs: list[Any] = []
        self.calls, self.quiet = 0, 0
        self.begun: list[int] = []  # how many calls there were before each step
        self.kept: list[Any] = []  # so that no id is given twice

    def name(self, tensor: Tensor, noun: str, source: str) -> None:
        """Say how a tensor is spoken of, and where it came from."""
        self.kept.append(tensor)
        self.values[id(tensor)] = Value(noun, source, tensor, len(self.outs))
        self.order.append(self.values[id(tensor)])

    def value(self, tensor: Tensor) -> Value:
        """What a tensor has been called, or a weight by its own name."""
        if id(tensor) in self.values:
            return self.values[id(tensor)]
        name = self.names.get(id(tensor))
        return Value(f"`self.{name}`" if name else NAMELESS, name or "?", tensor)

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if name == "__get__":
            return func(*args, **kwargs)
        self.calls += 1
        if self.quiet:
            return func(*args, **kwargs)
        out = func(*args, **kwargs)
        if kind := kind_of(name, args):
            self.enter(kind, func, args, kwargs, out)
        elif name == "embedding":
            self.name(out, f"what `self.{self.layer_of(args, kwargs)}` returns", "embedding")
        elif name in TRANSPARENT:
            self.pass_on(args, out)
        return out

    def pass_on(self, args: tuple, out: Any) -> None:
        """Only moved or cut: it keeps its name."""
        tensors = [a for a in args if isinstance(a, Tensor)]
        if not tensors:
            return
        from_ = self.value(tensors[0])
        for one in out if isinstance(out, (tuple, list)) else (out,):
            if isinstance(one, Tensor) and one is not tensors[0]:
                self.name(one, from_.noun, f"{from_.source}~{one.ndim}")

    def enter(self, kind: str, func: Callable, args: tuple, kwargs: Mapping, out: Any) -> None:
        """Write a step down, with how it and its result are spoken of."""
        given = {}
        for place, tensor in tensors_in(args):
            own = kind in LAYERS and place != (0,)
            if tensor.is_floating_point() and not own:
                given[place] = self.value(tensor)
        layer = self.layer_of(args, kwargs) if kind in LAYERS else ""
        nouns = [v.noun for v in given.values()]
        title, noun = title_and_noun(kind, args, kwargs, nouns, layer, self.trial.sizes)
        sources = ",".join(v.source for v in given.values())
        key = f"{kind}:{layer}({sources})"
        step = Step(len(self.outs), kind, title, key, func, args, kwargs, given, layer)
        self.write_down(step, out, self.calls - 1)
        for one in out if isinstance(out, (tuple, list)) else (out,):
            if isinstance(one, Tensor) and one.is_floating_point():
                self.name(one, noun, key)

    def write_down(self, step: Step, out: Any, begun: int) -> None:
        self.steps.append(step)
        self.outs.append(out)
        self.begun.append(begun)

    def layer_of(self, args: tuple, kwargs: Mapping) -> str:
        """The layer whose weights are among the arguments."""
        tensors = [t for _, t in tensors_in((*args, *kwargs.values()))]
        found = (self.names.get(id(t), "") for t in tensors)
        return next((n.rpartition(".")[0] for n in found if n), "")

    def call(self, name: str, function: Callable) -> Callable:
        """A function among the inputs, each call of which is one step."""

        def called(*args, **kwargs):
            if self.quiet:
                return function(*args, **kwargs)
            begun = self.calls
            self.quiet += 1
            try:
                out = function(*args, **kwargs)
            finally:
                self.quiet -= 1
            given = {p: self.value(t) for p, t in tensors_in(args)}
            sources = ",".join(v.source for v in given.values())
            key = f"call:{name}({sources})"
            step = Step(
                len(self.outs), "call", f"`{name}`", key, function, args, kwargs, given, name
            )
            self.write_down(step, out, begun)
            if isinstance(out, Tensor):
                self.name(out, f"what `{name}` returns", key)
            return out

        return called
