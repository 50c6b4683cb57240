"""Sparse attention by pieces: the values and gradients of the masked map."""

import pytest
import torch
from torch.testing import assert_close

from solutions import sparse
from solutions.fast import pieces
from solutions.fast import sparse as fast

SIZES = [  # batch head n d e stride summaries
    ((2,), 4, 23, 3, 5, 4, 1),
    ((), 2, 16, 5, 3, 4, 2),
    ((2, 3), 2, 7, 2, 2, 3, 3),
    ((1,), 2, 5, 4, 6, 8, 3),  # less than one block
    ((3,), 2, 8, 4, 4, 8, 2),  # one block
    ((1,), 4, 1, 3, 2, 5, 1),  # one token
    ((2,), 2, 11, 3, 4, 1, 1),  # blocks of one token
    ((1,), 2, 40, 8, 8, 6, 4),
]
PATTERNS = [
    ("local", "merged", 0),
    *((pattern, way, layer) for pattern in ("strided", "fixed")
      for way, layer in (("merged", 0), ("split", 0), ("interleaved", 0), ("interleaved", 1))),
]  # fmt: skip


def inputs(batch, head, n, d, e, dtype=torch.float64):
    torch.manual_seed(0)
    shapes = [(*batch, head, n, d)] * 2 + [(*batch, head, n, e)]
    return [torch.randn(shape, dtype=dtype, requires_grad=True) for shape in shapes]


@pytest.fixture(params=["fused", "everywhere"])
def device(request, monkeypatch):
    """Torch's attention for the CPU, and what other devices do."""
    if request.param == "everywhere":
        monkeypatch.setattr(pieces, "fused", lambda x: False)
    return request.param


@pytest.mark.parametrize(("pattern", "way", "layer"), PATTERNS)
@pytest.mark.parametrize("sizes", SIZES)
def test_values_and_gradients_are_those_of_the_masked_map(device, sizes, pattern, way, layer):
    *shape, stride, summaries = sizes
    q, k, v = given = inputs(*shape)
    first, *second = sparse.masks(pattern, q.shape[-2], stride, summaries)
    second = second[0] if second else first
    expected = sparse.factorised_attention(q, k, v, first, second, way, layer)
    result = fast.sparse_attention(
        q, k, v, pattern, stride, summaries, way, layer, implementation="pieces"
    )
    assert result.shape == expected.shape
    assert_close(result, expected)
    slope = torch.randn_like(expected)
    gradients = torch.autograd.grad(result, given, slope)
    for one, other in zip(gradients, torch.autograd.grad(expected, given, slope), strict=True):
        assert one.shape == other.shape
        assert_close(one, other)


def test_local_and_strided_attention_are_those_of_the_reference():
    q, k, v = inputs((2,), 3, 13, 4, 5)
    one = [x[0, 0] for x in (q, k, v)]
    assert_close(fast.local_attention(*one, 4), sparse.local_attention(q, k, v, 4)[0, 0])
    for name in ("local_attention", "strided_attention"):
        assert_close(getattr(fast, name)(q, k, v, 4), getattr(sparse, name)(q, k, v, 4))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("pattern", ["strided", "fixed"])
def test_single_and_half_precision_are_as_exact_as_they_can_be(device, pattern, dtype):
    exact = inputs((2,), 2, 90, 8, 8)
    with torch.no_grad():
        for x in exact:
            x.copy_(x.to(dtype))
    rough = [x.detach().to(dtype).requires_grad_() for x in exact]
    expected = fast.sparse_attention(*exact, pattern, 9, implementation="reference")
    result = fast.sparse_attention(*rough, pattern, 9)
    assert result.dtype == dtype
    close = 8 * torch.finfo(dtype).eps
    assert (result.double() - expected).abs().max() < close
    slope = torch.randn_like(result)
    for one, other in zip(
        torch.autograd.grad(result, rough, slope),
        torch.autograd.grad(expected, exact, slope.double()),
        strict=True,
    ):
        assert one.dtype == dtype
        assert (one.double() - other).abs().max() < 4 * close * other.abs().max()


def test_large_scores_do_not_overflow(device):
    q, k, v = (x.detach() for x in inputs((1,), 2, 30, 4, 3, torch.float32))
    for pattern in ("strided", "fixed"):
        result = fast.sparse_attention(1e4 * q, k, v, pattern, 5, implementation="pieces")
        assert_close(result, sparse.sparse_attention(1e4 * q, k, v, pattern, 5))


def test_heads_that_are_views_are_read_rightly(device):
    q, k, v = (x.detach() for x in inputs((2,), 2, 23, 4, 3))
    expected = sparse.sparse_attention(q, k, v, "strided", 4)
    heads_inside = [x.movedim(1, 2).contiguous().movedim(2, 1) for x in (q, k, v)]
    tokens_inside = [x.mT.contiguous().mT for x in (q, k, v)]
    for views in (heads_inside, tokens_inside):
        assert not views[0].is_contiguous()
        assert_close(fast.sparse_attention(*views, "strided", 4), expected)


@pytest.mark.parametrize("sizes", [((0,), 2, 6, 4, 3), ((2,), 2, 0, 4, 3)])
def test_no_image_and_no_token_are_an_empty_result(sizes):
    given = inputs(*sizes)
    result = fast.sparse_attention(*given, "strided", 3)
    assert result.shape == given[2].shape
    result.sum().backward()
    assert given[0].grad.shape == given[0].shape


def test_the_derivative_is_that_of_finite_differences(device):
    given = inputs((1,), 2, 11, 3, 2)
    for pattern in ("strided", "fixed"):
        assert torch.autograd.gradcheck(
            lambda *x, pattern=pattern: fast.sparse_attention(*x, pattern, 4, 2), given
        )


@pytest.mark.parametrize("kind", ["strided", "fixed", "summary", "column"])
def test_torch_finds_nothing_wrong_with_the_operator(kind):
    given = [x.detach().flatten(0, 1).requires_grad_() for x in inputs((2,), 3, 11, 4, 3)]
    found = torch.library.opcheck(fast.operator, (*given, kind, 4, 2))
    assert set(found.values()) == {"SUCCESS"}


def test_no_tensor_is_larger_than_the_tokens_and_their_halos():
    from attncourse.papers.counting import count

    q, k, v = (x.detach() for x in inputs((1,), 2, 900, 4, 4, torch.float32))
    for pattern in ("strided", "fixed"):
        largest = count(lambda p=pattern: fast.sparse_attention(q, k, v, p, 30)).largest_tensor
        assert largest <= max(q.numel(), 2 * 30 * 30)


@pytest.mark.parametrize("pattern", ["dense", "local", "strided", "fixed"])
def test_the_same_weights_give_the_same_layer(pattern):
    given = dict(dim=12, heads=2, pattern=pattern, stride=4, way="split")
    reference = sparse.SparseSelfAttention(**given).double()
    quick = fast.SparseSelfAttention(**given).double()
    quick.load_state_dict(reference.state_dict())
    x = torch.randn(3, 19, 12, dtype=torch.float64)
    for implementation, ran in (("auto", "pieces"), ("reference",) * 2, ("pieces",) * 2):
        quick.implementation = implementation
        assert_close(quick(x), reference(x))
        assert quick.runs(x) == ran


def test_the_same_weights_give_the_same_model():
    models = [kind(5, 20, dim=8, stride=4) for kind in
              (sparse.SparseTransformer, fast.SparseTransformer)]  # fmt: skip
    models[1].load_state_dict(models[0].state_dict())
    x = torch.randint(5, (2, 18))
    assert_close(models[1](x), models[0](x))
    assert models[1].blocks[0].attention[-1].runs(torch.randn(2, 18, 8)) == "pieces"


def test_what_cannot_be_is_told_as_in_the_reference():
    q, k, v = inputs((1,), 3, 6, 4, 3)
    with pytest.raises(ValueError, match="no implementation='fast': there are auto, reference"):
        fast.sparse_attention(q, k, v, "strided", 3, implementation="fast")
    with pytest.raises(ValueError, match="summaries=4 of a block, but it has 3 keys"):
        fast.sparse_attention(q, k, v, "fixed", 3, 4)
    with pytest.raises(ValueError, match="way='both' is none of"):
        fast.sparse_attention(q, k, v, "fixed", 3, way="both")
    with pytest.raises(ValueError, match="3 heads have no halves"):
        fast.sparse_attention(q, k, v, "fixed", 3, way="split")
