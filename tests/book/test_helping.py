"""Hints and solutions, one at a time."""

import pytest

from attncourse import check
from attncourse.book.helping import hint, solution
from attncourse.course import exercise


def test_hints_come_one_at_a_time_and_stay_at_the_last():
    id = "scaled_dot_product.causal_mask"
    titles = [hint(id).title for _ in range(4)]
    assert titles == [f"{id}: hint {n} of 3" for n in (1, 2, 3, 3)]
    assert hint(id, 1).text == exercise(id).hints[0]
    with pytest.raises(ValueError, match="has hints 1 to 3"):
        hint(id, 4)


def test_a_broken_rule_of_every_exercise_is_said_before_the_hint():
    id = "shapes.channel_means"

    def in_place(pictures):
        pictures += 1
        return pictures.mean((1, 2)) - 1

    check(id, in_place)
    assert hint(id, 1).text == (
        "A rule of every exercise is broken: What you are given belongs to the caller, and is"
        f" not changed.\n\n{exercise(id).hints[0]}"
    )
    check(id, lambda pictures: pictures.mean((1, 2)))
    assert hint(id, 1).text == exercise(id).hints[0]


def test_a_solution_is_shown_after_asking(monkeypatch):
    id = "scaled_dot_product.softmax"
    monkeypatch.setattr("builtins.input", lambda _: "n")
    assert "def softmax" not in repr(solution(id))
    monkeypatch.setattr("builtins.input", lambda _: "yes")
    assert "def softmax" in repr(solution(id))
    assert "def softmax" in repr(solution(id, sure=True))
