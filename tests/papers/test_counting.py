"""What a call spends, counted."""

import torch

from attncourse.papers.counting import count
from solutions.multi_head import MultiHeadAttention, multiply_adds


def test_multiply_adds_are_counted_as_the_formula_has_them():
    layer = MultiHeadAttention(12, 3)
    x, context = torch.randn(1, 5, 12), torch.randn(1, 7, 12)
    assert count(lambda: layer(x, context)).multiply_adds == multiply_adds(12, 3, 5, 7)


def test_the_largest_tensor_counts_what_is_stored():
    x = torch.randn(3, 5)
    assert count(lambda: x[:, None] * x[None]).largest_tensor == 3 * 3 * 5
    assert count(lambda: x.expand(100, 3, 5)).largest_tensor == 3 * 5
    assert count(lambda: None).largest_tensor == 0
