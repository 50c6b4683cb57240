"""What errors of Python itself mean: names, arguments, unpacking, and answers without end."""

import builtins
import re
import sys
from difflib import get_close_matches

from torch import Tensor

from attncourse.checker.crashes.words import Crash, Shapes, Table, shown


def _arguments(found: re.Match, crash: Crash, shapes: Shapes) -> str:
    if crash.line:
        return f"a call on this line has too many arguments or too few: {crash.text}."
    return (
        "your answer takes another number of arguments than the exercise gives it "
        f"({crash.text}). Keep the signature of the stub."
    )


def _attribute(found: re.Match, crash: Crash, shapes: Shapes) -> str:
    owner, name = found.groups()
    known, where = _known_of(owner), ""
    if owner == crash.owner:
        known, where = crash.names, " Is it spelt as in the given `__init__`?"
    if near := get_close_matches(name, known, 1, 0.6):
        return f"`{owner}` has no `{name}`. Did you mean `{near[0]}`?"
    return f"`{owner}` has no `{name}`.{where or ' Is it spelt right?'}"


def _known_of(owner: str) -> list[str]:
    """What there is of a tensor, or of a module of torch."""
    if owner == "Tensor":
        return dir(Tensor)
    return dir(sys.modules[owner]) if owner in sys.modules else []


def _name(found: re.Match, crash: Crash, shapes: Shapes) -> str:
    name = found[1]
    if name in crash.names:
        return f"`{name}` belongs to the object: write `self.{name}`."
    if near := get_close_matches(name, [*crash.shapes, *dir(builtins)], 1, 0.75):
        return f"`{name}` is not known here. Did you mean `{near[0]}`?"
    return (
        f"`{name}` is not known here. Did you run the first cell, with the imports, and is it"
        " spelt as there?"
    )


PYTHON: Table = (
    (
        r"'Tensor' object is not callable",
        "a tensor stands where a function is wanted: pass the function, not what it gave.",
    ),
    (
        r"NameError: name '(\w+)' is not defined",
        _name,
    ),
    (
        r"UnboundLocalError.*?variable '(\w+)'",
        lambda f, c, s: f"`{f[1]}` has a value on one path only; here it has none.",
    ),
    (r"AttributeError: '(\w+)' object has no attribute '(\w+)'", _attribute),
    (r"AttributeError: .*?module '([\w.]+)' has no attribute '(\w+)'", _attribute),
    (
        r"takes \d+ positional arguments? but \d+ (?:was|were) given|takes from \d+ to \d+"
        r" positional"
        r"|missing \d+ required positional argument",
        _arguments,
    ),
    (
        r"missing \d+ required keyword-only argument|unexpected keyword argument",
        lambda f, c, s: (
            f"a call{' on this line' if c.line else ''} is given the wrong arguments"
            f" ({c.text})."
        ),
    ),
    (
        r"torch\.return_types\.(\w+)",
        lambda f, c, s: (
            f"`{f[1]}` along an axis returns two things, values and indices: take `.values`, or"
            f" `a{f[1]}` for the values alone."
            if f[1] in ("max", "min")
            else f"`{f[1]}` returns two things, values and indices: take `.values`."
        ),
    ),
    (
        r"received an invalid combination of arguments|must be (?:Tensor|tuple of"
        r" ints|int), not"
        r"|argument '\w+' must be",
        "torch takes other arguments here: look at their number and kinds.",
    ),
    (
        r"not enough values to unpack \(expected (\d+), got (\d+)\)",
        lambda f, c, s: f"you unpack {f[1]} values where there are {f[2]}{shown(s)}.",
    ),
    (
        r"too many values to unpack",
        lambda f, c, s: f"there are more values than names to unpack them into{shown(s)}.",
    ),
    (
        r"only (?:one element|0-dimensional)|can only be called on a 0-dim|a Tensor with \d+"
        r" elements cannot"
        r"|only tensors.*converted to Python scalars",
        lambda f, c, s: f"a whole tensor cannot become one Python number{shown(s)}.",
    ),
    (
        r"selected index k out of range",
        lambda f, c, s: (
            f"`topk` is asked for more than there are on its axis{shown(s)}."
            " Join the axes to"
            " choose from first."
        ),
    ),
    (r"RecursionError", "it calls itself without end."),
    (
        r"MemoryError|can't allocate memory|not enough memory",
        "it asks for more memory than there is.",
    ),
    (r"SystemExit", "it leaves Python (`exit` or `sys.exit`). An answer returns its result."),
    (r"TimeoutError", "it took too long."),
    (r"ZeroDivisionError", "it divides by zero."),
    (r"KeyError: (.*)", lambda f, c, s: f"there is no entry {f[1]}."),
)
