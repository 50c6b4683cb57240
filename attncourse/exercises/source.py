"""The source of a solution, and what of it the learner writes."""

import ast
import inspect
from collections.abc import Iterator
from functools import cache
from textwrap import dedent

from attncourse.errors import Broken
from attncourse.exercises.record import Exercise


@cache
def source(ex: Exercise) -> str:
    """The source of the solution, as the solved edition shows it."""
    try:
        return dedent(inspect.getsource(ex.solution)).rstrip()
    except (OSError, TypeError) as error:
        raise Broken(f"{ex.id}: its solution has no source to show: {error}") from error


def stub(ex: Exercise) -> str:
    """The source of the solution with the bodies that the learner writes taken out."""
    lines = source(ex).splitlines()
    for node, span in reversed(list(bodies(ex, lines))):
        lines[span] = [" " * (node.col_offset + 4) + "raise NotImplementedError"]
    return "\n".join(lines)


def blanked_lines(ex: Exercise) -> list[str]:
    """The lines that the stub leaves out, without those that only refuse bad input."""
    lines = source(ex).splitlines()
    found = []
    for node, span in bodies(ex, lines):
        guards = {
            number
            for inner in ast.walk(node)
            if isinstance(inner, ast.If)
            and isinstance(inner.body[0], ast.Raise)
            and not inner.orelse
            for number in range(inner.lineno - 1, inner.end_lineno)
        }
        found += [lines[n] for n in range(span.start, span.stop) if n not in guards]
    return found


def docstrings(ex: Exercise) -> list[str]:
    """What the stub says in words: of the function; of the class and each of its methods. None
    where there is no source."""
    try:
        (top,) = ast.parse(source(ex)).body
    except Broken:
        return []
    kinds = ast.ClassDef | ast.FunctionDef
    nodes = [top, *(n for n in getattr(top, "body", ()) if isinstance(n, kinds))]
    return [text for node in nodes if (text := ast.get_docstring(node))]


def raises(ex: Exercise) -> list[str]:
    """The first line of every `raise ValueError` that the learner writes."""
    lines = source(ex).splitlines()
    return [
        lines[inner.lineno - 1].strip()
        for node, _ in bodies(ex, lines)
        for inner in ast.walk(node)
        if isinstance(inner, ast.Raise) and "ValueError" in ast.unparse(inner)
    ]


def where(ex: Exercise) -> str:
    """The file in which the solution stands."""
    return f"{ex.solution.__module__.replace('.', '/')}.py"


@cache
def written(ex: Exercise, text: str) -> tuple[tuple[ast.FunctionDef, int, int], ...]:
    """Every function whose body the learner writes, and where in a text of the solution, such
    as its `source`, that body stands."""
    lines = text.splitlines(keepends=True)
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))
    return tuple(
        (node, starts[span.start], starts[span.stop])
        for node, span in bodies(ex, text.splitlines())
    )


def bodies(ex: Exercise, lines: list[str]) -> Iterator[tuple[ast.FunctionDef, slice]]:
    """Every function whose body the learner writes, and the lines which that body takes up.

    The docstring stays; comments before, in and after the body go with it.
    """
    (top,) = ast.parse("\n".join(lines)).body
    defs = [n for n in getattr(top, "body", ()) if isinstance(n, ast.FunctionDef)]
    wanted = [n for n in defs if n.name in ex.blank] if ex.is_module else [top]
    if missing := sorted(set(ex.blank) - {n.name for n in wanted}) if ex.is_module else ():
        raise Broken(
            f"{ex.id}: blank names {', '.join(missing)}, which {ex.name} does not define "
            f"itself. It defines {', '.join(n.name for n in defs)}."
        )
    for node in wanted:
        body = node.body[1:] if ast.get_docstring(node) is not None else node.body
        if not body:
            raise Broken(f"{ex.id}: {node.name} has no body that could be left out.")
        start, stop = body[0].lineno - 1, body[-1].end_lineno
        while lines[start - 1].lstrip().startswith("#"):
            start -= 1
        rest = enumerate(lines[stop:], stop + 1)
        for number, line in rest:
            if not line.strip():
                continue
            if not line.lstrip().startswith("#") or _indent(line) <= node.col_offset:
                break
            stop = number
        yield node, slice(start, stop)


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())
