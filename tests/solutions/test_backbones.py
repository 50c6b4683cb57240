"""The papers' networks: what they cost, what they compute, and where attention stands."""

import importlib
import math
import re
import warnings
from functools import partial
from importlib.util import find_spec

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from attncourse.papers.counting import count
from solutions.backbones import MnasNet, MobileNet, ResNet, WideResNet
from solutions.backbones.mobile import Inverted
from solutions.backbones.residual import Basic, Bottleneck, convolution, windows
from solutions.backbones.wide import PooledShortcut, PreActivation
from solutions.channel import PLACEMENTS, GatherExcite, SqueezeExcite, placement_of
from solutions.spatial import BAM, CBAM

SE = partial(SqueezeExcite, bias=True)
RESNEXT = {"groups": 32, "width": 4}
SMALL = {"stem": "small", "classes": 100}


def weights(model):
    return sum(w.numel() for w in model.parameters())


def statistics(model):
    """What batch norms remember: their running means and variances."""
    return sum(w.numel() for name, w in model.named_buffers() if "running" in name)


def multiply_adds(model, size):
    return count(lambda: model(torch.zeros(1, 3, size, size))).multiply_adds


def oracle(name):
    """A test against a package that plain pip leaves out."""
    return pytest.mark.skipif(not find_spec(name), reason=f"no {name}")


def filled(model):
    """In double precision and evaluation mode, no bias and no statistic at 0 or 1."""
    dice = torch.Generator().manual_seed(0)
    for w in model.double().eval().state_dict().values():
        if w.dim() == 1:
            w.copy_(0.5 + torch.rand(w.shape, generator=dice, dtype=w.dtype))
    return model


def pictures(b, h, w):
    return torch.randn(b, 3, h, w, generator=torch.Generator().manual_seed(1)).double()


# counts: exact, by construction, on tensors without memory

RESIDUAL = [
    # arguments, trainable weights, multiply-adds with the stride in the 3x3, in the first 1x1
    ({"depth": 18}, 11_689_512, 1_814_073_344, 1_814_073_344),
    ({"depth": 34}, 21_797_672, 3_663_761_408, 3_663_761_408),
    ({"depth": 50}, 25_557_032, 4_089_184_256, 3_857_973_248),
    ({"depth": 101}, 44_549_160, 7_801_405_440, 7_570_194_432),
    ({"depth": 152}, 60_192_808, 11_513_626_624, 11_282_415_616),
    ({"depth": 26}, 13_696_552, 2_342_256_640, None),
    ({"depth": 38}, 19_626_792, 3_215_720_448, None),
    ({"depth": 50, **RESNEXT}, 25_028_904, 4_230_479_872, 3_768_057_856),
    ({"depth": 101, **RESNEXT}, None, 7_969_996_800, 7_507_574_784),
    ({"depth": 101, "groups": 32, "width": 8}, 88_791_336, None, None),
    ({"depth": 101, "groups": 64, "width": 4}, 83_455_272, None, None),
    ({"depth": 50, "width": 128}, 68_883_240, None, None),
    ({"depth": 101, "width": 128}, 126_886_696, None, None),
    ({"depth": 50, **SMALL}, 23_705_252, None, None),
]


@pytest.mark.parametrize(("arguments", "trainable", "late", "early"), RESIDUAL)
def test_residual_networks_cost_what_is_known(arguments, trainable, late, early):
    size = 32 if "stem" in arguments else 224
    with torch.device("meta"):
        for stride_in, expected in (("3x3", late), ("1x1", early)):
            model = ResNet(**arguments, stride_in=stride_in).eval()
            assert trainable is None or weights(model) == trainable
            assert expected is None or multiply_adds(model, size) == expected


def test_attention_adds_exactly_what_the_papers_say():
    with torch.device("meta"):
        assert weights(ResNet(50, SE)) == 28_088_024
        assert weights(ResNet(50, CBAM)) == 28_089_624
        assert weights(ResNet(18, CBAM)) == 11_779_392
        assert weights(ResNet(50, between=BAM)) == 25_915_099
        assert weights(ResNet(50, between=BAM, **SMALL)) == 24_063_319


# what the papers print, to the digit; the stride is in the first 1x1
CBAM_TABLE_4 = [
    ("11.69", "1.814", {"depth": 18}),
    ("11.78", "1.814", {"depth": 18, "attention": SE}),
    ("11.78", "1.815", {"depth": 18, "attention": CBAM}),
    ("21.80", "3.664", {"depth": 34}),
    ("21.96", "3.664", {"depth": 34, "attention": SE}),
    ("21.96", "3.665", {"depth": 34, "attention": CBAM}),
    ("25.56", "3.858", {"depth": 50}),
    ("28.09", "3.860", {"depth": 50, "attention": SE}),
    ("28.09", "3.864", {"depth": 50, "attention": CBAM}),
    ("44.55", "7.570", {"depth": 101}),
    ("49.33", "7.575", {"depth": 101, "attention": SE}),
    ("49.33", "7.581", {"depth": 101, "attention": CBAM}),
    ("25.88", "3.866", {"depth": 18, "widen": 1.5}),
    ("26.08", "3.868", {"depth": 18, "widen": 1.5, "attention": CBAM}),
    ("45.62", "6.696", {"depth": 18, "widen": 2}),
    ("45.97", "6.696", {"depth": 18, "widen": 2, "attention": SE}),
    ("45.97", "6.697", {"depth": 18, "widen": 2, "attention": CBAM}),
    ("25.03", "3.768", {"depth": 50, **RESNEXT}),
    ("27.56", "3.771", {"depth": 50, **RESNEXT, "attention": SE}),
    ("27.56", "3.774", {"depth": 50, **RESNEXT, "attention": CBAM}),
    ("44.18", "7.508", {"depth": 101, **RESNEXT}),
    ("48.96", "7.519", {"depth": 101, **RESNEXT, "attention": CBAM}),
    ("25.92", "3.940", {"depth": 50, "between": BAM}),
]


def printed(model, digits, size=224):
    """Millions of weights and billions of multiply-adds, as a table prints them."""
    model = model.eval()
    return f"{weights(model) / 1e6:.2f}", f"{multiply_adds(model, size) / 1e9:.{digits}f}"


@pytest.mark.parametrize(("millions", "billions", "arguments"), CBAM_TABLE_4)
def test_rows_of_cbam_and_bam_come_out(millions, billions, arguments):
    with torch.device("meta"):
        assert printed(ResNet(stride_in="1x1", **arguments), 3) == (millions, billions)


@pytest.mark.parametrize(
    ("billions", "arguments"),
    [
        (3.87, {"depth": 50, "stride_in": "1x1"}),
        (7.60, {"depth": 101, "stride_in": "1x1"}),
        (11.32, {"depth": 152, "stride_in": "1x1"}),
        (4.25, {"depth": 50, **RESNEXT}),
        (8.00, {"depth": 101, **RESNEXT}),
    ],
)
def test_senet_prints_a_little_more_than_is_counted(billions, arguments):
    """By up to half a per cent, without and with its blocks; ResNeXt has the late stride."""
    with torch.device("meta"):
        counted = multiply_adds(ResNet(attention=SE, **arguments).eval(), 224) / 1e9
    assert 0.995 * billions < counted < billions


@pytest.mark.parametrize(
    ("depth", "trainable"), [(26, 10_329_640), (38, 14_170_920), (50, 18_012_200)]
)
def test_stand_alone_attention_saves_six_ninths_of_every_3x3(depth, trainable):
    """Queries, keys and values are as many weights as three 1x1 convolutions."""

    def projections(channels, out_channels, stride, stage):
        return nn.Conv2d(channels, 3 * out_channels, 1, bias=False)

    with torch.device("meta"):
        assert weights(ResNet(depth, spatial=projections)) == trainable


@pytest.mark.parametrize(
    ("reduction", "millions"), [(4, "35.7"), (8, "30.7"), (16, "28.1"), (32, "26.9")]
)
def test_senet_counts_running_statistics_as_weights(reduction, millions):
    with torch.device("meta"):
        model = ResNet(50, partial(SE, reduction=reduction))
    assert f"{(weights(model) + statistics(model)) / 1e6:.1f}" == millions


@pytest.mark.parametrize(
    ("stages", "millions"),
    [((1,), "28.0"), ((2,), "27.2"), ((3,), "26.8"), ((1, 2, 3, 4), "31.2")],
)
def test_gather_excite_counts_running_statistics_as_weights(stages, millions):
    """The paper's stages 2, 3, 4 are the first three: its first is the stem."""

    def gate(channels):
        side = 56 * 256 // channels
        return GatherExcite(channels, (side, side), learned=True)

    with torch.device("meta"):
        model = ResNet(50, gate, stages=stages, stride_in="1x1").eval()
        multiply_adds(model, 224)  # the filters are as large as the maps
    assert f"{(weights(model) + statistics(model)) / 1e6:.1f}" == millions


WIDE = [
    ({"depth": 28, "widen": 10}, 36_536_884, 5_243_386_368),
    ({"depth": 28, "widen": 10, "shortcut": "pooled"}, 36_278_324, 5_214_550_528),
    ({"depth": 28, "widen": 10, "classes": 10}, 36_479_194, None),
    ({"depth": 28, "widen": 8}, 23_401_012, None),
    ({"depth": 16, "widen": 8, "classes": 10}, 10_961_370, None),
    ({"depth": 40, "widen": 4, "classes": 10}, 8_949_210, None),
    ({"depth": 110, "widen": 1}, 1_736_372, 253_155_584),
    ({"depth": 164, "widen": 1, "bottleneck": True}, 1_726_388, 247_669_760),
]


@pytest.mark.parametrize(("arguments", "trainable", "expected"), WIDE)
def test_wide_networks_cost_what_is_known(arguments, trainable, expected):
    with torch.device("meta"):
        model = WideResNet(**arguments).eval()
        assert weights(model) == trainable
        assert expected is None or multiply_adds(model, 32) == expected


# networks for 32 x 32 and 100 classes; BAM's PreResNet-110 is one of 164 layers
CIFAR_100 = [
    ("23.71", "1.22", lambda: ResNet(50, stride_in="1x1", **SMALL)),
    ("24.06", "1.25", lambda: ResNet(50, stride_in="1x1", between=BAM, **SMALL)),
    ("34.52", "4.98", lambda: ResNet(29, stride_in="1x1", groups=8, **SMALL)),
    ("34.60", "5.00", lambda: ResNet(29, stride_in="1x1", groups=8, between=BAM, **SMALL)),
    ("23.42", "3.36", lambda: WideResNet(28, 8, between=BAM)),
    ("36.54", "5.24", lambda: WideResNet(28, 10)),
    ("36.57", "5.25", lambda: WideResNet(28, 10, between=BAM)),
    ("1.73", "0.24", lambda: WideResNet(164, 1, stride_in="1x1", bottleneck=True)),
    ("36.28", "5.21", lambda: WideResNet(28, 10, GatherExcite, shortcut="pooled")),
    ("36.55", "5.21", lambda: WideResNet(28, 10, SqueezeExcite, shortcut="pooled")),
]


@pytest.mark.parametrize(("millions", "billions", "model"), CIFAR_100)
def test_networks_for_small_pictures_cost_what_is_counted(millions, billions, model):
    with torch.device("meta"):
        assert printed(model(), 2, size=32) == (millions, billions)


EVERYWHERE = ("stem", "depthwise", "pointwise")


@pytest.mark.parametrize(
    ("millions", "billions", "model"),
    [
        ("4.23", "0.569", MobileNet),
        ("5.07", "0.570", partial(MobileNet, SE, after=EVERYWHERE)),
        ("5.07", "0.576", partial(MobileNet, CBAM, after=EVERYWHERE)),
        ("4.72", "0.569", partial(MobileNet, SE)),
        ("4.32", "0.589", partial(MobileNet, between=BAM)),
        ("2.30", "0.283", partial(MobileNet, widen=0.7)),
        ("2.91", "0.223", partial(MnasNet, widen=0.75)),
        ("3.89", "0.312", MnasNet),
    ],
)
def test_mobile_networks_cost_what_the_papers_print(millions, billions, model):
    with torch.device("meta"):
        assert printed(model(), 3) == (millions, billions)


@pytest.mark.parametrize(
    ("widen", "trainable"),
    [(0.5, 2_218_512), (0.75, 3_170_208), (1, 4_383_312), (1.3, 6_282_256)],
)
def test_the_searched_network_without_excitation_is_torchvisions(widen, trainable):
    with torch.device("meta"):
        assert weights(MnasNet("B1", widen=widen)) == trainable


# names and other people's networks


def torchvision_names(blocks, layers):
    """The weights of torchvision's residual networks, in its order."""

    def norm(name):
        ends = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
        return [f"{name}.{end}" for end in ends]

    names = ["conv1.weight", *norm("bn1")]
    for stage, number in enumerate(blocks, start=1):
        for block in range(number):
            here = f"layer{stage}.{block}"
            for layer in range(1, layers + 1):
                names += [f"{here}.conv{layer}.weight", *norm(f"{here}.bn{layer}")]
            if block == 0 and (stage > 1 or layers == 3):
                names += [f"{here}.downsample.0.weight", *norm(f"{here}.downsample.1")]
    return [*names, "fc.weight", "fc.bias"]


@pytest.mark.parametrize(
    ("depth", "blocks", "layers"),
    [(18, (2, 2, 2, 2), 2), (34, (3, 4, 6, 3), 2), (50, (3, 4, 6, 3), 3)],
)
def test_weights_have_torchvisions_names_in_its_order(depth, blocks, layers):
    with torch.device("meta"):
        assert list(ResNet(depth).state_dict()) == torchvision_names(blocks, layers)


def test_the_names_of_torchvisions_mnasnet():
    with torch.device("meta"):
        names = list(MnasNet("B1").state_dict())
    assert names[0] == "layers.0.weight"
    assert names[-1] == "classifier.1.bias"
    assert {"layers.6.weight", "layers.8.0.layers.3.weight", "layers.14.weight"} <= set(names)


@oracle("torchvision")
@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("resnet18", partial(ResNet, 18)),
        ("resnet50", partial(ResNet, 50)),
        ("resnext50_32x4d", partial(ResNet, 50, **RESNEXT)),
        ("wide_resnet50_2", partial(ResNet, 50, width=128)),
        ("mnasnet0_5", partial(MnasNet, "B1", widen=0.5)),
    ],
)
def test_torchvisions_weights_load_by_name(name, ours):
    theirs = filled(getattr(pytest.importorskip("torchvision.models"), name)())
    model = ours().double().eval()
    model.load_state_dict(theirs.state_dict())
    x = pictures(2, 33, 47)
    assert_close(model(x), theirs(x))


def renamed(name):
    """From pytorchcv's names of the weights of a residual network to torchvision's."""
    name = name.replace("features.init_block.conv.conv", "conv1")
    name = name.replace("features.init_block.conv.bn", "bn1").replace("output", "fc")
    place = re.match(r"features\.stage(\d)\.unit(\d+)\.(.*)", name)
    if not place:
        return name
    stage, block, rest = int(place[1]), int(place[2]) - 1, place[3]
    if rest.startswith("bam."):
        return f"between{stage - 1}.{rest.removeprefix('bam.')}"
    rest = re.sub(r"body\.conv(\d)\.(conv|bn)", r"\2\1", rest.replace("res_unit.", ""))
    rest = rest.replace("identity_conv.conv", "downsample.0")
    rest = rest.replace("identity_conv.bn", "downsample.1")
    rest = re.sub(r"^(se|cbam)\.", "attention.", rest)
    return f"layer{stage}.{block}.{rest}"


def theirs_from(module, name):
    """A network of pytorchcv: its package imports torchvision, its modules do not."""
    pytest.importorskip("pytorchcv")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return getattr(importlib.import_module(f"pytorchcv.models.{module}"), name)


PYTORCHCV = [
    ("resnet", "resnet18", {"depth": 18}, None),
    ("resnet", "resnet50", {"depth": 50, "stride_in": "1x1"}, None),
    ("resnet", "resnet50b", {"depth": 50}, None),
    ("resnext", "resnext50_32x4d", {"depth": 50, **RESNEXT}, None),
    ("seresnet", "seresnet50b", {"depth": 50}, ("common.att", "SEBlock", "attention")),
    ("cbamresnet", "cbam_resnet18", {"depth": 18}, ("cbamresnet", "CbamBlock", "attention")),
    ("bamresnet", "bam_resnet50", {"depth": 50}, ("bamresnet", "BamBlock", "between")),
]


@oracle("pytorchcv")
@pytest.mark.parametrize(("module", "name", "arguments", "place"), PYTORCHCV)
def test_residual_networks_compute_what_pytorchcvs_do(module, name, arguments, place):
    """The same weights, and in the place for attention pytorchcv's own module."""
    theirs = filled(theirs_from(module, name)(in_size=(64, 64)))
    if place:
        arguments = {**arguments, place[2]: theirs_from(place[0], place[1])}
    ours = ResNet(**arguments).double().eval()
    ours.load_state_dict({renamed(k): w for k, w in theirs.state_dict().items()})
    theirs.features.final_pool = nn.AdaptiveAvgPool2d(1)
    x = pictures(2, 65, 64)
    assert_close(ours(x), theirs(x))


def copied(ours, theirs):
    """Their weights in our network, which has them in the same order."""
    mine, given = ours.state_dict(), list(theirs.state_dict().values())
    assert len(mine) == len(given)
    for w, g in zip(mine.values(), given, strict=True):
        w.copy_(g.reshape(w.shape))  # some have 1x1 convolutions for linear layers
    return ours.double().eval()


@oracle("pytorchcv")
def test_wide_networks_compute_what_pytorchcvs_do():
    net = theirs_from("wrn_cifar", "CIFARWRN")
    theirs = filled(net([[8, 8], [16, 16], [32, 32]], 16, num_classes=7))
    ours = copied(WideResNet(16, 0.5, classes=7).double(), theirs)
    x = pictures(2, 32, 32)
    assert_close(ours(x), theirs(x))


@oracle("pytorchcv")
def test_bottlenecks_behind_activation_compute_what_pytorchcvs_do():
    net = theirs_from("preresnet_cifar", "CIFARPreResNet")
    theirs = filled(net([[64] * 2, [128] * 2, [256] * 2], 16, bottleneck=True, num_classes=7))
    ours = copied(WideResNet(20, 1, classes=7, bottleneck=True).double(), theirs)
    x = pictures(2, 32, 32)
    assert_close(ours(x), theirs(x))


@oracle("pytorchcv")
@pytest.mark.parametrize(
    ("module", "name", "ours"),
    [
        ("mobilenet", "mobilenet_wd4", partial(MobileNet, widen=0.25)),
        ("mnasnet", "mnasnet_a1", partial(MnasNet, "A1")),
        ("mnasnet", "mnasnet_b1", partial(MnasNet, "B1")),
    ],
)
def test_mobile_networks_compute_what_pytorchcvs_do(module, name, ours):
    theirs = filled(theirs_from(module, name)())
    theirs.features.final_pool = nn.AdaptiveAvgPool2d(1)
    x = pictures(2, 65, 64)
    assert_close(copied(ours().double(), theirs)(x), theirs(x))


# the place for attention


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


# the place of the 3x3


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


# shortcuts, groups, the start


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


# any picture


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
