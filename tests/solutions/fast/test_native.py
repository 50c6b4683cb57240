"""Building kernels on somebody's machine: whatever is wrong there is tried once, said once, and
what is computed is right without them."""

import os
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from solutions import stand_alone
from solutions.fast import StandAloneSelfAttention2d, local, native

TINY = "".join(f"int {name}(void) {{ return 7; }}\n" for name in native.FUNCTIONS)
REAL = next(filter(None, map(native.shutil.which, ("cc", "gcc", "clang"))), None)
needs_compiler = pytest.mark.skipif(REAL is None, reason="no C compiler")


@pytest.fixture
def there(monkeypatch, tmp_path):
    """A machine with one small kernel, `tiny`, nothing loaded yet, and an empty cache."""
    source, home, temporary = (tmp_path / name for name in ("source", "home", "temporary"))
    for folder in (source, home, temporary):
        folder.mkdir()
    (source / "tiny.c").write_text(TINY)
    monkeypatch.setattr(native, "HERE", source)
    monkeypatch.setattr(native.tempfile, "gettempdir", lambda: str(temporary))
    monkeypatch.setenv("XDG_CACHE_HOME", str(home))
    for name in (native.SWITCH, native.WIDTH, "CC"):
        monkeypatch.delenv(name, raising=False)
    native.forget()
    yield tmp_path
    native.forget()


@pytest.fixture
def compiler(there, monkeypatch):
    """Makes a compiler of a few lines of shell; it notes each call. `calls()` counts them."""

    def make(script: str):
        path, log = there / "cc", there / "calls"
        path.write_text(f'#!/bin/sh\necho call >> "{log}"\n{script}\n')
        path.chmod(0o755)
        monkeypatch.setenv("CC", str(path))
        return lambda: len(log.read_text().splitlines()) if log.exists() else 0

    return make


def libraries(folder):
    return sorted(folder.rglob("*.so"))


@needs_compiler
def test_it_is_compiled_once_and_nothing_else_is_left(there, compiler):
    calls = compiler(f'exec {REAL} "$@"')
    assert native.library("tiny").forward_float() == 7
    files = [path for path in (there / "home").rglob("*") if path.is_file()]
    assert files == libraries(there)
    assert len(files) == 1
    assert files[0].parent.stat().st_mode & 0o777 == 0o700
    native.forget()  # as another process
    assert native.available("tiny") == ""
    assert calls() == 1


def test_without_a_compiler_one_is_told_so(there, monkeypatch):
    monkeypatch.setattr(native.shutil, "which", lambda name: None)
    assert native.available("tiny").startswith("no C compiler")


FAILS = "echo 'tiny.c:1: error: no such thing' >&2\nexit 1"


def test_a_compiler_that_fails_is_quoted_and_not_asked_again(there, compiler):
    calls = compiler(FAILS)
    for _ in range(5):
        assert "tiny.c: tiny.c:1: error: no such thing" in native.available("tiny")
    assert calls() == len(native.OPTIONAL)


@needs_compiler
def test_a_linker_that_fails_is_not_asked_again(there, compiler):
    calls = compiler(f'exec {REAL} "$@" -lnot-installed')
    for _ in range(5):
        assert "cannot compile tiny.c" in native.available("tiny")
    assert calls() == len(native.OPTIONAL)
    assert not [path for path in (there / "home").rglob("*") if path.is_file()]


def test_a_compiler_that_hangs_is_ended_with_all_that_it_started(there, compiler, monkeypatch):
    monkeypatch.setenv(native.SECONDS, "0.5")
    calls = compiler(f"sh -c 'echo $$ > {there}/child; exec sleep 86400'")
    assert "takes longer than 0.5 s (ATTNCOURSE_COMPILE_SECONDS)" in native.available("tiny")
    assert native.available("tiny")
    assert calls() == 1
    child = int((there / "child").read_text())
    for _ in range(100):  # until its new parent has heard of it
        state = Path(f"/proc/{child}/stat")
        if not state.exists() or state.read_text().split()[2] == "Z":
            break
        time.sleep(0.05)
    else:
        pytest.fail("the compiler's child still runs")


def test_a_compiler_that_says_nothing_and_makes_nothing(there, compiler):
    compiler("exit 3")
    assert "it fails without a word" in native.available("tiny")
    native.forget()
    compiler("exit 0")  # the file that was to be filled stays empty
    assert "cannot be loaded" in native.available("tiny")
    assert not libraries(there)


def test_what_is_no_library_is_not_kept(there, compiler):
    compiler('for last; do :; done; while [ "$1" != -o ]; do shift; done; echo no > "$2"')
    assert "cannot be loaded" in native.available("tiny")
    assert not libraries(there)


def test_a_full_disk_is_told(there, compiler):
    calls = compiler("echo 'fatal error: writing: No space left on device' >&2; exit 1")
    for _ in range(3):
        assert "no space left in" in native.available("tiny")
    assert calls() == 2 * len(native.OPTIONAL)  # in two folders


@needs_compiler
def test_a_cache_that_cannot_be_written_is_done_without(there):
    (there / "home" / "attncourse").write_text("a file where the folder should be")
    assert native.available("tiny") == ""
    assert libraries(there / "temporary")


@needs_compiler
def test_a_user_without_a_home_has_a_temporary_one(there, monkeypatch):
    def unknown():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(native.Path, "home", unknown)
    monkeypatch.setenv("XDG_CACHE_HOME", "not/absolute")
    assert native.available("tiny") == ""
    assert libraries(there / "temporary")


@needs_compiler
def test_where_nothing_may_run_it_is_kept_elsewhere(there, monkeypatch):
    load = native.ctypes.CDLL

    def refuse(path):
        if str(there / "home") in path:
            raise OSError("failed to map segment from shared object")
        return load(path)

    monkeypatch.setattr(native.ctypes, "CDLL", refuse)
    assert native.library("tiny").forward_float() == 7
    assert libraries(there / "temporary")
    assert not libraries(there / "home")


@needs_compiler
def test_no_folder_at_all_is_told(there, monkeypatch):
    (there / "home" / "attncourse").write_text("")
    monkeypatch.setattr(native.tempfile, "gettempdir", lambda: "/proc/nowhere")
    assert "cannot compile tiny.c: [Errno" in native.available("tiny")


@needs_compiler
def test_a_library_in_a_folder_of_somebody_else_is_not_loaded(there, monkeypatch):
    assert native.available("tiny") == ""
    native.forget()
    monkeypatch.setattr(native.os, "getuid", lambda: 12345)
    monkeypatch.setattr(native.tempfile, "gettempdir", lambda: str(there / "home"))
    (there / "home" / "attncourse-12345").symlink_to(there / "home" / "attncourse")
    assert "belongs to somebody else" in native.available("tiny")


@needs_compiler
def test_a_folder_that_is_a_link_is_not_ours(there):
    elsewhere = there / "elsewhere"
    elsewhere.mkdir()
    (there / "home" / "attncourse").symlink_to(elsewhere)
    assert native.available("tiny") == ""
    assert not libraries(elsewhere)
    assert libraries(there / "temporary")


@needs_compiler
def test_an_open_folder_of_ones_own_is_closed(there, compiler):
    calls = compiler(f'exec {REAL} "$@"')
    assert native.available("tiny") == ""
    folder = there / "home" / "attncourse"
    folder.chmod(0o777)
    native.forget()
    assert native.available("tiny") == ""
    assert folder.stat().st_mode & 0o777 == 0o700
    assert calls() == 1
    (built,) = libraries(folder)
    built.chmod(0o666)  # anybody could have written to it
    native.forget()
    assert native.available("tiny") == ""
    assert calls() == 2


@needs_compiler
@pytest.mark.parametrize("spoil", ["cut off", "exchanged", "of nothing", "named alike"])
def test_what_is_not_what_was_built_is_built_again(there, compiler, spoil):
    calls = compiler(f'exec {REAL} "$@"')
    assert native.available("tiny") == ""
    (built,) = libraries(there)
    whole = built.read_bytes()
    built.unlink()  # this process has it open
    if spoil == "named alike":  # a library, and not ours
        other, name = there / "other.c", built.stem.rsplit("-", 1)[0]
        other.write_text("int nothing;\n")
        subprocess.run([REAL, "-shared", "-fPIC", other, "-o", there / "other.bin"], check=True)
        spoiled = (there / "other.bin").read_bytes()
        digest = native.hashlib.sha256(spoiled).hexdigest()
        built.with_name(f"{name}-{digest}.so").write_bytes(spoiled)
    else:
        change = whole[:4096] if spoil == "cut off" else whole.replace(b"\x07", b"\x08", 1)
        built.write_bytes(b"" if spoil == "of nothing" else change)
    native.forget()
    assert native.library("tiny").forward_float() == 7
    assert calls() == 2
    assert [path.read_bytes() for path in libraries(there)] == [whole]


@needs_compiler
def test_two_processes_at_once_both_have_it(there, compiler):
    compiler(f'sleep 0.5; exec {REAL} "$@"')
    program = (
        "import pathlib, sys; from solutions.fast import native;"
        f"native.HERE = pathlib.Path({str(native.HERE)!r});"
        "print(native.library('tiny').forward_float())"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", program]
    runs = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    assert [run.communicate()[0] for run in runs] == ["7\n", "7\n"]
    assert not [path for path in (there / "home").rglob("*.part")]
    assert native.available("tiny") == ""


def test_the_kernels_can_be_turned_off(there, monkeypatch):
    monkeypatch.setenv(native.SWITCH, "0")
    assert "ATTNCOURSE_NATIVE=0" in native.available("tiny")
    native.say("tiny")  # nobody needs to be told


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        (native.WIDTH, "48", "ATTNCOURSE_VECTOR_BYTES=48 is none of 16, 32 and 64"),
        (native.SECONDS, "long", "ATTNCOURSE_COMPILE_SECONDS=long is no number of seconds"),
    ],
)
def test_a_wish_that_cannot_be_met_is_told(there, monkeypatch, compiler, name, value, told):
    compiler(FAILS)
    monkeypatch.setenv(name, value)
    assert native.available("tiny") == told


@needs_compiler
def test_the_compiler_is_told_how_long_vectors_are_and_what_else(there, monkeypatch):
    asks = "#if ATTNCOURSE_VECTOR_BYTES != 16 || !MORE\n#error not told\n#endif\n"
    (native.HERE / "tiny.c").write_text(asks + TINY)
    monkeypatch.setenv("CC", f"{REAL} -DMORE=1")
    assert "not told" in native.available("tiny")
    native.forget()
    monkeypatch.setenv(native.WIDTH, "16")
    assert native.available("tiny") == ""


def test_what_nobody_foresaw_is_done_without(there, monkeypatch, compiler):
    compiler(FAILS)
    monkeypatch.setattr(native, "_digest", lambda *given: 1 / 0)
    assert native.available("tiny") == "ZeroDivisionError: division by zero"


def test_auto_says_once_why_it_is_slower_and_is_right(there, compiler):
    (native.HERE / "local.c").write_text("")
    calls = compiler(FAILS.replace("tiny", "local"))
    layer = StandAloneSelfAttention2d(8, heads=2, window=3)
    x = torch.randn(2, 8, 5, 6)
    with pytest.warns(RuntimeWarning, match="no native kernel local: .* no such thing") as said:
        results = [layer(x) for _ in range(3)]
    assert len(said) == 1
    assert calls() == len(native.OPTIONAL)
    assert layer.runs(x) == "blocked"
    for result in results:
        assert_close(result, stand_alone.StandAloneSelfAttention2d.forward(layer, x))


def test_nobody_is_told_of_a_kernel_that_would_not_be_taken(there, compiler):
    (native.HERE / "local.c").write_text("")
    calls = compiler(FAILS)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert local.choose(torch.empty(1, 2, 4, 5, 6), 33) == "blocked"
        assert local.choose(torch.empty(1, 2, 4, 5, 6, device="meta"), 3) == "blocked"
    assert calls() == 0
