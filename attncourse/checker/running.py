"""Run a learner's code so that nothing it does can hurt: it may crash, print or reseed."""

import contextlib
import io
import linecache
import random
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from attncourse.checker.ending import Stopped, undisturbed, watching
from attncourse.checker.frames import is_learners

TOO_MUCH = (  # what torch and numpy say of a tensor that memory does not hold
    "can't allocate memory",
    "not enough memory",
    "Unable to allocate",
    "Storage size calculation overflowed",
)


class _Sink(io.TextIOBase):
    """Takes any amount of text and keeps none of it."""

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        return len(text)


_is_calm = False


@contextlib.contextmanager
def calm() -> Iterator[None]:
    """Whatever happens inside leaves no trace: random numbers, printing, torch's defaults. And
    it is the same whatever they are outside."""
    global _is_calm
    if _is_calm:
        yield
        return
    _is_calm = True
    numbers, python = np.random.get_state(), random.getstate()  # noqa: NPY002 (theirs to use)
    dtype, grad, threads = (
        torch.get_default_dtype(),
        torch.is_grad_enabled(),
        torch.get_num_threads(),
    )
    quiet = contextlib.ExitStack()
    quiet.enter_context(torch.random.fork_rng(devices=[]))
    quiet.enter_context(contextlib.redirect_stdout(_Sink()))
    quiet.enter_context(contextlib.redirect_stderr(_Sink()))
    quiet.enter_context(warnings.catch_warnings())
    try:
        with quiet:
            warnings.simplefilter("ignore")
            torch.set_grad_enabled(True)
            torch.set_default_dtype(torch.float32)  # what is drawn depends on it
            torch.set_num_threads(
                1
            )  # quickest for tensors this small, and always the same digits
            yield
    finally:
        _is_calm = False
        np.random.set_state(numbers)  # noqa: NPY002
        random.setstate(python)
        torch.set_default_dtype(dtype)
        torch.set_grad_enabled(grad)
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)


@dataclass(frozen=True)
class Crash:
    """An answer that raised, and where in the learner's own code.

    shapes  the tensors that were in reach on that line, by the learner's names
    """

    kind: str
    text: str
    line: str = ""
    lineno: int = 0
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    own: bool = False  # raised by the learner's line itself, not by a library it calls
    function: str = ""  # in which that line stands

    @property
    def unwritten(self) -> bool:
        """The stub's own `raise NotImplementedError`, not torch's error of that type."""
        torchs = "not implemented for" in self.text  # an operator, so on the learner's line too
        return self.kind == "NotImplementedError" and self.own and not torchs

    @property
    def out_of_memory(self) -> bool:
        """It asked for more memory than there is."""
        known = any(said in self.text for said in TOO_MUCH)
        return self.kind in ("MemoryError", "OutOfMemoryError") or known


class OutOfMemory(Stopped):
    """An answer under examination that took all the memory, and where."""

    def __init__(self, crash: Crash):
        BaseException.__init__(self)
        self.crash = crash


def attempt(call: Callable[[], Any]) -> Any:
    """What `call()` returns, or the Crash it ends in. Lets nothing through, not even
    SystemExit, but what ends the check: an interrupt, and a limit that is over."""
    if guard := watching():
        guard.turn += 1
    try:
        return call()
    except (KeyboardInterrupt, Stopped):
        raise
    except BaseException as error:
        with undisturbed():
            crash = _crash(error)
        if not crash.out_of_memory or not guard:
            return crash
    raise OutOfMemory(crash)


def _shaped(value: Any) -> bool:
    """A tensor, of torch or of Triton."""
    return isinstance(value, Tensor) or (
        type(value).__module__.startswith("triton.language") and hasattr(value, "shape")
    )


def _crash(error: BaseException) -> Crash:
    """The error with the last line of it that the learner wrote."""
    kind = type(error).__name__
    try:
        text = str(error)[:2000]
    except Exception:
        text = ""
    frames = []
    trace = error.__traceback__
    while trace is not None:
        frames.append((trace.tb_frame, trace.tb_lineno))
        trace = trace.tb_next
    for depth, (frame, lineno) in enumerate(reversed(frames)):
        file = frame.f_code.co_filename
        if not is_learners(file):
            continue
        line = linecache.getline(file, lineno).strip()
        shapes = {
            name: tuple(int(n) for n in value.shape)
            for name, value in frame.f_locals.items()
            if _shaped(value)
        }
        number, name = lineno - frame.f_code.co_firstlineno + 1, frame.f_code.co_name
        return Crash(kind, text, line, number, shapes, not depth, name)
    return Crash(kind, text)
