"""Where attention stands in a backbone, what replaces a 3x3, and any picture."""

import math
from functools import partial

import pytest
import torch
from backbones_parts import SE, filled, pictures, weights
from torch import nn
from torch.testing import assert_close

from solutions.backbones import MnasNet, MobileNet, ResNet, WideResNet
from solutions.backbones.mobile import Inverted
from solutions.backbones.residual import Basic, Bottleneck, convolution, windows
from solutions.backbones.wide import PooledShortcut, PreActivation
from solutions.channel import PLACEMENTS, placement_of
from solutions.spatial import CBAM


class Own(nn.Module):
    """A module out of a function."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_a_block_has_its_attention_where_it_was_asked_for(placement):
    def block(x, branch, gate):
        made = Basic(1, 1, 1, windows(None, 1), lambda channels: Own(gate), placement)
        made.branch = branch
        return made(x)

    assert placement_of(block) == placement


def test_before_the_branch_attention_has_the_width_of_what_comes_in():
    seen = {placement: [] for placement in PLACEMENTS}
    for placement, widths in seen.items():
        with torch.device("meta"):
            ResNet(26, lambda c, w=widths: w.append(c) or nn.Identity(), placement=placement)
    assert seen["pre"] == [64, 256, 512, 512, 1024, 1024, 1024, 1024]
    assert seen["standard"] == [256, 512, 512, 1024, 1024, 1024, 1024, 2048]
    assert seen["standard"] == seen["post"] == seen["identity"]


NETWORKS = [
    partial(ResNet, 18, widen=0.25, classes=5),
    partial(ResNet, 26, widen=0.25, classes=5),
    partial(WideResNet, 10, 1, classes=5),
    partial(WideResNet, 10, 1, classes=5, shortcut="pooled"),
    partial(WideResNet, 11, 1, classes=5, bottleneck=True),
    partial(MobileNet, widen=0.25, classes=5),
    partial(MnasNet, widen=0.25, classes=5),
]


@pytest.mark.parametrize("network", NETWORKS)
def test_attention_that_does_nothing_changes_nothing(network):
    plain = filled(network())
    gated = network(attention=lambda channels: nn.Identity()).double().eval()
    gated.load_state_dict(
        dict(zip(gated.state_dict(), plain.state_dict().values(), strict=True))
    )
    x = pictures(2, 33, 29)
    assert_close(gated(x), plain(x))


def silence(channels):
    """In the place for attention: nothing gets through."""
    return Own(torch.zeros_like)


@pytest.mark.parametrize(
    "block",
    [
        Basic(3, 4, 2, windows(None, 1), silence, "standard"),
        Bottleneck(3, 1, 2, windows(None, 1), silence, "standard", 5, "3x3"),
    ],
)
def test_attention_that_lets_nothing_through_leaves_the_shortcut(block):
    x = pictures(2, 5, 7)
    filled(block)
    assert_close(block(x), block.downsample(x).relu())


@pytest.mark.parametrize("bottleneck", [False, True])
def test_behind_activation_too(bottleneck):
    x = pictures(2, 5, 7)
    for pooled in (False, True):
        block = PreActivation(3, 8, 2, windows(None, 1), silence, pooled, bottleneck, "1x1")
        filled(block)
        active = block.bn(x).relu()
        assert_close(block(x), block.shortcut(x) if pooled else block.project(active))


def test_in_an_inverted_bottleneck_attention_stands_in_the_wide_middle():
    seen = []
    block = filled(Inverted(4, 4, 3, 5, 1, lambda c: seen.append(c) or silence(c)))
    x = torch.randn(2, 4, 5, 7).double()
    assert seen == [12]
    assert_close(block(x), x + block.layers[-1](torch.zeros_like(x)))


def names_with(model, word):
    return {name.split(".")[0] for name, _ in model.named_parameters() if word in name}


@pytest.mark.parametrize("network", [partial(ResNet, 26), partial(WideResNet, 10, 1)])
def test_stages_that_were_not_asked_for_have_no_attention(network):
    with torch.device("meta"):
        assert names_with(network(CBAM, stages=(2, 3)), "attention") == {"layer2", "layer3"}
        assert names_with(network(CBAM, stages=()), "attention") == set()


def test_between_stands_behind_all_stages_but_the_last():
    for model, widths in (
        (partial(ResNet, 50), [256, 512, 1024]),
        (partial(ResNet, 29), [256, 512]),
        (partial(WideResNet, 28, 10), [160, 320]),
        (MobileNet, [128, 256, 512]),
    ):
        seen = []
        with torch.device("meta"):
            model(between=lambda c, seen=seen: seen.append(c) or nn.Identity())
        assert seen == widths


def test_what_stands_between_sees_the_maps_of_the_stage_before():
    model = filled(ResNet(18, widen=0.25, between=lambda c: Own(lambda x: 0 * x)))
    silent = model.features(pictures(2, 33, 47))
    assert_close(silent, model.layer4(torch.zeros(2, 64, 3, 3).double())[..., :2, :2])


def test_every_3x3_of_a_residual_network_can_be_replaced():
    seen = []

    def spatial(channels, out_channels, stride, stage):
        seen.append((channels, out_channels, stride, stage))

    with torch.device("meta"):
        ResNet(26, spatial=spatial)
        assert seen == [
            (64, 64, 1, 1),
            *[(128, 128, 2, 2), (128, 128, 1, 2)],
            *[(256, 256, 2, 3), (256, 256, 1, 3), (256, 256, 1, 3), (256, 256, 1, 3)],
            (512, 512, 2, 4),
        ]
        seen.clear()
        ResNet(18, spatial=spatial)
        assert seen[3:6] == [(64, 64, 1, 1), (64, 128, 2, 2), (128, 128, 1, 2)]
        seen.clear()
        ResNet(50, spatial=spatial, stride_in="1x1")
        assert {stride for _, _, stride, _ in seen} == {1}


def test_in_a_wide_network_it_is_the_first_of_each_block():
    seen = []
    with torch.device("meta"):
        WideResNet(16, 1, spatial=lambda *place: seen.append(place))
    assert seen == [
        *[(16, 16, 1, 1), (16, 16, 1, 1)],
        *[(16, 32, 2, 2), (32, 32, 1, 2)],
        *[(32, 64, 2, 3), (64, 64, 1, 3)],
    ]


def test_what_replaces_a_3x3_is_used_and_none_keeps_it():
    def spatial(channels, out_channels, stride, stage):
        """A 1x1 and pooling, in the last two stages."""
        if stage > 2:
            pool = nn.AvgPool2d(stride, ceil_mode=True)
            return nn.Sequential(nn.Conv2d(channels, out_channels, 1, bias=False), pool)

    with torch.device("meta"):
        model = ResNet(50, spatial=spatial)
        saved = 8 * (6 * 256**2 + 3 * 512**2)  # each has a ninth of the weights
        assert weights(ResNet(50)) - weights(model) == saved
    model = filled(ResNet(26, widen=0.25, spatial=spatial, classes=5))
    assert model(pictures(2, 33, 29)).shape == (2, 5)


def test_a_stem_of_ones_own():
    stem = nn.Conv2d(1, 64, 3, padding=1)
    model = ResNet(18, widen=0.25, stem=stem, classes=5).eval()
    digits = torch.rand(3, 1, 8, 8)
    assert_close(
        model.features(digits),
        model.layer4(model.layer3(model.layer2(model.layer1(stem(digits).relu())))),
    )
    assert model(digits).shape == (3, 5)


@pytest.mark.parametrize(("h", "w"), [(4, 6), (5, 7), (1, 3), (1, 1)])
def test_a_pooled_shortcut_takes_means_and_pads_with_zeros(h, w):
    x = torch.randn(2, 3, h, w).double()
    y = PooledShortcut(3, 8, 2)(x)
    assert y.shape == (2, 8, -(-h // 2), -(-w // 2))
    for i in range(y.shape[2]):
        for j in range(y.shape[3]):
            there = x[:, :, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2]
            assert_close(y[:, 2:5, i, j], there.mean((2, 3)))
    assert not y[:, :2].any()
    assert not y[:, 5:].any()


def test_groups_do_not_see_each_other():
    block = filled(Bottleneck(8, 2, 1, windows(None, 1, 2), None, "standard", 4, "3x3"))
    x = torch.randn(1, 4, 5, 7).double()
    y = block.conv2(x)
    x[:, :2] += 1
    assert_close(block.conv2(x)[:, 2:], y[:, 2:])
    assert not torch.equal(block.conv2(x)[:, :2], y[:, :2])


@pytest.mark.parametrize(("window", "groups"), [(1, 1), (3, 1), (3, 4)])
def test_weights_start_so_that_gradients_keep_their_size(window, groups):
    weight = convolution(64, 128, window, groups=groups).weight
    expected = math.sqrt(2 / (window**2 * 128))
    assert weight.std().item() == pytest.approx(expected, rel=0.05)
    assert abs(weight.mean().item()) < 0.05 * expected


@pytest.mark.parametrize("depth", [18, 26])
def test_blocks_can_start_as_their_shortcut(depth):
    model = ResNet(depth, widen=0.25, zero_init=True).eval()
    x = torch.rand(2, 3, 33, 47)
    y = model.maxpool(model.bn1(model.conv1(x)).relu())
    for stage in (1, 2, 3, 4):
        for block in getattr(model, f"layer{stage}"):
            y = block.downsample(y).relu()
    assert_close(model.features(x), y)


@pytest.mark.parametrize("network", [*NETWORKS, partial(ResNet, 18, stem="small", classes=5)])
@pytest.mark.parametrize(("h", "w"), [(32, 32), (33, 47), (7, 64), (1, 1), (1, 9)])
def test_pictures_of_any_size(network, h, w):
    model = network(attention=lambda c: SE(c, 4)).eval()
    assert model(torch.rand(2, 3, h, w)).shape == (2, 5)
    assert model(torch.rand(0, 3, h, w)).shape == (0, 5)


@pytest.mark.parametrize("network", NETWORKS)
def test_images_do_not_mix(network):
    model = filled(network())
    x = pictures(3, 33, 29)
    assert_close(model(x)[1:2], model(x[1:2]))


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_any_precision_and_any_layout_in_memory(network, dtype):
    model = network().to(dtype).eval()
    x = torch.rand(2, 40, 24, 3, dtype=dtype).movedim(3, 1)
    y = model(x)
    assert y.dtype == dtype
    assert y.isfinite().all()
    if dtype == torch.float64:
        assert_close(y, model(x.contiguous()))


@pytest.mark.parametrize("network", NETWORKS)
def test_everything_learns(network):
    model = network(attention=lambda c: SE(c, 4))
    model(torch.rand(4, 3, 32, 32)).square().sum().backward()
    assert all(w.grad is not None and w.grad.any() for w in model.parameters())


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: ResNet(42), r"depth=42 is none of \[18, 26, 29, 34, 38, 50, 101, 152\]"),
        (lambda: ResNet(18, groups=32, width=4), "depth=18 has no bottlenecks for groups=32"),
        (lambda: ResNet(50, stem="cifar"), "stem='cifar' is neither"),
        (lambda: ResNet(50, stride_in="2x2"), "stride_in='2x2' is neither"),
        (lambda: ResNet(50, placement="after"), "placement='after' is none of standard"),
        (lambda: ResNet(50, stages=(0, 1)), r"stages=\(0, 1\) has others"),
        (lambda: WideResNet(29), "depth=29 is not 6 n"),
        (lambda: WideResNet(28, bottleneck=True), "depth=28 is not 9 n"),
        (lambda: WideResNet(4), "depth=4 is not"),
        (lambda: WideResNet(shortcut="zero"), "shortcut='zero' is neither"),
        (lambda: WideResNet(stride_in="2x2"), "stride_in='2x2' is neither"),
        (lambda: WideResNet(stages=(4,)), r"stages=\(4,\) has others"),
        (lambda: MobileNet(SE, after="pointwise"), "after='pointwise' has others"),
        (lambda: MnasNet("C1"), "kind='C1' is none of A1, B1"),
    ],
)
def test_what_does_not_exist_is_told_in_one_line(build, message):
    with torch.device("meta"), pytest.raises(ValueError, match=message) as error:
        build()
    assert "\n" not in str(error.value)
