"""The record of `scaled_dot_product.attention_weights`."""

import math

import torch

from attncourse.exercises.families import family
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
    weights_by_bias,
    weights_loops,
    weights_recipe,
)
from solutions.scaled_dot_product import (
    attention_weights,
)


def weights_shared_again(q, k, mask=None):
    shares = (q / math.sqrt(q.shape[-1])) @ k.transpose(-1, -2)
    shares = torch.exp(shares - shares.amax(-1, keepdim=True))
    if mask is not None:
        shares = shares * mask
    return shares / shares.sum(-1, keepdim=True).clamp(min=torch.finfo(shares.dtype).tiny)


EXERCISE = Exercise(
    id="scaled_dot_product.attention_weights",
    solution=attention_weights,
    probes={"attention_weights": "b i j"},
    trials=lambda: attention_trials(values=False),
    slips=family(
        weights_recipe,
        unsaid=UNSAID,
        paired=OFTEN,
        score=SCORES,
        scale=SCALES,
        masking=MASKS,
        normalise=NORMS,
        after=AFTER,
    ),
    hints=(
        "What must a masked score be, so that exp makes a 0 of it?",
        (
            "Scores over sqrt(d); -inf where the mask is False; softmax over j. A row of"
            " nothing but -inf gives nan: set it to 0 afterwards."
        ),
        (
            "scores = dot_product_scores(q, k) / sqrt(width of q)\n"
            "without a mask: softmax of the scores over j\n"
            "with one: fill scores with -inf where ~mask; softmax over j;\n"
            "fill the weights with 0 in rows where the mask has no True"
        ),
    ),
    minutes=10,
    difficulty=3,
    otherwise=(weights_loops, weights_by_bias, weights_shared_again),
    laws=(
        "masked_scores_are_gone",
        "masked_keys_do_not_matter",
        "rows_sum_to_one",
        "scale_is_right",
        "examples_do_not_mix",
        "one_step_more_or_less",
    ),
    remark=lambda: attention_with_heads(values=False),
)
