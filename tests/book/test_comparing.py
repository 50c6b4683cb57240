"""An edition that is not what would be built is seen."""

import json

import nbformat
from built import built

from attncourse.book.building import build


def complaint(miniature):
    (problem,) = build(root=miniature.root, check=True)
    assert "Run `make notebooks`." in problem
    return problem


def test_editions_as_built_are_not_complained_of(solved):
    assert build(root=solved.root, check=True) == []


def test_editions_that_were_never_built_are_missing(miniature):
    assert [p.split(". ")[0] for p in build(root=miniature.root, check=True)] == [
        "07_miniature: notebooks/learner/07_miniature.ipynb is missing",
        "07_miniature: notebooks/solved/07_miniature.ipynb is missing",
    ]


def test_a_script_that_moved_on_is_seen_in_both_editions(solved):
    solved.edit("# ## 7.1 Double", "# ## 7.1 Twice")
    problems = build(root=solved.root, check=True)
    assert len(problems) == 2
    assert all('cell 3 ("## 7.1 Twice") differs in its source' in p for p in problems)


def test_a_learner_edition_with_an_output_is_seen(solved):
    notebook = built(solved, "learner")
    notebook.cells[1].execution_count = 1
    nbformat.write(notebook, solved.notebook("learner"))
    assert 'cell 2 ("import matplotlib.pyplot as plt") differs in its execution count' in (
        complaint(solved)
    )


def test_a_file_laid_out_otherwise_is_seen(solved):
    path = solved.notebook("learner")
    path.write_text(json.dumps(json.loads(path.read_text())))
    assert "its layout as a file" in complaint(solved)


def test_a_solved_edition_that_did_not_run_in_order_is_seen(solved):
    notebook = built(solved, "solved")
    notebook.cells[4].execution_count = None
    nbformat.write(notebook, solved.notebook("solved"))
    assert "has execution count None, not 3" in complaint(solved)


def test_a_solved_edition_with_an_error_is_seen(solved):
    notebook = built(solved, "solved")
    error = nbformat.v4.new_output("error", ename="E", evalue="e", traceback=[])
    notebook.cells[4].outputs = [error]
    nbformat.write(notebook, solved.notebook("solved"))
    assert "shows an error" in complaint(solved)


def test_a_file_that_is_not_a_notebook_is_one_line(solved):
    solved.notebook("learner").write_text("not json")
    assert "is not a notebook" in complaint(solved)
    solved.notebook("learner").write_text("[1]")
    assert "is not a notebook" in complaint(solved)


def test_a_notebook_without_a_chapter_is_seen(solved):
    (solved.notebook("learner").parent / "99_lost.ipynb").write_text("{}")
    (problem,) = build(root=solved.root, check=True)
    assert "notebooks/learner/99_lost.ipynb belongs to no chapter" in problem
