"""The two lists of the checker: every file stands in one, once; coarse comes before fine."""

from pkgutil import iter_modules

import pytest
import torch
from told import ATTENTION, HEADS, SOFTMAX, first_line

from attncourse import check
from attncourse.checker import diagnosis, examiners
from attncourse.checker.examination import EXAMINERS
from solutions.channel import residual
from solutions.multi_head import MultiHeadAttention
from solutions.scaled_dot_product import scaled_dot_product_attention, softmax

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


def other_order(k, q, v, mask=None):
    raise ValueError("crashes as well")


def random_and_wrong(q, k, v, mask=None):
    y = scaled_dot_product_attention(q, k, v, mask)
    return 3 * y + torch.rand_like(y)


def in_place_and_wrong(q, k, v, mask=None):
    q *= 2
    return 3 * scaled_dot_product_attention(q, k, v, mask)


def slip_of_another_kind(q, k, v, mask=None):  # known as a slip, and two values for one
    eye = torch.eye(k.shape[1]).to(k).expand(len(k), -1, -1)
    weights = scaled_dot_product_attention(q, k, eye, mask)
    return weights @ v, weights


def another_shape_and_too_large(q, k, v, mask=None):
    return 7 * scaled_dot_product_attention(q, k, v, mask)[..., None]


def nan_and_mixed(q, k, v, mask=None):
    y = scaled_dot_product_attention(q, k, v, mask)
    return torch.cat([y[:1] * y[1:].sum(), torch.full_like(y[1:], torch.nan)])


def remembered_and_detached():
    kept = []

    def attention(q, k, v, mask=None):
        kept.append(mask)
        mask = None if len(kept) > 12 else mask
        return scaled_dot_product_attention(q, k, v, mask).detach()

    return attention


def double_and_detached(q, k, v, mask=None):
    return scaled_dot_product_attention(q.double(), k.double(), v.double(), mask).detach()


def on_the_cpu_and_detached(x):
    return softmax(x).detach() + torch.zeros(x.shape, dtype=x.dtype)


def takes_anything_and_detaches(x, branch, gate, placement="standard", shortcut=lambda t: t):
    known = placement in ("standard", "pre", "post", "identity")
    return residual(x, branch, gate, placement if known else "standard", shortcut).detach()


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


@pytest.mark.parametrize(
    ("id", "answer", "coarse"),
    [
        (ATTENTION, other_order, "in this order"),
        (ATTENTION, random_and_wrong, "Two calls"),
        (ATTENTION, in_place_and_wrong, "changes its input"),
        (ATTENTION, slip_of_another_kind, "You return the output and the weights"),
        (ATTENTION, another_shape_and_too_large, "returns b i e 1"),
        (ATTENTION, nan_and_mixed, "examples of a batch mix"),
        (ATTENTION, remembered_and_detached(), "depends on earlier calls"),
        (ATTENTION, double_and_detached, "Keep the dtype"),
        (SOFTMAX, on_the_cpu_and_detached, "No gradient reaches"),
        ("channel.residual", takes_anything_and_detaches, "does not refuse"),
        (HEADS, WrongAndUnfinished, "1 added to it"),
        (HEADS, UnfinishedAndDetached, "Still to be written"),
    ],
)
def test_of_two_faults_the_coarser_is_told(id, answer, coarse):
    verdict = check(id, answer)
    assert verdict.status == "not yet"
    assert coarse in first_line(verdict)
