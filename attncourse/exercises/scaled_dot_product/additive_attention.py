"""The record of `scaled_dot_product.additive_attention`."""

import math

import torch
from einops import rearrange, reduce, repeat
from torch.nn import functional as F

from attncourse.exercises.record import Exercise, Trial
from solutions.scaled_dot_product import (
    AdditiveAttention,
)


class NoTanh(AdditiveAttention):
    """The tanh is missing: without it e splits into a part of q and a part of k, and the query
    cancels in the softmax."""

    def scores(self, q, k):
        both = rearrange(self.query(q), "b i m -> b i 1 m") + rearrange(
            self.key(k), "b j m -> b 1 j m"
        )
        return rearrange(self.score(both), "b i j 1 -> b i j")


class TanhAfterTheScore(AdditiveAttention):
    """The tanh comes after w: e = tanh(wᵀ(…)). It belongs inside, on each hidden feature."""

    def scores(self, q, k):
        both = rearrange(self.query(q), "b i m -> b i 1 m") + rearrange(
            self.key(k), "b j m -> b 1 j m"
        )
        return rearrange(self.score(both).tanh(), "b i j 1 -> b i j")


class Multiplied(AdditiveAttention):
    """You multiply query and key; additive attention adds them."""

    def scores(self, q, k):
        both = rearrange(self.query(q), "b i m -> b i 1 m") * rearrange(
            self.key(k), "b j m -> b 1 j m"
        )
        return rearrange(self.score(both.tanh()), "b i j 1 -> b i j")


class TanhOnEach(AdditiveAttention):
    """You take the tanh of query and key apart and add afterwards. Add first: tanh(W_q q + W_k
    k)."""

    def scores(self, q, k):
        both = self.query(q).tanh()[:, :, None] + self.key(k).tanh()[:, None]
        return rearrange(self.score(both), "b i j 1 -> b i j")


class KeysOnly(AdditiveAttention):
    """The query plays no part in your scores: every query gets the same weights."""

    def scores(self, q, k):
        e = rearrange(self.score(self.key(k).tanh()), "b j 1 -> b 1 j")
        return e.expand(-1, q.shape[1], -1)


class QueriesOnly(AdditiveAttention):
    """The keys play no part in your scores: all of them get the same weight."""

    def scores(self, q, k):
        e = rearrange(self.score(self.query(q).tanh()), "b i 1 -> b i 1")
        return e.expand(-1, -1, k.shape[1])


class Relu(AdditiveAttention):
    """You use a ReLU where the paper has tanh."""

    def scores(self, q, k):
        both = self.query(q)[:, :, None] + self.key(k)[:, None]
        return rearrange(self.score(both.relu()), "b i j 1 -> b i j")


class SoftmaxOverQueries(AdditiveAttention):
    """Your weights sum to 1 over the queries i. They must sum to 1 over the keys j."""

    def attention(self, q, k):
        return self.scores(q, k).softmax(-2)


class ScoresAsWeights(AdditiveAttention):
    """The softmax is missing: `attention` returns the scores."""

    def attention(self, q, k):
        return self.scores(q, k)


class ScaledScores(AdditiveAttention):
    """You divide by a square root. Additive scores are bounded by the tanh and are not
    scaled."""

    def scores(self, q, k):
        return super().scores(q, k) / math.sqrt(self.score.in_features)


class Sigmoid(AdditiveAttention):
    """You use a sigmoid where the paper has tanh."""

    def scores(self, q, k):
        both = self.query(q)[:, :, None] + self.key(k)[:, None]
        return rearrange(self.score(both.sigmoid()), "b i j 1 -> b i j")


class Subtracted(AdditiveAttention):
    """You subtract the key from the query; additive attention adds them."""

    def scores(self, q, k):
        both = self.query(q)[:, :, None] - self.key(k)[:, None]
        return rearrange(self.score(both.tanh()), "b i j 1 -> b i j")


class ScoresForWeights(AdditiveAttention):
    """`forward` multiplies the values with the scores. It multiplies them with the weights,
    `self.attention(q, k)`."""

    def forward(self, q, k, v):
        return self.scores(q, k) @ v


class WeightsTransposed(AdditiveAttention):
    """`forward` uses the weights of the wrong axis: you take a softmax over the queries there.
    Use `self.attention(q, k)`."""

    def forward(self, q, k, v):
        return self.scores(q, k).softmax(-2) @ v


class SoftmaxTwice(AdditiveAttention):
    """`forward` applies a softmax to the weights, which are shares already. Use them as they
    are."""

    def forward(self, q, k, v):
        return self.attention(q, k).softmax(-1) @ v


class HiddenSummed(AdditiveAttention):
    """You sum the hidden features instead of weighing them with w (`self.score`)."""

    def scores(self, q, k):
        return (self.query(q)[:, :, None] + self.key(k)[:, None]).tanh().sum(-1)


class MeanOfValues(AdditiveAttention):
    """Your output is the plain mean of the values: the weights are not used."""

    def forward(self, q, k, v):
        return repeat(reduce(v, "b j e -> b e", "mean"), "b e -> b i e", i=q.shape[1])


class AdditiveLoops(AdditiveAttention):
    def scores(self, q, k):
        w = self.score.weight[0]
        rows = []
        for one_q, one_k in zip(q, k, strict=True):
            tilted = [[w @ (self.query(a) + self.key(c)).tanh() for c in one_k] for a in one_q]
            rows.append(torch.stack([torch.stack(row) for row in tilted]))
        return torch.stack(rows)


class AdditiveRepeated(AdditiveAttention):
    def scores(self, q, k):
        a = self.query(q).unsqueeze(2).repeat(1, 1, k.shape[1], 1)
        c = self.key(k).unsqueeze(1).repeat(1, q.shape[1], 1, 1)
        return self.score(torch.tanh(a + c)).squeeze(-1)

    def forward(self, q, k, v):
        return torch.bmm(F.softmax(self.scores(q, k), dim=2), v)


def additive_trials():
    def trial(name, **sizes):
        init = dict(
            query_dim=sizes.pop("query_dim"), key_dim=sizes.pop("key_dim"), hidden=sizes["m"]
        )
        axes = dict(q="b i query_dim", k="b j key_dim", v="b j e")
        return Trial(name, sizes | {k: v for k, v in init.items() if k != "hidden"}, axes, init)

    return (
        trial("on two examples", b=2, i=3, j=5, query_dim=7, key_dim=4, m=6, e=11),
        trial("with other sizes", b=3, i=6, j=2, query_dim=5, key_dim=8, m=9, e=4),
    )


EXERCISE = Exercise(
    id="scaled_dot_product.additive_attention",
    solution=AdditiveAttention,
    probes={"scores": "b i j", "attention": "b i j", "forward": "b i e"},
    trials=additive_trials,
    blank=("scores", "attention", "forward"),
    slips=(
        NoTanh,
        TanhAfterTheScore,
        Multiplied,
        TanhOnEach,
        KeysOnly,
        QueriesOnly,
        Relu,
        SoftmaxOverQueries,
        ScoresAsWeights,
        ScaledScores,
        Sigmoid,
        Subtracted,
        ScoresForWeights,
        WeightsTransposed,
        SoftmaxTwice,
        HiddenSummed,
        MeanOfValues,
    ),
    hints=(
        "Every query meets every key. Which axes must the sum W_q q + W_k k have?",
        (
            "Give the query an axis of length 1 where the keys go, b i 1 m, and the key one"
            " where the queries go, b 1 j m. Their sum is b i j m; tanh, then w takes m"
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
