"""What runs while an answer is called: code of the course's own, and functions of torch."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from types import CodeType, FrameType
from typing import Any

from torch.overrides import TorchFunctionMode

from attncourse.exercises.record import Exercise


@dataclass
class Heard:
    """The names of what ran, of what was listened for."""

    names: set[str] = field(default_factory=set)


@cache
def own_code(ex: Exercise) -> dict[CodeType, str]:
    """The code of a solution that the learner is to write, by what it is called."""
    if not ex.is_module:
        return {innermost(ex.solution): ex.name}
    return {innermost(vars(ex.solution)[name]): name for name in ex.blank}


def codes(function: Any) -> Iterator[CodeType]:
    """The code of a function or a method, and of what it is wrapped in."""
    while function is not None:
        if code := getattr(function, "__code__", None):
            yield code
        inner = ("__wrapped__", "__func__", "fget", "func", "fn")
        function = next((f for n in inner if (f := getattr(function, n, None))), None)


def innermost(function: Any) -> CodeType:
    """The code that all wrapping, which others may share, ends in."""
    return list(codes(function))[-1]


@cache
def _functions(names: tuple[str, ...]) -> tuple[dict[Any, str], dict[CodeType, str]]:
    """Functions and layers of torch by themselves, and by their code, as far as it is Python.
    With a word in brackets, where that argument is given."""
    found = {}
    for name in names:
        module, _, last = name.partition("(")[0].rpartition(".")
        try:
            owner: Any = import_module(module)
        except ModuleNotFoundError:  # it is a class
            outer, _, kind = module.rpartition(".")
            owner = getattr(import_module(outer), kind)
        found[getattr(owner, last)] = name
    forwards = {getattr(one, "forward", one): name for one, name in found.items()}
    python = {code: name for one, name in forwards.items() for code in codes(one)}
    return found, python


class _Calls(TorchFunctionMode):
    """Notes calls of these functions of torch."""

    def __init__(self, functions: dict[Any, str], heard: Heard):
        super().__init__()
        self.functions, self.heard = functions, heard

    def __torch_function__(self, function, types, args=(), kwargs=None):
        name = self.functions.get(function)
        argument = name and name.partition("(")[2].rstrip(")")
        if name and (not argument or (kwargs or {}).get(argument)):
            self.heard.names.add(name)
        return function(*args, **(kwargs or {}))


@contextmanager
def listening(code: dict[CodeType, str], functions: tuple[str, ...] = ()) -> Iterator[Heard]:
    """Within, it is noted which of this code runs, in threads as well, and which of these
    functions of torch are called, by their full names."""
    heard = Heard()
    calls, python = _functions(functions)
    wanted = python | code

    def note(frame: FrameType, event: str, _: Any) -> None:
        if event == "call" and frame.f_code in wanted:
            heard.names.add(wanted[frame.f_code])

    before, in_threads = sys.getprofile(), threading.getprofile()
    threading.setprofile(note)
    sys.setprofile(note)
    try:
        if calls:
            with _Calls(calls, heard):
                yield heard
        else:
            yield heard
    finally:
        sys.setprofile(before)
        threading.setprofile(in_threads)


def is_code_of(answer: Any, code: dict[CodeType, str]) -> str | None:
    """Which of this code a function is, if it is some of it, whatever wraps it."""
    return next((code[one] for one in codes(answer) if one in code), None)
