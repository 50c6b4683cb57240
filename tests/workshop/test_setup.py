"""A fresh clone installs: the lists of packages agree, and what fails says so in one line."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

from attncourse.workshop import bootstrap, suite

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
    assert targets == told
    assert targets >= {"lab", "test", "notebooks", "doctor", "lint", "bench", "help", "install"}


def test_a_learner_gets_no_tool_of_a_test():
    names = {Requirement(text).name for text in PROJECT["dependencies"]}
    assert names.isdisjoint(suite.TOOLS)
    extras = PROJECT["optional-dependencies"]
    assert all(names.isdisjoint(Requirement(text).name for text in extras[e]) for e in extras)


def test_make_test_installs_every_extra_that_a_test_needs():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert "test: complete" in makefile
    assert "$(bootstrap) test oracles translate kernels site" in makefile
    assert {"test", "oracles", "translate", "kernels"} <= set(PROJECT["optional-dependencies"])


# ---------------------------------------------------------------- bootstrap

UV_PLAN = " + filelock==3.32.7\n + nvidia-cublas==13.1.1.3\n + torch==2.13.0\n"
PIP_PLAN = "Would install filelock-3.32.7 nvidia-cublas-13.1.1.3 torch-2.13.0"


class Machine:
    """What programs answer, by a part of their command, and the commands that were run.

    A command that nothing is said about fails where it asks something, and else succeeds.
    """

    def __init__(self):
        self.commands, self.answers = [], {"--version": "3.11", "uv pip install --torch": ""}

    def run(self, *command):
        command = " ".join(command)
        self.commands.append(command)
        for part, answer in self.answers.items():
            if part in command:
                wrong = answer is None
                return subprocess.CompletedProcess(command, int(wrong), answer or "")
        asks = "import" in command or "--help" in command
        return subprocess.CompletedProcess(command, int(asks), "")

    def installing(self):
        """What was installed, one command a line, without the words all of them share."""
        found = (c.partition(" install ")[2] for c in self.commands if "--help" not in c)
        return [c.split("best-match ")[-1] for c in found if c and "--dry-run" not in c]


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Bootstrap in a clone of its own, on a machine that runs nothing."""
    for name in ("pyproject.toml", "constraints.txt"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    (tmp_path / ".venv").mkdir()
    monkeypatch.setattr(bootstrap, "ROOT", tmp_path)
    monkeypatch.setattr(bootstrap, "VENV", tmp_path / ".venv")
    machine = Machine()
    monkeypatch.setattr(bootstrap, "run", machine.run)
    return machine


def pinned():
    return (bootstrap.VENV / "constraints.txt").read_text(encoding="utf-8")


def with_torch(machine, says="2.9.1+cpu filelock"):
    machine.answers["import requires"] = says


def test_a_learner_gets_torch_and_the_course(machine):
    bootstrap.install([])
    torch, course = machine.installing()
    assert torch.startswith("torch -c ")
    assert course.startswith(f"-e {bootstrap.ROOT} -c ")


def test_the_second_run_asks_and_installs_nothing(machine):
    bootstrap.install(["test"])
    machine.commands.clear()
    bootstrap.install([])
    bootstrap.install(["test"])
    assert {command.split()[-1] for command in machine.commands} == {"--version"}


def test_what_comes_later_does_not_install_the_rest_again(machine):
    bootstrap.install(["test", "oracles"])
    machine.commands.clear()
    with_torch(machine)
    bootstrap.install(["test", "oracles", "site"])
    (only,) = machine.installing()
    assert only.startswith(f"-e {bootstrap.ROOT}[site] -c ")


def test_what_asks_for_too_much_comes_without_it(machine):
    bootstrap.install(["oracles"])
    *_, course, alone = machine.installing()
    assert "[oracles]" in course
    assert alone.startswith(
        f"--no-deps --group {bootstrap.ROOT / 'pyproject.toml'}:oracles-alo"
    )


@pytest.mark.parametrize("name", ["pyproject.toml", "constraints.txt"])
def test_a_change_of_the_requirements_installs_again(machine, name):
    bootstrap.install(["test"])
    machine.commands.clear()
    with (bootstrap.ROOT / name).open("a") as file:
        file.write("\n")
    bootstrap.install(["test"])
    assert any("[test]" in command for command in machine.installing())


def test_a_run_that_failed_is_not_taken_for_installed(machine):
    machine.answers[" -e "] = None
    for _ in range(2):
        with pytest.raises(bootstrap.CannotInstall):
            bootstrap.install(["test"])
    del machine.answers[" -e "]
    machine.commands.clear()
    bootstrap.install(["test"])
    assert any("[test]" in command for command in machine.installing())


# uv, pip and what they are told


def test_uv_is_put_into_the_environment_where_there_is_none(machine):
    machine.answers["uv pip install --torch"] = None
    bootstrap.install([])
    inside, *others = (c for c in machine.commands if " install " in c and "--help" not in c)
    assert inside.startswith(f"{bootstrap.PYTHON} -m pip ")
    assert inside.endswith(" uv")
    assert all(command.startswith(f"{bootstrap.PYTHON} -m uv pip ") for command in others)


def test_where_no_uv_can_be_had_pip_installs(machine):
    machine.answers["uv pip install --torch"] = machine.answers["constraints.txt uv"] = None
    bootstrap.install([])
    installing = [c for c in machine.commands if " install " in c and "--help" not in c]
    assert all(command.startswith(f"{bootstrap.PYTHON} -m pip ") for command in installing)
    assert installing[-1].partition(" install ")[2].startswith(f"-e {bootstrap.ROOT} -c ")


def test_what_pip_is_told_uv_is_told(machine, monkeypatch):
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    listed = (
        ":env:.find-links='/wheels'",
        ":env:.timeout='180'",
        "global.cert='/ca.crt'",
        "global.extra-index-url='https://a.example/simple https://b.example/simple'",
        "global.find-links='/elsewhere'",
        'install.constraint="/it\'s/there.txt"',
        "WARNING: something else",
    )
    machine.answers["config list"] = "\n".join(listed)
    assert bootstrap.told_to_pip()[2:] == [
        *("--index", "https://a.example/simple", "--index", "https://b.example/simple"),
        *("--find-links", "/wheels", "--constraint", "/it's/there.txt"),
    ]
    assert os.environ.pop("SSL_CERT_FILE") == "/ca.crt"


def test_pip_says_what_it_is_told_in_words_that_are_read(monkeypatch, tmp_path):
    """A real pip, with a file and a variable of its own."""
    (tmp_path / "pip.conf").write_text("[global]\nfind-links = /here\n[install]\npre = yes\n")
    monkeypatch.setattr(bootstrap, "PIP", [sys.executable, "-m", "pip"])
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    monkeypatch.setenv("PIP_INDEX_URL", "https://a.example/simple")
    told = " ".join(bootstrap.told_to_pip())
    assert "--default-index https://a.example/simple" in told
    assert "--find-links" in told


def test_what_is_compiled_nowhere_later_is_compiled_now(machine, monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    bootstrap.install(["test"])
    assert machine.installing()[-1].startswith("--compile-bytecode -e ")
    (bootstrap.VENV / "installed-test.txt").unlink()
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    bootstrap.install(["test"])
    assert machine.installing()[-1].startswith("-e ")


# torch and Triton


def test_a_torch_that_is_there_stays(machine):
    with_torch(machine, "2.9.1+cpu filelock")
    bootstrap.install([])
    (course,) = machine.installing()
    assert course.startswith("-e ")
    assert "\ntorch==2.9.1+cpu\n" in pinned()


@pytest.mark.parametrize(("says", "own"), [("2.9.1 triton==3.5.1", True), ("2.9.1", False)])
def test_the_triton_that_torch_brings_stays(machine, says, own):
    with_torch(machine, says)
    bootstrap.install(["kernels"])
    assert ("\ntriton==" in pinned()) != own
    assert "\ntyper==" in pinned()


@pytest.mark.parametrize(("version", "stays"), [("2.9.1+cpu", True), ("2.1.0", False)])
def test_torch_is_asked_for_its_version(tmp_path, monkeypatch, version, stays):
    """A torch of which only the description is there, in a real process."""
    about = tmp_path / f"torch-{version}.dist-info"
    about.mkdir()
    lines = ["Metadata-Version: 2.1", "Name: torch", f"Version: {version}"]
    (about / "METADATA").write_text("\n".join([*lines, "Requires-Dist: triton==3.5.1", ""]))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(bootstrap, "PYTHON", sys.executable)
    assert bootstrap.torch().split() == ([version, "triton==3.5.1"] if stays else [])


@pytest.mark.parametrize(
    ("plan", "option"),
    [
        (UV_PLAN, "--torch-backend=auto torch"),
        (" + filelock==3.32.7\n + torch==2.13.0+cpu\n", "torch"),
        ("Using Python 3.11.7 environment at: /home/me/nvidia-course/.venv\n", "torch"),
    ],
)
def test_the_build_of_torch_is_chosen_where_the_usual_one_brings_cuda(machine, plan, option):
    machine.answers["--dry-run"] = plan
    bootstrap.install([])
    assert machine.installing()[0].startswith(f"{option} -c ")


def test_pip_does_not_bring_cuda(machine):
    machine.answers["uv pip install --torch"] = machine.answers["constraints.txt uv"] = None
    machine.answers["--dry-run"] = PIP_PLAN
    with pytest.raises(bootstrap.CannotInstall, match="pip would take torch with CUDA"):
        bootstrap.install([])
    assert [command for command in machine.installing() if "torch" in command] == []


# what goes wrong


@pytest.mark.parametrize(
    ("said", "line"),
    [
        ("WARNING: Retrying (Retry(total=0)) after NewConnectionError('…')", "be reached"),
        ("error: Failed to fetch\n  cause: client error (Connect)\n  cause: dns", "be reached"),
        ("ERROR: Could not install: [Errno 28] No space left on device", "disk is full"),
        ("error: Failed\n  cause: No space left on device (os error 28)", "disk is full"),
        (
            "ERROR: No matching distribution found for torch==2.13.0",
            "no torch==2.13.0 for this",
        ),
        ("cause: Because torch==2.13.0 has no wheels with", "no torch==2.13.0 for this"),
        ("No module named 'ensurepip'", "apt install python3-venv"),
        ("Error: [Errno 30] Read-only file system: '/a/.venv'", "/a/.venv cannot be written."),
        ("error: x\n  cause: https://host.example/whl/cpu/torch", "or install one by hand"),
        ("one\nERROR: two\nthree", "ERROR: two"),
        ("error: one\n  cause: two\n  three", "cause: two"),
        ("one\ntwo\n", "two"),
    ],
)
def test_what_an_installer_says_becomes_one_line(said, line):
    assert line in bootstrap.why(said)
    assert "\n" not in bootstrap.why(said)


def test_what_an_installer_said_is_kept(machine):
    machine.answers[" -e "] = None
    with pytest.raises(bootstrap.CannotInstall, match=r"All of it: .*install\.log"):
        bootstrap.install([])
    assert " -e " in (bootstrap.VENV / "install.log").read_text(encoding="utf-8")


def test_an_old_python_can_read_it():
    source = Path(bootstrap.__file__).read_text(encoding="utf-8")
    ast.parse(source, feature_version=(3, 6))


def test_an_old_python_says_what_it_needs(monkeypatch):
    monkeypatch.setattr(bootstrap.sys, "version_info", (3, 9, 6))
    monkeypatch.setattr(bootstrap.shutil, "which", lambda name: None)
    with pytest.raises(bootstrap.CannotInstall, match=r"Python 3\.11 or newer.* is 3\.9\."):
        bootstrap.python()


def test_an_old_python_takes_a_newer_one_on_the_path(machine, monkeypatch):
    monkeypatch.setattr(bootstrap.sys, "version_info", (3, 9, 6))
    monkeypatch.setattr(bootstrap.shutil, "which", lambda name: f"/bin/{name}")
    machine.answers = {"python3.14 --version": None, "python3.13 --version": ""}
    assert bootstrap.python() == "/bin/python3.13"


NOBODY = "http" + "://127.0.0.1:9/simple"
LOST = f"-m pip install --isolated --retries=1 --index-url={NOBODY} not-there"


@pytest.mark.parametrize(
    ("does", "line"),
    [
        (f"bootstrap.done(sys.executable, *'{LOST}'.split())", "index cannot be reached"),
        ("(_ for _ in ()).throw(OSError(28, 'No space left', 'a'))", "write a: No space left"),
        ("(_ for _ in ()).throw(KeyboardInterrupt)", "the same command goes on where it was"),
        ("(bootstrap.VENV.touch(), install([]))", "Not a directory"),
    ],
)
def test_what_a_user_can_mend_is_one_line_and_an_exit_code(tmp_path, does, line):
    """Bootstrap itself, in a folder of its own, where one thing is wrong."""
    home = tmp_path / "attncourse" / "workshop"
    home.mkdir(parents=True)
    shutil.copy(bootstrap.__file__, home)
    program = (
        "import sys, bootstrap\ninstall = bootstrap.install\n"
        f"bootstrap.install = lambda extras: {does}\nbootstrap.main([])"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(home)},
    )
    assert ran.returncode == 1
    assert ran.stderr.count("\n") == 1
    assert ran.stderr.startswith("attncourse: ")
    assert line in ran.stderr
