"""What must hold of an answer, whoever wrote it: used to explain one that is wrong.

A law gets a `Look` at the wrong answer and says in one line what it breaks, or nothing. An
exercise lists laws by name, in the order in which they are tried; each file here holds those
of one subject. A new law is a function under `@law`; a new file is imported below.
"""

from attncourse.checker.laws import (  # noqa: F401 (each enters its laws)
    beam,
    cache,
    gains,
    inside,
    loss,
    masks,
    means,
    placement,
    positions,
    schedule,
    shares,
    sparse,
    waves,
    whole,
    windows,
)
from attncourse.checker.laws.look import GENERAL, LAWS, OF_SEVERAL, SAID_FIRST, Look, law

__all__ = ["GENERAL", "LAWS", "OF_SEVERAL", "SAID_FIRST", "Look", "law"]
