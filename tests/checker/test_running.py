"""An answer that raises is told on its own line."""

import torch

from attncourse.checker.running import Crash, attempt


def test_a_crash_knows_the_learners_own_line():
    def learner(q, k):
        return q @ k

    crash = attempt(lambda: learner(torch.ones(2, 3), torch.ones(2, 3)))
    assert isinstance(crash, Crash)
    assert crash.line == "return q @ k"
    assert crash.lineno == 2
    assert crash.shapes == {"q": (2, 3), "k": (2, 3)}
