"""Weights by concatenation: one vector reads query and key, each once."""

import torch
from torch.nn import functional as F

from attncourse.exercises.edits import often, wrong
from attncourse.exercises.record import Cost, Exercise, Given, Trial
from solutions.non_local import concatenation_weights


def concatenation_trials():
    def trial(name, front="b", **sizes):
        m = sizes["m"]
        dice = torch.Generator().manual_seed(m)
        w = Given("two_m", torch.randn(2 * m, generator=dice, dtype=torch.float64))
        sizes |= dict(two_m=2 * m)
        return Trial(name, sizes, dict(q=f"{front} i m", k=f"{front} j m", w=w))

    return (
        trial("on four examples", b=4, i=11, j=13, m=3),
        trial("with few keys", b=3, i=5, j=2, m=7),
        trial("with two axes in front", "b head", b=3, head=4, i=7, j=9, m=5),
    )


# fmt: off
HALVES = (
    wrong("key_first", "einsum(q, w[:m]", "einsum(q, w[m:]",
          "The halves of w are exchanged: the first reads the query, the second the key.",
          ("einsum(k, w[m:]", "einsum(k, w[:m]")),
    wrong("first_half_for_both", "w[m:]", "w[:m]",
          "You read queries and keys with the same half of w. The second half reads the keys."),
    wrong("every_second", "w[:m]", "w[::2]",
          "You take every second number of w for the query. [q, k] is one behind the other: the"
          " first m read the query.",
          ("w[m:]", "w[1::2]")),
)

RELUS = (
    wrong("not_rectified", ".relu()", "", "The relu is missing."),
    wrong("rectified_apart", "from_query[", "from_query.relu()[",
          "You rectify the parts of query and key before you add them. Add first: relu(a + b).",
          ("from_key[", "from_key.relu()["), (".relu()", "")),
    wrong("rectified_inputs", "einsum(q,", "einsum(q.relu(),",
          "You rectify queries and keys before w reads them. The relu comes after the sum: relu(a +"
          " b).",
          ("einsum(k,", "einsum(k.relu(),")),
    wrong("softmax_instead", ".relu() / k.shape[-2]", ".softmax(-1)",
          "You take a softmax. This form has a relu, and divides by the number of keys. (With a"
          " softmax the query would cancel: it adds the same to all keys.)"),
    wrong("softmax_of_rectified", " / k.shape[-2]", ".softmax(-1)",
          "You take a softmax of what the relu leaves. This form has the relu alone, and divides by"
          " the number of keys."),
)

DIVISIONS = (
    wrong("not_divided", " / k.shape[-2]", "", "1/N is missing: divide by the number of keys."),
    wrong("divided_by_queries", "/ k.shape", "/ q.shape",
          "You divide by the number of queries. N is the number of keys, which is summed over."),
    wrong("divided_by_sum", "return (", "weights = (",
          "You divide by the sum of the weights. It is the number of keys: the sum may be 0.",
          (" / k.shape[-2]", "\nreturn weights / weights.sum(-1, keepdim=True)")),
    wrong("divided_by_sum_above_0", "return (", "weights = (",
          "You divide by the sum of the weights, kept above 0. It is the number of keys: the weights"
          " of a query need not sum to 1.",
          (" / k.shape[-2]", "\nreturn weights / weights.sum(-1, keepdim=True).clamp(min=1e-6)")),
    wrong("divided_by_axis_1", "/ k.shape[-2]", "/ k.shape[1]",
          "You divide by `k.shape[1]`: with more axes in front that is not the number of keys,"
          " `k.shape[-2]`."),
)
# fmt: on


def refuse_other(q, w):
    m = q.shape[-1]
    if len(w) != 2 * m:
        raise ValueError(f"{m=}, and {len(w)} numbers in w")


def concatenation_by_matmul(q, k, w):
    refuse_other(q, w)
    a, b = q.matmul(w[: q.shape[-1]]), k.matmul(w[q.shape[-1] :])
    return torch.relu(a.unsqueeze(-1) + b.unsqueeze(-2)) / b.shape[-1]


def concatenation_by_loops(q, k, w):
    refuse_other(q, w)
    m, n = q.shape[-1], k.shape[-2]
    read = (k * w[m:]).sum(-1)
    rows = [
        F.relu((q[..., i, :] * w[:m]).sum(-1, keepdim=True) + read) for i in range(q.shape[-2])
    ]
    return torch.stack(rows, -2).div(n)


def other_lengths():
    def trial(long):
        sizes = dict(b=2, i=5, j=7, m=3, two_m=long)
        inputs = dict(q="b i m", k="b j m", w="two_m")
        return Trial(f"m = 3 and a w of {long}", sizes, inputs, says=(3, long))

    return trial(4), trial(8)


EXERCISE = Exercise(
    id="non_local.concatenation_weights",
    solution=concatenation_weights,
    probes={"concatenation_weights": "b i j"},
    trials=concatenation_trials,
    slips=often(*HALVES, *RELUS, *DIVISIONS),
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
    refuses=other_lengths,
)
