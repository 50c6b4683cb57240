"""The learner's folder is filled and refreshed, and nothing in it is ever lost."""

import errno
import os
from datetime import datetime
from pathlib import Path

import pytest

from attncourse import places
from attncourse.workshop import workspace

NOW = datetime(2026, 11, 21, 15, 30)


@pytest.fixture
def course(tmp_path):
    """A clone with two notebooks."""
    learner = tmp_path / "notebooks" / "learner"
    learner.mkdir(parents=True)
    (learner / "00_shapes.ipynb").write_text("course 0")
    (learner / "01_scaled.ipynb").write_text("course 1")
    return tmp_path


def fill(course):
    return workspace.fill(course / "work", course / "notebooks" / "learner")


def reset(course, name, now):
    return workspace.reset(course / "work", course / "notebooks" / "learner", name, now)


def files(course):
    """What the learner sees in work/."""
    found = (course / "work").glob("*")
    return {path.name: path.read_text() for path in found if not path.name.startswith(".")}


def leftovers(course):
    return [path.name for path in (course / "work").glob("*.part")]


def test_the_first_time_everything_is_added(course):
    filled = fill(course)
    assert filled.added == ["00_shapes.ipynb", "01_scaled.ipynb"]
    assert files(course) == {"00_shapes.ipynb": "course 0", "01_scaled.ipynb": "course 1"}


def test_the_second_time_nothing_is(course):
    fill(course)
    assert fill(course).same == ["00_shapes.ipynb", "01_scaled.ipynb"]


def test_what_the_learner_wrote_stays(course):
    fill(course)
    (course / "work" / "00_shapes.ipynb").write_text("mine")
    filled = fill(course)
    assert (filled.yours, filled.newer) == (["00_shapes.ipynb"], [])
    assert files(course)["00_shapes.ipynb"] == "mine"


@pytest.mark.parametrize("text", ["mine", "course 0"])
def test_after_an_update_what_is_there_stays_and_is_told(course, text):
    fill(course)
    (course / "work" / "00_shapes.ipynb").write_text(text)
    (course / "notebooks" / "learner" / "00_shapes.ipynb").write_text("newer")
    (course / "notebooks" / "learner" / "02_new.ipynb").write_text("course 2")
    filled = fill(course)
    assert (filled.newer, filled.added) == (["00_shapes.ipynb"], ["02_new.ipynb"])
    assert files(course)["00_shapes.ipynb"] == text


def test_a_file_that_nobody_handed_out_stays_and_is_told(course):
    (course / "work").mkdir()
    (course / "work" / "00_shapes.ipynb").write_text("from before")
    assert fill(course).newer == ["00_shapes.ipynb"]
    assert files(course)["00_shapes.ipynb"] == "from before"


def test_a_list_of_what_was_handed_out_that_is_spoilt_does_no_harm(course):
    fill(course)
    (course / "work" / places.MARK).write_text("[not json")
    assert fill(course).same == ["00_shapes.ipynb", "01_scaled.ipynb"]


def test_reset_brings_a_fresh_copy_and_keeps_the_old_one(course):
    fill(course)
    (course / "work" / "00_shapes.ipynb").write_text("mine")
    kept = reset(course, "00_shapes.ipynb", NOW)
    assert kept.name == "00_shapes.2026-11-21-153000.ipynb"
    assert files(course) == {
        "00_shapes.ipynb": "course 0",
        "01_scaled.ipynb": "course 1",
        kept.name: "mine",
    }


def test_two_resets_within_a_second_keep_both(course):
    for text in ("first", "second", "third"):
        (course / "work").mkdir(exist_ok=True)
        (course / "work" / "00_shapes.ipynb").write_text(text)
        reset(course, "00_shapes.ipynb", NOW)
    assert sorted(files(course).values()) == ["course 0", "first", "second", "third"]


def test_reset_of_what_is_not_there_brings_it(course):
    assert reset(course, "00_shapes.ipynb", NOW) is None
    assert files(course) == {"00_shapes.ipynb": "course 0"}


def disk(monkeypatch, code):
    """From now on a notebook can be begun, but not finished."""
    write = Path.write_bytes

    def fail(path, data):
        write(path, data[: len(data) // 2])
        raise OSError(code, os.strerror(code), str(path))

    monkeypatch.setattr(Path, "write_bytes", fail)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS])
def test_a_full_disk_leaves_no_half_a_notebook(course, monkeypatch, code):
    disk(monkeypatch, code)
    with pytest.raises(OSError, match=os.strerror(code)):
        fill(course)
    assert files(course) == {}
    assert leftovers(course) == []


def test_a_full_disk_is_no_matter_where_nothing_is_new(course, monkeypatch):
    fill(course)
    disk(monkeypatch, errno.ENOSPC)
    assert fill(course).same == ["00_shapes.ipynb", "01_scaled.ipynb"]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS])
def test_a_reset_that_fails_puts_the_old_one_back(course, monkeypatch, code):
    fill(course)
    (course / "work" / "00_shapes.ipynb").write_text("mine")
    before = files(course)
    disk(monkeypatch, code)
    with pytest.raises(OSError, match=os.strerror(code)):
        reset(course, "00_shapes.ipynb", NOW)
    assert files(course) == before
    assert leftovers(course) == []


@pytest.mark.parametrize("code", [errno.EPERM, errno.ENOTSUP])
def test_a_file_system_without_links_is_filled_too(course, monkeypatch, code):
    def link(old, new):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "link", link)
    assert fill(course).added == ["00_shapes.ipynb", "01_scaled.ipynb"]
    (course / "work" / "00_shapes.ipynb").write_text("mine")
    assert fill(course).yours == ["00_shapes.ipynb"]
    assert reset(course, "00_shapes.ipynb", NOW).read_text() == "mine"


def test_a_file_that_appears_meanwhile_is_not_written_over(course, monkeypatch):
    """Someone else saves between our look and our move."""
    monkeypatch.setattr(os.path, "lexists", lambda path: False)
    (course / "work").mkdir()
    (course / "work" / "00_shapes.ipynb").write_text("theirs")
    with pytest.raises(FileExistsError):
        workspace.put_new(course / "work" / "00_shapes.ipynb", b"ours")
    assert files(course) == {"00_shapes.ipynb": "theirs"}


def test_without_built_notebooks_it_says_how_to_build_them(tmp_path):
    with pytest.raises(workspace.UserError, match="attncourse build"):
        fill(tmp_path)
