"""What must be true of DANet: attention over pixels and over channels, and its head."""

import math

import pytest
import torch
from einops import rearrange
from non_local_parts import IMAGES, B, C, H, W, awake, oracle, random
from torch.testing import assert_close

from attncourse import check
from solutions.non_local import (
    ChannelAttention,
    DANetHead,
    NonLocal,
    PositionAttention,
    gaussian_weights,
    mean_iou,
)


def test_position_attention_is_equations_1_and_2():
    layer, x = awake(PositionAttention(C, 3)).requires_grad_(False), random(B, C, H, W)
    for b in range(B):
        pixels = [x[b, :, h, w] for h in range(H) for w in range(W)]
        k, v = [layer.key(p) for p in pixels], [layer.value(p) for p in pixels]
        for i, p in enumerate(pixels):
            shares = [math.exp(layer.query(p) @ key) for key in k]
            y = sum(s / sum(shares) * value for s, value in zip(shares, v, strict=True))
            assert_close(layer(x)[b, :, i // W, i % W], layer.gamma[0] * y + p)


@pytest.mark.parametrize("make", [PositionAttention, lambda c: ChannelAttention()])
@pytest.mark.parametrize(("h", "w"), IMAGES)
def test_with_gamma_0_nothing_changes(make, h, w):
    x = random(B, 16, h, w)
    assert_close(make(16).double()(x), x, rtol=0, atol=0)


def test_position_attention_has_as_many_weights_as_the_formula_says():
    assert sum(p.numel() for p in PositionAttention(16).parameters()) == 341
    assert sum(p.numel() for p in ChannelAttention().parameters()) == 1


def test_position_attention_follows_its_pixels():
    layer, x, order = awake(PositionAttention(C, 3)), random(B, C, 20), torch.randperm(20)
    assert_close(layer(x[..., order]), layer(x)[..., order])


def test_the_map_the_wrong_way_round_gives_something_else():
    layer, x = awake(PositionAttention(C, 3)), random(B, C, 20)
    weights, v = layer.attention(x), layer.value(rearrange(x, "b c n -> b n c"))
    wrong = x + layer.gamma * rearrange(weights.mT @ v, "b n c -> b c n")
    assert (layer(x) - wrong).abs().max() > 0.1


@pytest.mark.parametrize("released", [False, True])
def test_channel_attention_is_equations_3_and_4_or_the_released_codes(released):
    layer, x = awake(ChannelAttention(released)).requires_grad_(False), random(B, C, H, W)
    for b in range(B):
        energy = torch.tensor([[(x[b, i] * x[b, j]).sum() for j in range(C)] for i in range(C)])
        for i in range(C):
            e = [energy[i].max() - e if released else e for e in energy[i]]
            shares = [math.exp(number) for number in e]
            y = sum(s / sum(shares) * x[b, j] for j, s in enumerate(shares))
            assert_close(layer(x)[b, i], layer.gamma[0] * y + x[b, i])


def test_max_minus_e_is_minus_e_since_softmax_does_not_see_a_shift():
    x = random(B, C, H, W)
    energy = torch.einsum("bihw,bjhw->bij", x, x)
    released = (energy.amax(-1, keepdim=True) - energy).softmax(-1)
    assert_close(ChannelAttention(released=True).double().attention(x), released)


def test_the_paper_attends_to_the_channel_itself_and_the_code_to_the_least_alike():
    x = random(B, C, 12, 12)
    paper, code = (ChannelAttention(r).double().attention(x) for r in (False, True))
    energy = torch.einsum("bihw,bjhw->bij", x, x)
    diagonal = torch.arange(C).expand(B, C)
    assert_close(paper.argmax(-1), diagonal)
    assert paper.diagonal(dim1=1, dim2=2).min() > 0.99
    assert_close(code.argmax(-1), energy.argmin(-1))
    assert code.diagonal(dim1=1, dim2=2).max() < 1e-6


@pytest.mark.parametrize("released", [False, True])
def test_channel_attention_follows_channels_and_does_not_see_the_order_of_pixels(released):
    layer, x = awake(ChannelAttention(released)), 0.3 * random(B, C, 20)
    pixels, channels = torch.randperm(20), torch.randperm(C)
    assert_close(layer.attention(x[..., pixels]), layer.attention(x))
    assert_close(layer(x[..., pixels]), layer(x)[..., pixels])
    assert_close(layer(x[:, channels]), layer(x)[:, channels])


def test_products_over_many_pixels_do_not_overflow_in_half_precision():
    weights = ChannelAttention().half().attention(torch.full((1, 3, 100, 100), 4.0).half())
    assert_close(weights, torch.full((1, 3, 3), 1 / 3).half())


@oracle("pytorchcv")
def test_position_attention_is_that_of_pytorchcv_whose_gamma_starts_at_1():
    from pytorchcv.models.danet import PosAttBlock

    theirs, ours = PosAttBlock(16).double(), PositionAttention(16).double()
    state = {
        n.replace("_conv", "").replace("scale.alpha", "gamma"): w.reshape(w.shape[:2])
        for n, w in theirs.state_dict().items()
    }
    ours.load_state_dict(state)
    x = random(B, 16, H, W)
    assert_close(ours(x), theirs(x))
    assert theirs.scale.alpha == 1
    assert PositionAttention(16).gamma == 0


@oracle("pytorchcv")
def test_the_released_channel_attention_is_that_of_pytorchcv():
    from pytorchcv.models.danet import ChaAttBlock

    theirs, ours = ChaAttBlock().double(), ChannelAttention(released=True).double()
    torch.nn.init.constant_(theirs.scale.alpha, 0.7)
    torch.nn.init.constant_(ours.gamma, 0.7)
    x = random(B, C, H, W)
    assert_close(ours(x), theirs(x))


def test_the_head_for_cityscapes_has_24_million_weights():
    with torch.device("meta"):
        head = DANetHead(2048, 19)
    assert sum(p.numel() for p in head.parameters()) == 23_954_619


def test_the_head_sums_its_branches_and_classifies_each_alone():
    head, x = awake(DANetHead(32, 5)).eval(), random(B, 32, H, W)
    p = head.position_out(head.position(head.position_in(x)))
    c = head.channel_out(head.channel(head.channel_in(x)))
    both, position, channel = head(x)
    assert both.shape == position.shape == channel.shape == (B, 5, H, W)
    assert_close(both, head.both(p + c))
    assert_close(position, head.position_alone(p))
    assert_close(channel, head.channel_alone(c))


def test_iou_is_counted_over_all_pixels_and_averaged_over_classes():
    truth = torch.tensor([[0, 0, 1, 1], [1, 1, 1, 1]])
    predicted = torch.tensor([[0, 1, 1, 1], [1, 1, 1, 0]])
    assert_close(mean_iou(predicted, truth, 2), torch.tensor((1 / 3 + 5 / 7) / 2))


def test_a_class_that_never_comes_up_is_left_out_and_one_that_is_made_up_is_not():
    truth = torch.zeros(4, 5, dtype=torch.long)
    assert mean_iou(truth, truth, 3) == 1
    predicted = truth.clone()
    predicted[0, 0] = 1
    assert_close(mean_iou(predicted, truth, 3), torch.tensor((19 / 20 + 0) / 2))


def test_pixels_without_a_class_are_not_counted():
    truth = torch.tensor([0, 1, 255, -1])
    assert mean_iou(torch.tensor([0, 1, 0, 1]), truth, 2) == 1


def test_the_released_codes_readings_pass_and_are_named():
    class Scaled(NonLocal):
        def attention(self, x):
            q, k = self.queries_and_keys(x)
            if self.form == "embedded":
                return gaussian_weights(q / q.shape[-1] ** 0.5, k)
            return super().attention(x)

    verdict = check("non_local.non_local", Scaled)
    assert (verdict.status, verdict.slip) == ("passed", "scaled_like_the_released_code")
