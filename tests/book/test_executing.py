"""What is executed gives the same outputs again, and nbval sees where it does not."""

import json
import os
import subprocess
import sys
from pathlib import Path

import nbformat

from attncourse.book.executing import run

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
