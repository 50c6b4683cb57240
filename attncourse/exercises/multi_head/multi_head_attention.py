"""The record of `multi_head.multi_head_attention`."""

import math

import torch
from einops import einsum, rearrange, reduce, repeat
from torch.nn import functional as F

from attncourse.exercises.families import also, family, naturally
from attncourse.exercises.multi_head.shared import merged_features_outside
from attncourse.exercises.record import Exercise, Given, Trial
from attncourse.exercises.scaled_dot_product.shared import (
    absolute_products,
    always_causal,
    as_it_comes,
    attention_masks,
    cosine_similarity,
    dots,
    exp_not_divided,
    log_of_softmax,
    naive_exponential,
    nan_to_zero,
    no_softmax,
    over_batch,
    over_keys,
    over_queries,
    over_queries_and_keys,
    sigmoid_for_softmax,
    softmax_twice,
    softmin,
    squashed,
    two_best_keys,
)
from solutions.multi_head import (
    MultiHeadAttention,
)
from solutions.scaled_dot_product import causal_mask


def project(self, x, context):
    return self.query(x), self.key(context), self.value(context)


def split(x, heads, role):
    return rearrange(x, "b n (head d) -> b head n d", head=heads)


def by_root_of_d(scores, q, k, heads):
    return scores / math.sqrt(q.shape[-1])


def over_heads_too(mask):
    return rearrange(mask, "... i j -> ... 1 i j")


def hide(scores, mask):
    return scores if mask is None else scores.masked_fill(~over_heads_too(mask), -math.inf)


def empty_rows(weights, mask):
    if mask is None:
        return weights
    return weights.masked_fill(~over_heads_too(mask).any(-1, keepdim=True), 0)


def mix(weights, v):
    return weights @ v


def merge(x):
    return rearrange(x, "b head n d -> b n (head d)")


def end(self, y, x, mask):
    return self.out(y)


def recipe(
    projecting=project,
    splitting=split,
    scoring=dots,
    scaling=by_root_of_d,
    masking=hide,
    normalising=over_keys,
    after=empty_rows,
    mixing=mix,
    merging=merge,
    ending=end,
):
    """`MultiHeadAttention` with some of its steps replaced."""

    class Answer(MultiHeadAttention):
        def attention(self, x, context=None, mask=None):
            context = x if context is None else context
            q, k, _ = projecting(self, x, context)
            q, k = splitting(q, self.heads, "q"), splitting(k, self.heads, "k")
            scores = scaling(scoring(q, k), q, k, self.heads)
            return after(normalising(masking(scores, mask)), mask)

        def forward(self, x, context=None, mask=None):
            v = projecting(self, x, x if context is None else context)[2]
            y = mixing(self.attention(x, context, mask), splitting(v, self.heads, "v"))
            return ending(self, merging(y), x, mask)

    return Answer


UNSAID = dict(after=(empty_rows, as_it_comes, nan_to_zero))


def context_ignored(self, x, context):
    """The context is not used: you attend to x itself. Keys and values come from the
    context."""
    return self.query(x), self.key(x), self.value(x)


def roles_swapped(self, x, context):
    """Queries come from the context and keys and values from x: it is the other way round."""
    return self.query(context), self.key(x), self.value(x)


def queries_from_context(self, x, context):
    """The queries come from the context as well. They come from x."""
    return self.query(context), self.key(context), self.value(context)


def keys_from_x(self, x, context):
    """The keys come from x. Keys and values both come from the context."""
    return self.query(x), self.key(x), self.value(context)


def values_from_x(self, x, context):
    """The values come from x. Keys and values both come from the context."""
    return self.query(x), self.key(context), self.value(x)


def queries_not_projected(self, x, context):
    """The queries are not projected: `self.query` is missing."""
    return x, self.key(context), self.value(context)


def keys_not_projected(self, x, context):
    """The keys are not projected: `self.key` is missing."""
    return self.query(x), context, self.value(context)


def values_not_projected(self, x, context):
    """The values are not projected: `self.value` is missing."""
    return self.query(x), self.key(context), context


def keys_by_query_layer(self, x, context):
    """The keys go through the layer of the queries. They have their own: `self.key`."""
    return self.query(x), self.query(context), self.value(context)


def queries_by_key_layer(self, x, context):
    """The queries go through the layer of the keys. They have their own: `self.query`."""
    return self.key(x), self.key(context), self.value(context)


def values_by_key_layer(self, x, context):
    """The values go through the layer of the keys. They have their own: `self.value`."""
    return self.query(x), self.key(context), self.key(context)


def values_by_query_layer(self, x, context):
    """The values go through the layer of the queries. They have their own: `self.value`."""
    return self.query(x), self.key(context), self.query(context)


def query_and_key_layers_swapped(self, x, context):
    """The layers of queries and keys are swapped: `self.query` belongs to x, `self.key` to the
    context."""
    return self.key(x), self.query(context), self.value(context)


def key_and_value_layers_swapped(self, x, context):
    """The layers of keys and values are swapped."""
    return self.query(x), self.value(context), self.key(context)


def one_layer_for_all(self, x, context):
    """One layer makes queries, keys and values. Each has its own: `self.query`, `self.key`,
    `self.value`."""
    return self.query(x), self.query(context), self.query(context)


def projections_without_bias(self, x, context):
    """The biases of the projections are left out: call the layers, not only their weights."""
    pairs = ((self.query, x), (self.key, context), (self.value, context))
    return tuple(F.linear(y, layer.weight) for layer, y in pairs)


def weights_not_transposed(self, x, context):
    """You project with x W. The weight of nn.Linear is stored transposed: x Wᵀ + bias. Call the
    layer, `self.query(x)`."""
    pairs = ((self.query, x), (self.key, context), (self.value, context))
    return tuple(y @ layer.weight + layer.bias for layer, y in pairs)


def values_from_keys(self, x, context):
    """The values are made of the projected keys. They are made of the context itself."""
    k = self.key(context)
    return self.query(x), k, self.value(k)


def values_projected_twice(self, x, context):
    """The values are projected twice. Once is enough."""
    return self.query(x), self.key(context), self.value(self.value(context))


def relu_after_projections(self, x, context):
    """You apply a ReLU to the projections. They are linear."""
    return tuple(y.relu() for y in project(self, x, context))


def split_features_outside(x, heads, role):
    """You split with "(d head)": head 0 gets every so-many-th feature. The head is outside:
    "(head d)"."""
    return rearrange(x, "b n (d head) -> b head n d", head=heads)


@also(merging=merged_features_outside)
def features_outside_both_times(x, heads, role):
    """You split and merge with "(d head)". That is consistent, but not what `split_heads` does
    and not what weights from elsewhere expect: "(head d)"."""
    return rearrange(x, "b n (d head) -> b head n d", head=heads)


def keys_split_features_outside(x, heads, role):
    """You split the keys with "(d head)", unlike the queries. The head is outside: "(head
    d)"."""
    return split_features_outside(x, heads, role) if role == "k" else split(x, heads, role)


def queries_split_features_outside(x, heads, role):
    """You split the queries with "(d head)", unlike the keys. The head is outside: "(head
    d)"."""
    return split_features_outside(x, heads, role) if role == "q" else split(x, heads, role)


def values_split_features_outside(x, heads, role):
    """You split the values with "(d head)". The head is outside: "(head d)"."""
    return split_features_outside(x, heads, role) if role == "v" else split(x, heads, role)


def keys_split_by_raw_reshape(x, heads, role):
    """You reshape the keys to b head n d in one go: different tokens get mixed. Cut the last
    axis first, then move the heads forward."""
    return split_by_raw_reshape(x, heads, role) if role == "k" else split(x, heads, role)


def queries_split_by_raw_reshape(x, heads, role):
    """You reshape the queries to b head n d in one go: different tokens get mixed. Cut the last
    axis first, then move the heads forward."""
    return split_by_raw_reshape(x, heads, role) if role == "q" else split(x, heads, role)


def values_split_by_raw_reshape(x, heads, role):
    """You reshape the values to b head n d in one go: different tokens get mixed. Cut the last
    axis first, then move the heads forward."""
    return split_by_raw_reshape(x, heads, role) if role == "v" else split(x, heads, role)


def one_map_for_all_heads(x, heads, role):
    """All heads have one map, made of the whole width: queries and keys are not split. Each
    head compares its own d features."""
    if role == "v":
        return split(x, heads, role)
    return repeat(x, "b n dim -> b head n dim", head=heads)


def split_by_raw_reshape(x, heads, role):
    """You reshape b n dim to b head n d in one go: different tokens get mixed. Cut the last
    axis first, then move the heads forward."""
    return x.reshape(x.shape[0], heads, x.shape[1], -1)


def back_by_raw_reshape(x):
    return x.reshape(x.shape[0], x.shape[2], -1)


@also(merging=back_by_raw_reshape)
def reshaped_there_and_back(x, heads, role):
    """You reshape b n dim to b head n d and back without moving an axis: different tokens get
    mixed. Cut the last axis first, then move the heads forward."""
    return x.reshape(x.shape[0], heads, x.shape[1], -1)


def heads_beside_features(x):
    return x.flatten(-2)


@also(
    merging=heads_beside_features, masking=lambda scores, mask: scores, after=lambda w, mask: w
)
def attends_across_heads(x, heads, role):
    """Your heads attend to each other within a token: the scores are b n head head. Move the
    heads before the tokens, b head n d, so that tokens attend to tokens."""
    return rearrange(x, "b n (head d) -> b n head d", head=heads)


def one_wide_head(x, heads, role):
    """You do not split: there is one head of width dim."""
    return rearrange(x, "b n dim -> b 1 n dim")


def heads_and_width_exchanged(x, heads, role):
    """Number and width of the heads are exchanged: you cut into pieces of `heads` features
    instead of into `heads` pieces."""
    return rearrange(x, "b n (head d) -> b head n d", d=heads)


def first_piece_for_all(x, heads, role):
    """Every head gets the same piece of the features. Head h gets the h-th."""
    return repeat(x[..., : x.shape[-1] // heads], "b n d -> b head n d", head=heads)


def negative_squared_distance(q, k):
    """Your scores are negative squared distances; attention has inner products."""
    return -torch.cdist(q, k).square()


def keys_reshaped(q, k):
    """You reshape k to b head d n instead of transposing it: the numbers of different keys get
    mixed."""
    return q @ k.reshape(*k.shape[:-2], k.shape[-1], k.shape[-2])


def unscaled(scores, q, k, heads):
    """The scores are not divided by sqrt(d)."""
    return scores


def divided_by_d(scores, q, k, heads):
    """You divide the scores by d; it is sqrt(d), the root of the width of a head. (Or do you
    scale twice? `attention_weights` does it already.)"""
    return scores / q.shape[-1]


def divided_by_root_of_dim(scores, q, k, heads):
    """You divide by the root of the whole width, sqrt(dim). Each head is d = dim / heads wide:
    divide by sqrt(d)."""
    return scores / math.sqrt(q.shape[-1] * heads)


def divided_by_dim(scores, q, k, heads):
    """You divide by the whole width, dim. Each head is d = dim / heads wide: divide by
    sqrt(d)."""
    return scores / (q.shape[-1] * heads)


def multiplied_by_root(scores, q, k, heads):
    """You multiply the scores by sqrt(d); they are divided by it."""
    return scores * math.sqrt(q.shape[-1])


def divided_by_root_of_heads(scores, q, k, heads):
    """You divide by the root of the number of heads. It is the width of a head that counts:
    sqrt(d)."""
    return scores / math.sqrt(heads)


def divided_by_root_of_keys(scores, q, k, heads):
    """You divide by the root of the number of keys, sqrt(j). It is the width of a head that
    counts: sqrt(d)."""
    return scores / math.sqrt(k.shape[-2])


def divided_by_root_of_queries(scores, q, k, heads):
    """You divide by the root of the number of queries, sqrt(i). It is the width of a head that
    counts: sqrt(d)."""
    return scores / math.sqrt(q.shape[-2])


def divided_by_fourth_root(scores, q, k, heads):
    """You divide by the fourth root of d: as if only one of q and k had been scaled."""
    return scores / q.shape[-1] ** 0.25


@naturally(after=as_it_comes)
def mask_ignored(scores, mask):
    """The mask is not used: masked keys are attended to."""
    return scores


def mask_inverted(scores, mask):
    """The mask is inverted: it is True where a query may attend, and you hide just that. (The
    masks of nn.MultiheadAttention have the other sense.)"""
    return scores if mask is None else scores.masked_fill(over_heads_too(mask), -math.inf)


@naturally(after=as_it_comes)
def mask_inverted_and_finite(scores, mask):
    """The mask is inverted: it is True where a query may attend, and you push just that down
    (by -1e9). Hide where it is False."""
    return scores if mask is None else scores - 1e9 * over_heads_too(mask).to(scores)


@naturally(after=as_it_comes)
def mask_fills_zero(scores, mask):
    """Masked scores become 0, and exp(0) = 1 is a full share. Fill with -inf: exp(-inf) = 0."""
    return scores if mask is None else scores.masked_fill(~over_heads_too(mask), 0.0)


@naturally(after=as_it_comes)
def mask_fills_tiny(scores, mask):
    """Masked scores become a tiny number near 0 (1e-9?), and exp(0) = 1 is a full share. Fill
    with -inf; -1e9 and 1e-9 are not the same."""
    return scores if mask is None else scores.masked_fill(~over_heads_too(mask), 1e-4)


@naturally(after=as_it_comes)
def mask_weakly(scores, mask):
    """You fill masked scores with a number that is not small enough: masked keys keep a visible
    share. Fill with -inf."""
    return scores if mask is None else scores.masked_fill(~over_heads_too(mask), -1.0)


@naturally(after=as_it_comes)
def mask_added(scores, mask):
    """You add the mask to the scores as 0 and 1: a nudge, not a wall. Fill with -inf where it
    is False."""
    return scores if mask is None else scores + over_heads_too(mask).to(scores)


@also(after=lambda weights, mask: weights)
def mask_fills_plus_infinity(scores, mask):
    """Masked scores become +inf: they take everything, and inf - inf is nan. Fill with -inf."""
    return scores if mask is None else scores.masked_fill(~over_heads_too(mask), math.inf)


def mask_of_first_example(scores, mask):
    """You use the mask of the first example for all of them. Each example has its own."""
    return hide(scores, mask if mask is None or mask.ndim < 3 else mask[:1])


def mask_of_first_query(scores, mask):
    """You use the mask of the first query for all of them. Each query has its own row."""
    return hide(scores, mask if mask is None else mask[..., :1, :])


@naturally(after=as_it_comes)
def mask_in_first_head(scores, mask):
    """The mask is used in the first head only. It holds in every head."""
    if mask is None:
        return scores
    first = torch.arange(scores.shape[1]) == 0
    hidden = ~over_heads_too(mask) & rearrange(first, "head -> head 1 1")
    return scores.masked_fill(hidden, -math.inf)


def times_mask(weights, mask):
    return weights if mask is None else weights * over_heads_too(mask)


def mask_transposed(scores, mask):
    """You use the mask transposed. Its rows are queries and its columns keys, as in the map."""
    return hide(scores, mask if mask is None else mask.mT)


def mask_is_taken_as_causal(scores, mask):
    """Whatever mask you are given, you hide the future. Use the mask that comes in."""
    if mask is None:
        return scores
    lower = torch.ones(scores.shape[-2:], dtype=torch.bool).tril()
    return scores.masked_fill(~lower, -math.inf)


def mask_repeated_in_the_wrong_order(scores, mask):
    """Heads are folded into the batch in one order and the mask is repeated in the other: an
    example gets the mask of another. For (b head) repeat each mask in a row, for (head b) all
    of them."""
    if mask is None or mask.ndim < 3:
        return hide(scores, mask)
    b, heads = scores.shape[:2]
    whole = mask.expand(b, *mask.shape[1:]).repeat(heads, 1, 1)
    whole = rearrange(whole, "(b head) i j -> b head i j", b=b)
    return scores.masked_fill(~whole, -math.inf)


def mask_repeated_in_the_other_wrong_order(scores, mask):
    """Heads are folded into the batch as (head b) and the mask is repeated for (b head): an
    example gets the mask of another."""
    if mask is None or mask.ndim < 3:
        return hide(scores, mask)
    b, heads = scores.shape[:2]
    whole = mask.expand(b, *mask.shape[1:]).repeat_interleave(heads, 0)
    whole = rearrange(whole, "(head b) i j -> b head i j", b=b)
    return scores.masked_fill(~whole, -math.inf)


@also(after=times_mask)
def mask_after_the_softmax(scores, mask):
    """You hide keys after the softmax: they have taken their share, and what is left sums to
    less than 1. Mask the scores, before the softmax."""
    return scores


def over_heads(scores):
    """Your softmax runs over the heads: they compete with each other. It runs over the keys j,
    the last axis."""
    return scores.softmax(1)


@naturally(masking=mask_fills_zero, after=as_it_comes)
def no_softmax_and_zeros(scores):
    """The softmax is missing: your weights are the bare scores, 0 where the mask is False."""
    return scores


def averaged_over_heads(weights):
    return reduce(weights, "b head i j -> b i j", "mean")


def heads_averaged_in_the_map(scores):
    """You average the maps of the heads. Each head has a map of its own: b head i j."""
    return repeat(
        averaged_over_heads(scores.softmax(-1)), "b i j -> b head i j", head=scores.shape[1]
    )


def empty_rows_are_nan(weights, mask):
    """A query that may attend to nothing gives nan: softmax over nothing but -inf is 0 / 0. Its
    weights are 0."""
    return weights


def empty_rows_are_uniform(weights, mask):
    """A query that may attend to nothing gets the mean of all values: with a finite filler such
    as -1e9 its softmax is uniform. Its weights are 0."""
    if mask is None:
        return weights
    dead = ~over_heads_too(mask).any(-1, keepdim=True)
    return weights.masked_fill(dead, 1 / weights.shape[-1])


def weights_transposed(weights, v):
    """You use the weights transposed: each key then mixes by what the queries gave it. The
    output is weights times v."""
    return weights.mT @ v


def weights_averaged(weights, v):
    """You average the weights over the heads before you mix the values. Each head uses its
    own."""
    return reduce(weights, "b head i j -> b 1 i j", "mean") @ v


def values_of_first_head(weights, v):
    """All heads mix the values of the first head. Each head has its own."""
    return weights @ v[:, :1]


def values_of_next_head(weights, v):
    """The heads mix each other's values. Each head has its own."""
    return weights @ v.roll(1, 1)


def values_of_heads_backwards(weights, v):
    """The heads mix each other's values, in reverse order. Each head has its own."""
    return weights @ v.flip(1)


def last_head_for_all(weights, v):
    """Every head gives what the last one found. Each gives its own."""
    return (weights @ v)[:, -1:].expand(*weights.shape[:-1], v.shape[-1])


def plain_mean(weights, v):
    """Your output is the plain mean of the values: the weights play no part."""
    return v.mean(-2, keepdim=True).expand(*weights.shape[:-1], v.shape[-1])


def scaled_again(weights, v):
    """You divide by sqrt(d) a second time, after the softmax. The scores alone are divided."""
    return weights @ v / math.sqrt(v.shape[-1])


def merge_features_outside(x):
    """You merge with "(d head)": the features of the heads get interleaved. What was split as
    "(head d)" is merged as "(head d)"."""
    return rearrange(x, "b head n d -> b n (d head)")


def merge_by_raw_reshape(x):
    """You merge by a bare reshape of b head n d: different tokens get mixed. Move the heads
    behind the tokens first."""
    return x.reshape(x.shape[0], x.shape[2], -1)


def folded_and_unfolded_otherwise(x):
    """Heads are folded into the batch as (head b) and unfolded as (b head): examples and heads
    get mixed. Unfold as you folded."""
    folded = rearrange(x, "b head n d -> (head b) n d")
    return rearrange(folded, "(b head) n d -> b n (head d)", head=x.shape[1])


def unfolded_and_folded_otherwise(x):
    """Heads are folded into the batch as (b head) and unfolded as (head b): examples and heads
    get mixed. Unfold as you folded."""
    folded = rearrange(x, "b head n d -> (b head) n d")
    return rearrange(folded, "(head b) n d -> b n (head d)", head=x.shape[1])


def merge_backwards(x):
    """You merge the heads in reverse order. Head 0 comes first."""
    return rearrange(x.flip(1), "b head n d -> b n (head d)")


def merge_to_their_mean(x):
    """You average the heads instead of putting them side by side."""
    return repeat(
        reduce(x, "b head n d -> b n d", "mean"), "b n d -> b n (head d)", head=x.shape[1]
    )


def merge_to_their_sum(x):
    """You sum the heads instead of putting them side by side."""
    return repeat(
        reduce(x, "b head n d -> b n d", "sum"), "b n d -> b n (head d)", head=x.shape[1]
    )


def no_output_projection(self, y, x, mask):
    """The last projection is missing: `self.out` mixes what the heads have found."""
    return y


def output_projection_twice(self, y, x, mask):
    """`self.out` is applied twice. Once is enough."""
    return self.out(self.out(y))


def residual_added(self, y, x, mask):
    """You add the input (a residual connection). That belongs to the layer around attention, in
    chapter 04."""
    return self.out(y) + x


def out_without_bias(self, y, x, mask):
    """The bias of `self.out` is left out: call the layer, not only its weight."""
    return F.linear(y, self.out.weight)


def normalised(self, y, x, mask):
    """You normalise the output (LayerNorm). That belongs to the layer around attention, in
    chapter 04."""
    return F.layer_norm(self.out(y), y.shape[-1:])


def residual_and_norm(self, y, x, mask):
    """You add the input and normalise. Both belong to the layer around attention, in chapter
    04."""
    return F.layer_norm(self.out(y) + x, y.shape[-1:])


def out_weight_not_transposed(self, y, x, mask):
    """You end with y W. The weight of nn.Linear is stored transposed: y Wᵀ + bias. Call the
    layer, `self.out(y)`."""
    return y @ self.out.weight + self.out.bias


def bias_once_per_head(self, y, x, mask):
    """The bias of `self.out` is added once for every head. Merge the heads first, then call the
    layer once."""
    return self.out(y) + (self.heads - 1) * self.out.bias


def empty_rows_zero_at_the_end(self, y, x, mask):
    """A query that may attend to nothing gives 0 at the very end. Its weights are 0, so
    `self.out` gives its bias."""
    y = self.out(y)
    if mask is None:
        return y
    dead = ~mask.expand(len(x), x.shape[1], mask.shape[-1]).any(-1)
    return y.masked_fill(dead[..., None], 0)


@also(ending=no_output_projection)
def out_before_attention(self, x, context):
    """`self.out` is applied to the values, before attention. It comes last and mixes the
    heads."""
    return self.query(x), self.key(context), self.out(self.value(context))


def relu_at_the_end(self, y, x, mask):
    """You apply a ReLU at the end. The output is linear in what the heads found."""
    return self.out(y).relu()


OFTEN = (  # those that come in twos
    context_ignored,
    keys_by_query_layer,
    values_by_key_layer,
    split_features_outside,
    features_outside_both_times,
    split_by_raw_reshape,
    reshaped_there_and_back,
    attends_across_heads,
    unscaled,
    divided_by_d,
    divided_by_root_of_dim,
    multiplied_by_root,
    mask_ignored,
    mask_inverted,
    mask_fills_zero,
    mask_added,
    mask_after_the_softmax,
    over_queries,
    over_heads,
    over_batch,
    softmax_twice,
    empty_rows_are_nan,
    empty_rows_are_uniform,
    merge_features_outside,
    merge_by_raw_reshape,
    no_output_projection,
    residual_added,
)


def attention_trials():
    wide = dict(x="b i (head d)", context="b j (head d)")
    alone = dict(b=2, n=5, head=3, d=4)
    cross = dict(b=3, i=6, j=4, head=2, d=7)
    square = dict(b=2, n=7, head=5, d=3)
    causal = dict(b=3, n=4, head=2, d=5)
    _, padding, empty = attention_masks(cross)

    def trial(name, sizes, inputs):
        init = dict(dim=sizes["head"] * sizes["d"], heads=sizes["head"])
        return Trial(name, sizes, inputs, init)

    triangle = Given("n n", causal_mask(4, 4))
    same_number = dict(x="b n (head d)", context="b n (head d)")
    return (
        trial("where x attends to itself", alone, dict(x="b n (head d)")),
        trial("where x attends to a context", cross, wide),
        trial("where x attends to a context of as many tokens", square, same_number),
        trial(
            "with a causal mask", causal, dict(x="b n (head d)", context=None, mask=triangle)
        ),
        trial("with a padding mask, b 1 j", cross, wide | dict(mask=padding)),
        trial("with a query that may attend to nothing", cross, wide | dict(mask=empty)),
    )


class HeadByHead(MultiHeadAttention):
    """One head after the other, each with its own rows of the projections."""

    def one(self, layer, x, head):
        width = layer.out_features // self.heads
        rows = slice(head * width, (head + 1) * width)
        return x @ layer.weight[rows].mT + layer.bias[rows]

    def attention(self, x, context=None, mask=None):
        context = x if context is None else context
        maps = []
        for head in range(self.heads):
            q, k = self.one(self.query, x, head), self.one(self.key, context, head)
            scores = torch.einsum("bid,bjd->bij", q, k) / q.shape[-1] ** 0.5
            if mask is not None:
                scores = torch.where(mask, scores, torch.finfo(scores.dtype).min)
            weights = scores.softmax(-1)
            maps.append(weights if mask is None else weights * mask)
        return torch.stack(maps, dim=1)

    def forward(self, x, context=None, mask=None):
        context = x if context is None else context
        maps = self.attention(x, context, mask)
        found = [maps[:, h] @ self.one(self.value, context, h) for h in range(self.heads)]
        return self.out(torch.cat(found, dim=-1))


class HeadsInTheBatch(MultiHeadAttention):
    """Heads folded into the batch, heads outside: (head b) n d."""

    def fold(self, x):
        return rearrange(x, "b n (head d) -> (head b) n d", head=self.heads)

    def attention(self, x, context=None, mask=None):
        context = x if context is None else context
        q, k = self.fold(self.query(x)), self.fold(self.key(context))
        scores = torch.bmm(q, k.transpose(1, 2)) * q.shape[-1] ** -0.5
        if mask is not None:
            mask = mask.expand(x.shape[0], *scores.shape[1:]).repeat(self.heads, 1, 1)
            scores = scores.masked_fill(mask.logical_not(), float("-inf"))
        return rearrange(
            scores.softmax(-1).nan_to_num(0), "(head b) i j -> b head i j", head=self.heads
        )

    def forward(self, x, context=None, mask=None):
        maps = rearrange(self.attention(x, context, mask), "b head i j -> (head b) i j")
        y = torch.bmm(maps, self.fold(self.value(x if context is None else context)))
        return self.out(rearrange(y, "(head b) i d -> b i (head d)", head=self.heads))


class Fused(MultiHeadAttention):
    """Views and torch's fused attention; the map is read off with values that are the
    identity."""

    def attention(self, x, context=None, mask=None):
        n = (x if context is None else context).shape[1]
        eye = torch.eye(n, dtype=x.dtype, device=x.device).expand(len(x), self.heads, n, n)
        return self.fused(x, context, mask, eye)

    def fused(self, x, context, mask, v):
        context = x if context is None else context
        q = self.query(x).view(*x.shape[:2], self.heads, -1).transpose(1, 2)
        k = self.key(context).view(*context.shape[:2], self.heads, -1).transpose(1, 2)
        mask = mask if mask is None or mask.ndim == 2 else mask[:, None]
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)

    def forward(self, x, context=None, mask=None):
        source = x if context is None else context
        v = self.value(source).view(*source.shape[:2], self.heads, -1).transpose(1, 2)
        y = self.fused(x, context, mask, v)
        return self.out(y.transpose(1, 2).reshape(x.shape))


class Einsums(MultiHeadAttention):
    """Weights with an axis of heads, everything in einsums."""

    def attention(self, x, context=None, mask=None):
        context = x if context is None else context
        q = rearrange(self.query(x), "b i (h d) -> b i h d", h=self.heads)
        k = rearrange(self.key(context), "b j (h d) -> b j h d", h=self.heads)
        scores = einsum(q, k, "b i h d, b j h d -> b h i j") / math.sqrt(q.shape[-1])
        if mask is not None:
            scores = scores.masked_fill(~mask.unsqueeze(-3), -1e30)
        weights = torch.softmax(scores, -1)
        return weights if mask is None else weights * mask.unsqueeze(-3)

    def forward(self, x, context=None, mask=None):
        source = x if context is None else context
        v = rearrange(self.value(source), "b j (h d) -> b j h d", h=self.heads)
        y = einsum(self.attention(x, context, mask), v, "b h i j, b j h d -> b i h d")
        return self.out(rearrange(y, "b i h d -> b i (h d)"))


EXERCISE = Exercise(
    id="multi_head.multi_head_attention",
    solution=MultiHeadAttention,
    probes={"attention": "b head i j", "forward": "b i (head d)"},
    trials=attention_trials,
    blank=("attention", "forward"),
    slips=family(
        recipe,
        projecting=(
            context_ignored,
            roles_swapped,
            queries_from_context,
            keys_from_x,
            values_from_x,
            queries_not_projected,
            keys_not_projected,
            values_not_projected,
            keys_by_query_layer,
            queries_by_key_layer,
            values_by_key_layer,
            values_by_query_layer,
            query_and_key_layers_swapped,
            key_and_value_layers_swapped,
            one_layer_for_all,
            projections_without_bias,
            relu_after_projections,
            weights_not_transposed,
            values_from_keys,
            values_projected_twice,
            out_before_attention,
        ),
        unsaid=UNSAID,
        paired=OFTEN,
        splitting=(
            split_features_outside,
            features_outside_both_times,
            split_by_raw_reshape,
            reshaped_there_and_back,
            attends_across_heads,
            one_wide_head,
            heads_and_width_exchanged,
            first_piece_for_all,
            keys_split_features_outside,
            queries_split_features_outside,
            values_split_features_outside,
            keys_split_by_raw_reshape,
            queries_split_by_raw_reshape,
            values_split_by_raw_reshape,
            one_map_for_all_heads,
        ),
        scoring=(
            cosine_similarity,
            negative_squared_distance,
            absolute_products,
            keys_reshaped,
        ),
        scaling=(
            unscaled,
            divided_by_d,
            divided_by_root_of_dim,
            divided_by_dim,
            multiplied_by_root,
            divided_by_root_of_heads,
            divided_by_root_of_keys,
            divided_by_root_of_queries,
            divided_by_fourth_root,
        ),
        masking=(
            mask_ignored,
            mask_inverted,
            mask_inverted_and_finite,
            mask_fills_zero,
            mask_fills_tiny,
            mask_weakly,
            mask_added,
            mask_fills_plus_infinity,
            mask_of_first_example,
            mask_of_first_query,
            mask_in_first_head,
            always_causal,
            mask_after_the_softmax,
            mask_transposed,
            mask_is_taken_as_causal,
            mask_repeated_in_the_wrong_order,
            mask_repeated_in_the_other_wrong_order,
        ),
        normalising=(
            over_queries,
            over_heads,
            over_batch,
            over_queries_and_keys,
            no_softmax,
            no_softmax_and_zeros,
            softmax_twice,
            sigmoid_for_softmax,
            exp_not_divided,
            softmin,
            naive_exponential,
            log_of_softmax,
            squashed,
            two_best_keys,
            heads_averaged_in_the_map,
        ),
        after=(empty_rows_are_nan, empty_rows_are_uniform),
        mixing=(
            weights_transposed,
            weights_averaged,
            values_of_first_head,
            plain_mean,
            values_of_next_head,
            values_of_heads_backwards,
            last_head_for_all,
            scaled_again,
        ),
        merging=(
            merge_features_outside,
            merge_by_raw_reshape,
            merge_backwards,
            folded_and_unfolded_otherwise,
            unfolded_and_folded_otherwise,
            merge_to_their_mean,
            merge_to_their_sum,
        ),
        ending=(
            no_output_projection,
            output_projection_twice,
            residual_added,
            out_without_bias,
            normalised,
            relu_at_the_end,
            residual_and_norm,
            out_weight_not_transposed,
            bias_once_per_head,
            empty_rows_zero_at_the_end,
        ),
    ),
    hints=(
        (
            "Which of x and context are queries, keys and values made of, and what is the"
            " context when none is given?"
        ),
        (
            "Project, split the heads, and `attention_weights` does the rest: it takes any"
            " leading axes. A mask lacks the axis of the heads; give it one of length 1."
        ),
        (
            "attention: context = x if there is none\n"
            "    q = split_heads(query(x)), k = split_heads(key(context))\n"
            '    mask: "... i j -> ... 1 i j", if there is one\n'
            "    return attention_weights(q, k, mask)\n"
            "forward: v = split_heads(value(context))\n"
            "    return out(merge_heads(attention @ v))"
        ),
    ),
    minutes=20,
    difficulty=4,
    otherwise=(HeadByHead, HeadsInTheBatch, Fused, Einsums),
    laws=(
        "masked_keys_do_not_matter",
        "rows_sum_to_one",
        "scale_is_right",
        "examples_do_not_mix",
        "one_step_more_or_less",
        "a_constant_factor",
    ),
)
