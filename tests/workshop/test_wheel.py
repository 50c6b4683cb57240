"""What is installed without a clone is whole, and works in any folder."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from attncourse.course import CHAPTERS

pytest.importorskip("hatchling", reason="no hatchling: make install EXTRAS=test")
ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = {f"{chapter.stem}.ipynb" for chapter in CHAPTERS}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder with what a wheel of this clone installs."""
    folder = tmp_path_factory.mktemp("wheel")
    build = "pip wheel --quiet --no-index --no-deps --no-build-isolation --wheel-dir"
    command = [sys.executable, "-m", *build.split(), str(folder), str(ROOT)]
    subprocess.run(command, check=True, cwd=folder)
    (wheel,) = folder.glob("attncourse-*.whl")
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(folder / "site")
    return folder / "site"


@pytest.fixture
def run(site, tmp_path):
    """Runs Python in an empty folder, or one inside it, with the wheel before the clone."""

    def run(*arguments, folder="."):
        kept = {k: v for k, v in os.environ.items() if k != "ATTNCOURSE_DATA"}
        return subprocess.run(
            [sys.executable, *map(str, arguments)],
            cwd=tmp_path / folder,
            env=kept | {"PYTHONPATH": str(site)},
            capture_output=True,
            text=True,
        )

    return run


def files(folder):
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


@pytest.mark.parametrize("package", ["attncourse", "solutions"])
def test_packages_are_complete(site, package):
    there = files(site / package)
    if package == "attncourse":
        assert {Path(name).name for name in there if name.startswith("notebooks/")} == NOTEBOOKS
        there = {name for name in there if not name.startswith(("notebooks/", "results/"))}
    assert there == files(ROOT / package)


def test_kept_results_come_along(site):
    assert files(site / "attncourse" / "results") == files(ROOT / "results")


def test_nothing_else_is_installed(site):
    (about,) = site.glob("*.dist-info")
    assert {path.name for path in site.iterdir()} == {"attncourse", "solutions", about.name}


def test_lab_fills_a_work_folder_here_and_starts(run, tmp_path):
    started = run("-m", "attncourse", "lab", "--version")  # which JupyterLab answers, and ends
    assert started.returncode == 0, started.stderr
    assert "added to work/: 00_shapes.ipynb" in started.stdout
    assert {path.name for path in (tmp_path / "work").glob("*.ipynb")} == NOTEBOOKS


def test_a_notebook_is_reset_and_checked(run, tmp_path):
    assert "work/00_shapes.ipynb is fresh" in run("-m", "attncourse", "reset", "00").stdout
    checked = run("-m", "attncourse", "check", "--json", "work/00_shapes.ipynb")
    verdicts = json.loads(checked.stdout)["exercises"]
    assert {verdict["status"] for verdict in verdicts} == {"not attempted"}
    assert len(verdicts) == len(CHAPTERS[0].exercises)


def test_from_within_the_work_folder_it_is_the_same_one(run, tmp_path):
    """Notebooks run there."""
    run("-m", "attncourse", "reset", "00")
    (tmp_path / "work" / "deeper").mkdir()
    program = "from attncourse import places; print(places.work(), places.TOP)"
    for folder in (".", "work", "work/deeper"):
        work, top = map(Path, run("-c", program, folder=folder).stdout.split())
        assert work == tmp_path / "work"
        assert top.name == "site"


def test_what_a_notebook_needs_is_in_it(run, tmp_path):
    program = """
from attncourse import check, hint
from attncourse.book import plots, results
from attncourse.papers import figures
from attncourse.tasks.folders import home
from solutions import shapes
print(check("shapes.grey", shapes.grey).status)
print(home())
print(hint("shapes.grey"))
assert results.result("translate") and figures("cbam")
"""
    ran = run("-c", program)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith(f"taken over\n{tmp_path / 'work' / 'data'}\n")


@pytest.mark.parametrize("command", ["test", "lint", "doctor", "build", "bench"])
def test_what_needs_a_clone_says_so_in_one_line(run, command):
    ran = run("-m", "attncourse", command)
    assert ran.returncode == 1
    assert ran.stderr.count("\n") == 1
    assert "this needs a clone" in ran.stderr or "--into FOLDER" in ran.stderr
