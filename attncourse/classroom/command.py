"""`attncourse grade`: what the command does, between its options and its reports."""

import json
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from attncourse import course
from attncourse.classroom import reporting
from attncourse.classroom.marking import NOT_ATTEMPTED, NOT_YET, PASSED, TAKEN_OVER, UNMARKED
from attncourse.classroom.running import Class, Rules, run
from attncourse.classroom.submissions import collect
from attncourse.errors import UserError, nearest

FILE = "assignment.json"


def grade(
    paths: Sequence[Path],
    assignment: Path | None,
    into: Path,
    console: Console,
    *,
    chapters: str = "",
    jobs: int | None = None,
    seconds: float = 10.0,
    taken_over: float = 0.0,
    ready: float = 1.0,
    unsafe: bool = False,
    one_student: bool = False,
) -> Class:
    """Mark all that was handed in, write the reports, show a table. Raises UserError."""
    handed = collect(paths, one_student)
    begun = time.monotonic()
    with _assigned(assignment, chapters) as (folder, about):
        rules = Rules(
            {one["id"]: float(one["points"]) for one in about["exercises"]},
            str(about.get("title") or ""),
            about.get("due"),
            taken_over,
            ready,
            seconds,
        )
        columns = TextColumn("marking"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
        with Progress(*columns, TextColumn("{task.description}"), console=console) as bar:
            task = bar.add_task("", total=None)

            def told(done: int, many: int, whose: str) -> None:
                bar.update(task, completed=done, total=many, description=escape(whose[:40]))

            whole = run(handed, rules, folder / "package", into, jobs or _cores(), unsafe, told)
        reporting.write(whole, into, reporting.notebooks_of(folder))
    show(whole, console)
    spent = time.monotonic() - begun
    console.print(
        f"{len(handed)} submissions in {spent:.0f} s, in a sandbox: {whole.rung.name} "
        f"({whole.rung.holds}). Reports: {escape(str(into / 'index.html'))}",
        soft_wrap=True,
    )
    return whole


def _cores() -> int:
    return max(1, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 2)


@contextmanager
def _assigned(assignment: Path | None, chapters: str) -> Iterator[tuple[Path, dict]]:
    """The folder of the assignment, and what it says; made for this run where there is none."""
    if assignment is None:
        from attncourse.classroom.assignment import plan
        from attncourse.classroom.releasing import release

        every = ",".join(one.name for one in course.CHAPTERS)
        with tempfile.TemporaryDirectory(prefix="attncourse-") as made:
            folder = Path(made) / "assignment"
            release(folder, plan(chapters or every), lambda _: None)
            yield folder, read(folder)
        return
    if chapters:
        raise UserError(
            "--chapters is for grading without --assignment, which says them itself."
        )
    yield assignment, read(assignment)


def read(folder: Path) -> dict:
    """What an assignment says. Raises UserError for a folder that holds none."""
    path = folder / FILE
    if not path.is_file():
        raise UserError(f"{folder} is no assignment: there is no {FILE} in it.")
    try:
        about = json.loads(path.read_text("utf-8"))
        points = {str(one["id"]): float(one["points"]) for one in about["exercises"]}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UserError(f"{path} is broken: take it anew from `attncourse release`.") from None
    unknown = [id for id in points if id not in course.known_ids()]
    if unknown or not points:
        first = (
            f"{unknown[0]}.{nearest(unknown[0], course.known_ids())}" if unknown else "none."
        )
        raise UserError(f"{path} names exercises that this course has not: {first}")
    if not (folder / "package" / "attncourse").is_dir():
        raise UserError(f"{folder} has no package for students in it.")
    return about


def show(whole: Class, console: Console) -> None:
    """The table in the terminal."""
    table = Table("student", *(("points", PASSED, NOT_YET, NOT_ATTEMPTED, "what to know")))
    for one in whole.students:
        found = [mark.status for mark in one.marks]
        know = [f"{found.count(s)} {s}" for s in (TAKEN_OVER, UNMARKED) if s in found]
        know += one.notes[:1]
        if len(one.notes) > 1:
            know.append(f"and {len(one.notes) - 1} more notes")
        points = sum(map(whole.rules.worth, one.marks))
        counts = (str(found.count(s)) for s in (PASSED, NOT_YET, NOT_ATTEMPTED))
        table.add_row(escape(one.name), f"{points:g}", *counts, escape("; ".join(know)[:160]))
    console.print(table)
