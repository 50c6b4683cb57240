"""The one step that an answer does otherwise: an alteration that gives the same everywhere."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from torch import Tensor

from attncourse.checker.alterations.every import Alteration
from attncourse.checker.alterations.factors import factor_of_sizes
from attncourse.checker.alterations.runs import Runs, runs
from attncourse.checker.alterations.steps import NAMELESS
from attncourse.checker.equal import digest, same
from attncourse.checker.fault import sentence
from attncourse.checker.sheet import sheet
from attncourse.checker.trials import Prepared
from attncourse.exercises.record import Exercise

VAGUE = r"to the (quotient|difference|total|sum|product)|before it meets"
CHEAP = 12  # an alteration of so many calls
CALLS = 4_000  # of torch, that all alterations of one trial may take together


def altered(
    ex: Exercise,
    index: int,
    probe: str,
    answers: Sequence[Any],
    right: tuple[str, ...] = (),
    given: Mapping[str, list[Tensor]] | None = None,
) -> str | None:
    """The one step that an answer does otherwise, in one line, or nothing.

    `answers` is what it makes of each declared trial; the first that departs is at `index`.
    `right` are the methods that are known to be right; `given` is what the answer's layers are
    given there, in every call of each, as far as it calls them.
    Where the step occurs in another trial, the answer must depart there in the same way. Only a
    trial with other settings, such as an order of steps, may be right.
    """
    y = answers[index]
    if not isinstance(y, Tensor) or not y.is_floating_point() or y.numel() < 2:
        return None
    if not y.isfinite().all():
        return None
    here = runs(ex, index, probe, right)
    if said := factor_of_sizes(ex, probe, answers):
        return said
    for one in tried(here, given or {}):
        if same(here.otherwise(one), y) and _fits_elsewhere(
            ex, index, probe, one, answers, right
        ):
            if _is_vague(one.text):
                continue
            return sentence(one.text)
    return None


def _is_vague(text: str) -> bool:
    """Of two things without a name nothing can be told, nor of one on the way to another."""
    nameless = len(re.findall(rf"\b{NAMELESS}\b", text))
    return nameless > 1 or (nameless == 1 and re.search(VAGUE, text) is not None)


def tried(here: Runs, given: Mapping[str, list[Tensor]]) -> Iterator[Alteration]:
    """The alterations that can explain an answer whose layers are given this, the likely ones
    first, until they take too long."""
    settled, departs = _settled(here, given)
    possible = {
        n.number
        for n in here.watch.steps
        if not any(n.key in key and n.key != key for key in settled)
        and (departs is None or n.key in departs)
    }
    left, kept = CALLS, CALLS / 4  # kept for those near the end, which are cheap
    for one in here.likely:
        if min(one.steps) in possible if one.steps else departs is None:
            cost = here.cost(one)
            if left > 0:
                left -= cost
                yield one
            elif cost < CHEAP and kept > 0:
                kept -= cost
                yield one


def _settled(here: Runs, given: Mapping[str, list[Tensor]]) -> tuple[list[str], str | None]:
    """The layers that are given what they should be, and the first that is not, by keys."""
    layers = [n for n in here.watch.steps if n.kind in ("layer", "norm")]
    layers = [n for n in layers if n.layer in given and isinstance(n.args[0], Tensor)]
    right, before = {}, Counter()
    for n in layers:
        t = n.args[0].detach()
        value = n.layer, *digest(t)
        before[value] += 1
        right[n.number] = sum(same(other, t) for other in given[n.layer]) >= before[value]
    settled = [n.key for n in layers if right[n.number]]
    return settled, next((n.key for n in layers if not right[n.number]), None)


def _fits_elsewhere(
    ex: Exercise,
    index: int,
    probe: str,
    one: Alteration,
    answers: Sequence[Any],
    known_right: tuple[str, ...],
) -> bool:
    """Whether an alteration gives what the answer gives on the other trials too."""
    known, sizes = sheet(ex), {one.size}
    for other, y in enumerate(answers):
        if other == index or not isinstance(y, Tensor):
            continue
        there = runs(ex, other, probe, known_right)
        likewise = there.every.get(one.key)
        if likewise is None:
            continue
        if same(there.otherwise(likewise), y):
            sizes.add(likewise.size)
            continue
        right = same(y, known.expected(other, probe))
        if not right or _settings(known.trials[other]) == _settings(known.trials[index]):
            return False
    return one.size is None or len(sizes) > 1  # a number may be an axis' size by chance


def _is_word(x: Any) -> bool:
    """A word, a switch, nothing, or several of them."""
    if isinstance(x, (tuple, list)):
        return all(_is_word(part) for part in x)
    return x is None or isinstance(x, (str, bool))


def _settings(trial: Prepared) -> tuple:
    """What is chosen of a trial, apart from its sizes: words, switches, the mode."""
    chosen = {**trial.init, **trial.inputs}
    words = {n: v for n, v in chosen.items() if _is_word(v)}
    return trial.evaluate, *sorted((n, repr(v)) for n, v in words.items())
