"""Is it a function where one is asked for, and a class where one is?"""

from inspect import isasyncgen, isgenerator
from typing import Any

from torch import Tensor, nn

from attncourse.checker.case import Case
from attncourse.checker.fault import Fault


def examine(case: Case) -> Fault | None:
    ex, answer = case.ex, case.answer
    kind = "class" if ex.is_module else "function"
    ask = f'Pass the {kind} itself: `check("{ex.id}", {ex.name})`.'
    if ex.is_module and isinstance(answer, nn.Module):
        return Fault(f"This is a `{type(answer).__name__}` that is already built. {ask}")
    if not ex.is_module and isinstance(answer, type):
        return Fault(f"This is the class `{answer.__name__}`, not a function. {ask}")
    if not callable(answer):
        return Fault(f"This is {_what(answer)}, not a {kind}. {ask}")
    return None


def _what(answer: Any) -> str:
    """ "a value of type str", "None", "a tensor of shape (2, 3)"."""
    if answer is None:
        return "None"
    if isinstance(answer, Tensor):
        return f"a tensor of shape {tuple(answer.shape)}, as if it had been called already"
    if isgenerator(answer) or isasyncgen(answer):
        return "a generator"
    return f"a value of type {type(answer).__name__}"
