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


@each_chapter
def test_only_what_is_not_written_yet_stops_a_cell(chapter, tmp_path):
    notebook = run(saved("learner", chapter), tmp_path, allow_errors=True)
    errors = {
        f"{describe(cell, number)}: {output.ename}: {output.evalue}"
        for number, cell in enumerate(notebook.cells, 1)
        for output in cell.get("outputs", ())
        if output.output_type == "error" and output.ename != "NotImplementedError"
    }
    assert errors == set()
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
