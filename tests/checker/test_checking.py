"""What the checker says to answers nobody planned for, and what it leaves untouched."""

import random
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from einops import rearrange
from torch import nn

from attncourse import check
from attncourse.checker.equal import same
from attncourse.checker.sheet import sheet
from attncourse.checker.verdict import Verdict
from attncourse.course import exercise
from attncourse.exercises.record import Cost, Exercise, Trial
from solutions.channel import residual
from solutions.multi_head import MultiHeadAttention
from solutions.relative_2d import attention_widths, axis_logits
from solutions.scaled_dot_product import (
    AdditiveAttention,
    attention_weights,
    scaled_dot_product_attention,
    softmax,
)
from solutions.spatial import BAM, ChannelBranch, SpatialBranch

ATTENTION = "scaled_dot_product.scaled_dot_product_attention"
WEIGHTS = "scaled_dot_product.attention_weights"
HEADS = "multi_head.multi_head_attention"
SOFTMAX = "scaled_dot_product.softmax"


def first_line(verdict: Verdict) -> str:
    return verdict.message.splitlines()[0]


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


def test_layers_of_other_names_are_taken_in_their_order():
    class Renamed(nn.Module):
        def __init__(self, query_dim, key_dim, hidden):
            super().__init__()
            self.w_q = nn.Linear(query_dim, hidden, bias=False)
            self.w_k = nn.Linear(key_dim, hidden, bias=False)
            self.w = nn.Linear(hidden, 1, bias=False)

        def scores(self, q, k):
            return self.w((self.w_q(q)[:, :, None] + self.w_k(k)[:, None]).tanh())[..., 0]

        def attention(self, q, k):
            return self.scores(q, k).softmax(-1)

        def forward(self, q, k, v):
            return self.attention(q, k) @ v

    verdict = check("scaled_dot_product.additive_attention", Renamed)
    assert verdict.status == "passed"
    assert "other names than query, key, score" in verdict.message


def test_what_is_still_to_be_written_is_named():
    class Half(AdditiveAttention):
        def forward(self, q, k, v):
            raise NotImplementedError

    verdict = check("scaled_dot_product.additive_attention", Half)
    assert verdict.status == "not yet"
    assert "Still to be written: `forward`." in first_line(verdict)


def test_torchs_own_not_implemented_is_a_crash_and_not_a_blank():
    def unsupported(x):
        return torch.ops.aten._cudnn_rnn_flatten_weight([x], 1, 1, 1, 1, 1, 1, False, False)

    assert check(SOFTMAX, unsupported).status == "not yet"


def test_an_operator_that_torch_has_not_for_booleans_is_a_crash_too():
    verdict = check(SOFTMAX, lambda x: (x > 0) @ (x > 0).mT)
    assert verdict.status == "not yet"
    assert ".float()" in first_line(verdict)


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


@pytest.mark.parametrize(
    ("answer", "slip"),
    [
        (
            lambda q, k, v, mask=None: scaled_dot_product_attention(q, k.detach(), v, mask),
            "no_gradient",
        ),
        (
            lambda q, k, v, mask=None: (
                attention_weights(q, k, mask).detach() @ v + 0 * (q.sum() + k.sum())
            ),
            None,
        ),
    ],
)
def test_gradients_are_looked_at(answer, slip):
    verdict = check(ATTENTION, answer)
    assert verdict.status == "not yet"
    assert "gradient" in first_line(verdict)
    assert verdict.slip == slip or slip is None


def test_an_answer_for_contiguous_tensors_only_is_caught():
    def views(q, k, v, mask=None):
        return scaled_dot_product_attention(q.view(-1).view(q.shape), k, v, mask)

    verdict = check(ATTENTION, views)
    assert verdict.slip == "needs_contiguous"


def test_an_answer_that_makes_its_tensors_on_the_cpu_is_caught():
    def here(q, k, v, mask=None):
        allowed = torch.ones(q.shape[-2], k.shape[-2], dtype=torch.bool)
        return scaled_dot_product_attention(
            q, k, v, allowed if mask is None else mask & allowed
        )

    verdict = check(ATTENTION, here)
    assert verdict.slip == "leaves_the_device"


def test_single_precision_is_kept():
    def double(q, k, v, mask=None):
        return scaled_dot_product_attention(q.double(), k.double(), v.double(), mask)

    assert check(ATTENTION, double).slip == "changes_the_dtype"


def test_a_first_stage_is_named_where_no_slip_fits():
    class Odd(MultiHeadAttention):
        def forward(self, x, context=None, mask=None):
            v = self.value(x if context is None else context)
            v = rearrange(v, "b n (head d) -> b head n d", head=self.heads)
            y = self.attention(x, context, mask) @ v
            return self.out(rearrange(y.roll(2, -1), "b head n d -> b n (head d)"))

    verdict = check(HEADS, Odd)
    assert verdict.slip is None
    assert "What reaches `self.out` holds the right numbers in another order" in verdict.message


def test_a_law_explains_where_no_slip_fits():
    def scaled_by_seven(q, k, mask=None):
        return attention_weights(q / 7, k, mask)

    line = first_line(check(WEIGHTS, scaled_by_seven))
    assert "Your scores are 0.1429 times as large as they should be" in line


def test_a_slip_seen_on_some_inputs_only_is_named_with_reserve():
    def two(q, k, v, mask=None):
        scores = q @ k.mT  # not scaled; and masks are misread in a way of its own
        if mask is not None:
            scores = torch.where(mask, scores, 0.37 * scores)
        return scores.softmax(-1) @ v

    verdict = check(ATTENTION, two)
    assert verdict.slip == "unscaled"
    assert "On other inputs something else departs as well." in verdict.message


def test_an_answer_that_costs_too_much_is_told_both_counts():
    def wide(x, y):
        return (x[:, None] * y[None]).sum(-1)

    ex = replace(exercise("shapes.similarity"), cost=Cost(largest_tensor=2, multiply_adds=1))
    assert check(ex, ex.solution).status == "passed"
    verdict = check(ex, wide)
    assert verdict.slip == "largest_tensor"
    assert "your largest tensor holds 60 numbers; 20 are enough" in first_line(verdict)


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


def test_a_card_is_readable_without_styles_and_scripts():
    card = check(SOFTMAX, lambda x: x.softmax(0))._repr_html_()
    assert "background: #ffffff" in card
    assert "var(--" not in card
    assert "<style" not in card
    assert "<script" not in card


def test_a_verdict_does_not_depend_on_the_default_type():
    """The sheet may have been made under another one."""
    before = torch.get_default_dtype()
    sheet.cache_clear()
    try:
        torch.set_default_dtype(torch.float64)
        assert check(SOFTMAX, softmax).status == "passed"
        assert torch.get_default_dtype() == torch.float64
        torch.set_default_dtype(torch.float32)
        assert check(SOFTMAX, softmax).status == "passed"
    finally:
        torch.set_default_dtype(before)


def test_a_card_does_not_run_what_an_answer_says():
    def hostile(x):
        raise ValueError("<script>alert(1)</script>")

    assert "<script>" not in check(SOFTMAX, hostile)._repr_html_()


def test_it_takes_less_than_half_a_second():
    class Odd(MultiHeadAttention):  # no slip fits: the longest way through all of them
        def attention(self, x, context=None, mask=None):
            return super().attention(x, context, mask).pow(0.9)

    check(HEADS, MultiHeadAttention)
    rounds = []
    for _ in range(3):  # the quickest: a machine may have something else to do
        start = time.perf_counter()
        for answer in (MultiHeadAttention, Odd, Misspelt, DropoutInside):
            check(HEADS, answer)
        rounds.append(time.perf_counter() - start)
    assert min(rounds) / 4 < 0.5


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


def test_equality_is_of_shapes_before_values():
    x = torch.ones(2, 3, dtype=torch.float64)
    assert same(x, x.clone())
    assert not same(x[:1], x)
    assert not same(x.float(), x)
    assert not same(x + 1e-5, x)
    assert not same((x,), x)
    assert not same(3.0, 3)
    assert same(0.1 + 0.2, 0.3)
    assert not same(0.3001, 0.3)


def test_an_answer_that_remembers_earlier_calls_is_caught():
    kept = []

    def remembering(q, k, v, mask=None):
        kept.append(mask)
        late = len(kept) > 12 and mask is not None  # right the first time round
        return scaled_dot_product_attention(q, k, v, None if late else mask)

    verdict = check(ATTENTION, remembering)
    assert verdict.slip == "remembers_earlier_calls"


def test_a_layer_that_changes_its_own_weights_is_caught():
    class Shrinking(MultiHeadAttention):
        def forward(self, x, context=None, mask=None):
            y = super().forward(x, context, mask)
            self.out.weight.data.mul_(0.5)
            return y

    verdict = check(HEADS, Shrinking)
    assert verdict.slip == "changes_its_weights"
    assert "`out.weight`" in first_line(verdict)


def test_arguments_in_another_order_are_told_before_anything_crashes():
    def keras(query, value, key, mask=None):
        return scaled_dot_product_attention(query, key, value, mask)

    verdict = check(ATTENTION, keras)
    assert verdict.slip == "arguments_in_another_order"
    assert "takes (query, value, key, mask)" in first_line(verdict)


def test_a_squeeze_that_takes_too_much_is_caught():
    verdict = check(ATTENTION, lambda *a: scaled_dot_product_attention(*a).squeeze())
    assert verdict.status == "not yet"
    assert "A `squeeze` takes away every axis of length 1" in first_line(verdict)


def test_where_nothing_has_a_size_no_empty_brackets_are_shown():
    verdict = check("multi_head.parameters", lambda dim, heads: 1)
    assert "Seen for dim" in verdict.message
    assert "()" not in verdict.message


def test_of_several_numbers_the_wrong_one_is_named():
    def second_wrong(out_channels, kappa, upsilon, heads):
        dk, dv = attention_widths(out_channels, kappa, upsilon, heads)
        return dk, dv + 1

    verdict = check("relative_2d.attention_widths", second_wrong)
    assert "[1]` returns 49; it should return 48" in first_line(verdict)


def test_of_several_tensors_the_worst_element_of_the_first_wrong_one_is_told():
    def squared(q, rows, columns):
        down, across = axis_logits(q, rows, columns)
        return down, across.square()

    verdict = check("relative_2d.axis_logits", squared)
    assert first_line(verdict).startswith("In [1]: The result is")


def test_a_module_that_needs_an_earlier_exercise_waits_for_it():
    def attention_widths(*sizes):
        raise NotImplementedError

    class Waits(torch.nn.Module):
        def __init__(self, *sizes, **more):
            super().__init__()
            attention_widths(*sizes)

    verdict = check("relative_2d.attention_augmented_conv", Waits)
    assert verdict.status == "not attempted"
    assert "that comes first" in verdict.message


def _refusing():
    """An exercise whose answer refuses a width of 0, and one that says so otherwise."""

    def halves(x, width):
        if width == 0:
            raise ValueError("no width")
        return x / width

    trials = (Trial("plain", dict(b=2, i=3), dict(x="b i", width=2)),)
    refused = (Trial("a width of 0", dict(b=2, i=3), dict(x="b i", width=0)),)
    return Exercise(
        id="shapes.halves",
        solution=halves,
        probes={"halves": "b i"},
        trials=lambda: trials,
        slips=(),
        hints=(),
        minutes=1,
        difficulty=1,
        refuses=lambda: refused,
    )


def test_what_should_be_refused_must_end_in_a_value_error():
    ex = _refusing()

    def silent(x, width):
        return x / max(width, 1)

    def asserted(x, width):
        assert width
        return x / width

    assert check(ex, ex.solution)
    verdict = check(ex, silent)
    assert verdict.slip == "not_refused"
    assert "does not refuse a width of 0" in verdict.message
    assert "ends in AssertionError for a width of 0" in check(ex, asserted).message


def test_a_slip_that_is_wrong_elsewhere_does_not_name_what_departs_for_large_numbers_alone():
    def shifted_by_hidden_keys_too(q, k, v, first, second, way, layer=0):
        mask = {"merged": first | second, "interleaved": (first, second)[layer % 2]}.get(way)
        if mask is None:
            half, odd = divmod(q.shape[-3], 2)
            if odd:
                raise ValueError("odd")
            mask = torch.stack([first] * half + [second] * half)
        scores = q @ k.mT / q.shape[-1] ** 0.5
        powers = (scores - scores.amax(-1, keepdim=True)).exp() * mask
        total = powers.sum(-1, keepdim=True)
        return powers / torch.where(total == 0, 1, total) @ v

    verdict = check("sparse.factorised_attention", shifted_by_hidden_keys_too)
    assert verdict.slip is None
    assert "Subtract the largest score that counts" in verdict.message.splitlines()[0]


def test_a_transpose_on_the_line_is_not_blamed_for_numbers_that_do_not_fill_a_shape():
    def flat(q, k, v, mask=None):
        return (scaled_dot_product_attention(q, k, v, mask) + 0 * q[0, 0, 0].T).reshape(7, 7, 7)

    first = check(ATTENTION, flat).message.splitlines()[0]
    assert "do not fill the shape [7, 7, 7]" in first


def test_what_the_stub_says_is_refused_must_be_refused():
    def takes_anything(x, branch, gate, placement="standard", shortcut=lambda t: t):
        known = placement in ("standard", "pre", "post", "identity")
        return residual(x, branch, gate, placement if known else "standard", shortcut)

    def another_error(x, branch, gate, placement="standard", shortcut=lambda t: t):
        if placement == "between":
            raise KeyError(placement)
        return residual(x, branch, gate, placement, shortcut)

    verdict = check("channel.residual", takes_anything)
    assert verdict.slip == "not_refused"
    assert '`residual` does not refuse the unknown placement "between"' in first_line(verdict)
    assert "ends in KeyError" in first_line(check("channel.residual", another_error))
    assert check("channel.residual", residual).status == "passed"


def test_a_batchnorm_that_runs_too_often_in_training_is_caught():
    class Twice(BAM):
        def attention(self, x):
            self.channel(x)
            return super().attention(x)

    verdict = check("spatial.bam", Twice)
    assert verdict.slip == "calls_too_often"
    assert "`self.channel.norm` runs 2 times where 1 is enough" in first_line(verdict)


def test_traces_of_gradients_are_caught():
    def cam(own=lambda t: t.detach(), slope=None, end=lambda t: t.detach()):
        def grad_cam(maps, head, classes, rectify=True):
            a = own(maps).requires_grad_()
            score = head(a)[torch.arange(len(a)), classes].sum()
            (g,) = torch.autograd.grad(score, a) if slope is None else slope(score, a)
            y = (g.mean((2, 3), keepdim=True) * end(a)).sum(1)
            return y.relu() if rectify else y

        return grad_cam

    def backward(score, a):
        score.backward()
        return (a.grad,)

    assert check("spatial.grad_cam", cam()).status == "passed"
    asked = check("spatial.grad_cam", cam(own=lambda t: t))
    assert asked.slip == "changes_its_input"
    assert "makes its input `maps` ask for gradients" in first_line(asked)
    left = check("spatial.grad_cam", cam(slope=backward))
    assert left.slip == "leaves_gradients"
    assert "in the weights of `head`" in first_line(left)
    assert check("spatial.grad_cam", cam(end=lambda t: t)).slip == "graph_kept"


def test_weights_used_by_hand_blame_no_single_layer_of_several():
    class Mirrored(SpatialBranch):
        def forward(self, x):
            for layer, norm in zip((self.down, self.near, self.far), self.norms, strict=True):
                x = nn.functional.pad(x, [layer.padding[0]] * 4, mode="circular")
                z = nn.functional.conv2d(x, layer.weight, layer.bias, dilation=layer.dilation)
                x = norm(z).relu()
            return self.out(x)[:, 0]

    cause = first_line(check("spatial.spatial_branch", Mirrored))
    assert "`self.down`, `self.near`, `self.far` by hand, and not all as the layers do" in cause


def test_a_layer_that_runs_more_often_than_it_should_is_named():
    class Again(ChannelBranch):
        def forward(self, x):
            y = super().forward(x)
            return y + self.up(self.norm(self.down(x[:, :, 0, 0])).relu())

    cause = first_line(check("spatial.channel_branch", Again))
    assert "`self.down` is applied twice; it should be applied once" in cause
