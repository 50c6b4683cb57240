"""What comes out of a box is heard as far as it is a report; numbers alone are believed."""

import pytest

from attncourse import course
from attncourse.classroom.inside.frames import Garbled, Reader, frame
from attncourse.classroom.marking import (
    LARGEST,
    NOT_YET,
    UNMARKED,
    Marked,
    Marking,
    Terms,
    as_json,
    clean,
    from_json,
    mark,
)
from attncourse.classroom.paper import Paper

ID, OTHER = "shapes.strip", "channel.squeeze"
NOTEBOOK = {
    "is": "notebook",
    "exercises": {
        ID: {"cell": 3, "name": "strip", "source": "def strip(): pass"},
        "shapes.pool": {"cell": 4, "name": "pool", "source": ""},
    },
    "notes": ["odd"],
    "unread": [],
}


@pytest.fixture
def marking():
    """A marking that has heard what is in a notebook."""
    papers = {ID: Paper(course.exercise(ID), "a seed")}
    found = Marking(b"", Terms(papers, (ID, OTHER), 3.0), None, None, {})
    assert not found._hear({**NOTEBOOK}, b"", {})
    found.ready = True
    return found


def result(**more):
    said = {"is": "result", "id": ID, "status": "passed", "slip": None, "message": "m"}
    return {**said, "values": None, **more}


def test_only_what_is_asked_for_is_found(marking):
    assert list(marking.found) == [ID]
    assert marking.marked.notes == ["odd"]


@pytest.mark.parametrize(
    "values", [None, {"list": []}, {"is": "x"}, 3, {"list": [{"dict": []}] * 16}]
)
def test_a_word_alone_is_no_point(marking, values):
    marking._hear(result(values=values), b"", {})
    found = marking.marked.marks[ID]
    assert (found.status, found.verified) == (NOT_YET, False)


def test_what_this_machine_can_check_is_not_left_to_the_teacher(marking):
    marking._hear(result(status=UNMARKED, message="Give full marks by hand."), b"", {})
    assert marking.marked.marks[ID].status == NOT_YET
    optional = Paper(course.exercise("fast.online_step"), "a seed").optional
    assert optional
    assert not marking.terms.papers[ID].optional


def test_a_notebook_has_an_end_however_often_it_is_begun(marking):
    assert marking.over() == ""
    marking.patience = -1.0
    assert "minutes" in marking.over()
    marking.marked.seconds = marking.most + 1
    assert "processor time" in marking.over()


def test_a_failing_word_is_enough_to_fail(marking):
    marking._hear(result(status=NOT_YET, message="why\x1b[31m\n" * 50, slip="s" * 999), b"", {})
    found = marking.marked.marks[ID]
    assert found.message.count("\n") == 11
    assert "\x1b" not in found.message
    assert len(found.slip) == 100


@pytest.mark.parametrize(
    "header",
    [
        {"is": "at", "cell": float("inf"), "line": 1},
        {"is": "at"},
        {"is": []},
        {"is": "result", "id": ID, "status": "full marks"},
        {"is": "result", "id": [ID]},
        {"is": "begin", "id": {}},
        {"is": "a kind of its own"},
        {},
    ],
)
def test_what_is_no_report_ends_the_box_and_not_the_grader(marking, header, monkeypatch):
    monkeypatch.setattr(Reader, "__init__", lambda self, fd: None)
    monkeypatch.setattr(Reader, "close", lambda self: None)
    monkeypatch.setattr(Reader, "read", lambda self, *_: (header, b""))

    class Running:
        process = type("P", (), {"stdout": open("/dev/null")})
        cpu = watch = lambda self: 0.0

    assert marking._listen(Running()).startswith("sends what is no report")
    Running.process.stdout.close()


def test_of_no_other_exercise_anything_is_heard(marking):
    marking._hear(result(id=OTHER), b"", {})
    assert OTHER not in marking.marked.marks


def test_frames_are_counted(marking):
    turns = {"note": 5000}
    with pytest.raises(Garbled):
        marking._hear({"is": "note", "text": "x"}, b"", turns)


def test_what_ends_a_box_is_blamed_on_what_ran(marking):
    marking.at = "exercise", ID
    assert marking._ended("ends its worker", "")
    assert marking.marked.marks[ID].status == NOT_YET


def test_a_statement_that_ends_a_box_is_left_out_and_no_exercise_fails(marking):
    marking.at = "statement", (4, 2)
    assert not marking._ended("ends its worker", "")
    assert marking.left_out == [(4, 2)]
    assert not marking.marked.marks


def test_before_it_is_ready_nothing_is_the_learners_fault(marking):
    marking.ready = False
    assert marking._ended("ends its worker", "No module named 'torch'")
    assert marking.marked.marks[ID].status == UNMARKED
    assert "torch" in marking.marked.why


def test_what_is_kept_comes_back(marking):
    marking._hear(result(status=NOT_YET), b"", {})
    assert from_json(as_json(marking.marked)) == marking.marked
    for broken in ("", "{}x", "[]", '{"marks": 3}', '{"marks": {"a": {}}}'):
        assert from_json(broken) is None


def test_a_file_that_is_too_large_is_not_begun():
    found = mark(bytes(LARGEST + 1), Terms({}, (ID,), 3.0), None)
    assert found == Marked(why="it is larger than 64 MiB")


def test_words_are_cut_and_hold_nothing_but_text():
    assert clean("a\x00b\u202ec\td\n" * 3, 2) == "a b c d\na b c d"
    assert len(clean("x" * 10**6, 1)) == 400
    assert clean("\ud800", 1) == ""


def test_a_frame_is_what_it_says():
    assert frame({"is": "x"}, b"12").endswith(b'"bytes": 2}12')
