"""No point is forged, none is lost by who is honest, and nothing is left behind.

A few of both tables run always; all of them where ATTNCOURSE_HOSTILE is set.
"""

import os
import re

import honest
import hostile
import psutil
import pytest

from attncourse import course
from attncourse.classroom import reporting
from attncourse.classroom.assignment import plan
from attncourse.classroom.releasing import release
from attncourse.classroom.running import Rules, run
from attncourse.classroom.sandbox.ladder import BUBBLEWRAP, LANDLOCK
from attncourse.classroom.submissions import File, Submission
from attncourse.exercises.source import source

WHOLE = bool(os.environ.get("ATTNCOURSE_HOSTILE"))
ATTACKS = [name for name in hostile.HOSTILE if WHOLE or name in hostile.QUICK]
RIGHT = [name for name in honest.files() if WHOLE or name in honest.QUICK]
SQUEEZE, OTHER = "channel.squeeze", "shapes.strip"
HEAD = "import torch\nfrom torch import nn, Tensor\nfrom einops import rearrange, reduce\n"
HEAD += "from torch.nn import functional as F\nfrom jaxtyping import Float\n"

linux = pytest.mark.skipif(not os.path.exists("/proc"), reason="the sandbox is for Linux")
pytestmark = linux


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An assignment of two exercises, as it is handed out."""
    folder = tmp_path_factory.mktemp("assigned") / "assignment"
    release(folder, plan("channel,shapes", "squeeze,strip"), lambda _: None)
    return folder


@pytest.fixture(scope="module")
def marked(folder, tmp_path_factory):
    """Every attack, and every odd notebook, as one class; with its reports."""
    into = tmp_path_factory.mktemp("report")
    other = source(course.exercise(OTHER))
    handed = [
        _submission(name, honest.saved((SQUEEZE, hostile.HOSTILE[name]), HEAD, (OTHER, other)))
        for name in ATTACKS
    ]
    files = honest.files()
    handed += [_submission(f"honest: {name}", files[name]) for name in RIGHT]
    rules = Rules({SQUEEZE: 2.0, OTHER: 3.0}, seconds=3.0)
    whole = run(handed, rules, folder / "package", into, 2, False)
    reporting.write(whole, into, folder / "notebooks")
    found = {one.name: {mark.id: mark for mark in one.marks} for one in whole.students}
    return whole, found, into


def _submission(name, data):
    return Submission(name, [File("a.ipynb", data)])


@pytest.mark.parametrize("name", ATTACKS)
def test_no_point_is_forged(marked, name):
    whole, found, _ = marked
    mark = found[name][SQUEEZE]
    assert whole.rules.worth(mark) == 0, mark
    assert mark.status in ("not yet", "not attempted", "taken over"), mark


@pytest.mark.parametrize("name", [n for n in ATTACKS if not n.startswith(hostile.SPOILS)])
def test_an_attack_costs_no_other_exercise(marked, name):
    _, found, _ = marked
    assert found[name][OTHER].status == "passed", found[name][OTHER]


@pytest.mark.parametrize("name", RIGHT)
def test_the_honest_keep_every_point(marked, name):
    _, found, _ = marked
    mark = found[f"honest: {name}"][SQUEEZE]
    assert (mark.status, mark.verified) == ("passed", True), mark


def test_the_rung_is_a_sandbox(marked):
    assert marked[0].rung in (BUBBLEWRAP, LANDLOCK)


def test_nothing_is_left_running(marked):
    left = [p.info for p in psutil.process_iter(["cmdline", "pid"]) if p.info["cmdline"]]
    words = [" ".join(one["cmdline"]) for one in left]
    assert not [w for w in words if re.search(r"-m inside|sleep 432\d", w)]


def test_nothing_is_written_outside(marked):
    assert not [p for p in ("/forged", "/usr/forged", "/tmp/forged") if os.path.exists(p)]


def test_pages_hold_no_markup_of_others(marked):
    _, _, into = marked
    pages = [into / "index.html", *(into / "students").iterdir()]
    for page in pages:
        text = page.read_text()
        assert "<script" not in text.lower()
        assert "<img" not in text.lower()
        assert not re.search("[\x00-\x08\x1b\u202e]", text)
    assert any("&lt;script&gt;" in page.read_text() for page in pages)


def test_what_is_right_is_verified_outside_alone(marked):
    """A verdict that was forged inside is worth nothing without the numbers."""
    _, found, _ = marked
    for name in ATTACKS:
        assert not found[name][SQUEEZE].verified


def test_what_is_marked_is_marked_the_same_again(folder, tmp_path):
    rules = Rules({SQUEEZE: 2.0, OTHER: 3.0}, seconds=3.0)
    data = honest.saved(*honest.CELLS["plain"])
    for n in range(2):
        again = run(
            [_submission("one", data)], rules, folder / "package", tmp_path / str(n), 1, False
        )
        assert [m.status for m in again.students[0].marks] == ["passed", "not attempted"]


def test_begun_again_it_goes_on_where_it_was(folder, tmp_path):
    rules = Rules({SQUEEZE: 2.0}, seconds=3.0)
    handed = [_submission("one", honest.saved(*honest.CELLS["plain"]))]
    told = []
    run(handed, rules, folder / "package", tmp_path, 1, False)
    run(handed, rules, folder / "package", tmp_path, 1, False, lambda *x: told.append(x))
    assert told == [(1, 1, "")]
