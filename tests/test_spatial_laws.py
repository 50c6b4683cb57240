"""What `check` says of wrong gains and maps that are no slip: the law they break."""

import pytest
import torch
from einops import rearrange

from attncourse import check
from solutions.spatial import BAM, CBAM, ChannelGate, SpatialGate, grad_cam


def first_line(id, answer):
    verdict = check(id, answer)
    assert verdict.status == "not yet"
    assert verdict.slip is None
    return verdict.message.splitlines()[0]


class Doubled(ChannelGate):
    def attention(self, x):
        return 2 * super().attention(x)


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
        ("spatial.cbam", Lifted, "Where x is 0 your output is not"),
        ("spatial.bam", Shrunk, "x + x M lies between x and 2 x"),
        ("spatial.grad_cam", scaled, "everywhere w = 7 times"),
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
        ("spatial.bam", "product_as_released"),
        ("spatial.gala", "squashed_as_released"),
    ],
)
def test_other_published_readings_pass_by_their_name(id, variant):
    from attncourse.registry import exercise

    (found,) = (s for s in exercise(id).all_slips() if s.name == variant)
    verdict = check(id, found.answer)
    assert (verdict.status, verdict.slip) == ("passed", variant)
