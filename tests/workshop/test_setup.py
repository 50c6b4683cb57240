"""A fresh clone installs: the lists of packages agree, and what fails says so in one line."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

from attncourse.workshop import bootstrap

ROOT = Path(__file__).resolve().parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = PYPROJECT["project"]
PINS = {
    line.partition("==")[0].lower(): line.partition("==")[2]
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    if not line.startswith("#")
}
EXTRAS = PROJECT["optional-dependencies"].values()
GROUPS = PYPROJECT["dependency-groups"].values()
ASKED = (PROJECT["dependencies"], *EXTRAS, *GROUPS)
ALL = [Requirement(text) for texts in ASKED for text in texts]


def test_conda_installs_what_pyproject_asks_for():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    *conda, pip = environment["dependencies"]
    assert environment["channels"] == ["conda-forge", "nodefaults"]
    assert pip["pip"] == [*PROJECT["dependencies"], "-e ."]
    (python,) = (name.partition("=")[2] for name in conda if name.startswith("python="))
    assert f">={python}" == PROJECT["requires-python"]


@pytest.mark.parametrize("asked", ALL, ids=lambda asked: asked.name)
def test_ci_runs_a_version_within_the_bounds(asked):
    assert asked.specifier.contains(PINS[asked.name.lower()])


@pytest.mark.parametrize("asked", ALL, ids=lambda asked: asked.name)
def test_versions_are_bounded_on_both_sides(asked):
    assert {spec.operator for spec in asked.specifier} >= {">=", "<"}


def test_a_pin_names_no_build_of_its_own():
    assert all(re.fullmatch(r"[\w.]+", pin) for pin in PINS.values())


def test_make_explains_every_target():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"(?m)^([a-z]+):", makefile))
    told = set(re.findall(r"(?m)^([a-z]+):.*## \S", makefile))
    asked = {"lab", "test", "notebooks", "doctor", "lint", "bench", "help", "install"}
    assert targets == told == asked


# ---------------------------------------------------------------- bootstrap


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """Bootstrap in a folder of its own, with programs that only note that they were run."""
    for name in ("pyproject.toml", "constraints.txt"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    venv = tmp_path / ".venv"
    (venv / "bin").mkdir(parents=True)
    monkeypatch.setattr(bootstrap, "ROOT", tmp_path)
    monkeypatch.setattr(bootstrap, "VENV", venv)
    monkeypatch.setattr(bootstrap, "PYTHON", Path(sys.executable))
    monkeypatch.setattr(bootstrap, "STAMP", venv / "installed.txt")
    monkeypatch.setattr(bootstrap, "LOG", venv / "install.log")
    monkeypatch.setattr(bootstrap, "CONSTRAINTS", tmp_path / "constraints.txt")
    return tmp_path


@pytest.fixture
def installed(monkeypatch):
    """The commands that bootstrap would have run to install something."""
    commands = []

    def logged(command):
        commands.append(" ".join(command))
        return subprocess.CompletedProcess(command, 0, stdout="")

    monkeypatch.setattr(bootstrap, "logged", logged)
    return commands


def without_torch(monkeypatch):
    monkeypatch.setattr(bootstrap, "installed_torch", lambda bounds: None)
    monkeypatch.setattr(bootstrap.sys, "platform", "linux")


def pip_would_take(monkeypatch, version, *requires):
    """Let pip's report say so."""
    taken = {"install": [{"metadata": {"version": version, "requires_dist": list(requires)}}]}
    monkeypatch.setattr(bootstrap.json, "loads", lambda text: taken)
    (bootstrap.VENV / "report.json").write_text("")


def test_the_second_run_installs_nothing(clone, installed):
    bootstrap.install()
    assert any("-e" in command for command in installed)
    installed.clear()
    bootstrap.install()
    assert installed == []


def test_make_installs_what_the_tests_compare_with(monkeypatch):
    monkeypatch.setattr(bootstrap.shutil, "which", lambda name: None)
    assert bootstrap.target() == f"{bootstrap.ROOT}[oracles,translate,kernels]"
    assert bootstrap.target(kernels=False) == f"{bootstrap.ROOT}[oracles,translate]"
    monkeypatch.setattr(bootstrap.shutil, "which", lambda name: name)
    assert bootstrap.target() == f"{bootstrap.ROOT}[oracles,translate,kernels,browser]"


def test_what_asks_for_too_much_comes_without_it(clone, installed):
    bootstrap.install()
    (command,) = (command for command in installed if "oracles-alone" in command)
    assert "--no-deps" in command
    assert "-c" in command


@pytest.mark.parametrize("own", [True, False])
def test_the_triton_that_torch_brings_stays(clone, installed, monkeypatch, own):
    monkeypatch.setattr(bootstrap, "brings_triton", lambda: own)
    bootstrap.install()
    pins = (bootstrap.VENV / "constraints.txt").read_text(encoding="utf-8")
    assert ("\ntriton==" in pins) != own
    assert "\ntyper==" in pins
    (command,) = (command for command in installed if " -e " in command)
    assert (",kernels" in command) != own


@pytest.mark.parametrize(
    ("asked", "own"),
    [
        ("triton==3.6.0; platform_system != 'none'", True),
        ("pytorch-triton==3.6.0+git", True),
        ("triton==3.6.0; platform_system == 'none'", False),
        ("triton; extra == 'compile'", False),
        ("filelock", False),
        (None, False),
    ],
)
def test_torch_says_whether_it_brings_a_triton(tmp_path, monkeypatch, asked, own):
    """Asked of a torch that is not here."""
    about = tmp_path / "torch-2.99.dist-info"
    about.mkdir()
    lines = ["Metadata-Version: 2.1", "Name: torch", "Version: 2.99"]
    lines += [f"Requires-Dist: {asked}"] if asked else []
    (about / "METADATA").write_text("\n".join(lines) + "\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(bootstrap, "PYTHON", Path(sys.executable))
    assert bootstrap.brings_triton() == own


@pytest.mark.parametrize("name", ["pyproject.toml", "constraints.txt"])
def test_a_change_of_the_requirements_installs_again(clone, installed, name):
    bootstrap.install()
    installed.clear()
    with (clone / name).open("a") as file:
        file.write("\n")
    bootstrap.install()
    assert any("-e" in command for command in installed)


def test_a_run_that_failed_is_not_taken_for_installed(clone, installed, monkeypatch):
    def fail(*arguments):
        raise bootstrap.CannotInstall("no")

    bootstrap.install()
    (clone / "constraints.txt").write_text("torch==2.13.0\n")
    with monkeypatch.context() as patch:
        patch.setattr(bootstrap, "pip", fail)
        with pytest.raises(bootstrap.CannotInstall):
            bootstrap.install()
    assert not bootstrap.STAMP.exists()


def test_a_torch_that_is_there_stays(clone, installed, monkeypatch):
    monkeypatch.setattr(bootstrap, "installed_torch", lambda bounds: "2.9.1+cpu")
    bootstrap.install()
    assert not any("torch==" in command for command in installed)
    assert "torch==2.9.1+cpu\n" in (bootstrap.VENV / "constraints.txt").read_text(
        encoding="utf-8"
    )


def test_without_a_gpu_the_cuda_build_is_not_taken(clone, installed, monkeypatch):
    without_torch(monkeypatch)
    monkeypatch.setattr(bootstrap, "has_gpu", lambda: False)
    pip_would_take(
        monkeypatch, "2.13.0", "filelock", "nvidia-cublas==13.0; sys_platform == 'linux'"
    )
    bootstrap.settle_torch()
    assert "--torch-backend=cpu" in installed[-1]


@pytest.mark.parametrize(
    ("version", "gpu"), [("2.13.0+cpu", False), ("2.13.0", False), ("2.13.0+cu130", True)]
)
def test_the_build_that_pip_takes_is_right_otherwise(
    clone, installed, monkeypatch, version, gpu
):
    without_torch(monkeypatch)
    monkeypatch.setattr(bootstrap, "has_gpu", lambda: gpu)
    pip_would_take(monkeypatch, version, "filelock")
    bootstrap.settle_torch()
    assert installed[-1].endswith("torch==2.13.0")
    assert " uv " not in installed[-1]


@pytest.mark.parametrize(
    ("said", "line"),
    [
        (
            "WARNING: Retrying (Retry(total=0)) after NewConnectionError('…')",
            "cannot be reached",
        ),
        ("ERROR: Could not install: [Errno 28] No space left on device", "disk is full"),
        (
            "ERROR: No matching distribution found for torch==2.13.0",
            "no torch==2.13.0 for this",
        ),
        ("one\nERROR: two\nthree", "ERROR: two"),
    ],
)
def test_what_pip_says_becomes_one_line(said, line):
    assert line in bootstrap.why(said)
    assert "\n" not in bootstrap.why(said)


def test_an_old_python_says_what_it_needs(clone, monkeypatch):
    monkeypatch.setattr(bootstrap.sys, "version_info", (3, 9, 6))
    monkeypatch.setattr(bootstrap.shutil, "which", lambda name: None)
    with pytest.raises(bootstrap.CannotInstall, match=r"Python 3\.11 or newer.* is 3\.9\."):
        bootstrap.make_venv()


def test_a_python_without_venv_says_what_to_install(clone, monkeypatch):
    monkeypatch.setattr(bootstrap, "runs", lambda *command: False)
    with pytest.raises(bootstrap.CannotInstall, match="apt install python3-venv"):
        bootstrap.make_venv()


def test_no_network_is_one_line_and_an_exit_code(clone):
    """A pip that finds nobody to ask, in a real process."""
    nobody = "http" + "://127.0.0.1:9/simple"
    program = f"""
import sys
from pathlib import Path
import bootstrap
bootstrap.LOG, bootstrap.PYTHON = Path(sys.argv[1]), sys.executable
asked = "install", "--isolated", "--retries=1", "--index-url={nobody}", "not-there"
bootstrap.install = lambda: bootstrap.pip(*asked)
bootstrap.main()
"""
    ran = subprocess.run(
        [sys.executable, "-c", program, str(clone / "log")],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT / "attncourse" / "workshop")},
    )
    assert ran.returncode == 1
    assert ran.stderr.count("\n") == 1
    assert "the package index cannot be reached" in ran.stderr
