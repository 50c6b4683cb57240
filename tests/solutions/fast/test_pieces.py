"""Torch's private attention is used where it is there, and done without where it is not."""

import pytest
import torch
from torch.testing import assert_close

from solutions import sparse
from solutions.fast import pieces
from solutions.fast.sparse import sparse_attention

B, HEADS, N, D, E = 2, 4, 19, 3, 5
PATTERNS = [("local", 4, 1), ("strided", 4, 1), ("fixed", 4, 1), ("fixed", 4, 2)]


def refuses(*given, **more):
    raise TypeError("other arguments in this release")


def other_numbers(q, k, v, *rest, **more):
    return torch.zeros_like(v[..., :1, :]), torch.zeros(q.shape[:-1])


@pytest.fixture(params=["as it is", "gone", "no backward", "other arguments", "other numbers"])
def torchs(request, monkeypatch):
    """Torch with its operator, and torch without."""
    if request.param == "gone":
        monkeypatch.setattr(pieces, "_FUSED", "_an_operator_that_there_is_not")
    elif request.param == "no backward":
        monkeypatch.delattr(torch.ops.aten, f"{pieces._FUSED}_backward", raising=False)
        named = f"{pieces._FUSED}_backward"
        kept = type(torch.ops.aten).__getattr__

        def without(self, name):
            if name == named:
                raise AttributeError(name)
            return kept(self, name)

        monkeypatch.setattr(type(torch.ops.aten), "__getattr__", without)
    elif request.param != "as it is":
        broken = refuses if request.param == "other arguments" else other_numbers
        monkeypatch.setattr(torch.ops.aten, pieces._FUSED, broken, raising=False)
    pieces._fused_is_there.cache_clear()
    yield request.param
    monkeypatch.undo()
    pieces._fused_is_there.cache_clear()


@pytest.mark.parametrize(("pattern", "stride", "summaries"), PATTERNS)
@pytest.mark.parametrize("way", ["merged", "interleaved"])
def test_values_and_gradients_are_the_reference_s(torchs, pattern, stride, summaries, way):
    q, k = (torch.randn(B, HEADS, N, D, dtype=torch.float64) for _ in range(2))
    v = torch.randn(B, HEADS, N, E, dtype=torch.float64)
    given = [x.requires_grad_() for x in (q, k, v)]
    rest = pattern, stride, summaries, way
    y, wanted = sparse_attention(*given, *rest), sparse.sparse_attention(*given, *rest)
    assert_close(y, wanted)
    slope = torch.randn_like(y)
    grads = (torch.autograd.grad(out, given, slope) for out in (y, wanted))
    for mine, its in zip(*grads, strict=True):
        assert_close(mine, its)
    assert pieces.fused(q) == (torchs == "as it is")
