"""Slips that combine: one recipe, several ways to get each step wrong."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from itertools import combinations

from attncourse.exercises.record import Slip


def also(**steps: Callable) -> Callable[[Callable], Callable]:
    """Mark a choice that takes more than one step to get wrong: these steps change with it."""

    def mark(choice: Callable) -> Callable:
        choice.also = steps
        return choice

    return mark


def naturally(**steps: Callable) -> Callable[[Callable], Callable]:
    """Mark a choice that usually comes with these steps, though they are no slip of its own."""

    def mark(choice: Callable) -> Callable:
        choice.natural = steps
        return choice

    return mark


def family(
    build: Callable[..., Callable],
    paired: Collection[Callable] | None = None,
    unsaid: Mapping[str, Sequence[Callable]] | None = None,
    **steps: Sequence[Callable],
) -> tuple[Slip, ...]:
    """Every slip of one step, then every two slips of different steps that are in `paired`.

    `build(**chosen)` makes the answer in which the named steps are replaced by the chosen
    functions; steps that are not named stay right. The docstring of a step is what the learner
    reads. `unsaid` holds other ways to do a step that are no slips: each single slip is known
    with each of them as well. Without `paired` all are paired. A pair of which one hides the
    other is left out where outcomes are compared, in `attncourse.checker.sheet`.
    """
    wrong = [
        (choice, {step: choice} | getattr(choice, "also", {}), getattr(choice, "natural", {}))
        for step, choices in steps.items()
        for choice in choices
    ]
    slips = [
        Slip(
            choice.__name__,
            _text(choice),
            (
                _made(build(**(natural | chosen))),
                *(
                    _made(build(**({step: other} | chosen)))
                    for step, others in (unsaid or {}).items()
                    for other in others
                    if step not in chosen
                ),
            ),
        )
        for choice, chosen, natural in wrong
    ]
    often = [w for w in wrong if paired is None or w[0] in paired]
    slips += [
        Slip(
            f"{one.__name__} + {other.__name__}",
            f"Two things at once. {_text(one)} And: {_text(other)}",
            (_made(build(**(usual | also_usual | chosen | rest))),),
            parts=(one.__name__, other.__name__),
        )
        for (one, chosen, usual), (other, rest, also_usual) in combinations(often, 2)
        if not chosen.keys() & rest.keys()
    ]
    return tuple(slips)


def _made(answer: Callable) -> Callable[[], Callable]:
    return lambda: answer


def _text(choice: Callable) -> str:
    return " ".join(choice.__doc__.split())


def remade(one: Slip, answer: Callable | None = None, ways: Sequence[Callable] = ()) -> Slip:
    """The same slip with another answer, or with more ways to make it."""
    usual = one.answers[0] if answer is None else _made(answer)
    return replace(one, answers=(usual, *map(_made, ways)))


def named(
    name: str, message: str, answer: Callable, ways: Sequence[Callable] = (), **more
) -> Slip:
    """A slip whose name and message stand apart from its answer."""
    return Slip(name, message, tuple(map(_made, (answer, *ways))), **more)
