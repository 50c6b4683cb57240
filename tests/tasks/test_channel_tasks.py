"""What must be true of the tasks for channel attention, whoever solves them."""

import pytest
import torch
from einops import rearrange
from torch import nn
from torch.testing import assert_close

from attncourse.tasks.channel import (
    CueReader,
    PlaneReader,
    accuracy,
    cue_task,
    cues,
    negatives,
    photographs,
    train,
    unseen_negatives,
)
from attncourse.tasks.pictures import Digits, digits
from solutions.channel import SqueezeExcite, squeeze


def test_one_plane_is_bright_and_the_answer_is_the_sign_of_its_partner():
    drawn = cue_task(2000, k=3, height=40, width=50)
    z = squeeze(drawn.image)
    assert drawn.image.shape == (2000, 6, 40, 50)
    assert torch.equal(z[:, :3].argmax(-1), drawn.cue)
    assert_close(z[:, :3].sum(-1), torch.ones(2000), rtol=0, atol=0.2)
    partner = z[torch.arange(2000), 3 + drawn.cue]
    assert torch.equal((partner > 0).long(), drawn.answer)


def test_the_vote_is_right_in_eleven_of_sixteen():
    drawn = cue_task(20_000, height=40, width=40)
    signs = squeeze(drawn.image)[:, 4:].sign()
    vote = signs.sum(-1)
    right = torch.where(vote == 0, 0.5, ((vote > 0).long() == drawn.answer).float())
    assert right.mean().item() == pytest.approx(11 / 16, abs=0.012)


def test_no_fixed_weights_for_the_planes_do_better_than_the_vote():
    best = 0
    signs = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0])] * 4)
    grid = torch.cartesian_prod(*[torch.linspace(-1, 1, 9)] * 4)
    for weights in grid:
        score = signs @ weights
        right = torch.where(
            score[:, None] == 0, 0.5, ((score[:, None] > 0) == (signs > 0)) * 1.0
        )
        best = max(best, right.mean().item())
    assert best == 11 / 16


def test_a_negative_is_the_photograph_with_its_planes_exchanged():
    found = digits()
    few = Digits(found.image[:7], found.label[:7])
    torch.manual_seed(3)
    positive = photographs(few, torch.zeros(7, dtype=torch.long))
    torch.manual_seed(3)
    negative = photographs(few, torch.ones(7, dtype=torch.long))
    assert_close(negative, -positive)
    assert_close(negative[:, :3], positive[:, 3:])
    assert positive.abs().max() <= 1


def test_the_lamp_scales_each_colour_of_a_digit():
    found = digits()
    few = Digits(found.image[:7], found.label[:7])
    colour = (photographs(few, torch.zeros(7, dtype=torch.long))[:, :3] + 1) / 2
    for picture, ink in zip(colour, few.image, strict=True):
        for plane in picture:
            times = plane[ink[0] > 0] / ink[0][ink[0] > 0]
            assert_close(times, times[:1].expand_as(times))
            assert 0.5 <= times[0] <= 1


def test_a_positive_is_dark_and_its_negative_light():
    x, _ = unseen_negatives()
    assert squeeze(x)[:450, :3].max() < 0 < squeeze(x)[450:, :3].min()


def test_a_linear_reader_is_right_on_both_of_a_pair_for_one_class_at_most():
    torch.manual_seed(1)
    for _ in range(50):
        net = PlaneReader(nn.Identity())
        nn.init.normal_(net.read.bias)
        net.read.weight.data *= 3
        x = torch.randn(400, 6, 8, 8)
        both = net(x).argmax(-1) == net(-x).argmax(-1)
        assert len(net(x).argmax(-1)[both].unique()) <= 1


def test_training_sees_as_many_negatives_as_asked():
    for share in (0, 0.5, 1):
        torch.manual_seed(0)
        batches = [x for x, _ in negatives(20, share)]
        light = torch.cat([squeeze(x)[:, 0] > 0 for x in batches]).float().mean().item()
        assert light == pytest.approx(share, abs=0.04)


def test_the_unseen_digits_are_the_same_at_every_call_and_leave_the_dice_alone():
    torch.manual_seed(0)
    first, state = unseen_negatives(), torch.get_rng_state()
    assert torch.equal(unseen_negatives()[0], first[0])
    assert torch.equal(torch.get_rng_state(), state)
    alone, labels = unseen_negatives(0)
    assert torch.equal(alone, first[0][:450])
    assert torch.equal(labels, digits(test=True).label)


def test_a_reader_of_planes_is_linear_in_what_its_gate_leaves():
    net, x = PlaneReader(nn.Identity()), torch.randn(3, 6, 8, 8)
    pixels = rearrange(x.mean(1), "b h w -> b (h w)")
    assert_close(net(x), pixels @ net.read.weight.T + net.read.bias)


def test_training_is_reproducible_and_a_gate_finds_the_cue():
    def make():
        return CueReader(SqueezeExcite(8, 1))

    one, other = (train(make, cues(150), seed=2) for _ in range(2))
    assert_close(one.read.weight, other.read.weight)
    drawn = cue_task(1000)
    assert accuracy(one, drawn.image, drawn.answer) > 0.9
