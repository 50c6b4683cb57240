"""Local attention in Triton: the values and gradients of the reference, without a GPU by the
interpreter and by compiling for GPUs that are not here."""

import os
import subprocess
import sys

import ahead
import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from solutions import stand_alone
from solutions.fast import StandAloneSelfAttention2d, gpu, local, local_attention, native

SIZES = [  # b head d e h w window
    (2, 3, 4, 5, 6, 7, 3),
    (1, 1, 6, 3, 5, 11, 5),  # heads no power of two wide; several tiles side by side
    (1, 1, 20, 12, 13, 10, 7),
    (2, 1, 8, 8, 1, 1, 7),  # one pixel
    (1, 1, 2, 3, 4, 5, 11),  # a window larger than the picture
    (2, 1, 4, 5, 9, 2, 1),  # a window of one pixel
    (1, 1, 4, 7, 17, 3, 9),
    (1, 1, 34, 40, 4, 6, 3),
]
CUDA = torch.cuda.is_available()
DEVICE = "cuda" if CUDA else "cpu"
WHY_NOT = gpu.available(DEVICE)
HALF = [torch.bfloat16, torch.float16]
# on a CPU the interpreter computes in float32 whatever comes in: one size shows that
DTYPES = [(sizes, torch.float32) for sizes in SIZES] + [
    (sizes, dtype) for sizes in (SIZES if CUDA else SIZES[-1:]) for dtype in HALF
]
needs_triton = pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT or "-")
needs_kernel = pytest.mark.skipif(
    not CUDA and bool(native.available("local")), reason="neither CUDA nor a C compiler"
)


def inputs(b, head, d, e, h, w, window, dtype=torch.float32) -> list[Tensor]:
    """q, k, v, rows and columns: numbers that this type has, with gradients."""
    shapes = [(b, head, d, h, w)] * 2 + [(b, head, e, h, w)] + [(head, window, d // 2)] * 2
    return [torch.randn(s).to(DEVICE, dtype).requires_grad_() for s in shapes]


def both(given: list[Tensor], window: int, dy: Tensor | None = None) -> tuple[list, list]:
    """Output and gradients: of the kernels, and of the reference in double precision."""
    exact = [x.detach().double().requires_grad_() for x in given]
    y = local_attention(*given, window, "triton")
    expected = stand_alone.local_attention(*exact, window)
    dy = torch.randn_like(y) if dy is None else dy
    return (
        [y.detach(), *torch.autograd.grad(y, given, dy)],
        [expected.detach(), *torch.autograd.grad(expected, exact, dy.double())],
    )


def apart(one: Tensor, other: Tensor) -> float:
    """The largest difference, relative to the largest number."""
    assert one.shape == other.shape
    size = other.abs().max().item() if other.numel() else 0
    return (one.double() - other).abs().max().item() / max(size, 1.0) if other.numel() else 0.0


@needs_triton
@pytest.mark.parametrize(("sizes", "dtype"), DTYPES)
def test_values_and_gradients_are_those_of_the_reference(sizes, dtype):
    given = inputs(*sizes, dtype)
    ours, exact = both(given, sizes[-1])
    close = 1e-5 if dtype == torch.float32 else 4 * torch.finfo(dtype).eps
    for name, one, other in zip(("y", *"qkv", "rows", "columns"), ours, exact, strict=True):
        assert one.dtype == dtype
        assert apart(one, other) < close, name


@needs_triton
@pytest.mark.parametrize(
    ("block", "sizes"),
    [
        ((16, 16, 8), (1, 1, 4, 3, 3, 9, 3)),
        ((32, 16, 8), (1, 1, 4, 3, 9, 5, 3)),
        ((32, 32, 8), (1, 1, 4, 3, 5, 10, 7)),
        ((64, 32, 4), (1, 1, 4, 3, 9, 5, 7)),
    ],
)
def test_every_size_of_a_tile_reads_the_same(block, sizes, monkeypatch):
    monkeypatch.setattr(gpu.kernels("local"), "_block", lambda *given: block)
    for one, other in zip(*both(inputs(*sizes), sizes[-1]), strict=True):
        assert apart(one, other) < 1e-5


@needs_triton
def test_it_keeps_the_log_sum_exp_of_the_scores():
    q, k, v, rows, columns = (x.detach() for x in inputs(1, 2, 4, 5, 6, 7, 3))
    _, lse = gpu.kernels("local").attend(q, k, v, rows, columns, 3)
    near, place = stand_alone.windows(k, 3), stand_alone.relative_embeddings(rows, columns)
    seen = stand_alone.inside(6, 7, 3).to(DEVICE)
    scores = torch.einsum("bcdhw,bcdhwyx->bchwyx", q, near)
    scores = scores + torch.einsum("bcdhw,cdyx->bchwyx", q, place)
    expected = scores.masked_fill(~seen, -torch.inf).flatten(-2).logsumexp(-1)
    assert_close(lse, expected)


@needs_triton
def test_views_are_read_and_gradients_are_laid_out_as_what_they_belong_to():
    q, k, v, rows, columns = inputs(1, 2, 4, 3, 5, 6, 3)
    last = [x.detach().movedim(2, -1).contiguous().movedim(-1, 2) for x in (q, k, v)]
    wide = [torch.cat([x.detach()] * 2, -1)[..., :6] for x in (q, k, v)]
    crossed = [x.detach().mT.contiguous().mT for x in (q, k, v)]
    tables = [x.detach().mT.contiguous().mT.requires_grad_() for x in (rows, columns)]
    for maps in (last, wide, crossed):
        given = [*(x.requires_grad_() for x in maps), *tables]
        assert not given[0].is_contiguous()
        ours, exact = both(given, 3, torch.ones(1, device=DEVICE).expand(1, 2, 3, 5, 6))
        for one, other in zip(ours, exact, strict=True):
            assert apart(one, other) < 1e-5
        for grad, x in zip((ours[0], *ours[1:4]), (v, q, k, v), strict=True):
            assert grad.shape == x.shape
        assert ours[0].stride() == torch.empty_like(maps[2]).stride()


@needs_triton
def test_one_query_for_all_pixels_is_read_where_it_is():
    q, k, v, rows, columns = inputs(1, 2, 4, 3, 5, 6, 3)
    q = q.detach()[..., :1, :1].expand(1, 2, 4, 5, 6).requires_grad_()
    for one, other in zip(*both([q, k, v, rows, columns], 3), strict=True):
        assert apart(one, other) < 1e-5


@needs_triton
def test_large_scores_do_not_overflow():
    q, k, v, rows, columns = (x.detach() for x in inputs(1, 2, 4, 3, 5, 6, 3))
    result = local_attention(1e4 * q, k, v, rows, columns, 3, "triton")
    assert_close(result, stand_alone.local_attention(1e4 * q, k, v, rows, columns, 3))


@needs_triton
def test_an_empty_batch_is_an_empty_result():
    given = inputs(0, 2, 4, 3, 5, 6, 3)
    y = local_attention(*given, 3, "triton")
    assert y.shape == (0, 2, 3, 5, 6)
    grads = torch.autograd.grad(y.sum(), given)
    assert [g.shape for g in grads] == [x.shape for x in given]
    assert grads[3].abs().sum() == grads[4].abs().sum() == 0


@needs_triton
def test_two_runs_agree_to_the_last_bit():
    given = inputs(2, 1, 8, 8, 5, 9, 5)
    dy = torch.randn(2, 1, 8, 5, 9, device=DEVICE)
    for one, other in zip(both(given, 5, dy)[0], both(given, 5, dy)[0], strict=True):
        assert torch.equal(one, other)


@needs_triton
def test_the_same_weights_give_the_same_layer():
    layer = StandAloneSelfAttention2d(12, heads=3, window=5, stride=2).to(DEVICE)
    x = torch.randn(1, 12, 7, 10, device=DEVICE)
    layer.implementation = "reference"
    expected = layer(x)
    layer.implementation = "triton"
    assert_close(layer(x), expected, atol=1e-5, rtol=1e-5)
    assert layer.runs(x) == "triton"


# ---------------------------------------------------------------- which one runs


def test_the_interpreter_is_never_taken_by_itself():
    q = torch.randn(1, 2, 4, 5, 6)
    assert local.choose(q, 3) in ("native", "blocked")


@needs_triton
def test_on_a_gpu_it_is_taken_where_it_runs_and_blocks_elsewhere(monkeypatch):
    q = torch.empty(1, 2, 4, 5, 6, device="meta")  # stands for any that is not the CPU
    assert local.choose(q, 3) == "blocked"
    monkeypatch.setattr(gpu, "available", lambda device: "")
    assert local.choose(q, 3) == "triton"
    assert local.choose(q, 33) == "blocked"
    wide = torch.empty(1, 2, 129, 5, 6, device="meta")
    assert local.choose(q, 3, wide) == "blocked"
    monkeypatch.setattr(gpu, "interpreting", lambda: False)
    assert local.choose(q.double(), 3) == "blocked"
    assert local.cannot(q.double(), 3, "triton").startswith("the tensors are float64")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    cannot = gpu.kernels("local").cannot
    told = "the device is sm_75, and the kernels are for sm_80 and newer"
    assert cannot(torch.device("cuda"), q.dtype, 4, 4, 3) == told


@needs_triton
def test_what_cannot_run_says_why(monkeypatch):
    given = inputs(1, 2, 4, 3, 5, 6, 3)
    q, k, v, rows, columns = given
    with pytest.raises(ValueError, match="window=4 has no middle"):
        local_attention(*given, 4, "triton")
    assert local.cannot(q, 33, "triton") == "window=33 is more than 31"
    wide = q.new_empty(1, 2, 130, 5, 6)
    told = "d=4 and e=130, and a head has at most 128 features"
    assert local.cannot(q, 3, "triton", wide) == told
    with pytest.raises(ValueError, match=f"the triton kernel cannot run: {told}"):
        local_attention(q, k, wide, rows, columns, 3, "triton")
    attend = gpu.kernels("local").attend
    with pytest.raises(ValueError, match=r"of \(2, 3, 2\) and \(2, 2, 2\): for d=4 and wind"):
        attend(q, k, v, rows, columns[:, :2], 3)
    with pytest.raises(ValueError, match="give them one b, head, h and w"):
        attend(q, k[..., :4], v, rows, columns, 3)
    large = q.detach()[..., :1, :1].expand(1, 2, 4, 2**14, 2**14)
    with pytest.raises(ValueError, match=r"2 heads of 4 x 16384 x 16384 numbers are 2.31 or"):
        attend(large, large, large, rows, columns, 3)
    monkeypatch.setattr(gpu, "available", lambda device: "no CUDA device")
    with pytest.raises(ValueError, match="the triton kernel cannot run: no CUDA device"):
        local_attention(*given, 3, "triton")


# ---------------------------------------------------------------- as an operator of torch


@needs_kernel
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_torch_finds_nothing_wrong_with_the_operator(dtype):
    given = inputs(2, 3, 4, 5, 6, 7, 3, dtype)
    assert set(torch.library.opcheck(local.operator, (*given, 3)).values()) == {"SUCCESS"}
    given[2] = given[2].detach().movedim(2, -1).contiguous().movedim(-1, 2).requires_grad_()
    assert set(torch.library.opcheck(local.operator, (*given, 3)).values()) == {"SUCCESS"}


def test_one_name_has_kernels_for_both_devices():
    for name in ("local_attention", "local_attention_backward"):
        for key in ("CPU", "CUDA"):
            has = torch._C._dispatch_has_kernel_for_dispatch_key
            assert has(f"attncourse::{name}", key)


def test_on_a_gpu_the_output_is_laid_out_as_the_values():
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode():
        q = torch.empty(2, 5, 6, 3, 4, device="cuda").movedim((3, 4), (1, 2))
        tables = torch.empty(2, 3, 3, 2, device="cuda")
        y, lse = local.operator(q, q, q, *tables, 3)
        assert y.shape == q.shape == (2, 3, 4, 5, 6)
        assert y.stride() == q.stride()
        assert lse.is_contiguous()
        grads = local.backward(y, q, q, q, *tables, y, lse, 3)
        assert grads[0].stride() == q.stride()
        assert [g.shape for g in grads[3:]] == [x.shape for x in tables]


@pytest.fixture
def layer():
    layer = StandAloneSelfAttention2d(8, heads=2, window=3).to(DEVICE)
    x = torch.randn(1, 8, 2, 2, device=DEVICE)
    layer(x)  # builds the kernel, if it must
    assert layer.runs(x) == ("triton" if CUDA else "native")
    return layer


COMPILED = """
import sys, torch
from solutions.fast import StandAloneSelfAttention2d
device = sys.argv[1]
layer = StandAloneSelfAttention2d(8, heads=2, window=3).to(device)
x = torch.randn(2, 8, 6, 7, device=device, requires_grad=True)
compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
for rough in (False, True):
    with torch.autocast(device, torch.bfloat16, enabled=rough):
        expected, result = layer(x), compiled(x)
    assert result.dtype == (torch.bfloat16 if rough else torch.float32)
    close = dict(atol=0.1, rtol=0.1) if rough else {}
    slope, given = torch.randn_like(expected), [x, *layer.parameters()]
    ours = result, *torch.autograd.grad(result, given, slope)
    theirs = expected, *torch.autograd.grad(expected, given, slope)
    for one, other in zip(ours, theirs):
        torch.testing.assert_close(one, other, **close)
print(layer.runs(x))
"""


@needs_kernel
def test_a_network_with_it_is_compiled_in_one_piece():
    # by itself: what tests the shapes here cannot be compiled
    command = [sys.executable, "-c", COMPILED, DEVICE]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-1] == ("triton" if CUDA else "native")


@needs_kernel
def test_a_network_with_it_can_be_exported(layer):
    x = torch.randn(2, 8, 6, 7, device=DEVICE)
    exported = torch.export.export(layer.eval(), (x,))
    assert "attncourse.local_attention" in exported.graph_module.code
    assert_close(exported.module()(x), layer(x))


@needs_kernel
@pytest.mark.parametrize("dtype", HALF)
def test_under_autocast_it_takes_that_type_and_gives_gradients_in_their_own(dtype):
    given = inputs(2, 2, 4, 3, 6, 7, 3)
    expected = stand_alone.local_attention(*given, 3)
    with torch.autocast(DEVICE, dtype):
        y, lse = local.operator(*given, 3)
    assert y.dtype == dtype
    assert lse.dtype == torch.float32
    exact = torch.autograd.grad(expected, given, torch.ones_like(expected))
    for grad, other in zip(
        torch.autograd.grad(y, given, torch.ones_like(y)), exact, strict=True
    ):
        assert grad.dtype == torch.float32
        assert apart(grad, other) < 16 * torch.finfo(dtype).eps
    assert apart(y, expected) < 8 * torch.finfo(dtype).eps


@needs_kernel
def test_autocast_leaves_double_precision_alone():
    given = [x.detach().double() for x in inputs(1, 2, 4, 3, 5, 6, 3)]
    if CUDA:  # so it comes to a kernel that has none
        with (
            torch.autocast(DEVICE, torch.bfloat16),
            pytest.raises(ValueError, match="the Triton kernel cannot run"),
        ):
            local.operator(*given, 3)
        return
    with torch.autocast(DEVICE, torch.bfloat16):
        assert local.operator(*given, 3)[0].dtype == torch.float64


# ---------------------------------------------------------------- compiled for GPUs elsewhere


PROGRAM = """
import torch
from solutions.fast import gpu, local_triton
gpu.available = lambda device: ""
for name, d, window in {cases}:
    q = torch.empty(1, 2, d, 56, 56, dtype=getattr(torch, name))
    tables = torch.empty(2, 2, window, d // 2)
    if d == 16:  # as after a convolution with channels last
        q = q.movedim(2, -1).contiguous().movedim(-1, 2)
    y, lse = local_triton.attend(q, q, q, *tables, window)
    local_triton.gradients(y, q, q, q, *tables, y, lse, window)
"""
# every type, width, window and capability; every pair of them where it costs little
AHEAD = {
    80: [("float32", 16, 3), ("bfloat16", 32, 7), ("float16", 64, 11), ("float32", 64, 7)],
    90: [("float32", 32, 11), ("bfloat16", 64, 3), ("float16", 16, 7), ("bfloat16", 32, 7)],
}


@pytest.mark.parametrize("sm", ahead.TRIED)
def test_registers_and_shared_memory_suffice(sm):
    pytest.importorskip("triton", reason="Triton is for Linux")
    built = ahead.build(sm, PROGRAM.format(cases=AHEAD[sm]))
    names = {"forward", "backward_queries", "backward_keys"}
    assert {kernel.kernel for kernel in built} == names
    assert len(built) == 3 * len(AHEAD[sm])
    for kernel in built:
        ahead.check(kernel, sm)
        assert 2 * kernel.shared <= ahead.SHARED[sm], kernel  # two blocks at once
        assert 32 * kernel.warps * kernel.registers <= 65_536, kernel  # of a multiprocessor
