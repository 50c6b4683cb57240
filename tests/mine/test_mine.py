"""The learner's own where it passed, the course's otherwise; and it says which."""

import warnings
from io import StringIO

import pytest
import torch
from rich.console import Console

from attncourse import course, mine, places
from attncourse.mine import shelf
from solutions import channel, multi_head, positional, transformer

ID = "channel.squeeze"
OWN = "def squeeze(x):\n    return x.mean((-2, -1)), 'mine'\n"


@pytest.fixture
def work(tmp_path, monkeypatch):
    """A work folder that one stands in."""
    (tmp_path / places.MARK).write_text("{}")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_outside_a_work_folder_all_is_the_courses(tmp_path, monkeypatch):
    shelf.put(tmp_path, ID, OWN)
    monkeypatch.chdir(tmp_path)
    assert mine.squeeze is channel.squeeze
    assert mine.where("squeeze") == "the course's"


def test_what_was_kept_is_used_and_the_rest_is_the_courses(work):
    shelf.put(work, ID, OWN)
    assert mine.squeeze(torch.ones(2, 3, 4, 5))[1] == "mine"
    assert mine.SqueezeExcite is channel.SqueezeExcite


def test_a_newer_version_takes_the_place_of_the_one_before(work):
    shelf.put(work, ID, OWN)
    assert mine.squeeze is mine.squeeze  # loaded once
    first = mine.squeeze
    shelf.put(work, ID, OWN.replace("mine", "newer"))
    assert mine.squeeze(torch.ones(2, 3, 4, 5))[1] == "newer"
    assert mine.squeeze is not first


def test_loading_writes_nothing(work):
    shelf.put(work, ID, OWN)
    before = {path for path in work.rglob("*")}
    assert mine.squeeze
    assert {path for path in work.rglob("*")} == before


@pytest.mark.parametrize("body", ["def squeeze(x:", "1 / 0", "import no_such_module", "x = 1"])
def test_a_broken_file_is_one_line_and_the_courses_takes_its_place(work, body):
    shelf.put(work, ID, body)
    with pytest.warns(UserWarning, match="cannot be used") as told:
        assert mine.squeeze is channel.squeeze
    assert len(told) == 1
    line = str(told[0].message)
    assert "mine/channel/squeeze.py cannot be used" in line
    assert "\n" not in line
    assert told[0].filename == __file__


def test_it_says_whose_each_is(work):
    shelf.put(work, ID, OWN)
    shelf.put(work, "channel.eca", OWN)
    path = shelf.path_of(work, "channel.eca")
    path.write_text(path.read_text() + "# changed")
    shelf.path_of(work, "channel.gather").write_text("spoilt")
    console = Console(width=200, record=True, file=StringIO())
    console.print(mine.where())
    told = {row.split()[1]: row for row in console.export_text().splitlines() if "." in row}
    assert set(told) == set(course.known_ids())
    assert "yours, passed on " in told[ID]
    assert "changed by hand since" in told["channel.eca"]
    assert "yours cannot be used" in told["channel.gather"]
    assert "the course's" in told["shapes.strip"]
    assert mine.where("SqueezeExcite") == mine.where("channel.squeeze_excite")


def test_names_are_those_of_the_answers():
    assert mine.MultiHeadAttention is multi_head.MultiHeadAttention
    assert mine.CoordConv2d is positional.CoordConv2d
    assert mine.multi_head.parameters is multi_head.parameters
    assert mine.transformer.parameters is transformer.parameters
    assert "squeeze_excite" in dir(mine.channel)


@pytest.mark.parametrize("id", course.known_ids())
def test_every_exercise_is_found_by_its_name(id):
    """No record is loaded for it: a name is told from the id alone."""
    chapter, name = course.chapter(id.partition(".")[0]), id.partition(".")[2]
    assert mine._the_one(name, (chapter,)) == id


def test_a_name_that_two_chapters_have_says_how_to_choose():
    with pytest.raises(
        AttributeError, match=r"`mine\.multi_head\.parameters` or `mine\.transformer"
    ):
        _ = mine.parameters


def test_an_unknown_name_tells_the_nearest():
    with pytest.raises(AttributeError, match='Did you mean "squeeze_excite"'):
        _ = mine.SqueezeExite
    with pytest.raises(AttributeError, match='"eca"'):
        _ = mine.channel.ecca


def test_importing_it_warns_of_nothing(work):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert mine.ECA is channel.ECA
