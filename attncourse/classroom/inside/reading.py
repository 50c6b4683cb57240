"""A saved notebook read as it is: its code cells, their statements, and which of these count.

Of a notebook only what the exercises need is run: what binds or changes a name that they reach.
So no training and no figure has to be waited for. Whatever is odd is a note, and no end.
"""

import ast
import json
import re
import symtable
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

UNREADABLE = SyntaxError, ValueError, RecursionError, MemoryError
THROUGH = {
    "time",
    "timeit",
    "capture",
    "prun",
    "python",
    "python3",
}  # the cell is run all the same
CHANGES = re.compile(
    r"append|extend|insert|update|setdefault|add|remove|pop|clear|register\w*|set\w*"
    r"|manual_seed|seed|putenv|filterwarnings|simplefilter|chdir|move_to_end"
)
DEFINES = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Assign
WRITES = {"write_text", "write_bytes", "mkdir", "makedirs"}
ALL = "*"
ANYTHING = {"exec", "eval", "execfile"}  # may bind any name


class NoNotebook(Exception):
    """A file that is no Jupyter notebook; the text says why."""


@dataclass(frozen=True)
class Cell:
    """A code cell by its number, counted from 1. `exercise`: the id that its metadata names."""

    number: int
    source: str
    exercise: str | None = None


@dataclass(frozen=True, eq=False)
class Statement:
    """One top-level statement. `changes`: names whose values it may change without binding
    them; `always`: it may bind or change anything."""

    cell: int
    line: int
    node: ast.stmt
    binds: frozenset[str]
    needs: frozenset[str]
    changes: frozenset[str] = frozenset()
    always: bool = False

    @property
    def where(self) -> str:
        return f"cell {self.cell}, line {self.line}"

    @property
    def source(self) -> str:
        return ast.unparse(self.node)


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
    for cell in notebook.cells:
        try:
            text, statements = parse(cell.source, cell.number)
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


# ---------------------------------------------------------------- from cells to statements


def parse(source: str, number: int) -> tuple[str, list[Statement]]:
    """A cell as Python, and its top-level statements; lines keep the numbers that the learner
    sees. Raises one of UNREADABLE."""
    from IPython.core.inputtransformer2 import TransformerManager

    source = _without_cell_magic(source)
    lost = len(source) - len(source.lstrip("\n"))
    if source[lost:].startswith("%%"):
        python = TransformerManager().transform_cell(source)
    else:
        python = "\n" * lost + TransformerManager().transform_cell(source[lost:])
    tree = ast.parse(python)
    return python, [_statement(node, number) for node in tree.body if not _idle(node)]


def _without_cell_magic(source: str) -> str:
    """Without `%%time` and its like over what is run all the same; empty if it is no Python."""
    lines = source.split("\n")
    for at, line in enumerate(lines):
        if not line.strip():
            continue
        if not line.startswith("%%"):
            break
        name = line[2:].split(" ")[0].strip()
        if name in THROUGH:
            lines[at] = ""
            continue
        return source if name in ("writefile", "file") else ""
    return "\n".join(lines)


def _idle(node: ast.stmt) -> bool:
    """A `%magic` or `!command` that defines nothing."""
    match node:
        case ast.Expr(
            ast.Call(
                ast.Attribute(ast.Call(ast.Name("get_ipython")), attr=how),
                [ast.Constant(first), *_],
            )
        ):
            return how not in ("run_line_magic", "run_cell_magic") or first not in (
                *("run", "env", "set_env", "cd", "load_ext", "writefile", "file"),
            )
    return False


def _statement(node: ast.stmt, cell: int) -> Statement:
    first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", ()))])
    names = symtable.symtable(ast.unparse(node), "cell", "exec")
    symbols = names.get_symbols()
    changes, always, hidden = set(), False, set()
    for inner in _run_at_once(node):
        match inner:
            case ast.Call(ast.Attribute(ast.Call(ast.Name("globals" | "vars")))):
                always = True
            case ast.Subscript(ast.Call(ast.Name("globals" | "vars" | "locals"))):
                always = True
            case ast.Attribute() | ast.Subscript() if not isinstance(inner.ctx, ast.Load):
                changes |= _root(inner)
            case ast.Call(ast.Attribute(attr=method) as called) if CHANGES.fullmatch(method):
                itself = isinstance(node, ast.Expr) and node.value is inner
                changes |= {name if itself else f".{name}" for name in _root(called)}
            case ast.Expr(ast.Call(ast.Attribute() as called)):
                changes |= {f".{name}" for name in _root(called)}
            case ast.Call(ast.Name("setattr" | "delattr"), [target, *_]):
                changes |= _root(target)
            case ast.Call(ast.Name(name), args) if name in ANYTHING:
                always = True
                hidden |= _names_in(args)
            case ast.Call(ast.Attribute(ast.Call(ast.Name("get_ipython")))):
                always = True
            case ast.Call(ast.Name("open"), [path, ast.Constant("w" | "a" | "x" | "wb"), *_]):
                # perhaps what is imported later
                other = isinstance(path, ast.Constant) and not str(path.value).endswith(".py")
                always |= not other
            case ast.Call(ast.Attribute(attr=method)) if method in WRITES:
                always = True
            case ast.ImportFrom(names=[ast.alias("*")]) | ast.ImportFrom(module="__future__"):
                always = True
    return Statement(
        cell,
        first,
        node,
        frozenset(s.get_name() for s in symbols if s.is_assigned() or s.is_imported()),
        frozenset(s.get_name() for s in symbols if s.is_referenced())
        | _globals(names)
        | hidden,
        frozenset(changes),
        always,
    )


def _names_in(arguments: list[ast.expr]) -> set[str]:
    """The names in what is executed; ALL of them, where it is not written out."""
    match arguments:
        case [ast.Constant(str(text)), *_]:
            try:
                tree = ast.parse(text)
            except UNREADABLE:
                return set()
            return {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)}
    return {ALL}


def _run_at_once(node: ast.AST) -> Iterator[ast.AST]:
    """A statement and what is in it, without the bodies of functions."""
    yield node
    for name, inner in ast.iter_fields(node):
        if name == "body" and isinstance(
            node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
        ):
            continue
        for one in inner if isinstance(inner, list) else [inner]:
            if isinstance(one, ast.AST):
                yield from _run_at_once(one)


def _root(node: ast.expr) -> set[str]:
    """The name that attributes and indices begin with."""
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return {node.id} if isinstance(node, ast.Name) else set()


def _globals(table: symtable.SymbolTable) -> frozenset[str]:
    """The global names that the functions and classes inside refer to."""
    names = frozenset()
    for inner in table.get_children():
        names |= {s.get_name() for s in inner.get_symbols() if s.is_global()} | _globals(inner)
    return names


def needed(statements: Iterable[Statement], names: Iterable[str]) -> list[Statement]:
    """What binds or changes a name that `names` reach, and what may bind anything; in order.

    A method that is called for itself (`optimizer.step()`) may change what it belongs to, but
    not where that is a module.
    """
    statements, names = list(statements), set(names)
    modules = {
        name
        for s in statements
        if isinstance(s.node, ast.Import | ast.ImportFrom)
        for name in s.binds
    }
    kept: set[Statement] = set()

    def counts(s: Statement) -> bool:
        called = {c[1:] for c in s.changes if c.startswith(".")} - modules
        own = {c for c in s.changes if not c.startswith(".")}
        if ALL in names and isinstance(s.node, DEFINES | ast.Import | ast.ImportFrom):
            return True
        settings = s.changes & {"sys", "os", ".sys", ".os"}
        return s.always or bool((s.binds | own | called) & names or settings)

    while more := {s for s in statements if s not in kept and counts(s)}:
        kept |= more
        for statement in more:
            names |= statement.needs
    return [statement for statement in statements if statement in kept]
