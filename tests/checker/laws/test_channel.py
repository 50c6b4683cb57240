"""Wrong gates that no slip knows, and what the laws say of them."""

import pytest
import torch
from einops import rearrange, reduce
from torch.nn import functional as F

from attncourse import check
from solutions.channel import SqueezeExcite, identity, residual, squeeze


def excite(attention=None, forward=None):
    """A SqueezeExcite with a method of another's."""
    body = {"attention": attention, "forward": forward}
    return type("Answer", (SqueezeExcite,), {n: f for n, f in body.items() if f})


def logits(self, x):
    return self.up(self.down(squeeze(x)).relu())


def said(id, answer):
    """The cause, for an answer that is wrong and that no slip recognises."""
    verdict = check(id, answer)
    assert verdict.status == "not yet"
    assert verdict.slip is None
    return verdict.message.splitlines()[0]


def test_gains_outside_of_0_and_1_are_told():
    cause = said("channel.squeeze_excite", excite(lambda self, x: 1.3 * logits(self, x).exp()))
    assert "must lie between 0 and 1" in cause


@pytest.mark.parametrize(
    ("turn", "says"),
    [(lambda t: t / 4, "is 0.25 times"), (lambda t: t - 1, "is -1 too large")],
)
def test_what_is_done_to_the_logits_is_read_off(turn, says):
    cause = said(
        "channel.squeeze_excite", excite(lambda self, x: turn(logits(self, x)).sigmoid())
    )
    assert says in cause


def test_what_is_added_is_seen_where_x_is_0():
    def forward(self, x):
        return x + rearrange(self.attention(x), "b c -> b c 1 1") * x.flip(-1)

    assert "Where x is 0" in said("channel.squeeze_excite", excite(None, forward))


def test_another_squeeze_than_the_mean_is_told():
    def attention(self, x):
        spread = (x - x.mean((-2, -1), keepdim=True)).square().mean((-2, -1))
        return self.up(self.down(squeeze(x) + 3 * spread).relu()).sigmoid()

    cause = said("channel.squeeze_excite", excite(attention))
    assert "not the mean of each map" in cause


def test_pixels_that_do_not_count_alike_are_told():
    cause = said("channel.squeeze", lambda x: reduce(x[..., 1:], "b c h w -> b c", "mean"))
    assert "Shuffle the pixels" in cause


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (lambda x: x.sum((-2, -1)) / x.shape[1], "1 everywhere you return"),
        (lambda x: x.flatten(2).abs().log().mean(-1).exp(), "Turn the sign"),
    ],
)
def test_what_is_no_mean_is_told(answer, says):
    assert says in said("channel.squeeze", answer)


def blocks(**places):
    """`residual` with some placements of another's."""

    def answer(x, branch, gate, placement="standard", shortcut=identity):
        if placement in places:
            return places[placement](x, branch, gate, shortcut)
        return residual(x, branch, gate, placement, shortcut)

    return answer


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (
            blocks(standard=lambda x, f, g, s: s(x) - g(-f(x))),
            'In "standard" you return negative numbers',
        ),
        (
            blocks(post=lambda x, f, g, s: s(x) + g(F.relu(f(x)))),
            'In "post", with a branch that returns 0',
        ),
        (
            blocks(standard=lambda x, f, g, s: F.relu(s(x) - 1.5 * g(f(x)))),
            'In "standard", with a gate that does nothing',
        ),
        (
            blocks(standard=lambda x, f, g, s: F.relu(s(x) + g(g(g(f(x)))))),
            'In "standard", with x = 1, a branch that returns 1 and a gate that halves',
        ),
    ],
)
def test_where_a_gate_stands_is_read_off(answer, says):
    assert says in said("channel.residual", answer)


def test_a_law_that_does_not_fit_says_nothing():
    """A sigmoid of something else altogether is not called a multiple of the right thing."""

    def attention(self, x):
        return (logits(self, x).square() + torch.arange(x.shape[1])).sigmoid()

    assert said("channel.squeeze_excite", excite(attention)).startswith("The result is")


def test_a_sum_that_is_none_is_told_apart_from_a_gate_at_the_wrong_place():
    def halved(x, branch, gate, placement="standard", shortcut=identity):
        if placement != "standard":
            return residual(x, branch, gate, placement, shortcut)
        return ((shortcut(x) + gate(branch(x))) / 3).relu()

    assert "with a gate that does nothing, you return 0.3333 times x" in said(
        "channel.residual", halved
    )
