"""The editions are built whole, or what is wrong is said in one line."""

import os

import pytest
from built import built, exercise_cells

from attncourse import course
from attncourse.book import editions
from attncourse.book.building import build


def test_the_solved_edition_ran_from_top_to_bottom(solved):
    notebook = built(solved, "solved")
    code = [c for c in notebook.cells if c.cell_type == "code"]
    assert [c.execution_count for c in code] == list(range(1, len(code) + 1))
    assert notebook.metadata == editions.METADATA
    assert "doubled_at_last" in exercise_cells(notebook)["miniature.double"].source
    assert code[3].outputs[0].data["text/plain"] == ("(tensor([0., 2., 4.]), <object at 0x0>)")
    assert set(code[4].outputs[0].data) == {"text/html", "image/png", "text/plain"}


def test_building_twice_gives_the_same_bytes(solved):
    files = [solved.notebook("learner"), solved.notebook("solved")]
    before = [file.read_bytes() for file in files]
    assert build(root=solved.root) == []
    assert [file.read_bytes() for file in files] == before
    assert all(text.endswith(b"}\n") for text in before)


def test_a_failing_cell_is_named_and_nothing_is_lost(solved):
    before = solved.notebook("solved").read_bytes()
    solved.edit('print("the end")', "print(1 / 0)")
    (problem,) = build(root=solved.root)
    assert 'cell 13 ("print(1 / 0)") of the solved edition fails: ZeroDivisionError' in problem
    assert "\n" not in problem
    assert solved.notebook("solved").read_bytes() == before


def test_a_solution_that_does_not_pass_in_the_notebook_is_refused(miniature):
    miniature.edit(
        'check("miniature.double", double)', 'check("miniature.double", nn.Module())'
    )
    (problem,) = build(root=miniature.root)
    assert 'cell 5 ("check("miniature.double", nn.Module())")' in problem
    assert "does not pass" in problem


def test_a_cell_that_warns_is_refused(miniature):
    miniature.edit('print("the end")', 'import sys; print("oh", file=sys.stderr)')
    (problem,) = build(root=miniature.root)
    assert "writes to stderr" in problem
    assert not miniature.notebook("solved").exists()


def test_a_chapter_that_is_not_written_yet_is_one_line(miniature, monkeypatch):
    ghost = course.Chapter(8, "ghost", "Ghost", "nothing", "nothing", 1, ("howl",))
    monkeypatch.setattr(course, "CHAPTERS", (ghost,))
    (problem,) = build(root=miniature.root)
    assert problem.startswith("08_ghost: notebooks/src/08_ghost.py is missing.")
    (miniature.root / "notebooks" / "src" / "08_ghost.py").write_text("# %%\n1\n")
    (problem,) = build(root=miniature.root)
    assert problem.startswith("08_ghost: there is no folder attncourse/exercises/ghost.")


def test_a_full_disk_is_one_line_and_loses_nothing(miniature, disk):
    build(root=miniature.root, execute=False)
    before = miniature.notebook("learner").read_bytes()

    disk.full = True
    (problem,) = build(root=miniature.root, execute=False)
    assert "No space left on device" in problem
    assert miniature.notebook("learner").read_bytes() == before
    assert os.listdir(miniature.notebook("learner").parent) == ["07_miniature.ipynb"]


def test_only_the_chapters_asked_for_are_built(miniature):
    assert build(["miniature"], root=miniature.root, execute=False) == []
    assert build([], root=miniature.root) == []
    with pytest.raises(course.UnknownExercise, match="There is no chapter"):
        build(["nothing"], root=miniature.root)
