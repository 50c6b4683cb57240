"""What of our packages is needed for something in them: definitions, followed from use to use.

Sources are read, never imported. A module is kept whole, or definition by definition: then of
its top level there stays what the wanted names need. An import within a function counts like
any other, for the function may be called.
"""

import ast
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property

ALL, NOTHING = "*", ""  # of a module


@dataclass(frozen=True, order=True)
class Name:
    """A definition of a module; or all of it, or that it is there."""

    module: str
    name: str = ALL

    def __str__(self) -> str:
        return self.module if self.name in (ALL, NOTHING) else f"{self.module}.{self.name}"


@dataclass(eq=False)
class Module:
    """A module's source, statement by statement of its top level."""

    name: str
    text: str

    @cached_property
    def statements(self) -> list[ast.stmt]:
        return ast.parse(self.text).body

    @cached_property
    def binders(self) -> dict[str, list[int]]:
        """By which statements, by number, each name of the top level is bound."""
        found: dict[str, list[int]] = {}
        for number, one in enumerate(self.statements):
            for name in bound(one):
                found.setdefault(name, []).append(number)
        return found


def bound(node: ast.stmt) -> set[str]:
    """The names that a statement of the top level binds, or changes."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {node.name}
    found = set()
    for n in ast.walk(node):
        if isinstance(n, ast.Import | ast.ImportFrom):
            found |= {one.asname or one.name.partition(".")[0] for one in n.names}
        elif isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store):
            found.add(n.id)
        elif isinstance(n, ast.Attribute | ast.Subscript) and isinstance(n.ctx, ast.Store):
            found |= {m.id for m in ast.walk(n.value) if isinstance(m, ast.Name)}
    return found


def bound_in(source: str) -> set[str]:
    """The names that a piece of source binds; none where it is not Python."""
    try:
        return set().union(*map(bound, ast.parse(source).body))
    except SyntaxError:
        return set()


def taken(source: str) -> set[str]:
    """The names that a piece of source takes from what stands before it."""
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return set()
    names = [n for n in ast.walk(tree) if isinstance(n, ast.Name)]
    own = {n.id for n in names if not isinstance(n.ctx, ast.Load)}
    own |= {n.arg for n in ast.walk(tree) if isinstance(n, ast.arg)}
    return {n.id for n in names} - own


def is_import(node: ast.AST) -> bool:
    return isinstance(node, ast.Import | ast.ImportFrom)


@dataclass
class Reach:
    """Everything reached from what is asked for.

    read   gives the source of one of our modules, None where there is no such module
    whole  whether a module is kept whole once it is reached
    why    for what each name is needed: the first that was found
    kept   the statements that stay, by number; imports are told by the names that are used
    asked  the names that others ask a module for
    """

    read: Callable[[str], Module | None]
    whole: Callable[[str], bool]
    why: dict[Name, str] = field(default_factory=dict)
    kept: dict[str, set[int]] = field(default_factory=dict)
    asked: dict[str, set[str]] = field(default_factory=dict)

    def add(self, wanted: Iterable[Name], why: str) -> None:
        """Follow these names, and all that they need."""
        self._follow_all([(one, why) for one in wanted])
        while more := [*self._only_done()]:
            self._follow_all(more)

    def text(self, name: str) -> str:
        """The source of a module as far as it was reached."""
        module = self.read(name)
        if len(self.kept[name]) == len(module.statements):
            return module.text
        return shaken(module, self.kept[name], self.asked[name])

    def _follow_all(self, waiting: list[tuple[Name, str]]) -> None:
        while waiting:
            one, reason = waiting.pop()
            module = self.read(one.module)
            if one in self.why or module is None:
                continue
            self.why[one] = reason
            self.asked.setdefault(one.module, set())
            self.kept.setdefault(one.module, set())
            if outer := one.module.rpartition(".")[0]:
                waiting.append((Name(outer, NOTHING), f"{one.module} lies in it"))
            waiting += [(n, str(one)) for n in self._follow(module, one.name)]

    def _follow(self, module: Module, name: str) -> Iterator[Name]:
        numbers: Iterable[int] = ()
        if name == ALL or self.whole(module.name):
            numbers = range(len(module.statements))
        elif name != NOTHING:
            self.asked[module.name].add(name)
            numbers = module.binders.get(name) or module.binders.get("__getattr__", ())
        for number in numbers:
            statement = module.statements[number]
            if is_import(statement) and not (name == ALL or self.whole(module.name)):
                found = (t for n, t in imports(statement, self.read) if n == name)
                yield from (t if t.name != ALL else Name(t.module, NOTHING) for t in found)
            elif number not in self.kept[module.name]:
                self.kept[module.name].add(number)
                yield from needs(module, statement, self.read)

    def _only_done(self) -> Iterator[tuple[Name, str]]:
        """What statements need that bind nothing, where all that they use is there."""
        for name, kept in [*self.kept.items()]:
            module = self.read(name)
            there = self.asked[name] | {n for i in kept for n in bound(module.statements[i])}
            for number, node in enumerate(module.statements):
                text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
                if number in kept or text or bound(node):
                    continue
                used = names_in(node) & module.binders.keys()
                if used and used <= there:
                    kept.add(number)
                    yield from ((n, name) for n in needs(module, node, self.read))


def names_in(node: ast.AST) -> set[str]:
    return {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}


def needs(module: Module, node: ast.AST, read: Callable) -> Iterator[Name]:
    """The names of our modules that a piece of source refers to."""
    inside = dict(imports(node, read))
    for target in inside.values():
        yield target if target.name != ALL else Name(target.module, NOTHING)
    of_modules = {id(n.value) for n in ast.walk(node) if isinstance(n, ast.Attribute)}
    for n in ast.walk(node):
        if isinstance(n, ast.Attribute) and isinstance(n.value, ast.Name):
            target = _module_called(module, n.value.id, inside, read)
            if target:
                below = f"{target.module}.{n.attr}"
                yield Name(below, NOTHING) if read(below) else Name(target.module, n.attr)
        elif isinstance(n, ast.Name):
            if n.id not in inside and n.id in module.binders:
                yield Name(module.name, n.id)
            target = _module_called(module, n.id, inside, read)
            if target and id(n) not in of_modules:  # the module itself is handed on
                yield target


def _module_called(module: Module, name: str, inside: dict, read: Callable) -> Name | None:
    """The module of ours that is imported under a name."""
    target = inside.get(name)
    for number in module.binders.get(name, ()) if target is None else ():
        target = dict(imports(module.statements[number], read)).get(name, target)
    return target if target and target.name == ALL else None


def imports(node: ast.AST, read: Callable) -> Iterator[tuple[str, Name]]:
    """What of ours is imported in a piece of source: by its name there."""
    for inner in ast.walk(node):
        if isinstance(inner, ast.Import):
            for one in inner.names:
                if read(one.name):
                    yield one.asname or one.name.partition(".")[0], Name(one.name)
        elif isinstance(inner, ast.ImportFrom) and not inner.level and read(inner.module):
            for one in inner.names:
                below = f"{inner.module}.{one.name}"
                name = Name(below) if read(below) else Name(inner.module, one.name)
                yield one.asname or one.name, name


def shaken(module: Module, kept: set[int], asked: set[str]) -> str:
    """The source of a module with only these statements, and of its imports only the names that
    are used by them, or asked for. Of its docstring the first line stays."""
    lines = module.text.splitlines(keepends=True)
    used = asked.union(*(names_in(module.statements[n]) for n in kept))
    text, before = "", None
    for number, node in enumerate(module.statements):
        if number == 0 and isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            first = str(node.value.value).strip().splitlines()[0]
            piece = f'"""{first}"""\n' if first.isprintable() and '"' not in first else ""
        elif is_import(node):
            piece = _import(node, used)
        elif number in kept:
            first = min(n.lineno for n in (node, *getattr(node, "decorator_list", ())))
            piece = "".join(lines[first - 1 : node.end_lineno]).rstrip() + "\n"
        else:
            continue
        if piece:
            together = before is not None and is_import(node) and is_import(before)
            text += ("" if not text or together else "\n" if number < 2 else "\n\n") + piece
            before = node
    return text


def _import(node: ast.Import | ast.ImportFrom, used: set[str]) -> str:
    names = [n for n in node.names if (n.asname or n.name.partition(".")[0]) in used]
    if not names:
        return ""
    left = (
        ast.Import(names)
        if isinstance(node, ast.Import)
        else ast.ImportFrom(node.module, names, node.level)
    )
    return ast.unparse(left) + "\n"
