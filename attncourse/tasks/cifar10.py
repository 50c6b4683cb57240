"""CIFAR-10 from a folder, every file of it checked; `attncourse data cifar10` fetches it."""

import hashlib
import pickle
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor

from attncourse.errors import UserError
from attncourse.tasks.folders import CIFAR10, where

BATCHES = {"train": tuple(f"data_batch_{n}" for n in range(1, 6)), "test": ("test_batch",)}
META = "batches.meta"


class Pictures(NamedTuple):
    """Small colour pictures, and what they show.

    image     b rgb h w, from 0 to 1, 32 x 32 pixels
    label     b, from 0 to 9
    names     what each label means
    official  whether the files are those of the official archive; a copy differs in its pixels
              where it was compressed, and what is measured on it must say so
    """

    image: Float[Tensor, "b rgb h w"]
    label: Int[Tensor, " b"]
    names: tuple[str, ...]
    official: bool

    @property
    def title(self) -> str:
        """What to call the data in a figure."""
        return "CIFAR-10" if self.official else "CIFAR-10 (not the official files)"


OFFICIAL = {
    "data_batch_1": "c99cafc152244af753f735de768cd75f",
    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "data_batch_4": "634d18415352ddfa80567beed471001a",
    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    "test_batch": "40351d587109b95175f43aff81a1287e",
    META: "5ff9c542aee3614f3951f8cda6e48888",
}  # md5


def cifar10(
    split: str = "train", folder: Path | str | None = None, count: int | None = None
) -> Pictures:
    """The pictures of CIFAR-10, or the first `count` of them, in the order of the archive.

    split   "train", 50,000 of them, or "test", 10,000
    folder  with cifar-10-batches-py in it, or that itself; see `where`
    Raises UserError, which names the file, where something is missing or broken.
    """
    if split not in BATCHES:
        raise ValueError(f'{split=} is neither "train" nor "test"')
    place = where(CIFAR10, folder)
    rows, labels, read, official = [], [], 0, True
    for name in BATCHES[split]:
        if count is None or read < count or not rows:
            pictures, shown, same = _batch(place / name)
            rows.append(pictures[: None if count is None else count - read])
            labels.append(shown[: len(rows[-1])])
            read, official = read + len(rows[-1]), official and same
    names = _names(place / META)
    image = rearrange(
        torch.from_numpy(np.concatenate(rows)), "b (rgb h w) -> b rgb h w", rgb=3, h=32
    )
    return Pictures(image.float() / 255, torch.tensor(np.concatenate(labels)), names, official)


def _batch(path: Path) -> tuple[np.ndarray, np.ndarray, bool]:
    """Rows of 3072 bytes (red, green, blue), their labels, and whether the file is official."""
    stored, official = _unpickled(path)
    try:
        rows, labels = stored["data"], np.asarray(stored["labels"], dtype=np.int64)
    except (KeyError, TypeError, ValueError):
        raise _broken(path, "no pictures and labels in it") from None
    if not isinstance(rows, np.ndarray) or rows.dtype != np.uint8 or rows.ndim != 2:
        raise _broken(path, "its pictures are no rows of bytes")
    if rows.shape[1] != 3 * 32 * 32 or labels.shape != rows.shape[:1]:
        raise _broken(path, f"{rows.shape} bytes and {labels.shape} labels do not fit")
    if len(labels) and not (0 <= labels.min() and labels.max() <= 9):
        raise _broken(path, f"labels from {labels.min()} to {labels.max()}, not from 0 to 9")
    return rows, labels, official


def _names(path: Path) -> tuple[str, ...]:
    names = _unpickled(path)[0].get("label_names")
    if not isinstance(names, list) or len(names) != 10:
        raise _broken(path, "it does not name ten classes")
    return tuple(map(str, names))


def _unpickled(path: Path) -> tuple[dict[str, Any], bool]:
    """The dictionary in a file, and whether it is the official one."""
    if not path.is_file():
        raise UserError(f"no {path.name} in {path.parent}: fetch it, attncourse data cifar10.")
    with path.open("rb") as file:
        official = hashlib.file_digest(file, "md5").hexdigest() == OFFICIAL[path.name]
        file.seek(0)
        try:
            stored = _Plain(file, encoding="latin1").load()
        except Exception as error:  # whatever a broken file makes pickle raise
            raise _broken(path, str(error) or type(error).__name__) from None
    if not isinstance(stored, dict):
        raise _broken(path, f"a {type(stored).__name__} in it, no dictionary")
    return stored, official


def _broken(path: Path, why: str) -> UserError:
    return UserError(f"{path} is broken: {why}. Delete its folder and fetch it again.")


class _Plain(pickle.Unpickler):
    """Reads arrays, numbers and text. A pickle may name any function to be called; this one
    knows three."""

    KNOWN = {  # noqa: RUF012
        "_reconstruct": np.empty(0).__reduce__()[0],
        "ndarray": np.ndarray,
        "dtype": np.dtype,
    }

    def find_class(self, module: str, name: str):
        if module.split(".")[0] == "numpy" and name in self.KNOWN:
            return self.KNOWN[name]
        raise pickle.UnpicklingError(f"{module}.{name} has no place in it")
