"""What was handed in: notebooks by student, from files, folders and zips.

A zip is never unpacked: its members are read in memory, their names are labels. What is a link
to elsewhere, hidden, or too large is left out, and that is said.
"""

import io
import re
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from attncourse import course
from attncourse.errors import UserError

LARGEST = 64 * 2**20  # bytes of one file
WHOLE = 2**30  # bytes of all that is taken out of one zip
MEMBERS, NOTEBOOKS = 20_000, 50  # of one zip; of one student
BESIDE, MODULES = 2**20, 20  # bytes of a module beside a notebook; how many
IDLE = {"__MACOSX", ".ipynb_checkpoints", "__pycache__", ".git", ".venv", "node_modules"}
# as Canvas names a file: student, perhaps LATE, two numbers, what it was called
CANVAS = re.compile(r"^(?P<name>[^_]+)_(?:LATE_)?\d+_\d+_.+$", re.IGNORECASE)
# as Moodle names a folder: student, a number, what it holds
MOODLE = re.compile(r"^(?P<name>.+?)_\d+_assignsubmission_.*$")


@dataclass
class File:
    """A file that was handed in: where it was found, and its bytes; or why there are none."""

    path: str
    data: bytes = b""
    why: str = ""

    def __post_init__(self):
        self.path = "".join(c if c.isprintable() else "_" for c in self.path)


@dataclass
class Submission:
    """What one student handed in. `modules`: Python files that lie beside the notebooks."""

    student: str
    notebooks: list[File] = field(default_factory=list)
    modules: dict[str, bytes] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def collect(paths: Iterable[Path], one: bool = False) -> list[Submission]:
    """Every student's notebooks, by name. `one`: all of it is one student's. Raises UserError
    for a path that is not there, or where there is no notebook at all."""
    found: dict[str, Submission] = {}
    for path in paths:
        if not path.exists():
            raise UserError(f"there is no file or folder {path}.")
        files = list(_files(path))
        label = path.stem if path.is_file() else path.resolve().name
        for name, file in _named(files, label, one):
            name = "".join(c if c.isprintable() else "_" for c in name)[:200]
            student = found.setdefault(name, Submission(name))
            if file.path.endswith(".py"):
                if len(student.modules) < MODULES:
                    student.modules[PurePosixPath(file.path).name] = file.data
            elif file.path.endswith(".ipynb") or file.why:
                if len(student.notebooks) < NOTEBOOKS:
                    student.notebooks.append(file)
                elif len(student.notes) < 1:
                    student.notes.append(f"Of all notebooks only {NOTEBOOKS} were read.")
    handed = [one for one in found.values() if one.notebooks]
    if not handed:
        raise UserError(f"there is no notebook in {', '.join(map(str, paths))}.")
    for submission in handed:
        for file in [f for f in submission.notebooks if f.why and not f.path.endswith("ipynb")]:
            if len(submission.notebooks) > 1:
                submission.notebooks.remove(file)
                submission.notes.append(f"{file.path}: {file.why}.")
    return sorted(handed, key=lambda one: one.student.casefold())


# ---------------------------------------------------------------- whose it is


def _named(files: list[File], label: str, one: bool) -> Iterator[tuple[str, File]]:
    """Each file with its student's name: that of the first folder, or what the file says."""
    notebooks = [f for f in files if f.path.endswith(".ipynb")]
    while files and len({_first(f.path) for f in files}) == 1 and _first(files[0].path):
        label = _first(files[0].path)  # one folder that holds everything else
        if one or all(f.path.count("/") == 1 for f in notebooks):
            break
        for file in files:
            file.path = file.path.partition("/")[2]
    loose = [f for f in notebooks if not _first(f.path)]
    stems = [c.stem for c in course.CHAPTERS]
    whole = len(notebooks) == len(loose) and (
        len(loose) == 1 or all(any(stem in f.path for stem in stems) for f in loose)
    )
    whole = whole and not any(CANVAS.match(PurePosixPath(f.path).name) for f in loose)
    for file in files:
        first, name = _first(file.path), PurePosixPath(file.path).name
        if one or (whole and not first):
            yield _person(label), file
        elif first:
            yield _person(first), file
        elif file.path.endswith(".ipynb") or file.why:
            canvas = CANVAS.match(name)
            yield canvas["name"] if canvas else PurePosixPath(name).stem, file


def _first(path: str) -> str:
    return path.partition("/")[0] if "/" in path else ""


def _person(label: str) -> str:
    found = MOODLE.match(label) or CANVAS.match(label)
    return found["name"] if found else label


# ---------------------------------------------------------------- files, wherever they lie


def _files(path: Path) -> Iterator[File]:
    """Every notebook and module of a path, named by its place within it."""
    if path.is_dir():
        for inner in sorted(path.rglob("*")):
            place = inner.relative_to(path).as_posix()
            if _idle(place) or not inner.is_file():
                continue
            if inner.is_symlink() or not inner.resolve().is_relative_to(path.resolve()):
                if inner.suffix == ".ipynb":
                    yield File(place, why="it is a link, which is not followed")
                continue
            yield from _file(place, inner, f"{place.removesuffix(inner.suffix)}/")
    else:
        yield from _file(path.name, path)


def _file(place: str, path: Path, above: str = "") -> Iterator[File]:
    """A file, or what is in a zip: of one within a folder, under its name, so that nothing in
    it is taken for another student's."""
    suffix = path.suffix.lower()
    try:
        if suffix == ".zip":
            yield from _unzipped(place, above, path.read_bytes(), [WHOLE])
        elif suffix in (".ipynb", ".py"):
            size = path.stat().st_size
            if suffix == ".py" and size > BESIDE:
                return
            if size > LARGEST:
                yield File(place, why=f"it is larger than {LARGEST // 2**20} MiB")
            else:
                yield File(place, path.read_bytes())
    except OSError as error:
        yield File(place, why=f"it cannot be read: {error.strerror or error}")


def _unzipped(
    place: str, above: str, data: bytes, left: list[int], depth: int = 0
) -> Iterator[File]:
    """The files of a zip, and of zips within it, within limits.

    above  what their places begin with
    left   how many bytes may still come out of all of it
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
            if len(members) > MEMBERS:
                yield File(place, why=f"the zip has more than {MEMBERS} members")
                return
            for member in members:
                name = member.filename.replace("\\", "/").lstrip("/")
                name = "/".join(part for part in name.split("/") if part not in ("..", "."))
                linked = member.external_attr >> 16 & 0o170000 == 0o120000
                suffix = PurePosixPath(name).suffix.lower()
                if member.is_dir() or _idle(name) or suffix not in (".ipynb", ".py", ".zip"):
                    continue
                if linked:
                    yield File(above + name, why="it is a link, which is not followed")
                    continue
                if member.file_size > min(LARGEST, left[0]):
                    yield File(above + name, why="it is too large")
                    continue
                with archive.open(member) as file:  # its size may lie
                    text = file.read(LARGEST + 1)
                left[0] -= len(text)
                if len(text) > LARGEST:
                    yield File(above + name, why="it is too large")
                elif suffix == ".zip" and depth < 2:
                    inner = above + name.removesuffix(PurePosixPath(name).suffix)
                    yield from _unzipped(above + name, f"{inner}/", text, left, depth + 1)
                elif suffix == ".ipynb" or len(text) <= BESIDE:
                    yield File(above + name, text)
    except (
        zipfile.BadZipFile,
        RuntimeError,
        NotImplementedError,
        EOFError,
        ValueError,
    ) as error:
        yield File(place, why=f"the zip cannot be read: {str(error)[:80]}")
    except Exception as error:  # zlib and others have their own
        yield File(place, why=f"the zip cannot be read: {type(error).__name__}")


def _idle(place: str) -> bool:
    parts = PurePosixPath(place).parts
    return any(part in IDLE or part.startswith(".") for part in parts)
