"""The record of `scaled_dot_product.scaled_dot_product_attention`."""

import math

import torch
from torch.nn import functional as F

from attncourse.exercises.families import also, family
from attncourse.exercises.record import Exercise
from attncourse.exercises.scaled_dot_product.shared import (
    AFTER,
    MASKS,
    NORMS,
    OFTEN,
    SCALES,
    SCORES,
    UNSAID,
    attention_trials,
    attention_with_heads,
    only_the_weights,
    plain_mean,
    transposed_output,
    unscaled,
    value_added,
    weights_as_well,
    weights_by_bias,
    weights_loops,
    weights_recipe,
)
from solutions.scaled_dot_product import (
    scaled_dot_product_attention,
)


def mix(weights, v, q, k):
    return weights @ v


def attention_recipe(mixing=mix, **steps):
    """`scaled_dot_product_attention` with some of its steps replaced."""
    weights = weights_recipe(**steps)

    def answer(q, k, v, mask=None):
        return mixing(weights(q, k, mask, v), v, q, k)

    return answer


def divided_by_root_of_value_width(scores, q, k, v):
    """You divide by the root of the width of the values, sqrt(e). It is the width of q and k
    that counts: sqrt(d)."""
    return scores / math.sqrt(v.shape[-1])


def keys_for_values(weights, v, q, k):
    """You average the keys. The weights apply to the values v."""
    return weights @ k


def divided_by_number_of_keys(weights, v, q, k):
    """You divide the weighted sum by the number of keys. The weights are shares already."""
    return weights @ v / v.shape[-2]


@also(scale=unscaled)
def scaled_after_the_softmax(weights, v, q, k):
    """You scale after the softmax. What is divided by sqrt(d) are the scores, before it."""
    return weights @ v / math.sqrt(q.shape[-1])


def scaled_again(weights, v, q, k):
    """You divide by sqrt(d) a second time, after the softmax. The scores alone are divided."""
    return weights @ v / math.sqrt(q.shape[-1])


def weights_transposed(weights, v, q, k):
    """You use the weights transposed: each key then mixes by what the queries gave it. Output i
    is row i of the weights times v."""
    return weights.mT @ v


def queries_for_values(weights, v, q, k):
    """You average the queries. The weights apply to the values v."""
    return weights @ q


def query_added(weights, v, q, k):
    """You add the queries to the output (a residual connection). Eq. 1 returns the weighted
    mean alone."""
    return weights @ v + q


def values_of_first_example(weights, v, q, k):
    """You take the values of the first example for all. Each example has its own."""
    return weights @ v[:1]


def values_reversed(weights, v, q, k):
    """The weights meet the values in the wrong order: weight j belongs to value j."""
    return weights @ v.flip(-2)


def softmax_of_values(weights, v, q, k):
    """You apply a softmax to the output or to the values. It belongs to the scores alone."""
    return (weights @ v).softmax(-1)


MIXES = (
    transposed_output,
    plain_mean,
    keys_for_values,
    only_the_weights,
    weights_as_well,
    divided_by_number_of_keys,
    scaled_after_the_softmax,
    scaled_again,
    weights_transposed,
    queries_for_values,
    query_added,
    value_added,
    values_of_first_example,
    values_reversed,
    softmax_of_values,
)


def attention_loops(q, k, v, mask=None):
    weights = weights_loops(q, k, mask)
    return torch.stack(
        [(weights[..., i, :, None] * v).sum(-2) for i in range(q.shape[-2])], dim=-2
    )


def attention_functional(q, k, v, mask=None):
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)


def attention_by_nan_to_num(q, k, v, mask=None):
    scale = q.shape[-1] ** -0.25
    scores = (q * scale) @ (k * scale).transpose(-2, -1)
    if mask is not None:
        scores = scores.masked_fill(mask.logical_not(), float("-inf"))
    return torch.nan_to_num(scores.softmax(dim=-1)) @ v


def attention_einsum(q, k, v, mask=None):
    return torch.einsum("...ij,...je->...ie", weights_by_bias(q, k, mask), v)


EXERCISE = Exercise(
    id="scaled_dot_product.scaled_dot_product_attention",
    solution=scaled_dot_product_attention,
    probes={"scaled_dot_product_attention": "b i e"},
    trials=attention_trials,
    slips=family(
        attention_recipe,
        unsaid=UNSAID,
        paired=OFTEN,
        score=SCORES,
        scale=(*SCALES, divided_by_root_of_value_width),
        masking=MASKS,
        normalise=NORMS,
        after=AFTER,
        mixing=MIXES,
    ),
    hints=(
        "You have the weights, b i j, and the values, b j e. Which letter disappears?",
        "Each row of weights mixes the values: a matrix product over j.",
        "weights = attention_weights(q, k, mask)\nreturn weights @ v",
    ),
    minutes=5,
    difficulty=2,
    otherwise=(
        attention_loops,
        attention_functional,
        attention_by_nan_to_num,
        attention_einsum,
    ),
    laws=(
        "examples_do_not_mix",
        "one_step_more_or_less",
        "output_is_a_mixture_of_values",
        "masked_scores_are_gone",
        "weights_inside_are_right",
    ),
    remark=attention_with_heads,
)
