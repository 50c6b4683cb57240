"""What is said to answers nobody planned for, in which order, and what is left untouched."""

import cProfile
import pstats
import random
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch
from einops import rearrange
from told import ATTENTION, HEADS, SOFTMAX, first_line, written
from torch import nn

from attncourse import check
from attncourse.checker.sheet import sheet
from solutions.multi_head import MultiHeadAttention
from solutions.scaled_dot_product import scaled_dot_product_attention, softmax


def generator(q, k, v, mask=None):
    yield scaled_dot_product_attention(q, k, v, mask)


async def coroutine(q, k, v, mask=None):
    return scaled_dot_product_attention(q, k, v, mask)


def no_return(q, k, v, mask=None):
    scaled_dot_product_attention(q, k, v, mask)


def infinite(q, k, v, mask=None):
    return scaled_dot_product_attention(q, k, v, mask) / 0.0


def leaves(q, k, v, mask=None):
    sys.exit(3)


def interrupts(q, k, v, mask=None):
    raise KeyboardInterrupt


def without_end(q, k, v, mask=None):
    return without_end(q, k, v, mask)


def scalar(q, k, v, mask=None):
    return 3.0


def too_few(q, k):
    return q


def single_precision(q, k, v, mask=None):
    return scaled_dot_product_attention(q, k, v, mask).float()


def in_place(q, k, v, mask=None):
    q /= q.shape[-1] ** 0.5
    return scaled_dot_product_attention(q, k, v, mask) * q.shape[-1] ** 0


def wrong_axes(q, k, v, mask=None):
    return rearrange(scaled_dot_product_attention(q, k, v, mask), "b i e -> e b i")


def not_transposed(q, k, v, mask=None):
    scores = q @ k
    return scores.softmax(-1) @ v


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (None, "This is None, not a function."),
        ("attention", "This is a value of type str, not a function."),
        (7, "This is a value of type int, not a function."),
        (
            torch.ones(2, 3),
            "This is a tensor of shape (2, 3), as if it had been called already",
        ),
        (generator(1, 2, 3), "This is a generator, not a function."),
        (MultiHeadAttention, "This is the class `MultiHeadAttention`, not a function."),
        (generator, "returns a generator: `yield` where `return` was meant?"),
        (no_return, "returns None. Is a `return` missing?"),
        (infinite, "values that are not finite"),
        (leaves, "it leaves Python"),
        (interrupts, "Stopped. Your answer had not come to an end."),
        (without_end, "it calls itself without end"),
        (scalar, "returns a value of type float, not a tensor"),
        (too_few, "Keep the signature of the stub."),
        (single_precision, "returns float32; it should return float64."),
        (in_place, "changes its input `q` in place"),
        (wrong_axes, "returns e b i; it should return b i e."),
        (
            not_transposed,
            "the two matrices share no axis of equal size: `q` is b i d, `k` is b j d.",
        ),
    ],
)
def test_it_says_what_is_wrong_whatever_the_answer_is(answer, says):
    verdict = check(ATTENTION, answer)
    assert verdict.status == "not yet"
    assert says.lower() in first_line(verdict).lower()


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
def test_a_coroutine_is_told_from_a_function():
    assert "async def" in first_line(check(ATTENTION, coroutine))


class NoLayers(nn.Module):
    def __init__(self, dim, heads):
        super().__init__()


class NoSuper(nn.Module):
    def __init__(self, dim, heads):
        self.heads = heads


class OtherWidth(MultiHeadAttention):
    def __init__(self, dim, heads):
        super().__init__(dim, heads)
        self.out = nn.Linear(dim, 2 * dim)


class NotAModule:
    def __init__(self, dim, heads):
        self.heads = heads


class Misspelt(MultiHeadAttention):
    def attention(self, x, context=None, mask=None):
        return self.querry(x)


class DropoutInside(MultiHeadAttention):
    def forward(self, x, context=None, mask=None):
        return nn.functional.dropout(super().forward(x, context, mask), 0.5)


class OtherInEval(MultiHeadAttention):
    def forward(self, x, context=None, mask=None):
        return super().forward(x, context, mask) * (1 if self.training else 2)


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (NoLayers, "missing: query.weight"),
        (NoSuper, "super().__init__"),
        (OtherWidth, "`out.weight` has shape (24, 12); it should have (12, 12)."),
        (NotAModule, "makes a NotAModule, not an nn.Module."),
        (Misspelt, "`Misspelt` has no `querry`."),
        (DropoutInside, "on the same input give different results: is there dropout"),
        (OtherInEval, "departs after `.eval()`"),
        (lambda dim, heads: 1 / 0, "it divides by zero"),
        (MultiHeadAttention(4, 2), "already built"),
        (None, "This is None, not a class."),
    ],
)
def test_it_says_what_is_wrong_with_a_module(answer, says):
    verdict = check(HEADS, answer)
    assert verdict.status == "not yet"
    assert says.lower() in first_line(verdict).lower()


def test_an_answer_without_end_is_stopped_by_an_interrupt():
    def endless(x):
        while True:
            x = x + 1

    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        verdict = check(SOFTMAX, endless)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert verdict.message == "Stopped. Your answer had not come to an end."


def test_it_leaves_no_trace(capfd):
    def unruly(x):
        print("x" * 3_000_000)
        torch.manual_seed(1)
        np.random.seed(1)  # noqa: NPY002
        random.seed(1)
        torch.set_default_dtype(torch.float16)
        torch.set_grad_enabled(False)
        torch.set_num_threads(1)
        return softmax(x)

    states = [torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()]  # noqa: NPY002
    threads = torch.get_num_threads()
    assert check(SOFTMAX, unruly).status == "not yet"  # gradients are off inside
    assert torch.equal(torch.get_rng_state(), states[0])
    assert (np.random.get_state()[1] == states[1]).all()  # noqa: NPY002
    assert random.getstate() == states[2]
    assert torch.get_default_dtype() == torch.float32
    assert torch.is_grad_enabled()
    assert torch.get_num_threads() == threads
    assert capfd.readouterr().out == ""


def test_random_numbers_go_on_as_if_it_had_not_been_called():
    torch.manual_seed(5)
    without = torch.rand(3)
    torch.manual_seed(5)
    check(HEADS, MultiHeadAttention)
    assert torch.equal(torch.rand(3), without)


def test_an_unknown_exercise_is_told_with_the_nearest():
    verdict = check("scaled_dot_product.sofmax", softmax)
    assert verdict.status == "not yet"
    assert 'Did you mean "scaled_dot_product.softmax"?' in verdict.message


def test_messages_are_short():
    def long_error(x):
        raise ValueError("word " * 5000 + "\n" * 50)

    message = check(SOFTMAX, long_error).message
    assert len(message.splitlines()) <= 12
    assert max(map(len, message.splitlines())) <= 400


def test_a_verdict_does_not_depend_on_the_default_type():
    """The sheet may have been made under another one."""
    before = torch.get_default_dtype()
    sheet.cache_clear()
    try:
        torch.set_default_dtype(torch.float64)
        assert check(SOFTMAX, written(SOFTMAX)).status == "passed"
        assert torch.get_default_dtype() == torch.float64
        torch.set_default_dtype(torch.float32)
        assert check(SOFTMAX, written(SOFTMAX)).status == "passed"
    finally:
        torch.set_default_dtype(before)


def test_it_takes_about_half_a_second_at_most():
    """Counted in calls of some 2 microseconds: a clock says more of the machine than of us."""

    class Odd(MultiHeadAttention):  # no slip fits: the longest way through all of them
        def attention(self, x, context=None, mask=None):
            return super().attention(x, context, mask).pow(0.9)

    check(HEADS, MultiHeadAttention)
    with cProfile.Profile() as profile:
        for answer in (MultiHeadAttention, Odd, Misspelt, DropoutInside):
            check(HEADS, answer)
    assert pstats.Stats(profile).total_calls / 4 < 250_000


def test_an_answer_that_breaks_the_check_itself_does_not_raise():
    class Liar(torch.Tensor):
        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):
            raise OSError("no")

    verdict = check(SOFTMAX, lambda x: Liar())
    assert verdict.status == "not yet"


def test_the_course_imports_where_the_solutions_are_absent():
    code = (
        "import sys; sys.modules['solutions'] = None; import attncourse; "
        "print(attncourse.check.__name__, attncourse.hint.__name__)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert run.stdout == "check hint\n"
