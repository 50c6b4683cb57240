"""Errors that are read: one line, with what is wrong and what to do."""

from collections.abc import Iterable
from difflib import get_close_matches


class UserError(Exception):
    """What went wrong and what to do, in one line: shown without a traceback."""


class Broken(Exception):
    """Something of the course itself does not hold together; the message says in one line what,
    and which file to mend."""


class UnknownExercise(KeyError):
    """No exercise or chapter has this name; the message tells the nearest."""

    def __str__(self):
        return self.args[0]


def nearest(name: str, known: Iterable[str]) -> str:
    """' Did you mean "x"?' for the known name closest to `name`, else what there is."""
    known = list(known)
    close = get_close_matches(str(name), known, n=1, cutoff=0.4)
    return f' Did you mean "{close[0]}"?' if close else f" There are: {', '.join(known)}."
