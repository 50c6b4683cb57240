"""Grad-CAM, tested against the paper's equations and an independent implementation."""

import warnings

import pytest
import torch
from spatial_parts import WHICH, B, C, H, W, filled, oracle, random
from torch import nn
from torch.testing import assert_close

from solutions.spatial import (
    grad_cam,
    split_at,
)


class Pooled(nn.Module):
    """Means of the maps, then a linear layer: the head of residual networks."""

    def __init__(self, channels=C, classes=4):
        super().__init__()
        self.read = nn.Linear(channels, classes)

    def forward(self, maps):
        return self.read(maps.mean((2, 3)))


class Curved(nn.Module):
    """A head in which gradients depend on the maps."""

    def __init__(self, channels=C, classes=4):
        super().__init__()
        self.conv, self.read = nn.Conv2d(channels, 6, 3, padding=1), nn.Linear(6, classes)

    def forward(self, maps):
        return self.read(self.conv(maps).tanh().square().sum((2, 3)))


def test_grad_cam_is_equations_1_and_2():
    """Gradients by differences, gains and sums by loops."""
    head, maps = filled(Curved()), random(B, C, 3, 4)
    found = grad_cam(maps, head, WHICH)
    assert found.shape == (B, 3, 4)
    step = 1e-5
    for b in range(B):
        total = torch.zeros(3, 4, dtype=torch.float64)
        for c in range(C):
            slopes = []
            for i in range(3):
                for j in range(4):
                    up, down = maps.clone(), maps.clone()
                    up[b, c, i, j] += step
                    down[b, c, i, j] -= step
                    rise = head(up)[b, WHICH[b]] - head(down)[b, WHICH[b]]
                    slopes.append((rise / (2 * step)).item())
            total += sum(slopes) / len(slopes) * maps[b, c]
        assert_close(found[b], total.clamp(min=0), rtol=1e-6, atol=1e-8)


def test_with_a_linear_head_the_raw_map_sums_to_the_score_without_its_bias():
    head, maps = filled(Pooled()), random(B, C, H, W)
    raw = grad_cam(maps, head, WHICH, rectify=False)
    score = head(maps)[torch.arange(B), WHICH] - head.read.bias[WHICH]
    assert_close(raw.sum((1, 2)), score)


def test_with_a_linear_head_the_gains_are_its_weights_over_the_pixels():
    head, maps = filled(Pooled()), random(B, C, H, W)
    raw = grad_cam(maps, head, WHICH, rectify=False)
    assert_close(raw, torch.einsum("bc,bchw->bhw", head.read.weight[WHICH] / (H * W), maps))


def test_what_speaks_against_the_class_is_dropped():
    head, maps = filled(Pooled()), random(B, C, H, W)
    raw = grad_cam(maps, head, WHICH, rectify=False)
    assert (raw < 0).any()
    assert_close(grad_cam(maps, head, WHICH), raw.clamp(min=0))


def test_a_map_that_speaks_against_everywhere_is_all_0():
    head, maps = filled(Pooled()), random(B, C, H, W).abs()
    with torch.no_grad():
        head.read.weight.copy_(-head.read.weight.abs())
    assert (grad_cam(maps, head, WHICH) == 0).all()


def test_grad_cam_leaves_no_gradients_behind_and_works_without_them():
    head, maps = filled(Curved()), random(B, C, H, W)
    with torch.no_grad():
        quiet = grad_cam(maps, head, WHICH)
    assert not quiet.requires_grad
    assert not maps.requires_grad
    assert all(p.grad is None for p in head.parameters())
    assert_close(quiet, grad_cam(maps, head.requires_grad_(False), WHICH))


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(2, C, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)
        self.second = nn.Conv2d(C, C, 3, stride=2, padding=1)
        self.unused = nn.Conv2d(1, 1, 1)
        self.head = Curved()

    def forward(self, x):
        return self.head(self.relu(self.second(self.relu(self.first(x)))))


def test_a_model_is_split_at_any_layer_even_before_an_in_place_relu():
    model, x = filled(Network()), random(B, 2, 9, 11)
    for layer in (model.first, model.second, model.relu):
        maps, head = split_at(model, layer, x)
        assert_close(head(maps), model(x))
        assert not layer._forward_hooks
    maps, head = split_at(model, model.first, x)
    assert_close(maps, model.first(x))


@oracle("captum")
@pytest.mark.parametrize("name", ["first", "second"])
def test_grad_cam_is_that_of_captum(name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from captum.attr import LayerGradCam

    model, x = filled(Network()), random(B, 2, 9, 11)
    model.relu.inplace = False
    layer = getattr(model, name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = LayerGradCam(model, layer).attribute(x, target=WHICH, relu_attributions=True)
    assert_close(grad_cam(*split_at(model, layer, x), WHICH), theirs[:, 0].detach())


def test_a_layer_that_makes_no_maps_is_refused():
    model, x = filled(Network()), random(B, 2, 9, 11)
    with pytest.raises(ValueError, match="does not call this Conv2d"):
        split_at(model, model.unused, x)
    with pytest.raises(ValueError, match=r"Linear makes \(3, 4\), not maps"):
        split_at(model, model.head.read, x)
