"""How a table of errors is written: what an error says, and what is told in its place."""

import re
from collections.abc import Callable, Mapping

from attncourse.checker.running import Crash

Shapes = dict[str, str]  # the learner's tensors on that line, in letters
Table = tuple[tuple[str, str | Callable[[re.Match, Crash, Shapes], str]], ...]


def told(shapes: Shapes) -> str:
    """ "q is b i d, k is b j d"."""
    return ", ".join(f"`{name}` is {axes}" for name, axes in shapes.items())


def in_letters(text: str, sizes: Mapping[str, int]) -> str:
    """⟨7⟩ in a text becomes `d` where d is 7."""
    letters = {size: letter for letter, size in sizes.items()}

    def named(found: re.Match) -> str:
        size = int(found[1])
        return f"{letters[size]} ({size})" if size in letters else found[1]

    return re.sub(r"⟨(\d+)⟩", named, text)
