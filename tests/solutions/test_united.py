"""Attention that is a convolution, patches as tokens, the vision transformer."""

import math
from functools import partial

import pytest
import torch
from einops import einsum, rearrange
from torch import nn
from torch.nn import functional as F
from torch.testing import assert_close

from solutions.multi_head import MultiHeadAttention
from solutions.resizing import resize_positions
from solutions.transformer import Residual
from solutions.united import (
    ConViT,
    GatedPositionalAttention,
    Mlp,
    PatchEmbedding,
    PreNormBlock,
    SelfAttention,
    VisionTransformer,
    attention_as_convolution,
    attention_distance,
    convit,
    grid_positions,
    leak,
    offset_encoding,
    patch_embedding,
    patch_kernel,
    shift_vectors,
    vit,
)

double = partial(torch.randn, dtype=torch.float64)


def count(make, *given, **more):
    with torch.device("meta"):
        return sum(p.numel() for p in make(*given, **more).parameters())


# attention as convolution


def test_an_offset_is_key_minus_query_across_down_and_squared():
    h, w, reach = 3, 4, 2
    told = offset_encoding(h, w, reach)
    keys = [(y, x) for y in range(-reach, h + reach) for x in range(-reach, w + reach)]
    queries = [(y, x) for y in range(h) for x in range(w)]
    assert told.shape == (12, 56, 3)
    for i, (y, x) in enumerate(queries):
        for j, (v, u) in enumerate(keys):
            across, down = u - x, v - y
            assert told[i, j].tolist() == [across, down, across**2 + down**2]


@pytest.mark.parametrize("window", [3, 5])
def test_a_heads_logits_are_a_parabola_around_its_pixel(window):
    sharpness, reach = 0.7, window // 2
    offset = offset_encoding(4, 6, reach).double()
    logits = einsum(shift_vectors(window, sharpness).double(), offset, "n r, i j r -> n i j")
    for head in range(window**2):
        shift = torch.tensor([head % window - reach, head // window - reach])
        away = (offset[..., :2] - shift).square().sum(-1)
        assert_close(logits[head], sharpness * (shift.square().sum() - away))


@pytest.mark.parametrize("reach", [1, 4, 7])
def test_the_leak_is_what_a_head_in_the_middle_gives_to_others(reach):
    side = 2 * reach + 1
    n = torch.arange(-reach, reach + 1).double()
    logits = -0.8 * (n.square()[:, None] + n.square())
    weights = rearrange(logits, "y x -> (y x)").softmax(0)
    assert math.isclose(leak(0.8, reach), 1 - weights[side * reach + reach].item())


def test_the_leak_grows_with_reach_and_shrinks_with_sharpness():
    assert leak(0.5, 0) == 0
    assert leak(0.5, 1) < leak(0.5, 2) < leak(0.5, 9) < 1
    assert leak(2.0, 9) < leak(1.0, 9)
    assert 0 < leak(40.0, 9) < 1e-16  # not lost in 1 - (1 + 1e-17)


@pytest.mark.parametrize(("window", "h", "w"), [(3, 5, 7), (5, 4, 6), (3, 1, 5), (1, 2, 3)])
@pytest.mark.parametrize("sharpness", [0.5, 2.0, 6.0, 20.0])
def test_attention_is_a_convolution_up_to_the_leak(window, h, w, sharpness):
    x, kernel = double(2, 3, h, w), double(4, 3, window, window)
    exact = F.conv2d(x, kernel, padding=window // 2)
    off = (attention_as_convolution(x, kernel, sharpness) - exact).abs()
    padded = F.pad(x, 4 * (window // 2,))
    span = padded.amax((-2, -1)) - padded.amin((-2, -1))  # b c
    farthest = max(h, w) - 1 + 2 * (window // 2)
    bound = leak(sharpness, farthest) * span @ kernel.abs().sum((-2, -1)).T
    rounding = 1e-12
    assert (off.amax((-2, -1)) <= bound + rounding).all()


def test_in_the_limit_it_is_the_convolution():
    x, kernel = double(2, 3, 5, 7), double(4, 3, 3, 3)
    assert_close(attention_as_convolution(x, kernel, 60.0), F.conv2d(x, kernel, padding=1))


def test_a_dull_head_is_no_convolution_of_that_kernel():
    x, kernel = double(2, 3, 5, 7), double(4, 3, 3, 3)
    off = attention_as_convolution(x, kernel, 0.5) - F.conv2d(x, kernel, padding=1)
    assert off.abs().max() > 0.5


def test_an_even_kernel_is_refused_with_its_size():
    with pytest.raises(ValueError, match="window=4"):
        attention_as_convolution(double(1, 2, 5, 6), double(3, 2, 4, 4), 1.0)


@pytest.mark.parametrize(("window", "patch"), [(3, 2), (5, 2), (5, 3), (7, 4)])
def test_a_convolution_of_pixels_is_a_3x3_one_of_patches(window, patch):
    x, kernel = double(2, 3, 3 * patch, 4 * patch), double(5, 3, window, window)
    letters = "b c (high y) (wide x) -> b (c y x) high wide"
    tokens = rearrange(x, letters, y=patch, x=patch)
    y = F.conv2d(tokens, patch_kernel(kernel, patch), padding=1)
    y = rearrange(y, "b (f y x) high wide -> b f (high y) (wide x)", y=patch, x=patch)
    assert_close(y, F.conv2d(x, kernel, padding=window // 2))


def test_nine_heads_on_patches_are_a_5x5_convolution_of_pixels():
    x, kernel = double(2, 2, 6, 9), double(4, 2, 5, 5)
    tokens = rearrange(x, "b c (high y) (wide x) -> b (c y x) high wide", y=3, x=3)
    y = attention_as_convolution(tokens, patch_kernel(kernel, 3), 60.0)
    y = rearrange(y, "b (f y x) high wide -> b f (high y) (wide x)", y=3, x=3)
    assert_close(y, F.conv2d(x, kernel, padding=2))


def test_a_kernel_that_reaches_beyond_the_next_patch_is_refused():
    with pytest.raises(ValueError, match="window=7 on patches of patch=2"):
        patch_kernel(double(3, 2, 7, 7), 2)


# patches


def test_patch_embedding_is_a_convolution_with_a_stride():
    x, weight, bias = double(2, 3, 8, 15), double(7, 3, 4, 5), double(7)
    strided = F.conv2d(x, weight, bias, stride=(4, 5))
    made = patch_embedding(x, weight, bias)
    assert made.shape == (2, 6, 7)
    assert_close(made, rearrange(strided, "b dim high wide -> b (high wide) dim"))


def test_patches_must_fill_the_picture():
    with pytest.raises(ValueError, match="patches of 4 x 4 do not fill a picture of 8 x 10"):
        patch_embedding(double(2, 3, 8, 10), double(7, 3, 4, 4), double(7))
    with pytest.raises(ValueError, match="patch=4 does not divide a picture of 8 x 10"):
        PatchEmbedding(7, 4)(torch.randn(2, 3, 8, 10))


def test_the_layer_is_the_function():
    layer = PatchEmbedding(7, 4).double()
    x = double(2, 3, 8, 12)
    made = rearrange(layer(x), "b high wide dim -> b (high wide) dim")
    assert_close(made, patch_embedding(x, layer.proj.weight, layer.proj.bias))


@pytest.mark.parametrize(("old", "new"), [((3, 4), (5, 7)), ((4, 3), (2, 2)), ((2, 5), (2, 5))])
def test_positions_of_another_size_are_those_of_the_library(old, new):
    table = double(1 + old[0] * old[1], 6)
    made = grid_positions(table, old, new)
    assert made.shape == (1 + new[0] * new[1], 6)
    assert_close(made, resize_positions(table, new, kept=1, old=old))
    assert made[0].equal(table[0])
    with pytest.raises(ValueError, match=f"{len(table) - 1} rows"):
        grid_positions(table[1:], old, new)


def test_positions_that_are_a_plane_stay_one():
    """Bilinear: what grows evenly does so still, at the middles of the new pixels."""
    y, x = torch.arange(6).double(), torch.arange(8).double()
    plane = rearrange(2 * y[:, None] + 3 * x, "y x -> (y x) 1")
    made = grid_positions(torch.cat([plane[:1], plane]), (6, 8), (3, 4))
    halved = 2 * (2 * y[:3, None] + 0.5) + 3 * (2 * x[:4] + 0.5)
    assert_close(made[1:], rearrange(halved, "y x -> (y x) 1"))


# attention distance


def test_a_head_that_looks_at_itself_looks_at_distance_0():
    eye = torch.eye(12).double().expand(2, 3, 12, 12)
    assert attention_distance(eye, 4, 16).tolist() == [0, 0, 0]


def test_the_distance_by_loops():
    weights, wide, patch = double(2, 3, 15, 15).softmax(-1), 5, 16
    told = torch.zeros(3).double()
    for b, head, i, j in torch.cartesian_prod(*map(torch.arange, weights.shape)).tolist():
        away = patch * math.dist(divmod(i, wide), divmod(j, wide))
        told[head] += weights[b, head, i, j] * away / (2 * 15)
    assert_close(attention_distance(weights, wide, patch), told)


def test_what_goes_to_the_class_token_does_not_count():
    weights = double(2, 3, 12, 12).softmax(-1)
    share = torch.rand(2, 3, 12, 1).double()
    assert_close(attention_distance(share * weights, 4, 8), attention_distance(weights, 4, 8))


# blocks and networks


def test_self_attention_is_multi_head_attention_with_one_matrix():
    ours, theirs = SelfAttention(12, 3).double(), MultiHeadAttention(12, 3).double()
    parts = zip(ours.qkv.weight.chunk(3), ours.qkv.bias.chunk(3), strict=True)
    with torch.no_grad():
        linears = (theirs.query, theirs.key, theirs.value)
        for linear, (weight, bias) in zip(linears, parts, strict=True):
            linear.weight.copy_(weight)
            linear.bias.copy_(bias)
        theirs.out.load_state_dict(ours.proj.state_dict())
    x = double(2, 5, 12)
    assert_close(ours(x), theirs(x))
    assert_close(ours.attention(x), theirs.attention(x))


def test_a_block_is_two_residuals_with_the_norm_before():
    attention = SelfAttention(12, 3)
    block = PreNormBlock(12, 7, attention).double()
    one, two = (Residual(12, "pre", 0.0).double() for _ in range(2))
    for residual, norm in ((one, block.norm1), (two, block.norm2)):
        residual.norm.load_state_dict(norm.state_dict())
        residual.norm.eps = norm.eps
    x = double(2, 5, 12)
    assert_close(block(x), two(one(x, attention), block.mlp))


def test_the_small_network_has_a_gelu():
    layer, x = Mlp(4, 7).double(), double(3, 4)
    hidden = layer.fc1(x)
    gelu = hidden * (1 + torch.erf(hidden / math.sqrt(2))) / 2
    assert_close(layer(x), layer.fc2(gelu))


PRINTED = {
    ("vit", "Ti/16"): 5_717_416,
    ("vit", "S/16"): 22_050_664,
    ("vit", "B/16"): 86_567_656,
    ("vit", "B/32"): 88_224_232,
    ("vit", "L/16"): 304_326_632,
    ("vit", "H/14"): 632_045_800,
    ("convit", "Ti"): 5_710_512,
    ("convit", "S"): 27_777_322,
    ("convit", "B"): 86_540_040,
}


@pytest.mark.parametrize(("family", "name"), PRINTED)
def test_the_counts_of_the_families(family, name):
    assert count({"vit": vit, "convit": convit}[family], name) == PRINTED[family, name]


def test_the_formula_of_the_count():
    dim, depth, hidden, patch, n, classes = 12, 3, 20, 4, 6, 5
    block = 4 * dim**2 + 4 * dim + 2 * dim * hidden + hidden + dim + 4 * dim
    embed = 3 * patch**2 * dim + dim + dim + (n + 1) * dim
    net = VisionTransformer(dim, depth, 3, hidden, patch, (8, 12), classes)
    made = sum(p.numel() for p in net.parameters())
    assert made == embed + depth * block + 2 * dim + (dim + 1) * classes


def small_vit(size=(8, 12), **more):
    net = VisionTransformer(12, 2, 3, patch=4, size=size, classes=5, **more).double()
    with torch.no_grad():
        for p in net.parameters():
            p.copy_(torch.randn_like(p) / 3)
    return net


def test_the_class_token_comes_first_and_carries_the_answer():
    net, x = small_vit(), double(2, 3, 8, 12)
    tokens = net.tokens(x)
    assert tokens.shape == (2, 7, 12)
    first = net.cls_token[0, 0] + net.pos_embed[0, 0]
    assert_close(tokens[:, 0], first.expand(2, 12))
    patches = patch_embedding(x, net.patch_embed.proj.weight, net.patch_embed.proj.bias)
    assert_close(tokens[:, 1:], patches + net.pos_embed[:, 1:])
    z = tokens
    for block in net.blocks:
        z = block(z)
    assert_close(net(x), net.head(net.norm(z[:, 0])))


def test_without_positions_patches_may_change_places():
    net, x = small_vit(), double(2, 3, 8, 12)
    turned = torch.cat([x[..., 8:], x[..., :8]], -1)
    assert not torch.allclose(net(x), net(turned))
    with torch.no_grad():
        net.pos_embed.zero_()
    assert_close(net(x), net(turned))


def test_a_picture_of_another_size_has_interpolated_positions():
    net, x = small_vit(), double(2, 3, 12, 8)
    places = grid_positions(net.pos_embed[0], (2, 3), (3, 2))
    assert_close(net.tokens(x)[:, 0], (net.cls_token[0] + places[0]).expand(2, 12))
    assert net(x).shape == (2, 5)
    assert net.attention(x).shape == (2, 2, 3, 7, 7)


def test_the_maps_are_those_of_the_blocks():
    net, x = small_vit(), double(2, 3, 8, 12)
    maps = net.attention(x)
    assert_close(maps.sum(-1), torch.ones(2, 2, 3, 7).double())
    first = net.blocks[0]
    assert_close(maps[0], first.attn.attention(first.norm1(net.tokens(x))))
    assert not torch.allclose(maps[0], maps[1])


@pytest.mark.parametrize("make", [vit, convit])
def test_an_unknown_size_is_refused_with_its_name(make):
    with pytest.raises(ValueError, match="name='X'"):
        make("X")


# the gate


def test_the_gate_goes_from_content_to_place():
    layer, x = GatedPositionalAttention(12, 4).double(), double(2, 5, 3, 12)
    tokens = rearrange(x, "b h w dim -> b (h w) dim")
    q, k = (
        rearrange(part, "b n (head d) -> b head n d", head=4)
        for part in layer.qk(tokens).chunk(2, -1)
    )
    content = (q @ k.mT / math.sqrt(3)).softmax(-1)
    place = layer.positional(x).expand(2, 4, 15, 15)
    gates = torch.tensor([-50.0, 50.0, 0.0, math.log(3)]).double()
    with torch.no_grad():
        layer.gating_param.copy_(gates)
    made = layer.attention(x)
    assert_close(made[:, 0], content[:, 0])
    assert_close(made[:, 1], place[:, 1])
    assert_close(made[:, 2], (content[:, 2] + place[:, 2]) / 2)
    assert_close(made[:, 3], (content[:, 3] + 3 * place[:, 3]) / 4)
    assert_close(made.sum(-1), torch.ones(2, 4, 15).double())


def test_with_the_gate_open_and_sharp_it_starts_as_a_convolution():
    """Nine heads, each of which carries its own channels to its own place of the kernel."""
    layer = GatedPositionalAttention(18, 9, strength=60.0).double()
    with torch.no_grad():
        layer.gating_param.fill_(60.0)
    x = double(2, 5, 7, 18)
    maps = rearrange(x, "b h w dim -> b dim h w")
    matrix = rearrange(layer.proj.weight, "f (dy dx d) -> f dy dx d", dy=3, dx=3)
    kernel = torch.zeros(18, 3, 3, 3, 3, 2).double()
    for dy in range(3):
        for dx in range(3):
            kernel[:, dy, dx, dy, dx] = matrix[:, dy, dx]
    kernel = rearrange(kernel, "f y x dy dx d -> f (y x d) dy dx")
    y = F.conv2d(maps, kernel, layer.proj.bias)  # inside, where no edge is near
    assert_close(layer(x)[:, 1:-1, 1:-1], rearrange(y, "b f h w -> b h w f"))


def test_heads_that_are_no_square_are_refused():
    with pytest.raises(ValueError, match="heads=6 is no square"):
        GatedPositionalAttention(12, 6)
    with pytest.raises(ValueError, match="local=4 blocks of depth=3"):
        ConViT(12, 3, 4, local=4)


def test_the_class_token_of_convit_comes_after_the_gated_blocks():
    net = ConViT(12, 3, 4, local=2, patch=4, size=(8, 12), classes=5).double()
    seen = []
    for block in net.blocks:
        block.register_forward_hook(lambda _, given, y: seen.append(tuple(y.shape)))
    assert net(double(2, 3, 8, 12)).shape == (2, 5)
    assert seen == [(2, 2, 3, 12), (2, 2, 3, 12), (2, 7, 12)]
    assert net.gates().shape == (2, 4)
    assert_close(net.gates(), torch.full((2, 4), 1 / (1 + math.exp(-1))).double())
    assert net(double(2, 3, 12, 12)).shape == (2, 5)
    assert isinstance(net.blocks[2].attn, SelfAttention)
    assert isinstance(net.head, nn.Linear)
