import json
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from attncourse import course
from attncourse.book import editions
from attncourse.book.editions import build, make, run
from attncourse.errors import Broken
from attncourse.exercises.source import stub


def built(miniature, edition):
    return nbformat.read(miniature.notebook(edition), as_version=4)


def exercise_cells(notebook):
    return {c.metadata.exercise: c for c in notebook.cells if "exercise" in c.metadata}


# ------------------------------------------------------------------ blanks


def test_a_function_keeps_its_signature_and_docstring(miniature):
    assert stub(miniature.exercises[0]) == (
        'def double(x, twice: int = 2):\n    """Twice x."""\n    raise NotImplementedError'
    )


def test_a_module_keeps_its_layers_and_loses_the_named_bodies(miniature):
    text = stub(miniature.exercises[1])
    assert text.count("raise NotImplementedError") == 2
    for kept in ("torch.linspace(0.5, 1.5, channels)", '"""The gains."""', "def extra_repr"):
        assert kept in text
    for lost in ("sigmoid", "ValueError", "scaled_by_gains", "secret"):
        assert lost not in text
    compile(text, "stub", "exec")


def test_a_blank_that_is_not_there_is_named(miniature):
    miniature.change(1, blank=("attention", "backward"))
    with pytest.raises(Broken, match="blank names backward"):
        stub(miniature.exercises[1])


# ------------------------------------------------------------------ the two editions


def test_the_learner_edition_has_stubs_and_no_outputs(miniature):
    assert build(root=miniature.root, execute=False) == []
    assert not miniature.notebook("solved").exists()
    notebook = built(miniature, "learner")
    nbformat.validate(notebook)
    assert exercise_cells(notebook)["miniature.double"].source == stub(miniature.exercises[0])
    for cell in notebook.cells:
        assert set(cell.metadata) <= {"exercise", "tags"}
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None
    assert notebook.metadata == editions.METADATA


def test_run_all_goes_on_after_an_exercise_and_stops_at_a_broken_one(miniature):
    build(root=miniature.root, execute=False)
    code = [c for c in built(miniature, "learner").cells if c.cell_type == "code"]
    may_raise = ["raises-exception" in c.metadata.get("tags", []) for c in code]
    assert may_raise == ["exercise" not in c.metadata and n > 0 for n, c in enumerate(code)]
    assert code[4].metadata.tags == ["nbval-ignore-output", "raises-exception"]


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


def test_cells_have_valid_ids_of_their_own(miniature):
    script = miniature.script + '\n# %%\nprint("the end")\n'
    notebook = make(script, {ex.id: ex for ex in miniature.exercises}, solved=False)
    ids = [cell.id for cell in notebook.cells]
    assert len(set(ids)) == len(ids)
    assert "miniature-double" in ids
    assert ids[-1] == f"{ids[-2]}-2"
    nbformat.validate(notebook)


def test_an_unknown_exercise_is_named_with_the_nearest(miniature):
    miniature.edit('exercise="miniature.gain"', 'exercise="miniature.gian"')
    (problem,) = build(root=miniature.root, execute=False)
    assert '07_miniature: "miniature.gian" is cited' in problem
    assert 'Did you mean "miniature.gain"?' in problem


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ('# %% exercise=["miniature.gain"]', "is cited but not listed"),
        ('# %% [markdown] exercise="miniature.gain"', "is cited by a markdown cell"),
        ('# %% tags="ignored"', "the script cannot be read"),
    ],
)
def test_a_cell_that_is_marked_wrongly_is_one_line(miniature, cell, said):
    miniature.edit('# %% exercise="miniature.gain"', cell)
    (problem,) = build(root=miniature.root, execute=False)
    assert problem.startswith("07_miniature: ")
    assert said in problem
    assert "\n" not in problem


def test_a_solution_without_source_is_one_line(miniature):
    miniature.change(0, solution=len)
    (problem,) = build(root=miniature.root, execute=False)
    assert "miniature.double: its solution has no source to show" in problem


# ------------------------------------------------------------------ when it fails


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


def test_a_full_disk_is_one_line_and_loses_nothing(miniature, monkeypatch):
    build(root=miniature.root, execute=False)
    before = miniature.notebook("learner").read_bytes()

    def full(self, data):
        raise OSError(28, "No space left on device", str(self))

    monkeypatch.setattr(Path, "write_bytes", full)
    (problem,) = build(root=miniature.root, execute=False)
    assert "No space left on device" in problem
    assert miniature.notebook("learner").read_bytes() == before
    assert os.listdir(miniature.notebook("learner").parent) == ["07_miniature.ipynb"]


def test_only_the_chapters_asked_for_are_built(miniature):
    assert build(["miniature"], root=miniature.root, execute=False) == []
    assert build([], root=miniature.root) == []
    with pytest.raises(course.UnknownExercise, match="There is no chapter"):
        build(["nothing"], root=miniature.root)


# ------------------------------------------------------------------ --check


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


# ------------------------------------------------------------------ nbval


FIGURE = """from IPython.display import display
page = '<figure><img src="data:image/png;base64,iVBORw0KGgo=" alt="2 lines"></figure>'
display({"text/html": page, "image/png": "iVBORw0KGgo=", "text/plain": "2 lines"}, raw=True)"""


def test_nbval_sees_a_changed_number_and_no_changed_picture(tmp_path):
    sources = ("print(1.5)", "object()", FIGURE)
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    executed = nbformat.writes(run(nbformat.v4.new_notebook(cells=cells), tmp_path))
    changes = {
        "same": ("1.5", "1.5"),
        "picture": ("iVBORw0KGgo=", "AAAABw0KGgo="),
        "address": ("object at 0x0", "object at 0x7f00aa10b4e0"),
        "number": ('"1.5\\n"', '"1.6\\n"'),
        "words": ('alt=\\"2 lines', 'alt=\\"3 lines'),
    }
    for name, (old, new) in changes.items():
        notebook = nbformat.reads(executed, as_version=4)
        for cell in notebook.cells:
            text = json.dumps(cell.outputs)
            cell.outputs = nbformat.from_dict(json.loads(text.replace(old, new)))
        assert name == "same" or nbformat.writes(notebook) != executed
        nbformat.write(notebook, tmp_path / f"{name}.ipynb")

    rules = Path(__file__).parents[1] / "nbval_sanitize.cfg"
    command = [sys.executable, "-m", "pytest", "-q", "-rA", "--tb=no", "-c", os.devnull]
    command += ["--rootdir", tmp_path, "--nbval", "--nbval-current-env"]
    command += ["--nbval-cell-timeout=1800", "--nbval-sanitize-with", rules, tmp_path]
    said = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True).stdout
    failed = {line.split()[1] for line in said.splitlines() if line.startswith("FAILED")}
    assert failed == {"number.ipynb::Cell", "words.ipynb::Cell"}, said
    assert "13 passed" in said


def test_the_rules_for_nbval_are_ascii():
    rules = (Path(__file__).parents[1] / "nbval_sanitize.cfg").read_text(encoding="utf-8")
    assert rules.isascii()
