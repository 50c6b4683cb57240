"""Where each exercise stands in a notebook that was read: its cell, its name, its check."""

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from .reading import Cell, Notebook
from .statements import UNREADABLE


@dataclass(frozen=True)
class Found:
    """Where an exercise stands in a notebook: the cell that is shown for it, what the answer is
    called, and after which cells it is looked at; 0 is the end."""

    id: str
    cell: int
    name: str
    stops: tuple[int, ...]


def checks(cell: Cell, text: str) -> Iterator[tuple[str, str]]:
    """Every `check("id", name)` in a cell."""
    try:
        tree = ast.parse(text)
    except UNREADABLE:
        return
    for node in ast.walk(tree):
        match node:
            case ast.Call(
                func=ast.Name("check") | ast.Attribute(attr="check"),
                args=[ast.Constant(str(id)), ast.Name(name), *_],
            ):
                yield id, name


def exercises(notebook: Notebook, names: dict[str, str]) -> dict[str, Found]:
    """Where each exercise stands that a notebook has.

    names  of the answers, by the ids that count: the name of the exercise's own cell comes
           first, then what is checked under its id
    """
    own: dict[str, list[int]] = {}
    called: dict[str, list[tuple[int, str]]] = {}
    for cell in notebook.cells:
        if cell.exercise:
            own.setdefault(cell.exercise, []).append(cell.number)
        for id, name in checks(cell, notebook.texts.get(cell.number, "")):
            called.setdefault(id, []).append((cell.number, name))
    bound = {name for s in notebook.statements for name in s.binds}
    claimed = {names[id] for id in names if id in own or id in called}
    found = {}
    for id, name in names.items():
        cells, calls = own.get(id, []), called.get(id, [])
        others = [one for _, one in calls if one in bound]
        if name not in bound and others:
            name = others[0]
        if not cells and not calls and (name not in bound or name in claimed):
            continue
        asked = [at for at, one in calls if one == name]
        last = [at for at in asked if not cells or at >= cells[0]] or cells[-1:]
        stops = dict.fromkeys([*last[:1], *last[-1:], 0])
        defined = [s.cell for s in notebook.statements if name in s.binds]
        shown = [*cells, *defined, *asked, 1][0]
        found[id] = Found(id, shown, name, tuple(stops))
    return found


def odd(notebook: Notebook, ids: Iterable[str]) -> list[str]:
    """What a teacher may want to know of the cells: of an exercise twice, or of none."""
    known, seen, notes = set(ids), {}, []
    for cell in notebook.cells:
        if cell.exercise and cell.exercise in known:
            seen.setdefault(cell.exercise, []).append(str(cell.number))
    for id, cells in seen.items():
        if len(cells) > 1:
            notes.append(f"{id} stands in several cells: {', '.join(cells)}.")
    return notes
