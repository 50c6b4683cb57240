"""Chapter 01, scaled dot-product attention: what is asked, what goes wrong, what helps."""

import math

import torch
from einops import einsum, rearrange, reduce, repeat
from torch.nn import functional as F

from attncourse.families import also, family, naturally
from attncourse.registry import Exercise, Given, Trial
from solutions.scaled_dot_product import (
    AdditiveAttention,
    attention_weights,
    causal_mask,
    dot_product_scores,
    padding_mask,
    scaled_dot_product_attention,
    softmax,
)

# softmax


def softmax_trials():
    dice = torch.Generator().manual_seed(1)
    near = 1000 + torch.randn(2, 5, generator=dice, dtype=torch.float64)
    wide = torch.tensor(
        [[-3000.0, 0, 1, 2000], [1, 2, 3, 4], [0, -2, -4, 900]], dtype=torch.float64
    )
    return (
        Trial("on scores around 0", dict(i=3, j=5), dict(x="i j")),
        Trial("with a batch axis in front", dict(b=2, i=4, j=7), dict(x="b i j")),
        Trial("on scores around 1000", dict(i=2, j=5), dict(x=Given("i j", near))),
        Trial("on rows of very different size", dict(i=3, j=4), dict(x=Given("i j", wide))),
    )


def no_maximum(x):
    """For large scores exp overflows: inf / inf is nan. Subtract the largest score of each row
    first; it cancels in the quotient."""
    return x.exp() / x.exp().sum(-1, keepdim=True)


def global_maximum(x):
    """You subtract one maximum for all rows. A row far below it becomes 0 / 0. Every row needs
    its own: "... j -> ... 1"."""
    shares = (x - x.max()).exp()
    return shares / shares.sum(-1, keepdim=True)


def mean_subtracted(x):
    """You subtract the mean of each row; a score far above it still overflows. Subtract the
    maximum."""
    shares = (x - x.mean(-1, keepdim=True)).exp()
    return shares / shares.sum(-1, keepdim=True)


def over_the_first_axis(x):
    """Your shares sum to 1 over the first axis. They must sum to 1 over the last, j."""
    return x.softmax(0)


def over_the_axis_before(x):
    """Your shares sum to 1 over i, the axis before the last. They must sum to 1 over the last,
    j."""
    return x.softmax(-2)


def over_everything(x):
    """Your shares sum to 1 over the whole tensor. Every row has a sum of its own: keep all axes
    but j."""
    shares = (x - x.max()).exp()
    return shares / shares.sum()


def not_divided(x):
    """The shares are positive but do not sum to 1: divide by their sum over j."""
    return (x - x.amax(-1, keepdim=True)).exp()


def no_exponential(x):
    """You divide the scores by their sum, without exp. Scores may be negative or sum to 0."""
    return x / x.sum(-1, keepdim=True)


def logarithm(x):
    """This is the logarithm of the softmax; the shares themselves are asked for."""
    return x.log_softmax(-1)


def base_two(x):
    """You use powers of 2 where the softmax has powers of e."""
    shares = torch.exp2(x - x.amax(-1, keepdim=True))
    return shares / shares.sum(-1, keepdim=True)


def sigmoid_instead(x):
    """A sigmoid looks at each score alone. In a softmax the scores of a row compete: their
    shares sum to 1."""
    return x.sigmoid()


def capped(x):
    """You clamp large scores so that exp does not overflow: those above all count alike.
    Subtract the largest score of the row instead; it cancels in the quotient."""
    shares = x.clamp(max=88).exp()
    return shares / shares.sum(-1, keepdim=True)


def absolute_maximum(x):
    """You subtract the largest absolute value: where it belongs to a negative score, all
    exponentials are 0. Subtract the largest score."""
    shares = (x - x.abs().amax(-1, keepdim=True)).exp()
    return shares / shares.sum(-1, keepdim=True)


def minimum_subtracted(x):
    """You subtract the smallest score of each row; the largest still overflows. Subtract the
    largest."""
    shares = (x - x.amin(-1, keepdim=True)).exp()
    return shares / shares.sum(-1, keepdim=True)


def divided_by_the_maximum(x):
    """You divide by the largest score instead of subtracting it. Only a difference cancels."""
    return (x / x.amax(-1, keepdim=True)).softmax(-1)


def softmax_loops(x):
    rows = [
        [math.exp(s - max(row)) for s in row] for row in x.reshape(-1, x.shape[-1]).tolist()
    ]
    flat = torch.tensor([[s / sum(row) for s in row] for row in rows], dtype=x.dtype)
    return flat.reshape(x.shape)


def softmax_by_logsumexp(x):
    return (x - x.logsumexp(-1, keepdim=True)).exp()


def softmax_functional(x):
    return F.softmax(x, dim=-1)


def softmax_detached_maximum(x):
    shares = torch.exp(x - x.detach().max(dim=-1, keepdim=True).values)
    return shares / torch.einsum("...j->...", shares)[..., None]


# additive attention


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


# dot-product scores


def scores_trials():
    return (
        Trial("on two examples", dict(b=2, i=3, j=5, d=7), dict(q="b i d", k="b j d")),
        Trial("with other sizes", dict(b=3, i=5, j=2, d=4), dict(q="b i d", k="b j d")),
    )


def scores_with_heads():
    return Trial(
        "with an axis of heads, b head i d",
        dict(b=2, head=4, i=3, j=5, d=7),
        dict(q="b head i d", k="b head j d"),
    )


def scaled(q, k):
    """You divide by sqrt(d) already. That comes later; here the plain products are asked
    for."""
    return einsum(q, k, "... i d, ... j d -> ... i j") / math.sqrt(q.shape[-1])


def keys_first(q, k):
    """Your rows are keys and your columns queries: j i. The queries go down, the keys across:
    i j."""
    return einsum(q, k, "... i d, ... j d -> ... j i")


def reshaped_keys(q, k):
    """You reshape k to b d j instead of transposing it: the numbers of different keys get
    mixed."""
    return q @ k.reshape(*k.shape[:-2], k.shape[-1], k.shape[-2])


def summed_over_the_batch(q, k):
    """The examples of the batch mix: the pattern sums over b. Keep b on both sides and behind
    the arrow."""
    total = torch.einsum("...id,...jd->...ij", q, k).sum(0, keepdim=True)
    return total.expand(q.shape[0], *total.shape[1:]).clone()


def cosines(q, k):
    """You divide queries and keys by their lengths (cosine similarity). The plain product keeps
    them."""
    return F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).mT


def distances(q, k):
    """These are distances; scores are inner products, large where query and key agree."""
    return (q[..., :, None, :] - k[..., None, :, :]).square().sum(-1)


def distances_turned(q, k):
    """These are negative squared distances; scores are inner products."""
    return -(q[..., :, None, :] - k[..., None, :, :]).square().sum(-1)


def keys_of_length_one(q, k):
    """You divide the keys by their lengths. The plain product keeps them."""
    return q @ F.normalize(k, dim=-1).mT


def queries_of_length_one(q, k):
    """You divide the queries by their lengths. The plain product keeps them."""
    return F.normalize(q, dim=-1) @ k.mT


def features_averaged(q, k):
    """You take the mean over the features. An inner product is their sum."""
    return (q[..., :, None, :] * k[..., None, :, :]).mean(-1)


def products_of_sums(q, k):
    """You sum the features of q and of k apart and multiply the sums: the letter d must be the
    same on both sides of the comma."""
    return einsum(q, k, "... i d, ... j f -> ... i j")


def not_summed(q, k):
    """The axis d is still there: an inner product sums over it."""
    return einsum(q, k, "... i d, ... j d -> ... i j d")


def softmax_already(q, k):
    """You apply the softmax already; here the scores are asked for."""
    return dot_product_scores(q, k).softmax(-1)


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


# masks


def causal_trials():
    return tuple(
        Trial(name, dict(i=i, j=j), dict(queries=i, keys=j))
        for name, i, j in (
            ("with fewer queries than keys", 3, 5),
            ("with more queries than keys", 7, 4),
            ("with one query", 1, 2),
        )
    )


def later_keys(queries, keys):
    """This mask lets a query see what comes later and hides the past. True where j <= i."""
    return torch.arange(queries)[:, None] <= torch.arange(keys)


def masked_is_true(queries, keys):
    """The mask is inverted: here True means may attend, and you mark what is hidden."""
    return torch.arange(queries)[:, None] < torch.arange(keys)


def not_itself(queries, keys):
    """A query may not see its own position. It may: j <= i, not j < i."""
    return torch.arange(queries)[:, None] > torch.arange(keys)


def one_ahead(queries, keys):
    """A query sees one position too far: j <= i, not j <= i + 1."""
    return torch.arange(queries)[:, None] + 1 >= torch.arange(keys)


def bottom_right(queries, keys):
    """Your mask is aligned at the bottom right, so that the last query sees the last key. In
    this course, as in torch, both count from the first (top left)."""
    return torch.ones(queries, keys).tril(keys - queries).bool()


def square_of_keys(queries, keys):
    """Your mask is keys x keys. It has one row for each query."""
    return torch.ones(keys, keys).tril().bool()


def square(queries, keys):
    """Your mask is queries x queries. It has one column for each key."""
    return torch.ones(queries, queries).tril().bool()


def transposed(queries, keys):
    """Your mask has the keys down and the queries across: j i. The queries go down: i j."""
    return torch.ones(queries, keys).tril().bool().mT


def ones_and_zeros(queries, keys):
    """Your mask holds the numbers 0 and 1. A mask is boolean: True where a query may attend."""
    return torch.ones(queries, keys).tril()


def minus_infinity(queries, keys):
    """This is the additive kind of mask, 0 and -inf. Here a mask is boolean: True where a query
    may attend."""
    return torch.full((queries, keys), -math.inf).triu(1)


def none_hidden(queries, keys):
    """Nothing is hidden: your mask is True everywhere. It is False where j > i."""
    return torch.ones(queries, keys, dtype=torch.bool)


def one_minus_infinity(queries, keys):
    """This is a mask of 1 and -inf. Here a mask is boolean: True where a query may attend."""
    ones = torch.ones(queries, keys)
    return ones.masked_fill(ones.triu(1).bool(), -math.inf)


def zeros_and_ones(queries, keys):
    """Your mask holds the numbers 1 for what is hidden and 0 else. A mask is boolean: True
    where a query may attend."""
    return torch.ones(queries, keys).triu(1)


def mask_of_integers(queries, keys):
    """Your mask holds the integers 0 and 1. A mask is boolean: True where a query may
    attend."""
    return torch.ones(queries, keys, dtype=torch.long).tril()


def mask_with_a_batch(queries, keys):
    """Your mask has an axis too many: 1 i j. Without it, i j, it broadcasts to every map."""
    return causal_mask(queries, keys)[None]


def causal_by_tril(queries, keys):
    return torch.ones(queries, keys, dtype=torch.bool).tril()


def causal_loops(queries, keys):
    return torch.tensor([[j <= i for j in range(keys)] for i in range(queries)])


def padding_trials():
    def trial(name, lengths, keys):
        lengths = torch.tensor(lengths)
        return Trial(
            name, dict(b=len(lengths), j=keys), dict(lengths=Given("b", lengths), keys=keys)
        )

    return (
        trial("with lengths 2, 5, 0 and 4 of 5", [2, 5, 0, 4], 5),
        trial("with lengths 1 and 3 of 7", [1, 3], 7),
    )


def one_too_many(lengths, keys):
    """One key too many is let through: the positions below `lengths` count from 0."""
    return torch.arange(keys)[None, None] <= lengths[:, None, None]


def padding_is_true(lengths, keys):
    """The mask is inverted: here True means may attend, and you mark the padding."""
    return torch.arange(keys)[None, None] >= lengths[:, None, None]


def from_the_left(lengths, keys):
    """You mark the last keys of each example. The padding comes at the end."""
    return torch.arange(keys)[None, None] >= keys - lengths[:, None, None]


def no_axis_for_queries(lengths, keys):
    """The axis of the queries is missing: b j. With b 1 j the mask broadcasts to the map, b i
    j."""
    return torch.arange(keys)[None] < lengths[:, None]


def down_the_queries(lengths, keys):
    """Your mask is b j 1: it hides queries. Padding hides keys: b 1 j."""
    return torch.arange(keys)[None, :, None] < lengths[:, None, None]


def only_the_last(lengths, keys):
    """You mark one key of each example; all of the first `lengths` may be attended to."""
    return torch.arange(keys)[None, None] == lengths[:, None, None] - 1


def as_numbers(lengths, keys):
    """Your mask holds numbers. A mask is boolean: True where a query may attend."""
    return (torch.arange(keys)[None, None] < lengths[:, None, None]).float()


def as_wide_as_the_longest(lengths, keys):
    """Your mask ends where the longest example ends. It has a column for every key: `keys`."""
    keys = int(lengths.max())
    return torch.arange(keys)[None, None] < lengths[:, None, None]


def over_queries_and_keys_alike(lengths, keys):
    """Your mask hides queries as well: b j j. Padding hides keys, for every query alike:
    b 1 j."""
    there = torch.arange(keys)[None] < lengths[:, None]
    return there[:, :, None] & there[:, None]


def longest_for_all(lengths, keys):
    """All examples get the length of the longest. Each has its own."""
    return padding_mask(lengths.amax().expand(len(lengths)), keys)


def first_for_all(lengths, keys):
    """All examples get the length of the first. Each has its own."""
    return padding_mask(lengths[:1].expand(len(lengths)), keys)


def as_many_as_padding(lengths, keys):
    """You mark as many keys as there is padding, keys - length. Mark the first `lengths`."""
    return padding_mask(keys - lengths, keys)


def one_axis_too_many(lengths, keys):
    """Your mask has an axis too many: b 1 1 j, as for heads. Here it is b 1 j."""
    return padding_mask(lengths, keys)[:, None]


def repeated_for_queries(lengths, keys):
    """You repeat the mask for every query: b j j. The axis of the queries has length 1, b 1 j:
    there may be more queries than keys, or fewer."""
    return padding_mask(lengths, keys).expand(-1, keys, -1)


def one_too_few(lengths, keys):
    """One key too few is let through: the positions below `lengths` count from 0."""
    return torch.arange(keys)[None, None] < lengths[:, None, None] - 1


def keys_before_examples(lengths, keys):
    """The axes are exchanged: j 1 b. The examples come first: b 1 j."""
    return torch.arange(keys)[:, None, None] < lengths


def minus_infinity_on_padding(lengths, keys):
    """This is the additive kind of mask, 0 and -inf. Here a mask is boolean: True where a query
    may attend."""
    mask = padding_mask(lengths, keys)
    return torch.zeros(mask.shape).masked_fill(~mask, -math.inf)


def padding_loops(lengths, keys):
    return torch.tensor([[[j < n for j in range(keys)]] for n in lengths.tolist()])


def padding_by_cumsum(lengths, keys):
    ones = torch.ones(len(lengths), 1, keys, dtype=torch.long, device=lengths.device)
    return ones.cumsum(-1) <= lengths.reshape(-1, 1, 1)


# attention: one recipe, and the ways to get each of its steps wrong


def dots(q, k):
    return q @ k.mT


def by_root_of_d(scores, q, k, v):
    return scores / math.sqrt(q.shape[-1])


def hide(scores, mask):
    return scores if mask is None else scores.masked_fill(~mask, -math.inf)


def over_keys(scores):
    return scores.softmax(-1)


def empty_rows(weights, mask):
    return weights if mask is None else weights.masked_fill(~mask.any(-1, keepdim=True), 0)


def mix(weights, v, q, k):
    return weights @ v


def weights_recipe(
    score=dots, scale=by_root_of_d, masking=hide, normalise=over_keys, after=empty_rows
):
    """`attention_weights` with some of its steps replaced."""

    def answer(q, k, mask=None, v=None):
        scores = scale(score(q, k), q, k, v)
        return after(normalise(masking(scores, mask)), mask)

    return answer


def attention_recipe(mixing=mix, **steps):
    """`scaled_dot_product_attention` with some of its steps replaced."""
    weights = weights_recipe(**steps)

    def answer(q, k, v, mask=None):
        return mixing(weights(q, k, mask, v), v, q, k)

    return answer


def cosine_similarity(q, k):
    """You divide queries and keys by their lengths (cosine similarity). The scores are the
    plain inner products, over sqrt(d)."""
    return F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).mT


def keys_reshaped(q, k):
    """You reshape k to b d j instead of transposing it: the numbers of different keys get
    mixed."""
    return q @ k.reshape(*k.shape[:-2], k.shape[-1], k.shape[-2])


def negative_distance(q, k):
    """Your scores are negative distances; eq. 1 has inner products."""
    return -torch.cdist(q, k)


def negative_squared_distance(q, k):
    """Your scores are negative squared distances; eq. 1 has inner products."""
    return -torch.cdist(q, k).square()


def queries_with_themselves(q, k):
    """You compare the queries with each other: the keys play no part in your scores."""
    return q @ q.mT


def keys_with_themselves(q, k):
    """You compare the keys with each other: the queries play no part in your scores."""
    return k @ k.mT


def roles_swapped(q, k):
    """Queries and keys have changed places: your rows belong to the keys."""
    return k @ q.mT


def absolute_products(q, k):
    """You take the absolute value of the scores: a key that disagrees counts like one that
    agrees."""
    return dots(q, k).abs()


def features_summed_apart(q, k):
    """You sum the features of q and of k apart. The inner product multiplies feature by
    feature, then sums: the letter d must be the same for q and for k."""
    return q.sum(-1, keepdim=True) * k.sum(-1, keepdim=True).mT


def unscaled(scores, q, k, v):
    """The scores are not divided by sqrt(d)."""
    return scores


def divided_by_d(scores, q, k, v):
    """You divide the scores by d; eq. 1 divides by sqrt(d). (Or do you scale
    twice?)"""
    return scores / q.shape[-1]


def multiplied_by_root(scores, q, k, v):
    """You multiply the scores by sqrt(d); eq. 1 divides by it."""
    return scores * math.sqrt(q.shape[-1])


def multiplied_by_d(scores, q, k, v):
    """You multiply the scores by d; eq. 1 divides by sqrt(d)."""
    return scores * q.shape[-1]


def divided_by_root_of_keys(scores, q, k, v):
    """You divide by the root of the number of keys, sqrt(j). It is the width that counts:
    sqrt(d), the last axis of q."""
    return scores / math.sqrt(k.shape[-2])


def divided_by_root_of_queries(scores, q, k, v):
    """You divide by the root of the number of queries, sqrt(i). It is the width that counts:
    sqrt(d), the last axis of q."""
    return scores / math.sqrt(q.shape[-2])


def divided_by_keys(scores, q, k, v):
    """You divide by the number of keys, j. It is the width that counts: sqrt(d), the last axis
    of q."""
    return scores / k.shape[-2]


def divided_by_fourth_root(scores, q, k, v):
    """You divide by the fourth root of d: as if only one of q and k had been scaled by
    d^(1/4)."""
    return scores / q.shape[-1] ** 0.25


def divided_by_root_of_value_width(scores, q, k, v):
    """You divide by the root of the width of the values, sqrt(e). It is the width of q and k
    that counts: sqrt(d)."""
    return scores / math.sqrt(v.shape[-1])


def divided_by_root_of_batch(scores, q, k, v):
    """You divide by the root of the first axis, sqrt(b). It is the width that counts: sqrt(d),
    the last axis of q."""
    return scores / math.sqrt(q.shape[0])


def as_it_comes(weights, mask):
    """Rows without keys are left alone; where that shows, as nan, it is a slip of its own."""
    if weights.isnan().any():
        raise ValueError("this shows")
    return weights


def nan_to_zero(weights, mask):
    return weights.nan_to_num(0)


UNSAID = dict(after=(empty_rows, as_it_comes, nan_to_zero))


@naturally(after=as_it_comes)
def mask_ignored(scores, mask):
    """The mask is not used: masked keys are attended to."""
    return scores


def mask_inverted(scores, mask):
    """The mask is inverted: it is True where a query may attend, and you hide just that."""
    return scores if mask is None else scores.masked_fill(mask, -math.inf)


@naturally(after=as_it_comes)
def mask_inverted_and_finite(scores, mask):
    """The mask is inverted: it is True where a query may attend, and you push just that down
    (by -1e9). Hide where it is False."""
    return scores if mask is None else scores - 1e9 * mask.to(scores)


@naturally(after=as_it_comes)
def mask_fills_zero(scores, mask):
    """Masked scores become 0, and exp(0) = 1 is a full share. Fill with -inf: exp(-inf) = 0."""
    return scores if mask is None else scores.masked_fill(~mask, 0.0)


@naturally(after=as_it_comes)
def mask_fills_tiny(scores, mask):
    """Masked scores become a tiny number near 0 (1e-9?), and exp(0) = 1 is a full share. Fill
    with -inf; -1e9 and 1e-9 are not the same."""
    return scores if mask is None else scores.masked_fill(~mask, 1e-4)


@naturally(after=as_it_comes)
def mask_added(scores, mask):
    """You add the mask to the scores as 0 and 1: a nudge, not a wall. Fill with -inf where it
    is False."""
    return scores if mask is None else scores + mask.to(scores)


@also(after=lambda weights, mask: weights)
def mask_fills_plus_infinity(scores, mask):
    """Masked scores become +inf: they take everything, and inf - inf is nan. Fill with -inf."""
    return scores if mask is None else scores.masked_fill(~mask, math.inf)


def mask_of_first_example(scores, mask):
    """You use the mask of the first example for all of them. Each example has its own."""
    if mask is None or mask.ndim < 3:
        return hide(scores, mask)
    return scores.masked_fill(~mask[:1], -math.inf)


def mask_of_first_query(scores, mask):
    """You use the mask of the first query for all of them. Each query has its own row."""
    return scores if mask is None else scores.masked_fill(~mask[..., :1, :], -math.inf)


def always_causal(scores, mask):
    """You hide the future always. A causal mask is one of the masks you may be given, not a
    part of attention."""
    lower = torch.ones(scores.shape[-2:], dtype=torch.bool).tril()
    return hide(scores.masked_fill(~lower, -math.inf), mask)


def mask_is_taken_as_causal(scores, mask):
    """Whatever mask you are given, you hide the future. Use the mask that comes in."""
    if mask is None:
        return scores
    return scores.masked_fill(
        ~torch.ones(scores.shape[-2:], dtype=torch.bool).tril(), -math.inf
    )


@naturally(after=as_it_comes)
def mask_weakly(scores, mask):
    """You fill masked scores with a number that is not small enough (-1?): masked keys keep a
    visible share. Fill with -inf."""
    return scores if mask is None else scores.masked_fill(~mask, -1.0)


@naturally(after=as_it_comes)
def mask_fills_minus_ten(scores, mask):
    """You fill masked scores with a number that is not small enough (-10?): masked keys keep a
    visible share. Fill with -inf."""
    return scores if mask is None else scores.masked_fill(~mask, -10.0)


def fill_minus_infinity(weights, mask):
    return weights if mask is None else weights.masked_fill(~mask, -math.inf)


@also(after=fill_minus_infinity)
def minus_infinity_after_the_softmax(scores, mask):
    """You fill the weights with -inf, after the softmax. Fill the scores, before it."""
    return scores


def first_key_for_empty_rows(weights, mask):
    """A query that may attend to nothing attends to the first key. It attends to nothing: its
    weights are 0."""
    if mask is None:
        return weights
    first = torch.zeros_like(weights)
    first[..., 0] = 1
    return weights.where(mask.any(-1, keepdim=True).expand_as(weights), first)


def mask_transposed(scores, mask):
    """You use the mask transposed. Its rows are queries and its columns keys, as in the map."""
    return scores if mask is None else scores.masked_fill(~mask.mT, -math.inf)


def times_mask(weights, mask):
    return weights if mask is None else weights * mask


@also(after=times_mask)
def mask_after_the_softmax(scores, mask):
    """You hide keys after the softmax: they have taken their share, and what is left sums to
    less than 1. Mask the scores, before the softmax."""
    return scores


def over_queries(scores):
    """Your softmax runs over the queries i: your weights sum to 1 down the columns. It runs
    over the keys j, the last axis."""
    return scores.softmax(-2)


def over_batch(scores):
    """Your softmax runs over the first axis, b: examples compete with each other. It runs over
    the keys j, the last axis."""
    return scores.softmax(0)


def over_queries_and_keys(scores):
    """Your softmax runs over i and j together. Every query has its own, over the keys j."""
    return scores.flatten(-2).softmax(-1).reshape(scores.shape)


def no_softmax(scores):
    """The softmax is missing: your weights are the bare scores."""
    return scores


@naturally(masking=mask_fills_zero, after=as_it_comes)
def no_softmax_and_zeros(scores):
    """The softmax is missing: your weights are the bare scores, 0 where the mask is False."""
    return scores


def softmax_twice(scores):
    """The softmax is applied twice: the second one flattens the weights."""
    return scores.softmax(-1).softmax(-1)


def log_of_softmax(scores):
    """You use log_softmax: weights are the shares themselves, not their logarithms."""
    return scores.log_softmax(-1)


def sigmoid_for_softmax(scores):
    """You use a sigmoid: each weight by itself, not as a share that competes with the others.
    The softmax over j makes them sum to 1."""
    return scores.sigmoid()


def relu_for_softmax(scores):
    """You use a ReLU on the scores instead of the softmax over j."""
    return scores.relu()


def exp_not_divided(scores):
    """You take exp of the scores but do not divide by their sum over the keys j."""
    return scores.exp()


def negative_scores_count_nothing(scores):
    """Negative scores count like 0 (a ReLU before the softmax). The softmax takes any
    number."""
    return scores.relu().masked_fill(scores == -math.inf, -math.inf).softmax(-1)


def squashed(scores):
    """You squash the scores with a tanh before the softmax. It takes any number."""
    return scores.tanh().masked_fill(scores == -math.inf, -math.inf).softmax(-1)


def two_best_keys(scores):
    """Each query attends to its two best keys alone (top-k). The softmax shares the weight out
    over all keys."""
    least = scores.topk(min(2, scores.shape[-1]), -1).values[..., -1:]
    return scores.masked_fill(scores < least, -math.inf).softmax(-1)


def divided_by_length(scores):
    """Your weights have length 1: their squares sum to 1, not the weights. The softmax divides
    by the sum over j."""
    return F.normalize((scores - scores.amax(-1, keepdim=True)).exp(), dim=-1)


def maximum_of_everything(scores):
    """You subtract one maximum for all rows: in a row far below it every exponential is 0. Each
    row has its own."""
    shares = (scores - scores.max()).exp()
    return shares / shares.sum(-1, keepdim=True)


def softmin(scores):
    """The sign is turned: keys that agree least get the most weight."""
    return (-scores).masked_fill(scores == -math.inf, -math.inf).softmax(-1)


def divided_by_sum(scores):
    """You divide the scores by their sum, without exp: weights come out negative or huge."""
    return scores / scores.sum(-1, keepdim=True)


def winner_takes_all(scores):
    """Each query attends to its best key alone (argmax). The softmax shares the weight out, and
    lets gradients pass."""
    best = F.one_hot(scores.argmax(-1), scores.shape[-1]).to(scores)
    return best + 0 * scores.masked_fill(scores.isinf(), 0)


def unit_length(scores):
    """You divide each row by its length. Shares sum to 1: softmax over j."""
    return F.normalize(scores.masked_fill(scores == -math.inf, 0), dim=-1)


def one_more_in_the_sum(scores):
    """Your denominator holds 1 more than the sum of the exponentials ("softmax plus one"): the
    weights sum to less than 1."""
    zero = torch.zeros_like(scores[..., :1])
    return torch.cat([scores, zero], -1).softmax(-1)[..., :-1]


def naive_exponential(scores):
    """For large scores exp overflows: inf / inf is nan. Use `softmax`, or subtract the largest
    score of the row first."""
    return scores.exp() / scores.exp().sum(-1, keepdim=True)


def powers_of_two(scores):
    """You use powers of 2 where the softmax has powers of e."""
    return (scores * math.log(2)).softmax(-1)


def empty_rows_are_nan(weights, mask):
    """A query that may attend to nothing gives nan: softmax over nothing but -inf is 0 / 0. Its
    weights, and so its output, are 0."""
    return weights


def empty_rows_are_uniform(weights, mask):
    """A query that may attend to nothing gets the mean of all values: its weights are uniform,
    as with a finite filler such as -1e9. They, and so the output, should be 0."""
    if mask is None:
        return weights
    return weights.masked_fill(~mask.any(-1, keepdim=True), 1 / weights.shape[-1])


def all_for_any(weights, mask):
    """Queries from which some keys are hidden get 0. Only a query that may attend to nothing
    does: `any`, not `all`."""
    return weights if mask is None else weights.masked_fill(~mask.all(-1, keepdim=True), 0)


def transposed_output(weights, v, q, k):
    """Your output is b e i: the axes of the result are swapped. It is b i e."""
    return (weights @ v).mT


def plain_mean(weights, v, q, k):
    """Your output is the plain mean of the values: the weights play no part."""
    return v.mean(-2, keepdim=True).expand(*weights.shape[:-1], v.shape[-1])


def keys_for_values(weights, v, q, k):
    """You average the keys. The weights apply to the values v."""
    return weights @ k


def only_the_weights(weights, v, q, k):
    """You return the weights. The output is the weights times v."""
    return weights


def weights_as_well(weights, v, q, k):
    """You return the output and the weights. The output alone is asked for."""
    return weights @ v, weights


def divided_by_number_of_keys(weights, v, q, k):
    """You divide the weighted sum by the number of keys. The weights are shares already."""
    return weights @ v / v.shape[-2]


@also(scale=unscaled)
def scaled_after_the_softmax(weights, v, q, k):
    """You scale after the softmax. What is divided by sqrt(d) are the scores, before it."""
    return weights @ v / math.sqrt(q.shape[-1])


def scaled_again(weights, v, q, k):
    """You divide by sqrt(d) a second time, after the softmax. The scores alone are divided."""
    return weights @ v / math.sqrt(q.shape[-1])


def weights_transposed(weights, v, q, k):
    """You use the weights transposed: each key then mixes by what the queries gave it. Output i
    is row i of the weights times v."""
    return weights.mT @ v


def queries_for_values(weights, v, q, k):
    """You average the queries. The weights apply to the values v."""
    return weights @ q


def query_added(weights, v, q, k):
    """You add the queries to the output (a residual connection). Eq. 1 returns the weighted
    mean alone."""
    return weights @ v + q


def value_added(weights, v, q, k):
    """You add the values to the output (a residual connection). Eq. 1 returns the weighted mean
    alone."""
    return weights @ v + v


def values_of_first_example(weights, v, q, k):
    """You take the values of the first example for all. Each example has its own."""
    return weights @ v[:1]


def values_reversed(weights, v, q, k):
    """The weights meet the values in the wrong order: weight j belongs to value j."""
    return weights @ v.flip(-2)


def softmax_of_values(weights, v, q, k):
    """You apply a softmax to the output or to the values. It belongs to the scores alone."""
    return (weights @ v).softmax(-1)


SCORES = (
    cosine_similarity,
    keys_reshaped,
    negative_distance,
    negative_squared_distance,
    queries_with_themselves,
    keys_with_themselves,
    roles_swapped,
    absolute_products,
    features_summed_apart,
)
SCALES = (
    unscaled,
    divided_by_d,
    multiplied_by_root,
    multiplied_by_d,
    divided_by_root_of_keys,
    divided_by_root_of_queries,
    divided_by_keys,
    divided_by_fourth_root,
    divided_by_root_of_batch,
)
MASKS = (
    mask_ignored,
    mask_inverted,
    mask_inverted_and_finite,
    mask_fills_zero,
    mask_fills_tiny,
    mask_added,
    mask_after_the_softmax,
    mask_fills_plus_infinity,
    mask_of_first_example,
    mask_of_first_query,
    always_causal,
    mask_is_taken_as_causal,
    mask_weakly,
    mask_fills_minus_ten,
    minus_infinity_after_the_softmax,
    mask_transposed,
)
NORMS = (
    over_queries,
    over_batch,
    over_queries_and_keys,
    no_softmax,
    no_softmax_and_zeros,
    softmax_twice,
    log_of_softmax,
    sigmoid_for_softmax,
    relu_for_softmax,
    exp_not_divided,
    negative_scores_count_nothing,
    squashed,
    two_best_keys,
    divided_by_length,
    maximum_of_everything,
    softmin,
    divided_by_sum,
    winner_takes_all,
    unit_length,
    one_more_in_the_sum,
    naive_exponential,
    powers_of_two,
)
AFTER = (
    empty_rows_are_nan,
    empty_rows_are_uniform,
    all_for_any,
    first_key_for_empty_rows,
)
MIXES = (
    transposed_output,
    plain_mean,
    keys_for_values,
    only_the_weights,
    weights_as_well,
    divided_by_number_of_keys,
    scaled_after_the_softmax,
    scaled_again,
    weights_transposed,
    queries_for_values,
    query_added,
    value_added,
    values_of_first_example,
    values_reversed,
    softmax_of_values,
)


OFTEN = (  # those that come in twos
    cosine_similarity,
    keys_reshaped,
    unscaled,
    divided_by_d,
    multiplied_by_root,
    divided_by_root_of_keys,
    divided_by_root_of_queries,
    mask_ignored,
    mask_inverted,
    mask_fills_zero,
    mask_fills_tiny,
    mask_added,
    mask_after_the_softmax,
    always_causal,
    over_queries,
    over_batch,
    softmax_twice,
    log_of_softmax,
    sigmoid_for_softmax,
    exp_not_divided,
    softmin,
    naive_exponential,
    empty_rows_are_nan,
    empty_rows_are_uniform,
    transposed_output,
    plain_mean,
    only_the_weights,
    weights_as_well,
    value_added,
)


def attention_masks(sizes):
    """A causal mask, a padding mask, and one with a query that may attend to nothing."""
    b, i, j = sizes["b"], sizes["i"], sizes["j"]
    some = torch.rand(b, i, j, generator=torch.Generator().manual_seed(3)) < 0.6
    some[:, :, 0] |= ~some.any(-1)
    some[1, 1] = False
    return (
        Given("i j", causal_mask(i, j)),
        Given("b 1 j", padding_mask(torch.arange(b) + 2, j)),
        Given("b i j", some),
    )


def far_below_zero(sizes):
    """Queries and keys that all disagree: a filler that is not -inf stands out among them."""
    dice, d = torch.Generator().manual_seed(7), sizes["d"]
    q = torch.randn(sizes["b"], sizes["i"], d, generator=dice, dtype=torch.float64)
    k = torch.randn(sizes["b"], sizes["j"], d, generator=dice, dtype=torch.float64)
    q[..., 0], k[..., 0] = -3 + q[..., 0] / 10, 2000 * math.sqrt(d) / 3 + k[..., 0]
    return q, k


def attention_trials(values=True):
    qkv = dict(q="b i d", k="b j d") | (dict(v="b j e") if values else {})

    def sizes(**all_sizes):
        return all_sizes if values else {a: n for a, n in all_sizes.items() if a != "e"}

    one, two = sizes(b=2, i=3, j=5, d=7, e=11), sizes(b=3, i=6, j=4, d=5, e=2)
    square = sizes(b=3, i=4, j=4, d=6, e=6)
    lone = sizes(b=1, i=1, j=4, d=7, e=3)
    causal, padding, empty = attention_masks(two)
    other = attention_masks(one)[2]
    q, k = far_below_zero(one)
    return (
        Trial("without a mask", one, qkv),
        Trial("without a mask, with other sizes", two, qkv),
        Trial("with as many keys as queries", square, qkv),
        Trial("with a causal mask", two, qkv | dict(mask=causal)),
        Trial("with a padding mask", two, qkv | dict(mask=padding)),
        Trial("with a query that may attend to nothing", two, qkv | dict(mask=empty)),
        Trial("with one query of one example", lone, qkv),
        Trial(
            "with a causal mask and as many keys as queries",
            square,
            qkv | dict(mask=Given("i j", causal_mask(4, 4))),
        ),
        Trial(
            "with another such mask and scores around -2000",
            one,
            qkv | dict(q=Given("b i d", q), k=Given("b j d", k), mask=other),
        ),
    )


def attention_with_heads(values=True):
    sizes = dict(b=2, head=4, i=3, j=5, d=7) | (dict(e=6) if values else {})
    qkv = dict(q="b head i d", k="b head j d") | (dict(v="b head j e") if values else {})
    return Trial("with an axis of heads, b head i d", sizes, qkv)


def weights_loops(q, k, mask=None):
    *batch, i, d = q.shape
    j = k.shape[-2]
    allowed = (
        torch.ones(*batch, i, j, dtype=torch.bool)
        if mask is None
        else mask.expand(*batch, i, j)
    )
    rows = []
    for a, keys, row in zip(
        q.reshape(-1, d),
        k.unsqueeze(-3).expand(*batch, i, j, d).reshape(-1, j, d),
        allowed.reshape(-1, j),
        strict=True,
    ):
        scores = [(a * c).sum() / d**0.5 for c in keys]
        top = max((s for s, ok in zip(scores, row, strict=True) if ok), default=torch.zeros(()))
        shares = [(s - top).exp() if ok else 0 * s for s, ok in zip(scores, row, strict=True)]
        total = sum(shares)
        rows.append(torch.stack([s / total if row.any() else 0 * s for s in shares]))
    return torch.stack(rows).reshape(*batch, i, j)


def weights_by_bias(q, k, mask=None):
    scores = torch.einsum("...id,...jd->...ij", q, k) * q.shape[-1] ** -0.5
    if mask is None:
        return F.softmax(scores, dim=-1)
    scores = torch.where(mask, scores, torch.finfo(scores.dtype).min)
    return F.softmax(scores, dim=-1) * mask


def weights_shared_again(q, k, mask=None):
    shares = (q / math.sqrt(q.shape[-1])) @ k.transpose(-1, -2)
    shares = torch.exp(shares - shares.amax(-1, keepdim=True))
    if mask is not None:
        shares = shares * mask
    return shares / shares.sum(-1, keepdim=True).clamp(min=torch.finfo(shares.dtype).tiny)


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


EXERCISES = [
    Exercise(
        id="scaled_dot_product.softmax",
        solution=softmax,
        probes={"softmax": "i j"},
        trials=softmax_trials,
        slips=(
            no_maximum,
            global_maximum,
            mean_subtracted,
            over_the_first_axis,
            over_the_axis_before,
            over_everything,
            not_divided,
            no_exponential,
            logarithm,
            base_two,
            sigmoid_instead,
            capped,
            absolute_maximum,
            minimum_subtracted,
            divided_by_the_maximum,
        ),
        hints=(
            (
                "What does a softmax do to a row when you add the same number to all of its"
                " scores?"
            ),
            (
                "Because nothing changes, you may subtract the largest score of the row. Then"
                " the largest exponent is 0 and exp cannot overflow."
            ),
            (
                "shifted = x minus its maximum over j (keep an axis of length 1)\n"
                "shares  = exp(shifted)\n"
                "return shares / (their sum over j, again with an axis of length 1)"
            ),
        ),
        minutes=6,
        difficulty=2,
        otherwise=(softmax_by_logsumexp, softmax_functional, softmax_detached_maximum),
        laws=("rows_sum_to_one", "ratios_of_shares", "one_step_more_or_less"),
    ),
    Exercise(
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
    ),
    Exercise(
        id="scaled_dot_product.dot_product_scores",
        solution=dot_product_scores,
        probes={"dot_product_scores": "b i j"},
        trials=scores_trials,
        slips=(
            scaled,
            keys_first,
            reshaped_keys,
            summed_over_the_batch,
            cosines,
            distances,
            distances_turned,
            keys_of_length_one,
            queries_of_length_one,
            features_averaged,
            products_of_sums,
            not_summed,
            softmax_already,
        ),
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
    ),
    Exercise(
        id="scaled_dot_product.causal_mask",
        solution=causal_mask,
        probes={"causal_mask": "i j"},
        trials=causal_trials,
        slips=(
            later_keys,
            masked_is_true,
            not_itself,
            one_ahead,
            bottom_right,
            square,
            square_of_keys,
            transposed,
            ones_and_zeros,
            minus_infinity,
            none_hidden,
            one_minus_infinity,
            zeros_and_ones,
            mask_of_integers,
            mask_with_a_batch,
        ),
        hints=(
            "Query i = 0 is the first. How many keys may it see, and how many may query i = 2?",
            "Compare two counts: i as a column, i 1, and j as a row. True where j <= i.",
            (
                "i = 0 … queries - 1, with a second axis of length 1\nj = 0 … keys - 1\nreturn"
                " i >= j"
            ),
        ),
        minutes=4,
        difficulty=1,
        otherwise=(causal_by_tril, causal_loops),
        laws=("queries_see_their_keys",),
    ),
    Exercise(
        id="scaled_dot_product.padding_mask",
        solution=padding_mask,
        probes={"padding_mask": "b 1 j"},
        trials=padding_trials,
        slips=(
            one_too_many,
            padding_is_true,
            from_the_left,
            no_axis_for_queries,
            down_the_queries,
            only_the_last,
            as_numbers,
            as_wide_as_the_longest,
            longest_for_all,
            first_for_all,
            as_many_as_padding,
            over_queries_and_keys_alike,
            one_axis_too_many,
            repeated_for_queries,
            one_too_few,
            keys_before_examples,
            minus_infinity_on_padding,
        ),
        hints=(
            "For an example of length 2, which positions j = 0, 1, 2, … are real keys?",
            (
                "Compare j, as 1 1 j, with the lengths, as b 1 1. The middle axis is there for"
                " the queries."
            ),
            (
                "j = 0 … keys - 1, on the device of lengths\n"
                'return (j as "1 1 j") < (lengths as "b 1 1")'
            ),
        ),
        minutes=4,
        difficulty=1,
        otherwise=(padding_loops, padding_by_cumsum),
        laws=("lengths_are_kept",),
        skip=frozenset({"device"}),
    ),
    Exercise(
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
    ),
    Exercise(
        id="scaled_dot_product.scaled_dot_product_attention",
        solution=scaled_dot_product_attention,
        probes={"scaled_dot_product_attention": "b i e"},
        trials=attention_trials,
        slips=family(
            attention_recipe,
            unsaid=UNSAID,
            paired=OFTEN,
            score=SCORES,
            scale=(*SCALES, divided_by_root_of_value_width),
            masking=MASKS,
            normalise=NORMS,
            after=AFTER,
            mixing=MIXES,
        ),
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
    ),
]
