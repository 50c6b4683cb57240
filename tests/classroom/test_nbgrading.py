"""nbgrader's own commands take the course folder as it is, and give the points that are due."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from attncourse import check, course
from attncourse.classroom.assignment import plan
from attncourse.classroom.cutting import cut
from attncourse.classroom.leaks import leaks
from attncourse.classroom.nbgrading import write_course
from attncourse.exercises.source import source, stub

ASSIGNMENT = plan(
    "05", "squeeze,squeeze_excite,added_parameters", "squeeze=1,squeeze_excite=2.5"
)
FULL = dict(ASSIGNMENT.points)
RIGHT = {id: source(course.exercise(id)) for id in FULL}
SUMMED = 'def squeeze(x):\n    return reduce(x, "b c h w -> b c", "sum")'
TAKEN = "from solutions.channel import squeeze"
WARNS = 'import warnings\ndef squeeze(x):\n    warnings.warn("!")\n    return x.mean((-2, -1))'


def mended(**changes):
    return RIGHT | {f"channel.{name}": text for name, text in changes.items()}


# What each of them wrote, and what it is worth: the exercises are worth 1, 2.5 and 1, and the
# second is built on what was written for the first
CLASS = {
    "ada": (RIGHT, 4.5),
    "bo": ({}, 0),
    "cy": (mended(squeeze=SUMMED), 1),
    "dee": (mended(squeeze=TAKEN), 3.5),
    "eva": ({"channel.squeeze": RIGHT["channel.squeeze"]}, 1),
    "flo": (mended(squeeze="def squeeze(x:"), 1),
    "gil": (mended(squeeze_excite="SqueezeExcite = 3"), 2),
    "hal": (mended(added_parameters="def added_parameters(*given):\n    return 5"), 3.5),
    "ida": (mended(squeeze=WARNS), 4.5),
    "jon": (mended(squeeze='print("so")\n' + RIGHT["channel.squeeze"]), 4.5),
    "kim": (mended(squeeze="def squeeze(x):\n    raise SystemExit"), 1),
    "lou": (
        mended(squeeze='def squeeze(x):\n    return reduce(x, "b c h w -> b c", "max")'),
        1,
    ),
    "max": ({"channel.added_parameters": RIGHT["channel.added_parameters"]}, 1),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A course folder, made of a notebook that was handed out."""
    out = tmp_path_factory.mktemp("nbgrader") / "sheet"
    (out / "notebooks").mkdir(parents=True)
    notebook = cut(course.chapter("05"), ASSIGNMENT.ids)
    nbformat.write(notebook, out / "notebooks" / "05_channel.ipynb")
    return write_course(out, ASSIGNMENT)


@pytest.fixture(scope="module")
def cells(folder):
    path = folder / "source" / "sheet" / "05_channel.ipynb"
    return nbformat.read(path, as_version=4).cells


def about(cell):
    return cell.metadata.get("nbgrader", {})


def test_each_exercise_is_a_solution_and_each_check_a_locked_grade(cells):
    answers = [about(c) for c in cells if about(c).get("solution")]
    checks = [about(c) for c in cells if about(c).get("grade")]
    assert [one["grade_id"] for one in checks] == [
        f"check-{id.replace('.', '-')}" for id in ASSIGNMENT.ids
    ]
    assert [one["points"] for one in checks] == [*FULL.values()]
    assert all(one["locked"] and not one["solution"] for one in checks)
    assert len(answers) == len(checks)
    assert not any(one["locked"] or one["grade"] for one in answers)
    assert {one["schema_version"] for one in (*answers, *checks)} == {3}


def test_only_what_is_graded_is_left_to_run(cells):
    code = [c.source for c in cells if c.cell_type == "code"]
    assert not any("plt.subplots" in text or "train(" in text for text in code)
    assert any(c.source.startswith("## ") for c in cells)


def test_no_answer_is_in_it(folder):
    assert leaks(folder, map(course.exercise, FULL), {}) == []


def test_a_card_reads_as_the_points_earned():
    ex = course.exercise("channel.squeeze")
    right = check(ex, ex.otherwise[0]).worth(2.5)
    assert (repr(right), repr(check(ex, len).worth(2.5))) == ("2.5", "0.0")
    assert "2.5 of 2.5 points" in right._repr_html_()
    assert "attncourse-verdict" in right._repr_html_()


@pytest.fixture(scope="module")
def grades(folder, tmp_path_factory):
    """What nbgrader itself makes of a class."""
    pytest.importorskip("nbgrader", reason="no nbgrader: pip install 'attncourse[classroom]'")
    home = tmp_path_factory.mktemp("home")
    paths = {f"JUPYTER_{kind}_DIR": str(home) for kind in ("CONFIG", "DATA", "RUNTIME")}
    tools = Path(sys.executable).parent  # nbgrader calls alembic by its name
    paths["PATH"] = f"{tools}{os.pathsep}{os.environ['PATH']}"

    def nbgrader(*arguments):
        command = [sys.executable, "-m", "nbgrader", *arguments]
        done = subprocess.run(
            command, cwd=folder, env=os.environ | paths, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stderr

    nbgrader("generate_assignment", "sheet")
    released = folder / "release" / "sheet" / "05_channel.ipynb"
    for student, (answers, _) in CLASS.items():
        notebook = nbformat.read(released, as_version=4)
        for cell in notebook.cells:
            name = about(cell).get("grade_id", "").removeprefix("answer-")
            cell.source = answers.get(name.replace("-", ".", 1), cell.source)
        place = folder / "submitted" / student / "sheet"
        place.mkdir(parents=True)
        nbformat.write(notebook, place / "05_channel.ipynb")
    nbgrader("autograde", "sheet")
    nbgrader("generate_feedback", "sheet")
    nbgrader("export", "--to=grades.csv")
    with (folder / "grades.csv").open() as file:
        return {row["student_id"]: row for row in csv.DictReader(file)}


def test_nbgrader_hands_out_the_stubs(grades, folder):
    notebook = nbformat.read(folder / "release/sheet/05_channel.ipynb", as_version=4)
    answers = [c.source for c in notebook.cells if about(c).get("solution")]
    assert answers == [stub(course.exercise(id)) for id in FULL]


def test_everybody_gets_the_points_that_are_due(grades):
    found = {student: float(row["score"]) for student, row in grades.items()}
    assert found == {student: worth for student, (_, worth) in CLASS.items()}
    assert {float(row["max_score"]) for row in grades.values()} == {4.5}


def test_feedback_says_what_is_wrong(grades, folder):
    text = (folder / "feedback/cy/sheet/05_channel.html").read_text()
    assert "Eq. 2 divides by h w: a mean" in text
