"""The record of `non_local.gaussian_weights`."""

import math

import torch
from torch.nn import functional as F

from attncourse.exercises.families import family
from attncourse.exercises.record import Exercise, Trial, variant
from solutions.non_local import (
    gaussian_weights,
)


def weights_trials():
    plain = dict(q="b i m", k="b j m")
    return (
        Trial("on two examples", dict(b=2, i=5, j=7, m=4), plain),
        Trial("with more queries than keys", dict(b=3, i=8, j=2, m=5), plain),
        Trial(
            "with two axes in front",
            dict(b=2, head=3, i=4, j=6, m=9),
            dict(q="b head i m", k="b head j m"),
        ),
    )


def products(q, k):
    return q @ k.mT


def as_they_are(scores, q, k):
    return scores


def shares_of_keys(scores):
    return scores.softmax(-1)


def weights_recipe(score=products, scale=as_they_are, normalise=shares_of_keys):
    """`gaussian_weights` with some of its steps replaced."""

    def answer(q, k):
        return normalise(scale(score(q, k), q, k))

    return answer


def cosine(q, k):
    """You divide queries and keys by their lengths (cosine). Equation 2 has plain products."""
    return F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).mT


def minus_squared_distance(q, k):
    """You compare by squared distance, as the classical non-local means do. Here it is the
    product q_i · k_j: the exponential of a product is what the paper calls Gaussian."""
    return -torch.cdist(q, k).square()


def minus_half_squared_distance(q, k):
    """You compare by half the squared distance: that is the true Gaussian of q_i − k_j. The
    paper's is the exponential of the product q_i · k_j; the lengths of the keys make the
    difference."""
    return -torch.cdist(q, k).square() / 2


def minus_distance(q, k):
    """You compare by distance. Here it is the product q_i · k_j."""
    return -torch.cdist(q, k)


def queries_with_queries(q, k):
    """You compare the queries with each other; the keys k play no part."""
    return q @ q.mT


def keys_with_queries(q, k):
    """Queries and keys have changed places: your rows belong to the keys, j i. They belong to
    the queries, i j."""
    return k @ q.mT


def keys_reshaped(q, k):
    """You reshape k to m j: the numbers of different keys get mixed. Exchange its axes."""
    return q @ k.reshape(*k.shape[:-2], k.shape[-1], k.shape[-2])


def summed_apart(q, k):
    """You sum the features of q and of k apart. Multiply feature by feature, then sum: q and k
    share the letter m."""
    return q.sum(-1, keepdim=True) * k.sum(-1, keepdim=True).mT


def centred_features(q, k):
    """You take the mean off the features of each vector first. Queries and keys are taken as
    they are."""
    return (q - q.mean(-1, keepdim=True)) @ (k - k.mean(-1, keepdim=True)).mT


def rectified_products(q, k):
    """You rectify the products before the softmax. They may be negative, and stay so."""
    return (q @ k.mT).relu()


def absolute_products(q, k):
    """You take the absolute value of the products: a key that disagrees counts like one that
    agrees."""
    return (q @ k.mT).abs()


def divided_by_m(scores, q, k):
    """You divide the products by m. They are taken as they are: no scale."""
    return scores / q.shape[-1]


def multiplied_by_root(scores, q, k):
    """You multiply the products by sqrt(m) (dividing by m**-0.5 does that, a bug that was
    published once). They are taken as they are: no scale."""
    return scores * math.sqrt(q.shape[-1])


def divided_by_root_of_keys(scores, q, k):
    """You divide by the root of the number of keys. The products are taken as they are."""
    return scores / math.sqrt(k.shape[-2])


def divided_by_root_of_queries(scores, q, k):
    """You divide by the root of the number of queries. The products are taken as they are."""
    return scores / math.sqrt(q.shape[-2])


def divided_by_keys_first(scores, q, k):
    """You divide the products by the number of keys before the softmax. The softmax divides by
    the sum already: no 1/N in this form."""
    return scores / k.shape[-2]


def shares_of_queries(scores):
    """Your weights sum to 1 over the queries i: the softmax runs over the wrong axis. Each
    query shares out over the keys, the last axis."""
    return scores.softmax(-2)


def shares_of_pairs(scores):
    """Your weights sum to 1 over i and j together. Each query has a softmax of its own, over
    the keys."""
    return scores.flatten(-2).softmax(-1).unflatten(-1, scores.shape[-2:])


def shares_in_the_batch(scores):
    """Your softmax runs over the first axis, b. It runs over the keys, the last."""
    return scores.softmax(0)


def shares_of_axis_1(scores):
    """Your softmax runs over axis 1. That is not the last one: it runs over the keys, axis
    -1."""
    return scores.softmax(1)


def maximum_off_the_columns(scores):
    """You take the largest score of each *key* off before the exponential: that changes the
    shares. Take that of each query's row off, over the last axis: it cancels."""
    return (scores - scores.amax(-2, keepdim=True)).softmax(-1)


def no_softmax(scores):
    """You return the products. The Gaussian takes their exponential, and divides by the sum
    over the keys: a softmax."""
    return scores


def over_n(scores):
    """You divide by the number of keys, as the dot-product form does. The Gaussian divides
    exponentials by their sum: a softmax."""
    return scores / scores.shape[-1]


def exponential_over_n(scores):
    """You divide the exponentials by the number of keys. Divide by their sum over the keys."""
    return scores.exp() / scores.shape[-1]


def exponential_alone(scores):
    """You take the exponential and do not divide. Divide by the sum over the keys."""
    return scores.exp()


def softmax_and_over_n(scores):
    """You divide by the number of keys after the softmax. The softmax has divided already."""
    return scores.softmax(-1) / scores.shape[-1]


def softmax_times_n(scores):
    """You multiply by the number of keys after the softmax. Leave the shares as they are."""
    return scores.softmax(-1) * scores.shape[-1]


def exponential_over_all(scores):
    """You divide by the sum of all exponentials, over examples, queries and keys. Each query
    has its own sum, over the keys (`sum(-1, keepdim=True)`)."""
    return scores.flatten().softmax(0).reshape(scores.shape)


def softmax_twice(scores):
    """You apply the softmax twice."""
    return scores.softmax(-1).softmax(-1)


def log_of_softmax(scores):
    """You return the logarithm of the weights: `softmax`, not `log_softmax`."""
    return scores.log_softmax(-1)


def softmin(scores):
    """The sign is turned: keys that agree with the query get the least weight."""
    return (-scores).softmax(-1)


def sigmoid(scores):
    """You take the sigmoid: each key on its own. The softmax shares 1 out among the keys."""
    return scores.sigmoid()


def weights_keys_down(scores):
    """Your rows are keys and your columns queries: j i. The queries go down: i j."""
    return scores.softmax(-1).mT


@variant
def scaled_by_root_of_m(q, k):
    """You divide by sqrt(m), as the authors' released code does and as the Transformer does.
    The paper's equations have no scale."""
    return (q @ k.mT / math.sqrt(q.shape[-1])).softmax(-1)


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
    slips=(
        *family(
            weights_recipe,
            score=(
                cosine,
                minus_squared_distance,
                minus_half_squared_distance,
                minus_distance,
                queries_with_queries,
                keys_with_queries,
                keys_reshaped,
                summed_apart,
                centred_features,
                rectified_products,
                absolute_products,
            ),
            scale=(
                divided_by_m,
                multiplied_by_root,
                divided_by_root_of_keys,
                divided_by_root_of_queries,
                divided_by_keys_first,
            ),
            normalise=(
                shares_of_queries,
                shares_of_pairs,
                shares_in_the_batch,
                shares_of_axis_1,
                maximum_off_the_columns,
                no_softmax,
                over_n,
                exponential_over_n,
                exponential_alone,
                softmax_and_over_n,
                softmax_times_n,
                exponential_over_all,
                softmax_twice,
                log_of_softmax,
                softmin,
                sigmoid,
                weights_keys_down,
            ),
        ),
        scaled_by_root_of_m,
    ),
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
