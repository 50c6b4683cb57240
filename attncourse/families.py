"""Slips that combine: one recipe, several ways to get each step wrong."""

from collections.abc import Callable, Sequence
from itertools import combinations

from attncourse.registry import Slip


def family(
    build: Callable[..., Callable], pairs: bool = True, **steps: Sequence[Callable]
) -> tuple[Slip, ...]:
    """Every slip of one step, then, with `pairs`, every two slips of different steps.

    `build(**chosen)` makes the answer in which the named steps are replaced by the chosen
    functions; steps that are not named stay right. The docstring of a step is what the learner
    reads. Two slips of which one hides the other are left out where outcomes are compared,
    in `attncourse.sheet`.
    """
    wrong = [(step, choice) for step, choices in steps.items() for choice in choices]
    slips = [
        Slip(choice.__name__, _text(choice), build(**{step: choice})) for step, choice in wrong
    ]
    if pairs:
        slips += [
            Slip(
                f"{one.__name__} + {other.__name__}",
                f"Two things at once. {_text(one)} And: {_text(other)}",
                build(**{step: one, next_step: other}),
                parts=(one.__name__, other.__name__),
            )
            for (step, one), (next_step, other) in combinations(wrong, 2)
            if step != next_step
        ]
    return tuple(slips)


def _text(choice: Callable) -> str:
    return " ".join(choice.__doc__.split())
