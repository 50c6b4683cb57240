"""The rungs: what each holds off, how a program is started on it, and which works here."""

import importlib.util
import json
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from attncourse import places
from attncourse.classroom.sandbox import landlock
from attncourse.errors import UserError

HERE = Path(__file__).parent
LIBRARIES = "torch", "numpy", "scipy", "einops", "jaxtyping", "IPython", "matplotlib", "psutil"
SYSTEM = (
    "/usr",
    "/lib",
    "/lib64",
    "/bin",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/etc/alternatives",
)
DEVICES = "/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"
TEMPORARY, SHARED = 64 * 2**20, 16 * 2**20  # bytes of /tmp, of /dev/shm
TRIED = 60.0  # seconds for a rung to show that it works


@dataclass(frozen=True)
class Rung:
    """One rung. `holds`: what it holds off, as reports say it; `own_files`: whether it brings a
    file system of its own; `ends`: whether nothing outlives it by itself."""

    name: str
    holds: str
    own_files: bool = False
    ends: bool = False


BUBBLEWRAP = Rung(
    "bubblewrap",
    "a file system of its own, without the course's answers and without anybody's files; no "
    "network; no other processes",
    own_files=True,
    ends=True,
)
LANDLOCK = Rung(
    "landlock",
    "no files but Python's and its own; no network; no signals to other processes, whose names "
    "it can see",
)
USER = Rung(
    "user",
    "the rights of a user who owns nothing, and no network; it can read what everybody on this "
    "machine can read",
)
NONE = Rung("none", "nothing: the notebooks could do what you can do")
LADDER = BUBBLEWRAP, LANDLOCK, USER


# ---------------------------------------------------------------- what Python needs


def administrator() -> bool:
    """Whether this is root, who must not run what strangers wrote."""
    return hasattr(os, "geteuid") and not os.geteuid()


def python() -> str:
    return os.path.abspath(sys.executable)


@cache
def trees() -> tuple[str, ...]:
    """The folders in which Python and its libraries lie."""
    found = [sys.prefix, sys.base_prefix, os.path.dirname(os.path.realpath(sys.executable))]
    for name in LIBRARIES:
        spec = importlib.util.find_spec(name)
        if spec and spec.origin:
            found.append(str(Path(spec.origin).parents[1]))
    kept: list[str] = []
    for one in sorted({os.path.abspath(p) for p in found}, key=len):
        if not any(Path(one).is_relative_to(other) for other in (*kept, *SYSTEM)):
            kept.append(one)
    return tuple(kept)


@cache
def sites() -> tuple[str, ...]:
    """The folders outside of the prefix from which libraries are imported."""
    usual = {p for p in sys.path if p.startswith((sys.prefix, sys.base_prefix))}
    specs = [importlib.util.find_spec(name) for name in LIBRARIES]
    found = {str(Path(s.origin).parents[1]) for s in specs if s and s.origin}
    return tuple(sorted(found - usual))


@cache
def hidden() -> tuple[str, ...]:
    """What of the course lies within these folders and must not be seen."""
    near = {places.TOP, *(Path(p) for p in sys.path if "-packages" in p)}
    names = "solutions", "attncourse", "notebooks", "tests", ".git"
    found = {str(p / name) for p in near for name in names if (p / name).exists()}
    shown = [Path(one) for one in (*trees(), *SYSTEM)]
    return tuple(sorted(p for p in found if any(Path(p).is_relative_to(one) for one in shown)))


def without(tree: str, holes: Sequence[str]) -> Iterator[str]:
    """The parts of a tree that hold none of these."""
    within = [hole for hole in holes if Path(hole).is_relative_to(tree)]
    if tree in within:
        return
    if not within:
        yield tree
    elif os.path.isdir(tree):
        for name in sorted(os.listdir(tree)):
            yield from without(os.path.join(tree, name), within)


# ---------------------------------------------------------------- how a program is started


def command(
    rung: Rung,
    program: Sequence[str],
    stage: Path,
    scratch: Path,
    limits: dict,
    uid: int | None,
) -> list[str]:
    """The command that runs a program on a rung.

    stage    the folder that the program may read, as /course where there is an own file system
    scratch  the folder in which it may write, where there is none
    uid      the user that it becomes; None where it stays who it is
    """
    plan = {"limits": limits, "uid": uid}
    if rung is NONE:
        return list(program)
    if rung is not BUBBLEWRAP:
        plan["keep"] = True
        if rung is LANDLOCK:
            system = ("/proc", "/sys/devices/system", *SYSTEM, *trees())
            plan["landlock"] = True
            plan["look"] = [*SYSTEM, *trees()]
            plan["read"] = [
                *(part for one in system for part in without(one, hidden())),
                str(stage),
            ]
            plan["write"] = [str(scratch), *DEVICES]
        confine = str(stage / "sandbox" / "confine.py")
        return [python(), "-I", "-S", confine, json.dumps(plan), *program]
    return [
        *_bubble(stage, uid),
        *(python(), "-I", "-S", "/course/sandbox/confine.py", json.dumps(plan)),
        *program,
    ]


def _bubble(stage: Path, uid: int | None) -> list[str]:
    """bubblewrap with a file system in which lie Python and the stage. What is mounted over
    comes first: a tmpfs hides what was bound before it."""
    parts = [
        shutil.which("bwrap") or "bwrap",
        "--unshare-ipc",
        "--unshare-pid",
        "--unshare-net",
    ]
    parts += ["--unshare-uts", "--unshare-cgroup-try", "--die-with-parent", "--new-session"]
    parts += ["--hostname", "sandbox", "--cap-drop", "ALL"]
    if uid is None:
        parts += ["--unshare-user"]
    else:  # until it has become that user
        parts += ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
    parts += ["--proc", "/proc", "--dev", "/dev"]
    for size, folder in ((TEMPORARY, "/tmp"), (SHARED, "/dev/shm")):
        parts += ["--perms", "1777", "--size", str(size), "--tmpfs", folder]
    bound = [*trees()]
    for one in SYSTEM:
        if os.path.islink(one):
            parts += ["--symlink", os.readlink(one), one]
        elif os.path.exists(one):
            bound.append(one)
    above = {str(p) for one in (*bound, *hidden()) for p in Path(one).parents}
    folders = sorted(above - {"/"} - {"/tmp", "/dev", "/proc"}, key=len)
    inside = [p for p in folders if not any(Path(p).is_relative_to(b) for b in bound)]
    for folder in inside:
        parts += ["--perms", "0755", "--dir", folder]
    for one in bound:
        parts += ["--ro-bind", one, one]
    for one in hidden():
        parts += ["--perms", "0000", "--tmpfs", one] if os.path.isdir(one) else []
    parts += ["--ro-bind", str(stage), "/course", "--chdir", "/tmp", "--remount-ro", "/", "--"]
    return parts


def folder_of(rung: Rung, stage: Path) -> str:
    """Where a program finds the stage."""
    return "/course" if rung.own_files else str(stage)


# ---------------------------------------------------------------- which rung works here


def climb(stage: Path, unsafe: bool) -> tuple[Rung, list[str]]:
    """The best rung that works here, and why those above it do not. Raises UserError where none
    does and `unsafe` was not asked for."""
    from attncourse.classroom.sandbox.box import Box

    wanted = os.environ.get("ATTNCOURSE_SANDBOX")  # begin further down, to try a rung
    names = [rung.name for rung in (*LADDER, NONE)]
    if wanted and wanted not in names:
        raise UserError(f"ATTNCOURSE_SANDBOX={wanted}: there are {', '.join(names)}.")
    why = []
    for rung in LADDER[names.index(wanted) if wanted else 0 :]:
        fault = _missing(rung) or _shown(rung) or Box(rung, stage).fault()
        if not fault:
            return rung, why
        why.append(f"{rung.name}: {fault}")
    if unsafe:
        return NONE, why
    raise UserError(
        f"no sandbox works here ({'; '.join(why) or 'none was to be tried'}). Install"
        " bubblewrap, or grade in a container that you throw away, with --unsafe."
    )


def _shown(rung: Rung) -> str:
    """Why a rung that hides no files would show the answers; "" where it does not."""
    for one in (places.TOP / "solutions", places.TOP / "attncourse") if rung is USER else ():
        ways = all(folder.stat().st_mode & 0o001 for folder in one.parents)
        if ways and one.is_dir() and one.stat().st_mode & 0o005:
            return f"other users may read the answers: chmod -R go-rwx {one}"
    return ""


def _missing(rung: Rung) -> str:
    """Why a rung need not be tried; "" where it may work."""
    if not sys.platform.startswith("linux"):
        return "it is for Linux"
    if rung is BUBBLEWRAP and not shutil.which("bwrap"):
        return "bwrap is not installed"
    if rung is LANDLOCK and not landlock.version():
        return "this kernel has none"
    if rung is USER and not administrator():
        return "only an administrator can become somebody else"
    if rung in (LANDLOCK, USER) and administrator():
        closed = [
            p for one in (os.path.realpath(python()), *trees()) for p in Path(one).parents
        ]
        for folder in sorted({p for p in closed if not p.stat().st_mode & 0o001}):
            return f"Python lies in {folder}, which other users may not enter"
    return ""
