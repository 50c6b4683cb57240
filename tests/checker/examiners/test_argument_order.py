"""Arguments come in the order of the stub."""

from told import ATTENTION, first_line

from attncourse import check
from solutions.scaled_dot_product import scaled_dot_product_attention


def test_arguments_in_another_order_are_told_before_anything_crashes():
    def keras(query, value, key, mask=None):
        return scaled_dot_product_attention(query, key, value, mask)

    verdict = check(ATTENTION, keras)
    assert verdict.slip == "arguments_in_another_order"
    assert "takes (query, value, key, mask)" in first_line(verdict)
