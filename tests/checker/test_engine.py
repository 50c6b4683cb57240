"""Families, counts, stages and help: the small parts of the engine."""

import pytest
import torch
from einops import rearrange
from torch import nn

from attncourse import check
from attncourse.book.helping import hint, solution
from attncourse.checker import stages
from attncourse.checker.building import build
from attncourse.checker.running import Crash, attempt
from attncourse.checker.sheet import sheet, slips
from attncourse.course import chapter, exercise, exercises
from attncourse.errors import UnknownExercise
from attncourse.exercises import families
from attncourse.exercises.edits import slips_of
from attncourse.exercises.record import Exercise, Trial
from attncourse.papers.counting import count
from solutions.multi_head import MultiHeadAttention, multiply_adds


def doubled(x):
    """Twice."""
    return 2 * x


def negated(x):
    """Minus."""
    return -x


def shifted(x):
    """One more."""
    return x + 1


def recipe(first=lambda x: x, second=lambda x: x):
    return lambda x: second(first(x))


def test_a_family_has_every_slip_and_every_two_of_different_steps():
    made = families.family(recipe, first=[doubled, negated], second=[shifted])
    assert [one.name for one in made] == [
        "doubled",
        "negated",
        "shifted",
        "doubled + shifted",
        "negated + shifted",
    ]
    assert [one.answer(3) for one in made] == [6, -3, 4, 7, -2]
    assert made[3].message == "Two things at once. Twice. And: One more."


def test_a_choice_may_take_two_steps_and_then_meets_neither():
    @families.also(second=negated)
    def both(x):
        """Both."""
        return x + 5

    made = families.family(recipe, first=[both], second=[shifted])
    assert [one.name for one in made] == ["both", "shifted"]
    assert made[0].answer(1) == -6


def test_a_pair_that_looks_like_one_of_its_parts_is_left_out():
    ex = exercise("scaled_dot_product.scaled_dot_product_attention")
    kept = {one.name for one in slips(ex)}
    assert "plain_mean" in kept
    assert "unscaled + plain_mean" in {one.name for one in slips_of(ex)}
    assert "unscaled + plain_mean" not in kept
    assert "unscaled + over_queries" in kept


def test_multiply_adds_are_counted_as_the_formula_has_them():
    layer = MultiHeadAttention(12, 3)
    x, context = torch.randn(1, 5, 12), torch.randn(1, 7, 12)
    assert count(lambda: layer(x, context)).multiply_adds == multiply_adds(12, 3, 5, 7)


def test_the_largest_tensor_counts_what_is_stored():
    x = torch.randn(3, 5)
    assert count(lambda: x[:, None] * x[None]).largest_tensor == 3 * 3 * 5
    assert count(lambda: x.expand(100, 3, 5)).largest_tensor == 3 * 5
    assert count(lambda: None).largest_tensor == 0


def test_the_inside_of_a_module_is_told_by_what_its_layers_are_given():
    class NoOut(MultiHeadAttention):
        def forward(self, x, context=None, mask=None):
            v = rearrange(self.value(x), "b n (head d) -> b head n d", head=self.heads)
            return rearrange(self.attention(x) @ v, "b head n d -> b n (head d)")

    ex = exercise("multi_head.multi_head_attention")
    trial = sheet(ex).trials[0]
    right, mine = (
        stages.calls(ex, build(ex, one, trial).answer, trial, "forward")
        for one in (MultiHeadAttention, NoOut)
    )
    assert {call.layer for call in right} == {"query", "key", "value", "out"}
    assert stages.departs(mine, right, trial) == "`self.out` is never applied."
    assert "comes after the last" in stages.departs(right, right, trial)


def test_a_crash_knows_the_learners_own_line():
    def learner(q, k):
        return q @ k

    crash = attempt(lambda: learner(torch.ones(2, 3), torch.ones(2, 3)))
    assert isinstance(crash, Crash)
    assert crash.line == "return q @ k"
    assert crash.lineno == 2
    assert crash.shapes == {"q": (2, 3), "k": (2, 3)}


def test_hints_come_one_at_a_time_and_stay_at_the_last():
    id = "scaled_dot_product.causal_mask"
    titles = [hint(id).title for _ in range(4)]
    assert titles == [f"{id}: hint {n} of 3" for n in (1, 2, 3, 3)]
    assert hint(id, 1).text == exercise(id).hints[0]
    with pytest.raises(ValueError, match="has hints 1 to 3"):
        hint(id, 4)


def test_a_solution_is_shown_after_asking(monkeypatch):
    id = "scaled_dot_product.softmax"
    monkeypatch.setattr("builtins.input", lambda _: "n")
    assert "def softmax" not in repr(solution(id))
    monkeypatch.setattr("builtins.input", lambda _: "yes")
    assert "def softmax" in repr(solution(id))
    assert "def softmax" in repr(solution(id, sure=True))


def test_an_unknown_name_comes_back_with_the_nearest():
    with pytest.raises(UnknownExercise, match=r'Did you mean "multi_head[.]split_heads"'):
        exercise("multi_head.split_head")
    with pytest.raises(UnknownExercise, match='Did you mean "01_scaled_dot_product"'):
        chapter("scaled_dot")
    assert chapter("1") is chapter("01_scaled_dot_product.ipynb")


def test_every_exercise_has_its_chapters_name_in_its_id():
    assert all(chapter(ex.chapter).name == ex.chapter for ex in exercises().values())


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
        assert check(ex, Normed).status == "passed"
        for answer in slips:
            named = check(ex, answer).slip == answer.__name__
            assert named or (trials == (True,) and answer is RunningStatistics)


def test_the_mode_without_a_trial_is_tried_as_well():
    assert "departs after `.eval()`" in check(normed(False), BatchStatistics).message
    assert "departs in training mode" in check(normed(True), RunningStatistics).message


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
    assert check(ex, slope).status == "passed"
    assert check(ex, lambda x: 3 * x).status == "not yet"


def test_several_values_may_come_in_a_list():
    def two(x):
        return x + 1, 2 * x

    def listed(x):
        return [x + 1, 2 * x]

    trial = Trial("on two examples", dict(b=2, n=3), dict(x="b n"))
    ex = Exercise("engine.two", two, {"two": ("b n", "b n")}, lambda: (trial,), (), (), 1, 1)
    assert check(ex, listed).status == "passed"
