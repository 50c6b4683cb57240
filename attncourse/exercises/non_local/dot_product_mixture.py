"""The record of `non_local.dot_product_mixture`."""

import math

import torch
from einops import repeat
from torch.nn import functional as F

from attncourse.exercises.record import Cost, Exercise, Trial
from solutions.non_local import (
    dot_product_mixture,
    dot_product_weights,
    gaussian_weights,
)


def mixture_trials():
    plain = dict(q="b i m", k="b j m", v="b j e")
    return (
        Trial("on two examples", dict(b=2, i=37, j=41, m=3, e=5), plain),
        Trial("with few keys", dict(b=3, i=6, j=2, m=4, e=7), plain),
        Trial(
            "with two axes in front",
            dict(b=2, head=3, i=5, j=8, m=4, e=6),
            dict(q="b head i m", k="b head j m", v="b head j e"),
        ),
    )


def mixture_not_divided(q, k, v):
    """1/N is missing: divide by the number of keys."""
    return q @ (k.mT @ v)


def mixture_over_queries(q, k, v):
    """You divide by the number of queries. N counts what is summed over: the keys."""
    return q @ (k.mT @ v) / q.shape[-2]


def mixture_over_m(q, k, v):
    """You divide by m, the width. N is the number of keys."""
    return q @ (k.mT @ v) / k.shape[-1]


def mixture_over_root_of_m(q, k, v):
    """You divide by sqrt(m). This form divides by the number of keys, N."""
    return q @ (k.mT @ v) / math.sqrt(k.shape[-1])


def mixture_over_root_of_n(q, k, v):
    """You divide by the root of the number of keys. Divide by the number itself."""
    return q @ (k.mT @ v) / math.sqrt(k.shape[-2])


def mixture_over_n_squared(q, k, v):
    """You divide by the number of keys twice."""
    return q @ (k.mT @ v) / k.shape[-2] ** 2


def mixture_over_first_axis(q, k, v):
    """You divide by the length of an axis in front: `len(k)` counts examples. N is the number
    of keys, `k.shape[-2]`."""
    return q @ (k.mT @ v) / len(k)


def mixture_with_scale_too(q, k, v):
    """You divide by N and by sqrt(m). This form divides by N alone."""
    return q @ (k.mT @ v) / k.shape[-2] / math.sqrt(k.shape[-1])


def mixture_softmax(q, k, v):
    """You take a softmax. The dot-product form has none: it divides by N, and that is why the
    products may be made in another order."""
    return gaussian_weights(q, k) @ v


def mixture_softmax_of_summary(q, k, v):
    """You take a softmax of kᵀ v. This form has none: it divides by N."""
    return q @ (k.mT @ v).softmax(-1)


def mixture_efficient(q, k, v):
    """You take a softmax of the queries over their features and of the keys over the pixels,
    as Efficient Attention (Shen et al.) does. The dot-product form has none; it divides by
    N."""
    return q.softmax(-1) @ (k.softmax(-2).mT @ v)


def mixture_without_queries(q, k, v):
    """The queries play no part: you return a sum of the values for all alike."""
    return repeat((k.mT @ v / k.shape[-2]).sum(-2), "... e -> ... i e", i=q.shape[-2])


def mixture_relu(q, k, v):
    """You cut off what is negative. Products may be negative here, and stay so."""
    return dot_product_weights(q, k).relu() @ v


def mixture_relu_apart(q, k, v):
    """You rectify queries and keys first. They are taken as they are."""
    return dot_product_mixture(q.relu(), k.relu(), v)


def mixture_absolute(q, k, v):
    """You divide by the sum of the products instead of by their number. That sum may be 0."""
    weights = q @ k.mT
    return weights / weights.sum(-1, keepdim=True) @ v


def mixture_over_e(q, k, v):
    """You divide by e, the width of the values. N is the number of keys, `k.shape[-2]`."""
    return q @ (k.mT @ v) / v.shape[-1]


def mixture_over_axis_1(q, k, v):
    """You divide by `k.shape[1]`: with more axes in front that is not the number of keys,
    `k.shape[-2]`."""
    return q @ (k.mT @ v) / k.shape[1]


def mixture_query_softmax(q, k, v):
    """You take a softmax of the queries. This form has none: queries are taken as they are."""
    return dot_product_mixture(q.softmax(-1), k, v)


def mixture_key_softmax(q, k, v):
    """You take a softmax of the keys over the pixels. This form has none: keys are taken as
    they are, and the sum is divided by N."""
    return q @ (k.softmax(-2).mT @ v)


def mixture_linear_attention(q, k, v):
    """You map queries and keys through elu + 1, as linear Transformers do. Here they are taken
    as they are."""
    return (F.elu(q) + 1) @ ((F.elu(k) + 1).mT @ v)


def mixture_linear_attention_normalised(q, k, v):
    """That is the linear Transformer: elu + 1, divided by the sum of the weights. Here queries
    and keys are taken as they are, and the sum is divided by N."""
    q, k = F.elu(q) + 1, F.elu(k) + 1
    return q @ (k.mT @ v) / (q @ k.sum(-2, keepdim=True).mT)


def mixture_by_tensordot(q, k, v):
    return torch.einsum("...im,...me->...ie", q, k.transpose(-1, -2).matmul(v / v.shape[-2]))


def mixture_by_outer_sums(q, k, v):
    total = torch.zeros(*k.shape[:-2], k.shape[-1], v.shape[-1]).to(v)
    for j in range(k.shape[-2]):
        total = total + k[..., j, :, None] * v[..., j, None, :]
    return (q / k.shape[-2]) @ total


EXERCISE = Exercise(
    id="non_local.dot_product_mixture",
    solution=dot_product_mixture,
    probes={"dot_product_mixture": "b i e"},
    trials=mixture_trials,
    slips=(
        mixture_not_divided,
        mixture_over_queries,
        mixture_over_m,
        mixture_over_root_of_m,
        mixture_over_root_of_n,
        mixture_over_n_squared,
        mixture_over_first_axis,
        mixture_with_scale_too,
        mixture_softmax,
        mixture_softmax_of_summary,
        mixture_efficient,
        mixture_without_queries,
        mixture_relu,
        mixture_relu_apart,
        mixture_absolute,
        mixture_over_e,
        mixture_over_axis_1,
        mixture_query_softmax,
        mixture_key_softmax,
        mixture_linear_attention,
        mixture_linear_attention_normalised,
    ),
    hints=(
        "(q kᵀ) v and q (kᵀ v) are the same numbers. Which tensor is made in between?",
        "kᵀ v sums over the keys j: m e numbers, however many pixels there are.",
        'kᵀ v / N: "j m, j e -> m e", then "i m, m e -> i e"; N is the number of keys',
    ),
    minutes=5,
    difficulty=2,
    otherwise=(mixture_by_tensordot, mixture_by_outer_sums),
    laws=("examples_do_not_mix",),
    cost=Cost(largest_tensor=1.5, multiply_adds=1.1),
)
