"""The laws of windows speak where they are broken, and only there."""

import math
from copy import copy

import pytest
import torch
from torch.nn import functional as F

from attncourse import check
from attncourse.checker.laws import LAWS, Look
from attncourse.checker.trials import prepare
from attncourse.course import exercise
from solutions.stand_alone import (
    SpatialValues,
    StandAloneSelfAttention2d,
    inside,
    local_attention,
    local_weights,
    relative_embeddings,
    windows,
)

OF_WEIGHTS = (
    "shares_of_the_window",
    "nothing_beyond_the_edges",
    "content_and_place_in_windows",
)
OF_OUTPUTS = ("equal_values_stay", "values_reach_half_a_window")


def look(id, answer, index=0) -> Look:
    """An answer under the lens, on one of the trials of its exercise."""
    ex = exercise(id)
    trial = prepare(ex, ex.trials()[index], "seed")
    probe, axes = next(iter(ex.probes.items()))
    inputs = trial.fresh()

    def ask(**other):
        return answer(*(inputs | other).values())

    return Look(trial, probe, axes, ask(), ex.solution(*inputs.values()), ask)


def weights(change=lambda scores: scores, after=lambda weights: weights, hide=-math.inf):
    """`local_weights` with other scores, another mask or something done afterwards."""

    def answer(q, k, rows, columns, window):
        near, r = windows(k, window), relative_embeddings(rows, columns)
        scores = torch.einsum("bndhw,bndhwyx->bnhwyx", q, near)
        scores = change(scores + torch.einsum("bndhw,ndyx->bnhwyx", q, r))
        scores = scores.masked_fill(~inside(*q.shape[-2:], window), hide)
        return after(scores.flatten(-2).softmax(-1).reshape(scores.shape))

    return answer


def output(mix):
    """`local_attention` with another way to use the weights."""

    def answer(q, k, v, rows, columns, window):
        return mix(local_weights(q, k, rows, columns, window)[:, :, None], v, window)

    return answer


@pytest.mark.parametrize("index", range(4))
def test_the_formulas_break_none(index):
    for law in OF_WEIGHTS:
        assert LAWS[law](look("stand_alone.local_weights", local_weights, index)) is None
    for law in (*OF_OUTPUTS, "output_is_a_mixture_of_values"):
        assert LAWS[law](look("stand_alone.local_attention", local_attention, index)) is None


@pytest.mark.parametrize(
    ("law", "answer", "says"),
    [
        ("shares_of_the_window", weights(after=lambda a: a / 2), "sum to 0.5"),
        ("shares_of_the_window", weights(after=lambda a: -a), "Some weights are negative"),
        ("shares_of_the_window", weights(hide=math.nan), "nothing but -inf"),
        (
            "shares_of_the_window",
            weights(after=lambda a: a / a.sum(-1, keepdim=True).clamp(min=1e-300)),
            "sum to 1 over dx alone",
        ),
        (
            "shares_of_the_window",
            lambda q, k, rows, columns, window: (
                weights(hide=0.0)(q, k, rows, columns, window) * inside(*q.shape[-2:], window)
            ),
            "places beyond the edge take their share",
        ),
        ("nothing_beyond_the_edges", weights(hide=0.0), "A place beyond the edge"),
        (
            "nothing_beyond_the_edges",
            weights(after=lambda a: torch.cat([0 * a[..., :1, :], a[..., 1:, :]], -2)),
            "never gets any weight: h=2, w=0, dy=0, dx=2",
        ),
        ("content_and_place_in_windows", weights(lambda s: s / 2), "0.5 times as large"),
    ],
)
def test_a_broken_map_is_told_by_what_it_breaks(law, answer, says):
    assert says in LAWS[law](look("stand_alone.local_weights", answer))


def test_each_term_of_the_scores_is_told_apart():
    def answer(q, k, rows, columns, window):
        return local_weights(q, 3 * k, 2 * rows, columns, window)

    said = LAWS["content_and_place_in_windows"](look("stand_alone.local_weights", answer))
    assert "q · k 3 times, the row's half of q · r 2 times." in said


@pytest.mark.parametrize(
    ("law", "mix", "says"),
    [
        (
            "equal_values_stay",
            lambda a, v, window: (a * windows(v, window)).sum((-1, -2)) / 2,
            "you return 0.5 instead of 1",
        ),
        (
            "equal_values_stay",
            lambda a, v, window: (a * windows(v, window)).amax((-1, -2)),
            "not the values' mean with weights",
        ),
        (
            "equal_values_stay",
            lambda a, v, window: (
                (a.flatten(-2).mean(-1) + 0 * v) * 0 + windows(v, window).mean((-1, -2))
            ),
            "0.36 at its edges",
        ),
        (
            "values_reach_half_a_window",
            lambda a, v, window: (a * windows(v.roll(-1, -1), window)).sum((-1, -2)),
            "reaches rows 1 to 5 and columns 0 to 4",
        ),
    ],
)
def test_a_broken_mean_is_told_by_what_it_breaks(law, mix, says):
    assert says in LAWS[law](look("stand_alone.local_attention", output(mix)))


def test_shares_of_a_place_that_sum_over_the_wrong_axis_are_told():
    class Wrong(SpatialValues):
        def shares(self):
            place = self.rows[:, None] + self.columns
            return (place @ self.mixture.mT).square().softmax(0)

    assert "Your shares sum to 1 over dy" in check("stand_alone.spatial_values", Wrong).message


def test_shares_that_sum_to_nothing_in_particular_are_told():
    class Wrong(SpatialValues):
        def shares(self):
            return super().shares().flip(0) * 3

    said = check("stand_alone.spatial_values", Wrong).message
    assert "sum to 3 over the mixtures; they must sum to 1" in said


class WithItsInput(StandAloneSelfAttention2d):
    def forward(self, x):
        y = super().forward(x)
        return x + y if x.shape == y.shape else y


class FlooredMean(StandAloneSelfAttention2d):
    def forward(self, x):
        full = StandAloneSelfAttention2d.forward(_without_stride(self), x)
        return full if self.stride == 1 else F.avg_pool2d(full, kernel_size=self.stride)


def _without_stride(layer):
    other = copy(layer)
    other.stride = 1
    return other


def no_zeros_around(x, window):
    return x.unfold(-2, window, 1).unfold(-2, window, 1)


def as_wide_as_the_queries(q, k, v, rows, columns, window):
    return local_attention(q, k, v, rows, columns, window).reshape(q.shape)


def up_to_99(channels, kernel=3):
    found = [k for k in range(1, 100, 2) if 3 * channels + 2 * k**2 <= kernel**2 * channels]
    return max(found, default=0)


def from_three_on(channels, kernel=3):
    found = [k for k in range(3, 999, 2) if 3 * channels + 2 * k**2 <= kernel**2 * channels]
    return max(found, default=0)


@pytest.mark.parametrize(
    ("id", "answer", "says"),
    [
        ("stand_alone.stand_alone_self_attention", WithItsInput, "You add the input"),
        ("stand_alone.stand_alone_self_attention", FlooredMean, "row or column of an odd map"),
        ("stand_alone.windows", no_zeros_around, "The picture is not padded"),
        ("stand_alone.local_attention", as_wide_as_the_queries, "do not fill the shape"),
        ("stand_alone.largest_window", up_to_99, "returns 99; it should return 345"),
        ("stand_alone.largest_window", from_three_on, "Your search begins at 3"),
    ],
)
def test_what_other_people_write_is_told_by_its_cause(id, answer, says):
    verdict = check(id, answer)
    assert not verdict
    assert says in verdict.message.splitlines()[0]


def test_an_even_window_must_be_refused():
    def without_a_word(x, window):
        padded = F.pad(x, (window // 2,) * 4)
        return padded.unfold(-2, window, 1).unfold(-2, window, 1)

    verdict = check("stand_alone.windows", without_a_word)
    assert "does not refuse an even window" in verdict.message


def test_shares_below_nothing_are_told():
    class Wrong(SpatialValues):
        def shares(self):
            return super().shares().flip(0) - 0.5

    assert "shares are negative" in check("stand_alone.spatial_values", Wrong).message
