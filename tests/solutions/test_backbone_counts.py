"""What the papers print of residual networks with attention, to the digit."""

from functools import partial

import pytest
import torch
from backbones_parts import RESNEXT, SE, weights
from torch import nn

from attncourse.papers.counting import count
from solutions.backbones import MnasNet, MobileNet, ResNet, WideResNet
from solutions.channel import GatherExcite, SqueezeExcite
from solutions.spatial import BAM, CBAM

SMALL = {"stem": "small", "classes": 100}


def statistics(model):
    """What batch norms remember: their running means and variances."""
    return sum(w.numel() for name, w in model.named_buffers() if "running" in name)


def multiply_adds(model, size):
    return count(lambda: model(torch.zeros(1, 3, size, size))).multiply_adds


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
