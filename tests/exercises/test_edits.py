"""A slip is an edit of the solution: found once, written otherwise, compiled in its module."""

import re
from dataclasses import replace
from itertools import combinations

import pytest
import torch
from torch import nn

from attncourse import course
from attncourse.checker.calling import run
from attncourse.checker.equal import same
from attncourse.checker.trials import prepare
from attncourse.errors import Broken
from attncourse.exercises import edited
from attncourse.exercises.edited import place_of, right_ways, slips_of
from attncourse.exercises.edits import Edit, often, published, wrong
from attncourse.exercises.edits import same as right
from attncourse.exercises.record import Exercise, Trial
from attncourse.exercises.source import source

OFFSET = 3.0


def scaled(x, factor=2.0):
    """x * factor + OFFSET, in words that an edit must not find."""
    if factor == 0:
        raise ValueError(f"{factor=} leaves nothing")
    y = x * factor
    y = y.relu()
    return y + OFFSET


class Gate(nn.Module):
    """A gain a channel."""

    def __init__(self, channels: int):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(channels))

    def attention(self, x):
        """The gains."""
        return self.gain.sigmoid()

    def forward(self, x):
        """x, gained."""
        return x * self.attention(x)


class Deeper(Gate):
    """A gate whose method asks its parent."""

    def forward(self, x):
        """Twice."""
        return 2 * super().forward(x)


def an_exercise(solution, *slips, **more):
    module = isinstance(solution, type)
    fields = dict(
        id=f"made.{solution.__name__.lower()}",
        solution=solution,
        probes={"forward": "b c"} if module else {solution.__name__: "b c"},
        trials=lambda: (Trial("", dict(b=2, c=3), dict(x="b c"), dict(channels=3)),),
        slips=slips,
        hints=(),
        minutes=1,
        difficulty=1,
        blank=tuple(n for n in ("attention", "forward") if n in vars(solution))
        if module
        else (),
    )
    return Exercise(**fields | more)


def only(ex):
    (one,) = slips_of(ex)
    return one


X = torch.tensor([[-1.0, 0.5, 2.0]], dtype=torch.float64)


def test_an_edit_changes_what_it_names_and_nothing_else():
    one = only(an_exercise(scaled, wrong("tanh", ".relu()", ".tanh()", "A tanh.")))
    assert (one.name, one.message, one.variant, one.parts) == ("tanh", "A tanh.", False, ())
    assert torch.equal(one.answer(X), (X * 2).tanh() + 3)
    assert torch.equal(scaled(X), (X * 2).relu() + 3)


def test_further_edits_of_a_slip_are_made_with_it():
    one = only(an_exercise(scaled, wrong("two", "y + OFFSET", "y", "", ("x * factor", "x"))))
    assert torch.equal(one.answer(X), X.relu())


def test_the_names_of_the_solutions_module_come_before_the_vocabulary():
    ex = an_exercise(
        scaled, wrong("with_einops", "y.relu()", 'reduce(y, "b c -> b 1", "max")', "")
    )
    assert torch.equal(only(ex).answer(X), X.new_full((1, 1), 7.0))
    assert only(ex).answer.__globals__["OFFSET"] == OFFSET


def test_a_method_is_edited_in_a_class_that_keeps_its_constructor():
    made = only(an_exercise(Gate, wrong("tanh", ".sigmoid()", ".tanh()", ""))).answer
    assert issubclass(made, Gate)
    assert made.__init__ is Gate.__init__
    assert torch.equal(made(3)(torch.ones(2, 3)), torch.ones(3).tanh().expand(2, 3))


def test_a_method_that_asks_its_parent_still_does():
    made = only(an_exercise(Deeper, wrong("thrice", "2 *", "3 *", ""))).answer
    x = torch.ones(2, 3)
    assert torch.allclose(made(3)(x), 3 * Gate(3)(x))


@pytest.mark.parametrize(
    ("old", "said"),
    [
        ("z.exp()", "'z.exp()' stands nowhere in what the learner writes of scaled"),
        ("y", "'y' stands 4 times in what the learner writes of scaled; it should stand once"),
        ("in words", "'in words' stands nowhere"),  # a docstring is not written by the learner
        ("factor=2.0", "'factor=2.0' stands nowhere"),  # nor is the signature
    ],
)
def test_text_that_is_gone_or_stands_twice_is_told_with_the_file_to_mend(old, said):
    with pytest.raises(Broken, match=re.escape(said)) as told:
        slips_of(an_exercise(scaled, wrong("lost", old, "1", "")))
    assert str(told.value).startswith("made.scaled: the slip lost: ")
    assert str(told.value).endswith("Mend it in attncourse/exercises/made/scaled.py.")
    assert "\n" not in str(told.value)


def test_text_outside_the_blanked_methods_is_not_edited():
    with pytest.raises(Broken, match="stands nowhere"):
        slips_of(an_exercise(Gate, wrong("zeros", "torch.ones", "torch.zeros", "")))


def test_an_edit_that_changes_nothing_is_told():
    with pytest.raises(Broken, match="is replaced by itself"):
        slips_of(an_exercise(scaled, wrong("nothing", "y.relu()", "y.relu()", "")))


def test_edits_of_one_slip_that_overlap_are_told():
    ex = an_exercise(scaled, wrong("both", "y.relu()", "y", "", (".relu()", ".tanh()")))
    with pytest.raises(
        Broken, match=r"made\.scaled: the slip both: its edits overlap\. Mend it in"
    ):
        slips_of(ex)


def test_what_is_no_python_is_told_in_one_line():
    one = only(an_exercise(scaled, wrong("cut", "y.relu()", "y.relu(", "")))
    with pytest.raises(
        Broken, match=r"made\.scaled: the slip cut: it is no Python: .*Mend it in"
    ) as told:
        _ = one.answer
    assert "\n" not in str(told.value)


def test_further_lines_are_indented_as_the_line_in_which_the_place_begins():
    ex = an_exercise(
        scaled,
        wrong(
            "in_lines",
            "y = x * factor\ny = y.relu()",
            "y = x\nif factor > 1:\n    y = y.relu()",
            "",
        ),
    )
    assert torch.equal(only(ex).answer(X), X.relu() + 3)
    assert torch.equal(only(ex).answer(X, 1.0), X + 3)


def test_only_what_differs_is_a_place():
    ex = an_exercise(scaled)
    place = place_of(ex, Edit("return y + OFFSET", "return y - OFFSET"), source(ex))
    assert source(ex)[place.start : place.stop] == "+"
    assert place.new == "-"
    inserted = place_of(ex, Edit("y.relu()", "y.abs().relu()"), source(ex))
    assert inserted.start == inserted.stop
    assert inserted.new in ("abs().", ".abs()")


def test_slips_that_are_often_made_combine_where_they_do_not_meet():
    slips = often(
        wrong("tanh", ".relu()", ".tanh()", "One."),
        wrong("nothing", ".relu()", "", "Two."),
        wrong("minus", "y + OFFSET", "y - OFFSET", "Three."),
    )
    rare = wrong("halved", "x * factor", "x / factor", "Four.")
    made = {one.name: one for one in slips_of(an_exercise(scaled, *slips, rare))}
    pairs = [name for name, one in made.items() if one.parts]
    assert pairs == ["tanh + minus", "nothing + minus"]
    assert made["tanh + minus"].message == "Two things at once. One. And: Three."
    assert torch.equal(made["nothing + minus"].answer(X), X * 2 - 3)


def test_insertions_at_one_place_do_not_combine():
    slips = often(
        wrong("abs", "y.relu()", "y.abs().relu()", ""),
        wrong("neg", "y.relu()", "y.neg().relu()", ""),
    )
    assert [one.name for one in slips_of(an_exercise(scaled, *slips))] == ["abs", "neg"]


def test_a_slip_is_known_with_every_other_right_way_to_write_the_rest():
    ex = an_exercise(
        scaled,
        wrong("minus", "y + OFFSET", "y - OFFSET", ""),
        wrong("tanh", ".relu()", ".tanh()", ""),
        right("y.relu()", "y.clamp(min=0)"),
    )
    minus, tanh = slips_of(ex)
    assert len(minus.answers) == 2
    assert torch.equal(minus.answers[1]()(X), minus.answer(X))
    assert "clamp" in source(replace(ex, solution=minus.answers[1]()))
    assert len(tanh.answers) == 1  # it is that step which is wrong
    ((what, way),) = right_ways(ex).items()
    assert what == "y.clamp(min=0)"
    assert torch.equal(way(X), scaled(X))


def test_a_published_reading_is_a_variant():
    one = only(
        an_exercise(scaled, published("as_released", ".relu()", ".abs()", "As released."))
    )
    assert one.variant


def test_an_answer_is_compiled_once_and_only_when_it_is_asked_for(monkeypatch):
    asked = []
    answer = edited._answer
    monkeypatch.setattr(edited, "_answer", lambda *given: asked.append(0) or answer(*given))
    ex = an_exercise(
        scaled, *often(wrong("a", ".relu()", "", ""), wrong("b", "y + ", "y - ", ""))
    )
    a, _, _ = slips_of(ex)
    assert asked == []
    assert a.answer is a.answer
    assert len(asked) == 1


def test_every_edit_of_the_course_fits_its_solution():
    for ex in course.exercises().values():
        for one in slips_of(ex):
            assert callable(one.answer), f"{ex.id}: {one.name}"


def test_pairs_are_what_both_of_their_parts_are():
    """Two edits in different methods: the pair has both."""
    slips = often(
        wrong("tanh", ".sigmoid()", ".tanh()", ""), wrong("plus", "x * self", "x + self", "")
    )
    ex = an_exercise(Gate, *slips, probes={"attention": " c", "forward": "b c"})
    (trial,) = (prepare(ex, one, one.name) for one in ex.trials())
    made = {one.name: run(ex, one.answer, trial).outcomes for one in slips_of(ex)}
    both = made["tanh + plus"]
    assert same(both["attention"], made["tanh"]["attention"])
    assert not any(same(a["forward"], b["forward"]) for a, b in combinations(made.values(), 2))
