"""What the learner wrote as a small package of its own: `attncourse export`.

FOLDER/pyproject.toml  README.md             whose it is, what is in it
FOLDER/src/PACKAGE/CHAPTER/EXERCISE.py       the kept files, as they are
FOLDER/tests/recorded/CHAPTER.EXERCISE.pt    what the course gives on the trials
FOLDER/tests/test_recorded.py                compares both; needs nothing of the course
"""

import getpass
import json
import keyword
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from attncourse import course, places
from attncourse.checker.calling import arguments
from attncourse.checker.case import Case
from attncourse.checker.ending import limited
from attncourse.checker.examination import examined
from attncourse.checker.running import Crash, calm
from attncourse.checker.sheet import sheet
from attncourse.errors import UserError
from attncourse.exercises.record import Exercise
from attncourse.mine import shelf
from attncourse.workshop import exported

SECONDS = 30.0  # of processor time, for an answer that was changed by hand
NEEDS = {"torch": "torch>=2.7", "einops": "einops>=0.8", "jaxtyping": "jaxtyping>=0.3"}
NEEDS |= {"numpy": "numpy>=2", "attncourse": "attncourse", "solutions": "attncourse"}
TAKEN = {*NEEDS, *sys.stdlib_module_names, "tests"}
PLAIN = (Tensor, bool, int, float, str, type(None))


@dataclass
class Exported:
    """Where the package is, what it is called, what is in it, and what was left out and why."""

    folder: Path
    package: str
    ids: list[str]
    left_out: dict[str, str]


def export(work: Path, folder: Path, name: str | None = None) -> Exported:
    """Make a package of what is kept in a work folder. Raises UserError where there is nothing,
    or where the folder exists."""
    name, package = _author(name), package_name(folder)
    if os.path.lexists(folder):
        raise UserError(f"{folder} exists, and nothing is written over: name a new folder.")
    if not folder.parent.is_dir():
        raise UserError(f"there is no folder {folder.parent}: make it first.")
    answers, left_out = _answers(work)
    if not answers:
        why = "".join(f" {id}: {reason}." for id, reason in left_out.items())
        raise UserError(f"nothing is kept in {work / shelf.FOLDER} that could be used.{why}")
    part = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        part.chmod(0o755)
        for place, text in _texts(answers, name, package).items():
            path = part / place
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        _record(part / "tests" / "recorded", answers)
        os.rename(part, folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return Exported(folder, package, [*answers], left_out)


def package_name(folder: Path) -> str:
    """What is imported: the folder's name in small letters. Raises UserError for a name that
    cannot be imported or that stands for something else."""
    name = re.sub(r"[^a-z0-9]+", "_", folder.name.lower()).strip("_")
    if not name.isidentifier() or keyword.iskeyword(name):
        raise UserError(f'"{folder.name}" is no name to import: begin with a letter.')
    if name in TAKEN:
        raise UserError(f'"{name}" is imported for something else: choose another name.')
    return name


def _author(name: str | None) -> str:
    name = " ".join((name if name is not None else getpass.getuser()).split())
    if not name or not name.isprintable():
        raise UserError('give your name in letters: --name "Ada Lovelace".')
    return name


def _answers(work: Path) -> tuple[dict[str, shelf.Kept], dict[str, str]]:
    """What is kept and can be used, and the rest with the reason why not, in course order."""
    found, left_out = {}, {}
    for id in course.known_ids():
        try:
            kept = shelf.kept(work, id)
            if kept:
                _try(kept)
                found[id] = kept
        except (shelf.Unusable, OSError) as error:
            left_out[id] = str(error)
    return found, left_out


def _try(kept: shelf.Kept) -> None:
    """Raises Unusable where a file cannot be imported, or was changed and is not right now."""
    ex = course.exercise(kept.id)
    answer = shelf.loaded(kept.body, kept.path, f"mine.{kept.id}", ex.name)
    if kept.changed:
        with calm(), limited(SECONDS):
            verdict = examined(Case(ex, answer))
        if not verdict:
            raise shelf.Unusable(f"changed by hand, and {verdict.status} now")


# ---------------------------------------------------------------- texts


def _texts(answers: Mapping[str, shelf.Kept], name: str, package: str) -> dict[str, str]:
    """Every file of the package but the recorded numbers, by its place."""
    chapters: dict[str, list[str]] = {}
    for id in answers:
        chapters.setdefault(id.partition(".")[0], []).append(id)
    bodies = "\n".join(kept.body for kept in answers.values())
    texts = {
        "pyproject.toml": exported.PYPROJECT.format(
            name=json.dumps(package.replace("_", "-")),
            author=json.dumps(name),
            needs=json.dumps(_needs(bodies)),
            package=json.dumps(package),
        ),
        "README.md": _readme(answers, name, package, bodies),
        "tests/test_recorded.py": exported.TEST.format(package=package),
        f"src/{package}/__init__.py": _top(chapters, name),
    }
    if "# from the course" in bodies and (licence := _licence()):
        texts["LICENSE-attncourse.txt"] = licence
    for chapter, ids in chapters.items():
        lines = [
            f"from .{id.partition('.')[2]} import {course.exercise(id).name}" for id in ids
        ]
        about = f'"""{course.chapter(chapter).title}, written by {_quoted(name)}."""'
        inside = f"src/{package}/{chapter}"
        texts[f"{inside}/__init__.py"] = "\n".join([about, "", *lines]) + "\n"
        for id in ids:
            texts[f"{inside}/{id.partition('.')[2]}.py"] = answers[id].path.read_text("utf-8")
    return texts


def _top(chapters: Mapping[str, list[str]], name: str) -> str:
    """The package itself offers what has a name of its own."""
    names = [
        (chapter, course.exercise(id).name) for chapter, ids in chapters.items() for id in ids
    ]
    every = [one for _, one in names] + [*chapters]
    lines = [f"from . import {', '.join(chapters)}"]
    lines += [f"from .{c} import {one}" for c, one in names if every.count(one) == 1]
    about = f'"""Attention mechanisms of computer vision, written by {_quoted(name)}."""'
    return "\n".join([about, "", *lines]) + "\n"


def _quoted(name: str) -> str:
    """A name as it stands in a docstring."""
    return name.replace("\\", "\\\\").replace('"', '\\"')


def _needs(bodies: str) -> list[str]:
    """The packages that the files import."""
    used = set(re.findall(r"^(?:from|import) (\w+)", bodies, re.MULTILINE))
    return sorted({NEEDS[one] for one in used | {"torch"} if one in NEEDS})


def _readme(answers: Mapping[str, shelf.Kept], name: str, package: str, bodies: str) -> str:
    rows = [
        f"| `{course.exercise(id).name}` | {course.chapter(kept.path.parent.name).title} |"
        f" `{package}.{kept.path.parent.name}` | {kept.passed} |"
        for id, kept in answers.items()
    ]
    borrowed = sorted(set(re.findall(r"^# from the course: (\S+)$", bodies, re.MULTILINE)))
    listed = ", ".join(f"`{one}`" for one in borrowed)
    course_ = exported.BORROWED.format(listed=listed) if borrowed else ""
    return exported.README.format(
        title=package.replace("_", " "),
        author=name,
        package=package,
        rows="\n".join(rows),
        borrowed=course_,
    )


def _licence() -> str | None:
    if folder := places.clone():
        return (folder / "LICENSE").read_text("utf-8")
    try:
        return distribution("attncourse").read_text("licenses/LICENSE")
    except PackageNotFoundError:
        return None


# ---------------------------------------------------------------- numbers


def _record(folder: Path, answers: Iterable[str]) -> None:
    """Write what the course gives on the trials of each exercise, as far as it is data."""
    folder.mkdir(parents=True)
    for id in answers:
        ex = course.exercise(id)
        with calm():
            trials = [one for one in _recorded(ex) if one["calls"]]
        if trials:
            chapter, _, file = id.partition(".")
            about = {"module": f"{chapter}.{file}", "name": ex.name, "trials": trials}
            torch.save(about, folder / f"{id}.pt")


def _recorded(ex: Exercise) -> Iterable[dict[str, Any]]:
    if ex.through:
        return  # such an answer is a step of something else
    known = sheet(ex)
    for index in known.declared:
        trial = known.trials[index]
        calls = []
        for probe in ex.probes:
            given, right = arguments(ex, probe, trial.inputs), known.expected(index, probe)
            if _plain(given) and _plain(right) and not isinstance(right, Crash):
                calls.append({"probe": probe, "given": given, "right": right})
        init = dict(trial.init)
        if _plain([*init.values()]):
            yield {
                "class": ex.is_module,
                "init": init,
                "weights": trial.weights,
                "evaluate": trial.evaluate,
                "calls": calls,
            }


def _plain(value: Any) -> bool:
    """Whether this is numbers, words, and collections of such, which any torch can read."""
    if isinstance(value, list | tuple):
        return type(value) in (list, tuple) and all(map(_plain, value))
    return type(value) in PLAIN
