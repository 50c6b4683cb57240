"""How a table of errors is written: what an error says, and what is told in its place."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from attncourse.checker import running


@dataclass(frozen=True)
class Crash(running.Crash):
    """A crash of an answer, with what is known of the object that it belongs to.

    owner, names  its class, and what it has: its methods and layers
    """

    owner: str = ""
    names: tuple[str, ...] = ()


Shapes = dict[str, str]  # the learner's tensors on that line, in letters
Table = tuple[tuple[str, str | Callable[[re.Match, Crash, Shapes], str]], ...]


def told(shapes: Shapes) -> str:
    """ "q is b i d, k is b j d"."""
    return ", ".join(f"`{name}` is {axes}" for name, axes in shapes.items())


def shown(shapes: Shapes) -> str:
    """What is told of them behind a sentence, if there are any."""
    return f": {told(shapes)}" if shapes else ""


def in_letters(text: str, sizes: Mapping[str, int]) -> str:
    """⟨7⟩ in a text becomes `d` where d is 7."""

    def named(found: re.Match) -> str:
        size = int(found[1])
        letters = [letter for letter, n in sizes.items() if n == size]
        return f"{letters[0]} ({size})" if len(letters) == 1 else found[1]

    return re.sub(r"⟨(\d+)⟩", named, text)
