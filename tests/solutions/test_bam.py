"""BAM, tested against the paper's equations and independent implementations."""

import warnings

import pytest
import torch
from spatial_parts import RESNET_50, SIZES, B, C, H, W, filled, oracle, random, size
from torch import nn
from torch.testing import assert_close

from solutions.spatial import (
    BAM,
    ChannelBranch,
    SpatialBranch,
)


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
