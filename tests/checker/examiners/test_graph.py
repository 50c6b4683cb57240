"""Answers that take gradients themselves leave no trace of them."""

import torch

from attncourse import check
from attncourse.exercises.edited import copy
from attncourse.exercises.record import Exercise, Trial


def slope(x):
    """The gradient of the sum of squares."""
    x = x.detach().requires_grad_()
    return torch.autograd.grad(x.square().sum(), x)[0]


def test_an_answer_may_take_gradients_itself():
    ex = Exercise(
        id="engine.slope",
        solution=slope,
        probes={"slope": "b c"},
        trials=lambda: (Trial("once", dict(b=2, c=3), dict(x="b c")),),
        slips=(),
        hints=(),
        minutes=1,
        difficulty=1,
        skip=frozenset({"gradients"}),
    )
    assert check(ex, copy(ex)).status == "passed"
    assert check(ex, lambda x: 3 * x).status == "not yet"
