"""A whole network with its layers taken from solutions.fast."""

import copy
from functools import partial

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from solutions import fast
from solutions.backbones import ResNet, StandAloneResNet
from solutions.multi_head import MultiHeadAttention
from solutions.non_local import DANetHead, NonLocal
from solutions.relative_2d import AttentionAugmentedConv2d
from solutions.united import SelfAttention, VisionTransformer


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (partial(StandAloneResNet, 26, classes=7), fast.StandAloneSelfAttention2d),
        (
            partial(VisionTransformer, 24, 2, 3, patch=4, size=(40, 36), classes=7),
            fast.SelfAttention,
        ),
        (partial(ResNet, 18, attention=NonLocal, classes=7, stages=(3,)), fast.NonLocal),
    ],
)
def test_a_network_is_the_same_function_of_the_same_weights(make, kind):
    slow = make().eval().double()
    quick = fast.faster(copy.deepcopy(slow))
    assert any(type(layer) is kind for layer in quick.modules())
    assert not any(type(layer) is kind.__mro__[1] for layer in quick.modules())
    assert list(quick.state_dict()) == list(slow.state_dict())
    x = torch.randn(2, 3, 40, 36, dtype=torch.float64)
    assert_close(quick(x), slow(x))


def test_the_weights_are_the_very_same_and_an_optimizer_goes_on():
    model = nn.Sequential(nn.Conv2d(3, 8, 1), NonLocal(8), nn.Conv2d(8, 2, 1))
    before = list(model.parameters())
    step = torch.optim.SGD(before, lr=0.1)
    assert fast.faster(model) is model
    assert all(a is b for a, b in zip(model.parameters(), before, strict=True))
    weight = model[1].value.weight.detach().clone()
    nn.init.ones_(model[1].norm.weight)  # which begins at 0
    model(torch.randn(2, 3, 5, 7)).square().mean().backward()
    step.step()
    assert not torch.equal(model[1].value.weight, weight)


@pytest.mark.parametrize(
    "layer",
    [
        MultiHeadAttention(12, 3),
        SelfAttention(12, 3),
        NonLocal(12),
        DANetHead(32, 5),
        AttentionAugmentedConv2d(12, 20, upsilon=0.5, heads=2, size=(5, 7)),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_a_layer_by_itself_is_a_new_one_of_the_fast_class(layer):
    quick = fast.faster(layer.eval())
    assert type(quick) is getattr(fast, type(layer).__name__)
    assert not quick.training
    assert getattr(quick, "implementation", "auto") == "auto"
    x = torch.randn(2, 32 if isinstance(layer, DANetHead) else 12, 5, 7)
    x = x.flatten(2).mT if isinstance(layer, MultiHeadAttention | SelfAttention) else x
    assert_close(quick(x), layer(x))


def test_what_inherits_from_a_layer_stays_as_it_is():
    class Mine(NonLocal):
        pass

    model = nn.Sequential(Mine(8))
    assert type(fast.faster(model)[0]) is Mine
