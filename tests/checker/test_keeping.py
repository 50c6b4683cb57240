"""What passes `check` in a work folder is kept; nothing else is, and nothing elsewhere."""

import pytest
import torch
from cells import IMPORTS, Notebook

from attncourse import check, checker, mine, places
from attncourse.checker import keeping
from attncourse.mine import shelf
from solutions import channel

SQUEEZE = """
def squeeze(x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c"]:
    return x.mean(dim=(-2, -1))
"""
EXCITE = """
from solutions.channel import bottleneck

class SqueezeExcite(nn.Module):
    def __init__(self, channels, reduction=16, bias=False):
        super().__init__()
        middle = bottleneck(channels, reduction)
        self.down = nn.Linear(channels, middle, bias=bias)
        self.up = nn.Linear(middle, channels, bias=bias)

    def attention(self, x):
        return self.up(F.relu(self.down(squeeze(x)))).sigmoid()

    def forward(self, x):
        return x * rearrange(self.attention(x), "b c -> b c 1 1")
"""


@pytest.fixture
def notebook():
    made = Notebook()
    made.run(IMPORTS)
    return made


@pytest.fixture
def work(tmp_path, monkeypatch):
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / places.MARK).write_text("{}")
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


def test_a_passed_answer_is_kept_and_found_again(work, notebook):
    verdict = check("channel.squeeze", notebook.run(SQUEEZE)["squeeze"])
    assert verdict
    *_, last = verdict.message.splitlines()
    assert last == "Kept in your library, work/mine/channel/squeeze.py."
    assert mine.squeeze is not channel.squeeze
    assert torch.equal(mine.squeeze(torch.ones(2, 3, 4, 5)), torch.ones(2, 3))


def test_a_class_that_calls_an_earlier_answer_imports_alone(work, notebook):
    notebook.run(SQUEEZE)
    assert check("channel.squeeze_excite", notebook.run(EXCITE)["SqueezeExcite"])
    body = shelf.kept(work, "channel.squeeze_excite").body
    assert "def squeeze(x" in body
    assert "# from the course: solutions.channel.bottleneck" in body
    kept = shelf.loaded(body, work / "x.py", "x", "SqueezeExcite")
    assert checker.check("channel.squeeze_excite", kept)


def test_a_better_version_keeps_the_one_before(work, notebook):
    check("channel.squeeze", notebook.run(SQUEEZE)["squeeze"])
    better = 'def squeeze(x):\n    return reduce(x, "b c h w -> b c", "mean")'
    told = check("channel.squeeze", notebook.run(better)["squeeze"]).message
    (older,) = shelf.earlier(work, "channel.squeeze")
    assert told.endswith(f"; the one before: {older.name}.")
    assert "x.mean(dim" in older.read_text()


def test_outside_a_work_folder_there_is_no_trace(tmp_path, monkeypatch, notebook):
    monkeypatch.chdir(tmp_path)
    verdict = check("channel.squeeze", notebook.run(SQUEEZE)["squeeze"])
    assert verdict
    assert "Kept" not in verdict.message
    assert verdict == checker.check("channel.squeeze", notebook.names["squeeze"])
    assert list(tmp_path.iterdir()) == []


def test_the_checkers_own_check_keeps_nothing(work, notebook):
    assert checker.check("channel.squeeze", notebook.run(SQUEEZE)["squeeze"])
    assert not (work / "mine").exists()


@pytest.mark.parametrize(
    "cell",
    [
        "def squeeze(x):\n    return x.sum((-2, -1))",
        "def squeeze(x):\n    raise NotImplementedError",
        "from solutions.channel import squeeze",
        "from solutions import channel\ndef squeeze(x):\n    return channel.squeeze(x)",
    ],
    ids=["wrong", "not attempted", "taken over", "wrapped"],
)
def test_what_has_not_passed_is_not_kept(work, notebook, cell):
    verdict = check("channel.squeeze", notebook.run(cell)["squeeze"])
    assert not verdict
    assert "library" not in verdict.message
    assert not (work / "mine").exists()


@pytest.mark.parametrize(
    ("cell", "why"),
    [
        ("squeeze = lambda x: x.mean((-2, -1))", "has no source"),
        ("two = torch.tensor(2)\ndef squeeze(x):\n    return x.mean((-1, -int(two)))", "`two`"),
    ],
)
def test_what_cannot_stand_alone_passes_and_says_why_it_is_not_kept(work, notebook, cell, why):
    verdict = check("channel.squeeze", notebook.run(cell)["squeeze"])
    assert verdict
    assert "Not kept in your library: " in verdict.message
    assert why in verdict.message
    assert mine.squeeze is channel.squeeze


def test_an_answer_that_is_only_right_in_its_notebook_is_not_kept(work, notebook):
    """It passes with a value that the cell has by now, and its source does not say."""
    names = notebook.run("def squeeze(x, axes=(-1, -2)):\n    return x.mean(axes)")
    names["squeeze"].__defaults__ = ((-2, -1),)
    assert "Kept" in check("channel.squeeze", names["squeeze"]).message
    names = notebook.run("def squeeze(x, axes=(-1,)):\n    return x.mean(axes)")
    names["squeeze"].__defaults__ = ((-2, -1),)
    told = check("channel.squeeze", names["squeeze"]).message
    assert told.splitlines()[-1].startswith("Not kept in your library: from a file of its own")


def test_a_folder_that_cannot_be_written_is_one_line(work, notebook):
    (work / "mine").write_text("a file, where the folder should be")
    verdict = check("channel.squeeze", notebook.run(SQUEEZE)["squeeze"])
    assert verdict
    assert verdict.message.splitlines()[-1].startswith("Not kept in your library: ")


def test_a_defect_of_ours_does_not_cost_the_verdict(work, notebook, monkeypatch):
    monkeypatch.setattr(keeping, "alone", lambda *_: 1 / 0)
    verdict = check("channel.squeeze", notebook.run(SQUEEZE)["squeeze"])
    assert verdict
    assert "ZeroDivisionError" in verdict.message
