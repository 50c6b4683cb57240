"""What becomes of edits: answers that are compiled when somebody asks for them."""

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
from zlib import crc32

import einops
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from attncourse.errors import Broken
from attncourse.exercises.edits import Edit, Same, Wrong
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


# ------------------------------------------------------------------ places in a solution


@dataclass(frozen=True)
class Place:
    """From where to where in the solution of `ex`, and what stands there instead."""

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


@cache
def texts(ex: Exercise) -> tuple[str, ...]:
    """The solution; and the solution with what it leaves to others written out, if a record
    says how."""
    text = source(ex)
    steps = [one for one in ex.slips if isinstance(one, Same) and one.by_hand]
    places = [place for one in steps for place in _places(ex, one, text)]
    return (text, _written(text, places)) if places else (text,)


def place_of(ex: Exercise, edit: Edit, text: str) -> Place:
    """Where an edit changes a text of the solution, without what both have in common. Raises
    Broken unless its text stands exactly once in what the learner writes, and something
    changes."""
    if edit.inside:
        if edit.inside.is_module or f"{edit.inside.name}(" not in text:
            raise Broken(f"{ex.name} calls no function {edit.inside.name}")
        return place_of(edit.inside, replace(edit, inside=None), source(edit.inside))
    found = list(_occurrences(ex, edit, text))
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


def _occurrences(ex: Exercise, edit: Edit, text: str) -> Iterator[tuple[int, str, str]]:
    """Where the text of an edit begins, the text, and what is written instead, as indented
    there."""
    first = edit.old.partition("\n")[0]
    for _, start, stop in written(ex, text):
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


def answer(ex: Exercise, what: str, text: str, places: Iterable[Place]) -> Callable:
    """A text of the solution with these places written otherwise. Raises Broken if that is no
    Python, with the file to mend."""
    try:
        return _answer(ex, text, list(places))
    except SyntaxError as error:
        line = (error.text or "").strip()
        raise _broken(ex, what, f"it is no Python: {error.msg}: {line!r}") from error


def _answer(ex: Exercise, text: str, places: list[Place]) -> Callable:
    """The solution so written; of a module, with the methods that the learner writes made
    anew."""
    own = [place for place in places if place.ex is ex]
    others = {place.ex: None for place in places if place.ex is not ex}
    called = tuple(
        (other.name, _answer(other, source(other), [p for p in places if p.ex is other]))
        for other in others
    )
    if not ex.is_module:
        return _compiled(ex, _written(text, own), called)[ex.name]
    methods = {}
    for node, start, stop in written(ex, text):
        inside = [place for place in own if start <= place.start and place.stop <= stop]
        line = min(one.lineno for one in (node, *node.decorator_list))
        head = sum(map(len, text.splitlines(keepends=True)[: line - 1]))
        moved = [replace(p, start=p.start - head, stop=p.stop - head) for p in inside]
        methods[node.name] = dedent(_written(text[head:stop], moved))
    if any("super()" in method for method in methods.values()):  # which needs its class
        return _compiled(ex, _written(text, own), called)[ex.name]
    made = {one: _compiled(ex, method, called)[one] for one, method in methods.items()}
    return type(ex.name, (ex.solution,), made | {"__module__": ex.solution.__module__})


def copy(ex: Exercise) -> Callable:
    """The solution as somebody writes it who writes the same: it is compiled anew, so that
    it is nobody's answer that was taken over."""
    return answer(ex, "a copy", source(ex), ())


def _written(text: str, places: Iterable[Place]) -> str:
    """A text with places written otherwise."""
    for place in sorted(places, key=lambda place: place.start, reverse=True):
        text = text[: place.start] + place.new + text[place.stop :]
    return text


@cache
def _compiled(
    ex: Exercise, text: str, called: tuple[tuple[str, Callable], ...]
) -> dict[str, Any]:
    """The names that a source defines, compiled in the module of the solution, where some of
    what it calls is another's. Pairs share methods that only one of the two changes."""
    file = f"<{ex.id}, {crc32(text.encode()):08x}>"
    code = compile(text, file, "exec", __future__.annotations.compiler_flag)
    linecache.cache[file] = len(text), None, text.splitlines(keepends=True), file
    record = sys.modules.get(f"attncourse.exercises.{ex.id}")
    scope = VOCABULARY | (vars(record) if record else {})
    scope |= vars(sys.modules[ex.solution.__module__]) | dict(called)
    names = {}  # of their own: a method must not hide a function of its name that it calls
    exec(code, scope, names)
    scope |= {ex.name: names[ex.name]} if ex.name in names else {}  # it may call itself
    return names


# ------------------------------------------------------------------ the slips of an exercise


@cache
def slips_of(ex: Exercise) -> tuple[Slip, ...]:
    """Every slip of an exercise, then the pairs. Raises Broken for an edit that does not fit,
    with the file to mend."""
    edited = _edited(ex)
    at, made = _makers(ex)
    single = []
    for one in ex.slips:
        if isinstance(one, Wrong):
            others = [other for other in _sames(ex) if at(one, other)]
            ways = [made(f"{one.name}, otherwise {n}", one, o) for n, o in enumerate(others)]
            answers = made(one.name, one), *ways
            single.append(Slip(one.name, one.message, answers, one.variant))
        elif not isinstance(one, Same):
            single.append(one if isinstance(one, Slip) else slip(one))
    often = combinations([one for one in edited if one.often], 2)
    return (*single, *(_both(made, *pair) for pair in often if at(*pair)))


def rare_pairs(ex: Exercise) -> Iterator[Slip]:
    """Two slips at once that are seldom made together, those first of which one is often
    made."""
    at, made = _makers(ex)
    wrong = [one for one in _edited(ex) if not one.variant]
    pairs = [pair for pair in combinations(wrong, 2) if not all(one.often for one in pair)]
    for pair in sorted(pairs, key=lambda two: not any(one.often for one in two)):
        if at(*pair):
            yield _both(made, *pair)


def _edited(ex: Exercise) -> list[Wrong]:
    return [one for one in ex.slips if isinstance(one, Wrong)]


def _makers(ex: Exercise) -> tuple[Callable, Callable]:
    """Where edits can be made at once, and what makes the answer with all of them."""
    places = {id(one): _in_each(ex, one) for one in (*_edited(ex), *_sames(ex))}

    def at(*parts: Wrong | Same) -> tuple[str, list[Place]] | None:
        for text in texts(ex):
            found = [places[id(one)].get(text) for one in parts]
            if None not in found and not _meet(found):
                return text, [place for some in found for place in some]
        return None

    def made(name: str, *parts: Wrong | Same) -> Callable[[], Callable]:
        return cache(partial(answer, ex, f"the slip {name}", *at(*parts)))

    return at, made


def _both(made: Callable, one: Wrong, other: Wrong) -> Slip:
    name = f"{one.name} + {other.name}"
    text = f"Two things at once. {one.message} And: {other.message}"
    return Slip(name, text, (made(name, one, other),), parts=(one.name, other.name))


def text_of(ex: Exercise, one: Wrong) -> str:
    """The solution as somebody writes it who makes this slip."""
    text, places = next(iter(_in_each(ex, one).items()))
    return _written(text, places)


def broken(ex: Exercise) -> list[str]:
    """What does not fit of the edits of an exercise, one line each, with the file to mend."""
    problems = []
    for one in ex.slips:
        if isinstance(one, Wrong | Same):
            try:
                text, places = next(iter(_in_each(ex, one).items()))
                answer(ex, _what(one), text, places)
            except Broken as error:
                problems.append(str(error))
    return problems


def right_ways(ex: Exercise) -> dict[str, Callable]:
    """The solution with each step that has another right way written in it, by what changes."""
    return {
        one.edits[0].new: answer(ex, _what(one), text, places)
        for one in ex.slips
        if isinstance(one, Same) and one.right
        for text, places in [next(iter(_in_each(ex, one).items()))]
    }


def _sames(ex: Exercise) -> list[Same]:
    """The other ways, without those that are a text of their own."""
    return [one for one in ex.slips if isinstance(one, Same) and not one.by_hand]


def _in_each(ex: Exercise, one: Wrong | Same) -> dict[str, list[Place]]:
    """Where a slip changes each text of the solution in which it stands. Raises Broken with the
    file to mend if that is none."""
    found, why = {}, None
    for text in texts(ex):
        try:
            found[text] = _places(ex, one, text)
        except Broken as error:
            why = error
    if not found:
        raise why
    return found


def _places(ex: Exercise, one: Wrong | Same, text: str) -> list[Place]:
    """Where a slip changes a text of the solution. Raises Broken with the file to mend."""
    try:
        places = [place_of(ex, edit, text) for edit in one.edits]
        if _meet([place] for place in places):
            raise Broken("its edits overlap")
    except Broken as error:
        raise _broken(ex, _what(one), str(error)) from error
    return places


def _what(one: Wrong | Same) -> str:
    if isinstance(one, Wrong):
        return f"the slip {one.name}"
    kind = "by_hand" if one.by_hand else "same" if one.right else "unsaid"
    return f"{kind}({one.edits[0].old!r}, …)"


def _meet(parts: Iterable[list[Place]]) -> bool:
    """Whether some places of two parts cannot be written at once."""
    return any(
        a.meets(b) for some, others in combinations(parts, 2) for a in some for b in others
    )


def _broken(ex: Exercise, what: str, why: str) -> Broken:
    return Broken(f"{ex.id}: {what}: {why}. Mend it in {file_of(ex.id)}.")
