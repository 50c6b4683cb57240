"""Slips as edits of a solution: what stands beside them."""

import torch

from attncourse.exercises.edits import right_ways, same, slips_of, unsaid, wrong
from attncourse.exercises.record import Exercise, Trial
from solutions.fast.tiles import online_softmax

HALVED = wrong("halved", " / total", " / total / 2", "You halve the shares.")
FROM_INF = unsaid("torch.finfo(x.dtype).min", "-math.inf")
BY_TORCH = same("(x - largest).exp()", "torch.exp(x - largest)")


def exercise(*slips):
    return Exercise(
        id="fast.online_softmax",
        solution=online_softmax,
        probes={"online_softmax": "b j"},
        trials=lambda: (Trial("", dict(b=2, j=3), {"x": "b j", "tile": 2}),),
        slips=slips,
        hints=(),
        minutes=1,
        difficulty=1,
    )


def test_what_fails_in_a_corner_stands_beside_a_slip_and_is_not_taken_for_right():
    ex = exercise(HALVED, FROM_INF, BY_TORCH)
    (one,) = slips_of(ex)
    x = torch.tensor([[-torch.inf, -torch.inf, 1.0], [2.0, 1.0, 0.0]])
    usual, from_inf, by_torch = (make()(x, 2) for make in one.answers)
    assert torch.equal(usual, by_torch)
    assert usual.isfinite().all()
    assert from_inf[0].isnan().all()
    assert torch.equal(usual[1], from_inf[1])
    assert list(right_ways(ex)) == ["torch.exp(x - largest)"]
