"""Other sizes: of length 1; even where it was odd, and odd where it was even; two alike."""

from collections.abc import Iterator, Mapping

import torch

from attncourse.checker.trials import Prepared
from attncourse.checker.varied.kind import Varied, changed, numbers
from attncourse.exercises.letters import shape_of
from attncourse.exercises.record import Exercise

ONE = (
    "`squeeze()` without an axis takes away every axis of length 1, and broadcasting hides one"
    " that is missing."
)
ALIKE = "Is something done otherwise where two axes are of one size?"
SQUARE = (("h", "w"), ("height", "width"), ("i", "j"))  # what is often of one size in practice
OTHER = "Is a size taken for granted, or right for even or for odd sizes alone?"


def varied(ex: Exercise, trial: Prepared) -> Iterator[Varied]:
    if "sizes" in ex.skip:
        return
    for letter, size in trial.sizes.items():
        longer = resized(ex, trial, f"with {letter} = {size + 1}", {letter: size + 1})
        free = Varied(longer, "needs_these_sizes", OTHER)
        yield free
        if size > 1:
            name = f"with an axis of length 1, {letter} = 1"
            one = resized(ex, trial, name, {letter: 1})
            yield Varied(one, "needs_longer_axes", ONE, free)
    for one, other in SQUARE:
        if {one, other} <= trial.sizes.keys():
            size = trial.sizes[other]
            square = resized(ex, trial, f"with {one} = {other} = {size}", {one: size})
            yield Varied(square, "needs_two_sizes", ALIKE)


def resized(ex: Exercise, trial: Prepared, name: str, new: Mapping[str, int]) -> Prepared:
    """A trial with other sizes of some letters. Chosen values are cut off, or begin again."""
    sizes, inputs = {**trial.sizes, **new}, {}
    for one, letters in trial.axes.items():
        x = trial.inputs[one]
        if one in trial.drawn:
            shape = shape_of(letters, sizes)
            if shape != x.shape:
                inputs[one] = numbers(ex, f"{name} {one}", shape)
        else:
            for axis, letter in enumerate(letters.split()):
                if letter in new and x.shape[axis] == trial.sizes[letter]:
                    x = x.index_select(axis, torch.arange(new[letter]) % x.shape[axis])
            if x is not trial.inputs[one]:
                inputs[one] = x
    return changed(trial, name, inputs, sizes=sizes)
