"""Grad-CAM anywhere: layers that run twice, tuples, changes in place, inference mode."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from solutions.spatial import grad_cam, split_at

B, C, H, W, K = 3, 4, 5, 7, 6
CLASSES = torch.tensor([2, 0, 5])


def x_():
    return torch.randn(B, C, H, W, dtype=torch.float64)


class Twice(nn.Module):
    """y = L(x); z = L(conv(y)); fc(y + z)."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(C, C, 3, padding=1)
        self.conv = nn.Conv2d(C, C, 1)
        self.fc = nn.Linear(C, K)

    def forward(self, x):
        y = self.layer(x)
        z = self.layer(self.conv(y))
        return self.fc((y + z).tanh().mean((-2, -1)))


def by_hand(model, x, call):
    """Grad-CAM with the graph written out."""
    y = model.layer(x)
    z = model.layer(model.conv(y))
    maps = (y, z)[call]
    scores = model.fc((y + z).tanh().mean((-2, -1)))
    chosen = scores[torch.arange(B), CLASSES].sum()
    (gradient,) = torch.autograd.grad(chosen, maps)
    return (gradient.mean((-2, -1), keepdim=True) * maps).sum(1).relu()


@pytest.mark.parametrize(("call", "which"), [(0, 0), (1, 1), (-1, 1), (-2, 0)])
def test_one_call_of_a_layer_that_runs_twice_is_replaced(call, which):
    model, x = Twice().double(), x_()
    maps, head = split_at(model, model.layer, x, call)
    assert_close(head(maps), model(x))
    assert_close(grad_cam(maps, head, CLASSES), by_hand(model, x, which))


def test_the_last_call_is_taken_unless_another_is_named():
    model, x = Twice().double(), x_()
    assert_close(split_at(model, model.layer, x)[0], split_at(model, model.layer, x, 1)[0])
    assert_close(grad_cam(*split_at(model, model.layer, x), CLASSES), by_hand(model, x, 1))
    for call in (2, -3):
        with pytest.raises(ValueError, match=f"call={call}, but the model calls"):
            split_at(model, model.layer, x, call)
    assert not model.layer._forward_hooks
    assert not model.layer._forward_pre_hooks


class Returns(nn.Module):
    """A layer that does not return one tensor."""

    def __init__(self, make):
        super().__init__()
        self.make = make

    def forward(self, x):
        return self.make(x)


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (lambda x: (x, x), "tuple"),
        (lambda x: [x], "list"),
        (lambda x: {"out": x}, "dict"),
        (lambda x: None, "NoneType"),
    ],
)
def test_a_layer_that_makes_no_tensor_is_refused_by_what_it_makes(make, kind):
    layer, fc = Returns(make), nn.Linear(W, K)
    model = Returns(lambda x: (layer(x), fc(x))[1])
    model.layer = layer
    with pytest.raises(ValueError, match=f"Returns makes a {kind}, not maps"):
        split_at(model, layer, torch.randn(B, C, H, W))
    assert not layer._forward_hooks


class InPlace(nn.Module):
    """The layer changes what it is given, and both names are used."""

    def __init__(self, layer):
        super().__init__()
        self.conv, self.layer, self.fc = nn.Conv2d(C, C, 1), layer, nn.Linear(C, K)

    def forward(self, x):
        h = self.conv(x)
        r = self.layer(h)
        return self.fc((h + 2 * r).tanh().mean((-2, -1)))


@pytest.mark.parametrize("layer", [nn.ReLU(inplace=True), nn.SiLU(inplace=True)])
def test_what_a_layer_changes_in_place_is_changed_for_all(layer):
    model, x = InPlace(layer).double(), x_()
    maps, head = split_at(model, model.layer, x)
    kept = maps.clone()
    assert_close(head(maps), model(x))

    def alone(maps):  # h and r are the same tensor
        return model.fc((maps + 2 * maps).tanh().mean((-2, -1)))

    assert_close(grad_cam(maps, head, CLASSES), grad_cam(maps, alone, CLASSES))
    assert_close(maps, kept)


def test_a_model_that_changes_its_input_leaves_the_picture_alone():
    layer, fc = nn.ReLU(inplace=True), nn.Linear(C, K).double()
    model = Returns(lambda x: fc(layer(x.add_(1)).mean((-2, -1))))
    model.layer, x = layer, x_()
    before, wanted = x.clone(), model(x.clone())
    maps, head = split_at(model, layer, x)
    assert_close(head(maps), wanted)
    assert_close(head(maps), wanted)
    assert_close(x, before)


@pytest.mark.parametrize("born", [False, True])
@pytest.mark.parametrize("index", [0, 1, 2])
def test_inference_mode_changes_nothing(index, born):
    """The picture, and where `born` the model too, are made inside."""

    def network():
        torch.manual_seed(1)
        relu, norm = nn.ReLU(inplace=True), nn.BatchNorm2d(C)
        flat = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(C, K))
        return nn.Sequential(nn.Conv2d(C, C, 3), norm, relu, flat).double().eval()

    model, x = network(), x_()
    wanted = grad_cam(*split_at(model, model[index], x), CLASSES)
    with torch.inference_mode():
        model = network() if born else model
        given = x.clone()
        maps, head = split_at(model, model[index], given)
        inside = grad_cam(maps, head, CLASSES)
        kept = maps.clone()
    assert_close(inside, wanted)
    assert_close(grad_cam(maps, head, CLASSES), wanted)  # used outside
    assert_close(grad_cam(kept, head, CLASSES), wanted)
    with torch.inference_mode():
        assert_close(grad_cam(kept, head, CLASSES.clone(), rectify=True), wanted)
    with torch.no_grad():
        assert_close(grad_cam(*split_at(model, model[index], x), CLASSES), wanted)


def test_a_hook_does_not_stay_after_an_error():
    layer = nn.Identity()

    def fails(x):
        layer(x)
        raise RuntimeError("no")

    model = Returns(fails)
    model.layer = layer
    with pytest.raises(RuntimeError, match="no"):
        split_at(model, layer, torch.randn(B, C, H, W))
    assert not layer._forward_hooks
    assert not layer._forward_pre_hooks
