"""The solution written otherwise in one place: a name for another, one more or less, a term
left out. An answer that gives what such a text gives, on every trial, is told what stands
there.

Steps (see `every`) are what happens to tensors while it runs; this is what is written: sizes,
counts, comparisons, patterns of axes. It also reads masks, whole numbers and several returns.
"""

import __future__

import ast
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice
from typing import Any

from torch import Tensor
from torch.utils._pytree import tree_leaves

from attncourse.checker.calling import run
from attncourse.checker.equal import hopeless, same
from attncourse.checker.running import attempt, calm
from attncourse.checker.sheet import sheet
from attncourse.exercises.record import Exercise
from attncourse.exercises.source import source

MOST, MOST_OF_A_MODULE = 150, 40  # texts that are tried: what they cost is counted, not timed
LARGE_TRIAL = 2000  # numbers in what is returned
Slot = tuple[ast.AST, str, int | None]  # a node, its field, and the place in a list


@dataclass(frozen=True)
class Rewritten:
    """The solution with something else in one place, and how that is told."""

    text: str
    answer: Callable


def rewritten(ex: Exercise, index: int, probe: str, answers: Sequence[Any]) -> str | None:
    """What stands in an answer in place of what should, in one line, or nothing. `answers` is
    what it makes of each declared trial; the first that departs is at `index`."""
    if hopeless(answers[index]):
        return None
    known, texts = sheet(ex), _every(ex)
    others = [i for i in range(len(answers)) if i != index]
    for n, one in enumerate(texts):
        if not same(_outcome(ex, n, index, probe), answers[index]):
            continue
        if all(same(_outcome(ex, n, i, probe), answers[i]) for i in others):
            if not same(known.expected(index, probe), answers[index]):
                return one.text
    return None


@cache
def _every(ex: Exercise) -> tuple[Rewritten, ...]:
    many = most(ex, MOST_OF_A_MODULE if ex.is_module else MOST)
    found = attempt(lambda: tuple(islice(_texts(ex), many)))
    return found if isinstance(found, tuple) else ()


def most(ex: Exercise, texts: int) -> int:
    """How many are tried: fewer where a trial is large, and so takes longer."""
    known = sheet(ex)
    right = [known.expected(0, probe) for probe in ex.probes]
    numbers = sum(x.numel() for x in tree_leaves(right) if isinstance(x, Tensor))
    return texts if numbers < LARGE_TRIAL else texts // 4


_outcomes: dict[tuple, Any] = {}


def _outcome(ex: Exercise, n: int, index: int, probe: str) -> Any:
    """What a text gives on a trial, made once."""
    key = ex.id, n, index, probe
    if key not in _outcomes:
        with calm():
            result = run(ex, _every(ex)[n].answer, sheet(ex).trials[index])
        _outcomes[key] = result.outcomes.get(probe)
    return _outcomes[key]


# ------------------------------------------------------------------ texts


def _texts(ex: Exercise) -> Iterator[Rewritten]:
    """Every text, the likely ones first."""
    tree = ast.parse(source(ex)).body[0]
    functions = tree.body if isinstance(tree, ast.ClassDef) else [tree]
    found = []
    for function in functions:
        if not isinstance(function, ast.FunctionDef) or function.name == "__init__":
            continue
        if any(isinstance(n, ast.While) for n in ast.walk(function)):
            continue  # it might not end
        if any(getattr(n, "id", "") == "super" for n in ast.walk(function)):
            continue
        slots = list(_slots(function))
        for rank, text, changes in _changes(ex, function, slots):
            found.append((rank, len(found), text, function, changes))
    for _, _, text, function, changes in sorted(found, key=lambda at: at[:2]):
        kept = [(slot, _get(slot)) for slot, _ in changes]
        for slot, new in changes:
            _set(slot, new)
        answer = attempt(lambda f=function: _compiled(ex, f))
        for slot, old in kept:
            _set(slot, old)
        if isinstance(answer, type) or callable(answer):
            yield Rewritten(text, answer)


def _compiled(ex: Exercise, function: ast.FunctionDef) -> Callable:
    """The solution with this function in place of its own."""
    tree = ast.fix_missing_locations(ast.Module([function], []))
    code = compile(tree, f"<{ex.id}>", "exec", __future__.annotations.compiler_flag)
    scope = dict(vars(sys.modules[ex.solution.__module__]))
    exec(code, scope)
    made = scope[function.name]
    if not ex.is_module:
        return made
    own = {function.name: made, "__module__": ex.solution.__module__}
    return type(ex.name, (ex.solution,), own)


def _get(slot: Slot) -> ast.AST:
    node, field, at = slot
    return getattr(node, field) if at is None else getattr(node, field)[at]


def _set(slot: Slot, new: ast.AST) -> None:
    node, field, at = slot
    if at is None:
        setattr(node, field, new)
    else:
        getattr(node, field)[at] = new


def _slots(function: ast.FunctionDef) -> Iterator[Slot]:
    """Every place of the body where an expression stands, but for what only refuses input."""

    def inside(node: ast.AST) -> Iterator[Slot]:
        for field, value in ast.iter_fields(node):
            if field in ("annotation", "returns", "decorator_list", "args") and isinstance(
                node, (ast.FunctionDef, ast.AnnAssign)
            ):
                continue
            for at, one in enumerate(value if isinstance(value, list) else [value]):
                if not isinstance(one, ast.AST) or _refuses(one):
                    continue
                if isinstance(one, ast.expr):
                    yield node, field, at if isinstance(value, list) else None
                yield from inside(one)

    yield from inside(function)


def _refuses(node: ast.AST) -> bool:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return True  # a docstring
    guard = isinstance(node, ast.If) and isinstance(node.body[0], ast.Raise) and not node.orelse
    return guard or isinstance(node, ast.Raise)


# ------------------------------------------------------------------ what is changed

Change = tuple[int, str, list[tuple[Slot, ast.AST]]]  # rank, text, what stands where


def _changes(ex: Exercise, function: ast.FunctionDef, slots: list[Slot]) -> Iterator[Change]:
    names = [a.arg for a in (*function.args.args, *function.args.kwonlyargs)]
    names = [n for n in names if n != "self"]
    yield from _exchanged(names, slots)
    own = dict.fromkeys(
        node.attr for node in map(_get, slots) if isinstance(node, ast.Attribute) and _own(node)
    )
    for slot in slots:
        node = _get(slot)
        for rank, new in _instead(node, names, list(own), slot):
            yield rank, _told(slot, node, new), [(slot, new)]
        yield from _terms(ex, slot, node, names)


def _own(node: ast.Attribute) -> bool:
    return isinstance(node.value, ast.Name) and node.value.id == "self"


def _exchanged(names: Sequence[str], slots: list[Slot]) -> Iterator[Change]:
    """Two arguments, each in the place of the other, wherever they are read."""
    for n, one in enumerate(names):
        for other in names[:n]:
            swap = {one: other, other: one}
            changes = [
                (slot, ast.Name(swap[node.id], ast.Load()))
                for slot in slots
                if isinstance(node := _get(slot), ast.Name)
                and node.id in swap
                and isinstance(node.ctx, ast.Load)
            ]
            if changes:
                yield 0, f"`{other}` and `{one}` are exchanged.", changes


COMPARED = {
    ast.Lt: (ast.LtE, ast.Gt),
    ast.LtE: (ast.Lt, ast.GtE),
    ast.Gt: (ast.GtE, ast.Lt),
    ast.GtE: (ast.Gt, ast.LtE),
    ast.Eq: (ast.NotEq, ast.LtE, ast.GtE),
}
OPERATED = {
    ast.Add: (ast.Sub, ast.Mult),
    ast.Sub: (ast.Add,),
    ast.Mult: (ast.Div, ast.Add, ast.FloorDiv),
    ast.Div: (ast.Mult, ast.FloorDiv),
    ast.FloorDiv: (ast.Mod, ast.Mult),
    ast.Mod: (ast.FloorDiv,),
    ast.BitAnd: (ast.BitOr,),
    ast.BitOr: (ast.BitAnd,),
}
CALLED = {
    "math.ceil": ("math.floor", "round"),
    "math.floor": ("math.ceil", "round"),
    "max": ("min", "sum"),
    "min": ("max",),
    "torch.minimum": ("torch.maximum",),
    "torch.maximum": ("torch.minimum",),
    "math.isqrt": ("int",),
}
ENDINGS = {"sum": ("mean",), "mean": ("sum",), "sin": ("cos",), "cos": ("sin",)}
WORDS = {"mean": ("sum", "max"), "max": ("mean",), "sum": ("mean",)}


def _instead(
    node: ast.AST, names: Sequence[str], own: Sequence[str], slot: Slot
) -> Iterator[tuple[int, ast.AST]]:
    """What people write in place of an expression, and how far down the list it stands."""
    if isinstance(node, ast.Name) and node.id in names and isinstance(node.ctx, ast.Load):
        yield from ((1, ast.Name(n, ast.Load())) for n in names if n != node.id)
    elif isinstance(node, ast.Attribute) and _own(node):
        for attr in own:
            if attr != node.attr:
                yield 1, ast.Attribute(node.value, attr, ast.Load())
    elif isinstance(node, ast.Attribute) and node.attr in ("mT", "T"):
        yield 2, node.value
    elif isinstance(node, ast.Constant):
        yield from ((2, new) for new in _constants(node, slot))
    elif isinstance(node, ast.UnaryOp):
        if isinstance(node.operand, ast.Constant) and isinstance(node.operand.value, int):
            for n in _near_of(-node.operand.value, slot):
                yield 1 if isinstance(slot[0], ast.Subscript) else 2, _number(n)
        else:
            yield 2, node.operand
    elif isinstance(node, ast.Compare) and len(node.ops) == 1:
        for op in COMPARED.get(type(node.ops[0]), ()):
            yield 1, ast.Compare(node.left, [op()], node.comparators)
    elif isinstance(node, ast.BinOp):
        for op in OPERATED.get(type(node.op), ()):
            yield 2, ast.BinOp(node.left, op(), node.right)
        if isinstance(node.op, (ast.Sub, ast.Div, ast.FloorDiv, ast.Mod, ast.MatMult)):
            yield 2, ast.BinOp(node.right, node.op, node.left)
        if not isinstance(node.op, (ast.Add, ast.Mult)):
            yield 3, node.left
        yield from ((1, new) for new in _rounded_after(node))
    elif isinstance(node, ast.Call):
        yield from _calls(node)
    elif isinstance(node, ast.Subscript):
        yield from ((2, new) for new in _slices(node))
    elif isinstance(node, ast.IfExp):
        yield 2, ast.IfExp(node.test, node.orelse, node.body)
        yield 3, node.body
        yield 3, node.orelse


def _rounded_after(node: ast.BinOp) -> Iterator[ast.AST]:
    """A quotient that is rounded after it is multiplied, and not before."""
    call = node.right
    if not isinstance(node.op, ast.Mult) or not isinstance(call, ast.Call) or not call.args:
        return
    quotient = call.args[0]
    if not isinstance(quotient, ast.BinOp) or not isinstance(quotient.op, ast.Div):
        return
    product = ast.BinOp(node.left, ast.Mult(), quotient.left)
    yield ast.BinOp(product, ast.FloorDiv(), quotient.right)
    whole = ast.BinOp(product, ast.Div(), quotient.right)
    yield ast.Call(call.func, [whole, *call.args[1:]], call.keywords)


def _slices(node: ast.Subscript) -> Iterator[ast.AST]:
    """The other side of a cut."""
    cut = node.slice
    if isinstance(cut, ast.Slice) and (cut.lower is None) != (cut.upper is None):
        yield ast.Subscript(node.value, ast.Slice(cut.upper, cut.lower), ast.Load())


def _number(n: int) -> ast.AST:
    return ast.UnaryOp(ast.USub(), ast.Constant(-n)) if n < 0 else ast.Constant(n)


def _near_of(n: int, slot: Slot) -> list[int]:
    """Numbers that are taken for this one; axes, of a shape."""
    parent = slot[0]
    if isinstance(parent, ast.Subscript) and ast.unparse(parent.value).endswith(".shape"):
        return [m for m in (-1, -2, -3, 0, 1) if m != n]
    return [m for m in (n + 1, n - 1) if m not in (n, -n)]


def _constants(node: ast.Constant, slot: Slot) -> Iterator[ast.AST]:
    x = node.value
    if isinstance(x, bool):
        yield ast.Constant(not x)
    elif isinstance(x, int):
        if isinstance(slot[0], ast.UnaryOp):
            return
        near = _near_of(x, slot) + ([2 * x, x // 2] if x > 2 else [])
        near += [10 * x, x // 10] if x >= 100 else []
        yield from map(_number, dict.fromkeys(near))
    elif isinstance(x, str) and x in WORDS:
        yield from map(ast.Constant, WORDS[x])
    elif isinstance(x, str):
        for found in re.finditer(r"\((\w+) (\w+)\)", x):
            turned = f"({found[2]} {found[1]})"
            yield ast.Constant(x[: found.start()] + turned + x[found.end() :])


def _calls(node: ast.Call) -> Iterator[tuple[int, ast.AST]]:
    name = ast.unparse(node.func)
    for other in CALLED.get(name, ()):
        yield 1, ast.Call(ast.parse(other, mode="eval").body, node.args, node.keywords)
    first = node.args[0] if node.args else None
    if name == "math.ceil" and isinstance(first, ast.BinOp) and isinstance(first.op, ast.Div):
        yield 1, ast.BinOp(first.left, ast.FloorDiv(), first.right)
    if name in ("math.sqrt", "round", "int", "math.floor", "math.ceil") and node.args:
        yield 2, node.args[0]
    if isinstance(node.func, ast.Attribute) and not name.startswith(("math.", "torch.", "F.")):
        for other in ENDINGS.get(node.func.attr, ()):
            func = ast.Attribute(node.func.value, other, ast.Load())
            yield 2, ast.Call(func, node.args, node.keywords)
        if not name.startswith("self."):
            yield 3, node.func.value


# ------------------------------------------------------------------ terms and factors


def _terms(ex: Exercise, slot: Slot, node: ast.AST, names: Sequence[str]) -> Iterator[Change]:
    """A term or a factor that is left out; in a count, a factor that is too many."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Add, ast.Mult)):
        kind = "term" if isinstance(node.op, ast.Add) else "factor"
        for kept, lost in ((node.left, node.right), (node.right, node.left)):
            text = f"The {kind} `{_short(lost)}` is missing, next to `{_short(kept)}`."
            yield 2, text, [(slot, kept)]
    if ex.is_module or any(axes for axes in ex.probes.values() if axes):
        return
    whole = isinstance(slot[0], ast.Return)
    parent = slot[0]
    term = isinstance(parent, ast.BinOp) and isinstance(parent.op, ast.Add)
    if not (whole or term or isinstance(parent, ast.Assign)) or isinstance(node, ast.Tuple):
        return
    what = "The result" if whole else f"The term `{_short(node)}`"
    for factor in (*names, "2", "3", "4"):
        new = ast.BinOp(node, ast.Mult(), ast.parse(factor, mode="eval").body)
        yield 3, f"{what} is multiplied by `{factor}` once too often.", [(slot, new)]
    count = ast.Call(ast.Name("int", ast.Load()), [node], [])  # of a count, in whole numbers
    for part in (ast.BinOp(count, ast.FloorDiv(), ast.Constant(2)), _halved(node)):
        yield 3, f"{what} is only half of what it should be.", [(slot, part)]
    if whole:
        for extra in (-1, 1):
            new = ast.BinOp(node, ast.Add(), _number(extra))
            yield 3, f"The result is one too {'many' if extra > 0 else 'few'}.", [(slot, new)]


def _halved(node: ast.expr) -> ast.expr:
    return ast.BinOp(node, ast.Div(), ast.Constant(2))


# ------------------------------------------------------------------ how it is told


def _told(slot: Slot, old: ast.AST, new: ast.AST) -> str:
    """What stands where it should not, with what is around it."""
    if isinstance(old, ast.Constant) and isinstance(old.value, str):
        one, two = (_pattern(a.value, b.value) for a, b in ((new, old), (old, new)))
        return f"Your result is that of `{one}` where `{two}` belongs."
    around = slot[0]
    wide = isinstance(old, (ast.Constant, ast.UnaryOp, ast.Name, ast.Attribute))
    if wide and isinstance(around, (ast.BinOp, ast.Compare, ast.Subscript, ast.Call)):
        right = _short(around)
        _set(slot, new)
        mine = _short(around)
        _set(slot, old)
        if mine != right and "…" not in mine:
            return f"Your result is that of `{mine}` where `{right}` belongs."
    return f"Your result is that of `{_short(new)}` where `{_short(old)}` belongs."


def _pattern(mine: str, other: str) -> str:
    """The part of a pattern in which it differs from another."""
    parts = re.findall(r"\([^)]*\)|\S+", mine), re.findall(r"\([^)]*\)|\S+", other)
    return next((a for a, b in zip(*parts, strict=False) if a != b), mine)


def _short(node: ast.AST, most: int = 44) -> str:
    """An expression as it is written, with … for what is long in it."""
    text = ast.unparse(node)
    if len(text) <= most:
        return text
    if isinstance(node, ast.BinOp):
        sign = ast.unparse(ast.BinOp(ast.Name("a"), node.op, ast.Name("b")))[1:-1]
        return f"{_short(node.left, most // 2)}{sign}{_short(node.right, most // 2)}"
    if isinstance(node, ast.Compare):
        sign = ast.unparse(ast.Compare(ast.Name("a"), node.ops[:1], [ast.Name("b")]))[1:-1]
        return f"{_short(node.left, most // 2)}{sign}{_short(node.comparators[0], most // 2)}"
    if isinstance(node, ast.Call):
        if isinstance(node.func, ast.Attribute):
            return f"{_short(node.func.value, most // 2)}.{node.func.attr}(…)"
        return f"{ast.unparse(node.func)}(…)"
    return "…"
