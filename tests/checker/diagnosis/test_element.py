"""The element that is furthest off, and where it is seen."""

from told import first_line

from attncourse import check
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
