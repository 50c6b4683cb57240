"""Two editions of a notebook: with blanks, and with the answers."""

import nbformat
import pytest
from built import built, exercise_cells

from attncourse.book import editions
from attncourse.book.building import build
from attncourse.book.editions import make
from attncourse.errors import Broken
from attncourse.exercises.source import stub

# ------------------------------------------------------------------ blanks


def test_a_function_keeps_its_signature_and_docstring(miniature):
    assert stub(miniature.exercises[0]) == (
        'def double(x, twice: int = 2):\n    """Twice x."""\n    raise NotImplementedError'
    )


def test_a_module_keeps_its_layers_and_loses_the_named_bodies(miniature):
    text = stub(miniature.exercises[1])
    assert text.count("raise NotImplementedError") == 2
    for kept in ("torch.linspace(0.5, 1.5, channels)", '"""The gains. ', "def extra_repr"):
        assert kept in text
    for lost in ("sigmoid", "raise ValueError", "scaled_by_gains", "secret"):
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


def test_the_title_of_an_exercise_says_how_hard_it_is(miniature):
    title = "# %% [markdown]\n# ### Exercise: `double`\n# Twice.\n"
    script = title + '\n# %% exercise="miniature.double"\n'
    miniature.change(0, difficulty=2, minutes=4)
    notebook = make(script, {ex.id: ex for ex in miniature.exercises}, solved=True)
    assert notebook.cells[0].source == "### Exercise: `double` · ●●○○○ · 4 min\nTwice."


def test_code_that_a_reader_need_not_see_is_folded(miniature):
    script = '# %% jupyter={"source_hidden": true}\nx = 1\n'
    (cell,) = make(script, {}, solved=False).cells
    assert cell.metadata == {"jupyter": {"source_hidden": True}}


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
