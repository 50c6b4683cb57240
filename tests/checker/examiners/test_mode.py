"""A trial is one of training or of evaluation, and the other mode is tried as well."""

from told import written
from torch import nn

from attncourse import check
from attncourse.exercises.edited import copy
from attncourse.exercises.record import Exercise, Trial


class Normed(nn.Module):
    """A layer whose factor BatchNorm takes back while training."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(3)

    def forward(self, x):
        return self.norm(x)


class Doubled(Normed):
    """You double x."""

    def forward(self, x):
        return self.norm(2 * x)


class BatchStatistics(Normed):
    """You always use the statistics of the batch."""

    def forward(self, x):
        return nn.functional.batch_norm(x, None, None, *self.norm.parameters(), training=True)


class RunningStatistics(Normed):
    """You always use the running statistics."""

    def forward(self, x):
        moments = self.norm.running_mean, self.norm.running_var
        return nn.functional.batch_norm(x, *moments, *self.norm.parameters())


def normed(*trials, slips=()):
    """An exercise with a trial for each mode that is asked for."""
    return Exercise(
        id="engine.normed",
        solution=Normed,
        probes={"forward": "b c"},
        trials=lambda: tuple(
            Trial(f"while evaluate is {e}", dict(b=50, c=3), dict(x="b c"), evaluate=e)
            for e in trials
        ),
        slips=slips,
        hints=(),
        minutes=1,
        difficulty=1,
        blank=("forward",),
        skip=frozenset({"gradients"}),
    )


def test_a_trial_may_be_one_of_evaluation():
    slips = (RunningStatistics, Doubled, BatchStatistics)
    for trials in [(True, False), (False, True), (True,)]:
        ex = normed(*trials, slips=slips)
        assert check(ex, copy(ex)).status == "passed"
        for answer in slips:
            named = check(ex, answer).slip == answer.__name__
            assert named or (trials == (True,) and answer is RunningStatistics)


def test_dropout_knows_its_mode():
    class Forgetful(written("transformer.residual")):
        def forward(self, x, function):
            inner = self.norm(x) if self.pre else x
            y = x + nn.functional.dropout(function(inner), self.dropout.p)
            return y if self.pre else self.norm(y)

    assert "after `.eval()`, too" in check("transformer.residual", Forgetful).message


class Half(nn.Module):
    """Half of what comes in is dropped, and the rest of it, too."""

    def __init__(self, p: float = 0.0):
        super().__init__()
        self.dropout = nn.Dropout(p)

    def forward(self, x):
        return x + self.dropout(x / 2)


class OnTheSum(Half):
    def forward(self, x):
        return self.dropout(x + x / 2)


def test_dropout_has_its_place():
    ex = Exercise(
        id="engine.half",
        solution=Half,
        probes={"forward": "b c"},
        trials=lambda: (Trial("plain", dict(b=5, c=3), dict(x="b c")),),
        slips=(),
        hints=(),
        minutes=1,
        difficulty=1,
        blank=("forward",),
    )
    assert check(ex, copy(ex)).status == "passed"
    assert "drops other numbers in training" in check(ex, OnTheSum).message


def test_statistics_that_stand_still_are_seen():
    class Still(Normed):
        def forward(self, x):
            norm = self.norm
            moments = norm.running_mean.clone(), norm.running_var.clone()
            weights = norm.weight, norm.bias
            return nn.functional.batch_norm(x, *moments, *weights, self.training)

    assert check(normed(False, True), Still).slip == "statistics_stand_still"


def test_the_mode_without_a_trial_is_tried_as_well():
    assert "departs after `.eval()`" in check(normed(False), BatchStatistics).message
    assert "departs in training mode" in check(normed(True), RunningStatistics).message
