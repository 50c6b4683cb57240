"""`attncourse grade` as a teacher meets it: what is wrong is one line; one run at a time."""

import json

import filelock
import pytest
from commands import call, fails

from attncourse.classroom import running
from attncourse.classroom.marking import NOT_ATTEMPTED, NOT_YET, PASSED, UNMARKED, Mark, Marked
from attncourse.classroom.running import Rules, _student
from attncourse.classroom.submissions import File, Submission
from attncourse.errors import UserError

ONE = {"id": "shapes.strip", "points": 2}


@pytest.fixture
def folder(tmp_path):
    """An assignment, as far as it is looked at before anything runs."""
    folder = tmp_path / "sheet"
    (folder / "package" / "attncourse").mkdir(parents=True)
    (folder / "assignment.json").write_text(json.dumps({"version": 1, "exercises": [ONE]}))
    (tmp_path / "ann.ipynb").write_text("{}")
    return folder


def grade(folder, *more):
    handed, into = str(folder.parent / "ann.ipynb"), str(folder.parent / "report")
    return fails("grade", handed, "--assignment", str(folder), "--into", into, *more)


def test_what_is_no_assignment_is_one_line(folder):
    (folder / "assignment.json").unlink()
    assert "is no assignment" in grade(folder)


@pytest.mark.parametrize(
    ("about", "says"),
    [
        ("no json", "is broken"),
        ("[]", "is broken"),
        ('{"exercises": [{"id": "shapes.strip"}]}', "is broken"),
        ('{"exercises": [{"id": "shapes.srtip", "points": 1}]}', 'Did you mean "shapes.strip"'),
        ('{"exercises": []}', "none"),
    ],
)
def test_a_broken_assignment_is_one_line(folder, about, says):
    (folder / "assignment.json").write_text(about)
    assert says in grade(folder)


def test_an_assignment_without_its_package_is_one_line(folder):
    (folder / "package" / "attncourse").rmdir()
    assert "has no package" in grade(folder)


def test_chapters_are_for_the_course_alone(folder):
    assert "--chapters" in grade(folder, "--chapters", "05")


def test_what_was_not_handed_in_is_one_line(folder, tmp_path):
    found = call("grade", str(tmp_path / "no"), "--into", str(tmp_path / "r"))
    assert found.stderr.startswith("attncourse: there is no file or folder")


def test_a_folder_has_one_run_at_a_time(folder, tmp_path):
    (tmp_path / "report").mkdir()
    with (
        filelock.FileLock(tmp_path / "report" / ".lock"),
        pytest.raises(UserError, match="another"),
    ):
        running.run([], Rules({}), folder / "package", tmp_path / "report", 1, False)


# ---------------------------------------------------------------- several notebooks of one


def student(*marked):
    """What a student comes to whose notebooks came to this."""
    files = [File(f"{n}.ipynb") for n in range(len(marked))]
    marks = {f"ann\0{n}.ipynb": one for n, one in enumerate(marked)}
    return _student(Submission("ann", files), marks, Rules({"shapes.strip": 2.0}))


def with_mark(status):
    return Marked({"shapes.strip": Mark("shapes.strip", status, "m")})


def test_the_best_of_several_notebooks_counts():
    found = student(with_mark(NOT_YET), with_mark(PASSED), with_mark(NOT_ATTEMPTED))
    assert found.marks[0].status == PASSED
    assert "several notebooks" in found.notes[0]


def test_what_could_not_be_marked_is_not_the_students_fault():
    found = student(Marked(why="it is empty"))
    assert (found.marks[0].status, found.marks[0].message) == (
        UNMARKED,
        "The notebook: it is empty.",
    )
    assert student(Marked(why="it is empty"), with_mark(PASSED)).marks[0].status == PASSED


def test_what_is_in_no_notebook_is_not_attempted():
    assert student(Marked()).marks[0].status == NOT_ATTEMPTED


def test_points_follow_the_rules():
    rules = Rules({"shapes.strip": 3.0}, taken_over=0.5, ready=0.2)
    worth = [
        rules.worth(Mark("shapes.strip", s, ""))
        for s in (PASSED, "taken over", NOT_YET, UNMARKED)
    ]
    assert worth == [3.0, 1.5, 0.0, 0.0]
    assert rules.worth(Mark("shapes.strip", PASSED, "", ready=True)) == 0.6
