"""What students are given installs, opens, says what is wrong, and holds no answer."""

import json
import os
import subprocess
import sys
import sysconfig
import zipfile

import nbformat
import pytest
from typer.testing import CliRunner

from attncourse import cli, course
from attncourse.classroom.leaks import leaks, readable, secret_lines
from attncourse.exercises.source import source

IDS = ("channel.squeeze", "channel.squeeze_excite", "spatial.channel_gate")
SLIPPED = 'def squeeze(x):\n    return reduce(x, "b c h w -> b c", "sum")'


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a released assignment of two chapters in it, and its zip."""
    made = tmp_path_factory.mktemp("out") / "sheet"
    names = ",".join(id.partition(".")[2] for id in IDS)
    asked = ["--chapters=05,06", f"--exercises={names}", "--points=2", "--due=2027-03-01"]
    result = CliRunner().invoke(cli.app, ["release", str(made), *asked, "--hints=1"])
    assert result.exit_code == 0, result.output
    assert "3 exercises, 6 points" in result.output
    made.with_suffix(".said").write_text(result.output)
    return made


@pytest.fixture(scope="module")
def student(folder, tmp_path_factory):
    """Runs what a student runs, in an environment of its own, where the zip was unpacked."""
    place = tmp_path_factory.mktemp("student")
    with zipfile.ZipFile(folder.with_name("sheet.zip")) as packed:
        packed.extractall(place)
    home = place / "sheet"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", home / ".venv"], check=True)
    python = home / ".venv/bin/python"
    (libraries,) = home.glob(".venv/lib/*/site-packages")
    (libraries / "torch.pth").write_text(sysconfig.get_path("purelib") + "\n")

    def run(*arguments):
        kept = {
            k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "ATTNCOURSE_DATA")
        }
        command = [str(python), *map(str, arguments)]
        return subprocess.run(command, cwd=home, env=kept, capture_output=True, text=True)

    install = "-m pip install --quiet --no-index --no-deps --no-build-isolation ./package"
    done = run(*install.split())
    assert done.returncode == 0, done.stderr
    run.home = home
    return run


def filled(folder, stem, answers, target):
    """A notebook of the assignment with some answers written."""
    notebook = nbformat.read(folder / "notebooks" / f"{stem}.ipynb", as_version=4)
    for cell in notebook.cells:
        own = cell.id.endswith("-stub") and cell.id.removesuffix("-stub").replace("-", ".", 1)
        id = cell.metadata.get("exercise") or own
        cell.source = answers.get(id, cell.source)
    nbformat.write(notebook, target)
    return target


def solved(*ids):
    return {id: source(course.exercise(id)) for id in ids}


def checked(student, path):
    done = student("-m", "attncourse", "check", path, "--json")
    assert done.stdout, done.stderr
    return {found["id"]: found for found in json.loads(done.stdout)["exercises"]}


def test_the_installed_course_is_the_one_handed_out(student):
    done = student("-c", "import attncourse, solutions; print(attncourse.__file__)")
    assert str(student.home) in done.stdout


def test_nothing_written_counts_as_not_attempted(student):
    found = checked(student, "notebooks/05_channel.ipynb")
    assert [*found] == ["channel.squeeze", "channel.squeeze_excite"]
    assert {one["status"] for one in found.values()} == {"not attempted"}


def test_a_slip_is_named_and_a_right_answer_passes(student, folder, tmp_path):
    answers = solved("channel.squeeze_excite") | {"channel.squeeze": SLIPPED}
    path = filled(folder, "05_channel", answers, tmp_path / "one.ipynb")
    found = checked(student, path)
    assert found["channel.squeeze"]["slip"] == "summed"
    assert "Eq. 2 divides by h w" in found["channel.squeeze"]["message"]
    answers = solved("channel.squeeze", "channel.squeeze_excite")
    path = filled(folder, "05_channel", answers, tmp_path / "two.ipynb")
    assert {one["status"] for one in checked(student, path).values()} == {"passed"}


def test_a_later_notebook_takes_ones_own_answers_to_an_earlier_one(student, folder, tmp_path):
    path = filled(folder, "06_spatial", solved(*IDS), tmp_path / "later.ipynb")
    found = checked(student, path)
    assert [*found] == ["spatial.channel_gate"]
    assert found["spatial.channel_gate"]["status"] == "passed"


def test_what_is_given_goes_on_with_an_answer_that_passed(student):
    code = (
        "import torch; from torch import nn; from attncourse import check\n"
        "from attncourse.tasks.channel import CueReader\n"
        "read, x = CueReader(nn.Identity()), torch.ones(3, 8, 5, 7)\n"
        "def mine(x): return x.mean((-2, -1))\n"
        "try: read(x)\n"
        "except NotImplementedError: print('blank')\n"
        "print(check('channel.squeeze', mine).status, *read(x).shape)\n"
        "from attncourse import hint, solution\n"
        "print(hint('channel.squeeze'), hint('channel.squeeze'))\n"
        "print(solution('channel.squeeze', sure=True))\n"
    )
    said = student("-c", code).stdout
    assert said.startswith("blank\npassed 3 2\n")
    assert said.count("hint 1 of 1") == 2
    assert "not part of this assignment" in said


def test_the_command_fills_a_folder_with_the_notebooks(student):
    code = (
        "from attncourse import places; from attncourse.workshop import workspace\n"
        "print(*workspace.fill(places.work(), places.notebooks()).added)"
    )
    assert student("-c", code).stdout.split() == ["05_channel.ipynb", "06_spatial.ipynb"]


def test_no_answer_can_be_read_anywhere(folder):
    exercises = [course.exercise(id) for id in IDS]
    assert any(map(secret_lines, exercises))
    assert leaks(folder, exercises, {}) == []
    (folder / "notebooks/told.py").write_text(f"    {secret_lines(exercises[0])[0]}\n")
    assert len(leaks(folder, exercises, {})) == 1
    (folder / "notebooks/told.py").unlink()


def test_answers_of_other_exercises_are_blanked_too_unless_given_code_runs_them(folder):
    said = folder.with_suffix(".said").read_text()
    text = (folder / "package/solutions/channel.py").read_text()
    others = [course.exercise(id) for id in course.chapter("05").ids if id not in IDS]
    kept = {ex.id for ex in others if f"answer to {ex.id} is in it" in said}
    assert kept == {ex.id for ex in others if any(s in text for s in secret_lines(ex))}
    assert kept == {"channel.residual"}  # which the networks of the notebook are built of


def test_nothing_of_the_teachers_is_in_it(folder):
    every = [path for path in folder.rglob("*") if path.is_file()]
    names = {path.relative_to(folder).as_posix() for path in every}
    assert not [n for n in names if "releas" in n or "recording" in n or "/tests/" in n]
    assert not any("otherwise=" in readable(p) for p in every if "/exercises/c" in str(p))
    assert not any(str(folder.parent) in readable(path) for path in every)
    assert {"README.md", "Makefile", "assignment.json", "package/pyproject.toml"} <= names


def test_the_readme_says_points_date_and_commands(folder):
    text = (folder / "README.md").read_text()
    assert "| `channel.squeeze` | 2 |" in text
    assert "Hand it in by **2027-03-01**." in text
    assert "make lab" in text
    assert "{" not in text


def test_a_folder_that_is_not_empty_is_left_alone(folder):
    result = CliRunner().invoke(cli.app, ["release", str(folder), "--chapters=05"])
    assert result.exit_code == 1
    assert "not empty" in result.output
