"""Kernels in C: compiled once for this machine and kept; without a compiler, done without.

A kernel is built on its first use, in some seconds, into the user's cache folder, under a name
that depends on its source, the compiler, the flags and the processor, and on what came out:
what was cut off or exchanged is not loaded but built again. Whatever goes wrong is tried once
in a process; then the caller computes without, which `say` says once.

    ATTNCOURSE_NATIVE=0           no kernels
    CC                            a compiler, with what else it is called with
    ATTNCOURSE_COMPILE_SECONDS    how long the compiler may take, 60 if not given
    ATTNCOURSE_VECTOR_BYTES       16, 32 or 64, instead of what the processor has: see vectors.h
"""

import ctypes
import hashlib
import os
import platform
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import warnings
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from time import monotonic

import torch

HERE = Path(__file__).parent
SWITCH = "ATTNCOURSE_NATIVE"
SECONDS, PATIENCE = "ATTNCOURSE_COMPILE_SECONDS", 60.0
WIDTH = "ATTNCOURSE_VECTOR_BYTES"
FLAGS = ("-O3", "-std=gnu11", "-fPIC", "-shared", "-fno-math-errno", "-Wno-psabi")
OPTIONAL = (("-march=native", "-fopenmp"), ("-march=native",), ())  # the first that works
FUNCTIONS = (
    "forward_float",
    "forward_double",
    "backward_float",
    "backward_double",
    "vector_bytes",
)


class NoKernel(Exception):
    """Why there is no native kernel here, in one line. `wished`: because nobody wants one."""

    def __init__(self, why: str, wished: bool = False):
        super().__init__(why)
        self.wished = wished


def library(name: str) -> ctypes.CDLL:
    """The compiled `name.c` of this folder. Raises NoKernel, with the reason, at every call."""
    with _lock:
        found = _found(name)
    if isinstance(found, NoKernel):
        raise NoKernel(str(found), found.wished)  # the kept one would collect tracebacks
    return found


@torch.compiler.assume_constant_result  # torch.compile asks once and does not look inside
def available(name: str) -> str:
    """ "" where the kernel is there or could be built, else why not."""
    try:
        library(name)
    except NoKernel as why:
        return str(why)
    return ""


@torch.compiler.assume_constant_result
def say(name: str) -> None:
    """Warns, once in a process, that there is no such kernel and why; not where the user turned
    them off."""
    with _lock:
        found = _found(name)
    if isinstance(found, NoKernel) and not found.wished and name not in _said:
        _said.add(name)
        warnings.warn(
            f"no native kernel {name}: {found}. What is computed is the same, and slower;"
            f" {SWITCH}=0 if that is as it should be",
            RuntimeWarning,
            stacklevel=2,
        )


def vector_bytes(name: str) -> int:
    """How long the vectors of this kernel are, in bytes. Raises NoKernel without one."""
    return library(name).vector_bytes()


def forget() -> None:
    """What was found and said in this process."""
    _found.cache_clear()
    _said.clear()


_lock, _said = threading.RLock(), set()


@cache
def _found(name: str) -> ctypes.CDLL | NoKernel:
    """The library, or why there is none: either is kept."""
    try:
        return _build(name)
    except NoKernel as why:
        return why
    except Exception as error:  # of a machine that we know nothing of: done without
        return NoKernel(f"{type(error).__name__}: {error}")


def _build(name: str) -> ctypes.CDLL:
    if os.environ.get(SWITCH) == "0":
        raise NoKernel(f"{SWITCH}=0 turns the native kernels off", wished=True)
    source, compiler, until = HERE / f"{name}.c", _compiler(), monotonic() + _seconds()
    problem = ""
    for more in OPTIONAL:
        flags = (*FLAGS, *_width(), *more)
        built, problem = _built(source, compiler, flags, until)
        if built is not None:
            return built
    raise NoKernel(f"{shlex.join(compiler)} cannot compile {source.name}: {problem}")


def _compiler() -> list[str]:
    for name in (os.environ.get("CC"), "cc", "gcc", "clang"):
        words = shlex.split(name) if name else []
        if words and (found := shutil.which(words[0])):
            return [found, *words[1:]]
    raise NoKernel("no C compiler (cc, gcc or clang, or the one that CC names)")


def _seconds() -> float:
    said = os.environ.get(SECONDS) or PATIENCE
    try:
        return float(said)
    except ValueError:
        raise NoKernel(f"{SECONDS}={said} is no number of seconds") from None


def _width() -> tuple[str, ...]:
    said = os.environ.get(WIDTH)
    if not said:
        return ()
    if said not in ("16", "32", "64"):
        raise NoKernel(f"{WIDTH}={said} is none of 16, 32 and 64")
    return (f"-D{WIDTH}={said}",)


def _built(
    source: Path, compiler: list[str], flags: tuple[str, ...], until: float
) -> tuple[ctypes.CDLL | None, str]:
    """The library, from a cache or fresh; None and the compiler's last word if it fails."""
    start, problem = f"{source.stem}-{_digest(source, compiler, flags)}-", ""
    for folder in _folders():
        try:
            _own(folder)
            for path in sorted(folder.glob(f"{start}*.so")):
                if found := _loaded(path):
                    return found, ""
            path, problem = _compile(source, [*compiler, *flags], folder, start, until)
            if path is None:
                return None, problem
            if found := _loaded(path):
                return found, ""
            problem = f"what it made in {folder} cannot be loaded"
        except OSError as error:  # a folder that cannot be written, or a full disk
            problem = str(error)
    return None, problem


def _loaded(path: Path) -> ctypes.CDLL | None:
    """The library of this file, if it is ours and whole; else the file is removed. Its name
    ends with the digest of what is in it: one that was cut off would end the process."""
    there = path.lstat()
    whole = path.is_file() and not path.is_symlink() and _mine(there, others=0o022)
    if whole and hashlib.sha256(path.read_bytes()).hexdigest() == path.stem.split("-")[-1]:
        try:
            found = ctypes.CDLL(str(path))
            if all(hasattr(found, name) for name in FUNCTIONS):
                return found
        except OSError:  # nothing may run from this folder
            pass
    path.unlink(missing_ok=True)
    return None


def _compile(
    source: Path, command: list[str], folder: Path, start: str, until: float
) -> tuple[Path | None, str]:
    """Compile into a file, then rename: another process never sees half of it."""
    handle, part = tempfile.mkstemp(suffix=".part", dir=folder)
    os.close(handle)
    try:
        failed, said = _run([*command, str(source), "-o", part, "-lm"], until)
        if "No space left" in said:
            raise OSError(f"no space left in {folder}, or for temporary files")
        if failed:
            lines = [line for line in said.splitlines() if "error" in line] or said.splitlines()
            return None, lines[0].strip() if lines else "it fails without a word"
        os.chmod(part, 0o700)
        made = hashlib.sha256(Path(part).read_bytes()).hexdigest()
        path = folder / f"{start}{made}.so"
        os.replace(part, path)
        return path, ""
    finally:
        Path(part).unlink(missing_ok=True)


def _run(command: list[str], until: float) -> tuple[int, str]:
    """How the compiler ends and what it says. When time is up, it and all that it started end
    too: raises NoKernel."""
    run = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    try:
        said = run.communicate(timeout=max(0.0, until - monotonic()))[1]
        return run.returncode, said
    except subprocess.TimeoutExpired:
        _end(run)
        raise NoKernel(f"{command[0]} takes longer than {_seconds():g} s ({SECONDS})") from None
    except BaseException:
        _end(run)
        raise


def _end(run: subprocess.Popen) -> None:
    """It and what it started, which would hold on to its output."""
    try:
        if hasattr(os, "killpg"):
            os.killpg(run.pid, signal.SIGKILL)
        else:
            run.kill()
    except ProcessLookupError:
        pass
    run.communicate()


def _folders() -> Iterator[Path]:
    """Where to keep it: the user's cache, else a folder of this user's for temporary files."""
    try:
        if sys.platform == "darwin":
            yield Path.home() / "Library" / "Caches" / "attncourse"
        else:
            named = os.environ.get("XDG_CACHE_HOME") or ""
            absolute = os.path.isabs(named)
            yield (Path(named) if absolute else Path.home() / ".cache") / "attncourse"
    except RuntimeError:  # nobody knows where this user's home is
        pass
    user = os.getuid() if hasattr(os, "getuid") else "user"
    yield Path(tempfile.gettempdir()) / f"attncourse-{user}"


def _own(folder: Path) -> None:
    """Makes the folder, for this user alone. Raises OSError where it is somebody else's: what
    is in it could be anything."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    there = folder.lstat()
    if folder.is_symlink() or not _mine(there):
        raise OSError(f"{folder} belongs to somebody else")
    if hasattr(os, "getuid") and there.st_mode & 0o077:
        folder.chmod(0o700)  # what others put into it is not ours, and _loaded looks


def _mine(there: os.stat_result, others: int = 0) -> bool:
    """Whether it is this user's, and none of these rights are given to others."""
    if not hasattr(os, "getuid"):
        return True
    return there.st_uid == os.getuid() and not there.st_mode & others


def _digest(source: Path, compiler: list[str], flags: tuple[str, ...]) -> str:
    texts = [path.read_text() for path in (source, *sorted(HERE.glob("*.h")))]
    which = os.stat(compiler[0])  # follows links: another compiler has another size or date
    which = f"{os.path.realpath(compiler[0])} {which.st_size} {which.st_mtime_ns}"
    parts = (*texts, which, *compiler[1:], *flags, platform.machine(), _processor())
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _processor() -> str:
    """What -march=native stands for: on Linux the model and its features."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    keep = ("model name", "flags", "Features", "CPU part")
    return "".join(sorted({line for line in lines if line.startswith(keep)}))
