"""Kernels in C: compiled once for this machine and kept; without a compiler, done without.

A kernel is built on its first use, in about two seconds, into the user's cache folder, under a
name that depends on its source, the compiler, the flags and the processor.
`ATTNCOURSE_NATIVE=0` turns them off, `CC` names a compiler.
"""

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

HERE = Path(__file__).parent
SWITCH = "ATTNCOURSE_NATIVE"
FLAGS = ("-O3", "-std=gnu11", "-fPIC", "-shared", "-fno-math-errno", "-Wno-psabi")
OPTIONAL = (("-march=native", "-fopenmp"), ("-march=native",), ())  # the first that works


class NoKernel(Exception):
    """Why there is no native kernel here, in one line."""


@cache
def library(name: str) -> ctypes.CDLL:
    """The compiled `name.c` of this folder. Raises NoKernel, with the reason, at every call."""
    if os.environ.get(SWITCH) == "0":
        raise NoKernel(f"{SWITCH}=0 turns the native kernels off")
    source, compiler = HERE / f"{name}.c", _compiler()
    problem = ""
    for more in OPTIONAL:
        built, problem = _built(source, compiler, (*FLAGS, *more))
        if built is not None:
            return built
    raise NoKernel(f"{compiler} cannot compile {source.name}: {problem}")


def available(name: str) -> str:
    """ "" where the kernel is there or could be built, else why not."""
    try:
        library(name)
    except NoKernel as why:
        return str(why)
    return ""


def _compiler() -> str:
    names = (os.environ.get("CC"), "cc", "gcc", "clang")
    found = next(filter(None, map(shutil.which, filter(None, names))), None)
    if found is None:
        raise NoKernel("no C compiler (cc, gcc or clang, or the one that CC names)")
    return found


def _built(
    source: Path, compiler: str, flags: tuple[str, ...]
) -> tuple[ctypes.CDLL | None, str]:
    """The library, from the cache or fresh; None and the compiler's last word if it fails."""
    name = f"{source.stem}-{_digest(source, compiler, flags)}.so"
    for folder in _folders():
        path = folder / name
        try:
            if folder.is_dir() and not _ours(folder):
                problem = f"{folder} belongs to somebody else"
                continue
            if not path.is_file():
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                problem = _compile(source, compiler, flags, path)
                if problem:
                    return None, problem
            return ctypes.CDLL(str(path)), ""
        except OSError as error:  # a folder that cannot be written, or nothing may run from it
            problem = str(error)
    return None, problem


def _compile(source: Path, compiler: str, flags: tuple[str, ...], to: Path) -> str:
    """Compile into a file beside `to`, then rename: another process never sees half of it."""
    handle, part = tempfile.mkstemp(suffix=".so", dir=to.parent)
    os.close(handle)
    try:
        command = [compiler, *flags, str(source), "-o", part, "-lm"]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace")
        if done.returncode:
            said = [line for line in done.stderr.splitlines() if "error" in line] or ["failed"]
            return said[0].strip()
        os.replace(part, to)
        return ""
    finally:
        Path(part).unlink(missing_ok=True)


def _folders() -> tuple[Path, ...]:
    """Where to keep it: the user's cache, else a folder of this user's for temporary files."""
    if sys.platform == "darwin":
        cache_home = Path.home() / "Library" / "Caches"
    else:
        cache_home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    user = os.getuid() if hasattr(os, "getuid") else "user"
    return cache_home / "attncourse", Path(tempfile.gettempdir()) / f"attncourse-{user}"


def _ours(folder: Path) -> bool:
    """Whether nobody else can have put a library there."""
    there = folder.stat()
    return not hasattr(os, "getuid") or (
        there.st_uid == os.getuid() and not there.st_mode & 0o022
    )


def _digest(source: Path, compiler: str, flags: tuple[str, ...]) -> str:
    version = subprocess.run([compiler, "--version"], capture_output=True, text=True).stdout
    texts = [path.read_text() for path in (source, *sorted(HERE.glob("*.h")))]
    parts = (*texts, version, *flags, platform.machine(), _processor())
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _processor() -> str:
    """What -march=native stands for: on Linux the model and its features."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    keep = ("model name", "flags", "Features", "CPU part")
    return "".join(sorted({line for line in lines if line.startswith(keep)}))
