"""Gradients reach every input, and are right."""

import pytest
from told import ATTENTION, first_line

from attncourse import check
from solutions.scaled_dot_product import attention_weights, scaled_dot_product_attention


@pytest.mark.parametrize(
    ("answer", "slip"),
    [
        (
            lambda q, k, v, mask=None: scaled_dot_product_attention(q, k.detach(), v, mask),
            "no_gradient",
        ),
        (
            lambda q, k, v, mask=None: (
                attention_weights(q, k, mask).detach() @ v + 0 * (q.sum() + k.sum())
            ),
            None,
        ),
    ],
)
def test_gradients_are_looked_at(answer, slip):
    verdict = check(ATTENTION, answer)
    assert verdict.status == "not yet"
    assert "gradient" in first_line(verdict)
    assert verdict.slip == slip or slip is None
