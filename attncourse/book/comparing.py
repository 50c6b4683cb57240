"""How the committed editions differ from what would be built."""

import warnings
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from attncourse import course
from attncourse.book.cells import describe, not_executed
from attncourse.book.editions import dumps, editions
from attncourse.course import Chapter


def compare(chapter: Chapter, root: Path) -> list[str]:
    """How the committed editions of a chapter differ from what would be built."""
    problems = []
    for edition, built in editions(chapter, root).items():
        file = f"notebooks/{edition}/{chapter.stem}.ipynb"
        try:
            text = (root / file).read_text(encoding="utf-8")
            committed = _read(text)
        except FileNotFoundError:
            problems.append(f"{chapter.stem}: {file} is missing. Run `make notebooks`.")
            continue
        except Exception as error:
            cause = (str(error).splitlines() or [type(error).__name__])[0]
            problems.append(
                f"{chapter.stem}: {file} is not a notebook: {cause}. Run `make notebooks`."
            )
            continue
        complaint = not_executed(committed) if edition == "solved" else ""
        if edition == "solved":
            for cell in committed.cells:
                if cell.cell_type == "code":
                    cell.outputs, cell.execution_count = [], None
            text = dumps(committed)
        if text != dumps(built):
            complaint = _difference(built, committed)
        if complaint:
            problems.append(f"{chapter.stem}: {file}: {complaint}. Run `make notebooks`.")
    return problems


def _read(text: str) -> NotebookNode:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a notebook that is not ours, said in our own words
        return nbformat.reads(text, as_version=4)


def _difference(built: NotebookNode, committed: NotebookNode) -> str:
    for number, (new, old) in enumerate(zip(built.cells, committed.cells, strict=False), 1):
        for part in ("cell_type", "source", "metadata", "id", "outputs", "execution_count"):
            if new.get(part) != old.get(part):
                return f"{describe(new, number)} differs in its {part.replace('_', ' ')}"
    if len(built.cells) != len(committed.cells):
        return f"it has {len(committed.cells)} cells and would be built with {len(built.cells)}"
    return "its metadata or its layout as a file differs, though no cell does"


def orphans(root: Path) -> list[str]:
    """Files in learner/ and solved/ that no chapter accounts for."""
    known = {f"{chapter.stem}.ipynb" for chapter in course.CHAPTERS}
    return [
        f"notebooks/{edition}/{path.name} belongs to no chapter. Delete it, or list its "
        "chapter in CHAPTERS in attncourse/course.py."
        for edition in ("learner", "solved")
        for path in sorted((root / "notebooks" / edition).glob("*"))
        if path.name not in known | {".ipynb_checkpoints"}
    ]
