"""Additive attention: a small network scores how well each key answers each query."""

import torch
from torch.nn import functional as F

from attncourse.exercises.edits import wrong
from attncourse.exercises.record import Exercise, Trial
from solutions.scaled_dot_product import AdditiveAttention

# fmt: off
SCORES = (
    wrong("NoTanh", ".tanh()", "",
          "The tanh is missing: without it s splits into a part of q and a part of k, and the query"
          " cancels in the softmax."),
    wrong("TanhOnEach", "(q + k).tanh()", "q.tanh() + k.tanh()",
          "You take the tanh of query and key apart and add afterwards. Add first: tanh(W_q q + W_k"
          " k)."),
    wrong("HiddenSummed", 'rearrange(self.score((q + k).tanh()), "b i j 1 -> b i j")',
          "(q + k).tanh().sum(-1)",
          "You sum the hidden features instead of weighing them with u (`self.score`)."),
    wrong("ScaledScores", '"b i j 1 -> b i j")',
          '"b i j 1 -> b i j") / math.sqrt(self.score.in_features)',
          "You divide by a square root. Additive scores are bounded by the tanh and are not"
          " scaled."),
)

WEIGHTS = (
    wrong("SoftmaxOverQueries", ".softmax(-1)", ".softmax(-2)",
          "Your weights sum to 1 over the queries i. They must sum to 1 over the keys j."),
)

OUTPUTS = (
    wrong("ScoresForWeights", "self.attention(q, k) @ v", "self.scores(q, k) @ v",
          "`forward` multiplies the values with the scores. It multiplies them with the weights,"
          " `self.attention(q, k)`."),
    wrong("WeightsTransposed", "self.attention(q, k) @ v", "self.scores(q, k).softmax(-2) @ v",
          "`forward` uses the weights of the wrong axis: you take a softmax over the queries there."
          " Use `self.attention(q, k)`."),
    wrong("MeanOfValues", "self.attention(q, k) @ v",
          'repeat(v.mean(1), "b e -> b i e", i=q.shape[1])',
          "Your output is the plain mean of the values: the weights are not used."),
)
# fmt: on


class AdditiveLoops(AdditiveAttention):
    def scores(self, q, k):
        w = self.score.weight[0]
        rows = []
        for one_q, one_k in zip(q, k, strict=True):
            tilted = [[w @ (self.query(a) + self.key(c)).tanh() for c in one_k] for a in one_q]
            rows.append(torch.stack([torch.stack(row) for row in tilted]))
        return torch.stack(rows)

    def attention(self, q, k):
        grown = self.scores(q, k).exp()
        return grown / grown.sum(-1, keepdim=True)

    def forward(self, q, k, v):
        return torch.einsum("bij,bje->bie", self.attention(q, k), v)


class AdditiveRepeated(AdditiveAttention):
    def scores(self, q, k):
        a = self.query(q).unsqueeze(2).repeat(1, 1, k.shape[1], 1)
        c = self.key(k).unsqueeze(1).repeat(1, q.shape[1], 1, 1)
        return self.score(torch.tanh(a + c)).squeeze(-1)

    def attention(self, q, k):
        return F.softmax(self.scores(q, k), dim=2)

    def forward(self, q, k, v):
        return torch.bmm(self.attention(q, k), v)


def additive_trials():
    def trial(name, **sizes):
        init = dict(
            query_dim=sizes.pop("query_dim"), key_dim=sizes.pop("key_dim"), hidden=sizes["m"]
        )
        axes = dict(q="b i query_dim", k="b j key_dim", v="b j e")
        return Trial(name, sizes | {k: v for k, v in init.items() if k != "hidden"}, axes, init)

    return (
        trial("on two examples", b=2, i=3, j=5, query_dim=7, key_dim=4, m=9, e=11),
        trial("with other sizes", b=3, i=6, j=2, query_dim=5, key_dim=8, m=9, e=4),
    )


EXERCISE = Exercise(
    id="scaled_dot_product.additive_attention",
    solution=AdditiveAttention,
    probes={"scores": "b i j", "attention": "b i j", "forward": "b i e"},
    trials=additive_trials,
    blank=("scores", "attention", "forward"),
    slips=(*SCORES, *WEIGHTS, *OUTPUTS),
    hints=(
        "Every query meets every key. Which axes must the sum W_q q + W_k k have?",
        (
            "Give the query an axis of length 1 where the keys go, b i 1 m, and the key one"
            " where the queries go, b 1 j m. Their sum is b i j m; tanh, then u takes m"
            " away."
        ),
        (
            "scores    = self.score(tanh(b i 1 m + b 1 j m)), without its last axis\n"
            "attention = softmax of the scores over j\n"
            "forward   = attention @ v"
        ),
    ),
    minutes=12,
    difficulty=3,
    otherwise=(AdditiveLoops, AdditiveRepeated),
    laws=("examples_do_not_mix", "one_step_more_or_less", "a_constant_factor"),
)
