"""Spatial attention, tested against the papers' equations and independent implementations."""

import math
import warnings
from importlib.util import find_spec

import pytest
import torch
from einops import rearrange, reduce
from torch import nn
from torch.autograd import gradcheck
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
    SpatialLayer,
    grad_cam,
    split_at,
)

B, C, H, W = 3, 8, 5, 7
SIZES = [(5, 7), (7, 7), (6, 4), (1, 5), (3, 1), (1, 1), (2, 2)]


def random(*sizes, seed=0):
    dice = torch.Generator().manual_seed(seed + sum(s * 7**i for i, s in enumerate(sizes)))
    return torch.randn(*sizes, generator=dice, dtype=torch.float64)


def filled(layer, seed=0):
    """The layer in double precision and evaluation mode, no weight and no statistic at 0 or
    1."""
    dice = torch.Generator().manual_seed(seed)
    layer = layer.double().eval()
    with torch.no_grad():
        for name, w in layer.state_dict().items():
            if w.is_floating_point():
                w.copy_(torch.randn(w.shape, generator=dice, dtype=w.dtype) / 2)
                if name.endswith("running_var"):
                    w.abs_().add_(0.5)
    return layer


def size(layer):
    return sum(p.numel() for p in layer.parameters())


def sigmoid(z):
    return 1 / (1 + math.exp(-z))


def oracle(name):
    """A test against a package that plain pip leaves out."""
    reason = f"no {name}: pip install -e '.[oracles]'"
    return pytest.mark.skipif(not find_spec(name), reason=reason)


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


# CBAM, channel


def mlp(gate, z):
    """The shared MLP, a number at a time."""
    down, up = gate.down, gate.up
    hidden = [
        max(0.0, sum(w * v for w, v in zip(row, z, strict=True)) + bias)
        for row, bias in zip(down.weight.tolist(), down.bias.tolist(), strict=True)
    ]
    return [
        sum(w * v for w, v in zip(row, hidden, strict=True)) + bias
        for row, bias in zip(up.weight.tolist(), up.bias.tolist(), strict=True)
    ]


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


# CBAM, spatial


def correlate(plane, kernel, size):
    """A padded correlation of one plane, a pixel at a time."""
    h, w, half = len(plane), len(plane[0]), size // 2
    y = [[0.0] * w for _ in range(h)]
    for i in range(h):
        for j in range(w):
            for u in range(size):
                for v in range(size):
                    r, s = i + u - half, j + v - half
                    if 0 <= r < h and 0 <= s < w:
                        y[i][j] += kernel[u][v] * plane[r][s]
    return y


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


# CBAM


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


RESNET_50 = 25_557_032  # weights without attention
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


# BAM


def dilated(x, weight, bias, dilation):
    """A padded 3x3 correlation with holes, a pixel at a time, c h w -> m h w."""
    _, h, w = x.shape
    y = bias[:, None, None].expand(len(bias), h, w).clone()
    for i in range(h):
        for j in range(w):
            for u in (-1, 0, 1):
                for v in (-1, 0, 1):
                    r, s = i + u * dilation, j + v * dilation
                    if 0 <= r < h and 0 <= s < w:
                        y[:, i, j] += weight[:, :, u + 1, v + 1] @ x[:, r, s]
    return y


def batchnorm(norm, x):
    """BatchNorm in evaluation mode; channels first."""
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    shape = [-1] + [1] * (x.ndim - 1)
    return (x - norm.running_mean.reshape(shape)) * scale.reshape(shape) + norm.bias.reshape(
        shape
    )


@pytest.mark.parametrize("dilation", [1, 2, 4])
@pytest.mark.parametrize(("h", "w"), SIZES)
def test_the_branches_of_bam_are_equations_3_and_4_with_the_released_norms(h, w, dilation):
    bam, x = filled(BAM(C, 4, dilation)).requires_grad_(False), random(2, C, h, w)
    channel, spatial = bam.channel, bam.spatial
    for b in range(2):
        z = channel.down.weight @ x[b].mean((1, 2)) + channel.down.bias
        what = channel.up.weight @ batchnorm(channel.norm, z).relu() + channel.up.bias
        y = torch.einsum("mc,chw->mhw", spatial.down.weight[:, :, 0, 0], x[b])
        y = batchnorm(spatial.norms[0], y + spatial.down.bias[:, None, None]).relu()
        for conv, norm in zip((spatial.near, spatial.far), spatial.norms[1:], strict=True):
            y = batchnorm(norm, dilated(y, conv.weight, conv.bias, dilation)).relu()
        where = torch.einsum("m,mhw->hw", spatial.out.weight[0, :, 0, 0], y) + spatial.out.bias
        assert_close(channel(x)[b], what)
        assert_close(spatial(x)[b], where)
        gain = (what[:, None, None] + where).sigmoid()
        assert_close(bam.attention(x)[b], gain)
        assert_close(bam(x)[b], x[b] * (1 + gain))


@oracle("pytorchcv")
@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize(("h", "w"), SIZES)
def test_bam_with_a_product_is_that_of_pytorchcv(h, w, train):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pytorchcv.models.bamresnet import BamBlock

    ours, x = filled(BAM(32, combine="product")), random(B, 32, h, w)
    theirs = BamBlock(32).double()
    names = {
        "ch_att.init_fc.fc": "channel.down",
        "ch_att.init_fc.bn": "channel.norm",
        "ch_att.final_fc": "channel.up",
        "sp_att.init_conv.conv": "spatial.down",
        "sp_att.init_conv.bn": "spatial.norms.0",
        "sp_att.dil_convs.conv1.conv": "spatial.near",
        "sp_att.dil_convs.conv1.bn": "spatial.norms.1",
        "sp_att.dil_convs.conv2.conv": "spatial.far",
        "sp_att.dil_convs.conv2.bn": "spatial.norms.2",
        "sp_att.final_conv": "spatial.out",
    }
    state = ours.state_dict()
    theirs.load_state_dict(
        {
            n: state[f"{names[n.rpartition('.')[0]]}.{n.rpartition('.')[2]}"]
            for n in theirs.state_dict()
        }
    )
    assert_close(ours.train(train)(x), theirs.train(train)(x))


def test_bam_never_turns_a_sign_and_at_most_doubles():
    x = random(B, C, H, W)
    gain = filled(BAM(C, 4))(x) / x
    assert ((gain > 1) & (gain < 2)).all()


@pytest.mark.parametrize("combine", ["sum", "product"])
def test_silent_branches_give_one_and_a_half(combine):
    bam, x = filled(BAM(C, 4, combine=combine)), random(B, C, H, W)
    for layer in (bam.channel.up, bam.spatial.out):
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
    assert_close(bam(x), 1.5 * x)


def test_a_silent_spatial_branch_silences_the_product_but_not_the_sum():
    x = random(B, C, H, W)
    for combine in ("sum", "product"):
        bam = filled(BAM(C, 4, combine=combine))
        nn.init.zeros_(bam.spatial.out.weight)
        nn.init.zeros_(bam.spatial.out.bias)
        if combine == "product":
            assert_close(bam(x), 1.5 * x)
        else:
            what = bam.channel(x).sigmoid()
            assert_close(bam(x), x * (1 + what[:, :, None, None]))
            assert (bam(x) - 1.5 * x).abs().max() > 0.1


@pytest.mark.parametrize("dilation", [1, 2, 4])
def test_a_pixel_of_the_spatial_branch_sees_4_dilation_plus_1_across(dilation):
    branch = filled(SpatialBranch(C, 4, dilation))
    for norm in branch.norms:  # every ReLU open, so that nothing hides
        nn.init.constant_(norm.bias, 100.0)
    x = random(1, C, 21, 23).requires_grad_()
    (gradient,) = torch.autograd.grad(branch(x)[0, 10, 11], x)
    seen = gradient.abs().sum((0, 1))
    rows, columns = seen.sum(1).nonzero()[:, 0], seen.sum(0).nonzero()[:, 0]
    across = 4 * dilation + 1
    assert (rows.max() - rows.min() + 1, columns.max() - columns.min() + 1) == (across, across)
    assert (seen > 0).sum() == 25  # with holes: 5 x 5 pixels of them


def test_three_bams_bring_resnet_50_to_25_915_099_weights():
    assert RESNET_50 + sum(size(BAM(c)) for c in (256, 512, 1024)) == 25_915_099


def test_the_weights_of_bam_are_those_of_the_formula():
    for c, r in [(64, 16), (48, 4)]:
        m = c // r
        assert size(ChannelBranch(c, r)) == 2 * c * m + 3 * m + c
        assert size(SpatialBranch(c, r)) == c * m + 18 * m**2 + 10 * m + 1


def test_an_unknown_way_to_combine_is_refused():
    with pytest.raises(ValueError, match="combine='mean'"):
        BAM(C, 4, combine="mean")


# SResNet


def coarse(layer, plane):
    """The gain of one plane, h w, as the definition says it, with loops."""
    h, w = len(plane), len(plane[0])

    def conv(plane, module, size):
        kernel, bias = module.weight[0, 0].tolist(), module.bias.item()
        return [[v + bias for v in row] for row in correlate(plane, kernel, size)]

    z = [[max(0.0, v) for v in row] for row in conv(plane, layer.look, 5)]
    z = [[max(0.0, v) for v in row[::2]] for row in conv(z, layer.shrink, 3)[::2]]
    z = [[z[i // 2][j // 2] for j in range(w)] for i in range(h)]
    return [[sigmoid(v) for v in row] for row in conv(z, layer.smooth, 3)]


@pytest.mark.parametrize(("h", "w"), SIZES)
def test_the_spatial_layer_is_its_definition_on_every_size(h, w):
    layer, x = filled(SpatialLayer(), seed=4), random(2, C, h, w)
    for b in range(2):
        expected = torch.tensor(coarse(layer, x[b].mean(0).tolist())).double()
        assert_close(layer.attention(x)[b], expected)
        assert_close(layer(x)[b], x[b] * expected)


def test_the_spatial_layer_has_46_weights():
    assert size(SpatialLayer()) == 25 + 9 + 9 + 3 == 46


def test_the_spatial_layer_sees_the_mean_of_the_channels_only():
    layer, x = filled(SpatialLayer(), seed=4), random(B, C, H, W)
    flat = reduce(x, "b c h w -> b 1 h w", "mean").expand_as(x)
    assert_close(layer.attention(flat), layer.attention(x))
    assert_close(layer.attention(x.flip(1)), layer.attention(x))


def test_before_the_last_convolution_the_map_is_constant_on_blocks_of_2_x_2():
    layer, x = filled(SpatialLayer(), seed=4), random(B, C, 6, 8)
    with torch.no_grad():  # the last convolution passes its middle on
        layer.smooth.weight.zero_()
        layer.smooth.weight[..., 1, 1] = 1
    gain = layer.attention(x)
    assert_close(gain[:, ::2, ::2], gain[:, 1::2, 1::2])
    assert_close(gain[:, ::2], gain[:, 1::2])


def test_without_weights_the_spatial_layer_halves():
    layer, x = SpatialLayer(), random(B, C, H, W).float()
    for p in layer.parameters():
        nn.init.zeros_(p)
    assert_close(layer(x), x / 2)


# GALA


@pytest.mark.parametrize(("h", "w"), SIZES)
def test_gala_is_its_definition(h, w):
    gala, x = filled(GALA(C, 2)).requires_grad_(False), random(2, C, h, w)
    a, m = gala.additive, gala.multiplicative
    for b in range(2):
        g = mlp(gala, x[b].mean((1, 2)).tolist())
        for i in range(h):
            for j in range(w):
                hidden = gala.shrink.weight[:, :, 0, 0] @ x[b, :, i, j] + gala.shrink.bias
                here = (gala.collapse.weight[0, :, 0, 0] @ hidden.relu()).item()
                here += gala.collapse.bias.item()
                for c in range(C):
                    z = a[c] * (g[c] + here) + m[c] * g[c] * here
                    assert_close(gala.attention(x)[b, c, i, j], z.tanh())
    assert_close(gala(x), x * gala.attention(x))


def with_shares(gala, additive, multiplicative):
    with torch.no_grad():
        gala.additive.fill_(additive)
        gala.multiplicative.fill_(multiplicative)
    return gala


def test_without_shares_gala_is_silent():
    x = random(B, C, H, W)
    assert (with_shares(filled(GALA(C)), 0, 0)(x) == 0).all()


def test_with_the_sum_alone_the_logits_are_one_of_the_channel_plus_one_of_the_pixel():
    gala, x = with_shares(filled(GALA(C)), 1, 0), random(B, C, H, W)
    logits = gala.attention(x).atanh()
    mixed = logits[:, 1:, 1:] - logits[:, :-1, 1:] - logits[:, 1:, :-1] + logits[:, :-1, :-1]
    assert mixed.abs().max() < 1e-9


def test_with_the_product_alone_the_logits_have_rank_1():
    gala, x = with_shares(filled(GALA(C)), 0, 1), random(B, C, H, W)
    logits = rearrange(gala.attention(x).atanh(), "b c h w -> b c (h w)")
    assert (torch.linalg.matrix_rank(logits, rtol=1e-9) == 1).all()
    both = with_shares(gala, 1, 1).attention(x).atanh()
    ranks = torch.linalg.matrix_rank(rearrange(both, "b c h w -> b c (h w)"), rtol=1e-9)
    assert (ranks == 2).all()


def test_a_gain_of_gala_may_turn_the_sign():
    gain = filled(GALA(C)).attention(random(B, C, H, W))
    assert ((gain > -1) & (gain < 1)).all()
    assert (gain < 0).any()
    assert (gain > 0).any()


def test_without_pixels_gala_is_squeeze_and_excitation_from_minus_1_to_1():
    gala, x = with_shares(filled(GALA(C)), 0.5, 0), random(B, C, H, W)
    nn.init.zeros_(gala.collapse.weight)
    nn.init.zeros_(gala.collapse.bias)
    s = gala.channels(x).sigmoid()
    assert_close(gala.attention(x), (2 * s - 1)[:, :, None, None].expand_as(x))


def test_gala_has_the_weights_of_the_formula():
    for c, r in [(256, 4), (48, 16)]:
        m = c // r
        assert size(GALA(c, r)) == 3 * c * m + 3 * m + 3 * c + 1
    excite = sum(size(layer) for layer in (GALA(256).down, GALA(256).up))
    assert excite == 33_088  # as in the released code


# Grad-CAM


class Pooled(nn.Module):
    """Means of the maps, then a linear layer: the head of residual networks."""

    def __init__(self, channels=C, classes=4):
        super().__init__()
        self.read = nn.Linear(channels, classes)

    def forward(self, maps):
        return self.read(maps.mean((2, 3)))


class Curved(nn.Module):
    """A head in which gradients depend on the maps."""

    def __init__(self, channels=C, classes=4):
        super().__init__()
        self.conv, self.read = nn.Conv2d(channels, 6, 3, padding=1), nn.Linear(6, classes)

    def forward(self, maps):
        return self.read(self.conv(maps).tanh().square().sum((2, 3)))


WHICH = torch.tensor([2, 0, 3])


def test_grad_cam_is_equations_1_and_2():
    """Gradients by differences, gains and sums by loops."""
    head, maps = filled(Curved()), random(B, C, 3, 4)
    found = grad_cam(maps, head, WHICH)
    assert found.shape == (B, 3, 4)
    step = 1e-5
    for b in range(B):
        total = torch.zeros(3, 4, dtype=torch.float64)
        for c in range(C):
            slopes = []
            for i in range(3):
                for j in range(4):
                    up, down = maps.clone(), maps.clone()
                    up[b, c, i, j] += step
                    down[b, c, i, j] -= step
                    rise = head(up)[b, WHICH[b]] - head(down)[b, WHICH[b]]
                    slopes.append((rise / (2 * step)).item())
            total += sum(slopes) / len(slopes) * maps[b, c]
        assert_close(found[b], total.clamp(min=0), rtol=1e-6, atol=1e-8)


def test_with_a_linear_head_the_raw_map_sums_to_the_score_without_its_bias():
    head, maps = filled(Pooled()), random(B, C, H, W)
    raw = grad_cam(maps, head, WHICH, rectify=False)
    score = head(maps)[torch.arange(B), WHICH] - head.read.bias[WHICH]
    assert_close(raw.sum((1, 2)), score)


def test_with_a_linear_head_the_gains_are_its_weights_over_the_pixels():
    head, maps = filled(Pooled()), random(B, C, H, W)
    raw = grad_cam(maps, head, WHICH, rectify=False)
    assert_close(raw, torch.einsum("bc,bchw->bhw", head.read.weight[WHICH] / (H * W), maps))


def test_what_speaks_against_the_class_is_dropped():
    head, maps = filled(Pooled()), random(B, C, H, W)
    raw = grad_cam(maps, head, WHICH, rectify=False)
    assert (raw < 0).any()
    assert_close(grad_cam(maps, head, WHICH), raw.clamp(min=0))


def test_a_map_that_speaks_against_everywhere_is_all_0():
    head, maps = filled(Pooled()), random(B, C, H, W).abs()
    with torch.no_grad():
        head.read.weight.copy_(-head.read.weight.abs())
    assert (grad_cam(maps, head, WHICH) == 0).all()


def test_grad_cam_leaves_no_gradients_behind_and_works_without_them():
    head, maps = filled(Curved()), random(B, C, H, W)
    with torch.no_grad():
        quiet = grad_cam(maps, head, WHICH)
    assert not quiet.requires_grad
    assert not maps.requires_grad
    assert all(p.grad is None for p in head.parameters())
    assert_close(quiet, grad_cam(maps, head.requires_grad_(False), WHICH))


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(2, C, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)
        self.second = nn.Conv2d(C, C, 3, stride=2, padding=1)
        self.unused = nn.Conv2d(1, 1, 1)
        self.head = Curved()

    def forward(self, x):
        return self.head(self.relu(self.second(self.relu(self.first(x)))))


def test_a_model_is_split_at_any_layer_even_before_an_in_place_relu():
    model, x = filled(Network()), random(B, 2, 9, 11)
    for layer in (model.first, model.second, model.relu):
        maps, head = split_at(model, layer, x)
        assert_close(head(maps), model(x))
        assert not layer._forward_hooks
    maps, head = split_at(model, model.first, x)
    assert_close(maps, model.first(x))


@oracle("captum")
@pytest.mark.parametrize("name", ["first", "second"])
def test_grad_cam_is_that_of_captum(name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from captum.attr import LayerGradCam

    model, x = filled(Network()), random(B, 2, 9, 11)
    model.relu.inplace = False
    layer = getattr(model, name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = LayerGradCam(model, layer).attribute(x, target=WHICH, relu_attributions=True)
    assert_close(grad_cam(*split_at(model, layer, x), WHICH), theirs[:, 0].detach())


def test_a_layer_that_makes_no_maps_is_refused():
    model, x = filled(Network()), random(B, 2, 9, 11)
    with pytest.raises(ValueError, match="does not call this Conv2d"):
        split_at(model, model.unused, x)
    with pytest.raises(ValueError, match=r"Linear makes \(3, 4\), not maps"):
        split_at(model, model.head.read, x)


# everything


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
