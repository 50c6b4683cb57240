"""The data of the course: what ships with it, what lies in a folder, what is fetched.

    photograph(), digits()     ship with scikit-learn
    cifar10()                  from a folder; `attncourse data cifar10` fetches it
    sentences()                lines of parallel text, for `attncourse train translate`
    where()                    the folder of CIFAR-10 or of the text: the one that
                               ATTNCOURSE_DATA names, or data in the work folder

Data that are made up, and seeded, stand with their tasks, in the files beside this one.
"""

import errno
import gzip
import hashlib
import os
import pickle
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import Any, NamedTuple
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import numpy as np
import torch
from einops import rearrange, reduce
from filelock import FileLock, Timeout
from jaxtyping import Float, Int
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn
from sklearn.datasets import load_digits, load_sample_image
from torch import Tensor

from attncourse import places
from attncourse.errors import UserError

PHOTOGRAPHS = ("china", "flower")


def photograph(
    name: str = "china", height: int = 96, width: int = 144
) -> Float[Tensor, "h w c"]:
    """A colour photograph, h w c, in float32 between 0 and 1.

    "china" is a temple, "flower" a dahlia, 427 x 640 pixels each. As much of the middle as
    possible is kept, and each pixel is the exact mean of a square of k x k pixels of it.
    Raises ValueError for another name, or for more pixels than there are.
    """
    if name not in PHOTOGRAPHS:
        raise ValueError(f'there is no photograph "{name}"; there are {", ".join(PHOTOGRAPHS)}')
    pixels = torch.from_numpy(load_sample_image(f"{name}.jpg").copy())
    h, w, _ = pixels.shape
    if not (0 < height <= h and 0 < width <= w):
        raise ValueError(f"{name} has {h} x {w} pixels, too few for {height} x {width}")
    k = min(h // height, w // width)
    top, left = (h - k * height) // 2, (w - k * width) // 2
    middle = pixels[top : top + k * height, left : left + k * width]
    sums = reduce(middle.long(), "(h p) (w q) c -> h w c", "sum", p=k, q=k)
    return (sums.double() / (255 * k**2)).float()


class Digits(NamedTuple):
    """Written digits and which they are.

    image  b 1 h w, grey from 0 (paper) to 1 (ink), 8 x 8 pixels
    label  b, from 0 to 9
    """

    image: Float[Tensor, "b 1 h w"]
    label: Int[Tensor, " b"]


UNSEEN = 450  # digits kept for testing, a quarter of the 1797


def digits(test: bool = False) -> Digits:
    """The digits that ship with scikit-learn, in the order in which they are stored.

    The first 1347 are for training, the last 450 for testing: `test` gives those.
    """
    stored = load_digits()
    image = rearrange(torch.from_numpy(stored.images / 16).float(), "b h w -> b 1 h w")
    label = torch.from_numpy(stored.target).long()
    part = slice(-UNSEEN, None) if test else slice(-UNSEEN)
    return Digits(image[part], label[part])


# ---------------------------------------------------------------- folders

CIFAR10 = "cifar-10-batches-py"
BATCHES = {"train": tuple(f"data_batch_{n}" for n in range(1, 6)), "test": ("test_batch",)}
META = "batches.meta"
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


# ---------------------------------------------------------------- parallel text


class Pairs(NamedTuple):
    """Sentences and their translations, line by line."""

    source: list[str]
    target: list[str]


def sentences(path: Path, longest: int) -> list[str]:
    """The lines of a text file in UTF-8, plain or gzip, none of them empty.

    `path` is without the `.gz`. Raises UserError, which names the file and the line, for one
    that is missing, empty or broken, and for a line that is not UTF-8, blank or has more than
    `longest` characters.
    """
    path, data = _bytes(path)
    lines = data.removeprefix(b"\xef\xbb\xbf").removesuffix(b"\n").split(b"\n")
    if lines == [b""]:
        raise UserError(f"{path} is empty: it should have one sentence a line.")
    return [_sentence(line, f"{path}, line {n}", longest) for n, line in enumerate(lines, 1)]


def _bytes(path: Path) -> tuple[Path, bytes]:
    both = path, path.with_name(f"{path.name}.gz")
    there = next((one for one in both if one.is_file()), None)
    if there is None:
        raise UserError(f"no {path.name} or {path.name}.gz in {path.parent}.")
    data = there.read_bytes()
    if data[:2] == b"\x1f\x8b":
        try:
            data = gzip.decompress(data)
        except (EOFError, OSError, zlib.error):
            raise UserError(f"{there} is a broken gzip file: fetch it again.") from None
    return there, data


def _sentence(line: bytes, where: str, longest: int) -> str:
    try:
        text = line.decode("utf-8").strip()
    except UnicodeDecodeError as error:
        raise UserError(
            f"{where}: byte {error.start + 1} is 0x{line[error.start]:02x}, which is no UTF-8. "
            "Convert the file: iconv -f latin1 -t utf-8."
        ) from None
    if not text:
        raise UserError(f"{where} is blank: take it out, and its translation.")
    if len(text) > longest:
        raise UserError(
            f"{where}: {len(text)} characters, more than the limit of {longest}. Take it out, "
            f"and its translation, or train with --longest {len(text)}."
        )
    return text


# ---------------------------------------------------------------- CIFAR-10


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


# ---------------------------------------------------------------- fetching

URL = "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
MD5 = "c58f30108f718f92721af3b95e74349a"
TRIES = 4  # connections, each of which goes on where the last one broke off
PIECE = 2**18


def download_cifar10(folder: Path | str | None = None, url: str | None = None) -> Path:
    """Fetch CIFAR-10 into a folder, 170 MB; returns the folder with its files.

    folder  without it, what ATTNCOURSE_DATA says, or `home()`
    url     another address of the same archive
    What was broken off goes on where it was. The files appear under their name when all of them
    are there and the archive's checksum is right, not before. Raises UserError.
    """
    folder = Path(folder or os.environ.get("ATTNCOURSE_DATA") or home())
    target, part = folder / CIFAR10, folder / "cifar-10-python.tar.gz.part"
    with _said(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".cifar10.lock", timeout=0):
            if target.exists():
                if missing := [name for name in OFFICIAL if not (target / name).is_file()]:
                    raise UserError(f"{target} lacks {', '.join(missing)}: move it away first.")
                return target
            _fetch(url or URL, part)
            with part.open("rb") as file:
                found = hashlib.file_digest(file, "md5").hexdigest()
            if found != MD5:
                part.unlink()
                raise UserError(
                    f"{url or URL} sent something else: its md5 is {found} instead of {MD5}. "
                    "Nothing is kept; run it again, or give another address."
                )
            _unpack(part, target)
            part.unlink()
    return target


@contextmanager
def _said(folder: Path) -> Iterator[None]:
    """What may go wrong with a disk, in one line."""
    try:
        yield
    except Timeout:
        raise UserError(f"another download into {folder} is running: wait for it.") from None
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        todo = "Free 360 MB and run it again." if full else "Choose another folder: --folder."
        raise UserError(f"{folder}: {error.strerror or error}. {todo}") from None


def _fetch(url: str, part: Path) -> None:
    """Load the rest of a file behind what is there of it."""
    bar = (BarColumn(), DownloadColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    quiet = not console.is_terminal
    with Progress(*bar, console=console, transient=True, disable=quiet) as progress:
        task = progress.add_task("", total=None)

        def tell(done: int, total: int | None) -> None:
            progress.update(task, completed=done, total=total)

        for _ in range(TRIES):
            try:
                if _more(url, part, tell):
                    return
                why = "the connection was lost"
            except HTTPError as error:
                todo = "Is the address right?" if error.code in (404, 410) else "Try it later."
                raise UserError(f"{url}: {error.code} {error.reason}. {todo}") from None
            except URLError as error:
                why = getattr(error.reason, "strerror", None) or str(error.reason)
                break
            except (ConnectionError, TimeoutError, HTTPException) as error:
                why = str(error) or type(error).__name__
            except ValueError as error:
                raise UserError(f"{url}: {error}.") from None
    host, there = urlsplit(url).hostname, part.stat().st_size if part.exists() else 0
    raise UserError(
        f"cannot fetch CIFAR-10 from {host}: {why}. {there:,} bytes are here; run it again "
        "to go on. The course works without it."
    )


def _more(url: str, part: Path, tell: Callable[[int, int | None], None]) -> bool:
    """One connection: whether the file is whole afterwards."""
    there = part.stat().st_size if part.exists() else 0
    request = Request(url, headers={"Range": f"bytes={there}-"} if there else {})
    try:
        response = urlopen(request, timeout=30)
    except HTTPError as error:
        error.close()
        if error.code == 416 and there:  # nothing follows: the checksum decides
            return True
        raise
    with response:
        if response.status != 206:
            there = 0  # the server sends all of it again
        length = response.headers.get("Content-Length")
        total = None if length is None else there + int(length)
        with part.open("ab" if there else "wb") as file:
            while piece := response.read(PIECE):
                file.write(piece)
                there += len(piece)
                tell(there, total)
    return total is None or there >= total


def _unpack(archive: Path, target: Path) -> None:
    """Only files that are known, by their names here: no path of the archive is used."""
    scratch = Path(mkdtemp(prefix=".cifar10.", dir=target.parent))
    try:
        with tarfile.open(archive, "r:gz") as packed:
            for name in OFFICIAL:
                member = packed.extractfile(f"{CIFAR10}/{name}")
                if member is None:
                    raise KeyError(name)
                (scratch / name).write_bytes(member.read())
        scratch.chmod(0o755)
        os.rename(scratch, target)
    except (KeyError, tarfile.TarError, EOFError, zlib.error) as error:
        raise UserError(f"{archive} is no archive of CIFAR-10: {error}.") from None
    finally:
        rmtree(scratch, ignore_errors=True)
