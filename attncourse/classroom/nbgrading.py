"""A course folder for nbgrader, which its own commands take as it is.

`source/` holds notebooks with stubs between nbgrader's marks, and no answer either. A check
is a locked cell whose text is the points earned; its card says what is wrong. There are no
hidden tests. What is neither an exercise nor needed by one is left out, for nbgrader runs every
cell of every submission.
"""

import re
import secrets
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from attncourse import course
from attncourse.classroom.assignment import Assignment
from attncourse.classroom.cutting import that_mean_something
from attncourse.classroom.reach import bound_in, taken
from attncourse.exercises.record import Exercise
from attncourse.exercises.source import source, stub

SCHEMA = 3
STUB = "raise NotImplementedError"
BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"
CONFIG = '''"""nbgrader here: what stands for an answer, and how long a cell may run.

Every check takes under a second; nbgrader's own limit is 30. Submissions run with your rights:
grade where you would run your students' programs.
"""

c = get_config()  # noqa: F821 (nbgrader has it)
c.CourseDirectory.course_id = "{course}"
c.ClearSolutions.code_stub = {{"python": "{stub}"}}
c.ClearSolutions.begin_solution_delimeter = "{begin}"
c.ClearSolutions.end_solution_delimeter = "{end}"
c.ExecutePreprocessor.timeout = 60
# Else a student's cell with nbclient's usual tag would not be run, and have all its points.
c.NotebookClient.skip_cells_with_tag = "{nobody}"
'''
README = """# {title}: nbgrader

In this folder, in an active environment where nbgrader and `../{folder}/package` are installed
(no answers are needed to grade):

    nbgrader generate_assignment {name}
    nbgrader autograde {name}
    nbgrader generate_feedback {name}
    nbgrader export

Hand out `release/{name}` with `../{folder}.zip`, which installs what the notebooks import. What
students hand in lies in `submitted/STUDENT/{name}/`. {due}
Submissions run with your rights, and a student who means to can forge points here: where that
matters, grade the same files with `attncourse grade`.
"""


def write_course(folder: Path, assignment: Assignment) -> Path:
    """Write a course folder beside the folder of an assignment."""
    target = folder.with_name(f"{folder.name}-nbgrader")
    name = re.sub(r"[^\w-]+", "_", folder.name)
    place = target / "source" / name
    place.mkdir(parents=True)
    for stem in assignment.chapters:
        notebook = nbformat.read(folder / "notebooks" / f"{stem}.ipynb", as_version=4)
        nbformat.write(graded(notebook, assignment), place / f"{stem}.ipynb")
    config = CONFIG.format(
        course=name, stub=STUB, begin=BEGIN, end=END, nobody=secrets.token_hex(16)
    )
    (target / "nbgrader_config.py").write_text(config, encoding="utf-8")
    due = assignment.due
    late = (
        f"`nbgrader db assignment add {name} --duedate={due}` tells it the date." if due else ""
    )
    text = README.format(title=assignment.title, folder=folder.name, name=name, due=late)
    (target / "README.md").write_text(text, encoding="utf-8")
    return target


def graded(notebook: NotebookNode, assignment: Assignment) -> NotebookNode:
    """A notebook of the assignment with nbgrader's metadata: exercises and what they need."""
    notebook.cells = that_mean_something(notebook.cells, _needed(notebook.cells))
    for cell in notebook.cells:
        id = cell.metadata.get("exercise")
        asked = re.fullmatch(r'check\("([\w.]+)", (\w+)\)', cell.source.strip())
        if id in assignment.points:
            cell.source = marked(course.exercise(id))
            cell.metadata["nbgrader"] = _about(f"answer-{id}", solution=True, locked=False)
        elif asked and asked[1] in assignment.points:
            worth = assignment.points[asked[1]]
            cell.source = f'check("{asked[1]}", {asked[2]}).worth({worth:g})'
            cell.metadata["nbgrader"] = _about(f"check-{asked[1]}", grade=True, points=worth)
    return notebook


def marked(ex: Exercise) -> str:
    """The stub of an exercise, with nbgrader's marks around what stands for each body."""
    indent = r"^( +)raise NotImplementedError$"
    around = rf"\1{BEGIN}\n\1{STUB}\n\1{END}"
    return re.sub(indent, around, stub(ex), flags=re.M)


def _about(name: str, **given) -> dict:
    kept = {"grade": False, "locked": True, "solution": False, "task": False} | given
    grade_id = re.sub(r"[^\w-]", "-", name)
    return {**kept, "grade_id": grade_id, "cell_type": "code", "schema_version": SCHEMA}


def _needed(cells: list[NotebookNode]) -> list[NotebookNode]:
    """Texts, exercises and their checks, imports, and what binds a name that these use."""
    kept = [cell for cell in cells if cell.cell_type != "code" or _counts(cell)]
    used = set().union(*map(_used, kept))
    while more := [
        cell
        for cell in cells
        if not any(cell is one for one in kept)
        and cell.cell_type == "code"
        and bound_in(cell.source) & used
    ]:
        kept += more
        used |= set().union(*map(_used, more))
    return [cell for cell in cells if any(cell is one for one in kept)]


def _counts(cell: NotebookNode) -> bool:
    text = cell.source.lstrip()
    return (
        "exercise" in cell.metadata
        or cell.get("id", "").endswith("-stub")
        or text.startswith(("check(", "import ", "from "))
    )


def _used(cell: NotebookNode) -> set[str]:
    """The names that a cell uses; of an exercise, those that its answer uses."""
    if cell.cell_type != "code":
        return set()
    id = cell.metadata.get("exercise")
    return taken(cell.source) | (taken(source(course.exercise(id))) if id else set())
