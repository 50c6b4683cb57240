"""Whether the sizes of trials can be told apart: no two of them, and no products, agree."""

from collections.abc import Iterator
from itertools import combinations

from attncourse.exercises.record import Exercise, Trial


def agreements(ex: Exercise) -> list[str]:
    """What agrees that should not, one line each: on the first trial, in whose letters most
    messages speak, and on all trials at once, where a mistake would show on none.

    Sizes of 1 say nothing. Letters of one set of `ex.tied` belong together by meaning. A sum
    matters only where the checker does not vary one size after another ("sizes" in `ex.skip`).
    """
    trials = ex.trials()
    found = {"on its first trial": dict.fromkeys(_agreeing(ex, trials[0]))}
    if len(trials) > 1:
        always = {one: None for trial in trials for one in _agreeing(ex, trial)}
        found["on every trial"] = {
            one: None for one in always if all(_holds(ex, trial, one) for trial in trials)
        }
    said = {one: where for where, ones in found.items() for one in ones}
    return [f"{_spelt(*one)} {where}" for one, where in said.items()]


def _agreeing(ex: Exercise, trial: Trial) -> Iterator[tuple[str, tuple, tuple]]:
    """Letters, two and two or two and one, whose product, sum or size is the same."""
    sizes = {letter: size for letter, size in trial.sizes.items() if size > 1}
    pairs = list(combinations(sizes, 2))
    for a, b in pairs:
        if sizes[a] == sizes[b] and not _tied(ex, {a, b}):
            yield "", (a,), (b,)
        for c in sizes.keys() - {a, b}:
            if _tied(ex, {a, b, c}):
                continue
            if sizes[a] * sizes[b] == sizes[c]:
                yield " ", (a, b), (c,)
            if "sizes" in ex.skip and sizes[a] + sizes[b] == sizes[c]:
                yield " + ", (a, b), (c,)
    for one, other in combinations(pairs, 2):
        if {*one} & {*other} or _tied(ex, {*one, *other}):
            continue
        if sizes[one[0]] * sizes[one[1]] == sizes[other[0]] * sizes[other[1]]:
            yield " ", one, other


def _holds(ex: Exercise, trial: Trial, one: tuple[str, tuple, tuple]) -> bool:
    """Whether an agreement is one of this trial's, or of none of its letters."""
    letters = {*one[1], *one[2]}
    given = all(trial.sizes.get(letter, 0) > 1 for letter in letters)
    return not given or one in set(_agreeing(ex, trial))


def _tied(ex: Exercise, letters: set[str]) -> bool:
    return any(letters <= {*tied.split()} for tied in ex.tied)


def _spelt(sign: str, one: tuple, other: tuple) -> str:
    return f"{sign.join(one)} = {sign.join(other)}"
