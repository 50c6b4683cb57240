"""The learner's own library: `mine.SqueezeExcite` is what passed, and the course's until then.

`check` keeps what passes in a notebook of the work folder (`checker/keeping.py`); here it is
found again. Outside a work folder all of it is the course's. One touches the names of the
exercises, `mine.CHAPTER.NAME` where two chapters have the same, and `where`.
"""

import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from attncourse import course, places
from attncourse.errors import nearest
from attncourse.mine import shelf

if TYPE_CHECKING:
    from rich.table import Table

_used: dict[Path, tuple[str, Any]] = {}  # what was loaded, and from which text
COURSE = "the course's"


def __getattr__(name: str) -> Any:
    if name.startswith("_"):
        raise AttributeError(f"module 'attncourse.mine' has no attribute '{name}'")
    for chapter in course.CHAPTERS:
        if chapter.name == name:
            return _Chapter(chapter)
    return use(_the_one(name))


def where(name: str | None = None) -> "Table | str":
    """Whose each answer is: yours, with the day on which it passed and its file, or the
    course's.

    name  of one exercise, as "SqueezeExcite" or "channel.squeeze_excite"; all, without it
    """
    if name is not None:
        return _whose(name if name in course.known_ids() else _the_one(name))
    from rich.table import Table

    table = Table("exercise", "whose", title="Your library")
    for id in course.known_ids():
        table.add_row(id, _whose(id))
    return table


def own(id: str) -> shelf.Kept | None:
    """The learner's answer to an exercise, where there is one that can be read."""
    try:
        return shelf.kept(places.stood_in(), id)
    except (shelf.Unusable, OSError):
        return None


def use(id: str) -> Any:
    """The learner's answer to an exercise if it passed, else the course's. Raises
    UnknownExercise.

    A kept file that cannot be used is told in one line, and the course's takes its place.
    """
    ex, work = course.exercise(id), places.stood_in()
    try:
        if found := shelf.kept(work, id):
            return _loaded(found, ex.name)
    except (shelf.Unusable, OSError) as error:
        path = shelf.path_of(work, id).relative_to(work.parent)
        warnings.warn(
            f"{path} cannot be used ({error}): `{ex.name}` is the course's for now. Run its"
            " `check` once more.",
            stacklevel=3,
        )
    return ex.solution


class _Chapter(SimpleNamespace):
    """The answers of one chapter, by the names that they have there."""

    def __init__(self, chapter: course.Chapter):
        super().__init__(chapter=chapter)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return use(_the_one(name, (self.chapter,)))

    def __dir__(self) -> list[str]:
        return [*self.chapter.exercises]


def _loaded(found: shelf.Kept, name: str) -> Any:
    """What a kept file defines, loaded once for each text of it."""
    before, value = _used.get(found.path, (None, None))
    if before != found.body:
        text = found.path.read_text(encoding="utf-8")
        value = shelf.loaded(text, found.path, f"mine.{found.id}", name)
        _used[found.path] = found.body, value
    return value


def _whose(id: str) -> str:
    try:
        found = shelf.kept(places.stood_in(), id)
    except (shelf.Unusable, OSError) as error:
        return f"{COURSE}: yours cannot be used ({error})"
    if not found:
        return COURSE
    changed = ", changed by hand since" if found.changed else ""
    return f"yours, passed on {found.passed}{changed}"


def _the_one(name: str, chapters: tuple[course.Chapter, ...] = course.CHAPTERS) -> str:
    """The id of the one exercise whose answer has this name. Raises AttributeError."""
    for plain in (_plain, _plainer):
        found = [
            f"{chapter.name}.{exercise}"
            for chapter in chapters
            for exercise in chapter.exercises
            if plain(exercise) == plain(name)
        ]
        if len(found) == 1:
            return found[0]
        if found:
            ways = " or ".join(f"`mine.{id.partition('.')[0]}.{name}`" for id in found)
            raise AttributeError(f"{len(found)} chapters have a `{name}`: write {ways}.")
    known = [exercise for chapter in chapters for exercise in chapter.exercises]
    raise AttributeError(f'No exercise is called "{name}".{nearest(name, known)}')


def _plain(name: str) -> str:
    """The same for `SqueezeExcite` and `squeeze_excite`, so that no record is loaded."""
    return name.replace("_", "").lower()


def _plainer(name: str) -> str:
    """The same for `CoordConv2d` and `coord_conv`."""
    return _plain(name).removesuffix("2d")
