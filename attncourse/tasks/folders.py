"""Where data sets lie: the folder that ATTNCOURSE_DATA names, or data in the work folder."""

import os
from pathlib import Path

from attncourse import places
from attncourse.errors import UserError

CIFAR10 = "cifar-10-batches-py"
HAS = {
    "multi30k": "multi30k/train.en, train.de, val.en, val.de, test_2016_flickr.en and "
    "test_2016_flickr.de, plain or as .gz, or give it with --data.",
    CIFAR10: f"{CIFAR10} in it, or fetch it: attncourse data cifar10.",
}


def home() -> Path:
    """Where data lie if nothing else is said: data in the work folder."""
    return places.work() / "data"


def where(name: str, folder: Path | str | None = None) -> Path:
    """The folder of a data set: `name` in `folder`, or `folder` itself. Raises UserError.

    folder  without it, what ATTNCOURSE_DATA says, or `home()` if the set lies there
    """
    folder = folder or os.environ.get("ATTNCOURSE_DATA")
    if not folder and (home() / name).is_dir():
        folder = home()
    if not folder:
        raise UserError(f"no data: set ATTNCOURSE_DATA to a folder that has {HAS[name]}")
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"there is no folder {folder}: correct ATTNCOURSE_DATA or --data.")
    return folder / name if (folder / name).is_dir() else folder
