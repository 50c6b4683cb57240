"""GALA and the spatial layer of SResNet, tested against their definitions."""

import pytest
import torch
from einops import rearrange, reduce
from spatial_parts import SIZES, B, C, H, W, correlate, filled, mlp, random, sigmoid, size
from torch import nn
from torch.testing import assert_close

from solutions.spatial import (
    GALA,
    SpatialLayer,
)


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
