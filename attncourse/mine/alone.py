"""An answer as source that imports alone: its definition, with all that it uses.

An answer in a notebook uses names of other cells. Its imports become import lines; numbers and
words are written out; functions and classes of the learner's own, and of the course, are copied
above it, with what they use in turn.
"""

import ast
import builtins
import inspect
import linecache
import symtable
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from textwrap import dedent
from types import CodeType, FunctionType, ModuleType
from typing import Any

COURSE = "solutions"
LITERALS = (bool, int, float, complex, str, bytes, type(None), tuple, list, dict, set)
# Where torch and others have functions that do not say where they are from
HOMES = ("torch", "torch.nn.functional", "torch.special", "numpy", "math", "typing", "einops")


class Entangled(Exception):
    """Why an answer has no source that imports alone, in a few words."""


@dataclass
class Gathered:
    """What a file will hold. `names`: what each name stands for in it."""

    names: dict[str, Any] = field(default_factory=dict)
    imports: list[tuple[str, str]] = field(default_factory=list)  # module, "" or what of it
    pieces: list[str] = field(default_factory=list)

    def text(self) -> str:
        plain = sorted(f"import {module}" for module, what in self.imports if not what)
        together: dict[str, list[str]] = {}
        for module, what in sorted(self.imports):
            if what:
                together.setdefault(module, []).append(what)
        lines = plain + [f"from {m} import {', '.join(w)}" for m, w in together.items()]
        return "\n\n\n".join(["\n".join(lines)] * bool(lines) + self.pieces) + "\n"


def alone(answer: Any, name: str, is_learners: Callable[[str], bool]) -> str:
    """The source of a function or class that imports alone and calls it `name`.

    is_learners  whether a file is the learner's own, told from libraries
    Raises Entangled, with the reason, where there is no such source.
    """
    own, found = definition(answer), Gathered()
    if not is_learners(own.file):
        raise Entangled("its code is a library's")
    _Gathering(found, is_learners).define(own.name, answer)
    if own.name != name:
        if name in found.names:
            raise Entangled(f"it is called `{own.name}` and uses another `{name}`")
        found.pieces.append(f"{name} = {own.name}")
    return found.text()


@dataclass(frozen=True)
class Definition:
    """Where something is defined: its name there, the file, the lines, the names around it."""

    name: str
    file: str
    source: str
    around: dict[str, Any]


def definition(value: Any) -> Definition:
    """The definition of a function or class. Raises Entangled where none is to be found."""
    if isinstance(value, type):
        found = next((_class(value, function) for function in _methods(value)), None)
        return found or _by_inspect(value)
    function = inspect.unwrap(value) if callable(value) else value
    if not isinstance(function, FunctionType):
        raise Entangled(f"a {type(value).__name__} has no source of its own")
    if function.__code__.co_freevars:
        raise Entangled(f"`{function.__name__}` is defined inside another function")
    code = function.__code__
    source = _source(code, code.co_name, ast.FunctionDef, function.__globals__)
    return Definition(code.co_name, code.co_filename, source, function.__globals__)


def free_names(source: str) -> list[str]:
    """The names that a piece of source takes from around it, in the order of the alphabet."""
    top = symtable.symtable(source, "<answer>", "exec")

    def found(table: symtable.SymbolTable) -> Iterator[str]:
        for symbol in table.get_symbols():
            free = symbol.is_referenced() if table is top else symbol.is_global()
            if free:
                yield symbol.get_name()
        for inner in table.get_children():
            yield from found(inner)

    return sorted({*found(top)} - {s.get_name() for s in top.get_symbols() if s.is_assigned()})


class _Gathering:
    """Follows names from a definition, and gathers what they stand for."""

    def __init__(self, found: Gathered, is_learners: Callable[[str], bool]):
        self.found, self.is_learners = found, is_learners

    def define(self, name: str, value: Any) -> None:
        """Copy a definition, below all that it uses."""
        own = definition(value)
        self.found.names[name] = value
        names = free_names(own.source)
        for used in names:
            if used not in own.around and not hasattr(builtins, used):
                raise Entangled(f"`{used}` is not defined")
        inside = {used: own.around[used] for used in names if used in own.around}
        for used in sorted(inside, key=lambda one: _is_the_courses(inside[one])):
            self.add(used, inside[used], own.around)  # the learner's first: names are theirs
        course = "" if self.is_learners(own.file) else f"# from the course: {_home(value)}\n"
        renamed = "" if own.name == name else f"\n\n\n{name} = {own.name}"
        self.found.pieces.append(course + own.source.rstrip() + renamed)

    def add(self, name: str, value: Any, around: dict[str, Any]) -> None:
        """Have a name stand for a value in the file."""
        if name in self.found.names:
            if self.found.names[name] is value or _written(self.found.names[name], value):
                return
            raise Entangled(f"`{name}` stands for two things in it")
        if isinstance(value, ModuleType):
            self.bind(name, value, _module(name, value.__name__))
        elif (text := _literal(value)) is not None:
            self.found.names[name] = value
            self.found.pieces.append(f"{name} = {text}")
        elif self.of_the_learner(value):
            self.define(name, value)
        elif not (_is_the_courses(value) and self.copied(self.define, name, value)):
            if not self.copied(self.assign, name, value):
                self.bind(name, value, _from(name, value, around))

    def bind(self, name: str, value: Any, line: tuple[str, str]) -> None:
        self.found.names[name] = value
        self.found.imports.append(line)

    def of_the_learner(self, value: Any) -> bool:
        try:
            return self.is_learners(definition(value).file)
        except Entangled:
            if getattr(value, "__module__", None) == "__main__":
                raise
            return False

    def assign(self, name: str, value: Any) -> None:
        """Copy the line of the course that makes a value, below all that it uses. Raises
        Entangled where there is none."""
        for module in [m for n, m in sys.modules.items() if n.partition(".")[0] == COURSE]:
            if getattr(module, name, None) is value and (line := _line(module, name)):
                self.found.names[name] = value
                for used in free_names(line):
                    if used in vars(module):
                        self.add(used, getattr(module, used), vars(module))
                self.found.pieces.append(f"# from the course: {module.__name__}.{name}\n{line}")
                return
        raise Entangled(f"`{name}` is made by no line of the course")

    def copied(self, copy: Callable[[str, Any], None], name: str, value: Any) -> bool:
        """Copy something of the course, if that is possible; else leave all as it was."""
        before = Gathered(dict(self.found.names), [*self.found.imports], [*self.found.pieces])
        try:
            copy(name, value)
        except Entangled:
            vars(self.found).update(vars(before))
            return False
        return True


def _line(module: ModuleType, name: str) -> str:
    """The statement of the top level of a module that assigns a name; "" where none does."""
    source = inspect.getsource(module)
    for node in ast.parse(source).body:
        targets = getattr(node, "targets", [getattr(node, "target", None)])
        if isinstance(node, ast.Assign | ast.AnnAssign):
            if any(isinstance(one, ast.Name) and one.id == name for one in targets):
                return ast.get_source_segment(source, node)
    return ""


def _written(one: Any, other: Any) -> bool:
    return _literal(one) is not None and _literal(one) == _literal(other)


def _literal(value: Any) -> str | None:
    """How a number, a word, or a collection of such is written; None for anything else."""
    if type(value) not in LITERALS:
        return None
    text = repr(value)
    try:
        return text if ast.literal_eval(text) == value else None
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None


def _is_the_courses(value: Any) -> bool:
    return str(getattr(value, "__module__", "")).partition(".")[0] == COURSE


def _home(value: Any) -> str:
    return f"{value.__module__}.{value.__qualname__}"


def _renamed(called: str, name: str) -> str:
    return called if name == called else f"{called} as {name}"


def _module(name: str, module: str) -> tuple[str, str]:
    """How a module is imported under a name."""
    package, _, last = module.rpartition(".")
    return (package, _renamed(last, name)) if package else (_renamed(module, name), "")


def _from(name: str, value: Any, around: dict[str, Any]) -> tuple[str, str]:
    """How something is imported from where it is offered, the shortest way."""
    own = getattr(value, "__module__", None)
    parts = own.split(".") if isinstance(own, str) else []
    places = [".".join(parts[:n]) for n in range(1, len(parts) + 1)]
    places += [*HOMES, around.get("__name__", "")]
    places += [m for m in sys.modules if m.partition(".")[0] in (COURSE, "attncourse")]
    for called in dict.fromkeys((getattr(value, "__name__", None), name)):
        for place in places:
            module = sys.modules.get(place)
            if not called or module is None or place == "__main__":
                continue
            if getattr(module, called, None) is value:
                return place, _renamed(called, name)
    raise Entangled(f"`{name}`, a {type(value).__name__}, is made elsewhere in the notebook")


def _methods(kind: type) -> Iterator[FunctionType]:
    for value in vars(kind).values():
        function = inspect.unwrap(getattr(value, "__func__", getattr(value, "fget", value)))
        if isinstance(function, FunctionType):
            yield function


def _class(kind: type, method: FunctionType) -> Definition | None:
    code = method.__code__
    try:
        source = _source(code, kind.__name__, ast.ClassDef, method.__globals__)
    except Entangled:  # a method that is made, or taken from elsewhere
        return None
    return Definition(kind.__name__, code.co_filename, source, method.__globals__)


def _by_inspect(kind: type) -> Definition:
    try:
        source, file = dedent(inspect.getsource(kind)), inspect.getsourcefile(kind)
        around = vars(sys.modules[kind.__module__])
    except (OSError, TypeError, KeyError) as error:
        raise Entangled(f"`{kind.__name__}` has no source") from error
    return Definition(kind.__name__, str(file), source, around)


def _source(code: CodeType, name: str, kind: type, around: dict[str, Any]) -> str:
    """The source of the definition of this name that holds this code."""
    lines = linecache.getlines(code.co_filename, around)
    try:
        tree = ast.parse("".join(lines))
    except (SyntaxError, ValueError) as error:
        raise Entangled(f"the cell of `{name}` cannot be read as Python") from error
    for node in ast.walk(tree):
        if isinstance(node, kind) and node.name == name:
            first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
            if first <= code.co_firstlineno <= node.end_lineno:
                return dedent("".join(lines[first - 1 : node.end_lineno]))
    raise Entangled(f"`{name}` has no source")
