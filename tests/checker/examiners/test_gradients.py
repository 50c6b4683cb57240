"""Gradients reach every input, and are right."""

import math
from functools import partial

import pytest
import torch
from told import ATTENTION, first_line

from attncourse import check
from attncourse.checker.telling import DIGITS
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


def test_a_constant_in_single_precision_is_a_remark_and_a_small_number_added_is_not():
    def distance(weights, wide, patch, beside=0.0):
        total = weights.new_zeros(weights.shape[1])
        for i in range(weights.shape[-1]):
            ways = [
                patch * math.hypot(i // wide - j // wide, i % wide - j % wide)
                for j in range(weights.shape[-1])
            ]
            row = weights[:, :, i]  # a list of numbers becomes single precision
            total = total + (row @ torch.tensor(ways).to(row) / (row.sum(-1) + beside)).sum(0)
        return total / len(weights) / weights.shape[-1]

    rounded = check("united.attention_distance", distance)
    assert rounded.status == "passed"
    assert DIGITS in rounded.message
    added = check("united.attention_distance", partial(distance, beside=1e-5))
    assert added.status == "not yet"
