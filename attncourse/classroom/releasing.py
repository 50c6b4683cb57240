"""`attncourse release`: an assignment as a folder that students are given, and a zip of it."""

import json
import os
import shutil
import tomllib
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import requires
from pathlib import Path

import nbformat

from attncourse import course, places
from attncourse.classroom.assignment import Assignment
from attncourse.classroom.cutting import cut
from attncourse.classroom.leaks import leaks, silent_hints
from attncourse.classroom.pruning import Pruned, prune
from attncourse.classroom.recording import record
from attncourse.errors import UserError

TEXTS = Path(__file__).parent / "texts"  # README, Makefile, pyproject of what is handed out
MOMENT = (2020, 1, 1, 0, 0, 0)  # of every file in the zip: the same release, the same bytes


@dataclass
class Released:
    """What was written, and what the teacher should know of it.

    kept   exercises of other chapters whose answers are there, and what needs them
    uses   by notebook, the exercises of another one that it asks for once more
    shown  lines of answers that are in given code as well, which the notebooks need
    hints  exercises with fewer hints than asked for: the next holds a line of the answer
    """

    folder: Path
    zip: Path
    kept: dict[str, str] = field(default_factory=dict)
    uses: dict[str, list[str]] = field(default_factory=dict)
    shown: list[str] = field(default_factory=list)
    hints: dict[str, int] = field(default_factory=dict)


def release(
    folder: Path, assignment: Assignment, say: Callable[[str], None] = lambda _: None
) -> Released:
    """Write an assignment into a new folder, whole or not at all, and a zip beside it."""
    refuse_there(folder)
    part = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    try:
        pruned = _write(part, assignment, say)
        if found := leaks(part, map(course.exercise, assignment.ids), pruned.given):
            more = f" (and {len(found) - 3} more)" if len(found) > 3 else ""
            raise UserError(f"nothing is handed out: {'; '.join(found[:3])}{more}")
        if folder.exists():
            folder.rmdir()
        part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    say("zip")
    exercises = [*map(course.exercise, assignment.ids)]
    fewer = {ex.id: len(silent_hints(ex, assignment.hints)) for ex in exercises}
    return Released(
        folder,
        zipped(folder),
        pruned.kept,
        uses(assignment),
        leaks(folder, exercises, {}),
        {id: n for id, n in fewer.items() if n < min(assignment.hints, 3)},
    )


def refuse_there(folder: Path, *names: str) -> None:
    """Raises UserError where a folder has something in it, or one of these names lies beside
    it."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder} is there and not empty: name a new folder.")
    for path in (folder.with_name(name) for name in names):
        if path.exists():
            raise UserError(f"{path} is there: move it away first.")


def _write(folder: Path, assignment: Assignment, say: Callable[[str], None]) -> Pruned:
    pruned = write_package(folder / "package", assignment, say)
    shutil.copytree(folder / "package/attncourse/notebooks", folder / "notebooks")
    first = f"{assignment.chapters[0]}.ipynb"
    for name in ("README.md", "Makefile"):
        _put(folder / name, readme(TEXTS / name, assignment, first))
    assignment.write(folder)
    return pruned


def write_package(
    folder: Path, assignment: Assignment, say: Callable[[str], None] = lambda _: None
) -> Pruned:
    """Write what a student installs: notebooks, records, and what they need of the course."""
    chapters = [course.chapter(stem) for stem in assignment.chapters]
    notebooks = {c.stem: cut(c, assignment.ids) for c in chapters}
    records = {}
    for id in assignment.ids:
        say(id)
        records[id] = json.loads(json.dumps(record(course.exercise(id))))
    say("package")
    pruned = prune(assignment.ids, notebooks, records, assignment.hints)
    texts = {f"{stem}.ipynb": nbformat.writes(nb) + "\n" for stem, nb in notebooks.items()}
    for name, text in texts.items():
        _put(folder / "attncourse/notebooks" / name, text)
    for place, data in pruned.files.items():
        _put(folder / place, data)
    for path in _results(texts.values()):
        _put(folder / "attncourse/results" / path.name, path.read_bytes())
    _put(folder / "pyproject.toml", pyproject(assignment))
    return pruned


def _put(path: Path, data: str | bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data if isinstance(data, bytes) else data.encode())


def _results(texts) -> list[Path]:
    """What was measured once and is shown in these notebooks."""
    every = "\n".join(texts)
    names = (p for p in sorted(places.results().glob("*.json")))
    return [p for p in names if f'result(\\"{p.stem}\\")' in every]


def dependencies() -> list[str]:
    """What a learner needs, as the course's own pyproject has it."""
    if clone := places.clone():
        project = tomllib.loads((clone / "pyproject.toml").read_text(encoding="utf-8"))
        return project["project"]["dependencies"]
    return [one for one in requires("attncourse") or () if "extra ==" not in one]


def pyproject(assignment: Assignment) -> str:
    """How the package of an assignment is installed."""
    needs = "".join(f"    {json.dumps(one)},\n" for one in dependencies())
    text = (TEXTS / "package.toml").read_text(encoding="utf-8")
    return text.replace("VERSION", assignment.package).replace("DEPENDENCIES", needs.rstrip())


def readme(template: Path, assignment: Assignment, first: str) -> str:
    """A text for students, with what is theirs of it."""
    rows = [f"| `{id}` | {worth:g} |" for id, worth in assignment.points.items()]
    total = sum(assignment.points.values())
    due = (assignment.due or "").replace("T", ", ")
    hints = f'`hint("…")` gives hints one at a time, at most {assignment.hints}.'
    hints = hints if assignment.hints else "There are no hints in this assignment."
    text = template.read_text(encoding="utf-8")
    for name, value in {
        "TITLE": assignment.title,
        "DUE": f"Hand it in by **{due}**." if due else "Your teacher says until when.",
        "ROWS": "\n".join(rows),
        "TOTAL": f"{total:g}",
        "HINTS": hints,
        "FIRST": first,
        "FILES": ", ".join(f"`work/{stem}.ipynb`" for stem in assignment.chapters),
    }.items():
        text = text.replace(f"{{{name}}}", value)
    return text


def zipped(folder: Path, inside: str | None = None) -> Path:
    """A zip beside a folder, with the folder in it, or its files in `inside`; the same files
    give the same bytes."""
    inside = f"{folder.name}/" if inside is None else inside
    target = folder.with_name(f"{folder.name}.zip")
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            name = f"{inside}{path.relative_to(folder).as_posix()}"
            entry = zipfile.ZipInfo(name, MOMENT)
            mode = 0o755 if path.read_bytes()[:2] == b"#!" else 0o644
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, mode << 16
            archive.writestr(entry, path.read_bytes())
    part.replace(target)
    return target


def uses(assignment: Assignment) -> dict[str, list[str]]:
    """By notebook, the exercises of earlier ones on which it builds: there students put their
    own answer once more."""
    found: dict[str, list[str]] = {}
    for stem in assignment.chapters:
        for cell in cut(course.chapter(stem), assignment.ids).cells:
            if cell.cell_type == "code" and cell.get("id", "").endswith("-stub"):
                name = cell.id.removesuffix("-stub").replace("-", ".", 1)
                found.setdefault(stem, []).append(name)
    return found
