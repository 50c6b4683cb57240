"""The kernels are compiled for GPUs that are not here: what they need, these have."""

import ahead
import pytest

pytest.importorskip("triton", reason="Triton is for Linux alone")

TILED = """
import torch
from solutions.fast import tiled_triton

def launch(dtype, d, e=None, causal=False, masked=False, places=0):
    q, v = (torch.empty(2, 4, 1024, width, dtype=dtype) for width in (d, e or d))
    mask = torch.empty(1024, 1024, dtype=torch.bool) if masked else None
    down = torch.empty(2, 4, 1024, places, dtype=dtype) if places else None
    rest = mask, down, down, causal, 0.125
    y, lse = tiled_triton.forward(q, q, v, *rest)
    tiled_triton.backward(y, q, q, v, y, lse, *rest)

"""
COMBINED = {  # each type, each width and what is optional, spread over the two
    80: """
launch(torch.float32, 16, causal=True)
launch(torch.bfloat16, 64, places=32)
launch(torch.float16, 128, masked=True)
launch(torch.float32, 128)
""",
    90: """
launch(torch.bfloat16, 16, masked=True)
launch(torch.float32, 64, places=56)
launch(torch.float16, 64, causal=True)
launch(torch.bfloat16, 128, e=64, places=32)
""",
}


@pytest.mark.parametrize("sm", ahead.TRIED)
def test_the_kernels_of_tiled_attention_fit(sm):
    built = ahead.build(sm, TILED + COMBINED[sm])
    assert {one.kernel for one in built} == {"_forward", "_for_queries", "_for_keys"}
    assert len(built) == 12
    for one in built:
        ahead.check(one, sm)


def test_what_does_not_fit_is_seen():
    """A tile far too large spills."""
    large = """
tiled_triton.tile = lambda *given, **more: (128, 128, 4, 2)
q = torch.empty(2, 4, 1024, 128, dtype=torch.bfloat16)
tiled_triton.forward(q, q, q)
"""
    (built,) = ahead.build(80, TILED + large)
    with pytest.raises(AssertionError, match=r"bytes spill: _forward for sm_80, .*'M': 128"):
        ahead.check(built, 80)
    with pytest.raises(AssertionError, match="bytes of shared memory"):
        ahead.check(built._replace(spilled=0, shared=163 * 1024 + 1), 80)
