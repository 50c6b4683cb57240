"""The statements of a cell, and which of them count.

Of a notebook only what the exercises need is run: what binds or changes a name that they reach.
So no training and no figure has to be waited for.
"""

import ast
import re
import symtable
from collections.abc import Iterable
from dataclasses import dataclass

from .effects import (
    CHANGES,
    Call,
    Effects,
    calls,
    changed_by,
    effects_of,
    root,
    run_at_once,
    stored,
    worked_on,
)

UNREADABLE = SyntaxError, ValueError, RuntimeError, MemoryError  # too many brackets are, too
THROUGH = {
    "time",
    "timeit",
    "capture",
    "prun",
    "python",
    "python3",
}  # the cell is run all the same
IMPORTS = ast.Import | ast.ImportFrom
DEFINES = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Assign
WRITES = {"write_text", "write_bytes", "mkdir", "makedirs"}
ALL = "*"
ANYTHING = {"exec", "eval", "execfile"}  # may bind any name
MAGICS, MAGICAL = 100, 20_000  # lines of one cell; characters of a cell with such lines
TIMED = re.compile(
    r"^([ \t]*)%time[ \t]+", re.MULTILINE
)  # over a line, which is run all the same
MAGIC = re.compile(r"^\s*(?:[!%?]|[\w, ]+=\s*[!%])|\?\s*$")


@dataclass(frozen=True, eq=False)
class Statement:
    """One top-level statement.

    changes  names whose values it may change without binding them; those with a dot before them
             (`.optimizer`) by a method, which counts unless they are modules
    stores   names of which it sets an attribute or an item
    calls    functions that it calls
    defines  what happens where that is called which it defines
    always   whether it may bind or change anything
    """

    cell: int
    line: int
    node: ast.stmt
    binds: frozenset[str]
    needs: frozenset[str]
    changes: frozenset[str] = frozenset()
    stores: frozenset[str] = frozenset()
    calls: tuple[Call, ...] = ()
    defines: Effects | None = None
    always: bool = False

    @property
    def where(self) -> str:
        return f"cell {self.cell}, line {self.line}"

    @property
    def source(self) -> str:
        return ast.unparse(self.node)


def parse(source: str, number: int, plain: bool = False) -> tuple[str, list[Statement]]:
    """A cell as Python, and its top-level statements; lines keep the numbers that the learner
    sees. `plain`: only if it has no magics. Raises one of UNREADABLE."""
    source = _without_cell_magic(source)
    try:
        python, tree = source, ast.parse(source)
    except SyntaxError:
        many = sum(bool(MAGIC.search(line)) for line in source.split("\n"))
        if plain or len(source) > MAGICAL or many > MAGICS:
            raise
        python = _transformed(TIMED.sub(r"\1", source))
        tree = ast.parse(python)
    return python, [_statement(node, number) for node in tree.body if not _idle(node)]


def _transformed(source: str) -> str:
    """Magics as calls, in as much time as the square of their number."""
    from IPython.core.inputtransformer2 import TransformerManager

    lost = len(source) - len(source.lstrip("\n"))
    if source[lost:].startswith("%%"):
        return TransformerManager().transform_cell(source)
    return "\n" * lost + TransformerManager().transform_cell(source[lost:])


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
    stores, changes, always, hidden = set(), set(), False, set()
    at_once = [*run_at_once(node)]
    for inner in at_once:
        stores |= stored(inner)
        changes |= {f".{name}" for name in worked_on(inner)}
        match inner:
            case ast.Call(ast.Attribute(attr=method) as called) if CHANGES.fullmatch(method):
                if isinstance(node, ast.Expr) and node.value is inner:
                    changes |= root(called)
            case ast.Call(ast.Name(name), args) if name in ANYTHING:
                hidden |= _names_in(args)
        always = always or _may_bind_anything(inner)
    return Statement(
        cell,
        first,
        node,
        binds=frozenset(s.get_name() for s in symbols if s.is_assigned() or s.is_imported()),
        needs=frozenset(s.get_name() for s in symbols if s.is_referenced())
        | _globals(names)
        | hidden,
        changes=frozenset(changes | stores),
        stores=frozenset(stores),
        calls=tuple(calls(at_once)),
        defines=effects_of(node),
        always=always,
    )


def _may_bind_anything(node: ast.AST) -> bool:
    """Whether names may come from a piece of code that are not written in it, or files."""
    match node:
        case ast.Call(ast.Attribute(ast.Call(ast.Name("globals" | "vars" | "get_ipython")))):
            return True
        case ast.Subscript(ast.Call(ast.Name("globals" | "vars" | "locals"))):
            return True
        case ast.Subscript(ast.Attribute(ast.Call(ast.Name("get_ipython")))):
            return True
        case ast.Call(ast.Name(name)) if name in ANYTHING:
            return True
        case ast.Call(ast.Name("open"), [path, ast.Constant("w" | "a" | "x" | "wb"), *_]):
            # perhaps what is imported later
            return not isinstance(path, ast.Constant) or str(path.value).endswith(".py")
        case ast.Call(ast.Attribute(attr=method)) if method in WRITES:
            return True
        case ast.ImportFrom(names=[ast.alias("*")]) | ast.ImportFrom(module="__future__"):
            return True
    return False


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


def _globals(table: symtable.SymbolTable) -> frozenset[str]:
    """The global names that the functions and classes inside refer to."""
    names = frozenset()
    for inner in table.get_children():
        names |= {s.get_name() for s in inner.get_symbols() if s.is_global()} | _globals(inner)
    return names


def needed(statements: Iterable[Statement], names: Iterable[str]) -> list[Statement]:
    """What binds or changes a name that `names` reach, and what may bind anything; in order.

    A method that is called for itself (`optimizer.step()`) may change what it belongs to, but
    not where that is a module. What is set in a module, or in a class of one, counts always.
    """
    statements, names = list(statements), set(names)
    modules = {name for s in statements if isinstance(s.node, IMPORTS) for name in s.binds}
    known = {name: s.defines for s in statements if s.defines for name in s.binds}
    kept: set[Statement] = set()

    def counts(s: Statement) -> bool:
        if s.always or (ALL in names and isinstance(s.node, DEFINES | IMPORTS)):
            return True
        called = {c[1:] for c in s.changes if c.startswith(".")}
        called |= {name for call in s.calls for name in changed_by(call, known)}
        own = {c for c in s.changes if not c.startswith(".")}
        settings = s.stores & modules or s.changes & {"sys", "os", ".sys", ".os"}
        return bool(settings or (s.binds | own | called - modules) & names)

    while more := {s for s in statements if s not in kept and counts(s)}:
        kept |= more
        for statement in more:
            names |= statement.needs
    return [statement for statement in statements if statement in kept]
