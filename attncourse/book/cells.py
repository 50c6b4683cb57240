"""Which cell of a notebook is wrong, and what one sees of it."""

import re
from collections.abc import Callable

from nbformat import NotebookNode


def describe(cell: NotebookNode, number: int) -> str:
    """A cell by its number and what one sees of it: `cell 7 ("## 2.2 Excite")`."""
    said = cell.metadata.get("exercise") or next(
        iter(cell.source.strip().splitlines()), "empty"
    )
    return f'cell {number} ("{said if len(said) <= 48 else said[:45] + "..."}")'


def is_error(output: NotebookNode) -> bool:
    return output.output_type == "error"


def on_stderr(output: NotebookNode) -> bool:
    return output.output_type == "stream" and output.name == "stderr"


def first_with(notebook: NotebookNode, wanted: Callable[[NotebookNode], bool]) -> str:
    """The first cell with such an output; "" where there is none."""
    return next(
        (
            describe(cell, number)
            for number, cell in enumerate(notebook.cells, 1)
            if any(wanted(output) for output in cell.get("outputs", ()))
        ),
        "",
    )


def not_executed(notebook: NotebookNode) -> str:
    """Why the outputs of a solved notebook cannot be those of one run from top to bottom."""
    code = [(n, c) for n, c in enumerate(notebook.cells, 1) if c.cell_type == "code"]
    for wanted, (number, cell) in enumerate(code, 1):
        if cell.execution_count != wanted:
            return (
                f"{describe(cell, number)} has execution count {cell.execution_count}, "
                f"not {wanted}: it was not run from top to bottom"
            )
    failed = first_with(notebook, is_error)
    shouting = first_with(notebook, on_stderr)
    return (failed and f"{failed} shows an error") or (
        f"{shouting} wrote to stderr" if shouting else ""
    )


def not_passed(notebook: NotebookNode) -> str:
    """The first check right after an exercise that says something else than that it passed."""
    pairs = zip(notebook.cells, notebook.cells[1:], strict=False)
    for number, (exercise, cell) in enumerate(pairs, 2):
        said = " ".join(
            output.get("data", {}).get("text/plain", "") for output in cell.get("outputs", ())
        )
        if "exercise" in exercise.metadata and re.match(r"\S+: not (yet|attempted)\b", said):
            return f"{describe(cell, number)} ({' '.join(said.split())[:160]})"
    return ""
