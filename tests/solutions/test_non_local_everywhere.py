"""Every layer over a whole image: gradients, precision, devices, memory."""

import pytest
import rounding
import torch
from non_local_parts import B, H, W, awake, random
from torch.autograd import gradcheck
from torch.nn import functional as F
from torch.testing import assert_close

from solutions.non_local import (
    FORMS,
    ChannelAttention,
    DANetHead,
    NonLocal,
    PositionAttention,
    concatenation_weights,
    dot_product_mixture,
    dot_product_weights,
    gaussian_weights,
)

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("subsample", [1, 2])
def test_gradients_of_the_block_are_right(form, subsample):
    layer = awake(NonLocal(3, form, 2, subsample))
    x = random(2, 3, 2, 3).requires_grad_()
    assert gradcheck(layer.eval(), (x,))
    weights = dict(layer.named_parameters())

    def by_weights(*values):
        return torch.func.functional_call(
            layer, dict(zip(weights, values, strict=True)), (x.detach(),)
        )

    assert gradcheck(by_weights, tuple(weights.values()))


def test_gradients_of_dual_attention_are_right():
    x = 0.5 * random(2, 3, 2, 3)
    x.requires_grad_()
    for layer in (PositionAttention(3, 2), ChannelAttention(), ChannelAttention(True)):
        layer = awake(layer)
        assert gradcheck(lambda x, *_, layer=layer: layer(x), (x, *layer.parameters()))
    q, k, v = (random(n, 2).requires_grad_() for n in (3, 4, 4))
    assert gradcheck(dot_product_mixture, (q, k, v))
    assert gradcheck(concatenation_weights, (q, k, random(4).requires_grad_()))


@pytest.mark.parametrize(("h", "w"), [(5, 7), (14, 14), (28, 28), (56, 40)])
def test_all_paths_agree_in_single_precision_but_for_what_sums_are_off_by(h, w):
    torch.manual_seed(0)
    x = torch.randn(1, h * w, 8)
    q, k, v = 0.3 * x, 0.3 * x.flip(-1), x.roll(1, -1)
    exact_q, exact_k, exact_v = (t.double() for t in (q, k, v))
    scores, magnitudes = exact_q @ exact_k.mT, exact_q.abs() @ exact_k.abs().mT
    by_weights = gaussian_weights(q, k) @ v
    fused = F.scaled_dot_product_attention(q, k, v, scale=1.0)
    off = (by_weights - fused).abs()
    assert (off <= rounding.of_attention(scores, magnitudes, exact_v, terms=8)).all()
    by_map, mixed = dot_product_weights(q, k) @ v, dot_product_mixture(q, k, v)
    summed = magnitudes @ exact_v.abs() / (h * w)
    assert ((by_map - mixed).abs() <= 4 * rounding.of_a_sum(h * w) * summed).all()


def layers(channels):
    yield from (NonLocal(channels, form, subsample=s) for form in FORMS for s in (1, 2))
    yield PositionAttention(channels)
    yield from (ChannelAttention(), ChannelAttention(released=True))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_dtype_and_device_are_kept(device, dtype):
    x = torch.randn(B, 8, H, W).to(device, dtype)
    for layer in layers(8):
        y = layer.to(device, dtype)(x)
        assert (y.dtype, y.device.type, y.shape) == (dtype, device, x.shape)
        assert y.isfinite().all()
    for y in DANetHead(32, 5).to(device, dtype)(torch.randn(B, 32, H, W).to(device, dtype)):
        assert (y.dtype, y.device.type) == (dtype, device)
        assert y.isfinite().all()


def test_any_batch_is_taken():
    for layer in layers(8):
        for b in (0, 1, 3):
            assert layer.eval()(torch.randn(b, 8, H, W)).shape == (b, 8, H, W)


def test_scattered_memory_changes_nothing():
    x = random(B, 8, W, H).mT
    assert not x.is_contiguous()
    for layer in layers(8):
        layer = awake(layer)
        assert_close(layer(x), layer(x.contiguous()))
