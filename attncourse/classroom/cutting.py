"""Learner notebooks cut to the exercises of an assignment."""

import ast
import re
from collections.abc import Sequence
from copy import deepcopy

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell

from attncourse import course, places
from attncourse.classroom.pruning import names_used
from attncourse.course import Chapter
from attncourse.errors import UserError
from attncourse.exercises.record import Exercise
from attncourse.exercises.source import stub

# "To read on without solving it: `from solutions.channel import squeeze`.": not here
IMPORT = re.compile(r"[^.`]*`from solutions[^`]*`[^.\n]*\.?")


def cut(chapter: Chapter, ids: Sequence[str]) -> NotebookNode:
    """The notebook of a chapter with these exercises; what others would have written is imported
    where it is used, and left out where it is not."""
    path = places.notebooks() / f"{chapter.stem}.ipynb"
    if not path.is_file():
        raise UserError(f"there is no {path}: build it with `attncourse build`.")
    notebook = deepcopy(nbformat.read(path, as_version=4))
    cells = [_without_way_round(cell) for cell in notebook.cells]
    for id in chapter.ids:
        if id not in ids:
            cells = _without(cells, id)
    for ex in (course.exercise(id) for id in ids if id not in chapter.ids):
        cells = _with_own(cells, ex)
    notebook.cells = [cell for cell in cells if cell.source.strip()]
    return notebook


def _without_way_round(cell: NotebookNode) -> NotebookNode:
    """A text that does not point at answers that are not there."""
    if cell.cell_type == "markdown" and "`from solutions" in cell.source:
        cell.source = IMPORT.sub("", cell.source).strip()
    return cell


def _without(cells: list[NotebookNode], id: str) -> list[NotebookNode]:
    """Without one exercise."""
    ex = course.exercise(id)
    rest = [c for c in cells if c.metadata.get("exercise") != id and not _asks(c, id)]
    used = any(c.cell_type == "code" and ex.name in names_used(c.source) for c in rest)
    found = []
    for cell in cells:
        if cell.metadata.get("exercise") == id:
            if not used:
                continue
            cell.source = f"from {ex.solution.__module__} import {ex.name}  # given"
            del cell.metadata["exercise"]
        elif _asks(cell, id):
            continue
        found.append(cell)
    return found


def _with_own(cells: list[NotebookNode], ex: Exercise) -> list[NotebookNode]:
    """Where a notebook imports what another one of the assignment asks for, a place for the
    student's own."""
    found = []
    for cell in cells:
        if cell.cell_type == "code" and (left := _import_without(cell.source, ex)) is not None:
            cell.source = left
            text = f"This notebook uses `{ex.name}` of `{ex.id}`: put your own answer here."
            found += [cell, new_markdown_cell(text), new_code_cell(stub(ex))]
            for one, kind in zip(found[-2:], ("own", "stub"), strict=True):
                one.id = f"{ex.id.replace('.', '-')}-{kind}"
        else:
            found.append(cell)
    return found


def _import_without(source: str, ex: Exercise) -> str | None:
    """A cell that imports a solution, without that; None where it does not."""
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return None
    lines = source.splitlines()
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module == ex.solution.__module__:
            left = [n for n in node.names if (n.name, n.asname) != (ex.name, None)]
            if len(left) < len(node.names):
                text = ast.unparse(ast.ImportFrom(node.module, left, 0)) if left else ""
                lines[node.lineno - 1 : node.end_lineno] = [text] if text else []
                return "\n".join(lines)
    return None


def _asks(cell: NotebookNode, id: str) -> bool:
    """Whether a cell checks an exercise, or points to its hints."""
    return f'check("{id}"' in cell.source or (
        cell.cell_type == "markdown" and cell.source.lstrip().startswith("Stuck?")
        and f'"{id}"' in cell.source
    )
