"""An autograder for Gradescope: the zip that a teacher uploads, and what runs in its container.

The container runs as root beside the student's files. The course with its answers lies in
/autograder/source, closed to all but root; `attncourse grade` runs what was handed in without
root's rights, and this turns its report into results.json, which is written whatever happens.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from attncourse import places
from attncourse.classroom.assignment import FILE, Assignment
from attncourse.classroom.releasing import TEXTS, zipped

COURSE = ("attncourse", "solutions", "notebooks/learner", "results")
FILES = ("pyproject.toml", "README.md", "LICENSE")
REPORT = "grades.json"  # of `attncourse grade`
LIMIT = 540  # seconds; Gradescope's own limit is ten minutes, unless it is raised
LONG = 2000  # letters of a message
PASSED, FAILED = "passed", "failed"


def write_autograder(folder: Path, assignment: Assignment) -> Path:
    """Write the zip of an autograder beside the folder of an assignment."""
    root, part = places.root(), folder.with_name(f"{folder.name}-gradescope")
    try:
        shutil.copytree(folder, part / "assignment")
        for name in COURSE:
            ignored = shutil.ignore_patterns("__pycache__", "*.pyc", ".*")
            shutil.copytree(root / name, part / "course" / name, ignore=ignored)
        for name in FILES:
            shutil.copy(root / name, part / "course" / name)
        for name in ("setup.sh", "run_autograder"):
            shutil.copy(TEXTS / "gradescope" / name, part / name)
        return zipped(part, inside="")
    finally:
        shutil.rmtree(part, ignore_errors=True)


# ---------------------------------------------------------------- in the container


def run(root: Path, python: Sequence[str] = (sys.executable, "-m", "attncourse")) -> bool:
    """Grade what was handed in and write results.json, whatever happens. Whether it was
    graded."""
    begun, results = time.monotonic(), root / "results" / "results.json"
    try:
        found = _graded(root, python)
    except Exception as error:  # whatever it is, there must be a result
        found = not_marked(_in_one_line(error))
    found["execution_time"] = round(time.monotonic() - begun, 1)
    write_results(results, found)
    return "tests" in found


def _graded(root: Path, python: Sequence[str]) -> dict[str, Any]:
    assignment = json.loads((root / "source" / "assignment" / FILE).read_text("utf-8"))
    with tempfile.TemporaryDirectory() as made:
        into = Path(made) / "report"
        asked = ["--assignment", str(root / "source" / "assignment"), "--into", str(into)]
        asked.append("--one-student")
        command = [*python, "grade", str(root / "submission"), *asked]
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=LIMIT
        )
        if not (into / REPORT).is_file():
            said = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
            return not_marked(
                f"grading ended without a report (exit {done.returncode}): {said}"
            )
        return as_results(json.loads((into / REPORT).read_text("utf-8")), assignment)


def as_results(report: Mapping[str, Any], assignment: Mapping[str, Any]) -> dict[str, Any]:
    """A report on one student in the terms of results.json."""
    students = report.get("students") or []
    if len(students) != 1:
        return not_marked(f"{len(students)} submissions were found where there should be one")
    (student,) = students
    verdicts = {one["id"]: one for one in student["exercises"]}
    tests = []
    for number, one in enumerate(assignment["exercises"], 1):
        found = verdicts.get(one["id"]) or {"status": "not attempted", "message": ""}
        worth = float(one["points"])
        score = min(max(float(found.get("points") or 0), 0.0), worth)
        tests.append(
            {
                "name": one["id"],
                "number": str(number),
                "score": score,
                "max_score": worth,
                "status": PASSED if score == worth else FAILED,
                "output": plain(f"{found['status']}. {found.get('message') or ''}"),
                "output_format": "text",
                "visibility": "visible",
            }
        )
    return {
        "tests": tests,
        "output": plain("\n".join(map(str, student.get("notes") or []))),
        "output_format": "text",
        "visibility": "visible",
        "stdout_visibility": "hidden",
        "extra_data": {"sandbox": plain(str(report.get("sandbox", "")))},
    }


def not_marked(reason: str) -> dict[str, Any]:
    """What stands where nothing could be graded: it is not the student's fault."""
    text = (
        f"Your work could not be marked: {plain(reason)}. Tell your teacher; nothing is lost."
    )
    return {
        "score": 0.0,
        "output": text,
        "output_format": "text",
        "visibility": "visible",
        "stdout_visibility": "hidden",
    }


def plain(text: str) -> str:
    """A text of somebody else's as what it is: no control characters, not too long."""
    kept = "".join(
        c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text
    )
    return kept if len(kept) <= LONG else kept[: LONG - 1] + "…"


def _in_one_line(error: Exception) -> str:
    if isinstance(error, subprocess.TimeoutExpired):
        return f"grading took over {error.timeout:g} s"
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def write_results(path: Path, found: Mapping[str, Any]) -> None:
    """Whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    part.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    os.replace(part, path)


if __name__ == "__main__":
    run(Path(sys.argv[1]))
