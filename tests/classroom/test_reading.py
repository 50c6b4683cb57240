"""Notebooks are read as Jupyter reads them, however they were saved."""

import json

import pytest
from nbformat.v4 import new_code_cell, new_notebook

from attncourse.classroom.inside.finding import checks, exercises
from attncourse.classroom.inside.reading import NoNotebook, read
from attncourse.classroom.inside.statements import needed, parse

NAMES = {"multi_head.split_heads": "split_heads", "multi_head.merge_heads": "merge_heads"}


def saved(*cells):
    cells = [cell if isinstance(cell, dict) else new_code_cell(cell) for cell in cells]
    return json.dumps(new_notebook(cells=cells)).encode()


def run_of(*cells):
    """The statements that are kept of these cells, each on a line."""
    statements = [s for number, cell in enumerate(cells, 1) for s in parse(cell, number)[1]]
    return [s.source for s in needed(statements, {"answer"})]


def kept(*cells):
    """How many statements before the answer are kept."""
    return len(run_of(*cells, "def answer(x): return x + b")) - 1


# ---------------------------------------------------------------- which statements count


def test_what_the_answer_does_not_reach_is_not_run():
    assert run_of("import a\nprint(a)\nx = slow()\ndef f(): return 1", "f()\n!ls") == []


def test_what_an_answer_needs_is_kept():
    cells = "import a\nc = a.two\nb = c + 1\nx = 5\ndef answer(x): return x * b"
    assert len(run_of(cells)) == 4


def test_an_answer_may_be_assigned_and_mended():
    assert run_of("answer = lambda x: x", "answer.name = 'a'\nother.name = 'b'") == [
        "answer = lambda x: x",
        "answer.name = 'a'",
    ]


def test_what_decorators_bases_and_defaults_name_is_kept():
    cell = "d = make()\nb = base()\nn = 3\n@d\nclass answer(b):\n    def f(self, k=n): return k"
    assert len(run_of(cell)) == 4


@pytest.mark.parametrize(
    "change",
    [
        "b.append(3)",
        "for n in range(3):\n    b.append(n)",
        "b.load_state_dict({})",
        "setattr(b, 'name', 3)",
        "b[0] = 4",
        "del b[0]",
        "b += 1",
        "exec('b = 5')",
        "globals()['b'] = 3",
        "globals().update(b=2)",
        "from mine import *",
        "import sys\nsys.path.insert(0, 'x')",
        "fill_(b)",
        "next(b)",
        "%time b = 3",
        "import heapq\nheapq.heappush(b, 1)",
        "import torch\ntorch.ones(1, out=b)",
        "def use():\n    global b\n    b = 1\nuse()",
        "def use():\n    b[0] = 1\ndef more():\n    use()\nmore()",
        "def use(x, y):\n    y.append(x)\nuse(1, b)",
        "def use(x, y):\n    y.append(x)\nuse(y=b, x=1)",
        "def keep(f):\n    b.append(f)\n    return f\n@keep\ndef other(): pass",
        "@b.append\ndef other(): pass",
        "class A:\n    def __init_subclass__(cls):\n        b.append(cls)\nclass B(A): pass",
        "keep = lambda x: x.append(1)\nkeep(b)",
        "import torch\ntorch.Tensor.name = 3",
        "get_ipython().user_ns['b'] = 1",
    ],
)
def test_what_changes_a_name_that_counts_is_kept(change):
    assert kept("b = []", change) >= 2


@pytest.mark.parametrize(
    "idle",
    [
        "plots.show(fig, b)",
        "print(b)",
        "model.train()",
        "other.append(b)",
        "%matplotlib inline",
        "%%bash\nrm -r b",
        "for b2 in b:\n    torch.manual_seed(b2)",
        "def draw(axes, x):\n    axes.plot(x)\ndraw(axes, b)",
        "def train(x):\n    losses.append(x)\ntrain(b)",
        "def own(b):\n    b.append(1)\nown(other)",
        "def own():\n    b = []\n    b.append(1)\nown()",
    ],
)
def test_figures_and_trainings_are_not_kept(idle):
    assert kept("b = 2", idle) == 1


@pytest.mark.parametrize("magic", ["%%time", "%%capture out", "%%timeit -n 3", "\n%%time"])
def test_a_magic_over_an_answer_does_not_hide_it(magic):
    text, (statement,) = parse(f"{magic}\ndef answer(x):\n    return x", 1)
    assert statement.binds == {"answer"}
    assert text.split("\n")[statement.line - 1].startswith("def")


def test_of_a_cell_with_a_thousand_magics_nothing_is_waited_for():
    assert len(parse("a = !ls\n" * 50, 1)[1]) == 50
    with pytest.raises(SyntaxError):
        parse("!ls\n" * 1000, 1)


@pytest.mark.parametrize("odd", ["\x0c", "\x85", "\u2028", "\x1c"])
def test_odd_separators_of_lines_change_nothing(odd):
    source = f'def answer(x):\n    """One{odd}two."""\n    return x'
    _, (statement,) = parse(source, 1)
    scope = {}
    exec(statement.source, scope)
    assert scope["answer"](3) == 3


def test_lines_keep_the_numbers_the_learner_sees():
    text, (statement,) = parse("\n\n# a comment\n@once\ndef f():\n    return 1", 3)
    assert statement.where == "cell 3, line 4"
    assert text.splitlines()[3:] == ["@once", "def f():", "    return 1"]


# ---------------------------------------------------------------- how it was saved


def test_a_notebook_saved_half_way_is_read_as_far_as_it_goes():
    data = saved("a = 1", "b = 2", "c = 3")
    notebook = read(data[: data.rindex(b"c = 3")])
    assert [cell.source for cell in notebook.cells] == ["a = 1", "b = 2"]
    assert notebook.notes == ["The file breaks off: 2 whole cells are in it."]


@pytest.mark.parametrize("kind", ["utf-16", "utf-16-le", "utf-8-sig", "latin-1"])
def test_other_encodings_are_read(kind):
    notebook = read(saved("a = 'é'").decode().replace("\\u00e9", "é").encode(kind))
    assert notebook.cells[0].source == "a = 'é'"


@pytest.mark.parametrize(
    "cell",
    [
        {"cell_type": "code", "source": None},
        {"cell_type": "code"},
        {"source": "a = 1"},
        {"cell_type": "code", "source": ["a = ", "1"]},
        {"cell_type": "code", "source": "a = '\ud800'"},
        {"cell_type": "code", "source": "a = '\0'"},
        {"cell_type": "code", "source": "(" * 5000},
        {"cell_type": "code", "source": "a = 1", "metadata": None},
        "no cell",
        None,
    ],
)
def test_an_odd_cell_withholds_no_other(cell):
    notebook = read(
        json.dumps({"cells": [cell, {"cell_type": "code", "source": "b = 2"}]}).encode()
    )
    assert any("b" in s.binds for s in notebook.statements)


def test_an_old_format_is_read():
    sheet = {"cells": [{"cell_type": "code", "input": "a = 1"}]}
    assert read(json.dumps({"nbformat": 3, "worksheets": [sheet]}).encode()).statements


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"{}", b"print(1)", b'{"cells": 3}', b"[" * 10**5]
)
def test_what_is_no_notebook_says_so(data):
    with pytest.raises(NoNotebook):
        read(data)


# ---------------------------------------------------------------- which cell counts


def exercise(id, source):
    return new_code_cell(source, metadata={"exercise": id})


def stops(*cells):
    found = exercises(read(saved(*cells)), NAMES).get("multi_head.split_heads")
    return found and (found.name, found.stops)


DEFINED = exercise("multi_head.split_heads", "def split_heads(x): pass")


def test_an_answer_is_looked_at_where_it_is_checked_then_at_the_end():
    check = 'check("multi_head.split_heads", split_heads)'
    assert stops(DEFINED, "x = 1", check, "split_heads = None") == ("split_heads", (3, 0))


def test_without_its_check_an_answer_is_looked_at_after_its_cell():
    wrong = "def wrong(x): pass"
    call = 'check("multi_head.split_heads", wrong)'
    assert stops(DEFINED, wrong, call) == ("split_heads", (1, 0))


def test_without_its_cell_the_check_says_what_it_is_called():
    call = 'check("multi_head.split_heads", mine)'
    assert stops("def mine(x): pass", call) == ("mine", (2, 0))


def test_a_name_alone_is_enough():
    assert stops("def split_heads(x): pass") == ("split_heads", (0,))


def test_what_is_not_there_is_not_found():
    assert stops("def other(x): pass") is None


def test_checks_are_found_in_what_is_python():
    notebook = read(saved('attncourse.check("a.b", f)\ncheck(1, 2)', "no python !!"))
    found = [list(checks(c, notebook.texts.get(c.number, ""))) for c in notebook.cells]
    assert found == [[("a.b", "f")], []]
