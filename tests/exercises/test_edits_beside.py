"""Slips as edits of a solution: what stands beside them, and what it calls written out."""

import pytest
import torch

from attncourse.errors import Broken
from attncourse.exercises.edited import right_ways, slips_of
from attncourse.exercises.edits import by_hand, often, same, unsaid, wrong
from attncourse.exercises.record import Exercise, Trial
from solutions.channel import GatherExcite, gather
from solutions.fast.tiles import online_softmax
from solutions.non_local import PositionAttention

HALVED = wrong("halved", " / total", " / total / 2", "You halve the shares.")
FROM_INF = unsaid("torch.finfo(x.dtype).min", "-math.inf")
BY_TORCH = same("(x - largest).exp()", "torch.exp(x - largest)")
WRITTEN_OUT = by_hand(
    "return gaussian_weights(self.query(x), self.key(x))",
    "scores = self.query(x) @ self.key(x).mT\nreturn scores.softmax(-1)",
)
SLIPS = often(
    wrong("subtracted", "x + self.gamma", "x - self.gamma", "…"),
    wrong("averaged", "self.key(x).mT", "self.key(x).mT / x.shape[1]", "…"),
    wrong("over_queries", ".softmax(-1)", ".softmax(-2)", "…"),
    wrong("over_images", ".softmax(-1)", ".softmax(0)", "…"),
    wrong("by_query", "self.key(x)", "self.query(x)", "…"),
)


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


def position(*slips):
    return Exercise(
        id="non_local.position_attention",
        solution=PositionAttention,
        probes={"attention": "b i j", "forward": "b c h w"},
        trials=tuple,
        slips=slips,
        hints=(),
        minutes=1,
        difficulty=1,
        blank=("attention", "forward"),
    )


@pytest.fixture
def x():
    return torch.randn(2, 8, 3, 5, generator=torch.Generator().manual_seed(0))


def made(ex, name):
    """The attention of a slip, with weights that are always the same."""
    (slip,) = (one for one in slips_of(ex) if one.name == name)
    torch.manual_seed(0)
    layer = slip.answer(8, 2)
    torch.nn.init.ones_(layer.gamma)
    return layer


def test_an_edit_may_be_of_what_the_solution_leaves_to_another_function(x):
    layer = made(position(WRITTEN_OUT, *SLIPS), "over_queries")
    tokens = x.flatten(2).mT
    scores = layer.query(tokens) @ layer.key(tokens).mT
    torch.testing.assert_close(layer.attention(x), scores.softmax(-2))


def test_edits_of_both_texts_are_made_at_once(x):
    ex = position(WRITTEN_OUT, *SLIPS)
    names = {one.name for one in slips_of(ex)}
    assert "averaged + over_queries" in names
    assert "over_queries + by_query" in names
    assert "over_queries + over_images" not in names
    layer = made(ex, "subtracted + averaged")
    tokens = x.flatten(2).mT
    a = (layer.query(tokens) @ layer.key(tokens).mT / 15).softmax(-1)
    found = (a @ layer.value(tokens)).mT.reshape(x.shape)
    torch.testing.assert_close(layer(x), x - found)


def test_what_is_written_out_is_another_right_way(x):
    ways = right_ways(position(WRITTEN_OUT, same(".softmax(-1)", ".softmax(2)"), *SLIPS))
    assert len(ways) == 2
    for way in ways.values():
        layer, right = way(8, 2), PositionAttention(8, 2)
        right.load_state_dict(layer.state_dict())
        torch.testing.assert_close(layer.attention(x), right.attention(x))


def test_a_text_that_stands_in_neither_is_told():
    ex = position(WRITTEN_OUT, wrong("lost", "softmax(-3)", "softmax(0)", "…"))
    with pytest.raises(Broken, match=r"the slip lost: 'softmax\(-3\)' stands nowhere"):
        slips_of(ex)


def test_an_edit_that_makes_no_python_is_told():
    (slip,) = slips_of(position(wrong("open", "x + self.gamma", "x + (self.gamma", "…")))
    with pytest.raises(Broken, match=r"open: it is no Python: '\(' was never closed"):
        slip.answer(8, 2)


def test_an_edited_method_still_calls_the_function_of_its_name():
    taken_off = wrong("taken_off", "return gather(", "return -gather(", "You take it off.")
    ex = Exercise(
        id="channel.gather_excite",
        solution=GatherExcite,
        probes={"gather": "b c u v"},
        trials=tuple,
        slips=(taken_off,),
        hints=(),
        minutes=1,
        difficulty=1,
        blank=("gather",),
    )
    (slip,) = slips_of(ex)
    x = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(slip.answer(3, extent=2).gather(x), -gather(x, 2))
