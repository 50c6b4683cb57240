"""A module may rest on an earlier exercise."""

import torch

from attncourse import check


def test_a_module_that_needs_an_earlier_exercise_waits_for_it():
    def attention_widths(*sizes):
        raise NotImplementedError

    class Waits(torch.nn.Module):
        def __init__(self, *sizes, **more):
            super().__init__()
            attention_widths(*sizes)

    verdict = check("relative_2d.attention_augmented_conv", Waits)
    assert verdict.status == "not attempted"
    assert "that comes first" in verdict.message
