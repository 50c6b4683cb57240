"""What every module of spatial attention keeps: sizes, images apart, dtypes, devices."""

import pytest
import torch
from spatial_parts import SIZES, WHICH, B, C, H, W, filled, random
from torch.autograd import gradcheck
from torch.testing import assert_close

from solutions.spatial import (
    BAM,
    CBAM,
    GALA,
    ChannelGate,
    ProjectedSpatialGate,
    SpatialGate,
    SpatialLayer,
    grad_cam,
)

MAKES = {
    "ChannelGate": lambda: ChannelGate(C, 4),
    "SpatialGate": lambda: SpatialGate(3),
    "ProjectedSpatialGate": lambda: ProjectedSpatialGate(C, 5),
    "CBAM": lambda: CBAM(C, 4),
    "CBAM, spatial first": lambda: CBAM(C, 4, order="spatial-channel"),
    "CBAM, parallel": lambda: CBAM(C, 4, order="parallel"),
    "CBAM, 1x1": lambda: CBAM(C, 4, describe="conv"),
    "BAM": lambda: BAM(C, 4),
    "BAM, product": lambda: BAM(C, 4, combine="product"),
    "SpatialLayer": SpatialLayer,
    "GALA": lambda: GALA(C),
}


every_module = pytest.mark.parametrize("make", MAKES.values(), ids=MAKES)


@every_module
@pytest.mark.parametrize(("h", "w"), SIZES)
def test_every_size_works_and_is_kept(make, h, w):
    layer, x = make(), torch.randn(2, C, h, w)
    for mode in (True, False):
        assert layer.train(mode)(x).shape == x.shape
    assert layer(x[:1]).shape == (1, C, h, w)
    assert layer(x[:0]).shape == (0, C, h, w)


def test_one_number_is_not_enough_to_normalise_while_training():
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        CBAM(C, 4)(torch.randn(1, C, 1, 1))
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        BAM(C, 4)(torch.randn(1, C, H, W))


@every_module
def test_images_do_not_mix(make):
    layer, x = filled(make()), random(B, C, H, W)
    for b in range(B):
        assert_close(layer(x)[b], layer(x[b : b + 1])[0])


@every_module
def test_the_output_is_the_input_times_its_gain(make):
    layer, x = filled(make()), random(B, C, H, W)
    gain = layer.attention(x)
    if gain.ndim == 2:
        gain = gain[:, :, None, None]
    elif gain.ndim == 3:
        gain = gain[:, None]
    assert_close(layer(x), x * (gain + isinstance(layer, BAM)))


@every_module
def test_gradients_are_right(make):
    layer = filled(make(), seed=4)
    assert gradcheck(layer, (random(2, C, 2, 3).requires_grad_(),))


@every_module
def test_scattered_memory_changes_nothing(make):
    layer, x = filled(make()), random(B, C, W, H).mT
    assert not x.is_contiguous()
    assert_close(layer(x), layer(x.contiguous()))


DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


@every_module
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_dtype_and_device_are_kept(make, device, dtype):
    layer, x = make().to(device, dtype).eval(), torch.randn(B, C, H, W).to(device, dtype)
    y = layer(x)
    assert (y.dtype, y.device.type) == (dtype, device)
    assert y.isfinite().all()
    maps = grad_cam(x, lambda maps: maps.mean((2, 3)), WHICH.to(device))
    assert (maps.dtype, maps.device.type) == (dtype, device)
