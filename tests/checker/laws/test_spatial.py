"""What `check` says of wrong gains and maps that are no slip: the law they break."""

import pytest
import torch
from einops import rearrange
from torch.nn import functional as F

from attncourse import check
from attncourse.exercises.edited import slips_of
from solutions.spatial import (
    BAM,
    CBAM,
    ChannelBranch,
    ChannelGate,
    SpatialGate,
    SpatialLayer,
    grad_cam,
)


def first_line(id, answer):
    verdict = check(id, answer)
    assert verdict.status == "not yet"
    assert verdict.slip is None
    return verdict.message.splitlines()[0]


class Doubled(ChannelGate):
    def attention(self, x):
        return 2 * super().attention(x) + x.amax((2, 3)) / 9


class Uneven(ChannelGate):
    def forward(self, x):
        ramp = torch.linspace(0.5, 1, x.shape[-1]).to(x)
        return super().forward(x) * ramp


class Coloured(SpatialGate):
    def forward(self, x):
        ramp = torch.linspace(0.5, 1, x.shape[1]).to(x)
        return super().forward(x) * rearrange(ramp, "c -> c 1 1")


class Lifted(CBAM):
    def forward(self, x):
        return super().forward(x) + 0.3


class Shrunk(BAM):
    def forward(self, x):
        return super().forward(x) / 3


def scaled(maps, head, classes, rectify=True):
    return 7 * grad_cam(maps, head, classes, rectify)


def by_pixels(maps, head, classes, rectify=True):
    h, w = maps.shape[-2:]
    y = grad_cam(maps, head, classes, rectify)
    return y / (h * w)


@pytest.mark.parametrize(
    ("id", "answer", "said"),
    [
        ("spatial.channel_gate", Doubled, "Your gains run from"),
        ("spatial.channel_gate", Uneven, "A channel gate has one gain for a whole map"),
        ("spatial.spatial_gate", Coloured, "A spatial gate has one gain for a whole pixel"),
        ("spatial.cbam", Lifted, "everywhere 0.3 too large"),
        ("spatial.bam", Shrunk, "everywhere 0.3333 times"),
        ("spatial.grad_cam", scaled, "everywhere 7 times"),
        ("spatial.grad_cam", by_pixels, "everywhere 1 / h w = 0.02857 times"),
    ],
)
def test_the_law_that_is_broken_is_told(id, answer, said):
    assert said in first_line(id, answer)


def test_a_solution_that_calls_methods_of_its_gates_does_not_blame_a_gate_that_is_called():
    class Twice(CBAM):
        def forward(self, x):
            return self.spatial(self.channel(self.channel(x)))

    assert "although it should not" not in check("spatial.cbam", Twice).message


@pytest.mark.parametrize(
    ("id", "variant"),
    [
        ("spatial.spatial_gate", "mean_before_max"),
        ("spatial.gala", "squashed_as_released"),
    ],
)
def test_other_published_readings_pass_by_their_name(id, variant):
    from attncourse.course import exercise

    (found,) = (s for s in slips_of(exercise(id)) if s.name == variant)
    verdict = check(id, found.answer)
    assert (verdict.status, verdict.slip) == ("passed", variant)


@pytest.mark.parametrize(
    ("id", "base", "probe", "turn", "said"),
    [
        ("spatial.bam", BAM, "attention", lambda g, x: x * g, "returns x scaled already"),
        ("spatial.cbam", CBAM, "attention", lambda g, x: g.exp() - 0.5, "Your gains run from"),
        (
            "spatial.spatial_gate",
            SpatialGate,
            "attention",
            lambda g, x: g.square(),
            "squared: a gain is applied twice",
        ),
        (
            "spatial.bam",
            BAM,
            "attention",
            lambda g, x: g.sqrt(),
            "the roots of what they should be",
        ),
    ],
)
def test_what_is_done_to_all_gains_is_read_off(id, base, probe, turn, said):
    class Answer(base):
        def attention(self, x):
            return turn(super().attention(x), x)

    verdict = check(id, Answer)
    assert said in verdict.message.splitlines()[0]


def test_a_cbam_wrong_in_one_order_alone_is_named():
    class Lost(CBAM):
        def attention(self, x):
            if self.order != "channel-spatial":
                return super().attention(x)
            seen = x * rearrange(self.channel.attention(x), "b c -> b c 1 1")
            where = rearrange(self.spatial.attention(seen), "b h w -> b 1 h w")
            return where.expand_as(x)

    assert check("spatial.cbam", Lost).slip == "first_gain_lost"


@pytest.mark.parametrize(
    ("activation", "said"),
    [(F.gelu, "a GELU"), (F.silu, "a SiLU"), (F.leaky_relu, "a leaky ReLU")],
)
def test_another_activation_is_named(activation, said):
    class Branch(ChannelBranch):
        def forward(self, x):
            return self.up(activation(self.norm(self.down(x.mean((2, 3))))))

    class Layer(SpatialLayer):
        def attention(self, x):
            h, w = x.shape[-2:]
            z = activation(self.look(x.mean(1, keepdim=True)))
            z = activation(self.shrink(z)).repeat_interleave(2, -1).repeat_interleave(2, -2)
            return self.smooth(z[..., :h, :w])[:, 0].sigmoid()

    for id, answer in [("spatial.channel_branch", Branch), ("spatial.spatial_layer", Layer)]:
        cause = check(id, answer).message.splitlines()[0]
        assert said.lower() in cause.lower()


def test_dropout_in_training_is_not_taken_for_mixed_images():
    class Branch(ChannelBranch):
        def forward(self, x):
            z = self.norm(self.down(x.mean((2, 3)))).relu()
            return self.up(F.dropout(z, 0.5, self.training))

    assert check("spatial.channel_branch", Branch).slip == "random"
