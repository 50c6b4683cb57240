"""The rules of the notebooks' prose and cells, as far as a program can see them."""

import ast
import re
from collections.abc import Iterable

from nbformat import NotebookNode

from attncourse.book.editions import read_cells
from attncourse.exercises.record import Exercise

MOST_LINES = 12  # of a code cell that is not folded
MOST_WORDS = 120  # of a markdown cell
EMOJI = re.compile("[\U0001f000-\U0001faff\u2600-\u27bf\u2b00-\u2bff\ufe0f]")
EVASIVE = re.compile(r"\b(simply|obviously)\b", re.IGNORECASE)
NOT_PROSE = (
    re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE),
    re.compile(r"<details>.*?</details>", re.DOTALL),
    re.compile(r"\$\$.*?\$\$", re.DOTALL),
    re.compile(r"\$[^$\n]*(?:\n[^$\n]+)?\$"),
    re.compile(r"`[^`]*`"),
    re.compile(r"^\s*(\||#).*$", re.MULTILINE),  # tables and headings
    re.compile(r"<[^>]*>"),
    re.compile(r"\]\([^)]*\)"),  # where a link leads
)


def lint(
    script: str, exercises: Iterable[Exercise] = (), minutes: int | None = None
) -> list[str]:
    """What a chapter's script does against the rules, one line each.

    exercises  those of the chapter: each is cited once, in order, and each is followed by its
               check, its hint and the way round it
    minutes    how long the chapter takes; its opening says so
    """
    cells = read_cells(script).cells
    exercises = {ex.id: ex for ex in exercises}
    where = _places(script, cells)
    problems = []
    for place, cell in zip(where, cells, strict=True):
        problems += [f"{place}: {complaint}" for complaint in _complaints(cell)]
    problems += _opening(cells, minutes, sum(ex.minutes for ex in exercises.values()))
    cited = [c.metadata["exercise"] for c in cells if "exercise" in c.metadata]
    problems += _citations(cited, exercises)
    for n, cell in enumerate(cells):
        if (name := cell.metadata.get("exercise")) in exercises:
            ex, after = exercises[name], cells[n + 1 : n + 3]
            problems += [f"{where[n]}: {complaint}" for complaint in _after(ex, after)]
    return problems


def words(markdown: str) -> int:
    """How many words of prose: without formulas, code, tables, headings and folded parts."""
    for pattern in NOT_PROSE:
        markdown = pattern.sub(" ", markdown)
    return len(re.findall(r"\w[\w'\u2019.,-]*", markdown))


def _places(script: str, cells: list[NotebookNode]) -> list[str]:
    """The line of the script at which each cell begins, or its number where that is unclear."""
    starts = [n for n, line in enumerate(script.splitlines(), 1) if line.startswith("# %%")]
    if len(starts) == len(cells):
        return [f"line {n}" for n in starts]
    return [f"cell {n}" for n in range(1, len(cells) + 1)]


def _complaints(cell: NotebookNode) -> list[str]:
    found = []
    if match := EMOJI.search(cell.source):
        found.append(f"an emoji, U+{ord(match[0]):04X}; take it out")
    if match := EVASIVE.search(cell.source):
        found.append(f'"{match[0]}" explains nothing; take it out')
    if cell.cell_type == "markdown" and (count := words(cell.source)) > MOST_WORDS:
        found.append(f"{count} words of prose; at most {MOST_WORDS} a cell, so divide it")
    if cell.cell_type == "code" and "exercise" in cell.metadata and cell.source.strip():
        found.append("an exercise cell is filled by the builder; leave it empty")
    if cell.cell_type == "code" and "exercise" not in cell.metadata:
        folded = cell.metadata.get("jupyter", {}).get("source_hidden", False)
        found += _code_complaints(cell.source, folded)
    return found


def _code_complaints(source: str, folded: bool) -> list[str]:
    if not source.strip():
        return ["an empty code cell; take it out"]
    found = []
    count = sum(bool(line.strip()) for line in source.splitlines())
    if count > MOST_LINES and not folded:
        found.append(f"{count} lines of code; at most {MOST_LINES} a cell, so divide it")
    try:
        calls = _calls(source)
    except SyntaxError as error:
        return [*found, f"not Python: {error.msg} (cells hold no magics)"]
    if any(ast.unparse(call.func) in ("plt.show", "fig.show") for call in calls):
        found.append("a figure needs words beside it: show(fig, alt) of attncourse.book.plots")
    return found


def _calls(source: str) -> list[ast.Call]:
    return [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]


def _opening(cells: list[NotebookNode], minutes: int | None, exercises: int) -> list[str]:
    """The cells before the first code say how long the chapter takes, and its exercises."""
    if minutes is None:
        return []
    first = next((n for n, cell in enumerate(cells) if cell.cell_type == "code"), len(cells))
    told = f"**About {_long(minutes)}**, of which {exercises} minutes are exercises"
    opening = " ".join(" ".join(cell.source.split()) for cell in cells[:first])
    return [] if told in opening else [f'the opening does not say "{told}"']


def _long(minutes: int) -> str:
    """ "45 minutes", "1 hour", "2½ hours"."""
    if minutes < 60:
        return f"{minutes} minutes"
    half = "½" if minutes % 60 else ""
    return f"{minutes // 60}{half} hour{'s' if minutes > 60 else ''}"


def _citations(cited: list[str], exercises: dict[str, Exercise]) -> list[str]:
    problems = [
        f'exercise "{name}" is cited and not listed in CHAPTERS in attncourse/course.py'
        for name in dict.fromkeys(cited)
        if name not in exercises
    ]
    for name in exercises:
        if (times := cited.count(name)) != 1:
            problems.append(
                f'{name}: cited {times} times; once is right: # %% exercise="{name}"'
            )
    if not problems and cited != list(exercises):
        problems.append(
            f"exercises are cited in the order {', '.join(cited)}; "
            f"they are listed in the order {', '.join(exercises)}. Make them agree"
        )
    return problems


def _after(ex: Exercise, cells: list[NotebookNode]) -> list[str]:
    """After an exercise: a cell that checks it, then one that helps, or leads round it."""
    problems = []
    code = cells[0].source if cells and cells[0].cell_type == "code" else ""
    if not _checks(code, ex):
        problems.append(f'{ex.id}: the next cell must call check("{ex.id}", {ex.name})')
    text = cells[1].source if len(cells) > 1 and cells[1].cell_type == "markdown" else ""
    if f'hint("{ex.id}")' not in text:
        problems.append(f'{ex.id}: the cell after its check must name `hint("{ex.id}")`')
    way_round = re.search(r"from (solutions[\w.]*) import ([\w, ]+)", text)
    if not way_round or ex.name not in re.findall(r"\w+", way_round[2]):
        problems.append(
            f"{ex.id}: the cell after its check must say how to go on without it: "
            f"`from {ex.solution.__module__} import {ex.name}`"
        )
    return problems


def _checks(source: str, ex: Exercise) -> bool:
    try:
        return any(
            ast.unparse(call) == f"check('{ex.id}', {ex.name})" for call in _calls(source)
        )
    except SyntaxError:
        return False
