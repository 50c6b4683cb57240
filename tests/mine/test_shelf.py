"""What is kept is whole, and what was there before stays."""

import errno
import os
from datetime import datetime
from pathlib import Path

import pytest

from attncourse.mine import shelf

NOW = datetime(2026, 11, 21, 15, 30)
ID = "channel.squeeze"
BODIES = [f"def squeeze(x):\n    return {n}\n" for n in range(4)]


def test_nothing_is_kept_at_first(tmp_path):
    assert shelf.kept(tmp_path, ID) is None
    assert shelf.kept(None, ID) is None
    assert list(tmp_path.iterdir()) == []


def test_a_kept_answer_says_which_it_is_and_when_it_passed(tmp_path):
    assert shelf.put(tmp_path, ID, BODIES[0], NOW) is None
    kept = shelf.kept(tmp_path, ID)
    assert (kept.id, kept.passed, kept.body) == (ID, "2026-11-21 at 15:30", BODIES[0])
    assert kept.path == tmp_path / "mine" / "channel" / "squeeze.py"
    assert not kept.changed


def test_every_earlier_version_stays(tmp_path):
    for body in BODIES:  # within one second
        shelf.put(tmp_path, ID, body, NOW)
    earlier = [path.read_text() for path in shelf.earlier(tmp_path, ID)]
    assert shelf.kept(tmp_path, ID).body == BODIES[3]
    assert all(text.endswith(body) for text, body in zip(earlier, BODIES[:3], strict=True))
    assert list(shelf.modules(tmp_path)) == [shelf.path_of(tmp_path, ID)]


def test_the_same_once_more_changes_nothing(tmp_path):
    shelf.put(tmp_path, ID, BODIES[0], NOW)
    before = shelf.path_of(tmp_path, ID).read_text()
    shelf.put(tmp_path, ID, BODIES[0])
    assert shelf.path_of(tmp_path, ID).read_text() == before
    assert shelf.earlier(tmp_path, ID) == []


def test_what_was_changed_by_hand_is_known_and_not_lost(tmp_path):
    shelf.put(tmp_path, ID, BODIES[0], NOW)
    path = shelf.path_of(tmp_path, ID)
    path.write_text(path.read_text() + "# mine\n")
    assert shelf.kept(tmp_path, ID).changed
    shelf.put(tmp_path, ID, BODIES[0], NOW)
    assert shelf.earlier(tmp_path, ID)[0].read_text().endswith("# mine\n")
    assert not shelf.kept(tmp_path, ID).changed


@pytest.mark.parametrize("text", ["", "def squeeze(x): ...", '"""channel.eca"""', b"\xff\xfe"])
def test_a_file_of_another_kind_is_not_used_and_not_lost(tmp_path, text):
    path = shelf.path_of(tmp_path, ID)
    path.parent.mkdir(parents=True)
    data = text if isinstance(text, bytes) else text.encode()
    path.write_bytes(data)
    with pytest.raises(shelf.Unusable, match="does not begin"):
        shelf.kept(tmp_path, ID)
    older = shelf.put(tmp_path, ID, BODIES[0], NOW)
    assert older.read_bytes() == data


def test_a_full_disk_leaves_the_one_that_was_there(tmp_path, monkeypatch):
    shelf.put(tmp_path, ID, BODIES[0], NOW)

    def fail(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space left"):
        shelf.put(tmp_path, ID, BODIES[1], NOW)
    assert shelf.kept(tmp_path, ID).body == BODIES[0]
    assert not [path for path in tmp_path.rglob("*.part")]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("def squeeze(x:", "SyntaxError"),
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("squeeze = 3", "it defines no `squeeze`"),
    ],
)
def test_why_a_file_cannot_be_used(text, why):
    with pytest.raises(shelf.Unusable, match=why):
        shelf.loaded(text, Path("x.py"), "x", "squeeze")
