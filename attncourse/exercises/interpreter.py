"""Steps of a kernel in Triton, as a check calls them: in the interpreter where there is no GPU.

Import this before Triton, which decides about its interpreter once, when it is imported.
"""

import inspect
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.util import find_spec
from types import FunctionType, TracebackType
from typing import Any

import torch

from attncourse import places
from attncourse.exercises.letters import spell

if not torch.cuda.is_available() and "triton" not in sys.modules:
    os.environ.setdefault("TRITON_INTERPRET", "1")


class Returned(TypeError):
    """A step gives back what its kernel cannot take; the text says what."""


def missing() -> str:
    """Why no kernel in Triton runs on this machine, in one sentence; "" where it does."""
    if find_spec("triton") is None:
        return (
            "this exercise needs Triton, a gigabyte that is there for Linux. Go on without it, "
            f"or add it: {places.extra('kernels')}."
        )
    if interpreted() or torch.cuda.is_available():
        return ""
    return (
        "Triton was imported before its interpreter was asked for. Restart the notebook, and"
        " set TRITON_INTERPRET=1 in `os.environ` before `import triton`."
    )


def interpreted() -> bool:
    """Whether kernels run line by line, in Python."""
    import triton

    return bool(triton.knobs.runtime.interpret)


def called(
    kernel: Callable, step: Callable, axes: Mapping[str, str], sizes: Mapping[str, int]
) -> Any:
    """What `kernel(step)` gives, with a step that a learner wrote, decorated or not.

    axes  what the step returns, by name, and the letters of each
    What the step raises comes as it was raised, from the learner's own line.
    """
    import triton

    plain = inspect.unwrap(getattr(step, "fn", step))
    if not isinstance(plain, FunctionType) or plain.__code__.co_name == "<lambda>":
        raise Returned("A step is a function that is written with `def`: Triton reads it.")
    # with names of its own: the interpreter adds some
    own = FunctionType(
        plain.__code__,
        dict(plain.__globals__),
        plain.__name__,
        plain.__defaults__,
        plain.__closure__,
    )
    own = triton.jit(own)
    if interpreted():
        own = partial(_watched, own, axes, sizes)
    try:
        return kernel(own)
    except Exception as error:
        chain = [error]
        while type(chain[-1]).__name__ == "InterpreterError" and chain[-1].__cause__:
            chain.append(chain[-1].__cause__)
        if len(chain) == 1:
            raise
    raise chain[-1].with_traceback(_joined(chain))


def _joined(chain: Sequence[BaseException]) -> TracebackType | None:
    """The traces of errors that wrap each other, as if the last had come all the way."""
    steps, trace = [], None
    for error in chain:
        here = error.__traceback__
        while here is not None:
            steps.append(here)
            here = here.tb_next
    for step in reversed(steps):
        trace = TracebackType(trace, step.tb_frame, step.tb_lasti, step.tb_lineno)
    return trace


def _watched(
    step: Callable, axes: Mapping[str, str], sizes: Mapping[str, int], *given: Any
) -> Any:
    """What a step returns, after a look at it."""
    found = step(*given)
    names = ", ".join(f"`{name}`" for name in axes)
    if found is None:
        raise Returned("`return` is missing: it returns None.")
    if not isinstance(found, (tuple, list)) or len(found) != len(axes):
        many = f"{len(found)} values" if isinstance(found, (tuple, list)) else "one value"
        raise Returned(f"It returns {many}; it should return {len(axes)}: {names}.")
    for (name, letters), one in zip(axes.items(), found, strict=True):
        shape = tuple(int(n) for n in getattr(one, "shape", ()))
        if shape != tuple(sizes[letter] for letter in letters.split()):
            raise Returned(
                f"`{name}` has the axes {spell(shape, sizes)}; it should have {letters}."
            )
    return found
