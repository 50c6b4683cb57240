"""A tensor made on a device of its own is found without another one."""

import torch
from told import ATTENTION

from attncourse import check
from solutions.scaled_dot_product import scaled_dot_product_attention


def test_an_answer_that_makes_its_tensors_on_the_cpu_is_caught():
    def here(q, k, v, mask=None):
        allowed = torch.ones(q.shape[-2], k.shape[-2], dtype=torch.bool)
        return scaled_dot_product_attention(
            q, k, v, allowed if mask is None else mask & allowed
        )

    verdict = check(ATTENTION, here)
    assert verdict.slip == "leaves_the_device"
