"""Gaussian weights: weights of the keys by plain products, a softmax without a scale."""

import torch
from torch.nn import functional as F

from attncourse.exercises.edits import often, published, wrong
from attncourse.exercises.record import Exercise, Trial
from solutions.non_local import gaussian_weights


def weights_trials():
    plain = dict(q="b i m", k="b j m")
    return (
        Trial("on two examples", dict(b=2, i=5, j=7, m=4), plain),
        Trial("with more queries than keys", dict(b=3, i=8, j=2, m=5), plain),
        Trial(
            "with two axes in front",
            dict(b=2, head=3, i=4, j=7, m=9),
            dict(q="b head i m", k="b head j m"),
        ),
    )


# fmt: off
PRODUCTS = (
    wrong("cosine", "einsum(q, k,", "einsum(F.normalize(q, dim=-1), F.normalize(k, dim=-1),",
          "You divide queries and keys by their lengths (cosine). Equation 2 has plain"
          " products."),
    wrong("keys_reshaped", 'einsum(q, k, "... i m, ... j m -> ... i j")',
          "(q @ k.reshape(*k.shape[:-2], k.shape[-1], k.shape[-2]))",
          "You reshape k to m j: the numbers of different keys get mixed. Exchange its axes."),
    wrong("summed_apart", "... i m, ... j m", "... i m, ... j n",
          "You sum the features of q and of k apart. Multiply feature by feature, then sum: q"
          " and k share the letter m."),
    wrong("multiplied_by_root", "einsum(q,", "einsum(q * math.sqrt(q.shape[-1]),",
          "You multiply the products by sqrt(m) (dividing by m**-0.5 does that, a bug that was"
          " published once). They are taken as they are: no scale."),
    wrong("divided_by_keys_first", "einsum(q,", "einsum(q / k.shape[-2],",
          "You divide the products by the number of keys before the softmax. The softmax divides"
          " by the sum already: no 1/N in this form."),
    wrong("minus_squared_distance", 'einsum(q, k, "... i m, ... j m -> ... i j")',
          "(-torch.cdist(q, k) ** 2)",
          "You compare by squared distance, as the classical non-local means do. Here it is the"
          " product q_i · k_j: the exponential of a product is what the paper calls Gaussian."),
    wrong("minus_half_squared_distance", 'einsum(q, k, "... i m, ... j m -> ... i j")',
          "(-torch.cdist(q, k) ** 2 / 2)",
          "You compare by half the squared distance: that is the true Gaussian of q_i − k_j. The"
          " paper's is the exponential of the product q_i · k_j; the lengths of the keys make the"
          " difference."),
    wrong("minus_distance", 'einsum(q, k, "... i m, ... j m -> ... i j")', "(-torch.cdist(q, k))",
          "You compare by distance. Here it is the product q_i · k_j."),
    wrong("centred_features", "einsum(q, k,",
          "einsum(q - q.mean(-1, keepdim=True), k - k.mean(-1, keepdim=True),",
          "You take the mean off the features of each vector first. Queries and keys are taken as"
          " they are."),
    published("scaled_by_root_of_m", "einsum(q,", "einsum(q / math.sqrt(q.shape[-1]),",
              "You divide by sqrt(m), as the authors' released code does and as the Transformer"
              " does. The paper's equations have no scale."),
)

SHARES = (
    wrong("shares_of_queries", ".softmax(-1)", ".softmax(-2)",
          "Your weights sum to 1 over the queries i: the softmax runs over the wrong axis. Each"
          " query divides its weight among the keys, the last axis."),
    wrong("exponential_over_n", ".softmax(-1)", ".exp() / k.shape[-2]",
          "You divide the exponentials by the number of keys. Divide by their sum over the"
          " keys."),
    wrong("maximum_off_the_columns", "return einsum", "scores = einsum",
          "You take the largest score of each *key* off before the exponential: that changes the"
          " weights. Take that of each query's row off, over the last axis: it cancels.",
          (".softmax(-1)", "\nreturn (scores - scores.amax(-2, keepdim=True)).softmax(-1)")),
    wrong("exponential_over_all", "return einsum", "shares = einsum",
          "You divide by the sum of all exponentials, over examples, queries and keys. Each query"
          " has its own sum, over the keys (`sum(-1, keepdim=True)`).",
          (".softmax(-1)", ".exp()\nreturn shares / shares.sum()")),
)
# fmt: on


def weights_by_exp(q, k):
    f = torch.einsum("...im,...jm->...ij", q, k)
    f = torch.exp(f - f.amax(dim=-1, keepdim=True))
    return f / f.sum(dim=-1, keepdim=True)


def weights_by_sdpa(q, k):
    eye = torch.eye(k.shape[-2], dtype=k.dtype, device=k.device)
    eye = eye.expand(*k.shape[:-2], *eye.shape)
    return F.scaled_dot_product_attention(q, k, eye, scale=1.0)


def weights_by_loops(q, k):
    rows = [
        torch.stack([(q[..., i, :] * k[..., j, :]).sum(-1) for j in range(k.shape[-2])], -1)
        for i in range(q.shape[-2])
    ]
    return F.softmax(torch.stack(rows, -2), dim=-1)


EXERCISE = Exercise(
    id="non_local.gaussian_weights",
    solution=gaussian_weights,
    probes={"gaussian_weights": "b i j"},
    trials=weights_trials,
    slips=often(*PRODUCTS, *SHARES),
    hints=(
        "You have written this before, with one thing more. What is missing here?",
        "The products q_i · k_j, i j, then a softmax over the keys j. No scale.",
        "(q kᵀ), softmax over the last axis",
    ),
    minutes=3,
    difficulty=1,
    otherwise=(weights_by_exp, weights_by_sdpa, weights_by_loops),
    laws=("rows_sum_to_one", "scale_is_right", "examples_do_not_mix"),
)
