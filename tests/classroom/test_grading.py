"""A saved notebook is graded, whatever its cells would do."""

import json

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from typer.testing import CliRunner

from attncourse import cli

SETUP = "import torch\nfrom einops import rearrange\nfrom attncourse import check"
IMPORTED = "from solutions.multi_head import split_heads"
SPLIT = """
def split_heads(x, heads):
    if x.shape[-1] % heads:
        raise ValueError(f"{x.shape[-1]} features in {heads} heads")
    return rearrange(x, "b n (head d) -> b head n d", head=heads)
"""
SPLIT_ID = "multi_head.split_heads"
MERGE = "def merge_heads(x):\n    return rearrange(x, PATTERN)"


def exercise(id, source):
    return new_code_cell(source, metadata={"exercise": id})


def notebook(path, *cells):
    """A saved notebook with these cells."""
    cells = [cell if isinstance(cell, dict) else new_code_cell(cell) for cell in cells]
    nbformat.write(new_notebook(cells=cells), path)
    return path


def graded(path, *options):
    """The report on a notebook, with the exit code."""
    result = CliRunner().invoke(cli.app, ["check", str(path), "--json", *options])
    report = json.loads(result.stdout)
    verdicts = {found["id"]: found for found in report["exercises"]}
    return verdicts, report["notes"], result.exit_code


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("graded")


def test_right_answers_pass_and_nothing_else_is_run(folder):
    path = notebook(
        folder / "right.ipynb",
        SETUP,
        "%matplotlib inline\nopen('ran', 'w').close()\nraise SystemExit",
        "PATTERN = 'b head n d -> b n (head d)'",
        exercise("multi_head.split_heads", SPLIT),
        "while True: pass",
        exercise("multi_head.merge_heads", MERGE),
        'check("multi_head.merge_heads", merge_heads)',
    )
    verdicts, notes, code = graded(path)
    assert [verdict["status"] for verdict in verdicts.values()] == ["passed", "passed"]
    assert (notes, code) == ([], 0)
    assert not (folder / "ran").exists()


def test_an_answer_that_hangs_or_kills_its_kernel_costs_itself_only(folder):
    path = notebook(
        folder / "wild.ipynb",
        SETUP,
        exercise("scaled_dot_product.softmax", "def softmax(x):\n    while True: pass"),
        exercise(
            "shapes.strip",
            "def strip(*x):\n    import itertools\n    sum(itertools.repeat(0))",
        ),
        exercise(
            "multi_head.split_heads",
            "def split_heads(x, heads):\n    __import__('os')._exit(0)",
        ),
        "PATTERN = 'b head n d -> b n (head d)'",
        exercise("multi_head.merge_heads", MERGE),
    )
    verdicts, _, code = graded(path, "--seconds=5")
    told = verdicts["scaled_dot_product.softmax"]["message"]
    assert "does not come to an end: stopped after 5 s in line 2, `while True: pass`" in told
    assert "does not return within 5 s" in verdicts["shapes.strip"]["message"]
    assert "ends its process" in verdicts["multi_head.split_heads"]["message"]
    assert verdicts["multi_head.merge_heads"]["status"] == "passed"
    assert code == 1


def test_a_wrong_answer_and_one_not_there_fail(folder):
    path = notebook(
        folder / "wrong.ipynb",
        SETUP,
        exercise("multi_head.split_heads", "def split_heads(x, heads):\n    return x"),
        exercise("multi_head.merge_heads", "# gone"),
        exercise("scaled_dot_product.softmax", "def softmax(x)\n    return x"),
    )
    verdicts, notes, code = graded(path)
    assert [verdict["status"] for verdict in verdicts.values()] == [
        "not yet",
        "not attempted",
        "not attempted",
    ]
    assert "Cell 4 could not be read" in verdicts["scaled_dot_product.softmax"]["message"]
    assert notes == ["cell 4, line 1: expected ':': def softmax(x)"]
    assert code == 1


def test_the_table_names_each_exercise_and_counts(folder):
    path = notebook(folder / "table.ipynb", SETUP, exercise("multi_head.split_heads", SPLIT))
    result = CliRunner().invoke(cli.app, ["check", str(path)])
    assert result.exit_code == 0
    assert "multi_head.split_heads" in result.stdout
    assert "Exercises: 1 passed." in result.stdout


def test_what_is_taken_over_is_counted_apart(folder):
    cells = exercise("multi_head.split_heads", IMPORTED), exercise("multi_head.merge_heads", "")
    path = notebook(
        folder / "taken.ipynb", SETUP, *cells, MERGE, "PATTERN = 'b h n d -> b n (h d)'"
    )
    result = CliRunner().invoke(cli.app, ["check", str(path)])
    assert result.exit_code == 1
    assert "Exercises: 1 passed, 1 taken over." in result.stdout
    verdicts, _, _ = graded(path)
    assert verdicts["multi_head.split_heads"]["status"] == "taken over"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is not a Jupyter notebook"),
        ("print(1)", "is not a Jupyter notebook"),
        ("{}", "is not a Jupyter notebook"),
        ('{"nbformat": 4, "nbformat_minor": 5, "cells": "no"}', "is not a Jupyter notebook"),
        (b"\xff\xfe\x00", "is not a Jupyter notebook"),
        (nbformat.writes(new_notebook()), "has no exercises"),
        (
            nbformat.writes(new_notebook(cells=[exercise("multi_head.split_haeds", "")])),
            'There is no exercise "multi_head.split_haeds". '
            'Did you mean "multi_head.split_heads"?',
        ),
        (
            nbformat.writes(new_notebook(cells=[new_code_cell('check("multi_haed", x)')])),
            'There is no exercise "multi_haed"',
        ),
    ],
)
def test_what_cannot_be_graded_is_one_line(tmp_path, text, says):
    path = tmp_path / "a.ipynb"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    before = path.read_bytes()
    result = CliRunner().invoke(cli.app, ["check", str(path)])
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    assert says in result.stderr
    assert path.read_bytes() == before


def test_a_file_that_is_not_there_names_the_nearest(tmp_path):
    notebook(tmp_path / "00_shapes.ipynb")
    result = CliRunner().invoke(cli.app, ["check", str(tmp_path / "00_shape.ipynb")])
    assert result.exit_code == 1
    assert "Did you mean" in result.stderr
    assert result.stderr.count("\n") == 1


def test_what_is_deleted_counts_as_not_attempted(tmp_path):
    path = notebook(tmp_path / "02_multi_head (1).ipynb", SETUP, exercise(SPLIT_ID, SPLIT))
    verdicts, _, code = graded(path)
    statuses = {id: found["status"] for id, found in verdicts.items()}
    assert statuses.pop(SPLIT_ID) == "passed"
    assert set(statuses.values()) == {"not attempted"}
    assert (len(statuses), code) == (4, 1)


def test_an_exercise_that_the_course_has_no_longer_withholds_no_verdict(tmp_path):
    gone = exercise("multi_head.gone", "def gone(): pass")
    verdicts, notes, _ = graded(
        notebook(tmp_path / "a.ipynb", SETUP, gone, exercise(SPLIT_ID, SPLIT))
    )
    assert verdicts[SPLIT_ID]["status"] == "passed"
    assert "multi_head.gone" in notes[0]


def test_a_folder_is_not_a_notebook(tmp_path):
    result = CliRunner().invoke(cli.app, ["check", str(tmp_path)])
    assert result.exit_code == 1
    assert "is a folder" in result.stderr
