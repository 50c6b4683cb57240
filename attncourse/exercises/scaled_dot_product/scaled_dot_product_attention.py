"""Scaled dot-product attention: each query takes a weighted mean of the values (eq. 1)."""

import torch
from torch.nn import functional as F

from attncourse.exercises.edits import inside, often, wrong
from attncourse.exercises.record import Exercise
from attncourse.exercises.scaled_dot_product.attention_weights import EXERCISE as WEIGHTS
from attncourse.exercises.scaled_dot_product.shared import (
    attention_trials,
    attention_with_heads,
    weights_by_bias,
    weights_loops,
)
from solutions.scaled_dot_product import scaled_dot_product_attention

# fmt: off
OUTPUTS = (
    *often(
        wrong("transposed_output", "attention_weights(q, k, mask) @ v",
              "(attention_weights(q, k, mask) @ v).mT",
              "Your output is b e i: the axes of the result are swapped. It is b i e."),
        wrong("plain_mean", "attention_weights(q, k, mask) @ v",
              "v.mean(-2, keepdim=True).expand(*q.shape[:-1], -1)",
              "Your output is the plain mean of the values: the weights play no part."),
        wrong("only_the_weights", " @ v", "",
              "You return the weights. The output is the weights times v."),
        wrong("weights_as_well", "return attention_weights(q, k, mask) @ v",
              "weights = attention_weights(q, k, mask)\nreturn weights @ v, weights",
              "You return the output and the weights. The output alone is asked for."),
        wrong("value_added", "@ v", "@ v + v",
              "You add the values to the output (a residual connection). Eq. 1 returns the weighted"
              " mean alone."),
    ),
    wrong("keys_for_values", "@ v", "@ k",
          "You average the keys. The weights apply to the values v."),
    wrong("queries_for_values", "@ v", "@ q",
          "You average the queries. The weights apply to the values v."),
    wrong("weights_transposed", " @ v", ".mT @ v",
          "You use the weights transposed: each key then mixes by what the queries gave it. Output"
          " i is row i of the weights times v."),
    wrong("query_added", "@ v", "@ v + q",
          "You add the queries to the output (a residual connection). Eq. 1 returns the weighted"
          " mean alone."),
)
# fmt: on


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
    slips=(*inside(WEIGHTS), *OUTPUTS),
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
    ready=("torch.nn.functional.scaled_dot_product_attention", "torch.nn.MultiheadAttention"),
)
