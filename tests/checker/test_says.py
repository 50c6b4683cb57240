"""What a message says is true and can be read: causes confirmed, letters certain."""

import math

import pytest
import torch
from told import first_line

from attncourse import check
from attncourse.checker.crashes import explain
from attncourse.checker.crashes.words import Crash
from attncourse.checker.fault import sentence
from attncourse.checker.telling import worst
from attncourse.exercises.letters import spell
from solutions.channel import ECA
from solutions.scaled_dot_product import AdditiveAttention
from solutions.transformer import DecoderLayer, Transformer


def says(id, answer):
    return first_line(check(id, answer))


# ---------------------------------------------------------------- letters


def test_a_size_that_several_letters_have_is_a_number():
    sizes = {"b": 2, "head": 3, "j": 3, "d": 4}
    assert spell((2, 3, 4), sizes) == "b 3 d"
    assert spell((2, 3, 4), sizes, "b j d") == "b j d"
    assert spell((2, 12), sizes) == "b 12"  # head d, or j d
    assert spell((2, 12), sizes, "b (head d)") == "b (head d)"


def test_a_product_is_of_letters_that_stand_nowhere_else():
    sizes = {"b": 2, "h": 5, "w": 7}
    assert spell((2, 35), sizes) == "b (h w)"
    assert spell((2, 10), sizes) == "b 10"
    assert spell((), sizes) == "a single number"


# ---------------------------------------------------------------- sentences


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("dk lacks the scale", "dk lacks the scale"),
        ("j <= i is missing", "j <= i is missing"),
        ("v is narrower", "v is narrower"),
        ("gamma is missing", "gamma is missing"),
        ("an axis of 3", "An axis of 3"),
        ("you unpack", "You unpack"),
        ("`x` is added", "`x` is added"),
    ],
)
def test_code_keeps_its_case(text, told):
    assert sentence(text) == told


def test_what_has_no_axes_is_a_single_number():
    said = says(
        "transformer.label_smoothing_loss", lambda logits, target, smoothing=0.1: logits
    )
    assert said.endswith("it should return a single number.")


def test_nothing_is_said_of_a_mask_of_numbers_that_are_right():
    right = torch.tensor([True, False])
    assert worst(right.float(), right, "j") == ""


def test_the_method_that_is_written_is_looked_into():
    class Answer(Transformer):
        def decode(self, target, memory, source):
            return super().decode(target, memory, source) + target[..., None] ** 2

    message = check("transformer.transformer", Answer).message
    assert "look into `decode`" in message


def test_an_overflow_names_what_does_not_overflow():
    from solutions.spatial import GALA

    class Answer(GALA):
        def attention(self, x):
            g, p = self.channels(x)[..., None, None], self.pixels(x)[:, None]
            a, m = self.additive[:, None, None], self.multiplicative[:, None, None]
            z = a * (g + p) + m * g * p
            return (z.exp() - (-z).exp()) / (z.exp() + (-z).exp())

    said = says("spatial.gala", Answer)
    assert "overflows" in said
    assert "`tanh` takes numbers of any size" in said


# ---------------------------------------------------------------- crashes


def crash(kind, text, line, **shapes):
    sizes = {"b": 2, "i": 3, "j": 5, "d": 7}
    return explain(Crash(kind, text, line, 1, shapes, True), sizes)


AMBIGUOUS = "Boolean value of Tensor with more than one value is ambiguous"


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("if rows and columns:", "write `if rows is not None and columns is not None:`"),
        ("if not rows:", "write `if rows is not None:`"),
        ("return j <= i & i - j < window", "put each comparison in brackets"),
        ("x = (rows > 0) and (columns > 0)", "take `&`, with each comparison in brackets"),
        ("seen = 0 <= rows < n", "write `(0 <= rows) & (rows < n)`"),
        ("if rows == columns:", "`(rows == columns).all()`"),
        ("y = max(rows, columns)", "take `torch.maximum`"),
    ],
)
def test_the_remedy_is_that_of_the_expression(line, told):
    assert told in crash("RuntimeError", AMBIGUOUS, line, rows=(3, 5), columns=(3, 5))


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("return q @ k", "did you forget to transpose `k`, `k.mT`?"),
        ("return q.mT @ k.mT", "the transpose of `q` is one too many."),
        ("return q @ k.mT.mT", "the 2 transposes of `k` undo each other: take one."),
        ("return f(q) @ k", "these two must be of one size."),
    ],
)
def test_a_product_says_which_transpose(line, told):
    text = "mat1 and mat2 shapes cannot be multiplied"
    assert crash("RuntimeError", text, line, q=(2, 3, 7), k=(2, 5, 7)).endswith(told)


def test_a_method_without_self_is_not_a_missing_import():
    class Answer(AdditiveAttention):
        def attention(self, q, k):
            return scores(q, k).softmax(-1)  # noqa: F821

    said = says("scaled_dot_product.additive_attention", Answer)
    assert said == "`scores` belongs to the object: write `self.scores`."


def test_a_name_that_is_misspelt_is_guessed():
    text = "'Tensor' object has no attribute 'maen'"
    assert "Did you mean `mean`?" in crash("AttributeError", text, "x.maen(-1)")


def test_tensors_that_cannot_be_joined():
    text = (
        "Sizes of tensors must match except in dimension 0. Expected size 7 but got size 5 for"
    )
    said = crash("RuntimeError", text, "torch.cat([f(x), g(x)])")
    assert "d (7)" in said
    assert ": ." not in said


def test_no_line_no_this_line():
    text = "'NoneType' object is not subscriptable"
    assert "on this line" not in crash("TypeError", text, "")


# ---------------------------------------------------------------- causes


def test_heads_that_are_added_are_no_factor():
    from solutions.multi_head import MultiHeadAttention

    class Answer(MultiHeadAttention):
        def attention(self, x, context=None, mask=None):
            w = super().attention(x, context, mask)
            return w.sum(1, keepdim=True).expand_as(w)

    said = says("multi_head.multi_head_attention", Answer)
    assert "the maps of the heads are added" in said


def test_layers_that_are_exchanged_are_both_named():
    class Answer(DecoderLayer):
        def forward(self, x, memory, memory_mask=None):
            self.self_attention, self.cross_attention = (
                self.cross_attention,
                self.self_attention,
            )
            y = super().forward(x, memory, memory_mask)
            self.self_attention, self.cross_attention = (
                self.cross_attention,
                self.self_attention,
            )
            return y

    said = says("transformer.decoder_layer", Answer)
    assert said == "`self.cross_attention` is called where `self.self_attention` belongs."


@pytest.mark.parametrize(
    ("move", "told"),
    [
        (lambda y: y.flip(1), "turned round along head: the last comes first."),
        (lambda y: y.roll(1, 2), "shifted by one along n: each stands one too late."),
        (lambda y: y.sort(-1).values, "sorted along d, the smallest first."),
        (lambda y: y[:, :1].expand_as(y), "those of head=0 stand at every head."),
    ],
)
def test_the_right_numbers_at_other_places(move, told):
    from solutions.multi_head import split_heads

    said = says("multi_head.split_heads", lambda x, heads: move(split_heads(x, heads)))
    assert said == f"Your numbers are right, but {told}"


def test_an_input_that_is_another_one():
    from solutions.multi_head import merge_heads

    said = says("multi_head.merge_heads", lambda x: merge_heads(x.roll(1, 1)))
    assert (
        said == "Your result is right for another `x`: one that is shifted by one along head."
    )


# ---------------------------------------------------------------- what is written otherwise


def test_a_count_says_which_power():
    def answer(dim, heads, queries, keys):
        return 2 * (queries + keys) * dim + 2 * queries * keys * dim

    assert says("multi_head.multiply_adds", answer) == (
        "Your result is that of `dim ** 1` where `dim ** 2` belongs."
    )


def test_a_rest_that_is_rounded_too_late():
    def answer(n, d, rows=None):
        if rows is None:
            return 4 * n * d + 4 * n * n
        return 2 * n * d + 2 * n * d * n // rows

    assert "`2 * n * d * math.ceil(n / rows)` belongs" in says("fast.traffic", answer)


def test_another_letter_under_the_root():
    from solutions import relative_2d

    def answer(q, k, rows=None, columns=None, logits=relative_2d.relative_logits_2d):
        q = q * math.sqrt(q.shape[-1]) / math.sqrt(q.shape[-2])
        return relative_2d.relative_weights(q, k, rows, columns, logits)

    assert says("relative_2d.relative_weights", answer) == (
        "You have `q.shape[-2]` where `q.shape[-1]` belongs."
    )


def test_one_argument_for_another():
    from solutions.positional import rotary
    from solutions.scaled_dot_product import scaled_dot_product_attention

    def answer(q, k, v, positions, mask=None):
        q = rotary(q, positions)
        return scaled_dot_product_attention(q, q, v, mask)

    assert "`rotary(k, positions)` belongs" in says("positional.rotary_attention", answer)


def test_a_convolution_over_the_wrong_axis_says_where_it_wants_its_channels():
    class BareMeans(ECA):
        def attention(self, x):
            return self.conv(x.mean((-2, -1))).sigmoid()

    message = says("channel.eca", BareMeans)
    assert message.startswith("A convolution has its channels right before the axes")
    assert "this one wants 1 there" in message
