"""What is taken over is not passed; what torch has ready is told."""

import sys
import threading
import types
from functools import partial, wraps
from inspect import unwrap

import pytest
import torch
from told import ATTENTION, HEADS, SOFTMAX, first_line, written
from torch import nn
from torch.nn import functional as F

import solutions.scaled_dot_product as library
from attncourse import check
from attncourse.course import exercise
from attncourse.exercises.record import Exercise, Trial
from solutions.multi_head import MultiHeadAttention, merge_heads, split_heads
from solutions.positional import sinusoidal, sinusoidal_2d
from solutions.scaled_dot_product import attention_weights, softmax


def wrapper(x):
    return softmax(x)


def delegate(x):
    return 1 * getattr(library, "soft" + "max")(x)


@wraps(softmax)
def in_wraps(*given):
    return softmax(*given)


class Callable:
    def __call__(self, x):
        return softmax(x)


def in_a_thread(x):
    found = []
    thread = threading.Thread(target=lambda: found.append(softmax(x)))
    thread.start()
    thread.join()
    return found[0]


def fished(x):
    frame = sys._getframe()
    while frame is not None:
        for value in list(frame.f_locals.values()):
            solution = getattr(value, "solution", None)
            if solution is not None:
                return solution(x)
        frame = frame.f_back


@pytest.mark.parametrize(
    "answer",
    [
        softmax,
        wrapper,
        delegate,
        in_wraps,
        Callable(),
        in_a_thread,
        fished,
        partial(softmax),
        lambda x: softmax(x),
        types.FunctionType(unwrap(softmax).__code__, vars(library)),
    ],
)
def test_the_courses_own_function_is_taken_over(answer):
    verdict = check(SOFTMAX, answer)
    assert verdict.status == "taken over"
    assert not verdict
    assert "`softmax` of the course is what runs here" in first_line(verdict)


class Heir(MultiHeadAttention):
    pass


class HalfAnHeir(MultiHeadAttention):
    def forward(self, x, context=None, mask=None):
        v = self.value(x if context is None else context)
        y = self.attention(x, context, mask) @ split_heads(v, self.heads)
        return self.out(merge_heads(y))


class Delegate(nn.Module):
    def __init__(self, dim, heads):
        super().__init__()
        self.inner = MultiHeadAttention(dim, heads)

    def attention(self, *given):
        return self.inner.attention(*given)

    def forward(self, *given):
        return self.inner(*given)


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (MultiHeadAttention, "`attention` and `forward` of the course"),
        (Heir, "`attention` and `forward` of the course"),
        (HalfAnHeir, "`attention` of the course"),
        (Delegate, "`attention` and `forward` of the course"),
        (partial(MultiHeadAttention), "`attention` and `forward` of the course"),
    ],
)
def test_the_courses_own_module_is_taken_over(answer, says):
    verdict = check(HEADS, answer)
    assert verdict.status == "taken over"
    assert says in first_line(verdict)


def test_what_is_wrong_is_told_first():
    assert check(SOFTMAX, lambda x: softmax(2 * x)).status == "not yet"


def test_what_is_written_passes_with_the_solutions_of_earlier_exercises():
    def mine(q, k, v, mask=None):
        return attention_weights(q, k, mask) @ v

    assert check(ATTENTION, mine).status == "passed"
    assert check(HEADS, written(HEADS)).status == "passed"
    assert check(SOFTMAX, written(SOFTMAX)).message.startswith("`softmax` agrees")


def test_a_wrapper_that_others_share_is_nobodys():
    def mine(rows, columns, dim):
        a, b = sinusoidal(rows, dim // 2), sinusoidal(columns, dim // 2)
        if dim % 2:
            raise ValueError(f"{dim=} has no halves")
        h, w = len(a), len(b)
        return torch.cat([a[:, None].expand(h, w, -1), b[None].expand(h, w, -1)], -1)

    assert check("positional.sinusoidal_2d", mine).status == "passed"
    assert check("positional.sinusoidal_2d", sinusoidal_2d).status == "taken over"


@pytest.mark.parametrize("id", [SOFTMAX, ATTENTION, HEADS, "channel.eca", "fast.ratio"])
def test_a_copy_of_the_solution_passes_where_the_solution_is_taken_over(id):
    assert check(id, written(id)).status == "passed"
    assert check(id, exercise(id).solution).status == "taken over"


# ---------------------------------------------------------------- torch's own


@pytest.mark.parametrize(
    ("answer", "name"),
    [
        (lambda x: x.softmax(-1), "torch.Tensor.softmax"),
        (lambda x: torch.softmax(x, dim=-1), "torch.softmax"),
        (lambda x: F.softmax(x, -1), "F.softmax"),
        (lambda x: nn.Softmax(-1)(x), "F.softmax"),
        (lambda x: F.log_softmax(x, -1).exp(), "F.log_softmax"),
    ],
)
def test_what_torch_has_ready_is_told_on_a_pass(answer, name):
    verdict = check(SOFTMAX, answer)
    assert verdict.status == "passed"
    assert f"A remark: `{name}` of torch does here what the exercise is to build." in str(
        verdict
    )


def test_ready_layers_and_arguments_are_known_too():
    def smoothed(logits, target, smoothing=0.1):
        return F.cross_entropy(
            logits.mT, target.long(), ignore_index=0, label_smoothing=smoothing
        )

    def gradients(dy, q, k, v, y, lse):
        given = [x.detach().requires_grad_() for x in (q, k, v)]
        y = F.scaled_dot_product_attention(*given)
        return torch.autograd.grad(y, given, dy)

    assert (
        "`F.cross_entropy` of torch"
        in check("transformer.label_smoothing_loss", smoothed).message
    )
    assert (
        "`torch.autograd.grad` of torch" in check("fast.attention_gradients", gradients).message
    )


def _hypotenuse(**more):
    def hypotenuse(x, y):
        return (x * x + y * y).sqrt()

    return Exercise(
        id="engine.hypotenuse",
        solution=hypotenuse,
        probes={"hypotenuse": "b i"},
        trials=lambda: (Trial("plain", dict(b=2, i=3), dict(x="b i", y="b i")),),
        slips=(),
        hints=(),
        minutes=1,
        difficulty=1,
        **more,
    )


def test_what_the_stub_forbids_is_refused():
    def ready(x, y):
        return torch.hypot(x, y)

    assert check(_hypotenuse(), ready).message.count("emark") == 0
    assert "A remark" in check(_hypotenuse(ready=("torch.hypot",)), ready).message
    verdict = check(_hypotenuse(forbidden=("torch.hypot",)), ready)
    assert verdict.status == "not yet"
    assert "`torch.hypot` does it for you" in first_line(verdict)


def test_every_name_that_a_record_lists_is_there():
    from attncourse.checker.listening import _functions
    from attncourse.course import CHAPTERS

    for chapter in CHAPTERS:
        for name in chapter.exercises:
            ex = exercise(f"{chapter.name}.{name}")
            assert len(_functions(ex.ready + ex.forbidden)[0]) >= len({*ex.ready}) - 1
