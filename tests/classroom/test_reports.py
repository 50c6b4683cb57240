"""What comes out of grading is read by people and by gradebooks, and trusts nobody's words."""

import csv
import io
import json
import re

import pytest

from attncourse.classroom import reporting
from attncourse.classroom.marking import (
    NOT_ATTEMPTED,
    NOT_YET,
    PASSED,
    TAKEN_OVER,
    UNMARKED,
    Mark,
)
from attncourse.classroom.running import Class, Rules, Student
from attncourse.classroom.sandbox.ladder import BUBBLEWRAP, NONE
from attncourse.places import notebooks

SQUEEZE, STRIP = "channel.squeeze", "shapes.strip"
POINTS = {SQUEEZE: 2.0, STRIP: 3.0}
LONG = "def strip(pictures):\n" + "".join(
    f"    part_{n} = pictures[{n}] + {n} * pictures[:, {n}]\n" for n in range(9)
)
SLIP = "stacked"


def mark(id, status, message="said", **more):
    return Mark(id, status, message, **more)


def a_class(many=6, rung=BUBBLEWRAP, **rules):
    """A class of made-up students, with every status in it."""
    rows = [
        (mark(SQUEEZE, PASSED), mark(STRIP, NOT_YET, "told inside", slip=SLIP, source=LONG)),
        (mark(SQUEEZE, PASSED, ready=True), mark(STRIP, NOT_YET, "x", slip=SLIP, source=LONG)),
        (mark(SQUEEZE, TAKEN_OVER), mark(STRIP, PASSED)),
        (mark(SQUEEZE, NOT_ATTEMPTED), mark(STRIP, UNMARKED, "The notebook: it is empty.")),
        (
            mark(SQUEEZE, NOT_YET, "You return 0.25.\nIn line 3, `a < b`."),
            mark(STRIP, NOT_YET, "<script>alert(1)</script> {{ 7 }} `<img>`", slip="<b>"),
        ),
        (mark(SQUEEZE, NOT_YET, "You return 0.75."), mark(STRIP, NOT_ATTEMPTED)),
    ]
    names = ["Åsa", "=SUM(A1)", "<b>Bo</b>", "a/../b", "e", "f"]
    students = [
        Student(f"{names[n % 6]}{n // 6 or ''}", list(rows[n % 6]), ["a note"] * (n % 2))
        for n in range(many)
    ]
    return Class(Rules(POINTS, "Sheet 3", **rules), rung, ["landlock: not here"], students)


@pytest.fixture
def written(tmp_path):
    reporting.write(a_class(), tmp_path, notebooks())
    return tmp_path


def test_a_gradebook_reads_points_and_statuses(written):
    rows = list(csv.reader(io.StringIO((written / "grades.csv").read_text("utf-8-sig"))))
    assert rows[0][:5] == ["student", "points", "of", SQUEEZE, STRIP]
    assert rows[1][:7] == ["Åsa", "2", "5", "2", "0", PASSED, NOT_YET]
    assert rows[2][0] == "'=SUM(A1)"  # no formula
    assert rows[3][1] == "3"
    assert len(rows) == 7


def test_what_the_teacher_says_decides_what_counts(tmp_path):
    whole = a_class(taken_over=0.5, ready=0.25)
    reporting.write(whole, tmp_path, notebooks())
    students = json.loads((tmp_path / "grades.json").read_text())["students"]
    assert [one["exercises"][0]["points"] for one in students[:3]] == [2.0, 0.5, 1.0]


def test_json_names_the_rung_and_keeps_no_source(written):
    text = (written / "grades.json").read_text()
    assert json.loads(text)["sandbox"] == "bubblewrap"
    assert "part_3" not in text


def test_misunderstandings_are_counted_with_message_line_and_section(written):
    page = (written / "index.html").read_text()
    assert (
        "stand on top of each other" in page
    )  # the message of the course, not that from inside
    assert "told inside" not in page
    assert re.search(r"shapes.strip: stacked</span><span>2 of 6", page)
    assert re.search(
        r"channel.squeeze</span><span>2 of 6", page
    )  # numbers differ, the cause not
    assert "To repeat: 00_shapes" in page
    assert "05_channel, 5.1 Squeeze" in page
    assert "a &lt; b" in page


def test_pages_escape_whatever_others_wrote(written):
    pages = [written / "index.html", *(written / "students").iterdir()]
    assert len(pages) == 7
    for page in pages:
        text = page.read_text()
        assert "<script" not in text
        assert "<img" not in text
        assert "<b>" not in text
        assert "http" not in text.replace("http-equiv", "")
    assert sum("&lt;script&gt;" in page.read_text() for page in pages) == 2


def test_a_page_says_where_to_go_on(written):
    page = (written / "students" / reporting.page_of("e")).read_text()
    assert "To go on: 05_channel, 5.1 Squeeze" in page
    assert "<strong>0</strong> of 5" in page


def test_names_make_safe_and_different_files():
    names = ["a/../b", "a/./b", "a b", "../../etc", "", "ß" * 300]
    found = {reporting.page_of(name) for name in names}
    assert len(found) == len(names)
    assert all(re.fullmatch(r"[\w-]+\.html", one, re.ASCII) for one in found)


def test_pairs_who_wrote_the_same_are_told_and_no_others():
    whole = a_class(3)
    whole.students[2].marks[1].source = LONG.replace("pictures", "x").replace("+", "-")
    assert reporting.alike(whole) == [("=SUM(A1)", "Åsa", [STRIP])]


def test_what_most_of_a_class_shares_is_no_pair():
    whole = a_class(12)
    for one in whole.students:
        one.marks[1].source = LONG
    assert reporting.alike(whole) == []


def test_without_a_sandbox_every_page_says_so(tmp_path):
    reporting.write(a_class(2, NONE), tmp_path, notebooks())
    assert "There was no sandbox" in (tmp_path / "index.html").read_text()
    for page in (tmp_path / "students").iterdir():
        assert "without a sandbox" in page.read_text()


def test_an_example_is_one_line_that_one_reads():
    source = "def strip(pictures):\n    return " + "+".join(["pictures"] * 999)
    (one,) = reporting.misunderstandings(
        STRIP, [("a", mark(STRIP, NOT_YET, slip=SLIP, source=source))]
    )
    assert len(one.line) == 200


def test_an_example_is_no_docstring_and_no_comment():
    source = 'def squeeze(x):\n    """x.amax((-2, -1))"""\n    # x.amax((-2, -1))\n'
    source += "    return x.amax((2, 3))"
    (one,) = reporting.misunderstandings(
        SQUEEZE, [("a", mark(SQUEEZE, NOT_YET, slip="largest", source=source))]
    )
    assert one.line == "return x.amax((2, 3))"


def test_rare_misunderstandings_are_folded(tmp_path):
    whole = a_class(12)
    for n, one in enumerate(whole.students):
        one.marks[0] = mark(SQUEEZE, NOT_YET, f"Mistake {chr(97 + n)}.")
    reporting.write(whole, tmp_path, notebooks())
    page = (tmp_path / "index.html").read_text()
    open_, folded = page.split("<details>")
    assert "channel.squeeze: 7 that are rarer" in folded
    assert (open_.count("Mistake"), folded.count("Mistake")) == (5, 7)


def test_a_large_class_makes_a_small_page(tmp_path):
    reporting.write(a_class(200), tmp_path, notebooks())
    assert (tmp_path / "index.html").stat().st_size < 300_000
