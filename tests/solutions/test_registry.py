"""Every mechanism by its name: on a map, in a block of a residual network, its arguments."""

from functools import partial

import pytest
import torch
from every_layer import library_layers
from torch import nn
from torch.testing import assert_close

import solutions
from solutions import fast
from solutions.backbones.residual import Basic, windows
from solutions.multi_head import MultiHeadAttention
from solutions.registry import (
    ENTRIES,
    ChannelsLast,
    Pixels,
    create_attention,
    divisor,
    list_attention,
)
from solutions.spatial import CBAM

NAMES = pytest.mark.parametrize("name", ENTRIES)
# Layers that make no map of a map: heads, parts of others, and what goes around attention.
OTHERS = {
    "AttentionStem",
    "Block",
    "ChannelBranch",
    "ChannelsLast",
    "ConViT",
    "CoordConv2d",
    "DANetHead",
    "DecoderLayer",
    "FeaturePyramid",
    "FeedForward",
    "LearnedPositions",
    "Mlp",
    "PatchEmbedding",
    "PatchMerging",
    "Pixels",
    "PreNormBlock",
    "ProjectedSpatialGate",
    "Residual",
    "RetinaNet",
    "SelfAttention",
    "ShiftedWindowAttention2d",
    "SmallResNet",
    "SparseTransformer",
    "SpatialBranch",
    "SpatialValues",
    "SwinStage",
    "SwinTransformer",
    "Transformer",
    "VisionTransformer",
}


def test_every_layer_that_attends_has_a_name():
    named = {entry.place.split(".")[1] for entry in ENTRIES.values()}
    there = {c.__name__ for c in library_layers() if "backbones" not in c.__module__}
    assert there - OTHERS == named


@NAMES
@pytest.mark.parametrize("channels", [12, 64])
@pytest.mark.parametrize(("h", "w"), [(3, 5), (4, 1)])
def test_a_map_becomes_a_map(name, channels, h, w):
    layer = create_attention(name, channels, dtype=torch.float64)
    x = torch.randn(2, channels, h, w, dtype=torch.float64, requires_grad=True)
    y = layer(x)
    assert y.shape == x.shape
    assert y.dtype == x.dtype
    y.square().sum().backward()
    assert x.grad.isfinite().all()
    assert x.grad.abs().sum() > 0


@NAMES
def test_a_block_of_a_residual_network_learns_with_it(name):
    gate = partial(create_attention, name)
    block = Basic(10, 12, 2, windows(None, 1), gate, "standard")
    for layer in block.modules():
        if isinstance(layer, nn.Dropout):
            layer.p = 0.0
    rate = torch.optim.SGD(block.parameters(), 1e-3)
    x, losses = torch.randn(3, 10, 7, 6), []
    for _ in range(2):
        loss = (block(x) - 1).square().mean()
        losses.append(loss.item())
        rate.zero_grad()
        loss.backward()
        rate.step()
    assert block(x).shape == (3, 12, 4, 3)
    assert losses[1] < losses[0]


@NAMES
def test_the_fast_one_is_the_same_with_the_same_weights(name):
    plain, quick = (create_attention(name, 16, fast=f).double().eval() for f in (False, True))
    quick.load_state_dict(plain.state_dict())
    x = torch.randn(2, 16, 5, 3, dtype=torch.float64)
    assert_close(quick(x), plain(x))
    inner = quick.layer if isinstance(quick, Pixels | ChannelsLast) else quick
    assert type(inner).__module__.startswith("solutions.fast") == hasattr(
        fast, type(inner).__name__
    )


TOO_ODD = {(name, n) for name in ("augmented", "stand_alone") for n in (1, 2, 7, 17)}
TOO_ODD -= {("augmented", 17), ("stand_alone", 2)}


@NAMES
def test_no_width_is_too_odd_unless_it_is_told(name):
    """Primes and 1: made, or refused with the number."""
    for channels in (1, 2, 7, 17):
        if (name, channels) in TOO_ODD:
            with pytest.raises(ValueError, match=str(channels)):
                create_attention(name, channels)
            continue
        layer = create_attention(name, channels)
        x = torch.randn(2, channels, 4, 5)
        assert layer(x).shape == x.shape


def test_what_is_asked_for_is_never_changed():
    assert create_attention("se", 24).down.out_features == 2  # 12 divides 24, 16 does not
    with pytest.raises(ValueError, match="channels=24 is not a multiple of reduction=16"):
        create_attention("se", 24, reduction=16)
    with pytest.raises(ValueError, match="take 80 channels"):
        create_attention("augmented", 64, heads=8)
    assert create_attention("augmented", 64, upsilon=0.5).heads == 8
    assert create_attention("multi_head", 12, heads=3).layer.heads == 3


@pytest.mark.parametrize(
    "name", ["CBAM", "cbam", "squeeze-excite", "SqueezeExcite", "nonlocal", "Non-Local", "SE"]
)
def test_names_are_read_generously(name):
    assert isinstance(create_attention(name, 16), nn.Module)


@pytest.mark.parametrize(
    ("name", "meant"), [("cbm", "cbam"), ("squeeze_excit", "se"), ("nonlocl", "non_local")]
)
def test_an_unknown_name_is_told_the_nearest(name, meant):
    with pytest.raises(ValueError, match=f"no attention '{name}': did you mean '{meant}'"):
        create_attention(name, 16)


def test_a_name_like_none_is_told_all():
    with pytest.raises(ValueError, match="there are additive, augmented, bam, cbam"):
        create_attention("xyzzy", 16)


@pytest.mark.parametrize("channels", [0, -4])
def test_channels_must_be_a_number_of_them(channels):
    with pytest.raises(ValueError, match=f"channels={channels} must be a whole number"):
        create_attention("cbam", channels)


def test_an_argument_that_the_layer_has_not_is_refused():
    with pytest.raises(TypeError, match="redukt"):
        create_attention("cbam", 16, redukt=4)


def test_the_list_is_in_order_and_says_what_each_is():
    names = list_attention()
    assert list(names) == sorted(names)
    assert all(names.values())
    assert solutions.create_attention is create_attention
    assert isinstance(solutions.create_attention("cbam", 16), CBAM)
    assert isinstance(create_attention("multi_head", 8).layer, MultiHeadAttention)
    with pytest.raises(AttributeError, match="nothing_such"):
        solutions.nothing_such  # noqa: B018
    assert [divisor(*pair) for pair in ((24, 16), (7, 16), (17, 16), (1, 8))] == [12, 7, 1, 1]
