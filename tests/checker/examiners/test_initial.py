"""A module begins with the values of the stub; where these are random, as widely spread."""

import pytest
import torch
from told import first_line, written
from torch import nn

from attncourse import check


@pytest.mark.parametrize(("times", "passes"), [(0.0, False), (8.0, False), (1.0, True)])
def test_random_weights_are_as_large_as_those_of_the_stub(times, passes):
    class Other(written("positional.relative_attention")):
        def __init__(self, q_dim, v_dim, clip):
            super().__init__(q_dim, v_dim, clip)
            with torch.no_grad():
                self.keys.mul_(times)

    verdict = check("positional.relative_attention", Other)
    assert (verdict.status == "passed") == passes
    assert passes or "`keys` begins at" in first_line(verdict)


def test_a_layer_of_another_name_begins_as_the_stub_says():
    class Embedded(nn.Module):
        def __init__(self, dim, length):
            super().__init__()
            self.places = nn.Embedding(length, dim)

        def forward(self, x):
            n, most = x.shape[-2], self.places.num_embeddings
            if n > most:
                raise ValueError(f"{n} tokens, {most} places")
            return x + self.places(torch.arange(n, device=x.device))

    assert check("positional.learned_positions", Embedded).slip == "begins_otherwise"
