"""Relative attention by rows of the map and by the kernel: the values and gradients of the
skew."""

import pytest
import torch
from torch.testing import assert_close

from attncourse.papers.counting import count
from solutions import relative_2d as reference
from solutions.fast import native
from solutions.fast import relative_2d as fast

SIZES = [  # batch h w d e
    ((2, 3), 4, 5, 7, 6),
    ((), 3, 6, 2, 4),
    ((2,), 1, 1, 3, 2),
    ((1, 2, 2), 1, 7, 4, 5),
    ((2,), 9, 2, 5, 5),
    ((1,), 1, 130, 1, 3),  # more than a block of queries and two of keys, in one row
    ((1,), 70, 1, 3, 1),
    ((3,), 9, 15, 33, 18),  # features beyond whole vectors, and odd ones
]
COMPILER = native.available("relative_2d")


def inputs(batch, h, w, d, e, dtype=torch.float64):
    torch.manual_seed(0)
    shapes = [(*batch, h, w, d)] * 2 + [(*batch, h, w, e), (2 * h - 1, d), (2 * w - 1, d)]
    return [torch.randn(shape, dtype=dtype, requires_grad=True) for shape in shapes]


WAYS = {"one row at a time": 1, "some": 40, "all": 2**18, "native": None}


@pytest.fixture(params=WAYS)
def implementation(request, monkeypatch):
    if request.param == "native":
        if COMPILER:
            pytest.skip(COMPILER)
        return "native"
    monkeypatch.setattr(fast, "AT_HAND", WAYS[request.param])
    return "rows"


@pytest.mark.parametrize("tables", [True, False], ids=["tables", "no tables"])
@pytest.mark.parametrize("sizes", SIZES)
def test_values_and_gradients_are_those_of_the_skew(implementation, sizes, tables):
    given = inputs(*sizes)
    given = given if tables else given[:3]
    places = given[3:] or [None, None]
    expected = reference.relative_attention_2d(*given[:3], *places, "skew")
    result = fast.relative_attention_2d(*given[:3], *places, implementation)
    assert result.shape == expected.shape
    assert_close(result, expected)
    slope = torch.randn_like(expected)
    gradients = torch.autograd.grad(result, given, slope)
    for one, other in zip(gradients, torch.autograd.grad(expected, given, slope), strict=True):
        assert_close(one, other)


@pytest.mark.parametrize("implementation", ["auto", *fast.IMPLEMENTATIONS])
def test_all_implementations_agree(implementation):
    if implementation == "native" and COMPILER:
        pytest.skip(COMPILER)
    given = [x.detach() for x in inputs((2,), 15, 14, 4, 3)]
    expected = reference.relative_attention_2d(*given, "skew")
    assert_close(fast.relative_attention_2d(*given, implementation), expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_single_and_half_precision_are_as_exact_as_they_can_be(implementation, dtype):
    exact = inputs((2,), 6, 9, 8, 8)
    with torch.no_grad():
        for x in exact:
            x.copy_(x.to(dtype))
    rough = [x.detach().to(dtype).requires_grad_() for x in exact]
    expected = fast.relative_attention_2d(*exact, "skew")
    result = fast.relative_attention_2d(*rough, implementation)
    assert result.dtype == dtype
    step = torch.finfo(dtype).eps
    assert (result.double() - expected).abs().max() < 16 * step
    slope = torch.randn_like(result)
    for one, other in zip(
        torch.autograd.grad(result, rough, slope),
        torch.autograd.grad(expected, exact, slope.double()),
        strict=True,
    ):
        assert one.dtype == dtype
        assert (one.double() - other).abs().max() < 64 * step * other.abs().max()


@pytest.mark.skipif(bool(COMPILER), reason=COMPILER or "-")
@pytest.mark.parametrize("sizes", [((2,), 28, 28, 32, 32), ((1,), 33, 17, 20, 4)])
def test_the_kernel_is_within_a_hundred_thousandth_of_double_precision(sizes):
    exact = inputs(*sizes)
    with torch.no_grad():
        for table in exact[3:]:
            table /= sizes[3] ** 0.5
        for x in exact:
            x.copy_(x.float())
    rough = [x.detach().float().requires_grad_() for x in exact]
    expected = fast.relative_attention_2d(*exact, "skew")
    result = fast.relative_attention_2d(*rough, "native")
    assert (result.double() - expected).abs().max() < 1e-5
    slope = torch.randn_like(result)
    for one, other in zip(
        torch.autograd.grad(result, rough, slope),
        torch.autograd.grad(expected, exact, slope.double()),
        strict=True,
    ):
        assert (one.double() - other).abs().max() < 1e-5 * max(1, other.abs().max().item())


def test_views_and_large_scores_are_read_rightly(implementation):
    q, k, v, rows, columns = (x.detach() for x in inputs((2,), 4, 5, 3, 2, torch.float32))
    views = [x.movedim(-1, 1).contiguous().movedim(1, -1) for x in (1e4 * q, k, v)]
    assert not views[0].is_contiguous()
    expected = reference.relative_attention_2d(1e4 * q, k, v, rows, columns, "skew")
    result = fast.relative_attention_2d(*views, rows, columns, implementation)
    assert_close(result, expected)
    slope = torch.randn_like(v).movedim(-1, 1).contiguous().movedim(1, -1)
    first, second = [x.clone().requires_grad_() for x in (q, k, v)], [q, k, v]
    second = [x.clone().requires_grad_() for x in second]
    assert_close(
        torch.autograd.grad(
            fast.relative_attention_2d(*first, rows, columns, implementation), first, slope
        ),
        torch.autograd.grad(
            fast.relative_attention_2d(*second, rows, columns, "skew"), second, slope
        ),
    )


@pytest.mark.parametrize("low", [-60.0, -100.0, -1e30])
def test_keys_that_count_for_nothing_do_no_harm(implementation, low):
    q = torch.ones(1, 2, 3, 1)
    k = torch.tensor([0.0, low, 0, low, 1, low])[None, :, None].reshape(1, 2, 3, 1)
    v = torch.arange(6.0).reshape(1, 2, 3, 1)
    given = [x.requires_grad_() for x in (q, k, v)]
    result = fast.relative_attention_2d(*given, None, None, implementation)
    expected = reference.relative_attention_2d(*given, None, None, "skew")
    assert_close(result, expected)
    slopes = torch.autograd.grad(result.square().sum(), given)
    for one, other in zip(
        slopes, torch.autograd.grad(expected.square().sum(), given), strict=True
    ):
        assert one.isfinite().all()
        assert_close(one, other)


@pytest.mark.parametrize("scale", [-1e38, -1e34, 1e34])
def test_scores_may_be_as_low_as_numbers_are(implementation, scale):
    q, k, v = (x.detach().abs() for x in inputs((2,), 9, 15, 2, 4, torch.float32)[:3])
    k *= scale / k.max()
    expected = reference.relative_attention_2d(q, k, v, None, None, "skew")
    result = fast.relative_attention_2d(q, k, v, None, None, implementation)
    assert_close(result, expected, equal_nan=True)


def test_keys_that_come_late_may_be_the_only_ones_that_count(implementation):
    """Where all keys of the first tiles score -inf, those after them are read none the less."""
    q, k, v = (x.detach() for x in inputs((2,), 9, 15, 2, 4, torch.float32)[:3])
    q = q.abs() + 10
    k[:, :6] = -3e38
    expected = reference.relative_attention_2d(q, k, v, None, None, "skew")
    assert expected.isfinite().all()
    assert_close(fast.relative_attention_2d(q, k, v, None, None, implementation), expected)


def test_what_is_not_a_number_is_not_hidden(implementation):
    q, k, v, rows, columns = (x.detach() for x in inputs((1,), 2, 3, 4, 4, torch.float32))
    k[0, 1, 1, 2] = torch.nan
    assert fast.relative_attention_2d(q, k, v, rows, columns, implementation).isnan().all()


def test_an_empty_batch_is_an_empty_result(implementation):
    given = inputs((0, 2), 4, 5, 3, 2)
    y = fast.relative_attention_2d(*given, implementation)
    assert y.shape == (0, 2, 4, 5, 2)
    y.sum().backward()
    assert not given[3].grad.any()


def test_the_derivative_is_that_of_finite_differences(implementation):
    given = inputs((2,), 2, 3, 3, 2)
    assert torch.autograd.gradcheck(
        lambda *x: fast.relative_attention_2d(*x, implementation), given, fast_mode=True
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
@pytest.mark.parametrize("implementation", ["auto", "rows", "augmented", "native"])
@pytest.mark.parametrize("compiler", [True, False])
def test_the_same_weights_give_the_same_layer(implementation, more, compiler, monkeypatch):
    if compiler and COMPILER:
        pytest.skip(COMPILER)
    if not compiler:
        if implementation == "native":
            return
        monkeypatch.setattr(fast.native, "available", lambda name: "no C compiler")
    given = dict(kappa=0.5, upsilon=0.5, heads=2, size=(15, 17)) | more
    plain = reference.AttentionAugmentedConv2d(3, 8, **given).double()
    quick = fast.AttentionAugmentedConv2d(3, 8, **given, implementation=implementation)
    quick = quick.double()
    quick.load_state_dict(plain.state_dict())
    x = torch.randn(2, 3, 15, 17, dtype=torch.float64)
    assert_close(quick(x), plain(x))
    small = "downsample" in more or "stride" in more
    auto = "native" if compiler else "augmented" if small else "rows"
    assert quick.runs(x) == (auto if implementation == "auto" else implementation)


def test_a_layer_without_attention_or_without_places_is_as_the_reference():
    for more in (dict(upsilon=0), dict(size=None, upsilon=0.5)):
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
    if not COMPILER:
        with pytest.raises(ValueError, match="the table of rows has 1 offsets"):
            fast.relative_attention_2d(*given[:3], given[3][:1], given[4], "native")


def test_why_the_kernel_cannot_run_is_told(monkeypatch):
    given = [x.detach() for x in inputs((2,), 2, 3, 3, 2)]
    assert fast.cannot(given[0].to("meta")).startswith("the tensors are on meta")
    monkeypatch.setattr(fast.native, "available", lambda name: "no C compiler")
    assert fast.choose(given[0], given[3], given[2]) == "augmented"
    assert fast.choose(torch.empty(1, 14, 14, 2), given[3], given[2]) == "rows"
    with pytest.raises(ValueError, match="native kernel cannot run: no C compiler"):
        fast.relative_attention_2d(*given, "native")


# ---------------------------------------------------------------- as an operator of torch


needs_compiler = pytest.mark.skipif(bool(COMPILER), reason=COMPILER or "-")


@needs_compiler
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_torch_finds_nothing_wrong_with_the_operator(dtype):
    given = inputs((2, 3), 4, 5, 7, 6, dtype)
    assert set(torch.library.opcheck(fast.operator, given).values()) == {"SUCCESS"}


@needs_compiler
def test_it_keeps_the_logarithm_of_the_sum_of_all_exponentials():
    q, k, v, rows, columns = (x.detach() for x in inputs((2, 3), 4, 5, 7, 6))
    _, lse = fast.operator(q, k, v, rows, columns)
    q = q / 7**0.5
    scores = q.flatten(2, 3) @ k.flatten(2, 3).mT
    scores += reference.relative_logits_2d(q, rows, columns)
    assert_close(lse, scores.logsumexp(-1).reshape(2, 3, 4, 5))


@needs_compiler
def test_a_network_with_it_can_be_exported():
    layer = fast.AttentionAugmentedConv2d(
        3, 8, kappa=0.5, upsilon=0.5, heads=2, size=(6, 7), implementation="native"
    ).eval()
    x = torch.randn(2, 3, 6, 7)
    exported = torch.export.export(layer, (x,)).module()
    assert_close(exported(x), layer(x))


@needs_compiler
def test_what_calls_it_can_be_compiled():
    given = inputs((2,), 4, 5, 3, 2)
    call = lambda *x: 2 * fast.operator(*x)[0]  # noqa: E731
    compiled = torch.compile(call, backend="aot_eager", fullgraph=True)
    result, expected = compiled(*given), call(*given)
    assert_close(result, expected)
    slopes = torch.autograd.grad(expected.square().sum(), given)
    assert_close(torch.autograd.grad(result.square().sum(), given), slopes)


@needs_compiler
@pytest.mark.parametrize("threads", [2, 3, 5])
def test_more_threads_than_heads_share_a_head(threads):
    given = inputs((1, 2), 9, 31, 4, 3)
    before = torch.get_num_threads()
    expected = fast.relative_attention_2d(*given, "native")
    slope = torch.randn_like(expected)
    slopes = torch.autograd.grad(expected, given, slope)
    torch.set_num_threads(threads)
    try:
        result = fast.relative_attention_2d(*given, "native")
        assert_close(torch.autograd.grad(result, given, slope), slopes)
    finally:
        torch.set_num_threads(before)
    assert_close(result, expected)


@needs_compiler
def test_autocast_projects_in_half_precision_and_attends():
    layer = fast.AttentionAugmentedConv2d(
        3, 8, kappa=0.5, upsilon=0.5, heads=2, size=(6, 7), implementation="native"
    )
    x = torch.randn(2, 3, 6, 7)
    with torch.autocast("cpu", torch.bfloat16):
        y = layer(x)
    assert_close(y.float(), layer(x), atol=0.1, rtol=0.1)
    y.sum().backward()
    assert layer.rows.grad.dtype == torch.float32
