"""Files that are written whole or not at all, and the folder that one run has for itself."""

import io
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout

from attncourse.errors import UserError

CHECKPOINT = "checkpoint.pt"


def load(path: Path) -> dict[str, Any]:
    """A checkpoint, on the CPU. Raises UserError for a file that is not one."""
    data = io.BytesIO(path.read_bytes())
    try:
        state = torch.load(data, map_location="cpu", weights_only=True)
        if not isinstance(state, dict) or not state.keys() >= {"settings", "record", "best"}:
            raise ValueError("something else")
    except (RuntimeError, OSError, EOFError, ValueError, KeyError, pickle.UnpicklingError):
        raise UserError(
            f"{path} is not a checkpoint, or not all of one. Move it away to begin anew."
        ) from None
    return state


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Keep other runs out of a folder; it is made if need be. Raises UserError."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise UserError(
            f"another run trains in {folder}. Wait for it, or choose another with --into."
        ) from None
    try:
        yield
    finally:
        lock.release()


def refuse_others(path: Path, theirs: dict[str, Any], ours: dict[str, Any]) -> None:
    """Raise UserError, naming what differs, if a checkpoint is of a run with other settings."""
    names = [name for name in ours | theirs if ours.get(name) != theirs.get(name)]
    if names:
        differ = ", ".join(f"{n} {theirs.get(n)}, not {ours.get(n)}" for n in names)
        raise UserError(
            f"{path} is of another run, with {differ}. Take the same options to go on with it, "
            "or another folder with --into."
        )
