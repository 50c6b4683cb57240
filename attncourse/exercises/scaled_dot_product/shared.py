"""Of several exercises of the chapter: scaled_dot_product."""

import math

import torch
from torch.nn import functional as F

from attncourse.exercises.families import also, naturally
from attncourse.exercises.record import Given, Trial
from solutions.scaled_dot_product import (
    causal_mask,
    padding_mask,
)


def square(queries, keys):
    """Your mask is queries x queries. It has one column for each key."""
    return torch.ones(queries, queries).tril().bool()


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


def weights_recipe(
    score=dots, scale=by_root_of_d, masking=hide, normalise=over_keys, after=empty_rows
):
    """`attention_weights` with some of its steps replaced."""

    def answer(q, k, mask=None, v=None):
        scores = scale(score(q, k), q, k, v)
        return after(normalise(masking(scores, mask)), mask)

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


def only_the_weights(weights, v, q, k):
    """You return the weights. The output is the weights times v."""
    return weights


def weights_as_well(weights, v, q, k):
    """You return the output and the weights. The output alone is asked for."""
    return weights @ v, weights


def value_added(weights, v, q, k):
    """You add the values to the output (a residual connection). Eq. 1 returns the weighted mean
    alone."""
    return weights @ v + v


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
