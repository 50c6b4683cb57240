"""The network of the capstone, its budget, and what differences are worth."""

from itertools import product

import pytest
import torch
from einops import rearrange
from scipy import stats
from torch import nn

from solutions.backbones.residual import Basic
from solutions.capstone import (
    MECHANISMS,
    ShiftedWindowAttention2d,
    create_network,
    paired_difference,
    pareto_front,
    sign_test,
    stage_multiply_adds,
    three_widths,
    width_for,
)
from solutions.non_local import NonLocal
from solutions.stand_alone import StandAloneSelfAttention2d
from solutions.united import ShiftedWindowAttention


@pytest.mark.parametrize("name", MECHANISMS)
def test_every_mechanism_fits_odd_and_unequal_pictures(name):
    network = create_network(name, (8, 12, 20), blocks=1, classes=7).eval()
    for h, w in ((32, 32), (13, 21), (1, 1)):
        assert network(torch.randn(2, 3, h, w)).shape == (2, 7)


@pytest.mark.parametrize("name", MECHANISMS)
def test_the_fast_network_has_the_same_weights_and_scores(name):
    torch.manual_seed(0)
    one = create_network(name, (8, 12, 20), blocks=1, stem=2).eval()
    other = create_network(name, (8, 12, 20), blocks=1, stem=2, fast=True).eval()
    other.load_state_dict(one.state_dict())
    x = torch.randn(2, 3, 32, 32)
    # float32: sums of some hundred terms, in another order
    assert (one(x) - other(x)).abs().max() < 1e-4


def test_mechanisms_stand_where_they_are_said_to():
    def where(network, kind):
        return {n.split(".")[0] for n, m in network.named_modules() if isinstance(m, kind)}

    shape = dict(widths=(8, 12, 20), blocks=2)
    attention = StandAloneSelfAttention2d
    assert where(create_network("sasa23", **shape), attention) == {"layer2", "layer3"}
    assert where(create_network("sasa", **shape), attention) == {"layer1", "layer2", "layer3"}
    assert where(create_network("non_local", **shape), NonLocal) == {"between2"}
    mixed = create_network(("convolution", "augmented", "stand_alone"), **shape)
    assert where(mixed, attention) == {"layer3"}
    gated = create_network("se", **shape)
    blocks = [m for m in gated.modules() if isinstance(m, Basic)]
    assert len(blocks) == 6
    assert not any(isinstance(block.attention, nn.Identity) for block in blocks)


def test_every_other_layer_of_windows_is_shifted():
    network = create_network("windows", (8, 12, 20), blocks=2)
    layers = [m for m in network.modules() if isinstance(m, ShiftedWindowAttention2d)]
    assert [layer.shift for layer in layers] == [0, 2] * 4


def test_an_unknown_mechanism_is_refused_by_name():
    with pytest.raises(ValueError, match="mechanism='sea' is none of none, se"):
        create_network("sea")


def test_widths_double_and_are_rounded():
    assert three_widths(16) == (16, 32, 64)
    assert three_widths(14.75) == (16, 28, 60)
    assert three_widths(0.1) == (4, 4, 4)


# ---------------------------------------------------------------- shifted windows


@pytest.mark.parametrize("stride", [1, 2])
def test_windows_on_maps_are_those_on_tokens_averaged_for_a_stride(stride):
    torch.manual_seed(0)
    kind = dict(heads=3, window=3, shift=1, dtype=torch.float64)
    layer = ShiftedWindowAttention2d(6, stride=stride, **kind)
    tokens = ShiftedWindowAttention(6, **kind)
    tokens.load_state_dict(layer.windows.state_dict())
    x = torch.randn(2, 6, 7, 4, dtype=torch.float64)
    y = rearrange(tokens(rearrange(x, "b c h w -> b h w c")), "b h w c -> b c h w")
    for p, q in product(range(-(-7 // stride)), range(-(-4 // stride))):
        down, across = (slice(n * stride, (n + 1) * stride) for n in (p, q))
        mean = y[:, :, down, across].mean((-2, -1))
        assert (layer(x)[:, :, p, q] - mean).abs().max() < 1e-12


def test_what_windows_cannot_do_is_refused():
    with pytest.raises(ValueError, match="shift=4 must be from 0 to less than window=4"):
        ShiftedWindowAttention2d(8, shift=4)
    with pytest.raises(ValueError, match="dim=9 is not a multiple of heads=2"):
        ShiftedWindowAttention2d(8, out_channels=9)


# ---------------------------------------------------------------- budget and front


@pytest.mark.parametrize(
    ("channels", "out", "blocks", "stride"),
    [(4, 4, 3, 1), (3, 5, 1, 2), (4, 4, 2, 2), (2, 7, 2, 2)],
)
def test_a_stage_costs_the_products_that_its_convolutions_make(channels, out, blocks, stride):
    h, w, made = 9, 6, 0

    def count(conv, given, result):
        nonlocal made
        made += result.shape[-2] * result.shape[-1] * conv.weight.numel()

    if stride == 1:  # the first stage, which keeps its channels
        stage = create_network("none", (out, 11, 13), blocks).layer1
    else:
        stage = create_network("none", (channels, out, 11), blocks).layer2
    for conv in stage.modules():
        if isinstance(conv, nn.Conv2d):
            conv.register_forward_hook(count)
    stage.eval()(torch.randn(1, channels, h, w))
    assert stage_multiply_adds(channels, out, blocks, h, w, stride) == made


def test_the_width_for_a_budget_is_the_nearest_of_all():
    for budget in range(1, 4000, 37):
        for step in (1, 4, 6):
            found = width_for(lambda c: c * c + 3 * c, budget, step)
            off = {c: abs(c * c + 3 * c - budget) for c in range(step, 200, step)}
            assert found == min(off, key=lambda c: (off[c], c))


def test_the_front_is_what_no_other_dominates():
    dice = torch.Generator().manual_seed(1)
    cost, score = torch.randint(6, (2, 40), generator=dice).double()
    front = pareto_front(cost, score)
    for n in range(40):
        better = [
            m
            for m in range(40)
            if (cost[m] <= cost[n] and score[m] >= score[n])
            and (cost[m] < cost[n] or score[m] > score[n])
        ]
        assert front[n] == (not better)
    assert 0 < front.sum() < 40


# ---------------------------------------------------------------- evidence


def test_mean_and_error_give_the_paired_t_of_scipy():
    a, b = torch.tensor([[0.5, 0.61, 0.58, 0.47], [0.49, 0.57, 0.6, 0.4]]).double()
    mean, error = paired_difference(a, b)
    assert (mean / error).item() == pytest.approx(stats.ttest_rel(a, b).statistic, rel=1e-9)
    with pytest.raises(ValueError, match="n=1 seeds"):
        paired_difference(a[:1], b[:1])


def test_the_sign_test_is_the_two_sided_binomial_test():
    for gained, lost in product(range(9), range(9)):
        if gained + lost:
            expected = stats.binomtest(gained, gained + lost).pvalue
            assert sign_test(gained, lost) == pytest.approx(expected, rel=1e-9)
    assert sign_test(0, 0) == 1.0
