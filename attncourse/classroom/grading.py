"""`attncourse check`: the exercises of a saved notebook, for who wrote it.

The same worker as in `attncourse grade`, without a sandbox, with the whole course beside it,
and with nothing asked from outside: it shields from accidents, not from malice. Check notebooks
of strangers where you would run their programs.
"""

from dataclasses import asdict, dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from attncourse import course
from attncourse.classroom.marking import STATUSES, Mark, Terms, mark, stage
from attncourse.classroom.sandbox.box import Box
from attncourse.classroom.sandbox.ladder import NONE
from attncourse.errors import UserError

MEMORY = 2**50  # its own affair


@dataclass(frozen=True)
class Result:
    """The verdict on one exercise, and the number of the code cell that holds it."""

    id: str
    cell: int
    status: str
    slip: str | None
    message: str


@dataclass
class Report:
    """The verdicts on a notebook, and what could not be run in it."""

    notebook: Path
    results: list[Result] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        return all(result.status == "passed" for result in self.results)

    @property
    def counts(self) -> dict[str, int]:
        """How many exercises have each status, as far as there are any."""
        found = [result.status for result in self.results]
        return {status: found.count(status) for status in STATUSES if status in found}

    def as_dict(self) -> dict[str, Any]:
        """The report in the types of JSON."""
        return {
            "notebook": str(self.notebook),
            "passed": self.passed,
            "counts": self.counts,
            "exercises": [asdict(result) for result in self.results],
            "notes": self.notes,
        }


def grade(path: Path, seconds: float) -> Report:
    """Check every exercise of a notebook. What its chapter has and it lacks is not attempted.
    Raises UserError where there is nothing to check."""
    data = _bytes(path)
    with stage(None) as folder:
        terms = Terms({}, None, seconds)
        marked = mark(data, terms, Box(NONE, folder, MEMORY), path.resolve().parent)
    if marked.why and not marked.marks:
        raise UserError(f"{path}: {marked.why}.")
    if not marked.marks:
        unknown = [note for note in marked.notes if note.startswith("There is no exercise")]
        raise UserError(unknown[0] if unknown else f"{path} has no exercises in it.")
    marks = list(marked.marks.values())
    for one in course.CHAPTERS:
        if one.stem in path.name:
            marks += [
                Mark(id, "not attempted", "Neither its cell nor its check is in this notebook.")
                for id in one.ids
                if id not in marked.marks
            ]
    results = [Result(m.id, m.cell, m.status, m.slip, m.message) for m in marks]
    return Report(path, sorted(results, key=_place), marked.notes)


def _place(result: Result) -> tuple[bool, int]:
    return not result.cell, result.cell


def _bytes(path: Path) -> bytes:
    if not path.exists():
        raise UserError(f"there is no file {path}.{_meant(path)}")
    if path.is_dir():
        raise UserError(f"{path} is a folder; name a notebook in it.")
    return path.read_bytes()


def _meant(path: Path) -> str:
    """A file that exists and may have been meant."""
    near = {str(p): p for folder in (path.parent, Path("work")) for p in folder.glob("*.ipynb")}
    names = {p.name: shown for shown, p in near.items()}
    close = get_close_matches(path.name.removesuffix(".ipynb") + ".ipynb", names, 1, 0.5)
    return f" Did you mean {names[close[0]]}?" if close else ""
