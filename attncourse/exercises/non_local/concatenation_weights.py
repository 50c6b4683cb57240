"""The record of `non_local.concatenation_weights`."""

import math

import torch
from torch.nn import functional as F

from attncourse.exercises.families import family
from attncourse.exercises.non_local.shared import (
    added,
    concatenation_recipe,
    key_first,
    not_rectified,
)
from attncourse.exercises.record import Cost, Exercise, Given, Trial
from solutions.non_local import (
    concatenation_weights,
)


def concatenation_trials():
    def trial(name, front="b", **sizes):
        m = sizes["m"]
        dice = torch.Generator().manual_seed(m)
        w = Given("two_m", torch.randn(2 * m, generator=dice, dtype=torch.float64))
        sizes |= dict(two_m=2 * m)
        return Trial(name, sizes, dict(q=f"{front} i m", k=f"{front} j m", w=w))

    return (
        trial("on two examples", b=2, i=11, j=13, m=3),
        trial("with few keys", b=3, i=5, j=2, m=7),
        trial("with two axes in front", "b head", b=2, head=3, i=4, j=6, m=5),
    )


def first_half_for_both(w, m):
    """You read queries and keys with the same half of w. The second half reads the keys."""
    return w[:m], w[:m]


def every_second(w, m):
    """You take every second number of w for the query. [q, k] is one behind the other: the
    first m read the query."""
    return w[::2], w[1::2]


def multiplied(q, k, w_q, w_k):
    """You multiply what is read from query and key. A product of w with [q, k] is the sum of
    the two."""
    return (q @ w_q)[..., :, None] * (k @ w_k)[..., None, :]


def subtracted(q, k, w_q, w_k):
    """You subtract what is read from the key. The two are added."""
    return (q @ w_q)[..., :, None] - (k @ w_k)[..., None, :]


def query_alone(q, k, w_q, w_k):
    """The keys play no part in your weights."""
    return ((q @ w_q)[..., :, None] + 0 * (k @ w_k)[..., None, :]).clone()


def key_alone(q, k, w_q, w_k):
    """The queries play no part in your weights."""
    return (0 * (q @ w_q)[..., :, None] + (k @ w_k)[..., None, :]).clone()


def keys_down(q, k, w_q, w_k):
    """Your rows are keys and your columns queries: j i. The queries go down: i j."""
    return added(q, k, w_q, w_k).mT


def rectified_apart(q, k, w_q, w_k):
    """You rectify the parts of query and key before you add them. Add first: relu(a + b)."""
    return (q @ w_q).relu()[..., :, None] + (k @ w_k).relu()[..., None, :]


def rectified_inputs(q, k, w_q, w_k):
    """You rectify queries and keys before w reads them. The relu comes after the sum: relu(a +
    b)."""
    return added(q.relu(), k.relu(), w_q, w_k)


def softmax_instead(scores):
    """You take a softmax. This form has a relu, and divides by the number of keys. (With a
    softmax the query would cancel: it adds the same to all keys.)"""
    return scores.softmax(-1) * scores.shape[-1]


def softmax_of_rectified(scores):
    """You take a softmax of what the relu leaves. This form has the relu alone, and divides by
    the number of keys."""
    return scores.relu().softmax(-1) * scores.shape[-1]


def sigmoid_instead(scores):
    """You take a sigmoid. This form has a relu."""
    return scores.sigmoid()


def tanh_instead(scores):
    """You take a tanh, as additive attention does. This form has a relu."""
    return scores.tanh()


def leaky(scores):
    """Your relu leaks. What is negative becomes 0."""
    return F.leaky_relu(scores, 0.01)


def leaky_as_in_graphs(scores):
    """Your relu leaks by 0.2, as in graph attention. What is negative becomes 0."""
    return F.leaky_relu(scores, 0.2)


def gelu_instead(scores):
    """You take a gelu. This form has a relu."""
    return F.gelu(scores)


def exponential_instead(scores):
    """You take the exponential. This form has a relu."""
    return scores.exp()


def absolute_instead(scores):
    """You take the absolute value. This form has a relu: what is negative becomes 0."""
    return scores.abs()


def divided_by_root_of_n(scores, q, k):
    """You divide by the root of the number of keys. Divide by the number itself."""
    return scores / math.sqrt(k.shape[-2])


def divided_by_twice_the_width(scores, q, k):
    """You divide by the length of w, 2 m. N is the number of keys."""
    return scores / (2 * q.shape[-1])


def divided_by_axis_1(scores, q, k):
    """You divide by `k.shape[1]`: with more axes in front that is not the number of keys,
    `k.shape[-2]`."""
    return scores / k.shape[1]


def not_divided(scores, q, k):
    """1/N is missing: divide by the number of keys."""
    return scores


def divided_by_queries(scores, q, k):
    """You divide by the number of queries. N is the number of keys, which is summed over."""
    return scores / q.shape[-2]


def divided_by_width(scores, q, k):
    """You divide by m, the width. N is the number of keys."""
    return scores / q.shape[-1]


def divided_by_sum(scores, q, k):
    """You divide by the sum of the weights. It is the number of keys: the sum may be 0."""
    return scores / scores.sum(-1, keepdim=True)


def divided_by_sum_above_0(scores, q, k):
    """You divide by the sum of the weights, kept above 0. It is the number of keys: the weights
    of a query need not sum to 1."""
    return scores / scores.sum(-1, keepdim=True).clamp(min=1e-6)


def divided_by_root_of_w_too(scores, q, k):
    """You divide by the root of the length of w as well. N alone: there is no scale."""
    return scores / (k.shape[-2] * math.sqrt(2 * q.shape[-1]))


def divided_by_pairs(scores, q, k):
    """You divide by the number of pairs, i times j. N is the number of keys."""
    return scores / (q.shape[-2] * k.shape[-2])


def concatenation_by_matmul(q, k, w):
    a, b = q.matmul(w[: q.shape[-1]]), k.matmul(w[q.shape[-1] :])
    return torch.relu(a.unsqueeze(-1) + b.unsqueeze(-2)) / b.shape[-1]


def concatenation_by_loops(q, k, w):
    m, n = q.shape[-1], k.shape[-2]
    read = (k * w[m:]).sum(-1)
    rows = [
        F.relu((q[..., i, :] * w[:m]).sum(-1, keepdim=True) + read) for i in range(q.shape[-2])
    ]
    return torch.stack(rows, -2).div(n)


EXERCISE = Exercise(
    id="non_local.concatenation_weights",
    solution=concatenation_weights,
    probes={"concatenation_weights": "b i j"},
    trials=concatenation_trials,
    slips=family(
        concatenation_recipe,
        cutting=(key_first, first_half_for_both, every_second),
        adding=(
            multiplied,
            subtracted,
            query_alone,
            key_alone,
            keys_down,
            rectified_apart,
            rectified_inputs,
        ),
        rectifying=(
            not_rectified,
            softmax_instead,
            softmax_of_rectified,
            sigmoid_instead,
            tanh_instead,
            leaky,
            leaky_as_in_graphs,
            gelu_instead,
            exponential_instead,
            absolute_instead,
        ),
        dividing=(
            not_divided,
            divided_by_queries,
            divided_by_width,
            divided_by_sum,
            divided_by_sum_above_0,
            divided_by_root_of_w_too,
            divided_by_pairs,
            divided_by_root_of_n,
            divided_by_twice_the_width,
            divided_by_axis_1,
        ),
    ),
    hints=(
        "w · [q_i, k_j] is a sum of 2 m terms. Which of them know i, and which j?",
        (
            "The first m terms are w_q · q_i, the others w_k · k_j. So make two vectors,"
            " one number for each query and one for each key, and add them as i 1 and 1 j."
        ),
        "relu((q w_q) as i 1 + (k w_k) as 1 j) / number of keys",
    ),
    minutes=6,
    difficulty=2,
    otherwise=(concatenation_by_matmul, concatenation_by_loops),
    laws=("examples_do_not_mix",),
    cost=Cost(largest_tensor=1.5),
)
