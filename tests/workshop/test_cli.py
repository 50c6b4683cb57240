"""The commands: what one types, what comes back, and bad input in one clear line."""

import errno
import json
import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from commands import call, fails

from attncourse import places
from attncourse.errors import UserError
from attncourse.workshop import doctor, lab, suite, workspace

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def course(tmp_path, monkeypatch):
    """A clone with one notebook, for the commands to work in."""
    learner = tmp_path / "notebooks" / "learner"
    learner.mkdir(parents=True)
    (learner / "00_shapes.ipynb").write_text("{}")
    (tmp_path / "pyproject.toml").touch()
    monkeypatch.setattr(places, "TOP", tmp_path)
    return tmp_path


@pytest.fixture
def started(monkeypatch):
    """The commands of the servers that would have been started."""
    commands = []
    monkeypatch.setattr(lab, "start", lambda command: commands.append(command) or 0)
    return commands


def test_help_starts_without_torch():
    program = (
        "import sys, contextlib\n"
        "from attncourse.cli import app\n"
        "with contextlib.suppress(SystemExit): app(['--help'])\n"
        "sys.exit('torch' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert ran.returncode == 0
    for command in "lab reset check test lint doctor build bench info".split():
        assert command in ran.stdout


def test_what_every_notebook_imports_is_little_beyond_torch():
    program = (
        "import sys, torch; torchs = {name.partition('.')[0] for name in sys.modules}\n"
        "from attncourse import check, hint, solution\n"
        "ours = {name.partition('.')[0] for name in sys.modules} - torchs\n"
        "ours -= {*sys.stdlib_module_names, 'attncourse', 'solutions', 'einops', 'psutil'}\n"
        "print(*(name for name in ours if name[0] != '_'))"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert ran.stdout == "\n", ran.stderr


# ---------------------------------------------------------------- lab


def test_lab_says_what_it_did(course, started):
    assert "added to work/: 00_shapes.ipynb" in call("lab").stdout
    assert "there already: 00_shapes.ipynb" in call("lab").stdout
    (course / "work" / "00_shapes.ipynb").write_text("mine")
    assert "with your work, left alone: 00_shapes.ipynb" in call("lab").stdout
    (course / "notebooks" / "learner" / "00_shapes.ipynb").write_text("newer")
    assert "`attncourse reset 00_shapes`" in call("lab").stdout
    assert (course / "work" / "00_shapes.ipynb").read_text() == "mine"


def test_lab_opens_the_first_chapter_on_this_machine_only(course, started):
    call("lab")
    (command,) = started
    assert "--LabApp.default_url=/lab/tree/00_shapes.ipynb" in command
    assert "--ServerApp.ip=127.0.0.1" in command
    assert f"--ServerApp.root_dir={course / 'work'}" in command


def test_what_the_user_gives_goes_before_the_defaults(course, started):
    call("lab", "--no-browser", "--ip=127.0.0.2", "--LabApp.default_url=/lab")
    (command,) = started
    assert command[-3:] == ["--no-browser", "--ip=127.0.0.2", "--LabApp.default_url=/lab"]
    given = " ".join(command[:-3])
    assert "ip=" not in given
    assert "default_url" not in given


@pytest.mark.parametrize("form", [["--port={}"], ["--port", "{}"], ["--ServerApp.port={}"]])
def test_a_port_in_use_is_named(course, started, form):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        line = fails("lab", *(part.format(port) for part in form))
    assert f"port {port} cannot be used" in line
    assert started == []


@pytest.mark.parametrize("port", ["http", "70000", "-1", ""])
def test_what_is_no_port_is_refused(course, started, port):
    assert "is not a port" in fails("lab", f"--port={port}")
    assert started == []


def test_a_port_that_was_asked_for_is_taken_or_nothing(course, started):
    call("lab", f"--port={free_port()}")
    assert "--ServerApp.port_retries=0" in started[0]


@pytest.mark.parametrize(
    ("code", "says"),
    [
        (errno.ENOSPC, "No space left on device"),
        (errno.EROFS, "Read-only file system"),
        (errno.EACCES, "Permission denied"),
    ],
)
def test_a_folder_that_cannot_be_written_is_one_line(course, started, monkeypatch, code, says):
    def fail(path, data):
        raise OSError(code, os.strerror(code), str(path))

    monkeypatch.setattr(Path, "write_bytes", fail)
    assert says in fails("lab")
    assert says in fails("reset", "shapes")
    assert started == []


def test_work_that_is_a_file_is_one_line_and_stays(course, started):
    (course / "work").write_text("mine")
    assert "File exists" in fails("lab")
    assert (course / "work").read_text() == "mine"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_a_real_server_answers_on_this_machine(tmp_path):
    """The whole of it: a clone, JupyterLab in it, a request, an interrupt."""
    learner = tmp_path / "notebooks" / "learner"
    learner.mkdir(parents=True)
    (learner / "00_shapes.ipynb").write_text("{}")
    (tmp_path / "pyproject.toml").touch()
    port = free_port()
    program = (
        "import signal, sys; from pathlib import Path; from attncourse import cli, places\n"
        # as in a terminal: a shell has what it starts in the background ignore interrupts
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "places.TOP = Path(sys.argv.pop(1))\n"
        "cli.app()"
    )
    options = [f"--port={port}", "--no-browser", "--IdentityProvider.token=known"]
    home = {
        name: str(tmp_path / name.lower())
        for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTERLAB_SETTINGS_DIR")
    }
    log = tmp_path / "log"
    with log.open("w") as output:
        server = subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path), "lab", *options],
            stdout=output,
            stderr=output,
            env=os.environ | home,
        )
        try:
            assert answer(port, "/api/status?token=known", server)["kernels"] == 0
            page = read(port, "/lab/tree/00_shapes.ipynb?token=known")
            settings = json.loads(re.search(r"config-data[^>]*>(.*?)</script>", page, re.S)[1])
            assert settings["news"] == {"disabled": True}
            plugin = "@jupyterlab/apputils-extension:notification"
            schema = json.loads(read(port, f"/lab/api/settings/{plugin}?token=known"))["schema"]
            assert schema["properties"]["fetchNews"]["default"] == "false"
        finally:
            server.send_signal(2)  # Ctrl-C
            ended = server.wait(600)
    assert ended == 0
    assert "Traceback" not in log.read_text()


def read(port, path):
    with urlopen(f"http://127.0.0.1:{port}{path}", timeout=600) as response:
        return response.read().decode()


def answer(port, path, server):
    """What the server answers as soon as it listens."""
    until = time.monotonic() + 600  # stops what hangs, not what is slow
    while time.monotonic() < until and server.poll() is None:
        try:
            return json.loads(read(port, path))
        except URLError:
            time.sleep(0.2)
    pytest.fail("the server did not start")


# ---------------------------------------------------------------- reset, check, build, …


def test_reset_says_where_the_old_one_is(course):
    assert call("reset", "shapes").stdout == "work/00_shapes.ipynb is fresh.\n"
    result = call("reset", "0")
    assert re.search(r"yours is work/00_shapes\.[\d-]+\.ipynb\.", result.stdout)


def test_an_unknown_chapter_names_the_nearest(course):
    assert 'Did you mean "00_shapes"?' in fails("reset", "shaeps")
    assert 'Did you mean "00_shapes"?' in fails("build", "00_shaeps")


def test_an_unknown_command_or_option_is_one_line():
    assert "No such command 'chekc'" in fails("chekc", code=2)
    assert "--jsno" in fails("check", "a.ipynb", "--jsno", code=2)
    assert "Missing argument" in fails("check", code=2)


def test_a_mistake_of_ours_is_not_hidden(course, monkeypatch):
    def fail(work, notebooks):
        raise KeyError("ours")

    monkeypatch.setattr(workspace, "fill", fail)
    assert isinstance(call("lab").exception, KeyError)


def test_bench_passes_its_options_on(course, monkeypatch):
    from attncourse.bench import running

    seen = []
    monkeypatch.setattr(running, "everything", lambda *given: seen.append(given) or [])
    assert call("bench").exit_code == 0
    options = "--only local --only heads --full --threads 2 --device cpu --into x".split()
    assert call("bench", *options).exit_code == 0
    assert seen == [
        ((), False, 1, None, course / "results"),
        (["local", "heads"], True, 2, "cpu", Path("x")),
    ]


def test_bench_names_what_failed_and_what_there_is(course, monkeypatch):
    from attncourse.bench import running

    assert 'nothing is called "lokal"; there are local' in fails("bench", "--only", "lokal")
    monkeypatch.setattr(running, "everything", lambda *given: ["sparse"])
    assert "failed: sparse" in fails("bench")


def test_info_shows_versions_and_devices():
    result = call("info")
    assert result.exit_code == 0
    for name in ("python", "torch", "jupyterlab", "CPU", "CUDA", "chromium", "triton"):
        assert re.search(rf"(?m)^ *{name} +\S", result.stdout) or name == "CUDA"


@pytest.mark.parametrize(
    ("place", "says"),
    [
        ("site-packages", 'pip install "WHEEL[test]"'),
        ("clone", 'pip install -e ".[test]"'),
        ("clone/.venv", "make install EXTRAS=test"),
    ],
)
def test_an_extra_is_added_as_the_course_was_installed(monkeypatch, course, place, says):
    if place == "site-packages":
        (course / "pyproject.toml").unlink()
    if place == "clone/.venv":
        monkeypatch.setattr(sys, "prefix", str(course / ".venv"))
    assert places.extra("test") == says


@pytest.mark.parametrize("command", ["test", "lint", "doctor", "build"])
def test_outside_a_clone_it_says_what_to_do(monkeypatch, tmp_path, command):
    monkeypatch.setattr(places, "TOP", tmp_path)
    assert "this needs a clone of the course" in fails(command)


def test_outside_a_clone_what_is_measured_wants_a_folder(monkeypatch, tmp_path):
    monkeypatch.setattr(places, "TOP", tmp_path)
    assert "attncourse bench --into FOLDER" in fails("bench")


def test_doctor_looks_at_the_exercises_it_is_given(monkeypatch):
    seen = []
    monkeypatch.setattr(doctor, "examine", lambda root, only: seen.append(only) or [])
    assert "healthy: shapes.strip is complete." in call("doctor", "shapes.strip").stdout
    assert "healthy: every exercise is complete." in call("doctor").stdout
    assert 'Did you mean "shapes.strip"?' in fails("doctor", "shapes.stripe")
    assert seen == [["shapes.strip"], []]


@pytest.mark.parametrize("command", ["test", "lint", "doctor", "build"])
def test_where_a_learner_lacks_the_tools_it_says_how_to_add_them(monkeypatch, command):
    monkeypatch.setattr(suite, "find_spec", lambda name: None if name == "ruff" else name)
    monkeypatch.setattr(suite, "STEPS", ())  # should it go on all the same
    assert f"ruff not installed: {places.extra('test')}" in fails(command)


# ---------------------------------------------------------------- the suite


def test_a_step_that_fails_stops_no_other(tmp_path, capfd):
    steps = (
        suite.Step("one", "fails", ("there_is_no_such_module",)),
        suite.Step("two", "passes", ("this",)),
    )
    assert suite.run(steps, tmp_path) == ["one"]
    told = capfd.readouterr().out
    assert "Beautiful is better than ugly" in told
    assert re.search(r"one +failed .*\ntwo +passed ", told)


def test_a_step_changes_the_environment_for_itself_alone(tmp_path, capfd, monkeypatch):
    monkeypatch.setenv("ONLY_HERE", "before")
    (tmp_path / "told.py").write_text("import os; print('told', os.environ['ONLY_HERE'])\n")
    steps = (
        suite.Step("one", "changes it", ("told",), {"ONLY_HERE": "changed"}),
        suite.Step("two", "does not", ("told",)),
    )
    assert suite.run(steps, tmp_path) == []
    assert re.findall(r"^told (\w+)", capfd.readouterr().out, re.M) == ["changed", "before"]


def test_kernels_are_tried_where_there_are_none_and_where_vectors_are_shortest():
    steps = {step.name: step for step in suite.STEPS}
    assert steps["bare"].environment["ATTNCOURSE_KERNELS"] == "none"
    narrow = steps["narrow"].environment
    assert narrow["ATTNCOURSE_KERNELS"] == narrow["ATTNCOURSE_VECTOR_BYTES"] == "16"
    for step in (steps["bare"], steps["narrow"]):
        (command,) = step.commands
        files = [word for word in command.split() if word.startswith("tests/")]
        assert files[0].endswith("test_kernels_of_this_run.py")  # which asserts what runs
        assert all((places.root() / file).is_file() for file in files)


def test_every_step_can_be_named_alone():
    for step in suite.STEPS:
        assert suite.choose([step.name]) == (step,)
    assert suite.choose(()) == suite.STEPS


def test_an_unknown_step_names_the_nearest():
    with pytest.raises(UserError, match='Did you mean "doctor"'):
        suite.choose(["docter"])


def test_failed_steps_are_named_at_the_end(course, monkeypatch):
    monkeypatch.setattr(suite, "run", lambda steps, root: ["unit"])
    assert "failed: unit" in fails("test")
