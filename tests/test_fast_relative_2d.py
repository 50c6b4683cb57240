"""Relative attention by rows of the map: the values and gradients of the skew."""

import pytest
import torch
from torch.testing import assert_close

from attncourse.counting import count
from solutions import relative_2d as reference
from solutions.fast import relative_2d as fast

SIZES = [  # batch h w d e
    ((2, 3), 4, 5, 7, 6),
    ((), 3, 6, 2, 4),
    ((2,), 1, 1, 3, 2),
    ((1, 2, 2), 1, 7, 4, 5),
    ((2,), 9, 2, 5, 5),
]


def inputs(batch, h, w, d, e, dtype=torch.float64):
    torch.manual_seed(0)
    shapes = [(*batch, h, w, d)] * 2 + [(*batch, h, w, e), (2 * h - 1, d), (2 * w - 1, d)]
    return [torch.randn(shape, dtype=dtype, requires_grad=True) for shape in shapes]


@pytest.fixture(params=[1, 40, 2**18], ids=["one row at a time", "some", "all"])
def at_hand(request, monkeypatch):
    monkeypatch.setattr(fast, "AT_HAND", request.param)


@pytest.mark.parametrize("tables", [True, False], ids=["tables", "no tables"])
@pytest.mark.parametrize("sizes", SIZES)
def test_values_and_gradients_are_those_of_the_skew(at_hand, sizes, tables):
    given = inputs(*sizes)
    given = given if tables else given[:3]
    places = given[3:] or [None, None]
    expected = reference.relative_attention_2d(*given[:3], *places, "skew")
    result = fast.relative_attention_2d(*given[:3], *places, "rows")
    assert result.shape == expected.shape
    assert_close(result, expected)
    slope = torch.randn_like(expected)
    gradients = torch.autograd.grad(result, given, slope)
    for one, other in zip(gradients, torch.autograd.grad(expected, given, slope), strict=True):
        assert_close(one, other)


@pytest.mark.parametrize("implementation", ["auto", *fast.IMPLEMENTATIONS])
def test_all_implementations_agree(implementation):
    given = [x.detach() for x in inputs((2,), 15, 14, 4, 3)]
    expected = reference.relative_attention_2d(*given, "skew")
    assert_close(fast.relative_attention_2d(*given, implementation), expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_single_and_half_precision_are_as_exact_as_they_can_be(dtype):
    given = [x.detach().to(dtype) for x in inputs((2,), 6, 9, 8, 8)]
    expected = fast.relative_attention_2d(*(x.double() for x in given), "skew")
    result = fast.relative_attention_2d(*given, "rows")
    assert result.dtype == dtype
    assert (result.double() - expected).abs().max() < 16 * torch.finfo(dtype).eps


def test_views_and_large_scores_are_read_rightly():
    q, k, v, rows, columns = (x.detach() for x in inputs((2,), 4, 5, 3, 2, torch.float32))
    views = [x.movedim(-1, 1).contiguous().movedim(1, -1) for x in (1e4 * q, k, v)]
    assert not views[0].is_contiguous()
    expected = reference.relative_attention_2d(1e4 * q, k, v, rows, columns, "skew")
    assert_close(fast.relative_attention_2d(*views, rows, columns, "rows"), expected)


def test_an_empty_batch_is_an_empty_result():
    given = inputs((0, 2), 4, 5, 3, 2)
    y = fast.relative_attention_2d(*given, "rows")
    assert y.shape == (0, 2, 4, 5, 2)
    y.sum().backward()
    assert not given[3].grad.any()


def test_the_derivative_is_that_of_finite_differences(at_hand):
    given = inputs((2,), 2, 3, 3, 2)
    assert torch.autograd.gradcheck(
        lambda *x: fast.relative_attention_2d(*x, "rows"), given, fast_mode=True
    )


def test_no_tensor_is_as_large_as_the_map():
    given = [x.detach() for x in inputs((1,), 30, 31, 4, 4, torch.float32)]
    fast.AT_HAND, before = 9300, fast.AT_HAND
    try:
        call = lambda: fast.relative_attention_2d(*given, "rows")  # noqa: E731
        assert count(call).largest_tensor <= 30 * 31 * 31
    finally:
        fast.AT_HAND = before


@pytest.mark.parametrize("more", [{}, {"downsample": True}, {"stride": 2}, {"upsilon": 1}])
@pytest.mark.parametrize("implementation", ["auto", "rows", "augmented"])
def test_the_same_weights_give_the_same_layer(implementation, more):
    given = dict(kappa=0.5, upsilon=0.5, heads=2, size=(15, 17)) | more
    plain = reference.AttentionAugmentedConv2d(3, 8, **given).double()
    quick = fast.AttentionAugmentedConv2d(3, 8, **given, implementation=implementation)
    quick = quick.double()
    quick.load_state_dict(plain.state_dict())
    x = torch.randn(2, 3, 15, 17, dtype=torch.float64)
    assert quick.ran is None
    assert_close(quick(x), plain(x))
    small = "downsample" in more or "stride" in more
    auto = "augmented" if small else "rows"
    assert quick.ran == (auto if implementation == "auto" else implementation)


def test_a_layer_without_attention_or_without_places_is_as_the_reference():
    for more in (dict(upsilon=0), dict(size=None)):
        plain = reference.AttentionAugmentedConv2d(3, 8, heads=2, **more)
        quick = fast.AttentionAugmentedConv2d(3, 8, heads=2, **more)
        quick.load_state_dict(plain.state_dict())
        x = torch.randn(2, 3, 5, 4)
        assert_close(quick(x), plain(x))


def test_what_there_is_not_is_told():
    given = inputs((2,), 2, 3, 3, 2)
    with pytest.raises(ValueError, match="no implementation='flash': there are auto, naive"):
        fast.relative_attention_2d(*given, "flash")
    with pytest.raises(ValueError, match="no implementation='flash'"):
        fast.AttentionAugmentedConv2d(3, 8, implementation="flash")
    with pytest.raises(ValueError, match="the table of columns has 3 offsets"):
        fast.relative_attention_2d(*given[:3], given[3], given[4][:-2], "rows")
