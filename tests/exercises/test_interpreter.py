"""A step of a kernel in Triton, checked like any other answer."""

import pytest
import torch

from attncourse import check, places
from attncourse.checker.calling import parameters, probe_of
from attncourse.course import exercise
from attncourse.exercises import interpreter
from attncourse.exercises.edited import copy
from attncourse.workshop.doctor import examine_exercise
from solutions.fast.kernel import online_step

ID = "fast.online_step"
here = pytest.mark.skipif(bool(interpreter.missing()), reason=interpreter.missing() or "there")
if not interpreter.missing():
    import triton
    import triton.language as tl


def said(answer):
    verdict = check(ID, answer)
    assert verdict.status == "not yet"
    return verdict.message


def test_an_answer_is_called_through_what_the_exercise_says():
    ex = exercise(ID)
    assert parameters(ex, "online_step") == ("q", "k", "v")
    assert probe_of(ex, 3, "online_step").args == (3,)


@here
def test_a_step_passes_decorated_or_not():
    assert check(ID, copy(exercise(ID))).status == "passed"
    assert check(ID, online_step).status == "taken over"

    @triton.jit
    def decorated(scores, v, largest, total, read):
        new = tl.maximum(largest, tl.max(scores, 1))
        shares = tl.exp(scores - new[:, None])
        fade = tl.exp(largest - new)
        read = read * fade[:, None] + tl.dot(shares, v, input_precision="ieee")
        return new, total * fade + tl.sum(shares, 1), read

    assert check(ID, decorated).status == "passed"


@here
def test_a_crash_quotes_the_learners_own_line():
    def broadcast(scores, v, largest, total, read):
        new = tl.maximum(largest, tl.max(scores, 1))

        shares = tl.exp(scores - new)
        return new, total, read + tl.dot(shares, v)

    message = said(broadcast)
    assert "stops at line 4: `shares = tl.exp(scores - new)`" in message
    assert "`scores` is i j, `new` is i" in message

    def torchs(scores, v, largest, total, read):
        return torch.maximum(largest, scores.amax(1)), total, read

    assert "`tl.max(x, 1)`" in said(torchs)

    def matrices(scores, v, largest, total, read):
        return largest, total, read + scores @ v

    assert "`@` do not work on tiles" in said(matrices)


@here
def test_what_a_step_returns_is_looked_at():
    def nothing(scores, v, largest, total, read):
        largest = tl.maximum(largest, tl.max(scores, 1))

    assert "`return` is missing" in said(nothing)

    def two(scores, v, largest, total, read):
        return largest, total

    assert "returns 2 values; it should return 3: `largest`, `total`, `read`" in said(two)

    def shape(scores, v, largest, total, read):
        return largest[:, None], total, read

    assert "`largest` has the axes i 1; it should have i." in said(shape)


@here
def test_a_check_leaves_the_names_of_the_learner_alone():
    names = {"tl": tl}
    exec(
        "def online_step(scores, v, largest, total, read):\n    return largest, total, read",
        names,
    )
    before = set(names)
    assert check(ID, names["online_step"]).status == "not yet"
    assert set(names) == before


@here
def test_a_stub_is_not_attempted_and_arguments_keep_their_order():
    def stub(scores, v, largest, total, read):
        raise NotImplementedError

    assert check(ID, stub).status == "not attempted"

    def other(v, scores, largest, total, read):
        return largest, total, read

    assert check(ID, other).slip == "arguments_in_another_order"


def test_without_triton_one_line_says_what_it_needs(monkeypatch):
    monkeypatch.setattr(interpreter, "find_spec", lambda name: None)
    verdict = check(ID, online_step)
    assert verdict.status == "not attempted"
    assert verdict.message == (
        "Not checked: this exercise needs Triton, a gigabyte that is there for Linux. "
        f"Go on without it, or add it: {places.extra('kernels')}."
    )
    assert examine_exercise(exercise(ID)) == []
