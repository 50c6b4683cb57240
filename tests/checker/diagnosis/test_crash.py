"""An error is told by its cause, on the learner's own line."""

from told import ATTENTION

from attncourse import check
from solutions.scaled_dot_product import scaled_dot_product_attention


def test_a_transpose_on_the_line_is_not_blamed_for_numbers_that_do_not_fill_a_shape():
    def flat(q, k, v, mask=None):
        return (scaled_dot_product_attention(q, k, v, mask) + 0 * q[0, 0, 0].T).reshape(7, 7, 7)

    first = check(ATTENTION, flat).message.splitlines()[0]
    assert "do not fill the shape [7, 7, 7]" in first
