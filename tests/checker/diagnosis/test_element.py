"""The element that is furthest off, and where it is seen."""

import torch
from told import first_line

from attncourse import check
from attncourse.checker.telling import worst
from solutions.relative_2d import axis_logits


def test_where_nothing_has_a_size_no_empty_brackets_are_shown():
    verdict = check("multi_head.parameters", lambda dim, heads: 1)
    assert "Seen for dim" in verdict.message
    assert "()" not in verdict.message


def test_of_several_tensors_the_worst_element_of_the_first_wrong_one_is_told():
    def squared(q, rows, columns):
        down, across = axis_logits(q, rows, columns)
        return down, across.square()

    verdict = check("relative_2d.axis_logits", squared)
    assert first_line(verdict).startswith("In [1]: The result is")


def test_of_elements_that_are_equally_far_off_the_first_is_told_whatever_rounding_leaves():
    right = torch.zeros(2, 3, dtype=torch.float64)
    y = torch.ones(2, 3, dtype=torch.float64)
    y[1, 2] += 1e-12
    assert "at i=0, j=0" in worst(y, right, "i j")
    y[1, 2] += 1e-6
    assert "at i=1, j=2" in worst(y, right, "i j")


def test_what_rounding_alone_leaves_is_told_as_0_and_nan_as_nan():
    right = torch.ones(1, dtype=torch.float64)
    assert worst(torch.full_like(right, -1e-17), right, "i").startswith("The result is 0 at")
    assert worst(torch.full_like(right, 1e-9), right, "i").startswith("The result is 1e-09 at")
    assert worst(torch.full_like(right, torch.nan), right, "i").startswith("The result is nan")
