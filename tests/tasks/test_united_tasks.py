"""The small networks of chapter 12: alike but for one layer, taught and asked apart."""

import math

import pytest
import torch
from torch.testing import assert_close

from attncourse.papers.cost import cost
from attncourse.tasks.pictures import digits
from attncourse.tasks.united import (
    DIM,
    KINDS,
    Convolution,
    Everywhere,
    Named,
    mixer,
    right,
    train,
)


@pytest.mark.parametrize("kind", KINDS)
def test_a_layer_keeps_the_map(kind):
    x = torch.randn(3, 4, 5, DIM)
    assert mixer(kind)(x).shape == x.shape
    assert Named(kind)(torch.rand(3, 1, 8, 8)).shape == (3, 10)


def test_another_kind_is_refused():
    with pytest.raises(ValueError, match="kind='pooling' is none of convolution, attention"):
        mixer("pooling")


def test_the_convolution_reads_its_neighbours_and_attention_everything():
    for layer, tokens in ((Convolution(DIM), 9), (Everywhere(DIM, 9), 30)):
        x = torch.randn(1, 5, 6, DIM, requires_grad=True)
        (slope,) = torch.autograd.grad(layer(x)[0, 2, 2].sum(), x)
        assert (slope[0].abs().sum(-1) > 0).sum() == tokens


def test_no_layer_costs_a_third_more_than_another():
    spent = [cost(mixer(kind), (1, 4, 4, DIM)) for kind in KINDS]
    products = [one.multiply_adds + one.attention for one in spent]
    assert max(products) < 4 / 3 * min(products)


def test_only_digits_that_are_not_held_are_learned_from():
    most = len(digits().image)
    with pytest.raises(ValueError, match=f"examples={most - 99} of {most - 100}"):
        train("convolution", most - 99, 0, held=100)


def test_the_gates_start_as_a_convolution_and_are_kept():
    net, gates = train("gated", 60, seed=0, steps=20)
    assert [tuple(g.shape) for g in gates] == 3 * [(2, 9)]
    assert_close(gates[0], torch.full((2, 9), 1 / (1 + math.exp(-1))))
    assert_close(gates[-1], torch.stack([block.attn.gates() for block in net.blocks]).detach())
    assert not net.training


def test_a_seed_gives_the_same_network_and_chance_is_a_tenth():
    one, other = (right(train("convolution", 80, seed=3, steps=30)[0]) for _ in range(2))
    assert one == other
    constant = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))
    with torch.no_grad():
        for p in constant.parameters():
            p.zero_()
    share = (digits(test=True).label == 0).double().mean().item()
    assert right(constant) == share  # it always says 0
    held = (digits().label[-300:] == 0).double().mean().item()
    assert right(constant, held=300) == held
