"""Learner notebooks cut to the exercises of an assignment.

What stays runs as far as it is written, and nothing in it points at answers that are not there.
"""

import ast
import re
from collections.abc import Sequence
from copy import deepcopy

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell

from attncourse import course, places
from attncourse.classroom.reach import bound_in, taken
from attncourse.course import Chapter
from attncourse.errors import UserError
from attncourse.exercises.record import Exercise
from attncourse.exercises.source import source, stub

# "To read on without solving it: `from solutions.channel import squeeze`.": not here
IMPORT = re.compile(r"[^.`]*`from solutions[^`]*`[^.\n]*\.?")


def cut(chapter: Chapter, ids: Sequence[str]) -> NotebookNode:
    """The notebook of a chapter with these exercises. A section that asks for none of them, and
    for others, is left out; so are cells that use what others would have written, unless one of
    these is built on it: then it is imported."""
    path = places.notebooks() / f"{chapter.stem}.ipynb"
    if not path.is_file():
        raise UserError(f"there is no {path}: build it with `attncourse build`.")
    notebook = deepcopy(nbformat.read(path, as_version=4))
    others = {id: course.exercise(id) for id in chapter.ids if id not in ids}
    called = set().union(*(taken(source(course.exercise(id))) for id in ids))
    given = [id for id, ex in others.items() if ex.name in called]
    cells, gone = [], []
    for section in _sections(notebook.cells):
        asked = [id for cell in section if (id := cell.metadata.get("exercise"))]
        wanted = not asked or any(id in ids for id in asked)
        for cell in section:
            id = cell.metadata.get("exercise")
            if id in given:
                cell.source = f"from {others[id].solution.__module__} import {others[id].name}"
                del cell.metadata["exercise"]
                cells.append(cell)
            elif not wanted or id in others or any(_asks(cell, other) for other in others):
                gone.append(cell)
            else:
                cells.append(_without_way_round(cell))
    cells = that_mean_something(notebook.cells, _that_run(cells, gone))
    notebook.cells = [cell for cell in cells if cell.source.strip()]
    for ex in (course.exercise(id) for id in ids if id not in chapter.ids):
        notebook.cells = _with_own(notebook.cells, ex)
    return notebook


def _sections(cells: Sequence[NotebookNode]) -> list[list[NotebookNode]]:
    """The cells under each heading of the second level; those before the first as one."""
    found: list[list[NotebookNode]] = [[]]
    for cell in cells:
        if cell.cell_type == "markdown" and cell.source.startswith("## "):
            found.append([])
        found[-1].append(cell)
    return found


def _that_run(cells: list[NotebookNode], gone: list[NotebookNode]) -> list[NotebookNode]:
    """Without the cells that use a name which only cells bind that are gone."""
    gone = [*gone]
    while True:
        lost = set().union(*map(_binds, gone)) - set().union(*map(_binds, cells))
        broken = [
            cell
            for cell in cells
            if cell.cell_type == "code"
            and "exercise" not in cell.metadata
            and taken(cell.source) & lost
        ]
        if not broken:
            return cells
        gone += broken
        cells = [cell for cell in cells if not any(cell is one for one in broken)]


def that_mean_something(
    every: Sequence[NotebookNode], left: Sequence[NotebookNode]
) -> list[NotebookNode]:
    """Without the texts that belong to cells which are gone: the title of an exercise, what one
    should see, and a section of which no code is left."""
    stays = {id(cell) for cell in left}
    for number, cell in enumerate(every):
        if cell.cell_type == "markdown" and not _stays_with(every, number, stays):
            stays.discard(id(cell))
    return [cell for cell in left if id(cell) in stays]


def _stays_with(every: Sequence[NotebookNode], number: int, stays: set[int]) -> bool:
    """Whether what a text speaks of is still there."""
    text = every[number].source
    if text.startswith("**What you should see.**"):
        before = (c for c in reversed(every[:number]) if c.cell_type == "code")
        return all(id(c) in stays for c in [*before][:1])
    depth = len(text) - len(text.lstrip("#"))
    if depth < 2:
        return True
    code = []
    for cell in every[number + 1 :]:
        mark = len(cell.source) - len(cell.source.lstrip("#"))
        if cell.cell_type == "markdown" and 0 < mark <= depth:
            break
        code += [cell] if cell.cell_type == "code" else []
    return not code or any(id(c) in stays for c in code)


def _binds(cell: NotebookNode) -> set[str]:
    return bound_in(cell.source) if cell.cell_type == "code" else set()


def _without_way_round(cell: NotebookNode) -> NotebookNode:
    """A text that does not point at answers that are not there."""
    if cell.cell_type == "markdown" and "`from solutions" in cell.source:
        cell.source = IMPORT.sub("", cell.source).strip()
    return cell


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
        cell.cell_type == "markdown"
        and cell.source.lstrip().startswith("Stuck?")
        and f'"{id}"' in cell.source
    )
