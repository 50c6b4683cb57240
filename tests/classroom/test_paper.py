"""Outside, right answers are right for any seed, and wrong ones are not."""

import json

import pytest
import torch

from attncourse import course
from attncourse.checker.running import calm
from attncourse.checker.sheet import slips
from attncourse.classroom.inside.answering import answer_to
from attncourse.classroom.inside.frames import packed, unpacked
from attncourse.classroom.paper import Paper
from attncourse.exercises.edited import copy

FEW = "shapes.strip", "channel.placement_of", "spatial.grad_cam", "transformer.greedy"
MORE = (
    "fast.merge",
    "relative_2d.attention_widths",
    "channel.gather_excite",
    "non_local.danet_head",
)
COUNTED = {"largest_tensor"}  # what an answer spends is counted inside


def fault(ex, paper, answer):
    """What a paper says of an answer, through the pipe and back."""
    body, out = bytearray(), bytearray()
    asks = json.loads(json.dumps(paper.packed(body)))
    with calm():
        replies = [answer_to(ex, answer, ask, bytes(body)) for ask in asks]
    return paper.fault(unpacked(json.loads(json.dumps(packed(replies, out))), bytes(out)))


@pytest.mark.parametrize("id", [*FEW, *MORE])
@pytest.mark.parametrize("seed", ["one", "another"])
def test_right_answers_are_right(id, seed):
    ex = course.exercise(id)
    paper = Paper(ex, seed)
    for answer in (copy(ex), *ex.otherwise):
        assert fault(ex, paper, answer) is None


@pytest.mark.parametrize("id", [*FEW, *MORE])
def test_every_slip_departs(id):
    ex = course.exercise(id)
    paper = Paper(ex, "a seed")
    for slip in slips(ex):
        if not slip.variant and slip.name not in COUNTED:
            assert fault(ex, paper, slip.answer) is not None, slip.name


def test_a_published_variant_is_right():
    found = [(ex, s) for ex in course.exercises().values() for s in slips(ex) if s.variant]
    assert found
    for ex, slip in found[:3]:
        assert fault(ex, Paper(ex, "a seed"), slip.answer) is None


def test_inputs_differ_from_seed_to_seed():
    ex = course.exercise("shapes.strip")
    one, other = (Paper(ex, seed).questions[0].trial.inputs["pictures"] for seed in "ab")
    assert one.shape == other.shape
    assert not torch.equal(one, other)


def test_numbers_are_others_where_nothing_is_drawn():
    ex = course.exercise("multi_head.parameters")
    sizes = {tuple(q.trial.inputs.values()) for s in "abc" for q in Paper(ex, s).questions}
    known = {tuple(t.inputs.values()) for t in ex.trials()}
    assert len(sizes - known) > 4


def test_an_answer_that_is_right_for_what_is_tried_alone_departs():
    ex = course.exercise("channel.squeeze")

    def squeeze(x):
        return ex.solution(x) if x.numel() < 400 else x.amax((2, 3))

    assert max(t.sizes["b"] for t in ex.trials()) < 9
    assert fault(ex, Paper(ex, "a"), squeeze) == "squeeze"


def test_an_answer_without_gradients_departs():
    ex = course.exercise("shapes.strip")

    def strip(pictures):
        return ex.solution(pictures).detach()

    assert fault(ex, Paper(ex, "a"), strip) == "the gradient of strip"


def test_an_answer_that_refuses_nothing_departs():
    ex = course.exercise("multi_head.split_heads")

    def split_heads(x, heads):
        return ex.solution(x, heads) if x.shape[-1] % heads == 0 else x

    assert fault(ex, Paper(ex, "a"), split_heads) == "split_heads"


@pytest.mark.parametrize(
    "replies", [None, [], {}, "x", [None] * 16, [{}] * 16, [{"strip": 3}] * 16]
)
def test_replies_that_are_none_are_wrong(replies):
    assert Paper(course.exercise("shapes.strip"), "a").fault(replies) == "strip"
