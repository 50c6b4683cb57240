"""The learner's folder: filled from the course, never written over."""

import errno
import json
import os
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from pathlib import Path

from attncourse.errors import UserError
from attncourse.files import write_whole
from attncourse.places import MARK


def editions(folder: Path) -> dict[str, Path]:
    """The learner edition of every chapter by file name, in course order."""
    found = sorted(folder.glob("*.ipynb"))
    if not found:
        raise UserError(f"no notebooks in {folder}: build them with `attncourse build`.")
    return {path.name: path for path in found}


@dataclass
class Filled:
    """What `fill` did with each notebook, by file name."""

    added: list[str] = field(default_factory=list)
    same: list[str] = field(default_factory=list)  # there already, as the course has it
    yours: list[str] = field(default_factory=list)  # changed by the learner
    newer: list[str] = field(default_factory=list)  # the course has another edition by now


def fill(work: Path, folder: Path) -> Filled:
    """Copy the notebooks of a folder into `work`; a file that is there is left alone."""
    work.mkdir(exist_ok=True)
    handed, filled = _handed_out(work), Filled()
    for name, edition in editions(folder).items():
        data = edition.read_bytes()
        try:
            put_new(work / name, data)
        except FileExistsError:
            mine, course = _digest((work / name).read_bytes()), _digest(data)
            if mine == course:
                filled.same.append(name)
                handed[name] = course
            elif handed.get(name) == course:
                filled.yours.append(name)
            else:
                filled.newer.append(name)
        else:
            filled.added.append(name)
            handed[name] = _digest(data)
    _write_handed_out(work, handed)
    return filled


def reset(work: Path, folder: Path, name: str, now: datetime | None = None) -> Path | None:
    """Put a fresh copy of one notebook into `work`; returns where the old one is kept.

    The old one moves aside first, under a name with the date that no file has yet.
    """
    edition = editions(folder).get(name)
    if edition is None:
        raise UserError(f"no {name} in {folder}: build it with `attncourse build`.")
    data = edition.read_bytes()
    work.mkdir(exist_ok=True)
    mine = work / name
    kept = _keep(mine, now or datetime.now()) if mine.exists() else None
    try:
        put_new(mine, data)
    except OSError:
        if kept:
            os.rename(kept, mine)
        raise
    _write_handed_out(work, _handed_out(work) | {name: _digest(data)})
    return kept


def put_new(path: Path, data: bytes) -> None:
    """Write a file that must not be there yet, whole or not at all. Raises FileExistsError."""
    if os.path.lexists(path):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(data)
        _move_new(part, path)
    finally:
        part.unlink(missing_ok=True)


def _move_new(old: Path, new: Path) -> None:
    """Rename, but never onto a file."""
    if os.name == "nt":
        os.rename(old, new)  # refuses there
        return
    try:
        os.link(old, new)
    except FileExistsError:
        raise
    except OSError:  # a file system without links
        if os.path.lexists(new):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(new)) from None
        os.rename(old, new)
    else:
        old.unlink()


def _keep(path: Path, now: datetime) -> Path:
    """Move a file aside, under a dated name that is free."""
    stamp = f"{path.stem}.{now:%Y-%m-%d-%H%M%S}"
    count = 1
    while True:
        kept = path.with_name(f"{stamp}{f'.{count}' if count > 1 else ''}{path.suffix}")
        try:
            _move_new(path, kept)
            return kept
        except FileExistsError:
            count += 1


def _digest(data: bytes) -> str:
    return sha256(data).hexdigest()


def _handed_out(work: Path) -> dict[str, str]:
    try:
        handed = json.loads((work / MARK).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return handed if isinstance(handed, dict) else {}


def _write_handed_out(work: Path, handed: dict[str, str]) -> None:
    if handed == _handed_out(work):
        return
    text = json.dumps(handed, indent=1, sort_keys=True) + "\n"
    write_whole(work / MARK, text.encode())
