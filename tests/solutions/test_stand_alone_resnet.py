"""Residual networks without convolutions: what they are made of, and the paper's figures."""

import pytest
import torch
from torch import nn

from attncourse.papers.cost import cost
from solutions.backbones.stand_alone import StandAloneResNet
from solutions.stand_alone import AttentionStem, StandAloneSelfAttention2d


def count_of(kind, model):
    return sum(isinstance(module, kind) for module in model.modules())


def on_meta(**options):
    """A network of which only the shapes exist."""
    with torch.device("meta"):
        return StandAloneResNet(**options)


def parameters(model, tables=True):
    """Trained weights, with or without the tables of rows and columns."""
    return sum(
        p.numel()
        for name, p in model.named_parameters()
        if tables or name.rpartition(".")[2] not in ("rows", "columns")
    )


def flops(model):
    """As the paper counts them: twice the multiply-adds of one image."""
    spent = cost(model, (1, 3, 224, 224))
    return 2 * (spent.multiply_adds + spent.attention)


@pytest.mark.parametrize(
    ("depth", "with_tables", "without", "giga"),
    [
        (26, 10_342_632, 10_329_640, 4.484),
        (38, 14_190_632, 14_170_920, 5.725),
        (50, 18_038_632, 18_012_200, 6.966),
    ],
)
def test_parameters_and_flops_of_networks_with_a_convolution_in_the_stem(
    depth, with_tables, without, giga
):
    """Printed: 10.3 M, 4.5 G; nothing for 38; 18.0 M, 7.0 G (table 1)."""
    model = on_meta(depth=depth)
    assert parameters(model) == with_tables
    assert parameters(model, tables=False) == without
    assert flops(model) / 1e9 == pytest.approx(giga, abs=5e-4)


@pytest.mark.parametrize(
    ("depth", "weights", "giga"), [(26, 10_335_016, 4.698), (50, 18_031_016, 7.180)]
)
def test_parameters_and_flops_of_networks_without_any_convolution(depth, weights, giga):
    """Printed: 10.3 M, 4.7 G; 18.0 M, 7.2 G (table 1)."""
    model = on_meta(depth=depth, stem="attention")
    assert parameters(model) == weights
    assert flops(model) / 1e9 == pytest.approx(giga, abs=5e-4)


def test_a_stem_with_one_matrix_for_all_places_costs_what_table_7_says():
    """Printed: 7.1 G stand-alone, 7.2 G with values that know their place."""
    with torch.device("meta"):
        stem = AttentionStem(mixtures=1)
    assert flops(on_meta(stem=stem)) / 1e9 == pytest.approx(7.10, abs=5e-3)


@pytest.mark.parametrize(("window", "giga"), [(3, 6.509), (5, 6.692), (9, 7.332), (11, 7.790)])
def test_flops_of_other_windows(window, giga):
    """Printed: 6.6, 6.7, 7.3, 7.7 (table 4). The first and the last do not come out."""
    assert flops(on_meta(window=window)) / 1e9 == pytest.approx(giga, abs=5e-4)


def test_grouped_projections_as_in_the_text_are_not_what_the_tables_count():
    model = on_meta(grouped=True)
    assert parameters(model, tables=False) == 14_711_336


@pytest.mark.parametrize(
    ("depth", "weights"), [(26, 13_696_552), (38, 19_626_792), (50, 25_557_032)]
)
def test_without_any_stage_it_is_the_baseline(depth, weights):
    model = on_meta(depth=depth, stages=())
    assert parameters(model) == weights
    assert not count_of(StandAloneSelfAttention2d, model)


@pytest.mark.parametrize("stages", [(1,), (3, 4), (1, 2, 3, 4)])
def test_the_chosen_stages_and_no_others_attend(stages):
    model = on_meta(depth=26, stages=stages)
    for stage, blocks in enumerate((1, 2, 4, 1), start=1):
        layer = getattr(model, f"layer{stage}")
        assert count_of(StandAloneSelfAttention2d, layer) == blocks * (stage in stages)
        wide = [
            m for m in layer.modules() if isinstance(m, nn.Conv2d) and m.kernel_size != (1, 1)
        ]
        assert len(wide) == blocks * (stage not in stages)


def test_with_attention_in_the_stem_no_convolution_is_wider_than_a_pixel():
    model = on_meta(depth=26, stem="attention")
    assert all(m.kernel_size == (1, 1) for m in model.modules() if isinstance(m, nn.Conv2d))


@pytest.mark.parametrize("stem", ["imagenet", "attention", "small"])
@pytest.mark.parametrize(("h", "w"), [(32, 32), (33, 47), (1, 1), (5, 70)])
def test_every_size_of_picture_goes_through_and_pictures_do_not_mix(stem, h, w):
    model = StandAloneResNet(26, stem=stem, window=3, classes=7, widen=0.25).double().eval()
    if stem != "small":  # 64 maps from the stem either way
        assert model.maxpool(model.conv1(torch.randn(1, 3, h, w).double())).shape == (
            (1, 64, -(-h // 4), -(-w // 4))
        )
    x = torch.randn(3, 3, h, w, dtype=torch.float64)
    y = model(x)
    assert y.shape == (3, 7)
    torch.testing.assert_close(model(x[1:2]), y[1:2])


def test_every_weight_learns():
    model = StandAloneResNet(26, stem="attention", window=3, classes=7, widen=0.25)
    model(torch.randn(2, 3, 24, 20)).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in model.parameters())
