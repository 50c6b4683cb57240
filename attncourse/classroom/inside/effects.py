"""What a statement changes beyond the names that it binds: by itself, or by what it calls.

What a method was called of may be changed by it, and what was handed to a function that writes
into what it is given.
"""

import ast
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

CHANGES = re.compile(
    r"append|extend|insert|update|setdefault|add|remove|pop|clear|register\w*|set\w*"
    r"|manual_seed|seed|putenv|filterwarnings|simplefilter|chdir|move_to_end"
)
# write into their first argument, as all that torch ends in one underscore
INTO_FIRST = re.compile(
    r"\w*[^_]_|heap(push|pop|ify|replace)|insort\w*|shuffle|copyto|fill_diagonal|next"
)
FUNCTION = ast.FunctionDef | ast.AsyncFunctionDef
DEFINITION = FUNCTION | ast.ClassDef | ast.Lambda


@dataclass(frozen=True)
class Call:
    """A function by its name, and the names that it is given: by place, by keyword."""

    name: str
    given: tuple[frozenset[str], ...] = ()
    named: tuple[tuple[str, frozenset[str]], ...] = ()


@dataclass(frozen=True)
class Effects:
    """What happens where a function or class is called.

    touches   global names that it may change
    alters    of its parameters, in order, whether it may change what it is given
    calls     what it calls itself
    """

    touches: frozenset[str]
    alters: tuple[tuple[str, bool], ...]
    calls: tuple[Call, ...]

    def of(self, call: Call) -> frozenset[str]:
        """The names that a call of it may change."""
        known = dict(self.alters)
        found = set(self.touches)
        for (_, changed), names in zip(self.alters, call.given, strict=False):
            found |= names if changed else frozenset()
        for name, names in call.named:
            found |= names if known.get(name) else frozenset()
        return frozenset(found)


def root(node: ast.expr) -> frozenset[str]:
    """The name that attributes and indices begin with."""
    while isinstance(node, ast.Attribute | ast.Subscript | ast.Starred):
        node = node.value
    return frozenset({node.id} if isinstance(node, ast.Name) else ())


def run_at_once(node: ast.AST) -> Iterator[ast.AST]:
    """A statement and what is in it, without the bodies of functions."""
    yield node
    for name, inner in ast.iter_fields(node):
        if name == "body" and isinstance(node, FUNCTION | ast.Lambda):
            continue
        for one in inner if isinstance(inner, list) else [inner]:
            if isinstance(one, ast.AST):
                yield from run_at_once(one)


def stored(node: ast.AST) -> frozenset[str]:
    """Of what a piece of code sets or deletes an attribute or an item."""
    match node:
        case ast.Attribute() | ast.Subscript() if not isinstance(node.ctx, ast.Load):
            return root(node)
        case ast.Call(ast.Name("setattr" | "delattr"), [target, *_]):
            return root(target)
    return frozenset()


def worked_on(node: ast.AST) -> frozenset[str]:
    """What a piece of code may change by a method, or by handing it to what writes into it."""
    found: set[str] = set()
    match node:
        case ast.Call(ast.Attribute(attr=method) as called) if CHANGES.fullmatch(method):
            found |= root(called)
        case ast.Expr(ast.Call(ast.Attribute() as called)):
            found |= root(called)
    match node:
        case ast.Call(ast.Attribute(attr=how) | ast.Name(how), [first, *_]):
            found |= root(first) if INTO_FIRST.fullmatch(how) else frozenset()
    if isinstance(node, ast.Call):
        for word in node.keywords:
            found |= root(word.value) if word.arg == "out" else frozenset()
    for mark in getattr(node, "decorator_list", ()):  # @registry.add, @registry.add("name")
        called = mark.func if isinstance(mark, ast.Call) else mark
        found |= root(called) if isinstance(called, ast.Attribute) else frozenset()
    return frozenset(found)


def calls(nodes: Iterable[ast.AST]) -> Iterator[Call]:
    """What is called by its name among these: functions, decorators, base classes."""
    for node in nodes:
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            yield Call(
                node.func.id,
                tuple(map(root, node.args)),
                tuple((word.arg or "", root(word.value)) for word in node.keywords),
            )
        for mark in getattr(node, "decorator_list", ()):
            called = mark.func if isinstance(mark, ast.Call) else mark
            yield from (Call(name) for name in root(called))
        for base in getattr(node, "bases", ()):
            yield from (Call(name) for name in root(base))


def effects_of(node: ast.stmt) -> Effects | None:
    """What happens where that is called which a statement defines."""
    if isinstance(node, ast.Assign) and isinstance(node.value, ast.Lambda):
        node = node.value
    if not isinstance(node, DEFINITION):
        return None
    inner = [n for n in ast.walk(node) if n is not node]
    within = [n for n in (node, *inner) if isinstance(n, FUNCTION | ast.Lambda)]
    parameters = [one.arg for f in within for one in _parameters(f)]
    shared = {name for n in inner if isinstance(n, ast.Global) for name in n.names}
    own = {n.id for n in inner if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    own = (own | set(parameters)) - shared
    changed = {name for n in inner for name in stored(n) | worked_on(n)}
    alters = ()
    if not isinstance(node, ast.ClassDef):
        alters = tuple((one.arg, one.arg in changed) for one in _parameters(node))
    return Effects(frozenset(changed - own | shared), alters, tuple(calls(inner)))


def _parameters(function: ast.AST) -> list[ast.arg]:
    given = function.args
    return [*given.posonlyargs, *given.args, *given.kwonlyargs]


def changed_by(call: Call, known: Mapping[str, Effects]) -> frozenset[str]:
    """The names that a call may change, through all that it calls in turn."""
    found: set[str] = set()
    seen, waiting = {call.name}, [call]
    while waiting:
        one = waiting.pop()
        if effects := known.get(one.name):
            found |= effects.of(one) if one is call else effects.touches
            waiting += [c for c in effects.calls if c.name not in seen]
            seen |= {c.name for c in effects.calls}
    return frozenset(found)
