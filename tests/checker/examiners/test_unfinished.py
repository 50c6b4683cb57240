"""What is still to be written is told from what is wrong."""

import torch
from told import SOFTMAX, first_line

from attncourse import check
from solutions.scaled_dot_product import AdditiveAttention


def test_what_is_still_to_be_written_is_named():
    class Half(AdditiveAttention):
        def forward(self, q, k, v):
            raise NotImplementedError

    verdict = check("scaled_dot_product.additive_attention", Half)
    assert verdict.status == "not yet"
    assert "Still to be written: `forward`." in first_line(verdict)


def test_torchs_own_not_implemented_is_a_crash_and_not_a_blank():
    def unsupported(x):
        return torch.ops.aten._cudnn_rnn_flatten_weight([x], 1, 1, 1, 1, 1, 1, False, False)

    assert check(SOFTMAX, unsupported).status == "not yet"


def test_an_operator_that_torch_has_not_for_booleans_is_a_crash_too():
    verdict = check(SOFTMAX, lambda x: (x > 0) @ (x > 0).mT)
    assert verdict.status == "not yet"
    assert ".float()" in first_line(verdict)
