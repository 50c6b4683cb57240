"""Two editions of each notebook from one script: with blanks, and solved.

    notebooks/src/NN_name.py       the script, jupytext percent: the only text edited by hand
    notebooks/learner/NN_name.ipynb   exercises are stubs, no outputs
    notebooks/solved/NN_name.ipynb    exercises are the solutions, executed, with outputs

An exercise cell of the script is empty, `# %% exercise="chapter.name"`, and is filled here.
One way only, and deterministic: the same script and solutions give the same bytes.
"""

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path

import jupytext
import nbformat
from nbformat import NotebookNode

from attncourse import course, places
from attncourse.course import Chapter
from attncourse.errors import Broken
from attncourse.exercises.record import Exercise
from attncourse.exercises.source import source, stub

ROOT = places.TOP
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {
        "file_extension": ".py",
        "mimetype": "text/x-python",
        "name": "python",
        "pygments_lexer": "ipython3",
    },
}

KEPT = ("exercise", "tags", "jupyter")  # what a cell of a script says of itself


def chapter_exercises(chapter: Chapter) -> dict[str, Exercise]:
    """The exercises of one chapter by id, whatever state the other chapters are in."""
    try:
        return {ex.id: ex for ex in course.of_chapter(chapter)}
    except ModuleNotFoundError as error:
        name = (error.name or "").removeprefix("attncourse.exercises.").replace(".", "/")
        if name == chapter.name:
            raise Broken(
                f"{chapter.stem}: there is no folder attncourse/exercises/{name}. Make it, with"
                " an __init__.py and a record for each exercise, or take the chapter out of"
                " CHAPTERS in attncourse/course.py."
            ) from error
        raise Broken(
            f"{chapter.stem}: attncourse/exercises/{name}.py cannot be imported, there is no"
            f" module {error.name}. Write it, or take it out of CHAPTERS in"
            " attncourse/course.py."
        ) from error
    except Exception as error:
        raise Broken(
            f"{chapter.stem}: a record in attncourse/exercises/{chapter.name} cannot be"
            f" imported: {type(error).__name__}: {error}"
        ) from error


def read_script(chapter: Chapter, root: Path = ROOT) -> str:
    """The text of a chapter's script. Raises Broken where there is none."""
    path = Path(root) / "notebooks" / "src" / f"{chapter.stem}.py"
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise Broken(
            f"{chapter.stem}: notebooks/src/{chapter.stem}.py is missing. "
            "Write it, or take the chapter out of CHAPTERS in attncourse/course.py."
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise Broken(
            f"{chapter.stem}: notebooks/src/{chapter.stem}.py cannot be read: {error}"
        ) from error


def read_cells(script: str) -> NotebookNode:
    """The cells of a script in jupytext percent format. Raises Broken if it is not one."""
    try:
        return jupytext.reads(script, fmt="py:percent")
    except Exception as error:
        cause = (str(error).splitlines() or ["no reason given"])[0]
        raise Broken(f"the script cannot be read: {type(error).__name__}: {cause}") from error


def make(script: str, exercises: Mapping[str, Exercise], solved: bool) -> NotebookNode:
    """The notebook of one edition, not executed, from a script in jupytext percent format.

    In the learner edition the cells after the first exercise may raise, so that "Run All"
    goes on past what is not written yet. Exercise cells may not: they only define.
    """
    notebook = read_cells(script)
    notebook.metadata = nbformat.from_dict(METADATA)
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    _say_how_hard(notebook.cells, exercises)
    used: dict[str, int] = {}
    open_exercise = False
    for cell in notebook.cells:
        kept = {key: cell.metadata[key] for key in KEPT if key in cell.metadata}
        name = kept.get("exercise")
        if name is not None:
            if cell.cell_type != "code":
                raise Broken(f'"{name}" is cited by a {cell.cell_type} cell; take "# %%".')
            if not isinstance(name, str) or name not in exercises:
                raise Broken(
                    f'"{name}" is cited but not listed.{course.nearest(name, exercises)}'
                )
            open_exercise = True
            cell.source = source(exercises[name]) if solved else stub(exercises[name])
        elif open_exercise and not solved and cell.cell_type == "code":
            kept["tags"] = [*kept.get("tags", []), "raises-exception"]
        cell.id = _cell_id(cell, name, used)
        cell.metadata = nbformat.from_dict(kept)
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return notebook


def _say_how_hard(cells: list[NotebookNode], exercises: Mapping[str, Exercise]) -> None:
    """Difficulty and minutes stand in the record; the title of the exercise tells them."""
    heading = None
    for cell in cells:
        if cell.cell_type == "markdown":
            heading = cell if cell.source.startswith("### Exercise: ") else heading
        elif heading is not None and (ex := exercises.get(cell.metadata.get("exercise"))):
            title, line, rest = heading.source.partition("\n")
            dots = "●" * ex.difficulty + "○" * (5 - ex.difficulty)
            heading.source = f"{title} · {dots} · {ex.minutes} min{line}{rest}"
            heading = None


def _cell_id(cell: NotebookNode, name: str | None, used: dict[str, int]) -> str:
    """The same id on every build: from the exercise, else from what the cell says."""
    if name is None:
        text = f"{cell.cell_type}\n{cell.source}"
        wanted = hashlib.sha256(text.encode()).hexdigest()[:12]
    else:
        wanted = re.sub(r"[^a-zA-Z0-9_-]", "-", name)[:60]
    used[wanted] = used.get(wanted, 0) + 1
    return wanted if used[wanted] == 1 else f"{wanted}-{used[wanted]}"


def dumps(notebook: NotebookNode) -> str:
    """The notebook as text, as it stands in the file."""
    return nbformat.writes(notebook).rstrip("\n") + "\n"


def editions(chapter: Chapter, root: Path) -> dict[str, NotebookNode]:
    """Both editions of a chapter, not executed. Raises Broken."""
    script, exercises = read_script(chapter, root), chapter_exercises(chapter)
    try:
        return {
            "learner": make(script, exercises, solved=False),
            "solved": make(script, exercises, solved=True),
        }
    except Broken as error:
        raise Broken(f"{chapter.stem}: {error}") from error
