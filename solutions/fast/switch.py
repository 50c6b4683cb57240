"""One switch for all: which implementation is taken where nobody has named one.

    use("reference")                   from now on, everywhere
    with use("native"): …              for a while
    ATTNCOURSE_FAST=reference          from the start of the process

    "auto"        what was measured to be faster on the device at hand; so it is at first
    "reference"   the code of `solutions`, for comparison or to rule out an error of a kernel
    others        by their names, such as "native", "triton", "blocked" or "tiled", wherever a
                  mechanism has one of that name; the rest stays with "auto"

What a layer or a call names itself comes first. What is asked for and cannot run raises
ValueError, with the reason. The switch is one for the process, as torch's flags are, and not a
thread's own.
"""

import os
from collections.abc import Callable
from difflib import get_close_matches
from functools import wraps

VARIABLE = "ATTNCOURSE_FAST"
_known = {"auto", "reference"}
_asked = "auto"


class use:
    """Take this implementation from now on, or, in a `with` statement, for a while.

    Raises ValueError for a name that no mechanism has, with the nearest.
    """

    def __init__(self, name: str):
        global _asked
        _check(name, "use")
        self.before, _asked = _asked, name

    def __enter__(self) -> "use":
        return self

    def __exit__(self, *_) -> None:
        global _asked
        _asked = self.before


def in_use() -> str:
    """What `use` was told last; "auto" at first."""
    return _asked


def switched(*names: str, **others: str) -> Callable[[Callable], Callable]:
    """Puts the switch before a function that chooses among these names; `others` says by which
    of them a name is meant that is not among them."""
    _known.update(names)

    def before(choose: Callable) -> Callable:
        @wraps(choose)
        def chosen(*given, **more):
            name = others.get(_asked, _asked)
            return name if name in names else choose(*given, **more)

        return chosen

    return before


def from_environment() -> None:
    """Set the switch as the environment says; once, when all names are known."""
    name = os.environ.get(VARIABLE, "").strip()
    if name:
        _check(name, VARIABLE)
        use(name)


def _check(name: str, who: str) -> None:
    if name in _known:
        return
    close = get_close_matches(str(name), _known, n=1, cutoff=0.4)
    hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(sorted(_known))}"
    raise ValueError(f"{who}: no mechanism has an implementation {name!r}: {hint}")
