"""The weights of scaled dot-product attention: for each query one for each key (eq. 1)."""

import math

import torch
from torch.nn import functional as F

from attncourse.exercises.edits import Wrong, often, same, wrong
from attncourse.exercises.record import Exercise
from attncourse.exercises.scaled_dot_product.shared import (
    attention_trials,
    attention_with_heads,
    weights_by_bias,
    weights_loops,
)
from solutions.scaled_dot_product import attention_weights


def normalised(name: str, how: str, message: str) -> Wrong:
    """A slip in place of the softmax, with a mask and without; {} stands for the scores."""
    return wrong(
        name,
        "return scores.softmax(-1)",
        f"return {how.format('scores')}",
        message,
        (
            "scores.masked_fill(~mask, -math.inf).softmax(-1)",
            how.format("scores.masked_fill(~mask, -math.inf)"),
        ),
    )


# A row without keys is filled, or left as the softmax made it: nan, where all scores are -inf.
FILLED = "weights.masked_fill(~mask.any(-1, keepdim=True), 0)"
AS_IT_COMES = (FILLED, "weights")


def two_best(scores):
    second = scores.topk(min(2, scores.shape[-1]), -1).values[..., -1:]
    return scores.masked_fill(scores < second, -math.inf).softmax(-1)


def best(scores):
    return F.one_hot(scores.argmax(-1), scores.shape[-1]).to(scores)


def one_maximum(scores):
    shares = (scores - scores.max()).exp()
    return shares / shares.sum(-1, keepdim=True)


# fmt: off
SCORES = (
    *often(
        wrong("cosine_similarity", "dot_product_scores(q, k)",
              "dot_product_scores(F.normalize(q, dim=-1), F.normalize(k, dim=-1))",
              "You divide queries and keys by their lengths (cosine similarity). The scores are the"
              " plain inner products, over sqrt(d)."),
        wrong("keys_reshaped", "dot_product_scores(q, k)",
              "q @ k.reshape(*k.shape[:-2], k.shape[-1], k.shape[-2])",
              "You reshape k to b d j instead of transposing it: the numbers of different keys get"
              " mixed."),
    ),
    wrong("negative_distance", "dot_product_scores(q, k)", "-torch.cdist(q, k)",
          "Your scores are negative distances; eq. 1 has inner products."),
    wrong("negative_squared_distance", "dot_product_scores(q, k)", "-torch.cdist(q, k).square()",
          "Your scores are negative squared distances; eq. 1 has inner products."),
    wrong("queries_with_themselves", "dot_product_scores(q, k)", "dot_product_scores(q, q)",
          "You compare the queries with each other: the keys play no part in your scores."),
    wrong("keys_with_themselves", "dot_product_scores(q, k)", "dot_product_scores(k, k)",
          "You compare the keys with each other: the queries play no part in your scores."),
    wrong("roles_swapped", "dot_product_scores(q, k)", "dot_product_scores(k, q)",
          "Queries and keys have changed places: your rows belong to the keys."),
    wrong("features_summed_apart", "dot_product_scores(q, k)",
          "dot_product_scores(q.sum(-1, keepdim=True), k.sum(-1, keepdim=True))",
          "You sum the features of q and of k apart. The inner product multiplies feature by"
          " feature, then sums: the letter d must be the same for q and for k."),
)

SCALES = often(
    wrong("unscaled", " / math.sqrt(q.shape[-1])", "",
          "The scores are not divided by sqrt(d)."),
    wrong("divided_by_d", "math.sqrt(q.shape[-1])", "q.shape[-1]",
          "You divide the scores by d; eq. 1 divides by sqrt(d). (Or do you scale twice?)"),
    wrong("multiplied_by_root", "/ math.sqrt", "* math.sqrt",
          "You multiply the scores by sqrt(d); eq. 1 divides by it."),
    wrong("divided_by_root_of_keys", "q.shape[-1]", "k.shape[-2]",
          "You divide by the root of the number of keys, sqrt(j). It is the width that counts:"
          " sqrt(d), the last axis of q."),
    wrong("divided_by_root_of_queries", "q.shape[-1]", "q.shape[-2]",
          "You divide by the root of the number of queries, sqrt(i). It is the width that counts:"
          " sqrt(d), the last axis of q."),
)

MASKS = (
    *often(
        wrong("mask_ignored", "scores.masked_fill(~mask, -math.inf)", "scores",
              "The mask is not used: masked keys are attended to.",
              AS_IT_COMES),
        wrong("mask_inverted", "~mask, -math.inf", "mask, -math.inf",
              "The mask is inverted: it is True where a query may attend, and you hide just that."),
        wrong("mask_fills_zero", "~mask, -math.inf", "~mask, 0",
              "Masked scores become 0, and exp(0) = 1 still counts. Fill with -inf: exp(-inf) ="
              " 0.",
              AS_IT_COMES),
        wrong("mask_fills_tiny", "~mask, -math.inf", "~mask, 1e-4",
              "Masked scores become a tiny number near 0 (1e-9?), and exp(0) = 1 still counts."
              " Fill with -inf; -1e9 and 1e-9 are not the same.",
              AS_IT_COMES),
        wrong("mask_added", "scores.masked_fill(~mask, -math.inf)", "(scores + mask)",
              "You add the mask to the scores as 0 and 1: a nudge, not a wall. Fill with -inf where"
              " it is False.",
              AS_IT_COMES),
        wrong("mask_after_the_softmax", "scores.masked_fill(~mask, -math.inf)", "scores",
              "You hide keys after the softmax: they have already taken weight, and what is left sums"
              " to less than 1. Mask the scores, before the softmax.",
              (FILLED, "weights * mask")),
        wrong("always_causal", "if mask is None:",
              "scores = scores.masked_fill(~causal_mask(*scores.shape[-2:]), -math.inf)\n"
              "if mask is None:",
              "You hide the future always. A causal mask is one of the masks you may be given, not"
              " a part of attention."),
    ),
    wrong("mask_fills_plus_infinity", "~mask, -math.inf", "~mask, math.inf",
          "Masked scores become +inf: they take everything, and inf - inf is nan. Fill with -inf.",
          AS_IT_COMES),
    wrong("mask_of_first_example", "~mask, -math.inf",
          "~(mask if mask.ndim < 3 else mask[:1]), -math.inf",
          "You use the mask of the first example for all of them. Each example has its own."),
    wrong("mask_of_first_query", "~mask, -math.inf", "~mask[..., :1, :], -math.inf",
          "You use the mask of the first query for all of them. Each query has its own row."),
    wrong("mask_is_taken_as_causal", "~mask, -math.inf",
          "~causal_mask(*scores.shape[-2:]), -math.inf",
          "Whatever mask you are given, you hide the future. Use the mask that comes in."),
    wrong("minus_infinity_after_the_softmax", "scores.masked_fill(~mask, -math.inf)", "scores",
          "You fill the weights with -inf, after the softmax. Fill the scores, before it.",
          ("~mask.any(-1, keepdim=True), 0)", "~mask, -math.inf)")),
    wrong("mask_transposed", "~mask, -math.inf", "~mask.mT, -math.inf",
          "You use the mask transposed. Its rows are queries and its columns keys, as in the map."),
)

NORMS = (
    *often(
        normalised("over_queries", "{}.softmax(-2)",
                   "Your softmax runs over the queries i: your weights sum to 1 down the columns."
                   " It runs over the keys j, the last axis."),
        normalised("over_batch", "{}.softmax(0)",
                   "Your softmax runs over the first axis, b: examples compete with each other. It"
                   " runs over the keys j, the last axis."),
        normalised("softmax_twice", "{}.softmax(-1).softmax(-1)",
                   "The softmax is applied twice: the second one flattens the weights."),
        normalised("log_of_softmax", "{}.log_softmax(-1)",
                   "You use log_softmax: the weights themselves are asked for, not their logarithms."),
        normalised("sigmoid_for_softmax", "{}.sigmoid()",
                   "You use a sigmoid: each weight is computed by itself and does not compete with the"
                   " others. The softmax over j makes them sum to 1."),
        normalised("exp_not_divided", "{}.exp()",
                   "You take exp of the scores but do not divide by their sum over the keys j."),
        wrong("naive_exponential", "return scores.softmax(-1)",
              "return scores.exp() / scores.exp().sum(-1, keepdim=True)",
              "For large scores exp overflows: inf / inf is nan. Use `softmax`, or subtract the"
              " largest score of the row first.",
              ("-math.inf).softmax(-1)",
               "-math.inf).exp()\nweights = weights / weights.sum(-1, keepdim=True)")),
        wrong("softmin", "dot_product_scores(q, k)", "-dot_product_scores(q, k)",
              "The sign is turned: keys that agree least get the most weight."),
    ),
    normalised("relu_for_softmax", "{}.relu()",
               "You use a ReLU on the scores instead of the softmax over j."),
    normalised("two_best_keys", "two_best({})",
               "Each query attends to its two best keys alone (top-k). The softmax spreads the"
               " weight over all keys."),
    normalised("winner_takes_all", "best({})",
               "Each query attends to its best key alone (argmax). The softmax spreads the weight,"
               " and lets gradients pass."),
    normalised("maximum_of_everything", "one_maximum({})",
               "You subtract one maximum for all rows: in a row far below it every exponential is"
               " 0. Each row has its own."),
    normalised("one_more_in_the_sum", "F.pad({}, (0, 1)).softmax(-1)[..., :-1]",
               "Your denominator holds 1 more than the sum of the exponentials (\"softmax plus"
               " one\"): the weights sum to less than 1."),
    normalised("powers_of_two", "({} * math.log(2)).softmax(-1)",
               "You use powers of 2 where the softmax has powers of e."),
)

EMPTY_ROWS = (
    same(FILLED, "weights.nan_to_num(0)"),
    same("-math.inf).softmax(-1)", "-math.inf).softmax(-1) * mask.any(-1, keepdim=True)"),
    *often(
        wrong("empty_rows_are_nan", *AS_IT_COMES,
              "A query that may attend to nothing gives nan: softmax over nothing but -inf is 0 /"
              " 0. Its weights, and so its output, are 0."),
        wrong("empty_rows_are_uniform", "~mask, -math.inf", "~mask, -1e9",
              "A query that may attend to nothing gets the mean of all values: its weights are"
              " uniform, as with a finite filler such as -1e9. They, and so the output, should be"
              " 0.",
              AS_IT_COMES),
    ),
)
# fmt: on


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
    slips=(*SCORES, *SCALES, *MASKS, *NORMS, *EMPTY_ROWS),
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
