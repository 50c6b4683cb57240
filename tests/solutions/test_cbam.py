"""CBAM, tested against the paper's equations and independent implementations."""

import math
import warnings

import pytest
import torch
from einops import rearrange
from spatial_parts import (
    RESNET_50,
    SIZES,
    B,
    C,
    H,
    W,
    correlate,
    filled,
    mlp,
    oracle,
    random,
    sigmoid,
    size,
)
from torch import nn
from torch.testing import assert_close

from solutions.spatial import (
    BAM,
    CBAM,
    GALA,
    ChannelBranch,
    ChannelGate,
    ProjectedSpatialGate,
    SpatialBranch,
    SpatialGate,
)


@pytest.mark.parametrize("pools", [("mean",), ("max",), ("mean", "max"), ("max", "mean")])
def test_the_channel_gate_is_equation_2(pools):
    gate, x = filled(ChannelGate(C, 4, pools)), random(B, C, H, W)
    s = gate.attention(x)
    assert s.shape == (B, C)
    for b in range(B):
        pooled = {
            "mean": [sum(map(sum, plane)) / (H * W) for plane in x[b].tolist()],
            "max": [max(map(max, plane)) for plane in x[b].tolist()],
        }
        outs = [mlp(gate, pooled[pool]) for pool in pools]
        for c in range(C):
            assert s[b, c].item() == pytest.approx(sigmoid(sum(out[c] for out in outs)))
            assert_close(gate(x)[b, c], x[b, c] * s[b, c])


def test_with_the_mean_alone_it_is_squeeze_and_excitation():
    gate, x = filled(ChannelGate(C, 4, ("mean",))), random(B, C, H, W)
    z = x.mean((2, 3))
    s = torch.sigmoid(gate.up(torch.relu(gate.down(z))))
    assert_close(gate(x), x * s[:, :, None, None])


def test_the_gate_is_the_same_wherever_the_pixels_lie():
    gate, x = filled(ChannelGate(C, 4)), random(B, C, H, W)
    order = torch.randperm(H * W, generator=torch.Generator().manual_seed(0))
    mixed = rearrange(
        rearrange(x, "b c h w -> b c (h w)")[..., order], "b c (h w) -> b c h w", h=H
    )
    assert_close(gate.attention(mixed), gate.attention(x))


def test_adding_the_pools_before_the_mlp_is_something_else():
    """With a linear MLP without biases the two would agree: the ReLU must matter here."""
    gate, x = filled(ChannelGate(C, 4)), random(B, C, H, W)
    z = x.mean((2, 3)) + x.amax((2, 3))
    before = gate.up(gate.down(z).relu()).sigmoid()
    assert (before - gate.attention(x)).abs().max() > 0.05


def test_zero_weights_halve_every_channel():
    gate, x = ChannelGate(C, 4), random(B, C, H, W).float()
    for p in gate.parameters():
        nn.init.zeros_(p)
    assert_close(gate(x), x / 2)


def normalised(norm, z):
    """What BatchNorm makes of one number in evaluation mode."""
    mean, var = norm.running_mean.item(), norm.running_var.item()
    return (z - mean) / math.sqrt(var + norm.eps) * norm.weight.item() + norm.bias.item()


@pytest.mark.parametrize("kernel", [1, 3, 7])
@pytest.mark.parametrize(("h", "w"), SIZES)
def test_the_spatial_gate_is_equation_3(kernel, h, w):
    gate, x = filled(SpatialGate(kernel)), random(2, C, h, w)
    s = gate.attention(x)
    assert s.shape == (2, h, w)
    for b in range(2):
        largest = x[b].amax(0).tolist()
        mean = x[b].mean(0).tolist()
        planes = [
            correlate(plane, weight.tolist(), kernel)
            for plane, weight in zip((largest, mean), gate.conv.weight[0], strict=True)
        ]
        for i in range(h):
            for j in range(w):
                z = normalised(gate.norm, planes[0][i][j] + planes[1][i][j])
                assert s[b, i, j].item() == pytest.approx(sigmoid(z))
        assert_close(gate(x)[b], x[b] * s[b])


def test_a_pixel_is_described_by_its_largest_and_its_mean_channel_in_this_order():
    x = random(B, C, H, W)
    assert_close(SpatialGate().describe(x), torch.stack([x.amax(1), x.mean(1)], 1))


def test_the_order_of_the_channels_does_not_matter_to_the_spatial_gate():
    gate, x = filled(SpatialGate()), random(B, C, H, W)
    assert_close(gate.attention(x.flip(1)), gate.attention(x))


def test_inside_the_spatial_gate_commutes_with_shifts():
    """Equivariance, where the window does not reach the padding."""
    gate, x = filled(SpatialGate(3)), random(B, C, 9, 11)
    shifted = x.roll((2, 3), (2, 3))
    inside = gate.attention(x).roll((2, 3), (1, 2))[:, 3:-1, 4:-1]
    assert_close(gate.attention(shifted)[:, 3:-1, 4:-1], inside)


def test_while_training_the_map_of_logits_is_normalised_over_batch_and_pixels():
    gate, x = filled(SpatialGate(3)).train(), random(B, C, H, W)
    logits = torch.logit(gate.attention(x))
    weight, bias = gate.norm.weight.item(), gate.norm.bias.item()
    assert logits.mean().item() == pytest.approx(bias)
    assert logits.std(unbiased=False).item() == pytest.approx(abs(weight), rel=1e-3)


def test_with_a_zero_weight_in_batchnorm_every_pixel_is_halved():
    """As the released code starts: a half everywhere, whatever the convolution."""
    gate, x = SpatialGate().double(), random(B, C, H, W)
    nn.init.zeros_(gate.norm.weight)
    assert_close(gate(x), x / 2)


def test_the_projected_gate_sees_one_mixture_of_the_channels():
    gate, x = filled(ProjectedSpatialGate(C, 3)), random(B, C, H, W)
    mixed = torch.einsum("bchw,c->bhw", x, gate.mix.weight[0, :, 0, 0]) + gate.mix.bias
    logits = gate.norm(nn.functional.conv2d(mixed[:, None], gate.conv.weight, padding=1))
    assert_close(gate.attention(x), logits[:, 0].sigmoid())


@pytest.mark.parametrize("kernel", [0, 2, 4, -1])
def test_a_kernel_without_a_middle_is_refused(kernel):
    with pytest.raises(ValueError, match=f"kernel={kernel}"):
        SpatialGate(kernel)


def gates(cbam, x):
    return cbam.channel.attention(x)[:, :, None, None], cbam.spatial.attention(x)[:, None]


def test_channel_spatial_gates_pixels_by_what_the_channel_gate_lets_through():
    cbam, x = filled(CBAM(C, 4)), random(B, C, H, W)
    first = cbam.channel(x)
    assert_close(cbam(x), cbam.spatial(first))
    assert_close(cbam(x), cbam.attention(x) * x)


def test_spatial_channel_is_the_other_way_round():
    cbam, x = filled(CBAM(C, 4, order="spatial-channel")), random(B, C, H, W)
    assert_close(cbam(x), cbam.channel(cbam.spatial(x)))


def test_parallel_gates_both_see_x_and_multiply():
    cbam, x = filled(CBAM(C, 4, order="parallel")), random(B, C, H, W)
    what, where = gates(cbam, x)
    assert_close(cbam(x), x * what * where)


def test_the_three_orders_differ():
    x, ys = random(B, C, H, W), []
    for order in CBAM.ORDERS:
        ys.append(filled(CBAM(C, 4, order=order))(x))
    for i, j in [(0, 1), (0, 2), (1, 2)]:
        assert (ys[i] - ys[j]).abs().max() > 0.01


def test_each_gate_runs_once_a_call():
    """Otherwise the statistics of BatchNorm would move twice."""
    for order in CBAM.ORDERS:
        cbam = CBAM(C, 4, order=order)
        cbam(torch.randn(B, C, H, W))
        assert cbam.spatial.norm.num_batches_tracked == 1


def test_zero_weights_leave_a_quarter():
    cbam, x = CBAM(C, 4), random(B, C, H, W).float()
    for p in cbam.parameters():
        nn.init.zeros_(p)
    assert_close(cbam(x), x / 4)


def test_a_block_with_cbam_has_the_weights_of_the_formula():
    for channels, reduction, kernel in [(64, 16, 7), (48, 4, 3)]:
        middle = channels // reduction
        pooled = CBAM(channels, reduction, kernel)
        channel = 2 * channels * middle + middle + channels
        assert size(pooled) == channel + 2 * kernel**2 + 2
        projected = CBAM(channels, reduction, kernel, describe="conv")
        assert size(projected) == channel + channels + 1 + kernel**2 + 2


BLOCKS = {256: 3, 512: 4, 1024: 6, 2048: 3}  # how many blocks end with so many channels


def test_resnet_50_with_cbam_has_28_089_624_weights():
    assert RESNET_50 + sum(n * size(CBAM(c)) for c, n in BLOCKS.items()) == 28_089_624


@oracle("pytorchcv")
@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize(("h", "w"), SIZES)
def test_cbam_is_that_of_pytorchcv(h, w, train):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pytorchcv.models.cbamresnet import CbamBlock

    ours, x = filled(CBAM(C, 4)), random(B, C, h, w)
    theirs = CbamBlock(C, 4).double()
    names = {
        "ch_gate.mlp.fc1": "channel.down",
        "ch_gate.mlp.fc2": "channel.up",
        "sp_gate.conv.conv": "spatial.conv",
        "sp_gate.conv.bn": "spatial.norm",
    }
    state = ours.state_dict()
    theirs.load_state_dict(
        {
            n: state[f"{names[n.rpartition('.')[0]]}.{n.rpartition('.')[2]}"]
            for n in theirs.state_dict()
        }
    )
    assert_close(ours.train(train)(x), theirs.train(train)(x))


@pytest.mark.parametrize("kind", [{"order": "both"}, {"describe": "3x3"}, {"pools": ()}])
def test_an_unknown_kind_of_cbam_is_refused(kind):
    with pytest.raises(ValueError, match=next(iter(kind))):
        CBAM(C, 4, **kind)


@pytest.mark.parametrize("make", [ChannelGate, CBAM, BAM, GALA, ChannelBranch, SpatialBranch])
def test_channels_that_do_not_divide_are_refused(make):
    with pytest.raises(ValueError, match=r"channels=10 is not a multiple of reduction=4"):
        make(10, 4)
    with pytest.raises(ValueError, match=r"channels=2 is not a multiple of reduction=4"):
        make(2, 4)
