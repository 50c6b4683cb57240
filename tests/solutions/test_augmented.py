"""Augmented networks: where attention stands in them, and the parameters that are printed."""

import pytest
import torch

from solutions.backbones import ResNet, WideResNet
from solutions.backbones.augmented import (
    augmented_mnasnet,
    augmented_resnet,
    augmented_wide_resnet,
)
from solutions.relative_2d import AttentionAugmentedConv2d


def parameters(make):
    with torch.device("meta"):
        return sum(p.numel() for p in make().parameters())


def augmented(network):
    return [m for m in network.modules() if isinstance(m, AttentionAugmentedConv2d)]


def test_aa_resnet_50_has_the_25_8_million_that_are_printed():
    assert parameters(lambda: augmented_resnet(50)) == 25_813_872


def test_the_wide_base_has_the_36_3_million_that_are_printed():
    assert parameters(lambda: WideResNet(28, 10.0, shortcut="pooled")) == 36_278_324


@pytest.mark.parametrize(
    ("make", "printed"),
    [(lambda: augmented_resnet(34), 20.7), (lambda: augmented_wide_resnet(), 36.2)],
)
def test_what_does_not_come_out_as_printed_is_known(make, printed):
    assert abs(parameters(make) / 1e6 - printed) > 0.05


def test_every_window_of_the_last_three_stages_is_augmented():
    with torch.device("meta"):
        network = augmented_resnet(50)
    assert len(augmented(network)) == 4 + 6 + 3
    assert not augmented(network.layer1)
    assert {m.widths for m in augmented(network)} == {(160, 8), (160, 24), (160, 48)}
    assert [len(m.rows) for m in augmented(network)] == [55] * 4 + [27] * 6 + [13] * 3


@pytest.mark.parametrize("depth", [34, 101, 152])
def test_the_other_depths_have_as_many_layers_as_they_have_windows(depth):
    windows = {34: 2 * (4 + 6 + 3), 101: 4 + 23 + 3, 152: 8 + 36 + 3}
    with torch.device("meta"):
        assert len(augmented(augmented_resnet(depth))) == windows[depth]


@pytest.mark.parametrize("image", [(32, 32), (33, 47)])
def test_a_small_one_takes_any_picture(image):
    network = augmented_resnet(26, image=32, classes=5, width=16, heads=2).eval()
    tables = [m.project(torch.zeros(1, m.kqv.in_channels, 2, 2)) for m in augmented(network)]
    assert tables
    assert network(torch.randn(2, 3, *image)).shape == (2, 5)


def test_the_tables_are_of_the_size_of_the_maps():
    for network in (
        augmented_resnet(26, image=40, heads=2),
        augmented_wide_resnet(10, 1.0, image=20, heads=2),
        augmented_mnasnet(image=64, widen=1.0),
    ):
        size = {"ResNet": 40, "WideResNet": 20, "MnasNet": 64}[type(network).__name__]
        met = []

        def note(m, x, met=met):
            met.append((len(m.rows), 2 * m.project(x[0])[0].shape[2] - 1))

        for m in augmented(network):
            m.register_forward_pre_hook(note)
        network.eval()(torch.randn(1, 3, size, size))
        assert met
        assert all(made == needed for made, needed in met)


def test_positions_can_be_left_out():
    with torch.device("meta"):
        none = augmented_resnet(50, positions=False)
    assert all(m.rows is None for m in augmented(none))
    assert parameters(lambda: ResNet(50)) < sum(p.numel() for p in none.parameters())
