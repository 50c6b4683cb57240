"""Whose code runs: the learner's own lines, told from the course's and from libraries'."""

import ast
import linecache
import sysconfig
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import CodeType, FrameType
from typing import NamedTuple

OURS = str(Path(__file__).parents[1])
SOLUTIONS = str(Path(__file__).parents[2] / "solutions")
LIBRARIES = tuple({sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")})


class Spot(NamedTuple):
    """A line of the learner's: `number` is counted from the first line of the function."""

    function: str
    number: int
    line: str


@cache
def is_learners(file: str) -> bool:
    """Whether a file is neither ours nor a library's."""
    others = (OURS, SOLUTIONS, "<frozen", *LIBRARIES)
    return not file.startswith(others) and file != "<__array_function__ internals>"


def up(frame: FrameType | None) -> Iterator[FrameType]:
    """A frame, and those that called it, the innermost first."""
    while frame is not None:
        yield frame
        frame = frame.f_back


def spot(code: CodeType, lineno: int) -> Spot:
    """A line of a function."""
    line = linecache.getline(code.co_filename, lineno).strip()
    return Spot(code.co_name, lineno - code.co_firstlineno + 1, line)


def loop_around(code: CodeType, lines: set[int]) -> int | None:
    """The first line of the loop that holds all of these lines of a function: the innermost
    `while`, else the innermost `for`; None where there is no loop."""
    try:
        tree = ast.parse("".join(linecache.getlines(code.co_filename)))
    except (SyntaxError, SystemError, RecursionError):  # a %magic; another thread parses
        return None
    found = [
        (isinstance(node, ast.While), node.lineno)
        for node in ast.walk(tree)
        if isinstance(node, ast.While | ast.For)
        and code.co_firstlineno <= node.lineno <= min(lines)
        and max(lines) <= node.end_lineno
    ]
    return max(found)[1] if found else None
