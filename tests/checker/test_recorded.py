"""From a record, without the solution, `check` says what it says beside the solution."""

import json

import pytest
from told import first_line

from attncourse import course
from attncourse.checker import case as cases
from attncourse.checker import examination
from attncourse.checker.examination import check
from attncourse.checker.recorded import Recorded
from attncourse.checker.sheet import sheet
from attncourse.classroom.recording import record
from attncourse.exercises.edited import copy, slips_of

IDS = (
    "shapes.patches",
    "scaled_dot_product.softmax",
    "scaled_dot_product.padding_mask",
    "multi_head.parameters",
    "positional.relative_attention",
    "transformer.encoder_layer",
    "transformer.greedy",
    "channel.squeeze_excite",
    "channel.residual",
    "spatial.grad_cam",
)


@pytest.fixture(scope="module", params=IDS)
def known(request):
    ex = course.exercise(request.param)
    return ex, Recorded(ex, json.loads(json.dumps(record(ex))))


@pytest.fixture(autouse=True)
def nothing_is_adopted(monkeypatch):
    """The solutions stay what they are for the tests that follow."""
    monkeypatch.setattr(examination, "adopt", lambda ex, answer: None)


def both(known, answer, monkeypatch):
    """The verdicts beside the solution, and from the record."""
    ex, recorded = known
    beside = check(ex, answer)
    monkeypatch.setattr(cases, "sheet", lambda _: recorded)
    return beside, check(ex, answer)


def test_right_answers_pass(known, monkeypatch):
    for answer in (copy(known[0]), *known[0].otherwise):
        beside, recorded = both(known, answer, monkeypatch)
        assert (recorded.status, recorded.message) == (beside.status, beside.message)
        assert recorded.status == "passed"


def test_slips_are_caught_and_named_alike(known, monkeypatch):
    single = [slip for slip in slips_of(known[0]) if not slip.parts]
    assert single
    for slip in single:
        beside, recorded = both(known, slip.answer, monkeypatch)
        assert (recorded.status, recorded.slip) == (beside.status, beside.slip), slip.name
        assert first_line(recorded) == first_line(beside)


def test_what_has_no_name_is_refused_all_the_same(monkeypatch):
    ex = course.exercise("channel.squeeze_excite")
    known = ex, Recorded(ex, json.loads(json.dumps(record(ex))))

    class Odd(ex.solution):
        def attention(self, x):
            return super().attention(x) ** 1.37

    _, recorded = both(known, Odd, monkeypatch)
    assert recorded.status == "not yet"
    assert recorded.message.splitlines()[0]


def test_a_record_holds_no_number_of_an_expected_outcome():
    ex = course.exercise("channel.squeeze")
    text, known = json.dumps(record(ex)), sheet(ex)
    for index in known.declared:
        for x in known.expected(index, "squeeze").flatten().tolist():
            assert f"{x:.8g}"[:9] not in text


def test_a_variation_that_passes_in_another_answer_is_left_out():
    ex = course.exercise("relative_2d.relative_weights")

    def passed_in(known):
        names = (one.varied.trial.name for group in known.varied.values() for one in group)
        return [name for name in names if "another `logits`" in name]

    assert passed_in(sheet(ex))
    assert not passed_in(Recorded(ex, json.loads(json.dumps(record(ex)))))
