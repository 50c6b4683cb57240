"""What comes in in half precision goes out so, and about right."""

import torch
from told import first_line

from attncourse import check
from attncourse.exercises.edited import copy
from attncourse.exercises.record import Exercise, Trial
from solutions.positional import rotary, sinusoidal


def test_a_constant_that_half_precision_does_not_hold_is_seen():
    def filled(q, k, mask=None):
        s = q @ k.mT / q.shape[-1] ** 0.5
        if mask is None:
            return s.softmax(-1)
        return s.masked_fill(~mask, -1e9).softmax(-1) * mask

    verdict = check("scaled_dot_product.attention_weights", filled)
    assert verdict.status == "passed"  # the stub does not speak of half precision
    assert "A remark. In half precision `attention_weights` stops" in verdict.message
    assert "overflow" in verdict.message


def test_single_for_half_is_the_wrong_type():
    def widened(x, positions):
        if x.shape[-1] % 2:
            raise ValueError(f"{x.shape[-1]} features")
        waves = sinusoidal(
            positions.to(torch.promote_types(x.dtype, torch.float32)), x.shape[-1]
        )
        a, b, sin, cos = x[..., 0::2], x[..., 1::2], waves[:, 0::2], waves[:, 1::2]
        return torch.stack([a * cos - b * sin, a * sin + b * cos], -1).flatten(-2)

    verdict = check("positional.rotary", widened)
    assert verdict.slip == "changes_the_dtype"
    assert "returns float32 for an input of float16" in first_line(verdict)


def test_a_trial_of_its_own_shows_what_half_precision_spoils():
    def coarse(x, positions):
        return rotary(x, positions.to(x.dtype))  # 2,049 is no number in half precision

    verdict = check("positional.rotary", coarse)
    assert verdict.slip == "not_in_half_precision"
    assert "65,504" in first_line(verdict)


def test_sums_in_another_order_are_no_fault():
    def far_from_the_mean(x):
        return x - x.mean(-1, keepdim=True)

    def by_parts(x):
        return x - x.flip(-1).sum(-1, keepdim=True) / x.shape[-1]

    ex = Exercise(
        id="shapes.centred",
        solution=far_from_the_mean,
        probes={"far_from_the_mean": "b i"},
        trials=lambda: (Trial("plain", dict(b=3, i=257), dict(x="b i")),),
        slips=(),
        hints=(),
        minutes=1,
        difficulty=1,
    )
    assert check(ex, copy(ex))
    assert check(ex, by_parts)
