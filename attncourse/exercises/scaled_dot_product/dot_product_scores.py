"""Dot-product scores: how well each key agrees with each query, q kᵀ."""

import torch

from attncourse.exercises.edits import wrong
from attncourse.exercises.record import Exercise, Trial
from solutions.scaled_dot_product import dot_product_scores


def scores_trials():
    return (
        Trial("on two examples", dict(b=2, i=3, j=5, d=7), dict(q="b i d", k="b j d")),
        Trial("with other sizes", dict(b=3, i=5, j=2, d=4), dict(q="b i d", k="b j d")),
    )


def scores_with_heads():
    return Trial(
        "with an axis of heads, b head i d, which later chapters need",
        dict(b=2, head=4, i=3, j=5, d=7),
        dict(q="b head i d", k="b head j d"),
    )


# fmt: off
PRODUCTS = (
    wrong("scaled", '-> ... i j")', '-> ... i j") / math.sqrt(q.shape[-1])',
          "You divide by sqrt(d) already. That comes later; here the plain products are asked"
          " for."),
    wrong("reshaped_keys", 'einsum(q, k, "... i d, ... j d -> ... i j")',
          "q @ k.reshape(*k.shape[:-2], k.shape[-1], k.shape[-2])",
          "You reshape k to b d j instead of transposing it: the numbers of different keys get"
          " mixed."),
    wrong("features_averaged", 'einsum(q, k, "... i d, ... j d -> ... i j")',
          "(q[..., :, None, :] * k[..., None, :, :]).mean(-1)",
          "You take the mean over the features. An inner product is their sum."),
    wrong("products_of_sums", "... j d ->", "... j f ->",
          "You sum the features of q and of k apart and multiply the sums: the letter d must be the"
          " same on both sides of the comma."),
)

MEASURES = (
    wrong("cosines", "einsum(q, k,", "einsum(F.normalize(q, dim=-1), F.normalize(k, dim=-1),",
          "You divide queries and keys by their lengths (cosine similarity). The plain product"
          " keeps them."),
    wrong("distances", 'einsum(q, k, "... i d, ... j d -> ... i j")',
          "(q[..., :, None, :] - k[..., None, :, :]).square().sum(-1)",
          "These are distances; scores are inner products, large where query and key agree."),
    wrong("distances_turned", 'einsum(q, k, "... i d, ... j d -> ... i j")',
          "-(q[..., :, None, :] - k[..., None, :, :]).square().sum(-1)",
          "These are negative squared distances; scores are inner products."),
)
# fmt: on


def scores_loops(q, k):
    flat_q, flat_k = q.reshape(-1, *q.shape[-2:]), k.reshape(-1, *k.shape[-2:])
    each = [
        torch.stack([(row * c).sum(-1) for row in a])
        for a, c in zip(flat_q, flat_k, strict=True)
    ]
    return torch.stack(each).reshape(*q.shape[:-1], k.shape[-2])


def scores_matmul(q, k):
    return torch.matmul(q, k.transpose(-2, -1))


def scores_broadcast(q, k):
    return (q.unsqueeze(-2) * k.unsqueeze(-3)).sum(dim=-1)


EXERCISE = Exercise(
    id="scaled_dot_product.dot_product_scores",
    solution=dot_product_scores,
    probes={"dot_product_scores": "b i j"},
    trials=scores_trials,
    slips=(*PRODUCTS, *MEASURES),
    hints=(
        "Which letter do q, b i d, and k, b j d, share, and which of them survive?",
        (
            "An einsum multiplies where letters are equal and sums over those missing"
            " behind the arrow: d. All leading axes can be written as `...`."
        ),
        'einsum(q, k, "... i d, ... j d -> ... i j")',
    ),
    minutes=4,
    difficulty=1,
    otherwise=(scores_loops, scores_matmul, scores_broadcast),
    laws=("examples_do_not_mix", "one_step_more_or_less", "a_constant_factor"),
    remark=scores_with_heads,
)
