"""A saved notebook read as it is: its code cells, as Python. Whatever is odd is a note, and no
end.
"""

import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from .statements import UNREADABLE, Statement, parse

LONG = 20.0  # seconds of processor time for the cells of a notebook that are no plain Python


class NoNotebook(Exception):
    """A file that is no Jupyter notebook; the text says why."""


@dataclass(frozen=True)
class Cell:
    """A code cell by its number, counted from 1. `exercise`: the id that its metadata names."""

    number: int
    source: str
    exercise: str | None = None


@dataclass
class Notebook:
    """Its code cells, their statements, and what was odd. `texts`: each cell as Python;
    `unread`: the numbers of the cells that are none."""

    cells: list[Cell]
    statements: list[Statement] = field(default_factory=list)
    texts: dict[int, str] = field(default_factory=dict)
    unread: set[int] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)


# ---------------------------------------------------------------- from bytes to cells


def read(data: bytes) -> Notebook:
    """A notebook from the bytes of its file. Raises NoNotebook."""
    notes: list[str] = []
    found = _json(_text(data, notes), notes)
    sheets = found.get("worksheets")
    if isinstance(sheets, list):
        parts = [sheet.get("cells") for sheet in sheets if isinstance(sheet, dict)]
        listed = [cell for part in parts if isinstance(part, list) for cell in part]
    else:
        listed = found.get("cells")
    if not isinstance(listed, list):
        raise NoNotebook("it has no list of cells")
    notebook = Notebook(list(_code(listed, notes)), notes=notes)
    begun = time.process_time()
    for cell in notebook.cells:
        try:
            plain = time.process_time() - begun > LONG
            text, statements = parse(cell.source, cell.number, plain)
        except UNREADABLE as error:
            notebook.unread.add(cell.number)
            notes.append(_complaint(cell.number, error))
        else:
            notebook.texts[cell.number] = text
            notebook.statements += statements
    return notebook


def _text(data: bytes, notes: list[str]) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        kind = "utf-16"
    elif b"\0" in data[:2]:
        kind = "utf-16-be" if data[:1] == b"\0" else "utf-16-le"
    else:
        kind = "utf-8-sig"
    try:
        text = data.decode(kind)
    except UnicodeDecodeError:
        kind, text = "latin-1", data.decode("latin-1")
    if kind != "utf-8-sig":
        notes.append(f"The file is not in UTF-8; read as {kind}.")
    return text


def _json(text: str, notes: list[str]) -> dict[str, Any]:
    """The notebook, or what a file that breaks off holds of it."""
    try:
        found = json.loads(text, strict=False)
    except RecursionError:
        raise NoNotebook("its brackets are nested too deeply") from None
    except ValueError as error:
        cells = list(_saved_half_way(text))
        if not cells:
            why = f"{error.msg}" if isinstance(error, json.JSONDecodeError) else str(error)
            raise NoNotebook(why[:80] if text.strip() else "it is empty") from None
        notes.append(f"The file breaks off: {len(cells)} whole cells are in it.")
        return {"cells": cells}
    if not isinstance(found, dict):
        raise NoNotebook("it holds no notebook")
    return found


def _saved_half_way(text: str) -> Iterator[Any]:
    start = re.search(r'"cells"\s*:\s*\[', text)
    decoder, at = json.JSONDecoder(strict=False), start.end() if start else len(text)
    while at < len(text):
        at = re.compile(r"[\s,]*").match(text, at).end()
        try:
            cell, at = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            return
        yield cell


def _code(listed: list[Any], notes: list[str]) -> Iterator[Cell]:
    number = 0
    for place, cell in enumerate(listed, 1):
        if not isinstance(cell, dict):
            notes.append(f"What stands at place {place} is no cell.")
            continue
        metadata = cell.get("metadata")
        exercise = metadata.get("exercise") if isinstance(metadata, dict) else None
        exercise = exercise if isinstance(exercise, str) else None
        if cell.get("cell_type", "code") != "code":
            if exercise:
                kind = str(cell.get("cell_type"))[:20]
                notes.append(f"The cell of {exercise[:80]} is a {kind} cell, not one of code.")
            continue
        number += 1
        source = cell.get("source", cell.get("input"))
        if isinstance(source, list):
            source = "".join(part for part in source if isinstance(part, str))
        if not isinstance(source, str):
            if source is not None:
                notes.append(f"cell {number} has no text in it.")
            source = ""
        clean = source.encode("utf-8", "replace").decode()
        if clean != source:
            notes.append(f"cell {number} holds half a character (a lone surrogate).")
        yield Cell(number, clean.replace("\r\n", "\n").replace("\r", "\n"), exercise)


def _complaint(number: int, error: BaseException) -> str:
    if isinstance(error, SyntaxError):
        text = (error.text or "").strip()[:80]
        return f"cell {number}, line {error.lineno}: {error.msg}: {text}"
    return f"cell {number} cannot be read: {type(error).__name__}."
