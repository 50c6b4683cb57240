"""A slip is an edit of the solution: the text that people get wrong, and what they write.

    wrong("softmax_over_channels", ".sigmoid()", ".softmax(-1)", "You take a softmax over c: …")
    same("squeeze(x)", "x.mean((-2, -1))")

The text must stand exactly once in what the learner writes. The edited source is compiled in
the solution's own module, so that a slip cannot drift from the solution: an edit whose text is
gone, or stands twice, is an error that says where to mend it. New text may also use what a
learner has at hand (`edited.VOCABULARY`) and what the record's own file defines.

What the solution leaves to another function, many learners write out. `by_hand` says how, and
an edit may be of that text as well. Where an exercise before asked for that function, `inside`
makes its slips slips of this exercise.

Two edits that do not overlap are made at once: slips that are `often` made, in pairs, and every
slip beside each `same` or `unsaid` way to write another step. Of an edit only what differs
counts: what old and new text begin or end with alike is there to find the place.
"""

from dataclasses import dataclass, replace
from typing import Any

from attncourse.exercises.record import Exercise


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
    """Another way to write a step, right unless it is `unsaid`.

    by_hand  what the solution calls is written out: slips may be edits of this text as well
    """

    edits: tuple[Edit, ...]
    right: bool = True
    by_hand: bool = False


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


def unsaid(old: str, new: str, *more: tuple[str, str]) -> Same:
    """Another way to write a step, which fails in a corner: every slip that leaves the step
    alone is known with it as well, and is what is told. Alone it is a slip of its own."""
    return replace(same(old, new, *more), right=False)


def by_hand(old: str, new: str) -> Same:
    """What the solution leaves to another function, written out. An edit that does not stand in
    the solution is made in the solution with every such step written out."""
    return Same((Edit(old, new),), by_hand=True)


def often(*slips: Any) -> tuple[Any, ...]:
    """Slips that people make together with others: known in pairs as well. What is no edit, or
    no slip, stays as it is."""
    return tuple(
        replace(one, often=True) if isinstance(one, Wrong) and not one.variant else one
        for one in slips
    )


def inside(called: Exercise) -> tuple[Wrong | Same, ...]:
    """What is an edit among the slips of an exercise, for one whose solution calls the function
    that is asked for there."""
    edited = (one for one in called.slips if isinstance(one, Wrong | Same))
    return tuple(
        replace(one, edits=tuple(replace(e, inside=called) for e in one.edits))
        for one in edited
    )
