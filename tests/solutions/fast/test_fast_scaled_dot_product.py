"""Attention by tiles: the values and gradients of the whole map."""

from functools import partial

import pytest
import torch
from torch.testing import assert_close

from solutions import scaled_dot_product as reference
from solutions.fast import scaled_dot_product as fast
from solutions.fast.tiles import online_softmax

SIZES = [  # batch i j d e
    ((2, 3), 7, 11, 4, 5),
    ((), 5, 5, 3, 3),
    ((2,), 13, 6, 2, 7),
    ((1, 2, 2), 4, 9, 16, 16),
    ((3,), 1, 1, 1, 1),
]
IMPLEMENTATIONS = ("tiled", "torch")


def inputs(batch, i, j, d, e, dtype=torch.float64):
    torch.manual_seed(0)
    shapes = (*batch, i, d), (*batch, j, d), (*batch, j, e)
    return [torch.randn(shape, dtype=dtype, requires_grad=True) for shape in shapes]


def masks(batch, i, j):
    """None, one for all, one for keys alone, one for each head; a query that sees nothing."""
    each = torch.rand(*batch, i, j) < 0.6
    each[..., 0, :] = False
    keys = torch.rand(1, j) < 0.7
    keys[..., 0] = True
    return {"none": None, "one": each.flatten(0, -3)[0] if batch else each, "keys": keys,
            "each": each}  # fmt: skip


@pytest.fixture(params=IMPLEMENTATIONS)
def implementation(request, monkeypatch):
    """Tiles are small, so that there are several, and the last is not full."""
    monkeypatch.setattr(
        fast, "tiled_attention", partial(fast.tiled_attention, rows=3, columns=4)
    )
    return request.param


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("kind", ["none", "one", "keys", "each"])
@pytest.mark.parametrize("sizes", SIZES)
def test_values_and_gradients_are_those_of_the_map(implementation, sizes, kind, causal):
    given = inputs(*sizes)
    mask = masks(*sizes[:3])[kind]
    expected = fast.scaled_dot_product_attention(*given, mask, causal, None, "reference")
    result = fast.scaled_dot_product_attention(*given, mask, causal, None, implementation)
    assert result.shape == expected.shape
    assert_close(result, expected)
    slope = torch.randn_like(expected)
    gradients = torch.autograd.grad(result, given, slope)
    for one, other in zip(gradients, torch.autograd.grad(expected, given, slope), strict=True):
        assert_close(one, other)


def test_the_reference_takes_causal_and_scale_as_defined():
    q, k, v = inputs((2,), 5, 5, 3, 4)
    mask = reference.causal_mask(5, 5)
    expected = reference.attention_weights(q * 0.3 * 3**0.5, k, mask) @ v
    for name in fast.IMPLEMENTATIONS:
        assert_close(
            fast.scaled_dot_product_attention(q, k, v, None, True, 0.3, name), expected
        )


@pytest.mark.parametrize("tile", [1, 3, 4, 100])
def test_one_pass_finds_the_softmax_of_two(tile):
    x = torch.randn(2, 3, 11, dtype=torch.float64) * 50
    assert_close(online_softmax(x, tile), x.softmax(-1))
    rising = torch.arange(2000.0)
    assert_close(online_softmax(rising, tile), rising.softmax(-1))


@pytest.mark.parametrize("tile", [(1, 1), (3, 4), (64, 2), (100, 100)])
def test_the_log_sum_exp_is_that_of_the_scores(tile):
    q, k, v = (x.detach() for x in inputs((2, 3), 7, 11, 4, 5))
    y, lse = fast.tiled_attention(q, k, v, None, False, 0.5, *tile)
    assert_close(lse, (q @ k.mT * 0.5).logsumexp(-1))
    assert_close(y, (q @ k.mT * 0.5).softmax(-1) @ v)


def test_a_query_that_sees_nothing_reads_nothing_and_has_no_sum():
    q, k, v = inputs((2,), 5, 6, 3, 4)
    mask = torch.ones(5, 6, dtype=torch.bool)
    mask[2] = False
    y, lse = fast.tiled_attention(q, k, v, mask, rows=2, columns=4)
    assert y[:, 2].abs().max() == 0
    assert (lse[:, 2] == -torch.inf).all()
    assert lse[:, [0, 1, 3, 4]].isfinite().all()
    y.sum().backward()
    assert all(x.grad.isfinite().all() for x in (q, k, v))
    assert q.grad[:, 2].abs().max() == 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_single_and_half_precision_are_as_exact_as_torchs(dtype):
    exact = inputs((2,), 60, 70, 16, 16)
    rough = [x.detach().to(dtype).requires_grad_() for x in exact]
    exact = [x.detach().double().requires_grad_() for x in rough]
    expected = fast.scaled_dot_product_attention(*exact, implementation="reference")
    slope = torch.randn_like(expected)
    right = torch.autograd.grad(expected, exact, slope)
    far = {}
    for name in IMPLEMENTATIONS:
        y = fast.scaled_dot_product_attention(*rough, implementation=name)
        assert y.dtype == dtype
        grads = torch.autograd.grad(y, rough, slope.to(dtype))
        pairs = zip((y, *grads), (expected, *right), strict=True)
        far[name] = [(one.double() - two).abs().max().item() for one, two in pairs]
    for ours, torchs in zip(far["tiled"], far["torch"], strict=True):
        assert ours <= 2 * torchs


def test_large_scores_do_not_overflow(implementation):
    q, k, v = (x.detach() for x in inputs((1,), 9, 12, 4, 3, torch.float32))
    result = fast.scaled_dot_product_attention(1e4 * q, k, v, implementation=implementation)
    assert_close(result, reference.scaled_dot_product_attention(1e4 * q, k, v))


def test_views_are_read_rightly(implementation):
    q, k, v = (x.detach() for x in inputs((2, 3), 7, 11, 4, 5))
    expected = reference.scaled_dot_product_attention(q, k, v)
    views = [x.mT.contiguous().mT for x in (q, k, v)]
    assert_close(
        fast.scaled_dot_product_attention(*views, implementation=implementation), expected
    )


@pytest.mark.parametrize(
    "sizes", [((0,), 3, 4, 2, 5), ((2,), 0, 4, 2, 5), ((2, 2), 3, 0, 4, 2)]
)
def test_nothing_is_an_empty_result_or_zeros(implementation, sizes):
    given = inputs(*sizes)
    y = fast.scaled_dot_product_attention(*given, implementation=implementation)
    batch, i, _, _, e = sizes
    assert y.shape == (*batch, i, e)
    assert not y.any()


def test_no_tensor_is_as_large_as_the_map():
    from attncourse.papers.counting import count

    q, k, v = (torch.randn(1, 1000, 4) for _ in "qkv")
    tensors, rest = (q, k, v, None, None, None), (False, 0.5, 50, 40)
    y, lse = fast.by_tiles(*tensors, *rest)
    assert count(lambda: fast.by_tiles(*tensors, *rest)).largest_tensor <= 4000
    back = lambda: fast.gradients_by_tiles(y, *tensors, y, lse, *rest)  # noqa: E731
    assert count(back).largest_tensor <= 4000


def test_the_derivative_is_that_of_finite_differences():
    given = inputs((1,), 5, 7, 3, 2)
    mask = torch.rand(5, 7) < 0.7
    assert torch.autograd.gradcheck(
        lambda *x: fast.tiled_attention(*x, mask, True, None, 2, 3)[0], given
    )


def test_what_there_is_not_is_told():
    q, k, v = inputs((), 2, 3, 2, 2)
    with pytest.raises(ValueError, match="no implementation='flash': there are auto, ref"):
        fast.scaled_dot_product_attention(q, k, v, implementation="flash")
    assert fast.choose(q, v) == "torch"
