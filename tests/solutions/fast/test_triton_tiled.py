"""Attention by tiles in Triton: the values and gradients of the whole map in double precision.

Without a GPU in the interpreter, on small tiles; with one, on sizes eight times as large.
"""

import math

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.testing import assert_close

from solutions.fast import gpu, pieces, relative_2d, sparse
from solutions.fast import scaled_dot_product as fast

CASES = [  # batch i j d e; mask; causal
    (((2, 3), 17, 35, 5, 20), "each", False),
    (((2, 3), 17, 18, 5, 4), "one", True),
    (((), 5, 40, 3, 33), "none", False),
    (((), 5, 40, 3, 33), "keys", True),
    (((2,), 33, 16, 16, 2), "none", True),
    (((2,), 16, 33, 16, 2), "each", True),
    (((2, 1, 2), 18, 19, 24, 7), "none", False),
    (((2, 1, 2), 7, 19, 2, 3), "heads", False),
    (((2,), 1, 1, 1, 1), "none", True),
    (((2,), 17, 3, 2, 4), "nothing", False),
]


def dense(q, k, v, mask=None, down=None, across=None, causal=False, scale=1.0):
    """The map as it is defined; a query that sees nothing reads 0."""
    scores = scale * q @ k.mT
    if down is not None:
        scores = scores + (down[..., :, None] + across[..., None, :]).flatten(-2)
    if causal:
        early = torch.ones(scores.shape[-2:], dtype=torch.bool, device=q.device).tril()
        mask = early if mask is None else mask & early
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf)
    return scores.softmax(-1).nan_to_num(0) @ v, scores.logsumexp(-1)


def inputs(device, dtype, batch, i, j, d, e, places=()):
    """q, k, v and, for a map of `places`, down and across."""
    if device.type == "cuda":
        i, j = (8 * n if n > 1 and not places else n for n in (i, j))
    shapes = [(i, d), (j, d), (j, e), *((i, n) for n in places)]
    given = [torch.randn(*batch, *shape, device=device).to(dtype) for shape in shapes]
    return [x.requires_grad_() for x in given]


def masked(kind, given):
    """None, one for all, one for keys alone, one for each batch or for each axis before the
    tokens; some queries see nothing."""
    *batch, i, _ = given[0].shape
    j, device = given[1].shape[-2], given[0].device
    each = torch.rand(*batch, i, j, device=device) < 0.5
    each[..., : i // 3, :] = False
    keys = torch.rand(1, j, device=device) < 0.7
    return {"none": None, "one": each.flatten(0, -3)[0] if batch else each, "keys": keys,
            "heads": each[:1], "each": each, "nothing": each & False}[kind]  # fmt: skip


def error(given, call, **more):
    """How far values and gradients of `call` are from those of the map, as a share of what is
    allowed: 1e-5 of the largest in single precision, else 4 units of its last place."""
    dtype = given[0].dtype
    exact = [x.detach().double().requires_grad_() for x in given]
    expected, known = dense(*exact[:3], more.pop("mask", None), *exact[3:], **more)
    slope = torch.randn_like(expected).to(dtype)
    right = [expected, *torch.autograd.grad(expected, exact, slope.double())]
    y, lse = call()
    assert y.shape == expected.shape
    assert y.dtype == dtype
    found = [y, *torch.autograd.grad(y, given, slope)]
    assert (torch.isfinite(lse) == torch.isfinite(known)).all()
    assert_close(lse.double(), known, atol=1e-5, rtol=1e-5)
    allowed = 1e-5 if dtype == torch.float32 else 4 * torch.finfo(dtype).eps
    shares = []
    for one, other, x in zip(found, right, [y, *given], strict=True):
        assert one.shape == other.shape
        assert one.dtype == x.dtype
        far = (one.double() - other).abs().max()
        shares.append((far / (allowed * max(1, other.abs().max()))).item())
    assert not any(map(math.isnan, shares))
    return max(shares)


@pytest.mark.parametrize(("sizes", "kind", "causal"), CASES)
def test_values_and_gradients_are_those_of_the_map(
    with_kernels, kernel_dtype, sizes, kind, causal
):
    given = inputs(with_kernels, kernel_dtype, *sizes)
    mask = masked(kind, given)
    more = {"mask": mask, "causal": causal, "scale": 0.4}
    call = lambda: fast.tiled_attention(*given, **more, implementation="triton")  # noqa: E731
    assert error(given, call, **more) <= 1


@pytest.mark.parametrize(
    ("batch", "places"), [((2,), (4, 5)), ((), (1, 1)), ((1, 2, 2), (7, 1)), ((), (2, 19))]
)
def test_places_are_added_as_on_the_map(with_kernels, kernel_dtype, monkeypatch, places, batch):
    kernels = gpu.kernels("tiled")
    monkeypatch.setattr(kernels, "PLACES", 16)  # so that one pass does not reach all of 19
    pixels = places[0] * places[1]
    given = inputs(with_kernels, kernel_dtype, batch, 18, pixels, 6, 5, places)
    more = {"down": given[3], "across": given[4], "scale": 0.4}
    call = lambda: fast.tiled_attention(*given[:3], **more, implementation="triton")  # noqa: E731
    assert error(given, call, scale=0.4) <= 1


def test_places_go_with_a_mask(with_kernels):
    given = inputs(with_kernels, torch.float32, (2,), 12, 12, 4, 5, (3, 4))
    more = {"mask": masked("each", given), "causal": True}
    places = {"down": given[3], "across": given[4], "implementation": "triton"}
    call = lambda: fast.tiled_attention(*given[:3], scale=1.0, **more, **places)  # noqa: E731
    assert error(given, call, **more) <= 1


def test_views_are_read_rightly(with_kernels):
    """Heads side by side, and a slope that is one number for all."""
    heads = [torch.randn(2, 17, 3, 5, device=with_kernels) for _ in "qkv"]
    views = [x.movedim(1, 2).requires_grad_() for x in heads]
    dense_ones = [x.detach().contiguous().requires_grad_() for x in views]
    mask = (torch.rand(17, 2, device=with_kernels) < 0.6).mT[:, None, None]
    sums = [
        fast.tiled_attention(*given, mask, implementation="triton")[0].sum()
        for given in (views, dense_ones)
    ]
    assert_close(*sums)
    found = [torch.autograd.grad(y, x) for y, x in zip(sums, (views, dense_ones), strict=True)]
    for one, other in zip(*found, strict=True):
        assert_close(one, other)


@pytest.mark.parametrize(
    "sizes", [((0,), 3, 4), ((2,), 0, 4), ((2, 2), 3, 0), ((0, 2, 3), 1, 1)]
)
def test_nothing_is_an_empty_result_or_zeros(with_kernels, sizes):
    q, k, v = given = inputs(with_kernels, torch.float32, *sizes, 2, 5)
    y, lse = fast.tiled_attention(q, k, v, implementation="triton")
    assert y.shape == (*q.shape[:-1], 5)
    assert not y.any()
    assert (lse == -math.inf).all()
    for grad, x in zip(torch.autograd.grad(y.sum(), given), given, strict=True):
        assert grad.shape == x.shape
        assert not grad.any()


def test_large_scores_do_not_overflow(with_kernels):
    given = inputs(with_kernels, torch.float32, (1,), 9, 12, 4, 3)
    with torch.no_grad():
        given[0].mul_(1e4)
    y, lse = fast.tiled_attention(*given, implementation="triton")
    expected, known = dense(*(x.double() for x in given), scale=0.5)
    assert_close(y.double(), expected, atol=1e-3, rtol=0)
    assert_close(lse.double(), known, atol=0, rtol=1e-6)


def test_two_runs_agree_to_the_last_bit(with_kernels):
    given = inputs(with_kernels, torch.float32, (2,), 20, 20, 4, 3, (4, 5))
    runs = []
    for _ in "12":
        places = {"down": given[3], "across": given[4], "implementation": "triton"}
        y, _ = fast.tiled_attention(*given[:3], **places)
        runs.append([y, *torch.autograd.grad(y.sum(), given)])
    assert all(torch.equal(*pair) for pair in zip(*runs, strict=True))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_read_and_written(with_kernels, dtype):
    """Also in the interpreter, which computes in single precision between the two."""
    given = inputs(with_kernels, dtype, (2,), 20, 17, 5, 4)
    call = lambda: fast.tiled_attention(*given, scale=0.5, implementation="triton")  # noqa: E731
    assert error(given, call, scale=0.5) <= 1


@pytest.mark.parametrize("tables", [True, False], ids=["tables", "no tables"])
@pytest.mark.parametrize("shape", [((2, 1), 4, 5, 7, 6), ((), 3, 6, 2, 4), ((2,), 1, 1, 3, 2)])
def test_relative_attention_is_that_of_the_skew(with_kernels, shape, tables):
    batch, h, w, d, e = shape
    shapes = [(*batch, h, w, d)] * 2 + [(*batch, h, w, e)]
    shapes += [(2 * h - 1, d), (2 * w - 1, d)] if tables else []
    given = [torch.randn(x, device=with_kernels).requires_grad_() for x in shapes]
    places = given[3:] or [None, None]
    expected = relative_2d.relative_attention_2d(*given[:3], *places, "skew")
    result = relative_2d.relative_attention_2d(*given[:3], *places, "triton")
    assert_close(result, expected)
    slope = torch.randn_like(expected)
    found = [torch.autograd.grad(y, given, slope) for y in (result, expected)]
    for one, other in zip(*found, strict=True):
        assert_close(one, other, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("pattern", ["local", "strided", "fixed"])
@pytest.mark.parametrize("sizes", [(11, 3, 5, 4, 1), (13, 4, 2, 5, 2)])
def test_the_pieces_of_sparse_attention_go_through_them(
    with_kernels, monkeypatch, sizes, pattern
):
    monkeypatch.setattr(pieces, "by_kernels", lambda x: True)
    n, d, e, stride, summaries = sizes
    given = [torch.randn(1, 1, n, width, device=with_kernels) for width in (d, d, e)]
    given = [x.requires_grad_() for x in given]
    call = lambda name: sparse.sparse_attention(  # noqa: E731
        *given, pattern, stride, summaries, implementation=name
    )
    result, expected = call("pieces"), call("reference")
    assert_close(result, expected, atol=1e-5, rtol=1e-5)
    slope = torch.randn_like(expected)
    found = [torch.autograd.grad(y, given, slope) for y in (result, expected)]
    for one, other in zip(*found, strict=True):
        assert_close(one, other, atol=1e-5, rtol=1e-5)


# ---------------------------------------------------------------- where they cannot run


def test_what_cannot_be_is_told(with_kernels, monkeypatch):
    q, wide = torch.randn(1, 3, 4), torch.randn(1, 3, 300)
    with pytest.raises(ValueError, match="d=4 and e=300, and they have at most 256"):
        fast.tiled_attention(q, q, wide, implementation="triton")
    monkeypatch.setattr(gpu, "interpreting", lambda: False)
    with pytest.raises(ValueError, match="the tensors are on the CPU, and TRITON_INTERPRET=1"):
        fast.scaled_dot_product_attention(q, q, q, implementation="triton")
    assert fast.choose_tiles(q, q) == "tiled"


def test_the_interpreter_is_never_what_auto_takes():
    q = torch.randn(1, 14, 14, 4)
    assert fast.choose_tiles(q, q) == "tiled"
    assert relative_2d.choose(q, torch.empty(27, 4), q) != "triton"
    assert not pieces.by_kernels(q)


def test_on_a_gpu_they_are_what_auto_takes(monkeypatch):
    """On tensors that have a device and no numbers."""
    monkeypatch.setattr(gpu, "available", lambda device: "")
    with FakeTensorMode():
        q, wide = (torch.empty(1, 5, 7, d, device="cuda") for d in (4, 300))
        assert fast.choose_tiles(q, q) == "triton"
        assert fast.choose_tiles(q, wide) == "tiled"
        assert fast.choose(q, q) == "torch"
        assert pieces.by_kernels(q)
        assert sparse.choose(q) == "pieces"
        rows, _ = (torch.empty(2 * n - 1, 4, device="cuda") for n in (5, 7))
        assert relative_2d.choose(q, rows, q) == "triton"
        assert relative_2d.choose(q, None, q) == "fused"
        monkeypatch.setattr(gpu, "available", lambda device: "no")
        assert sparse.choose(q) == "reference"
        assert relative_2d.choose(q, rows, q) == "augmented"


def test_without_triton_it_says_so(monkeypatch):
    monkeypatch.setattr(gpu, "_installed", lambda: False)
    assert "not installed" in gpu.available("cuda")
    assert not gpu.interpreting()
    q = torch.randn(2, 5, 3)
    assert fast.choose_tiles(q, q) == "tiled"
    assert_close(fast.tiled_attention(q, q, q)[0], dense(q, q, q, scale=3**-0.5)[0])
    with pytest.raises(ValueError, match=r"cannot run: Triton is not installed \(there is"):
        fast.tiled_attention(q, q, q, implementation="triton")
    with pytest.raises(ImportError, match="not installed"):
        gpu.kernels("tiled")
