"""The backbones carry other people's names and weights, and compute what theirs do."""

import importlib
import re
import warnings
from functools import partial
from importlib.util import find_spec

import pytest
import torch
from backbones_parts import RESNEXT, filled, pictures
from torch import nn
from torch.testing import assert_close

from solutions.backbones import MnasNet, MobileNet, ResNet, WideResNet


def oracle(name):
    """A test against a package that plain pip leaves out."""
    return pytest.mark.skipif(not find_spec(name), reason=f"no {name}")


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
