"""The learner's line, read as code: which expression on it fails."""

import ast
from collections.abc import Iterator, Mapping

from attncourse.checker.running import Crash

Shape = tuple[int, ...]
TURNS = ("mT", "T")


def parsed(line: str) -> ast.AST | None:
    """A line as a tree; None where it is part of a longer statement."""
    line = line.strip().removeprefix("el")
    for text in (line, f"{line} pass", f"{line}\n    pass"):
        try:
            return ast.parse(text)
        except SyntaxError:
            continue
    return None


def _nodes(crash: Crash, *kinds: type) -> Iterator[ast.AST]:
    tree = parsed(crash.line)
    return (n for n in ast.walk(tree) if isinstance(n, kinds)) if tree else iter(())


# ---------------------------------------------------------------- one yes or no


def asked_whether_given(crash: Crash) -> list[str]:
    """The tensors that stand alone in an `if`, as one asks whether they are given at all."""
    found = []
    for node in _nodes(crash, ast.If, ast.IfExp, ast.While):
        parts = [node.test]
        if isinstance(node.test, ast.BoolOp):
            parts = node.test.values
        for part in parts:
            part = part.operand if isinstance(part, ast.UnaryOp) else part
            if isinstance(part, ast.Name) and part.id in crash.shapes:
                found.append(part.id)
    return list(dict.fromkeys(found))


def asked_of_all(crash: Crash) -> str:
    """The comparison in an `if` that is one of whole tensors, as it is written."""
    for node in _nodes(crash, ast.If, ast.IfExp, ast.While, ast.Assert):
        if isinstance(node.test, ast.Compare) and len(node.test.ops) == 1:
            return ast.unparse(node.test)
    return ""


def chained(crash: Crash) -> tuple[str, str] | None:
    """A comparison of three, as it is written, and as it is meant."""
    for node in _nodes(crash, ast.Compare):
        if len(node.ops) < 2:
            continue
        parts = [node.left, *node.comparators]
        bare = [
            p
            for p in parts
            if isinstance(p, ast.BinOp) and isinstance(p.op, (ast.BitAnd, ast.BitOr))
        ]
        if bare:
            sign = "&" if isinstance(bare[0].op, ast.BitAnd) else "|"
            return sign, "brackets"
        ops = [ast.unparse(ast.Compare(ast.Name(""), [op], [ast.Name("")])) for op in node.ops]
        pairs = zip(parts, ops, parts[1:], strict=False)
        meant = " & ".join(
            f"({ast.unparse(a)} {op.strip()} {ast.unparse(b)})" for a, op, b in pairs
        )
        return ast.unparse(node), meant
    return None


def either(crash: Crash) -> tuple[str, str] | None:
    """The two names of `one or other`, where nothing is compared."""
    for node in _nodes(crash, ast.BoolOp):
        names = [value.id for value in node.values if isinstance(value, ast.Name)]
        if isinstance(node.op, ast.Or) and len(names) == len(node.values) == 2:
            return names[0], names[1]
    return None


def joined(crash: Crash) -> str:
    """The word that joins, or turns, two truth values: "and", "or", "not"; "" if none does."""
    for node in _nodes(crash, ast.BoolOp, ast.UnaryOp):
        if isinstance(node, ast.BoolOp):
            return "and" if isinstance(node.op, ast.And) else "or"
        if isinstance(node.op, ast.Not):
            return "not"
    return ""


# ---------------------------------------------------------------- a product


def product_remedy(crash: Crash) -> str:
    """What makes the one matrix product of a line fit: a transpose more, or one less."""
    products = [
        n
        for n in _nodes(crash, ast.BinOp)
        if isinstance(n.op, ast.MatMult) and not _fits(n, crash.shapes)
    ]
    if len(products) != 1:
        return ""
    left, right = products[0].left, products[0].right
    sides = [_side(side, crash.shapes) for side in (left, right)]
    if None in sides:
        return ""
    (a, times_a), (b, times_b) = sides
    for turn_a, turn_b in ((0, 1), (1, 0), (1, 1)):
        one, two = _turned(a, turn_a), _turned(b, turn_b)
        if len(one) < 2 or len(two) < 2 or one[-1] != two[-2]:
            continue
        said = []
        for turn, times, node in ((turn_a, times_a, left), (turn_b, times_b, right)):
            if not turn:
                continue
            name = ast.unparse(_bare(node))
            if times > 1:
                said.append(f"the {times} transposes of `{name}` undo each other: take one")
            elif times:
                said.append(f"the transpose of `{name}` is one too many")
            else:
                said.append(f"did you forget to transpose `{name}`, `{name}.mT`")
        text = " and ".join(said)
        return text + ("?" if "forget" in text else ".")
    return ""


def _turned(shape: Shape, turn: int) -> Shape:
    return (*shape[:-2], shape[-1], shape[-2]) if turn and len(shape) > 1 else shape


def _fits(node: ast.BinOp, shapes: Mapping[str, Shape]) -> bool:
    sides = [_side(side, shapes) for side in (node.left, node.right)]
    if None in sides:
        return False
    (a, _), (b, _) = sides
    return len(a) > 1 and len(b) > 1 and a[-1] == b[-2]


def _is_turn(node: ast.AST) -> bool:
    if isinstance(node, ast.Attribute):
        return node.attr in TURNS
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in ("transpose", "swapaxes")
        and {ast.unparse(a) for a in node.args} in ({"-1", "-2"}, {"1", "2"})
    )


def _bare(node: ast.AST) -> ast.AST:
    """What is transposed, without its transposes."""
    while _is_turn(node):
        node = node.func.value if isinstance(node, ast.Call) else node.value
    return node


def _side(node: ast.AST, shapes: Mapping[str, Shape]) -> tuple[Shape, int] | None:
    """The shape of one side of a product, and how often it is transposed; None if that cannot
    be told."""
    times = 0
    while _is_turn(node):
        node, times = node.func.value if isinstance(node, ast.Call) else node.value, times + 1
    if not isinstance(node, ast.Name) or node.id not in shapes:
        return None
    return _turned(shapes[node.id], times % 2), times


# ---------------------------------------------------------------- in a kernel


def reduced_over_first(crash: Crash) -> str:
    """A reduction over the first axis on the line, as it is written: "tl.max(scores, 0)"."""
    for node in _nodes(crash, ast.Call):
        name = ast.unparse(node.func)
        axis = node.args[1] if len(node.args) > 1 else None
        axis = next((k.value for k in node.keywords if k.arg in ("axis", "dim")), axis)
        if name.split(".")[-1] in ("max", "sum", "min") and isinstance(axis, ast.Constant):
            if axis.value == 0:
                return ast.unparse(node)
    return ""
