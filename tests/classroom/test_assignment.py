"""What a teacher asks for becomes an assignment, or one line that says what is wrong."""

import json

import pytest

from attncourse.classroom.assignment import plan
from attncourse.errors import UnknownExercise, UserError


def test_chapters_in_course_order_with_a_point_for_each_exercise():
    made = plan("06, channel")
    assert made.chapters == ("05_channel", "06_spatial")
    assert made.ids[0] == "channel.squeeze"
    assert made.ids[-1] == "spatial.grad_cam"
    assert set(made.points.values()) == {1.0}
    assert made.title == "Channel attention · Spatial attention"


def test_some_exercises_with_points_of_their_own():
    made = plan("05", "eca, channel.squeeze", "2,eca=3.5", "2027-03-01", hints=1)
    assert made.points == {"channel.squeeze": 2, "channel.eca": 3.5}
    assert made.due == "2027-03-01"
    assert made.hints == 1


def test_a_chapter_of_which_nothing_is_chosen_is_left_out():
    assert plan("05,06", "squeeze").chapters == ("05_channel",)


def test_what_is_written_for_others_to_read(tmp_path):
    plan("05", "squeeze,eca", "eca=2").write(tmp_path)
    kept = json.loads((tmp_path / "assignment.json").read_text())
    assert kept == {
        "version": 1,
        "title": "Channel attention",
        "chapters": ["05_channel"],
        "exercises": [
            {"id": "channel.squeeze", "points": 1.0},
            {"id": "channel.eca", "points": 2.0},
        ],
        "due": None,
        "hints": 3,
        "package": "0.1.0",
    }


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (("05", "squeze"), 'Did you mean "channel.squeeze"?'),
        (("02,07", "multiply_adds"), "multi_head.multiply_adds or non_local.multiply_adds"),
        (("05", "", "zero"), '"zero" is no number of points above 0'),
        (("05", "", "-1"), '"-1" is no number of points above 0'),
        (("05", "", "squeze=2"), "no exercise here"),
        (("05", "", "", "tomorrow"), '"tomorrow" is no date'),
        ((" ",), "name at least one chapter"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(asked, said):
    with pytest.raises(UserError) as error:
        plan(*asked)
    assert said in str(error.value)


def test_a_chapter_there_is_not():
    with pytest.raises(UnknownExercise):
        plan("99")
