"""Where the learner's answers are kept: one file each, earlier versions beside it.

    work/mine/channel/squeeze_excite.py                     the one that is used
    work/mine/channel/squeeze_excite.2026-11-30-185212.py   the one before, by when it went

A file opens with the id of its exercise, when it passed, and a digest of what follows.
"""

import errno
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from types import ModuleType

from attncourse.files import write_whole

FOLDER = "mine"
HEAD = '"""{id}, as it passed on {passed}.\n\nsha256 of what follows: {digest}\n"""\n\n'
READ = re.compile(
    r'"""(?P<id>\S+), as it passed on (?P<passed>[^\n]*)\.\n\n'
    r'sha256 of what follows: (?P<digest>\w+)\n"""\n\n(?P<body>.*)',
    re.DOTALL,
)
PATIENCE = 10  # seconds for another notebook that keeps an answer


class Unusable(Exception):
    """A kept file that cannot be used, and why, in a few words."""


@dataclass(frozen=True)
class Kept:
    """A kept answer: its exercise, its file, when it passed, and the code below the head.

    changed  whether somebody has written in the file since
    """

    id: str
    path: Path
    passed: str
    body: str
    changed: bool


def path_of(work: Path, id: str) -> Path:
    """Where the answer to an exercise is kept."""
    chapter, _, name = id.partition(".")
    return work / FOLDER / chapter / f"{name}.py"


def kept(work: Path | None, id: str) -> Kept | None:
    """The kept answer to an exercise, if there is one. Raises Unusable, OSError."""
    path = work and path_of(work, id)
    if not path or not path.is_file():
        return None
    try:
        found = READ.fullmatch(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError:
        found = None
    if not found or found["id"] != id:
        raise Unusable(f"it does not begin with `{id}, as it passed on …`")
    changed = _digest(found["body"]) != found["digest"]
    return Kept(id, path, found["passed"], found["body"], changed)


def put(work: Path, id: str, body: str, now: datetime | None = None) -> Path | None:
    """Keep an answer, whole or not at all; returns where the one before it is now, if any.

    The same body once more changes nothing. Raises OSError.
    """
    from filelock import FileLock  # not with every notebook's first import

    now, path = now or datetime.now(), path_of(work, id)
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(work / FOLDER / ".lock", timeout=PATIENCE):
        try:
            before = kept(work, id)
        except Unusable:
            before = None
        if before and not before.changed and before.body == body:
            return None
        older = _copy(path, now) if path.is_file() else None
        head = HEAD.format(id=id, passed=f"{now:%Y-%m-%d at %H:%M}", digest=_digest(body))
        write_whole(path, (head + body).encode())
    return older


def earlier(work: Path, id: str) -> list[Path]:
    """The versions that were kept before, oldest first."""
    path = path_of(work, id)
    return sorted(path.parent.glob(f"{path.stem}.*-*-*-*.py"), key=lambda one: one.stem)


def loaded(text: str, path: Path, module: str, name: str):
    """What the code of a kept file calls `name`. Raises Unusable if it cannot be had.

    The code runs; nothing is written beside it.
    """
    made = ModuleType(module)
    made.__file__ = str(path)
    try:
        exec(compile(text, str(path), "exec"), vars(made))
    except Exception as error:
        first, *_ = [*str(error).splitlines(), ""]
        raise Unusable(f"{type(error).__name__}: {first}") from error
    if not callable(found := getattr(made, name, None)):
        raise Unusable(f"it defines no `{name}`")
    return found


def modules(work: Path) -> Iterator[Path]:
    """Every kept file that is used, of whatever exercise."""
    for path in sorted((work / FOLDER).glob("*/*.py")):
        if path.stem.isidentifier():
            yield path


def _digest(body: str) -> str:
    return sha256(body.encode()).hexdigest()


def _copy(path: Path, now: datetime) -> Path:
    """A copy of a file beside it, under a dated name that no file has yet."""
    stamp, count = f"{path.stem}.{now:%Y-%m-%d-%H%M%S}", 1
    while True:
        name = f"{stamp}{f'-{count}' if count > 1 else ''}{path.suffix}"
        copy = path.with_name(name)
        try:
            os.close(os.open(copy, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        except OSError as error:
            if error.errno != errno.EEXIST:
                raise
            count += 1
        else:
            shutil.copyfile(path, copy)
            return copy
