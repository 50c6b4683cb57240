"""A run of the solution with some steps done otherwise; what comes before is taken over."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from attncourse.checker.alterations.steps import kind_of


class Otherwise(TorchFunctionMode):
    """Runs a probe of the solution with some steps changed; what comes before is taken over."""

    def __init__(self, steps: Mapping[int, Callable], outs: list[Any] | None):
        super().__init__()
        self.changes, self.outs = steps, outs
        self.first = min(steps, default=len(outs or ()))
        self.at, self.quiet = 0, 0

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if self.quiet or name == "__get__" or not kind_of(name, args):
            return func(*args, **kwargs)
        return self.step(func, args, kwargs)

    def step(self, func: Callable, args: tuple, kwargs: Mapping) -> Any:
        """One step, as it is, as it was, or changed."""
        at, self.at = self.at, self.at + 1
        if at < self.first and self.outs is not None:
            return self.outs[at]
        change = self.changes.get(at)
        return change(func, args, kwargs) if change else func(*args, **kwargs)

    def call(self, name: str, function: Callable) -> Callable:
        def called(*args, **kwargs):
            if self.quiet:
                return function(*args, **kwargs)

            def quietly(*args, **kwargs):
                self.quiet += 1
                try:
                    with torch._C.DisableTorchFunction():  # the mode is slow, and not needed
                        return function(*args, **kwargs)
                finally:
                    self.quiet -= 1

            return self.step(quietly, args, kwargs)

        return called
