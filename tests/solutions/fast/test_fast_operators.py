"""Our attention as operators of torch: checked by torch, exported, compiled, under autocast."""

import os
import subprocess
import sys

import pytest
import torch
from torch.testing import assert_close
from torch.utils.checkpoint import checkpoint

from solutions.fast import gpu, scaled_dot_product, sparse

BY_KERNELS = pytest.param(
    True, id="kernels", marks=pytest.mark.skipif(not gpu._installed(), reason="no Triton here")
)
WAYS = pytest.mark.parametrize("triton", [pytest.param(False, id="PyTorch"), BY_KERNELS])


def tiled(dtype, triton, places=False, mask=False, device="cpu"):
    """What the operator of tiled attention is given."""
    shapes = [(2, 7, 3), (2, 6, 3), (2, 6, 5), *([(2, 7, 2), (2, 7, 3)] if places else [])]
    given = [torch.randn(x, dtype=dtype, device=device, requires_grad=True) for x in shapes]
    given += [None] * (5 - len(given))
    allowed = torch.rand(7, 6, device=device) < 0.6 if mask else None
    return *given[:3], allowed, *given[3:], not mask, 0.4, 3, 4, triton


@WAYS
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("more", [{}, {"places": True, "mask": True}], ids=["plain", "all"])
def test_torch_finds_nothing_wrong_with_tiled_attention(dtype, triton, more):
    torch.library.opcheck(scaled_dot_product.operator, tiled(dtype, triton, **more))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_torch_finds_nothing_wrong_with_sparse_attention(dtype):
    q, k, v = (torch.randn(2, 11, d, dtype=dtype, requires_grad=True) for d in (3, 3, 4))
    for kind in ("strided", "fixed"):
        torch.library.opcheck(sparse.operator, (q, k, v, kind, 3, 1))


@pytest.mark.parametrize("views", [False, True], ids=["dense", "views"])
@WAYS
def test_the_way_back_says_its_shapes(triton, views):
    *tensors, causal, scale, rows, columns, _ = tiled(torch.float64, triton, places=True)
    if views:
        turn = lambda x: None if x is None else x.mT.contiguous().mT  # noqa: E731
        tensors = [turn(x) for x in tensors]
    rest = causal, scale, rows, columns, triton
    y, lse = scaled_dot_product.operator(*tensors, *rest)
    given = [None if x is None else x.detach() for x in (y, *tensors, y, lse)]
    torch.library.opcheck(scaled_dot_product.backward, (*given, *rest))


def ways():
    return ["tiled", pytest.param("triton", marks=BY_KERNELS.marks)]


@pytest.mark.parametrize("implementation", ways())
def test_a_layer_is_exported_and_compiled(implementation):
    """In a process of its own, as users have it: tests check every shape on the way, which
    cannot be traced."""
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", LAYER, implementation],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout == "same values, 2 operators\nsame gradients\n"


LAYER = """
import sys

import torch
from torch.testing import assert_close

from solutions.fast.multi_head import MultiHeadAttention
from solutions.fast.scaled_dot_product import scaled_dot_product_attention


class Layer(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.heads = MultiHeadAttention(12, 3)
        self.heads.implementation = sys.argv[1]

    def forward(self, x):
        x = x + self.heads(x)
        return scaled_dot_product_attention(x, x, x, causal=True, implementation=sys.argv[1])


torch.manual_seed(0)
layer, x = Layer(), torch.randn(2, 5, 12)
exported = torch.export.export(layer, (x,))
found = sum("attncourse.tiled_attention" in str(n.target) for n in exported.graph.nodes)
assert_close(exported.module()(x), layer(x))
print(f"same values, {found} operators")

x.requires_grad_()
found = []
for call in (layer, torch.compile(layer, fullgraph=True, backend="aot_eager")):
    y = call(x)
    wave = torch.linspace(0, 3, y.numel()).cos().reshape(y.shape)
    found.append([y, *torch.autograd.grad((y * wave).sum(), [x, *layer.parameters()])])
for one, other in zip(*found, strict=True):
    assert_close(one, other)
print("same gradients")
"""


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("implementation", ways())
def test_autocast_decides_the_type(implementation, dtype):
    q, k, v = (torch.randn(2, 6, 4, requires_grad=True) for _ in "qkv")
    with torch.autocast("cpu", dtype):
        y, lse = scaled_dot_product.tiled_attention(q, k, v, implementation=implementation)
        again = sparse.sparse_attention(
            *(x[None] for x in (q, k, v)), "strided", 3, implementation="pieces"
        )
    assert y.dtype == again.dtype == dtype
    assert lse.dtype == torch.float32
    rough = [x.detach().to(dtype) for x in (q, k, v)]
    expected, _ = scaled_dot_product.tiled_attention(*rough, implementation=implementation)
    assert_close(y, expected)
    assert all(x.dtype == torch.float32 for x in torch.autograd.grad(y.sum(), (q, k, v)))


def test_autocast_leaves_double_precision():
    q = torch.randn(2, 6, 4, dtype=torch.float64)
    with torch.autocast("cpu", torch.bfloat16):
        assert scaled_dot_product.tiled_attention(q, q, q)[0].dtype == torch.float64


@pytest.mark.parametrize("implementation", ways())
@pytest.mark.parametrize("reentrant", [False, True])
def test_what_is_computed_again_gives_the_same_gradients(implementation, reentrant):
    q, k, v = (torch.randn(2, 6, 4, requires_grad=True) for _ in "qkv")

    def call(*given):
        return scaled_dot_product.tiled_attention(*given, implementation=implementation)[0]

    expected = torch.autograd.grad(call(q, k, v).square().sum(), (q, k, v))
    checkpoint(call, q, k, v, use_reentrant=reentrant).square().sum().backward()
    for x, grad in zip((q, k, v), expected, strict=True):
        assert_close(x.grad, grad)
