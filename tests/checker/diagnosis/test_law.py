"""A law explains what no slip is."""

from told import WEIGHTS, first_line

from attncourse import check
from solutions.scaled_dot_product import attention_weights


def test_a_law_explains_where_no_slip_fits():
    def scaled_by_seven(q, k, mask=None):
        return attention_weights(q / 7, k, mask)

    line = first_line(check(WEIGHTS, scaled_by_seven))
    assert "Your scores are 0.1429 times as large as they should be" in line
