"""Large numbers, scattered memory, single precision."""

import torch
from told import ATTENTION

from attncourse import check
from solutions.scaled_dot_product import scaled_dot_product_attention


def test_an_answer_for_contiguous_tensors_only_is_caught():
    def views(q, k, v, mask=None):
        return scaled_dot_product_attention(q.view(-1).view(q.shape), k, v, mask)

    verdict = check(ATTENTION, views)
    assert verdict.slip == "needs_contiguous"


def test_single_precision_is_kept():
    def double(q, k, v, mask=None):
        return scaled_dot_product_attention(q.double(), k.double(), v.double(), mask)

    assert check(ATTENTION, double).slip == "changes_the_dtype"


def test_a_slip_that_is_wrong_elsewhere_does_not_name_what_departs_for_large_numbers_alone():
    def shifted_by_hidden_keys_too(q, k, v, first, second, way, layer=0):
        mask = {"merged": first | second, "interleaved": (first, second)[layer % 2]}.get(way)
        if mask is None:
            half, odd = divmod(q.shape[-3], 2)
            if odd:
                raise ValueError("odd")
            mask = torch.stack([first] * half + [second] * half)
        scores = q @ k.mT / q.shape[-1] ** 0.5
        powers = (scores - scores.amax(-1, keepdim=True)).exp() * mask
        total = powers.sum(-1, keepdim=True)
        return powers / torch.where(total == 0, 1, total) @ v

    verdict = check("sparse.factorised_attention", shifted_by_hidden_keys_too)
    assert verdict.slip is None
    assert "Subtract the largest score that counts" in verdict.message.splitlines()[0]
