import ast

import pytest
from built import saved

from attncourse import check
from attncourse.book.cells import describe
from attncourse.book.editions import chapter_exercises
from attncourse.book.executing import run
from attncourse.course import CHAPTERS
from attncourse.exercises.edited import copy

each_chapter = pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda one: one.stem)


def code(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def statuses(notebook):
    """What each check says, by exercise, as one reads it in the outputs."""
    found = {}
    for cell in code(notebook):
        for output in cell.outputs:
            first = output.get("data", {}).get("text/plain", "").splitlines()[:1]
            if cell.source.startswith("check(") and first:
                name, _, status = first[0].partition(": ")
                found[name] = status
    return found


def bound(source):
    """The names that a cell binds at its top or inside."""
    nodes = list(ast.walk(ast.parse(source)))
    stored = {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    return stored | {n.name for n in nodes if isinstance(n, ast.FunctionDef | ast.ClassDef)}


def error(cell):
    """The error that stopped a cell, or None."""
    return next((o for o in cell.get("outputs", ()) if o.output_type == "error"), None)


@each_chapter
def test_only_what_is_not_written_yet_stops_a_cell(chapter, tmp_path):
    """Without what trains: those cells run in the solved edition, from the same text."""
    notebook = saved("learner", chapter)
    untrained = set()
    for cell in code(notebook):
        if "nbval-ignore-output" in cell.metadata.get("tags", ()):
            untrained |= bound(cell.source)
            cell.source = "raise NotImplementedError"
    run(notebook, tmp_path, allow_errors=True)
    errors = []
    for number, cell in enumerate(notebook.cells, 1):
        stopped = error(cell)
        if stopped is None or stopped.ename == "NotImplementedError":
            continue
        if stopped.ename == "NameError" and stopped.evalue.split("'")[1] in untrained:
            untrained |= bound(cell.source)
        else:
            errors.append(f"{describe(cell, number)}: {stopped.ename}: {stopped.evalue}")
    assert errors == []
    assert None not in [cell.execution_count for cell in code(notebook)]
    assert statuses(notebook) == dict.fromkeys(chapter_exercises(chapter), "not attempted")


@each_chapter
def test_every_check_of_the_solved_edition_is_seen_to_pass(chapter):
    passed = dict.fromkeys(chapter_exercises(chapter), "passed")
    assert statuses(saved("solved", chapter)) == passed


@each_chapter
def test_the_solved_edition_shows_what_check_says_today(chapter):
    shown = {
        line.partition("\n")[2]
        for cell in code(saved("solved", chapter))
        for output in cell.outputs
        if cell.source.startswith("check(")
        for line in [output.get("data", {}).get("text/plain", "")]
    }
    for name, ex in chapter_exercises(chapter).items():
        assert repr(check(name, copy(ex))).partition("\n")[2] in shown, name
