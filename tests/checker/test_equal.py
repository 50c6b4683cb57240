"""What counts as the same."""

import torch

from attncourse.checker.equal import same


def test_equality_is_of_shapes_before_values():
    x = torch.ones(2, 3, dtype=torch.float64)
    assert same(x, x.clone())
    assert not same(x[:1], x)
    assert not same(x.float(), x)
    assert not same(x + 1e-5, x)
    assert not same((x,), x)
    assert not same(3.0, 3)
    assert same(0.1 + 0.2, 0.3)
    assert not same(0.3001, 0.3)


def test_masks_are_compared_in_half_precision_too():
    mask = torch.tensor([True, False, True])
    assert same(mask.clone(), mask, torch.float16)
    assert not same(~mask, mask, torch.float16)
