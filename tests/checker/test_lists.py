"""The two lists of the checker: every file stands in one, once; coarse comes before fine."""

from dataclasses import replace
from pkgutil import iter_modules

import pytest
import torch
from told import ATTENTION, HEADS, SOFTMAX, first_line

from attncourse import check
from attncourse.checker import diagnosis, examiners
from attncourse.checker.examination import EXAMINERS
from attncourse.checker.sheet import sheet
from attncourse.course import exercise
from solutions.channel import residual
from solutions.multi_head import MultiHeadAttention, parameters
from solutions.scaled_dot_product import (
    AdditiveAttention,
    scaled_dot_product_attention,
    softmax,
)
from solutions.spatial import ChannelBranch

ADDITIVE = "scaled_dot_product.additive_attention"
TRIALS = len(sheet(exercise(ATTENTION)).declared)
LISTS = [(examiners, EXAMINERS), (diagnosis, diagnosis.WAYS)]


@pytest.mark.parametrize(("folder", "listed"), LISTS, ids=["examiners", "diagnosis"])
def test_every_file_stands_in_its_list_once(folder, listed):
    names = [one.__name__.removeprefix(f"{folder.__name__}.") for one in listed]
    assert sorted(names) == sorted(file.name for file in iter_modules(folder.__path__))


@pytest.mark.parametrize(
    "one", [one for _, listed in LISTS for one in listed], ids=lambda one: one.__name__[19:]
)
def test_every_file_opens_with_its_question(one):
    assert "?" in one.__doc__
    assert len(one.__doc__.splitlines()) < 6


def reversed_in_each(y):
    """The same numbers of each example, from the last to the first."""
    return y.flatten(1).flip(1).reshape(y.shape)


# functions


class AClass:
    def __init__(self, k, q, v, mask=None):  # in another order, too
        pass


def random_and_wrong(q, k, v, mask=None):
    y = scaled_dot_product_attention(q, k, v, mask)
    return 3 * y + torch.rand_like(y)


def in_place_and_random(q, k, v, mask=None):
    q *= 2
    y = scaled_dot_product_attention(q, k, v, mask)
    return y + torch.rand_like(y)


def slip_of_another_kind(q, k, v, mask=None):  # known as a slip, and two values for one
    eye = torch.eye(k.shape[1]).to(k).expand(len(k), -1, -1)
    weights = scaled_dot_product_attention(q, k, eye, mask)
    return weights @ v, weights


def another_shape_and_too_large(q, k, v, mask=None):
    return 7 * scaled_dot_product_attention(q, k, v, mask)[..., None]


def single_and_nearly(q, k, v, mask=None):
    return scaled_dot_product_attention(q, k, v, mask).float()


def reversed_and_mixed(q, k, v, mask=None):
    y = scaled_dot_product_attention(q, k, v, mask)
    return y.flatten().flip(0).reshape(y.shape)


def nan_and_mixed(q, k, v, mask=None):
    y = scaled_dot_product_attention(q, k, v, mask)
    return torch.cat([y[:1] * y[1:].sum(), torch.full_like(y[1:], torch.nan)])


def right_for(calls, then):
    """An attention that is right so often, and then something else."""
    made = []

    def attention(q, k, v, mask=None):
        made.append(mask)
        right = len(made) <= calls
        return scaled_dot_product_attention(q, k, v, mask if right else None) + (
            0 if right else then(q, k, v)
        )

    return attention


def forgetting(q, k, v):
    return 0 * scaled_dot_product_attention(q, k, v).detach()


def random(q, k, v):
    return torch.rand_like(scaled_dot_product_attention(q, k, v))


def double_and_detached(q, k, v, mask=None):
    return scaled_dot_product_attention(q.double(), k.double(), v.double(), mask).detach()


def on_the_cpu_and_detached(x):
    return softmax(x).detach() + torch.zeros(x.shape, dtype=x.dtype)


def takes_anything_and_detaches(x, branch, gate, placement="standard", shortcut=lambda t: t):
    known = placement in ("standard", "pre", "post", "identity")
    return residual(x, branch, gate, placement if known else "standard", shortcut).detach()


# modules


class OtherOrderAndCrash(MultiHeadAttention):
    def __init__(self, dim, heads):
        raise ValueError("no")

    def forward(self, context, x, mask=None):
        return super().forward(x, context, mask)


class WrongAndUnfinished(MultiHeadAttention):
    def attention(self, x, context=None, mask=None):
        return super().attention(x, context, mask) + 1

    def forward(self, x, context=None, mask=None):
        raise NotImplementedError


class UnfinishedAndDetached(MultiHeadAttention):
    def attention(self, x, context=None, mask=None):
        return super().attention(x, context, mask).detach()

    def forward(self, x, context=None, mask=None):
        raise NotImplementedError


class DoubleAndOtherInEval(MultiHeadAttention):
    def forward(self, x, context=None, mask=None):
        return (1 if self.training else 2) * super().forward(x, context, mask).double()


class NearlyTheSameFactor(MultiHeadAttention):
    def forward(self, x, context=None, mask=None):
        return (1 + 3e-6) * super().forward(x, context, mask)


class FactorAtTheEnd(ChannelBranch):
    def forward(self, x):
        return 1.7 * super().forward(x)


class ReversedAtTheEnd(MultiHeadAttention):
    def forward(self, x, context=None, mask=None):
        return reversed_in_each(super().forward(x, context, mask))


class ReversedScores(AdditiveAttention):
    def scores(self, q, k):
        return reversed_in_each(super().scores(q, k))


@pytest.mark.parametrize(
    ("id", "answer", "coarse"),
    [
        (ATTENTION, AClass, "This is the class"),
        (HEADS, OtherOrderAndCrash, "in this order"),
        (HEADS, WrongAndUnfinished, "1 added to it"),
        (ATTENTION, in_place_and_random, "changes its input"),
        (ATTENTION, random_and_wrong, "Two calls"),
        (ATTENTION, slip_of_another_kind, "You return the output and the weights"),
        ("multi_head.parameters", lambda dim, heads: parameters(dim, heads) + dim, "You count"),
        (ATTENTION, another_shape_and_too_large, "returns b i e 1"),
        (ATTENTION, single_and_nearly, "returns float32"),
        (ATTENTION, reversed_and_mixed, "right numbers in another order"),
        (ATTENTION, nan_and_mixed, "examples of a batch mix"),
        (HEADS, NearlyTheSameFactor, "right to a few digits only"),
        ("spatial.channel_branch", FactorAtTheEnd, "everywhere 1.7 times"),
        (HEADS, ReversedAtTheEnd, "comes after the last of them"),
        (ADDITIVE, ReversedScores, "right numbers in another order"),
        (ATTENTION, right_for(TRIALS, random), "Two calls"),
        (ATTENTION, right_for(TRIALS + 1, forgetting), "depends on earlier calls"),
        (HEADS, DoubleAndOtherInEval, "Keep the dtype"),
        (ATTENTION, double_and_detached, "Keep the dtype"),
        ("channel.residual", takes_anything_and_detaches, "does not refuse"),
        (HEADS, UnfinishedAndDetached, "Still to be written"),
        (SOFTMAX, on_the_cpu_and_detached, "No gradient reaches"),
    ],
)
def test_of_two_faults_the_coarser_is_told(id, answer, coarse):
    verdict = check(id, answer)
    assert verdict.status == "not yet"
    assert coarse in first_line(verdict)


def test_what_this_machine_cannot_check_is_said_before_anything_else():
    ex = replace(exercise(HEADS), needs=lambda: "there is no GPU.")
    verdict = check(ex, None)
    assert verdict.status == "not attempted"
    assert first_line(verdict) == "Not checked: there is no GPU."
