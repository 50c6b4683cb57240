"""No point is forged, none is lost by who is honest, and nothing is left behind.

A few of all tables run always; all of them where ATTNCOURSE_HOSTILE is set.
"""

import os
import re
from contextlib import suppress

import cunning
import honest
import hostile
import psutil
import pytest
import uncommon

from attncourse import course
from attncourse.classroom import reporting
from attncourse.classroom.assignment import plan
from attncourse.classroom.marking import stage
from attncourse.classroom.releasing import release
from attncourse.classroom.running import Rules, run
from attncourse.classroom.sandbox.ladder import BUBBLEWRAP, LANDLOCK, climb
from attncourse.classroom.submissions import File, Submission
from attncourse.errors import UserError
from attncourse.exercises.source import source

WHOLE = bool(os.environ.get("ATTNCOURSE_HOSTILE"))
SOURCES = hostile.HOSTILE | cunning.CUNNING
FILES = {f"file: {name}": data for name, data in cunning.FILES.items()}
BESIDE = {f"beside: {name}": data for name, data in cunning.BESIDE.items()}
FEW = *hostile.QUICK, *cunning.QUICK
ATTACKS = [name for name in (*SOURCES, *FILES, *BESIDE) if WHOLE or name in FEW]
ODD = honest.files() | uncommon.files()
RIGHT = [name for name in ODD if WHOLE or name in (*honest.QUICK, *uncommon.QUICK)]
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
    try:
        with stage(folder / "package") as there:
            climb(there, False)
    except UserError as error:
        pytest.skip(str(error))
    return folder


@pytest.fixture(scope="module")
def mark(tmp_path_factory):
    """A file that comes to be if anything that was handed in runs outside."""
    return tmp_path_factory.mktemp("forged") / "mark"


@pytest.fixture(scope="module")
def marked(folder, mark, tmp_path_factory):
    """Every attack, and every odd notebook, as one class; with its reports."""
    into = tmp_path_factory.mktemp("report")
    handed = [_attack(name, str(mark)) for name in ATTACKS]
    handed += [_submission(f"honest: {name}", ODD[name]) for name in RIGHT]
    rules = Rules({SQUEEZE: 2.0, OTHER: 3.0}, seconds=3.0)
    whole = run(handed, rules, folder / "package", into, 2, False)
    reporting.write(whole, into, folder / "notebooks")
    found = {one.name: {mark.id: mark for mark in one.marks} for one in whole.students}
    return whole, found, into


def _attack(name, mark):
    if name in FILES:
        return _submission(name, FILES[name].replace(b"MARK", mark.encode()))
    source_of = SOURCES.get(name, cunning.WRONG).replace("MARK", mark)
    other = source(course.exercise(OTHER))
    data = honest.saved((SQUEEZE, source_of), HEAD, (OTHER, other))
    beside = {name.removeprefix("beside: "): BESIDE[name]} if name in BESIDE else {}
    return Submission(name, [File("a.ipynb", data)], beside)


def _submission(name, data):
    return Submission(name, [File("a.ipynb", data)])


@pytest.mark.parametrize("name", ATTACKS)
def test_no_point_is_forged(marked, name):
    whole, found, _ = marked
    mark = found[name][SQUEEZE]
    assert whole.rules.worth(mark) == 0, mark
    unread = ("could not be marked",) if name in FILES else ()  # of what is no notebook
    assert mark.status in ("not yet", "not attempted", "taken over", *unread), mark


def _spoils(name):
    """Whether an attack ends or spoils what comes after it in its own notebook."""
    return name in FILES or name.startswith((*hostile.SPOILS, *cunning.SPOILS))


@pytest.mark.parametrize("name", [n for n in ATTACKS if not _spoils(n)])
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
    """What lost its parent, or is a child of this process; others may grade on this machine."""
    left = []
    for process in psutil.process_iter(["cmdline"]):
        words = " ".join(process.info["cmdline"] or ())
        if re.search(r"-m inside|sleep 432\d", words):
            with suppress(psutil.NoSuchProcess):
                above = [one.pid for one in process.parents()]
                left += [words] * (len(above) < 2 or os.getpid() in above)
    assert not left


def test_nothing_is_written_outside(marked, mark):
    assert not [p for p in ("/forged", "/usr/forged", mark) if os.path.exists(p)]


def test_pages_hold_no_markup_of_others(marked):
    _, _, into = marked
    pages = [into / "index.html", *(into / "students").iterdir()]
    for page in pages:
        text = page.read_text()
        assert not re.search("<(script|img|svg|iframe)", text.lower())
        assert not re.search("[\x00-\x08\x1b\u202e]", text)
    assert any("&lt;script&gt;" in page.read_text() for page in pages)


def test_what_is_right_is_verified_outside_alone(marked):
    """A verdict that was forged inside is worth nothing without the numbers."""
    _, found, _ = marked
    for name in ATTACKS:
        assert not found[name][SQUEEZE].verified


def test_what_is_marked_is_marked_the_same_again(folder, tmp_path):
    """Each run draws other inputs."""
    rules = Rules({SQUEEZE: 2.0, OTHER: 3.0}, seconds=3.0)
    handed = [
        _submission("one", honest.saved(*honest.CELLS["plain"])),
        _submission("another", honest.saved((SQUEEZE, honest.WRONG), honest.CHECK)),
    ]
    for n in range(20 if WHOLE else 2):
        again = run(handed, rules, folder / "package", tmp_path / str(n), 2, False)
        found = [[m.status for m in one.marks] for one in again.students]
        assert found == [["passed", "not attempted"], ["not yet", "not attempted"]]


def test_begun_again_it_goes_on_where_it_was(folder, tmp_path):
    rules = Rules({SQUEEZE: 2.0}, seconds=3.0)
    handed = [_submission("one", honest.saved(*honest.CELLS["plain"]))]
    told = []
    run(handed, rules, folder / "package", tmp_path, 1, False)
    run(handed, rules, folder / "package", tmp_path, 1, False, lambda *x: told.append(x))
    assert told == [(1, 1, "")]
