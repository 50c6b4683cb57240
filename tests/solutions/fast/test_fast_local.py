"""Local attention by every implementation: the values and gradients of the reference."""

import pytest
import torch
from torch.nn import functional as F
from torch.testing import assert_close

from solutions import stand_alone
from solutions.fast import StandAloneSelfAttention2d, local, local_attention, native, pooling

SIZES = [  # b head d e h w window
    (2, 3, 4, 5, 6, 7, 3),
    (1, 2, 6, 3, 5, 21, 5),
    (2, 1, 8, 8, 1, 1, 7),  # one pixel
    (1, 2, 4, 7, 3, 40, 9),
    (2, 3, 10, 4, 20, 33, 7),
    (1, 2, 2, 3, 4, 5, 11),  # a window larger than the picture
    (2, 3, 4, 5, 9, 2, 1),  # a window of one pixel
]
COMPILER = native.available("local")


def inputs(b, head, d, e, h, w, window, dtype=torch.float64):
    """q, k, v, rows and columns, laid out as the layer makes them: channels last to come."""
    torch.manual_seed(0)
    shapes = [(b, head, d, h, w)] * 2 + [(b, head, e, h, w)] + [(head, window, d // 2)] * 2
    return [torch.randn(shape, dtype=dtype, requires_grad=True) for shape in shapes]


@pytest.fixture(params=["blocked", "native"])
def implementation(request):
    if request.param == "native" and COMPILER:
        pytest.skip(COMPILER)
    return request.param


@pytest.mark.parametrize("sizes", SIZES)
def test_values_and_gradients_are_those_of_the_reference(implementation, sizes):
    given, window = inputs(*sizes), sizes[-1]
    expected = stand_alone.local_attention(*given, window)
    result = local_attention(*given, window, implementation)
    assert result.shape == expected.shape
    assert_close(result, expected)
    slope = torch.randn_like(expected)
    gradients = torch.autograd.grad(result, given, slope)
    for one, other in zip(gradients, torch.autograd.grad(expected, given, slope), strict=True):
        assert one.shape == other.shape
        assert_close(one, other)


@pytest.mark.parametrize("sizes", SIZES)
def test_without_gradients_the_values_are_the_same(implementation, sizes):
    b, head, d, _, *rest = sizes
    given = [x.detach() for x in inputs(b, head, d, d, *rest)]
    expected = stand_alone.local_attention(*given, sizes[-1])
    assert_close(local_attention(*given, sizes[-1], implementation), expected)
    rough = [x.bfloat16() for x in given]
    exact = stand_alone.local_attention(*(x.double() for x in rough), sizes[-1])
    result = local_attention(*rough, sizes[-1], implementation)
    assert (result.double() - exact).abs().max() < 8 * torch.finfo(torch.bfloat16).eps


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_single_and_half_precision_are_as_exact_as_they_can_be(implementation, dtype):
    exact = inputs(2, 2, 8, 8, 13, 18, 7)
    with torch.no_grad():
        for x in exact:
            x.copy_(x.to(dtype))
    rough = [x.detach().to(dtype).requires_grad_() for x in exact]
    expected = local_attention(*exact, 7, "reference")
    result = local_attention(*rough, 7, implementation)
    assert result.dtype == dtype
    steps = 40 if dtype == torch.float32 else 1
    close = dict(atol=steps * torch.finfo(dtype).eps, rtol=steps * torch.finfo(dtype).eps)
    assert_close(result.double(), expected, **close)
    slope = torch.randn_like(result)
    for one, other in zip(
        torch.autograd.grad(result, rough, slope),
        torch.autograd.grad(expected, exact, slope.double()),
        strict=True,
    ):
        assert one.dtype == dtype
        size = other.abs().max().item()
        assert (one.double() - other).abs().max() < 4 * close["atol"] * size


def test_large_scores_do_not_overflow(implementation):
    q, k, v, rows, columns = (x.detach() for x in inputs(1, 2, 4, 3, 5, 6, 3, torch.float32))
    result = local_attention(1e4 * q, k, v, rows, columns, 3, implementation)
    assert_close(result, stand_alone.local_attention(1e4 * q, k, v, rows, columns, 3))


@pytest.mark.parametrize("scale", [-1e38, -1e32, 1e32, 3e38, 1e300])
def test_scores_may_be_as_low_and_as_high_as_numbers_are(implementation, scale):
    """Places beyond the edge are lower than any: -inf, and no number that seems low enough.
    Where all scores of a query are infinite, the reference has nan."""
    dtype = torch.float64 if abs(scale) > 1e38 * 10 else torch.float32
    q, k, v, rows, columns = (x.detach() for x in inputs(1, 2, 4, 3, 5, 6, 3, dtype))
    k = k.abs() * scale / k.abs().max()
    given = q.abs(), k, v, rows, columns
    expected = stand_alone.local_attention(*given, 3)
    result = local_attention(*given, 3, implementation)
    assert_close(result, expected, equal_nan=True)


@pytest.mark.parametrize("which", range(3), ids=["q", "k", "v"])
@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
def test_what_is_no_number_stays_in_the_windows_that_have_it(implementation, which, bad):
    given = [x.detach() for x in inputs(1, 2, 4, 3, 9, 11, 3)]
    given[which][0, 0, 1, 4, 5] = bad
    leaves = [x.requires_grad_() for x in given]
    results = [
        stand_alone.local_attention(*leaves, 3),
        local_attention(*leaves, 3, implementation),
    ]
    assert_close(results[1], results[0], equal_nan=True)
    far = results[1][0, 0, :, :, [0, 1, 9]]
    assert far.isfinite().all()
    grads = [torch.autograd.grad(y.sum(), leaves) for y in results]
    for one, other in zip(*grads, strict=True):
        assert torch.equal(one.isnan(), other.isnan())


@pytest.mark.parametrize("which", range(3), ids=["q", "k", "v"])
def test_so_does_it_when_traced(which, monkeypatch):
    given = [x.detach() for x in inputs(1, 2, 4, 3, 9, 11, 3)]
    given[which][0, 0, 1, 4, 5] = torch.nan
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    result = local_attention(*given, 3, "blocked")
    assert_close(result, stand_alone.local_attention(*given, 3), equal_nan=True)


@pytest.mark.parametrize(("h", "w"), [(7, 9), (8, 6), (1, 1), (5, 6)])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_blocks_that_are_counted_have_the_mean_of_their_pixels(h, w, stride):
    x = torch.randn(2, 3, h, w, dtype=torch.float64, requires_grad=True)
    ours, torchs = pooling.by_counting(x, stride), F.avg_pool2d(x, stride, ceil_mode=True)
    assert_close(ours, torchs)
    assert_close(pooling.averaged(x, stride), torchs)
    slope = torch.randn_like(ours)
    assert_close(torch.autograd.grad(ours, x, slope), torch.autograd.grad(torchs, x, slope))


def test_maps_that_are_views_are_read_rightly(implementation):
    q, k, v, rows, columns = (x.detach() for x in inputs(2, 3, 4, 5, 6, 7, 3))
    expected = local_attention(q, k, v, rows, columns, 3, implementation)
    last = [x.movedim(2, -1).contiguous().movedim(-1, 2) for x in (q, k, v)]
    assert not last[0].is_contiguous()
    assert_close(local_attention(*last, rows, columns, 3, implementation), expected)
    wide = [torch.cat([x, x], -1)[..., : x.shape[-1]] for x in (q, k, v)]
    assert_close(local_attention(*wide, rows, columns, 3, implementation), expected)


def test_an_empty_batch_is_an_empty_result(implementation):
    with torch.no_grad():
        given = inputs(0, 2, 4, 4, 5, 6, 3)
        assert local_attention(*given, 3, implementation).shape == (0, 2, 4, 5, 6)
    given = inputs(0, 2, 4, 3, 5, 6, 3)
    result = local_attention(*given, 3, implementation)
    assert result.shape == (0, 2, 3, 5, 6)
    assert torch.autograd.grad(result.sum(), given[3])[0].abs().sum() == 0


def test_the_derivative_is_that_of_finite_differences(implementation):
    given = inputs(1, 2, 4, 3, 3, 5, 3)
    assert torch.autograd.gradcheck(
        lambda *x: local_attention(*x, 3, implementation), given, fast_mode=True
    )


def test_the_same_weights_give_the_same_layer(implementation):
    kinds = stand_alone.StandAloneSelfAttention2d, StandAloneSelfAttention2d
    reference, fast = (
        kind(12, heads=3, window=5, stride=2, scaled=True).double() for kind in kinds
    )
    fast.load_state_dict(reference.state_dict())
    fast.implementation = implementation
    x = torch.randn(2, 12, 7, 10, dtype=torch.float64)
    assert_close(fast(x), reference(x))
    assert fast.runs(x) == implementation
    assert_close(fast.attention(x), reference.attention(x))


def test_auto_is_the_kernel_where_it_runs_and_blocks_elsewhere(monkeypatch):
    layer = StandAloneSelfAttention2d(8, heads=2, window=3)
    x = torch.randn(1, 8, 4, 5)
    expected = layer(x)
    assert layer.runs(x) == ("blocked" if COMPILER else "native")
    monkeypatch.setattr(local.native, "available", lambda name: "no C compiler")
    assert_close(layer(x), expected)
    assert layer.runs(x) == "blocked"


def test_what_cannot_run_says_why(monkeypatch):
    given = inputs(1, 2, 4, 3, 5, 6, 3)
    with pytest.raises(ValueError, match=r"no implementation='fast': there are auto, ref"):
        local_attention(*given, 3, "fast")
    with pytest.raises(ValueError, match="window=4 has no middle"):
        local_attention(*given, 4)
    assert local.cannot(given[0], 33) == "window=33 is more than 31"
    assert local.cannot(given[0].to("meta"), 3).startswith("the tensors are on meta")
    monkeypatch.setattr(local.native, "available", lambda name: "no C compiler")
    with pytest.raises(ValueError, match="native kernel cannot run: no C compiler"):
        local_attention(*given, 3, "native")


# ---------------------------------------------------------------- as an operator of torch


needs_compiler = pytest.mark.skipif(bool(COMPILER), reason=COMPILER or "-")


@needs_compiler
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_torch_finds_nothing_wrong_with_the_operator(dtype):
    given = inputs(2, 3, 4, 5, 6, 7, 3, dtype)
    assert set(torch.library.opcheck(local.operator, (*given, 3)).values()) == {"SUCCESS"}


@pytest.mark.parametrize("train", [True, False])
def test_a_network_with_it_can_be_exported(implementation, train):
    layer = StandAloneSelfAttention2d(8, heads=2, window=3).train(train)
    layer.implementation = implementation
    x = torch.randn(2, 8, 6, 7)
    exported = torch.export.export(layer, (x,)).module()
    assert_close(exported(x), layer(x))
    assert_close(exported(2 * x), layer(2 * x))


@pytest.mark.parametrize("sizes", SIZES)
def test_blocks_are_the_same_when_traced(sizes, monkeypatch):
    given, window = inputs(*sizes), sizes[-1]
    expected = local_attention(*given, window, "blocked")
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    result = local_attention(*given, window, "blocked")
    assert_close(result, expected)
    slope = torch.randn_like(result)
    assert_close(
        torch.autograd.grad(result, given, slope), torch.autograd.grad(expected, given, slope)
    )


@needs_compiler
def test_autocast_projects_in_half_precision_and_attends():
    layer = StandAloneSelfAttention2d(8, heads=2, window=3)
    x = torch.randn(2, 8, 6, 7)
    with torch.autocast("cpu", torch.bfloat16):
        y = layer(x)
    assert_close(y.float(), layer(x), atol=0.1, rtol=0.1)
    y.sum().backward()
    assert layer.rows.grad.dtype == torch.float32
