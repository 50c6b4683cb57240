"""The laws of positions speak where they are broken, and only there."""

import math

import pytest
import torch

from attncourse import check
from attncourse.checker.laws import LAWS, Look
from attncourse.checker.trials import prepare
from attncourse.course import exercise
from solutions.positional import CoordConv2d, RelativeAttention, rotary, sinusoidal

OF_SINUSOIDAL = (
    "norm_is_constant",
    "gram_is_toeplitz",
    "shift_is_a_rotation",
    "pairs_turn_at_their_speed",
)


def look(id, answer, index=0) -> Look:
    """An answer under the lens, on one of the trials of its exercise."""
    ex = exercise(id)
    trial = prepare(ex, ex.trials()[index], "seed")
    inputs = trial.fresh().values()
    probe, axes = next(iter(ex.probes.items()))
    y, right = answer(*inputs), ex.solution(*inputs)
    return Look(trial, probe, axes, y, right, lambda **_: None)


def waves(change):
    """Sinusoidal positions with their angles changed for the sine and for the cosine."""

    def answer(positions, dim):
        angles = positions[:, None] * 10000 ** (-torch.arange(0, dim, 2).double() / dim)
        sine, cosine = change(angles)
        return torch.stack([sine.sin(), cosine.cos()], -1).flatten(1)

    return answer


@pytest.mark.parametrize("law", OF_SINUSOIDAL)
def test_the_formula_breaks_none(law):
    for index in range(4):
        assert LAWS[law](look("positional.sinusoidal", sinusoidal, index)) is None


@pytest.mark.parametrize(
    ("law", "change", "says"),
    [
        ("norm_is_constant", lambda a: (a, 1.1 * a), "The squared norm of row"),
        ("gram_is_toeplitz", lambda a: (a**2, a**2), "have the inner product"),
        ("shift_is_a_rotation", lambda a: (a**2, a**2), "No one matrix takes every row"),
        (
            "pairs_turn_at_their_speed",
            lambda a: (2 * a, 2 * a),
            "pair 0 (features 0 and 1) turns by 2; it must turn by its frequency"
            " 10000^(-0/dim) = 1",
        ),
    ],
)
def test_waves_that_are_no_clock_are_told_why(law, change, says):
    assert says in LAWS[law](look("positional.sinusoidal", waves(change)))


def test_other_base_breaks_the_speed_alone():
    def answer(positions, dim):
        angles = positions[:, None] * 500 ** (-torch.arange(0, dim, 2).double() / dim)
        return torch.stack([angles.sin(), angles.cos()], -1).flatten(1)

    said = {law: LAWS[law](look("positional.sinusoidal", answer)) for law in OF_SINUSOIDAL}
    assert [law for law, text in said.items() if text] == ["pairs_turn_at_their_speed"]


def test_what_grows_was_not_turned():
    said = LAWS["turning_keeps_lengths"](
        look("positional.rotary", lambda x, p: 2 * rotary(x, p))
    )
    assert "A vector of length" in said
    assert LAWS["turning_keeps_lengths"](look("positional.rotary", rotary)) is None


def test_what_turns_too_slowly_is_told_by_how_much():
    said = LAWS["pairs_turn_by_their_angle"](
        look("positional.rotary", lambda x, p: rotary(x, p / 2))
    )
    assert "At position 1, pair 0 (features 0 and 1) is turned by 0.5; it must be" in said
    assert "turned by 1 (angles" in said
    assert LAWS["pairs_turn_by_their_angle"](look("positional.rotary", rotary)) is None


def test_scores_that_weigh_content_and_place_wrongly_are_told_both_numbers():
    class Louder(RelativeAttention):
        def attention(self, q, k, mask=None):
            return super().attention(q, 1.5 * k, mask)

    verdict = check("positional.relative_attention", Louder)
    assert "q_i · k_j counts 1.5 times and q_i · a_(j-i) 1 times" in verdict.message


def test_coordinates_that_do_not_reach_the_edge_are_told_so():
    class Short(CoordConv2d):
        def coordinates(self, x):
            return 0.9 * super().coordinates(x)

    verdict = check("positional.coord_conv", Short)
    assert "columns run from -0.9 to 0.9; they should run from -1 to 1" in verdict.message


def test_an_answer_that_gathers_is_told_both_counts():
    def relative_logits(q, table):
        n = len(table)
        i = torch.arange(n, device=q.device)
        rows = (i - i[:, None] + n - 1).clamp(max=n - 1)
        return (q[..., :, None, :] * table[rows]).sum(-1).tril()

    verdict = check("positional.relative_logits", relative_logits)
    assert verdict.slip == "largest_tensor"
    gathered = 2 * 13 * 13 * 32
    assert f"your largest tensor holds {gathered:,} numbers; 832 are enough" in verdict.message


def test_angles_in_single_precision_pass():
    """What torch makes of whole numbers by default is no mistake of the learner's."""

    def answer(positions, dim):
        table = torch.zeros(len(positions), dim, dtype=positions.dtype, device=positions.device)
        step = torch.arange(0, dim, 2, device=positions.device) * -(math.log(10000.0) / dim)
        angles = positions[:, None] * step.exp()
        table[:, 0::2] = angles.sin()
        table[:, 1::2] = angles.cos()[:, : dim // 2]
        return table

    assert check("positional.sinusoidal", answer).status == "passed"
