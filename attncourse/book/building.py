"""Both editions of the chapters, written or compared."""

from collections.abc import Iterable
from pathlib import Path

from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode

from attncourse import course
from attncourse.book.cells import first_with, is_error, not_passed, on_stderr
from attncourse.book.comparing import compare, orphans
from attncourse.book.editions import ROOT, dumps, editions
from attncourse.book.executing import run
from attncourse.course import Chapter
from attncourse.errors import Broken
from attncourse.files import write_whole


def build(
    chapters: Iterable[str | int | Chapter] | None = None,
    check: bool = False,
    execute: bool = True,
    root: Path = ROOT,
) -> list[str]:
    """Build both editions of the chapters, all by default, and say what went wrong.

    check    write nothing; compare what is there with what would be built. Outputs are left to
             nbval, but every cell must have run, in order, without an error
    execute  False leaves the solved edition as it is
    """
    if chapters is None:
        chapters = course.CHAPTERS
    problems = []
    for chapter in [c if isinstance(c, Chapter) else course.chapter(c) for c in chapters]:
        try:
            if check:
                problems += compare(chapter, Path(root))
            else:
                _write_editions(chapter, Path(root), execute)
        except Broken as error:
            problems.append(str(error))
        except OSError as error:
            problems.append(
                f"{chapter.stem}: cannot write {error.filename or 'the notebook'}: "
                f"{error.strerror or error}. What was there is unchanged."
            )
    return problems + (orphans(Path(root)) if check else [])


def _write_editions(chapter: Chapter, root: Path, execute: bool) -> None:
    built = editions(chapter, root)
    for edition in built:
        (root / "notebooks" / edition).mkdir(parents=True, exist_ok=True)
    write_whole(
        root / "notebooks" / "learner" / f"{chapter.stem}.ipynb",
        dumps(built["learner"]).encode(),
    )
    if execute:
        folder = root / "notebooks" / "solved"
        try:
            run(built["solved"], folder, maps=root / "notebooks" / "maps")
        except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
            raise Broken(_failed(chapter, built["solved"], error)) from error
        if failing := not_passed(built["solved"]):
            raise Broken(
                f"{chapter.stem}: {failing} of the solved edition does not pass. "
                f"Import in notebooks/src/{chapter.stem}.py what the solution needs."
            )
        if shouting := first_with(built["solved"], on_stderr):
            raise Broken(
                f"{chapter.stem}: {shouting} of the solved edition writes to stderr. "
                "Outputs must be the same on every machine: "
                f"mend notebooks/src/{chapter.stem}.py."
            )
        write_whole(folder / f"{chapter.stem}.ipynb", dumps(built["solved"]).encode())


def _failed(chapter: Chapter, notebook: NotebookNode, error: Exception) -> str:
    """Which cell of the solved edition failed, and with what, in one line."""
    where = first_with(notebook, is_error) or "a cell"
    if isinstance(error, CellExecutionError):
        what = f"{error.ename}: {error.evalue}".splitlines()[0]
    else:
        what = str(error).strip().splitlines()[0]
    return (
        f"{chapter.stem}: {where} of the solved edition fails: {what} "
        f"(nothing written). Mend notebooks/src/{chapter.stem}.py or the solution."
    )
