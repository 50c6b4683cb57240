"""Attention in shifted windows, its pyramid, a kernel in the softmax; and other people's."""

import math
import re
from functools import partial
from importlib.util import find_spec

import pytest
import torch
from einops import rearrange
from torch import nn
from torch.nn import functional as F
from torch.testing import assert_close

from solutions import create_attention
from solutions.relative_2d import relative_logits_2d
from solutions.united import (
    PatchMerging,
    RelativeAttention2d,
    ShiftedWindowAttention,
    SwinTransformer,
    convit,
    merge_windows,
    relative_bias_index,
    shift_mask,
    split_windows,
    swin,
    vit,
)

double = partial(torch.randn, dtype=torch.float64)


def oracle(name):
    """A test against a package that plain pip leaves out."""
    return pytest.mark.skipif(not find_spec(name), reason=f"no {name}")


def random(layer):
    with torch.no_grad():
        for p in layer.parameters():
            p.copy_(torch.randn_like(p) / 3)
    return layer.double()


# windows


def test_windows_and_their_tokens_are_in_order_of_rows():
    x = double(2, 6, 9, 5)
    cut = split_windows(x, 3)
    assert cut.shape == (2, 6, 9, 5)
    for win in range(6):
        y, z = 3 * (win // 3), 3 * (win % 3)
        own = x[:, y : y + 3, z : z + 3]
        assert cut[:, win].equal(rearrange(own, "b y x c -> b (y x) c"))
    assert merge_windows(cut, 6, 9).equal(x)


def test_windows_must_fill_the_map():
    with pytest.raises(ValueError, match="window=4 do not fill a map of 6 x 8"):
        split_windows(double(2, 6, 8, 3), 4)


@pytest.mark.parametrize("shift", [(0, 0), (1, 2), (2, 0), (3, 3)])
def test_who_sees_whom_is_who_was_near_before_the_roll(shift):
    h, w, window = 8, 12, 4
    place = torch.stack(torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij"), -1)
    rolled = place.roll((-shift[0], -shift[1]), (0, 1))[None]
    tokens = split_windows(rolled, window)[0]  # win i 2
    away = (tokens[:, :, None] - tokens[:, None]).abs().amax(-1)
    assert shift_mask(h, w, window, shift).equal(away < window)


def test_the_index_by_loops():
    h, w = 3, 4
    index = relative_bias_index(h, w)
    assert index.shape == (12, 12)
    for i in range(12):
        for j in range(12):
            down, across = i // w - j // w, i % w - j % w
            assert index[i, j] == (down + h - 1) * (2 * w - 1) + across + w - 1
    assert sorted(set(index.flatten().tolist())) == list(range(5 * 7))


def by_definition(layer, x, shift):
    """One query at a time: its window on the plane that was never rolled."""
    h, w = x.shape[1:3]
    q, k, v = (
        rearrange(t, "b h w (head d) -> b head h w d", head=layer.heads)
        for t in layer.qkv(x).chunk(3, -1)
    )
    side, out = 2 * layer.window - 1, torch.zeros_like(q)
    rows = [0 if n <= layer.window else shift for n in (h, w)]
    cell = [(torch.arange(n) - s).div(layer.window, rounding_mode="floor") for n, s in
            zip((h, w), rows, strict=True)]  # fmt: skip
    for y in range(h):
        for z in range(w):
            near = [(a, e) for a in range(h) for e in range(w)
                    if cell[0][a] == cell[0][y] and cell[1][e] == cell[1][z]]  # fmt: skip
            keys = torch.stack([k[:, :, a, e] for a, e in near], 2)
            values = torch.stack([v[:, :, a, e] for a, e in near], 2)
            entry = [(y - a + layer.window - 1) * side + z - e + layer.window - 1
                     for a, e in near]  # fmt: skip
            bias = layer.relative_position_bias_table[entry].T
            scores = (q[:, :, y, z, None] * keys).sum(-1) / math.sqrt(q.shape[-1]) + bias
            out[:, :, y, z] = (scores.softmax(-1)[..., None] * values).sum(2)
    return layer.proj(rearrange(out, "b head h w d -> b h w (head d)"))


@pytest.mark.parametrize("shift", [0, 1, 2])
@pytest.mark.parametrize(("h", "w"), [(6, 9), (3, 6), (2, 3), (7, 5), (1, 4), (10, 3)])
def test_attention_in_windows_is_that_of_its_definition(shift, h, w):
    layer = random(ShiftedWindowAttention(8, 2, 3, shift))
    x = double(2, h, w, 8)
    made = layer(x)
    assert made.shape == x.shape
    assert_close(made, by_definition(layer, x, shift))


@pytest.mark.parametrize("shift", [0, 2])
def test_nobody_sees_the_padding(shift):
    layer = random(ShiftedWindowAttention(8, 2, 4, shift))
    maps = layer.attention(double(1, 5, 6, 8))
    assert maps.shape == (1, 4, 2, 16, 16)
    real = torch.zeros(1, 8, 8, 1).bool()
    real[:, :5, :6] = True
    real = split_windows(real.roll((-shift, -shift), (1, 2)), 4)[0, :, :, 0]
    hidden = maps[0].masked_select(~real[:, None, None])
    assert hidden.numel()
    assert hidden.abs().max() == 0


def test_a_window_that_covers_the_map_is_attention_with_a_kernel():
    one, all = random(ShiftedWindowAttention(8, 2, 5, 2)), RelativeAttention2d(8, 2, 5).double()
    all.load_state_dict(one.state_dict())
    x = double(2, 5, 5, 8)
    assert_close(one(x), all(x))
    assert_close(one.attention(x)[:, 0], all.attention(x))


def test_a_bias_of_rows_and_columns_is_the_relative_logits_of_equal_queries():
    window = 4
    rows, columns = double(7, 1), double(7, 1)  # chapter 8: offsets of key minus query
    q = torch.ones(4, 4, 1).double()
    layer = ShiftedWindowAttention(2, 1, window).double()
    table = rearrange(rows.flip(0), "y 1 -> y 1") + rearrange(columns.flip(0), "x 1 -> x")
    with torch.no_grad():
        layer.relative_position_bias_table.copy_(rearrange(table, "y x -> (y x) 1"))
    assert_close(layer.bias()[0], relative_logits_2d(q, rows, columns))


def test_a_shift_of_a_window_is_refused():
    with pytest.raises(ValueError, match="shift=4 must be from 0 to less than window=4"):
        ShiftedWindowAttention(8, 2, 4, 4)


def test_by_its_name_it_takes_maps():
    layer = create_attention("swin", 12, window=4, shift=2, dtype=torch.float64)
    x = double(2, 12, 9, 7)
    last = layer.layer(rearrange(x, "b c h w -> b h w c"))
    assert_close(layer(x), rearrange(last, "b h w c -> b c h w"))


# the pyramid


def test_merging_puts_four_neighbours_side_by_side():
    layer = random(PatchMerging(3))
    x = double(2, 4, 6, 3)
    four = [x[:, y::2, z::2] for z in (0, 1) for y in (0, 1)]
    assert_close(layer(x), layer.reduction(layer.norm(torch.cat(four, -1))))
    assert layer(double(2, 5, 7, 3)).shape == (2, 3, 4, 6)


COUNTS = {"T": 28_288_354, "S": 49_606_258, "B": 87_768_224, "L": 196_532_476}


@pytest.mark.parametrize("name", COUNTS)
def test_the_counts_of_swin(name):
    with torch.device("meta"):
        assert sum(p.numel() for p in swin(name).parameters()) == COUNTS[name]


def test_its_stages_halve_the_map_and_shift_in_turn():
    net = SwinTransformer(6, (2, 3), (2, 3), window=3, classes=5).double()
    x = double(2, 3, 44, 28)
    assert net(x).shape == (2, 5)
    assert [tuple(y.shape) for y in net.features(x)] == [(2, 6, 11, 7), (2, 12, 6, 4)]
    shifts = [[block.attn.shift for block in stage.blocks] for stage in net.layers]
    assert shifts == [[0, 1], [0, 1, 0]]
    with pytest.raises(ValueError, match="one of each for a stage"):
        SwinTransformer(6, (2, 3), (2,))
    with pytest.raises(ValueError, match="name='XL'"):
        swin("XL")


# a kernel inside the softmax


def test_without_content_it_is_a_depthwise_convolution_that_is_normalised():
    h, w, dim = 5, 4, 6
    layer = random(RelativeAttention2d(dim, dim, (h, w)))
    with torch.no_grad():
        layer.qkv.weight[: 2 * dim] = 0
        layer.qkv.bias[: 2 * dim] = 0
    x = double(2, h, w, dim)
    v = rearrange(layer.qkv(x)[..., 2 * dim :], "b h w dim -> b dim h w")
    table = layer.relative_position_bias_table  # (query - key), dim
    kernel = rearrange(table, "(y x) dim -> dim 1 y x", y=2 * h - 1).flip(-1, -2).exp()
    depthwise = partial(F.conv2d, weight=kernel, padding=(h - 1, w - 1), groups=dim)
    y = depthwise(v) / depthwise(torch.ones_like(v))
    assert_close(layer(x), layer.proj(rearrange(y, "b dim h w -> b h w dim")))


def test_a_kernel_for_another_size_keeps_its_middle_and_its_ends():
    layer = random(RelativeAttention2d(6, 3, (3, 5)))
    there = rearrange(layer.kernel(3, 5), "(y x) head -> y x head", y=5)
    larger = rearrange(layer.kernel(7, 4), "(y x) head -> y x head", y=13)
    assert larger.shape == (13, 7, 3)
    for y, x in ((0, 0), (-1, 0), (0, -1), (-1, -1)):
        assert_close(larger[y, x], there[y, x])
    assert_close(larger[6, 3], there[2, 4])
    assert layer(double(2, 7, 4, 6)).shape == (2, 7, 4, 6)


# the oracles


def filled(model):
    """In double precision, with no weight and no bias at its first value."""
    dice = torch.Generator().manual_seed(0)
    for name, w in model.double().eval().state_dict().items():
        if w.is_floating_point():
            scale = w[0].numel() ** -0.5 if w.dim() > 1 else 0.5
            w.copy_(scale * torch.randn(w.shape, generator=dice, dtype=w.dtype))
            if "norm" in name and name.endswith("weight"):
                w.add_(1)
    return model


@oracle("timm")
@pytest.mark.parametrize(
    ("theirs", "ours", "sides"),
    [
        ("deit_tiny_patch16_224", partial(vit, "Ti/16"), 224),
        ("vit_small_patch32_224", partial(vit, "S/32"), 224),
        ("convit_tiny", partial(convit, "Ti"), 224),
        ("swin_tiny_patch4_window7_224", partial(swin, "T"), 224),
    ],
)
def test_timms_weights_load_by_name_and_give_the_same_scores(theirs, ours, sides):
    timm = pytest.importorskip("timm")
    net = filled(timm.create_model(theirs))
    model = ours().double().eval()
    model.load_state_dict(net.state_dict())
    x = double(1, 3, sides, sides)
    with torch.no_grad():
        assert_close(model(x), net(x))


def from_torchvision(name):
    """From torchvision's names of Swin to ours."""
    name = name.replace("features.0.0.", "patch_embed.proj.")
    name = name.replace("features.0.2.", "patch_embed.norm.")
    name = re.sub(r"^head\.", "head.fc.", name)
    place = re.match(r"features\.(\d)\.(.*)", name)
    if not place:
        return name
    stage, rest = int(place[1]), place[2]
    rest = rest.replace("mlp.0", "mlp.fc1").replace("mlp.3", "mlp.fc2")
    if stage % 2 == 0:
        return f"layers.{stage // 2}.downsample.{rest}"
    return f"layers.{stage // 2}.blocks.{rest}"


@oracle("torchvision")
def test_torchvisions_swin_has_other_names_and_the_same_scores():
    net = filled(pytest.importorskip("torchvision.models").swin_t())
    kept = {n: w for n, w in net.state_dict().items() if not n.endswith("position_index")}
    model = swin("T").double().eval()
    model.load_state_dict({from_torchvision(name): w for name, w in kept.items()})
    x = double(1, 3, 224, 224)
    with torch.no_grad():
        assert_close(model(x), net(x))


@oracle("torchvision")
def test_torchvisions_vision_transformer_too():
    make = pytest.importorskip("torchvision.models").VisionTransformer
    net = filled(make(32, 8, 2, 4, 24, 48, num_classes=7))
    model = vit("B/8", dim=24, depth=2, heads=4, hidden=48, size=32, classes=7).double()
    names = {
        "class_token": "cls_token",
        "conv_proj": "patch_embed.proj",
        "encoder.pos_embedding": "pos_embed",
        r"encoder\.layers\.encoder_layer_(\d+)": r"blocks.\1",
        "ln_(1|2)": r"norm\1",
        r"self_attention\.in_proj_": "attn.qkv.",
        r"self_attention\.out_proj": "attn.proj",
        r"mlp\.0": "mlp.fc1",
        r"mlp\.3": "mlp.fc2",
        r"encoder\.ln": "norm",
        r"heads\.head": "head",
    }

    def renamed(name):
        for theirs, ours in names.items():
            name = re.sub(theirs, ours, name)
        return name

    model.load_state_dict({renamed(name): w for name, w in net.state_dict().items()})
    x = double(2, 3, 32, 32)
    assert_close(model(x), net(x))
    assert isinstance(model.head, nn.Linear)
