"""An assignment: which exercises, for how many points, until when, with how many hints."""

import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from attncourse import course, places
from attncourse.course import Chapter
from attncourse.errors import UserError, nearest

VERSION = 1
FILE = "assignment.json"


@dataclass(frozen=True)
class Assignment:
    """What a teacher hands out.

    chapters  their stems, as "05_channel"
    points    by exercise, in course order
    due       an ISO date, or None
    hints     how many rungs of each exercise's hints are handed out
    """

    title: str
    chapters: tuple[str, ...]
    points: Mapping[str, float]
    due: str | None
    hints: int
    package: str

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(self.points)

    def as_dict(self) -> dict[str, Any]:
        """What stands in `assignment.json`."""
        kept = asdict(self)
        points = kept.pop("points")
        exercises = [{"id": id, "points": worth} for id, worth in points.items()]
        return {"version": VERSION, **kept, "exercises": exercises}

    def write(self, folder: Path) -> None:
        text = json.dumps(self.as_dict(), indent=1, ensure_ascii=False) + "\n"
        (folder / FILE).write_text(text, encoding="utf-8")


def plan(
    chapters: str,
    exercises: str = "",
    points: str = "",
    due: str | None = None,
    hints: int = 3,
    title: str | None = None,
) -> Assignment:
    """An assignment as a teacher asks for it. Raises UserError, UnknownExercise."""
    chosen = _chapters(chapters)
    ids = _ids(chosen, exercises)
    chosen = [c for c in chosen if set(c.ids) & set(ids)]
    return Assignment(
        title or " · ".join(c.title for c in chosen),
        tuple(c.stem for c in chosen),
        _points(ids, points),
        _date(due),
        hints,
        course_version(),
    )


def course_version() -> str:
    """The version of the course that is handed out."""
    if folder := places.clone():
        return tomllib.loads((folder / "pyproject.toml").read_text())["project"]["version"]
    return version("attncourse")


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _chapters(text: str) -> list[Chapter]:
    found = {course.chapter(name).number: course.chapter(name) for name in _listed(text)}
    if not found:
        raise UserError("name at least one chapter: --chapters 05,06")
    return [found[number] for number in sorted(found)]


def _ids(chapters: Sequence[Chapter], text: str) -> list[str]:
    """Those named, in course order; all of the chapters, if none is."""
    there = [id for chapter in chapters for id in chapter.ids]
    wanted = set()
    for name in _listed(text):
        found = [id for id in there if name in (id, id.partition(".")[2])]
        if len(found) != 1:
            many = f"is in {len(found)} chapters: write {' or '.join(found)}" if found else ""
            few = f"is in none of the chapters named.{nearest(name, there)}"
            raise UserError(f'the exercise "{name}" {many or few}')
        wanted.add(found[0])
    return [id for id in there if id in wanted or not wanted]


def _points(ids: Sequence[str], text: str) -> dict[str, float]:
    """1 each, where nothing is said: "2" for all, "squeeze=2" for one."""
    every, some = 1.0, {}
    for part in _listed(text):
        name, equals, number = part.rpartition("=")
        try:
            worth = float(number)
            if not 0 < worth < 1e6:
                raise ValueError
        except ValueError:
            raise UserError(
                f'"{number}" is no number of points above 0: write --points 2 for all'
                " exercises, --points squeeze=2 for one."
            ) from None
        found = [id for id in ids if name in (id, id.partition(".")[2])]
        if equals and len(found) != 1:
            raise UserError(f'points for "{name}": no exercise here.{nearest(name, ids)}')
        if equals:
            some[found[0]] = worth
        else:
            every = worth
    return {id: some.get(id, every) for id in ids}


def _date(text: str | None) -> str | None:
    if not text:
        return None
    try:
        at = datetime.fromisoformat(text)
        midnight = at.time() == time.min and len(text) <= len("2027-03-01")
        return at.date().isoformat() if midnight else at.isoformat(timespec="minutes")
    except ValueError:
        raise UserError(
            f'"{text}" is no date: write --due 2027-03-01 or 2027-03-01T23:59'
        ) from None
