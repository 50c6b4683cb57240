"""The papers' printed figures, and what comes out of them here."""

import json
from importlib.resources import files

import pytest
import torch
from torch import nn

from attncourse.papers import (
    Printed,
    UnknownFigure,
    build,
    buildable,
    builds,
    compare,
    compare_all,
    contradictions,
    figure,
    figures,
    slug,
)

# ---------------------------------------------------------------- what comes out

CUT = "to the digit, cut off"
# What does not come out when it is built as its paper says. Nothing is tuned until it fits.
DEPARTS = {
    ("resnet.table1.resnet-34", "FLOPs"): CUT,
    ("resnet.table1.resnet-50", "FLOPs"): CUT,
    ("senet.table2.resnet-101", "FLOPs"): "off by -0.13 %",
    ("senet.table2.resnet-152", "FLOPs"): "off by -0.16 %",
    ("senet.table2.resnext-50", "FLOPs"): "off by -0.22 %",
    ("senet.table2.resnext-101", "FLOPs"): "off by -0.25 %",
    ("senet.table2.se-resnet-50", "FLOPs"): "off by -0.25 %",
    ("senet.table2.se-resnet-101", "FLOPs"): "off by -0.33 %",
    ("senet.table2.se-resnet-152", "FLOPs"): "off by -0.27 %",
    ("senet.table2.se-resnext-50", "FLOPs"): "off by -0.4 %",
    ("senet.table2.se-resnext-101", "FLOPs"): "off by -0.32 %",
    ("senet.table16.se", "FLOPs"): "off by -0.25 %",
    ("senet.table3.mobilenet", "parameters"): CUT,
    ("senet.table3.se-mobilenet", "FLOPs"): "off by -0.49 %",
    ("senet-cvpr.table3.mobilenet", "parameters"): CUT,
    ("senet-cvpr.table3.se-mobilenet", "FLOPs"): "off by -0.49 %",
    ("gather-excite.table1.ge-theta-all", "FLOPs"): "off by -0.17 %",
    # the figures of another model, ResNet-50 + BAM
    ("cbam.table1.resnet50+avgpool-se", "parameters"): "off by +8.4 %",
    ("cbam.table1.resnet50+avgpool-se", "FLOPs"): "off by -2 %",
    ("cbam.table1.resnet50+maxpool", "parameters"): "off by +8.4 %",
    ("cbam.table1.resnet50+maxpool", "FLOPs"): "off by -2 %",
    ("cbam.table1.resnet50+avgpool-maxpool", "parameters"): "off by +8.4 %",
    ("cbam.table1.resnet50+avgpool-maxpool", "FLOPs"): "off by -3.9 %",
    ("cbam.table2.channel", "FLOPs"): "off by +0.078 %",  # as if the MLP ran once
    ("cbam.table2.channel+spatial-1x1-conv-k3", "FLOPs"): "off by +0.17 %",
    ("aa.imagenet.resnet-34", "FLOPs"): "off by -0.98 %",
    ("aa.imagenet.aa-resnet-34", "parameters"): "off by +7.7 %",
    ("aa.imagenet.aa-resnet-34", "FLOPs"): "off by +38 %",
    ("aa.imagenet.aa-resnet-50", "FLOPs"): "off by +14 %",
    ("aa.cifar100.aa-wrn-28-10", "parameters"): "off by -0.4 %",
    ("aa.cifar100.aa-wrn-28-10", "FLOPs"): "off by +13 %",
    ("sasa.table1.resnet-38-baseline", "FLOPs"): "off by -1.1 %",
    ("sasa.table4.k3", "FLOPs"): "off by -1.4 %",
    ("sasa.table4.k11", "FLOPs"): CUT,
    ("vit.table1.vit-base", "parameters"): CUT,
    ("vit.table1.vit-large", "parameters"): "off by -0.87 %",  # patches of 32: 306.5 M
    ("deit.table1.deit-ti", "parameters"): CUT,
    ("deit.table1.deit-b", "parameters"): CUT,
    ("swin.table1.swin-t", "parameters"): "off by -2.5 %",
    ("convit.table1.convit-s", "parameters"): CUT,
    ("convit.table1.convit-s", "FLOPs"): "off by +6.4 %",  # without q k and A v: 5.35 G
    ("convit.table1.convit-b", "parameters"): CUT,
    ("convit.table1.convit-b", "FLOPs"): CUT,
    ("convit.table1.deit-s", "FLOPs"): "off by +7 %",  # without q k and A v: 4.24 G
    ("transformer.table3.base-n6-d512-ff2048-h8-dk64-dv64-p.1-ls.1-100k", "parameters"): (
        "off by -3 %"
    ),
    ("transformer.table3.big-n6-d1024-ff4096-h16-p.3-300k", "parameters"): "off by +0.58 %",
    ("openai-blog.memory.1024-text-tokens", "stored"): CUT,
    ("openai-blog.memory.1024-text-tokens", "recomputed"): CUT,
    ("openai-blog.memory.32x32x3", "stored"): CUT,
    ("openai-blog.memory.64x64x3", "stored"): CUT,
}


@pytest.mark.parametrize("id", buildable())
def test_a_printed_figure_comes_out_to_the_digit_or_is_known_not_to(id):
    compared = compare(id)
    assert compared.lines
    for line in compared.lines:
        assert line.agreement == DEPARTS.get((id, line.metric), "to the digit"), line.metric
    assert compared.agrees == all((id, line.metric) not in DEPARTS for line in compared.lines)


def test_what_departs_is_printed_and_built():
    for id, metric in DEPARTS:
        assert metric in figure(id).printed
        assert id in buildable()


@pytest.mark.parametrize(
    ("id", "parameters", "multiply_adds"),
    [
        ("cbam.table4.resnet18+se", 11_778_592, None),
        ("cbam.table4.resnet34+se", 21_958_868, None),
        ("cbam.table4.resnet50", 25_557_032, 3_857_973_248),
        ("cbam.table4.resnet50+se", 28_088_024, 3_860_488_192),
        ("cbam.table4.resnet101+se", 49_326_872, None),
        ("cbam.table4.resnet18+cbam", 11_779_392, None),
        ("cbam.table4.resnet50+cbam", 28_089_624, 3_864_362_102),
        ("bam.imagenet.resnet50+bam", 25_915_099, 3_940_120_320),
        ("aa.cifar100.wrn-28-10", 36_278_324, 2 * 5_214_550_528),
        ("aa.imagenet.resnet-50", 25_557_032, 2 * 4_089_184_256),
        # with means and variances of normalisation
        ("senet.table10.se-resnet-50-r16", 28_088_024 + 53_120, None),
        ("gather-excite.table1.ge-theta-all", 31_106_600 + 83_328, None),
    ],
)
def test_the_whole_numbers(id, parameters, multiply_adds):
    computed = {line.metric: line.computed for line in compare(id).lines}
    assert computed["parameters"] == parameters
    if multiply_adds:
        assert computed["FLOPs"] == multiply_adds


NOT_BUILT = {  # other families of networks, and detectors
    "senet.table2": {"vgg-16-bn", "bn-inception", "inception-resnet-v2"}
    | {"se-vgg-16", "se-bn-inception", "se-inception-resnet-v2"},
    "senet.table3": {"shufflenet-1x-g3", "se-shufflenet"},
    "senet-cvpr.table3": {"shufflenet-1x-g3", "se-shufflenet"},
    "cbam.table7": {"vgg16-ssd", "vgg16-stairnet", "vgg16-stairnet+se", "vgg16-stairnet+cbam"}
    | {"mobilenet-ssd", "mobilenet-stairnet", "mobilenet-stairnet+se"}
    | {"mobilenet-stairnet+cbam"},
}


@pytest.mark.parametrize(
    "paper", ["resnet", "senet", "senet-cvpr", "gather-excite", "bam", "cbam"]
)
def test_every_count_of_these_papers_is_built_or_named(paper):
    for row in figures(paper):
        table, _, name = row.id.rpartition(".")
        table = row.id[: len(".".join(row.id.split(".")[:2]))]
        name = row.id[len(table) + 1 :]
        counted = {"parameters", "FLOPs"} & set(row.printed)
        built = row.id in buildable()
        assert built == bool(counted and name not in NOT_BUILT.get(table, ())), row.id


def test_a_model_of_ones_own_is_counted_by_the_papers_rule():
    model = build("aa.imagenet.resnet-50")
    own = compare(model, "aa.imagenet.resnet-50")
    assert own == compare("aa.imagenet.resnet-50")
    # the same network, by the rules of two other papers: half the FLOPs, then the statistics
    by_cbam = {line.metric: line for line in compare(model, "cbam.table4.resnet50").lines}
    assert by_cbam["FLOPs"].computed == 4_089_184_256
    assert by_cbam["FLOPs"].agreement == "off by +6 %"
    by_senet = compare(model, "senet.table10.resnet-50-original").lines
    assert [line.computed for line in by_senet] == [25_557_032 + 53_120]


def test_a_row_that_nothing_builds_takes_a_model():
    id = "sasa.table2.conv-head-baseline"
    with pytest.raises(ValueError, match="nothing here builds"):
        compare(id)
    layer = nn.Conv2d(3, 1, 1)
    parameters = next(line for line in compare(layer, id).lines if line.metric == "parameters")
    assert parameters.computed == 4
    flops = next(line for line in compare(layer, id).lines if line.metric == "FLOPs")
    assert flops.computed == 2 * 3 * 224 * 224


def test_the_input_may_be_another():
    lines = compare(nn.Conv2d(3, 1, 1), "cbam.table4.resnet50", (1, 3, 2, 5)).lines
    assert {line.metric: line.computed for line in lines} == {"parameters": 4, "FLOPs": 30}


def test_what_cannot_be_counted_is_told():
    with pytest.raises(ValueError, match="prints top-1 error, top-5 error: nothing to count"):
        compare("senet.table14.se")


# ---------------------------------------------------------------- agreement


@pytest.mark.parametrize(
    ("printed", "unit", "computed", "says"),
    [
        ("28.09", "M", 28_089_624, "to the digit"),
        ("28.09", "M", 28_094_999, "to the digit"),
        ("28.09", "M", 28_085_000, "to the digit"),  # half of a digit goes up
        ("28.09", "M", 28_084_999, "off by -0.018 %"),
        ("28.09", "M", 28_095_000, CUT),
        ("28.09", "M", 28_099_999, CUT),
        ("28.09", "M", 28_100_000, "off by +0.036 %"),
        ("25.92", "M", 28_088_024, "off by +8.4 %"),
        ("590", "GB", 589_824_000_000, "to the digit"),
        ("1.0", "GB", 1_073_741_824, CUT),
        ("25557032", "", 25_557_032, "to the digit"),
        ("25557032", "", 25_557_033, "off by +3.9e-06 %"),
    ],
)
def test_agreement_is_by_the_digit_that_is_printed(printed, unit, computed, says):
    assert Printed(printed, unit).agrees(computed) == says


# ---------------------------------------------------------------- the data


def test_ids_are_systematic_and_each_stands_once():
    rows = figures()
    stored = json.loads(files("attncourse.papers").joinpath("papers.json").read_text("utf-8"))
    assert len(rows) == sum(len(table["rows"]) for table in stored["tables"].values())
    assert all(row.id.endswith(f".{slug(row.label)}") for row in rows)
    assert set(buildable()) <= {row.id for row in rows}
    assert slug("ResNet50 + AvgPool (SE)") == "resnet50+avgpool-se"
    assert slug("+channel+spatial (avg&max, k=7)") == "channel+spatial-avg-max-k7"


def test_every_figure_is_a_number_with_a_source_and_a_confidence():
    for row in figures():
        assert row.printed
        assert all(isinstance(printed.value, float) for printed in row.printed.values())
        assert row.confidence in {"verbatim", "second-hand", "computed"}
        assert len(row.source) > 20


def test_confidence_is_not_copied_upward():
    """Read second-hand: augmented convolution, stand-alone self-attention, BAM, and the
    transformers of chapter 12."""
    second_hand = {row.id.split(".")[0] for row in figures() if row.confidence == "second-hand"}
    recent = {"vit", "deit", "swin", "convit"}
    assert second_hand == {"aa", "sasa", "bam"} | recent
    for paper in ("aa", "sasa", "bam.imagenet", *recent):
        assert {row.confidence for row in figures(paper)} == {"second-hand"}
    assert {row.confidence for row in figures("computed")} == {"computed"}


def test_zeros_at_the_end_stand_as_they_are_printed():
    assert figure("cbam.table4.resnet50+se").printed["FLOPs"].text == "3.860"
    assert figure("cbam.table4.resnet34").printed["parameters"].text == "21.80"
    assert figure("resnet.table3.resnet-34-c").printed["top-5 error"].text == "7.40"


def test_figures_are_found_by_paper_and_by_table():
    assert {row.id.split(".")[0] for row in figures("cbam")} == {"cbam"}
    assert len(figures("cbam.table4")) == 24
    assert len(figures("bam")) == 2  # not those of CBAM


@pytest.mark.parametrize("ask", [figure, compare, build])
def test_an_unknown_id_names_the_nearest(ask):
    with pytest.raises(UnknownFigure, match=r'mean "cbam\.table4\.resnet50\+cbam"'):
        ask("cbam.table4.resnet50-cbam")


def test_an_unknown_table_names_the_nearest():
    with pytest.raises(UnknownFigure, match=r'mean "cbam\.table4"'):
        figures("cbam.tabel4")


# ---------------------------------------------------------------- shown


def test_a_comparison_shows_both_numbers_the_rule_and_the_source():
    shown = repr(compare("cbam.table1.resnet50+avgpool-se"))
    for part in ("25.92 M", "28,088,024", "off by +8.4 %", "first 1x1", "ECCV 2018"):
        assert part in shown


def test_a_table_has_a_line_for_every_figure_that_can_be_counted():
    shown = repr(compare_all("bam")).splitlines()
    assert len(shown) == 4
    words = " ".join(shown[2].split())
    assert words == "ResNet50+BAM parameters 25.92 M 25,915,099 to the digit"


def test_every_contradiction_shows_figures_that_are_printed():
    assert len(contradictions()) >= 9
    for one in contradictions():
        assert len({text for text, _ in one.figures}) > 1
        shown = repr(one)
        for text, where in one.figures:
            assert text in shown
            if where.count(".") > 1 and " " not in where:
                printed = {str(printed) for printed in figure(where).printed.values()}
                assert text in printed, (text, where)


def test_a_released_code_is_heavier_than_its_paper():
    from solutions.backbones import ResNet
    from solutions.spatial import CBAM

    with torch.device("meta"):
        lines = compare(ResNet(50, CBAM), "cbam.table4.resnet50+cbam").lines
    assert round(lines[1].computed / 1e9, 3) == 4.096


def test_without_squeeze_the_gate_looks_at_every_pixel_alone():
    gate = builds.NoSqueeze(8, 2).double()
    x = torch.randn(2, 8, 3, 5, dtype=torch.double)
    alone = gate(x[..., 1:2, 2:3])
    assert torch.allclose(gate(x)[..., 1:2, 2:3], alone)
