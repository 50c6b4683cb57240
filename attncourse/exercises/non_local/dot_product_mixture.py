"""The dot-product form without its map: keys and values are summed up first."""

import torch

from attncourse.exercises.edits import wrong
from attncourse.exercises.record import Cost, Exercise, Trial
from solutions.non_local import dot_product_mixture, dot_product_weights, gaussian_weights


def mixture_trials():
    plain = dict(q="b i m", k="b j m", v="b j e")
    return (
        Trial("on two examples", dict(b=2, i=37, j=41, m=3, e=5), plain),
        Trial("with few keys", dict(b=3, i=6, j=2, m=4, e=7), plain),
        Trial(
            "with two axes in front",
            dict(b=2, head=3, i=5, j=8, m=4, e=7),
            dict(q="b head i m", k="b head j m", v="b head j e"),
        ),
    )


# fmt: off
DIVISIONS = (
    wrong("mixture_not_divided", " / k.shape[-2]", "",
          "1/N is missing: divide by the number of keys."),
    wrong("mixture_over_queries", "/ k.shape", "/ q.shape",
          "You divide by the number of queries. N counts what is summed over: the keys."),
    wrong("mixture_over_first_axis", "k.shape[-2]", "len(k)",
          "You divide by the length of an axis in front: `len(k)` counts examples. N is the number"
          " of keys, `k.shape[-2]`."),
    wrong("mixture_over_axis_1", "k.shape[-2]", "k.shape[1]",
          "You divide by `k.shape[1]`: with more axes in front that is not the number of keys,"
          " `k.shape[-2]`."),
    wrong("mixture_absolute", " / k.shape[-2]", "",
          "You divide by the sum of the products instead of by their number. That sum may be 0.",
          ('... i e")', '... i e") / (q @ k.sum(-2, keepdim=True).mT)')),
)

FEATURES = (
    wrong("mixture_softmax_of_summary", " / k.shape[-2]", ".softmax(-1)",
          "You take a softmax of kᵀ v. This form has none: it divides by N."),
    wrong("mixture_efficient", "einsum(k,", "einsum(k.softmax(-2),",
          "You take a softmax of the queries over their features and of the keys over the pixels, as"
          " Efficient Attention (Shen et al.) does. The dot-product form has none; it divides by N.",
          (" / k.shape[-2]", ""), ("einsum(q,", "einsum(q.softmax(-1),")),
    wrong("mixture_key_softmax", "einsum(k,", "einsum(k.softmax(-2),",
          "You take a softmax of the keys over the pixels. This form has none: keys are taken as"
          " they are, and the sum is divided by N.",
          (" / k.shape[-2]", "")),
    wrong("mixture_relu_apart", "einsum(k,", "einsum(k.relu(),",
          "You rectify queries and keys first. They are taken as they are.",
          ("einsum(q,", "einsum(q.relu(),")),
    wrong("mixture_linear_attention", "einsum(k,", "einsum(F.elu(k) + 1,",
          "You map queries and keys through elu + 1, as linear Transformers do. Here they are taken"
          " as they are.",
          (" / k.shape[-2]", ""), ("einsum(q,", "einsum(F.elu(q) + 1,")),
    wrong("mixture_linear_attention_normalised", "summary = einsum",
          "q, k = F.elu(q) + 1, F.elu(k) + 1\nsummary = einsum",
          "That is the linear Transformer: elu + 1, divided by the sum of the weights. Here queries"
          " and keys are taken as they are, and the sum is divided by N.",
          (" / k.shape[-2]", ""),
          ('... i e")', '... i e") / (q @ k.sum(-2, keepdim=True).mT)')),
    wrong("mean_key_times_mean_value", 'einsum(k, v, "... j m, ... j e -> ... m e") / k.shape[-2]',
          'einsum(k.mean(-2), v.mean(-2), "... m, ... e -> ... m e")',
          "You multiply the mean of the keys with the mean of the values. Multiply each key with its"
          " own value, and take the mean of these products."),
    wrong("mixture_without_queries", 'einsum(q, summary, "... i m, ... m e -> ... i e")',
          'repeat(summary.sum(-2), "... e -> ... i e", i=q.shape[-2])',
          "The queries play no part: you return a sum of the values for all alike."),
)
# fmt: on


def mixture_softmax(q, k, v):
    """You take a softmax. The dot-product form has none: it divides by N, and that is why the
    products may be made in another order."""
    return gaussian_weights(q, k) @ v


def mixture_relu(q, k, v):
    """You cut off what is negative. Products may be negative here, and stay so."""
    return dot_product_weights(q, k).relu() @ v


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
    slips=(*DIVISIONS, *FEATURES, mixture_softmax, mixture_relu),
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
