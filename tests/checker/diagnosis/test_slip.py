"""A slip is named where it gives the same."""

import torch
from told import ATTENTION

from attncourse import check


def test_a_slip_seen_on_some_inputs_only_is_named_with_reserve():
    def two(q, k, v, mask=None):
        scores = q @ k.mT  # not scaled; and masks are misread in a way of its own
        if mask is not None:
            scores = torch.where(mask, scores, 0.37 * scores)
        return scores.softmax(-1) @ v

    verdict = check(ATTENTION, two)
    assert verdict.slip == "unscaled"
    assert "On other inputs something else departs as well." in verdict.message
