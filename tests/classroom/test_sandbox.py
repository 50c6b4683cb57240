"""What a rung holds off is held off, and nothing outlives a box."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from attncourse import places
from attncourse.classroom.sandbox import ladder, seccomp
from attncourse.classroom.sandbox.box import PROCESSES, Box, Over
from attncourse.classroom.sandbox.ladder import BUBBLEWRAP, LANDLOCK, NONE, USER, climb
from attncourse.errors import UserError

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="it is for Linux")
SYSTEM = "/usr/bin/python3"  # which everybody may read
HERE = Path(ladder.__file__).parent


@pytest.fixture(params=[BUBBLEWRAP, LANDLOCK, USER], ids=lambda rung: rung.name)
def box(request, tmp_path_factory, monkeypatch):
    """A box on each rung that works here, with the system's Python where ours is closed."""
    stage = tmp_path_factory.mktemp("stage")
    for folder in (stage, *stage.parents):
        if folder.owner() == stage.owner() and folder != Path("/tmp"):
            folder.chmod(0o755)
    (stage / "sandbox").mkdir()
    (stage / "package").mkdir()
    for path in HERE.glob("*.py"):
        (stage / "sandbox" / path.name).write_bytes(path.read_bytes())
    if request.param is not BUBBLEWRAP and os.path.exists(SYSTEM):
        monkeypatch.setattr(ladder, "python", lambda: SYSTEM)
        monkeypatch.setattr(ladder, "trees", lambda: ())
        monkeypatch.setattr(ladder, "sites", lambda: ())
    if fault := ladder._missing(request.param) or Box(request.param, stage).fault():
        pytest.skip(fault)
    return Box(request.param, stage, 2**29)


def said(box, program):
    """What a program prints in a box."""
    with box.started([ladder.python(), "-c", program]) as running:
        out, _ = running.process.communicate(timeout=60)
        return out.decode().strip() or running.says()


def test_it_is_another_user_without_rights(box):
    found = said(box, "import os; print(os.getuid(), os.geteuid(), os.getgroups())")
    assert not found.startswith("0 ") or os.getuid()
    status = said(box, "print(open('/proc/self/status').read())")
    assert "CapEff:\t0000000000000000" in status
    assert "NoNewPrivs:\t1" in status


def test_the_answers_cannot_be_read(box):
    if box.rung is USER:
        pytest.skip("this rung does not hold it off")
    for path in (
        places.TOP / "solutions" / "channel.py",
        Path("/etc/passwd"),
        Path("/etc/shadow"),
    ):
        found = said(
            box, f"import os; print(os.stat({str(path)!r}), os.open({str(path)!r}, 0))"
        )
        assert "Error" in found, found


@pytest.mark.parametrize("kind", ["AF_INET", "AF_INET6", "AF_UNIX", "AF_NETLINK"])
def test_there_is_no_network(box, kind):
    if not seccomp.program(os.uname().machine):
        pytest.skip("the filter is not known here")
    found = said(box, f"import socket; socket.socket(socket.{kind}, socket.SOCK_DGRAM)")
    assert "PermissionError" in found


def test_a_server_of_this_machine_is_not_reached(box):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        found = said(box, f"import socket; socket.create_connection(('127.0.0.1', {port}), 5)")
    assert "Error" in found


@pytest.mark.parametrize("flags", [0x10000000, 0x40000000, 0x00020000])
def test_there_are_no_new_namespaces(box, flags):
    assert said(box, f"import ctypes; print(ctypes.CDLL(None).unshare({flags}))") == "-1"


def test_others_get_no_signals(box):
    other = subprocess.Popen(["sleep", "60"])
    try:
        said(box, f"import os; os.kill({other.pid}, 9)")
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_processes_are_limited(box):
    program = """
import os, time
n = 0
try:
    while n < 1000:
        if not os.fork(): time.sleep(60); os._exit(0)
        n += 1
except OSError: pass
print(n)
"""
    assert int(said(box, program)) <= PROCESSES + 1


def test_files_are_limited(box):
    program = "f = open('a', 'wb')\nfor n in range(99): f.write(bytes(2**20))"
    assert "Error" in said(box, program) or "limit" in said(box, program)


def test_memory_of_all_processes_is_limited(box):
    program = """
import os, time
for n in range(6):
    if not os.fork(): a = b'x' * 2**27; time.sleep(60)
time.sleep(60)
"""
    with box.started([ladder.python(), "-c", program]) as running:

        def watch():
            for _ in range(600):
                running.watch()
                time.sleep(0.1)

        with pytest.raises(Over, match="memory"):
            watch()


def test_nothing_outlives_a_box(box):
    program = """
import os, signal, time
for n in (15, 1, 2): signal.signal(n, signal.SIG_IGN)
if not os.fork():
    os.setsid()
    if os.fork(): os._exit(0)
    os.execv('/usr/bin/sleep', ['sleep', '54321'])
print('in', flush=True)
time.sleep(60)
"""
    with box.started([ladder.python(), "-c", program]) as running:
        running.process.stdout.read(2)
    names = [p.info["cmdline"] for p in psutil.process_iter(["cmdline"]) if p.info["cmdline"]]
    assert ["sleep", "54321"] not in names


def test_two_boxes_do_not_count_each_others_processes(box):
    program = """
import os, time
for n in range(40):
    if not os.fork(): time.sleep(60)
print(1, flush=True)
time.sleep(60)
"""
    with box.started([ladder.python(), "-c", program]) as one:
        assert one.process.stdout.read(1) == b"1"
        with box.started([ladder.python(), "-c", program]) as other:
            assert other.process.stdout.read(1) == b"1", other.says()


def test_without_a_sandbox_one_must_ask_for_it(tmp_path, monkeypatch):
    monkeypatch.setattr(ladder, "_missing", lambda rung: "it is not here")
    with pytest.raises(UserError, match="--unsafe"):
        climb(tmp_path, unsafe=False)
    assert climb(tmp_path, unsafe=True)[0] is NONE


def test_where_files_are_not_hidden_the_answers_must_be_closed(tmp_path, monkeypatch):
    monkeypatch.setattr(ladder.places, "TOP", tmp_path)
    monkeypatch.setattr(Path, "parents", property(lambda self: [tmp_path]))
    for name in ("solutions", "attncourse"):
        (tmp_path / name).mkdir()
        (tmp_path / name).chmod(0o700)
    tmp_path.chmod(0o755)
    assert ladder._shown(USER) == ""
    (tmp_path / "solutions").chmod(0o755)
    assert "chmod" in ladder._shown(USER)
    assert ladder._shown(BUBBLEWRAP) == ladder._shown(LANDLOCK) == ""
    tmp_path.chmod(0o700)
    assert ladder._shown(USER) == ""


def test_the_filter_is_whole_instructions():
    for machine in ("x86_64", "aarch64"):
        assert len(seccomp.program(machine)) % 8 == 0
    assert seccomp.program("unknown") is None


def test_a_tree_is_walked_around_its_holes(tmp_path):
    for name in ("a/x", "a/hole/y", "b"):
        (tmp_path / name).mkdir(parents=True)
    found = list(ladder.without(str(tmp_path), [str(tmp_path / "a" / "hole")]))
    assert found == [str(tmp_path / "a" / "x"), str(tmp_path / "b")]
