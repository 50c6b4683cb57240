"""What an answer spends is counted."""

from dataclasses import replace

from told import first_line

from attncourse import check
from attncourse.course import exercise
from attncourse.exercises.edited import copy
from attncourse.exercises.record import Cost


def test_an_answer_that_costs_too_much_is_told_both_counts():
    def wide(x, y):
        return (x[:, None] * y[None]).sum(-1)

    ex = replace(exercise("shapes.similarity"), cost=Cost(largest_tensor=2, multiply_adds=1))
    assert check(ex, copy(ex)).status == "passed"
    verdict = check(ex, wide)
    assert verdict.slip == "largest_tensor"
    assert "costs more than it may: your largest tensor holds 60 numbers; 20" in first_line(
        verdict
    )
