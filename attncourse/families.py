"""Slips that combine: one recipe, several ways to get each step wrong."""

from collections.abc import Callable, Sequence
from itertools import combinations

from attncourse.registry import Slip


def also(**steps: Callable) -> Callable[[Callable], Callable]:
    """Mark a choice that takes more than one step to get wrong: these steps change with it."""

    def mark(choice: Callable) -> Callable:
        choice.also = steps
        return choice

    return mark


def family(
    build: Callable[..., Callable], pairs: bool = True, **steps: Sequence[Callable]
) -> tuple[Slip, ...]:
    """Every slip of one step, then, with `pairs`, every two slips of different steps.

    `build(**chosen)` makes the answer in which the named steps are replaced by the chosen
    functions; steps that are not named stay right. The docstring of a step is what the learner
    reads. A pair of which one hides the other is left out where outcomes are compared, in
    `attncourse.sheet`.
    """
    wrong = [
        (choice, {step: choice} | getattr(choice, "also", {}))
        for step, choices in steps.items()
        for choice in choices
    ]
    slips = [Slip(choice.__name__, _text(choice), build(**chosen)) for choice, chosen in wrong]
    if pairs:
        slips += [
            Slip(
                f"{one.__name__} + {other.__name__}",
                f"Two things at once. {_text(one)} And: {_text(other)}",
                build(**chosen, **rest),
                parts=(one.__name__, other.__name__),
            )
            for (one, chosen), (other, rest) in combinations(wrong, 2)
            if not chosen.keys() & rest.keys()
        ]
    return tuple(slips)


def _text(choice: Callable) -> str:
    return " ".join(choice.__doc__.split())
