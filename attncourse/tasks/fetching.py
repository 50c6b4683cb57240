"""CIFAR-10 fetched: by pooch, which tries again and compares the checksum."""

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import rmtree

import pooch
from filelock import FileLock, Timeout
from requests import HTTPError, RequestException

from attncourse.errors import UserError
from attncourse.tasks.cifar10 import OFFICIAL
from attncourse.tasks.folders import CIFAR10, home

URL = "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
MD5 = "c58f30108f718f92721af3b95e74349a"
ARCHIVE = "cifar-10-python.tar.gz"


def download_cifar10(folder: Path | str | None = None, url: str | None = None) -> Path:
    """Fetch CIFAR-10 into a folder, 170 MB; returns the folder with its files.

    folder  without it, what ATTNCOURSE_DATA says, or `home()`
    url     another address of the same archive
    The files appear under their name when all of them are there and the archive's checksum is
    right, not before; what is broken off begins anew. Raises UserError.
    """
    folder, url = Path(folder or os.environ.get("ATTNCOURSE_DATA") or home()), url or URL
    target, scratch = folder / CIFAR10, folder / ".cifar10"
    with _said(folder, url):
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".cifar10.lock", timeout=0):
            if target.exists():
                if missing := [name for name in OFFICIAL if not (target / name).is_file()]:
                    raise UserError(f"{target} lacks {', '.join(missing)}: move it away first.")
                return target
            rmtree(scratch, ignore_errors=True)  # of a run that was killed
            try:
                _fetch(url, scratch)
                os.rename(scratch / CIFAR10, target)
            finally:
                rmtree(scratch, ignore_errors=True)
    return target


def _fetch(url: str, into: Path) -> None:
    """Fetch the archive and unpack the files that are known, and no others."""
    pooch.get_logger().setLevel("WARNING")
    known = {ARCHIVE: f"md5:{MD5}"}
    store = pooch.create(into, "", registry=known, urls={ARCHIVE: url}, retry_if_failed=2)
    unpack = pooch.Untar([f"{CIFAR10}/{name}" for name in OFFICIAL], extract_dir=".")
    store.fetch(ARCHIVE, unpack, progressbar=sys.stderr.isatty())


@contextmanager
def _said(folder: Path, url: str) -> Iterator[None]:
    """What may go wrong with a server or a disk, in one line."""
    try:
        yield
    except HTTPError as error:
        code, why = error.response.status_code, error.response.reason
        todo = "Is the address right?" if code in (404, 410) else "Try it later."
        raise UserError(f"{url}: {code} {why}. {todo}") from None
    except ValueError as error:  # no address, or another file behind it
        raise UserError(f"{url}: {error}") from None
    except RequestException as error:
        raise UserError(
            f"cannot fetch CIFAR-10 from {url}: {_cause(error)}. Run it again; the course "
            "works without it."
        ) from None
    except Timeout:
        raise UserError(f"another download into {folder} is running: wait for it.") from None
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        todo = "Free 360 MB and run it again." if full else "Choose another folder: --folder."
        raise UserError(f"{folder}: {error.strerror or error}. {todo}") from None


def _cause(error: BaseException) -> str:
    """What the error began with, below all that libraries say of it."""
    while error.__context__:
        error = error.__context__
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
