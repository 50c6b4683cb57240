"""Wrong attentions as other people write them: caught, and named by their cause.

They are written in other styles than the slips that the checker knows: einsum and bmm, heads
folded by views, torch's own functionals. What counts is the cause in the first line.
"""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from attncourse import check

ATTENTION = "scaled_dot_product.scaled_dot_product_attention"
HEADS = "multi_head.multi_head_attention"


def scores_of(q, k):
    return torch.einsum("bid,bjd->bij", q, k)


def finish(scores, v, mask, fill=float("-inf"), dim=-1):
    if mask is not None:
        scores = scores.masked_fill(mask.logical_not(), fill)
    return torch.bmm(torch.nan_to_num(F.softmax(scores, dim=dim)), v)


def forgot_the_scale(q, k, v, mask=None):
    return finish(scores_of(q, k), v, mask)


def d_and_not_its_root(q, k, v, mask=None):
    return finish(scores_of(q, k) / q.size(-1), v, mask)


def scaled_by_hand_and_by_torch(q, k, v, mask=None):
    return F.scaled_dot_product_attention(q / math.sqrt(q.size(-1)), k, v, attn_mask=mask)


def length_for_width(q, k, v, mask=None):
    return finish(scores_of(q, k) / k.size(1) ** 0.5, v, mask)


def columns_for_rows(q, k, v, mask=None):
    return finish(scores_of(q, k) / q.size(-1) ** 0.5, v, mask, dim=1)


def batch_for_keys(q, k, v, mask=None):
    return finish(scores_of(q, k) / q.size(-1) ** 0.5, v, mask, dim=0)


def the_other_polarity(q, k, v, mask=None):
    return F.scaled_dot_product_attention(q, k, v, attn_mask=None if mask is None else ~mask)


def a_float_mask(q, k, v, mask=None):
    return F.scaled_dot_product_attention(q, k, v, None if mask is None else mask.to(q))


def result_of_masked_fill_dropped(q, k, v, mask=None):
    scores = scores_of(q, k) / q.size(-1) ** 0.5
    if mask is not None:
        scores.masked_fill(~mask, float("-inf"))
    return scores.softmax(-1) @ v


def hidden_too_late(q, k, v, mask=None):
    weights = (scores_of(q, k) / q.size(-1) ** 0.5).softmax(-1)
    return (weights if mask is None else torch.where(mask, weights, 0.0)) @ v


def epsilon_for_infinity(q, k, v, mask=None):
    return finish(scores_of(q, k) / q.size(-1) ** 0.5, v, mask, fill=1e-12)


def nan_for_nothing(q, k, v, mask=None):
    scores = scores_of(q, k) / q.size(-1) ** 0.5
    if mask is not None:
        scores = scores + torch.zeros_like(scores).masked_fill(~mask, float("-inf"))
    return scores.softmax(-1) @ v


def mean_for_nothing(q, k, v, mask=None):
    return finish(scores_of(q, k) / q.size(-1) ** 0.5, v, mask, fill=-1e9)


def softmax_on_softmax(q, k, v, mask=None):
    scores = scores_of(q, k) / q.size(-1) ** 0.5
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    return scores.softmax(-1).nan_to_num().softmax(-1) @ v


def causal_whether_asked_or_not(q, k, v, mask=None):
    lower = torch.ones(q.size(-2), k.size(-2), dtype=torch.bool, device=q.device).tril()
    return F.scaled_dot_product_attention(q, k, v, lower if mask is None else lower & mask)


def dropout_left_on(q, k, v, mask=None):
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=0.1)


def weights_along(q, k, v, mask=None):
    weights = F.scaled_dot_product_attention(q, k, torch.eye(k.size(1)).to(k), attn_mask=mask)
    return weights @ v, weights


def raw_exponentials(q, k, v, mask=None):
    shares = (scores_of(q, k) / q.size(-1) ** 0.5).exp()
    if mask is not None:
        shares = shares * mask
    return shares / (shares.sum(-1, keepdim=True) + 1e-300) @ v


def keys_mixed(q, k, v, mask=None):
    return F.scaled_dot_product_attention(q, k, k, attn_mask=mask)


def detached_map(q, k, v, mask=None):
    with torch.no_grad():
        scores = scores_of(q, k) / q.size(-1) ** 0.5
    return finish(scores, v, mask)


def in_single_precision(q, k, v, mask=None):
    y = F.scaled_dot_product_attention(q.float(), k.float(), v.float(), attn_mask=mask)
    return y.to(q.dtype)


def reshaped_keys(q, k, v, mask=None):
    scores = torch.bmm(q, k.reshape(k.size(0), k.size(2), k.size(1))) / q.size(-1) ** 0.5
    return finish(scores, v, mask)


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        (forgot_the_scale, "not divided by sqrt(d)"),
        (d_and_not_its_root, "divide the scores by d"),
        (scaled_by_hand_and_by_torch, "scale twice"),
        (length_for_width, "the root of the number of keys"),
        (columns_for_rows, "softmax runs over the queries i"),
        (batch_for_keys, "softmax runs over the first axis, b"),
        (the_other_polarity, "The mask is inverted"),
        (a_float_mask, "add the mask to the scores as 0 and 1"),
        (result_of_masked_fill_dropped, "The mask is not used"),
        (hidden_too_late, "hide keys after the softmax"),
        (epsilon_for_infinity, "exp(0) = 1 still counts"),
        (nan_for_nothing, "A query that may attend to nothing gives nan"),
        (mean_for_nothing, "A query that may attend to nothing gets the mean of all values"),
        (softmax_on_softmax, "softmax is applied twice"),
        (causal_whether_asked_or_not, "You hide the future always"),
        (dropout_left_on, "dropout"),
        (weights_along, "You return the output and the weights"),
        (raw_exponentials, "exp overflows"),
        (keys_mixed, "You average the keys"),
        (detached_map, "No gradient reaches `q`, `k`"),
        (in_single_precision, "single precision"),
        (reshaped_keys, "reshape k to b d j instead of transposing"),
    ],
)
def test_a_wrong_attention_is_named(answer, cause):
    verdict = check(ATTENTION, answer)
    assert verdict.status == "not yet"
    assert cause in verdict.message.splitlines()[0]


class Layer(nn.Module):
    """The layers of the exercise, and a right way through them to get wrong in one place."""

    def __init__(self, dim, heads):
        super().__init__()
        if dim % heads:
            raise ValueError(f"{dim=} is not a multiple of {heads=}")
        self.heads = heads
        self.query = nn.Linear(dim, dim)
        self.key = nn.Linear(dim, dim)
        self.value = nn.Linear(dim, dim)
        self.out = nn.Linear(dim, dim)

    def fold(self, x):
        b, n, dim = x.shape
        return x.view(b, n, self.heads, dim // self.heads).transpose(1, 2)

    def unfold(self, x):
        return x.transpose(1, 2).flatten(2)

    def scale(self, q):
        return q.shape[-1] ** -0.5

    def hide(self, scores, mask):
        return scores if mask is None else scores.masked_fill(~self.wide(mask), -torch.inf)

    def wide(self, mask):
        return mask if mask.ndim == 2 else mask[:, None]

    def keys(self, x, context):
        return x if context is None else context

    def attention(self, x, context=None, mask=None):
        q, k = self.fold(self.query(x)), self.fold(self.key(self.keys(x, context)))
        scores = self.hide(q @ k.transpose(-1, -2) * self.scale(q), mask)
        return self.softmax(scores).nan_to_num(0)

    def softmax(self, scores):
        return scores.softmax(-1)

    def forward(self, x, context=None, mask=None):
        v = self.fold(self.value(self.keys(x, context)))
        return self.out(self.unfold(self.attention(x, context, mask) @ v))


def wrong(**methods):
    """A Layer with some of its methods replaced."""
    return type("MultiHeadAttention", (Layer,), methods)


def interleaved(self, x):
    b, n, dim = x.shape
    return x.view(b, n, dim // self.heads, self.heads).permute(0, 3, 1, 2)


def straight(self, x):
    return x.reshape(x.shape[0], self.heads, x.shape[1], -1)


def values_by_the_keys_layer(self, x, context=None, mask=None):
    v = self.fold(self.key(self.keys(x, context)))
    return self.out(self.unfold(self.attention(x, context, mask) @ v))


def without_the_last_layer(self, x, context=None, mask=None):
    return self.unfold(
        self.attention(x, context, mask) @ self.fold(self.value(self.keys(x, context)))
    )


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        (wrong(scale=lambda self, q: 1.0), "not divided by sqrt(d)"),
        (
            wrong(scale=lambda self, q: (q.shape[-1] * self.heads) ** -0.5),
            "the root of the whole width, sqrt(dim)",
        ),
        (wrong(softmax=lambda self, s: s.softmax(1)), "softmax runs over the heads"),
        (wrong(softmax=lambda self, s: s.softmax(2)), "softmax runs over the queries"),
        (wrong(hide=lambda self, s, mask: s), "The mask is not used"),
        (
            wrong(
                hide=lambda self, s, mask: (
                    s if mask is None else s.masked_fill(self.wide(mask), -torch.inf)
                )
            ),
            "The mask is inverted",
        ),
        (wrong(keys=lambda self, x, context: x), "The context is not used"),
        (wrong(fold=interleaved), 'You split with "(d head)"'),
        (wrong(fold=straight), "different tokens get mixed"),
        (
            wrong(unfold=lambda self, x: x.reshape(x.shape[0], x.shape[2], -1)),
            "merge by a bare reshape",
        ),
        (
            wrong(unfold=lambda self, x: x.permute(0, 2, 3, 1).flatten(2)),
            'merge with "(d head)"',
        ),
        (wrong(forward=values_by_the_keys_layer), "values go through the layer of the keys"),
        (wrong(forward=without_the_last_layer), "The last projection is missing"),
        (
            wrong(forward=lambda self, x, c=None, m=None: x + Layer.forward(self, x, c, m)),
            "add the input (a residual connection)",
        ),
        (
            wrong(
                attention=lambda self, x, c=None, m=None: Layer.attention(self, x, c, m).mean(1)
            ),
            "The axis head is missing",
        ),
    ],
)
def test_a_wrong_multi_head_attention_is_named(answer, cause):
    verdict = check(HEADS, answer)
    assert verdict.status == "not yet"
    assert cause in verdict.message.splitlines()[0]


def test_the_layer_that_they_are_made_of_is_right():
    assert check(HEADS, Layer).status == "passed"
