"""Do the right numbers stand at other places along one axis: turned round, shifted, sorted?"""

import re
from collections.abc import Callable, Iterator
from typing import Any

from torch import Tensor

from attncourse.checker.calling import outcome
from attncourse.checker.departure import Departure
from attncourse.checker.equal import hopeless, same
from attncourse.checker.fault import Fault
from attncourse.checker.running import attempt, calm

NAME = "right_numbers_in_another_order"


def explain(departure: Departure) -> Fault | None:
    said = attempt(lambda: moved(departure))
    if not isinstance(said, str):
        return None
    return Fault(said, (departure.seen, departure.worst, *departure.done), NAME)


def moved(departure: Departure) -> str | None:
    """What is done along one axis of the right result, on every trial alike."""
    case, probe = departure.case, departure.probe
    pairs = [(y, case.sheet.expected(i, probe)) for i, y in enumerate(case.outcomes(probe))]
    parts = departure.right if isinstance(departure.right, tuple) else (departure.right,)
    if case.ex.laws and not all(map(_numbers, parts)):
        return None  # what a mask shows, or which place is taken, says more
    if isinstance(departure.right, tuple):
        parts = zip(departure.y, departure.right, strict=False)
        wrong = [n for n, pair in enumerate(parts) if not same(*pair)]
        if len(wrong) != 1 or not all(_as_many(*pair) for pair in pairs):
            return None
        pairs = [(y[wrong[0]], right[wrong[0]]) for y, right in pairs]
        said = _said(pairs, departure, departure.axes[wrong[0]])
        return said and f"In [{wrong[0]}]: {said[:1].lower()}{said[1:]}"
    return _said(pairs, departure, departure.axes)


def _numbers(right: Any) -> bool:
    return isinstance(right, Tensor) and right.is_floating_point()


def _as_many(y: Any, right: tuple) -> bool:
    return isinstance(y, (tuple, list)) and len(y) == len(right)


def _said(pairs: list, departure: Departure, axes: str) -> str | None:
    here = pairs[departure.index]
    if not all(_alike(*pair) for pair in pairs) or here[1].ndim == 0:
        return None
    pairs = [here, *(p for n, p in enumerate(pairs) if n != departure.index)]
    names = re.findall(r"\([^)]*\)|\S+", axes)
    for axis in range(-here[1].ndim, 0):
        if here[1].shape[axis] < 2:
            continue
        letter = names[axis] if len(names) == here[1].ndim else f"axis {axis + here[1].ndim}"
        if said := _shifted(pairs, letter, axis):
            return said
        for text, move in _moves(letter, axis):
            if all(axis >= -r.ndim and same(y, move(r)) for y, r in pairs):
                return f"Your numbers are right, but {text}."
    return None


def _shifted(pairs: list, letter: str, axis: int) -> str | None:
    """Each stands one place too late, or too early, whatever stands at the border."""
    n = min(r.shape[axis] if r.ndim >= -axis else 0 for _, r in pairs)
    if n < 3 or not pairs[0][1].is_floating_point():
        return None
    firsts = [[t.narrow(axis, 0, t.shape[axis] - 1) for t in pair] for pair in pairs]
    lasts = [[t.narrow(axis, 1, t.shape[axis] - 1) for t in pair] for pair in pairs]
    both = [*zip(firsts, lasts, strict=True)]
    text = f"Your numbers are right, but shifted by one along {letter}: each stands one too"
    if all(same(last[0], first[1]) for first, last in both):
        return f"{text} late."
    if all(same(first[0], last[1]) for first, last in both):
        return f"{text} early."
    return None


def _alike(y: Any, right: Any) -> bool:
    return (
        isinstance(y, Tensor)
        and isinstance(right, Tensor)
        and y.shape == right.shape
        and y.dtype == right.dtype
    )


def _moves(letter: str, axis: int) -> Iterator[tuple[str, Callable[[Tensor], Tensor]]]:
    """How it is told, and what becomes of the right result."""
    yield f"turned round along {letter}: the last comes first", lambda t: t.flip(axis)
    yield (
        f"those of {letter}=0 stand at every {letter}",
        lambda t: t.narrow(axis, 0, 1).expand_as(t),
    )
    yield f"sorted along {letter}, the smallest first", lambda t: t.sort(axis).values
    yield f"sorted along {letter}, the largest first", lambda t: t.sort(axis, True).values
    yield (
        f"those of the last {letter} stand at every {letter}",
        lambda t: t.flip(axis).narrow(axis, 0, 1).expand_as(t),
    )


def of_an_input(departure: Departure) -> str | None:
    """What is done along one axis of an input, as far as that alone gives the answer."""
    case, probe, trial = departure.case, departure.probe, departure.trial
    if case.ex.is_module or case.ex.through:
        return None
    for name, letters in trial.axes.items():
        x, names = trial.inputs[name], re.findall(r"\([^)]*\)|\S+", letters)
        if not isinstance(x, Tensor):
            continue
        for axis in range(-x.ndim, 0):
            if x.shape[axis] < 2 or len(names) != x.ndim:
                continue
            for text, move in _moves_of_one(names[axis], axis):
                if all(
                    _gives(departure, i, probe, name, move, y)
                    for i, y in _first(departure.index, case.outcomes(probe))
                ):
                    return f"Your result is right for another `{name}`: one that is {text}."
    return None


def _moves_of_one(letter: str, axis: int) -> Iterator[tuple[str, Callable[[Tensor], Tensor]]]:
    yield f"turned round along {letter}", lambda t: t.flip(axis)
    yield (
        f"the same at every {letter}, as at {letter}=0",
        lambda t: t.narrow(axis, 0, 1).expand_as(t).clone(),
    )
    yield f"shifted by one along {letter}", lambda t: t.roll(1, axis)
    yield f"shifted back by one along {letter}", lambda t: t.roll(-1, axis)


def _first(index: int, outcomes: list) -> Iterator[tuple[int, Any]]:
    """The trial that departs, then the others."""
    yield index, outcomes[index]
    yield from ((i, y) for i, y in enumerate(outcomes) if i != index)


def _gives(departure: Departure, i: int, probe: str, name: str, move: Callable, y: Any) -> bool:
    """Whether the solution gives this, where one of its inputs is moved."""
    case, trial = departure.case, departure.case.trials[i]
    if name not in trial.axes:
        return False
    with calm():
        inputs = trial.fresh()
        moved_ = attempt(lambda: move(inputs[name]))
        found = outcome(case.ex, case.ex.solution, probe, inputs | {name: moved_})
    return not hopeless(found) and same(found, y)
