"""The autograder's layout in a folder: there is a result.json whatever happens."""

import json
import os
import stat
import subprocess
import sys
import zipfile

import pytest

from attncourse.classroom.assignment import plan
from attncourse.classroom.gradescope import as_results, not_marked, plain, run, write_autograder

ASSIGNMENT = plan("05", "squeeze,eca", "squeeze=1,eca=2.5")
GRADER = """
import json, pathlib, sys
assert sys.argv[1] == "grade"
into = pathlib.Path(sys.argv[sys.argv.index("--into") + 1])
handed_in = sorted(p.name for p in pathlib.Path(sys.argv[2]).iterdir())
into.mkdir()
(into / "grades.json").write_text(json.dumps({
    "sandbox": "bubblewrap",
    "students": [{"student": "ada", "notes": handed_in, "exercises": [
        {"id": "channel.squeeze", "status": "passed", "points": 1, "message": "agrees"},
        {"id": "channel.eca", "status": "not yet", "points": 0, "message": "<b>a mean</b>"},
    ]}],
}))
"""


@pytest.fixture
def root(tmp_path):
    """The container's folder, with the zip unpacked and something handed in."""
    folder = tmp_path / "sheet"
    (folder / "package").mkdir(parents=True)
    ASSIGNMENT.write(folder)
    made, root = write_autograder(folder, ASSIGNMENT), tmp_path / "autograder"
    assert made.name == "sheet-gradescope.zip"
    with zipfile.ZipFile(made) as packed:
        packed.extractall(root / "source")
        for entry in packed.infolist():
            (root / "source" / entry.filename).chmod(entry.external_attr >> 16)
    (root / "submission").mkdir()
    (root / "submission" / "05_channel.ipynb").write_text("{}")
    return root


def results(root):
    return json.loads((root / "results" / "results.json").read_text())


def test_the_zip_has_the_two_scripts_the_course_and_the_assignment(root):
    source = root / "source"
    for name in ("setup.sh", "run_autograder"):
        assert os.access(source / name, os.X_OK)
        assert subprocess.run(["bash", "-n", source / name]).returncode == 0
    assert (source / "assignment" / "assignment.json").is_file()
    assert (source / "course" / "solutions" / "channel.py").is_file()
    assert (source / "course" / "pyproject.toml").is_file()
    assert not list(source.rglob("__pycache__"))


def test_a_report_becomes_tests_with_scores(root, tmp_path):
    (tmp_path / "grader.py").write_text(GRADER)
    assert run(root, [sys.executable, str(tmp_path / "grader.py")])
    found = results(root)
    assert "score" not in found  # the sum of the tests counts
    assert [(t["name"], t["score"], t["max_score"], t["status"]) for t in found["tests"]] == [
        ("channel.squeeze", 1.0, 1.0, "passed"),
        ("channel.eca", 0.0, 2.5, "failed"),
    ]
    assert found["tests"][1]["output"] == "not yet. <b>a mean</b>"
    assert {t["output_format"] for t in found["tests"]} == {"text"}
    assert found["output"] == "05_channel.ipynb"
    assert found["extra_data"] == {"sandbox": "bubblewrap"}
    assert found["execution_time"] >= 0


@pytest.mark.parametrize(
    ("grader", "said"),
    [
        ("import sys; sys.exit('attncourse: no sandbox here')", "no sandbox here"),
        ("import os; os.kill(os.getpid(), 9)", "exit -9"),
        (GRADER.replace("json.dumps(", "repr("), "JSONDecodeError"),
        (GRADER.replace('"students": [{', '"students": [] and [{'), "0 submissions"),
    ],
)
def test_what_could_not_be_marked_says_why(root, tmp_path, grader, said):
    (tmp_path / "grader.py").write_text(grader)
    assert not run(root, [sys.executable, str(tmp_path / "grader.py")])
    found = results(root)
    assert found["score"] == 0
    assert said in found["output"]
    assert "could not be marked" in found["output"]


def started(root, python):
    given = {"AUTOGRADER_ROOT": str(root), "AUTOGRADER_PYTHON": str(python)}
    script = root / "source" / "run_autograder"
    return subprocess.run([script], env=os.environ | given, capture_output=True, text=True)


def test_the_script_writes_a_result_even_without_python(root):
    (root / "results").mkdir()
    (root / "results" / "results.json").write_text('{"score": 100}')
    assert started(root, root / "no python").returncode == 0
    assert results(root)["score"] == 0
    assert "could not be marked" in results(root)["output"]
    for name in ("source", "results"):
        assert stat.S_IMODE((root / name).stat().st_mode) == 0o700


def test_the_script_runs_the_course(root):
    (root / "source" / "assignment" / "assignment.json").unlink()
    assert started(root, sys.executable).returncode == 0
    assert "assignment.json" in results(root)["output"]


def test_points_stay_within_what_an_exercise_is_worth():
    many = {"id": "channel.squeeze", "status": "passed", "points": 99, "message": ""}
    report = {"students": [{"exercises": [many]}]}
    first, second = as_results(report, ASSIGNMENT.as_dict())["tests"]
    assert (first["score"], second["score"]) == (1.0, 0.0)
    assert second["output"].startswith("not attempted")


def test_texts_of_others_are_plain_and_short():
    assert (
        plain("a\x1b[31mb\u202ec")
        == "a\N{REPLACEMENT CHARACTER}[31mb\N{REPLACEMENT CHARACTER}c"
    )
    assert len(plain("a" * 10_000)) == 2000
    assert "score" in not_marked("x" * 5000)
