"""A slip is an edit of the solution: the text that people get wrong, and what they write.

    wrong("softmax_over_channels", ".sigmoid()", ".softmax(-1)", "You take a softmax over c: …")
    same("squeeze(x)", "x.mean((-2, -1))")

The text must stand exactly once in what the learner writes. The edited source is compiled in
the solution's own module, so that a slip cannot drift from the solution: an edit whose text is
gone, or stands twice, is an error that says where to mend it. New text may also use what a
learner has at hand (`VOCABULARY`) and what the record's own file defines.

Two edits that do not overlap are made at once: slips that are `often` made, in pairs, and every
slip beside each `same` way to write another step. Of an edit only what differs counts: what old
and new text begin or end with alike is there to find the place.

A solution may call a function that an exercise before it asked for. Its learner may write all
of it once more, and `inside` makes the slips of that function slips of this exercise.
"""

import __future__

import linecache
import math
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import combinations
from textwrap import dedent
from typing import Any

import einops
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from attncourse.errors import Broken
from attncourse.exercises.record import Exercise, Slip, file_of, slip
from attncourse.exercises.source import source, written

VOCABULARY = {
    "math": math,
    "torch": torch,
    "nn": nn,
    "F": F,
    "Tensor": Tensor,
    "einops": einops,
    "rearrange": einops.rearrange,
    "reduce": einops.reduce,
    "repeat": einops.repeat,
    "einsum": einops.einsum,
}
WORDS = re.compile(r"\w+|\s+|.")


@dataclass(frozen=True)
class Edit:
    """One place in a solution written otherwise. Further lines of `old` and `new` are indented
    as the line is in which the place begins. `inside` is the exercise whose solution it stands
    in, where that is a function which this one calls."""

    old: str
    new: str
    inside: Exercise | None = None


@dataclass(frozen=True)
class Wrong:
    """A wrong answer that people give, as edits of the solution; `message` is what they read.

    often    made in pairs with others that are
    variant  not wrong but another published reading: the answer passes, and is told whose it is
    """

    name: str
    message: str
    edits: tuple[Edit, ...]
    often: bool = False
    variant: bool = False


@dataclass(frozen=True)
class Same:
    """Another right way to write a step."""

    edits: tuple[Edit, ...]


def wrong(name: str, old: str, new: str, message: str, *more: tuple[str, str]) -> Wrong:
    """A slip: `old` written as `new`, and each (old, new) of `more` with it."""
    return Wrong(name, message, (Edit(old, new), *(Edit(*pair) for pair in more)))


def published(name: str, old: str, new: str, message: str, *more: tuple[str, str]) -> Wrong:
    """Another published reading: it passes, and the message says whose it is."""
    return replace(wrong(name, old, new, message, *more), variant=True)


def same(old: str, new: str, *more: tuple[str, str]) -> Same:
    """Another right way to write a step: every slip that leaves the step alone is known with
    it as well."""
    return Same((Edit(old, new), *(Edit(*pair) for pair in more)))


def often(*slips: Wrong) -> tuple[Wrong, ...]:
    """Slips that people make together with others: known in pairs as well."""
    return tuple(replace(one, often=True) for one in slips)


def inside(called: Exercise) -> tuple[Wrong | Same, ...]:
    """What is an edit among the slips of an exercise, for one whose solution calls the function
    that is asked for there."""
    edited = (one for one in called.slips if isinstance(one, Wrong | Same))
    return tuple(
        replace(one, edits=tuple(replace(e, inside=called) for e in one.edits))
        for one in edited
    )


# ------------------------------------------------------------------ places in a solution


@dataclass(frozen=True)
class Place:
    """From where to where in the source, and what stands there instead. `ex` is the exercise
    whose solution it is."""

    ex: Exercise
    start: int
    stop: int
    new: str

    def meets(self, other: "Place") -> bool:
        """Whether the two cannot be written at once."""
        if self.ex is not other.ex:
            return False
        if self.start == self.stop or other.start == other.stop:
            return self.start <= other.stop and other.start <= self.stop
        return self.start < other.stop and other.start < self.stop


def place_of(ex: Exercise, edit: Edit) -> Place:
    """Where an edit changes the solution, without what it has in common with it. Raises Broken
    unless its text stands exactly once in what the learner writes, and something changes."""
    if edit.inside:
        if edit.inside.is_module or f"{edit.inside.name}(" not in source(ex):
            raise Broken(f"{ex.name} calls no function {edit.inside.name}")
        return place_of(edit.inside, replace(edit, inside=None))
    found = list(_occurrences(ex, edit))
    if len(found) != 1:
        raise Broken(
            f"{edit.old!r} stands {_times(len(found))} in what the learner writes of {ex.name};"
            " it should stand once"
        )
    if edit.old == edit.new:
        raise Broken(f"{edit.old!r} is replaced by itself")
    ((start, old, new),) = found
    before, after = WORDS.findall(old), WORDS.findall(new)
    first = _in_common(before, after)
    last = _in_common(before[first:][::-1], after[first:][::-1])
    lead, tail = len("".join(before[:first])), len("".join(before[len(before) - last :]))
    return Place(ex, start + lead, start + len(old) - tail, new[lead : len(new) - tail])


def _occurrences(ex: Exercise, edit: Edit) -> Iterator[tuple[int, str, str]]:
    """Where the text of an edit begins, the text, and what is written instead, as indented
    there."""
    text, first = source(ex), edit.old.partition("\n")[0]
    for _, start, stop in written(ex):
        at = text.find(first, start, stop)
        while at >= 0:
            line = text[text.rfind("\n", 0, at) + 1 :]
            deep = "\n" + line[: len(line) - len(line.lstrip(" "))]
            old = edit.old.replace("\n", deep)
            if text.startswith(old, at) and at + len(old) <= stop:
                yield at, old, edit.new.replace("\n", deep)
            at = text.find(first, at + 1, stop)


def _in_common(one: list[str], other: list[str]) -> int:
    """How many words two texts begin with alike."""
    number = 0
    for a, b in zip(one, other, strict=False):
        if a != b:
            break
        number += 1
    return number


def _times(n: int) -> str:
    return "nowhere" if not n else f"{n} times"


# ------------------------------------------------------------------ answers


def answer(ex: Exercise, name: str, places: Iterable[Place]) -> Callable:
    """The solution with these places written otherwise. Raises Broken if that is no Python,
    with the file to mend."""
    text, every = source(ex), sorted(places, key=lambda p: p.start, reverse=True)
    places = [place for place in every if place.ex is ex]
    called = {
        other: answer(other, name, [place for place in every if place.ex is other])
        for other in {place.ex for place in every if place.ex is not ex}
    }
    compiled = partial(_compiled, ex, name, {one.name: f for one, f in called.items()})
    if not ex.is_module:
        return compiled(_written(text, places))[ex.name]
    methods = {}
    for node, start, stop in written(ex):
        inside = [place for place in places if start <= place.start and place.stop <= stop]
        if inside or called:
            line = min(one.lineno for one in (node, *node.decorator_list))
            head = sum(map(len, text.splitlines(keepends=True)[: line - 1]))
            moved = [replace(p, start=p.start - head, stop=p.stop - head) for p in inside]
            methods[node.name] = dedent(_written(text[head:stop], moved))
    if any("super()" in method for method in methods.values()):  # which needs its class
        return compiled(_written(text, places))[ex.name]
    made = {one: compiled(method)[one] for one, method in methods.items()}
    return type(ex.name, (ex.solution,), made | {"__module__": ex.solution.__module__})


def _written(text: str, places: Iterable[Place]) -> str:
    """A text with places written otherwise, the last of them first."""
    for place in places:
        text = text[: place.start] + place.new + text[place.stop :]
    return text


def _compiled(
    ex: Exercise, name: str, called: dict[str, Callable], text: str
) -> dict[str, Any]:
    """The names that a source defines, compiled in the module of the solution, where some of
    what it calls is another's."""
    file = f"<{ex.id}, {name}>"
    try:
        code = compile(text, file, "exec", __future__.annotations.compiler_flag)
    except SyntaxError as error:
        line = (error.text or "").strip()
        raise _broken(ex, name, f"no Python: {error.msg}: {line!r}") from error
    linecache.cache[file] = len(text), None, text.splitlines(keepends=True), file
    record = sys.modules.get(f"attncourse.exercises.{ex.id}")
    scope = VOCABULARY | (vars(record) if record else {})
    scope |= vars(sys.modules[ex.solution.__module__]) | called
    exec(code, scope)
    return scope


# ------------------------------------------------------------------ the slips of an exercise


@cache
def slips_of(ex: Exercise) -> tuple[Slip, ...]:
    """Every slip of an exercise, then the pairs. Raises Broken for an edit that does not fit,
    with the file to mend."""
    edited = [one for one in ex.slips if isinstance(one, Wrong)]
    places = {id(one): _places(ex, one) for one in (*edited, *_sames(ex))}

    def apart(one: Wrong, other: Wrong | Same) -> bool:
        pairs = ((a, b) for a in places[id(one)] for b in places[id(other)])
        return not any(a.meets(b) for a, b in pairs)

    def made(name: str, *parts: Wrong | Same) -> Callable[[], Callable]:
        return cache(partial(answer, ex, name, [p for one in parts for p in places[id(one)]]))

    single = []
    for one in ex.slips:
        if isinstance(one, Wrong):
            others = [other for other in _sames(ex) if apart(one, other)]
            ways = [made(f"{one.name}, otherwise {n}", one, o) for n, o in enumerate(others)]
            answers = made(one.name, one), *ways
            single.append(Slip(one.name, one.message, answers, one.variant))
        elif not isinstance(one, Same):
            single.append(one if isinstance(one, Slip) else slip(one))
    pairs = [
        Slip(
            name := f"{one.name} + {other.name}",
            f"Two things at once. {one.message} And: {other.message}",
            (made(name, one, other),),
            parts=(one.name, other.name),
        )
        for one, other in combinations([one for one in edited if one.often], 2)
        if apart(one, other)
    ]
    return (*single, *pairs)


def right_ways(ex: Exercise) -> dict[str, Callable]:
    """The solution with each step that has another right way written in it, by what changes."""
    return {
        one.edits[0].new: answer(ex, f"{one.edits[0].new!r}", _places(ex, one))
        for one in _sames(ex)
    }


def _sames(ex: Exercise) -> list[Same]:
    return [one for one in ex.slips if isinstance(one, Same)]


def _places(ex: Exercise, one: Wrong | Same) -> list[Place]:
    """Where a slip changes the solution. Raises Broken with the file to mend."""
    what = (
        f"the slip {one.name}" if isinstance(one, Wrong) else f"same({one.edits[0].old!r}, …)"
    )
    try:
        places = [place_of(ex, edit) for edit in one.edits]
        if any(a.meets(b) for a, b in combinations(places, 2)):
            raise Broken("its edits overlap")
    except Broken as error:
        raise _broken(ex, what, str(error)) from error
    return places


def _broken(ex: Exercise, what: str, why: str) -> Broken:
    return Broken(f"{ex.id}: {what}: {why}. Mend it in {file_of(ex.id)}.")
