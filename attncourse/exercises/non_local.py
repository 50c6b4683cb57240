"""Chapter 07, non-local and dual attention: what is asked, what goes wrong, what helps."""

import math

import torch
from einops import rearrange, repeat
from torch.nn import functional as F

from attncourse.families import family
from attncourse.registry import Cost, Exercise, Given, Slip, Trial, slip, variant
from solutions.non_local import (
    ChannelAttention,
    DANetHead,
    NonLocal,
    PositionAttention,
    concatenation_weights,
    dot_product_mixture,
    dot_product_weights,
    gaussian_weights,
    max_pool,
    mean_iou,
    multiply_adds,
)

# The Gaussian and its embedded sister: products, exponentials, shares.


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


# dot product, without the map


def mixture_trials():
    plain = dict(q="b i m", k="b j m", v="b j e")
    return (
        Trial("on two examples", dict(b=2, i=37, j=41, m=3, e=5), plain),
        Trial("with few keys", dict(b=3, i=6, j=2, m=4, e=7), plain),
        Trial(
            "with two axes in front",
            dict(b=2, head=3, i=5, j=8, m=4, e=6),
            dict(q="b head i m", k="b head j m", v="b head j e"),
        ),
    )


def mixture_not_divided(q, k, v):
    """1/N is missing: divide by the number of keys."""
    return q @ (k.mT @ v)


def mixture_over_queries(q, k, v):
    """You divide by the number of queries. N counts what is summed over: the keys."""
    return q @ (k.mT @ v) / q.shape[-2]


def mixture_over_m(q, k, v):
    """You divide by m, the width. N is the number of keys."""
    return q @ (k.mT @ v) / k.shape[-1]


def mixture_over_root_of_m(q, k, v):
    """You divide by sqrt(m). This form divides by the number of keys, N."""
    return q @ (k.mT @ v) / math.sqrt(k.shape[-1])


def mixture_over_root_of_n(q, k, v):
    """You divide by the root of the number of keys. Divide by the number itself."""
    return q @ (k.mT @ v) / math.sqrt(k.shape[-2])


def mixture_over_n_squared(q, k, v):
    """You divide by the number of keys twice."""
    return q @ (k.mT @ v) / k.shape[-2] ** 2


def mixture_over_first_axis(q, k, v):
    """You divide by the length of an axis in front: `len(k)` counts examples. N is the number
    of keys, `k.shape[-2]`."""
    return q @ (k.mT @ v) / len(k)


def mixture_with_scale_too(q, k, v):
    """You divide by N and by sqrt(m). This form divides by N alone."""
    return q @ (k.mT @ v) / k.shape[-2] / math.sqrt(k.shape[-1])


def mixture_softmax(q, k, v):
    """You take a softmax. The dot-product form has none: it divides by N, and that is why the
    products may be made in another order."""
    return gaussian_weights(q, k) @ v


def mixture_softmax_of_summary(q, k, v):
    """You take a softmax of kᵀ v. This form has none: it divides by N."""
    return q @ (k.mT @ v).softmax(-1)


def mixture_efficient(q, k, v):
    """You take a softmax of the queries over their features and of the keys over the pixels,
    as Efficient Attention (Shen et al.) does. The dot-product form has none; it divides by
    N."""
    return q.softmax(-1) @ (k.softmax(-2).mT @ v)


def mixture_without_queries(q, k, v):
    """The queries play no part: you return a sum of the values for all alike."""
    return repeat((k.mT @ v / k.shape[-2]).sum(-2), "... e -> ... i e", i=q.shape[-2])


def mixture_relu(q, k, v):
    """You cut off what is negative. Products may be negative here, and stay so."""
    return dot_product_weights(q, k).relu() @ v


def mixture_relu_apart(q, k, v):
    """You rectify queries and keys first. They are taken as they are."""
    return dot_product_mixture(q.relu(), k.relu(), v)


def mixture_absolute(q, k, v):
    """You divide by the sum of the products instead of by their number. That sum may be 0."""
    weights = q @ k.mT
    return weights / weights.sum(-1, keepdim=True) @ v


def mixture_over_e(q, k, v):
    """You divide by e, the width of the values. N is the number of keys, `k.shape[-2]`."""
    return q @ (k.mT @ v) / v.shape[-1]


def mixture_over_axis_1(q, k, v):
    """You divide by `k.shape[1]`: with more axes in front that is not the number of keys,
    `k.shape[-2]`."""
    return q @ (k.mT @ v) / k.shape[1]


def mixture_query_softmax(q, k, v):
    """You take a softmax of the queries. This form has none: queries are taken as they are."""
    return dot_product_mixture(q.softmax(-1), k, v)


def mixture_key_softmax(q, k, v):
    """You take a softmax of the keys over the pixels. This form has none: keys are taken as
    they are, and the sum is divided by N."""
    return q @ (k.softmax(-2).mT @ v)


def mixture_linear_attention(q, k, v):
    """You map queries and keys through elu + 1, as linear Transformers do. Here they are taken
    as they are."""
    return (F.elu(q) + 1) @ ((F.elu(k) + 1).mT @ v)


def mixture_linear_attention_normalised(q, k, v):
    """That is the linear Transformer: elu + 1, divided by the sum of the weights. Here queries
    and keys are taken as they are, and the sum is divided by N."""
    q, k = F.elu(q) + 1, F.elu(k) + 1
    return q @ (k.mT @ v) / (q @ k.sum(-2, keepdim=True).mT)


def mixture_by_tensordot(q, k, v):
    return torch.einsum("...im,...me->...ie", q, k.transpose(-1, -2).matmul(v / v.shape[-2]))


def mixture_by_outer_sums(q, k, v):
    total = torch.zeros(*k.shape[:-2], k.shape[-1], v.shape[-1]).to(v)
    for j in range(k.shape[-2]):
        total = total + k[..., j, :, None] * v[..., j, None, :]
    return (q / k.shape[-2]) @ total


# concatenation


def concatenation_trials():
    def trial(name, front="b", **sizes):
        m = sizes["m"]
        dice = torch.Generator().manual_seed(m)
        w = Given("two_m", torch.randn(2 * m, generator=dice, dtype=torch.float64))
        sizes |= dict(two_m=2 * m)
        return Trial(name, sizes, dict(q=f"{front} i m", k=f"{front} j m", w=w))

    return (
        trial("on two examples", b=2, i=11, j=13, m=3),
        trial("with few keys", b=3, i=5, j=2, m=7),
        trial("with two axes in front", "b head", b=2, head=3, i=4, j=6, m=5),
    )


def halves(w, m):
    return w[:m], w[m:]


def added(q, k, w_q, w_k):
    return (q @ w_q)[..., :, None] + (k @ w_k)[..., None, :]


def rectified(scores):
    return scores.relu()


def divided_by_keys(scores, q, k):
    return scores / k.shape[-2]


def concatenation_recipe(
    cutting=halves, adding=added, rectifying=rectified, dividing=divided_by_keys
):
    """`concatenation_weights` with some of its steps replaced."""

    def answer(q, k, w):
        return dividing(rectifying(adding(q, k, *cutting(w, q.shape[-1]))), q, k)

    return answer


def key_first(w, m):
    """The halves of w are exchanged: the first reads the query, the second the key."""
    return w[m:], w[:m]


def first_half_for_both(w, m):
    """You read queries and keys with the same half of w. The second half reads the keys."""
    return w[:m], w[:m]


def every_second(w, m):
    """You take every second number of w for the query. [q, k] is one behind the other: the
    first m read the query."""
    return w[::2], w[1::2]


def multiplied(q, k, w_q, w_k):
    """You multiply what is read from query and key. A product of w with [q, k] is the sum of
    the two."""
    return (q @ w_q)[..., :, None] * (k @ w_k)[..., None, :]


def subtracted(q, k, w_q, w_k):
    """You subtract what is read from the key. The two are added."""
    return (q @ w_q)[..., :, None] - (k @ w_k)[..., None, :]


def query_alone(q, k, w_q, w_k):
    """The keys play no part in your weights."""
    return ((q @ w_q)[..., :, None] + 0 * (k @ w_k)[..., None, :]).clone()


def key_alone(q, k, w_q, w_k):
    """The queries play no part in your weights."""
    return (0 * (q @ w_q)[..., :, None] + (k @ w_k)[..., None, :]).clone()


def keys_down(q, k, w_q, w_k):
    """Your rows are keys and your columns queries: j i. The queries go down: i j."""
    return added(q, k, w_q, w_k).mT


def rectified_apart(q, k, w_q, w_k):
    """You rectify the parts of query and key before you add them. Add first: relu(a + b)."""
    return (q @ w_q).relu()[..., :, None] + (k @ w_k).relu()[..., None, :]


def rectified_inputs(q, k, w_q, w_k):
    """You rectify queries and keys before w reads them. The relu comes after the sum: relu(a +
    b)."""
    return added(q.relu(), k.relu(), w_q, w_k)


def not_rectified(scores):
    """The relu is missing."""
    return scores


def softmax_instead(scores):
    """You take a softmax. This form has a relu, and divides by the number of keys. (With a
    softmax the query would cancel: it adds the same to all keys.)"""
    return scores.softmax(-1) * scores.shape[-1]


def softmax_of_rectified(scores):
    """You take a softmax of what the relu leaves. This form has the relu alone, and divides by
    the number of keys."""
    return scores.relu().softmax(-1) * scores.shape[-1]


def sigmoid_instead(scores):
    """You take a sigmoid. This form has a relu."""
    return scores.sigmoid()


def tanh_instead(scores):
    """You take a tanh, as additive attention does. This form has a relu."""
    return scores.tanh()


def leaky(scores):
    """Your relu leaks. What is negative becomes 0."""
    return F.leaky_relu(scores, 0.01)


def leaky_as_in_graphs(scores):
    """Your relu leaks by 0.2, as in graph attention. What is negative becomes 0."""
    return F.leaky_relu(scores, 0.2)


def gelu_instead(scores):
    """You take a gelu. This form has a relu."""
    return F.gelu(scores)


def exponential_instead(scores):
    """You take the exponential. This form has a relu."""
    return scores.exp()


def absolute_instead(scores):
    """You take the absolute value. This form has a relu: what is negative becomes 0."""
    return scores.abs()


def divided_by_root_of_n(scores, q, k):
    """You divide by the root of the number of keys. Divide by the number itself."""
    return scores / math.sqrt(k.shape[-2])


def divided_by_twice_the_width(scores, q, k):
    """You divide by the length of w, 2 m. N is the number of keys."""
    return scores / (2 * q.shape[-1])


def divided_by_axis_1(scores, q, k):
    """You divide by `k.shape[1]`: with more axes in front that is not the number of keys,
    `k.shape[-2]`."""
    return scores / k.shape[1]


def not_divided(scores, q, k):
    """1/N is missing: divide by the number of keys."""
    return scores


def divided_by_queries(scores, q, k):
    """You divide by the number of queries. N is the number of keys, which is summed over."""
    return scores / q.shape[-2]


def divided_by_width(scores, q, k):
    """You divide by m, the width. N is the number of keys."""
    return scores / q.shape[-1]


def divided_by_sum(scores, q, k):
    """You divide by the sum of the weights. It is the number of keys: the sum may be 0."""
    return scores / scores.sum(-1, keepdim=True)


def divided_by_sum_above_0(scores, q, k):
    """You divide by the sum of the weights, kept above 0. It is the number of keys: the weights
    of a query need not sum to 1."""
    return scores / scores.sum(-1, keepdim=True).clamp(min=1e-6)


def divided_by_root_of_w_too(scores, q, k):
    """You divide by the root of the length of w as well. N alone: there is no scale."""
    return scores / (k.shape[-2] * math.sqrt(2 * q.shape[-1]))


def divided_by_pairs(scores, q, k):
    """You divide by the number of pairs, i times j. N is the number of keys."""
    return scores / (q.shape[-2] * k.shape[-2])


def concatenation_by_matmul(q, k, w):
    a, b = q.matmul(w[: q.shape[-1]]), k.matmul(w[q.shape[-1] :])
    return torch.relu(a.unsqueeze(-1) + b.unsqueeze(-2)) / b.shape[-1]


def concatenation_by_loops(q, k, w):
    m, n = q.shape[-1], k.shape[-2]
    read = (k * w[m:]).sum(-1)
    rows = [
        F.relu((q[..., i, :] * w[:m]).sum(-1, keepdim=True) + read) for i in range(q.shape[-2])
    ]
    return torch.stack(rows, -2).div(n)


# the block: one recipe


def block_trials():
    """Evaluation mode first: in training BatchNorm hides factors and lets examples mix."""

    def trial(form, subsample=1, training=False, **sizes):
        h, w = sizes["h"], sizes["w"]
        keys = math.ceil(h / subsample) * math.ceil(w / subsample)
        init = dict(channels=sizes["c"], form=form, middle=sizes["m"], subsample=subsample)
        sizes |= dict(j=keys, i=h * w)
        name = f'with form="{form}"'
        name += f", subsample={subsample}" if subsample > 1 else ""
        name += " in training mode" if training else ""
        return Trial(name, sizes, dict(x="b c h w"), init, not training)

    return (
        trial("embedded", b=2, c=6, m=4, h=3, w=5),
        trial("gaussian", b=2, c=3, m=4, h=5, w=2),
        trial("dot", b=3, c=6, m=5, h=2, w=4),
        trial("concatenation", b=2, c=4, m=3, h=5, w=3),
        trial("embedded", 2, b=2, c=8, m=3, h=5, w=4),
        trial("dot", 2, b=2, c=7, m=5, h=4, w=6),
        trial("gaussian", 3, b=2, c=3, m=2, h=5, w=4),
        trial("concatenation", 2, b=3, c=5, m=2, h=3, w=7),
        trial("embedded", training=True, b=2, c=7, m=3, h=4, w=3),
    )


def channels_last(x):
    return rearrange(x, "b c ... -> b ... c")


def own_layers(self, x):
    """Queries, keys and values, still with their axes of space."""
    if self.form == "gaussian":
        return x, x, self.value(x)
    return self.query(x), self.key(x), self.value(x)


def keys_and_values(self, project, x):
    q, k, v = project(self, x)
    return rearrange(q, "b ... m -> b (...) m"), self.pool(k), self.pool(v)


def softmax_of_products(self, q, k):
    return gaussian_weights(q, k)


def products_over_n(self, q, k):
    return dot_product_weights(q, k)


def pairs_over_n(self, q, k):
    return concatenation_weights(q, k, self.pair)


def weights_times_values(weights, v):
    return weights @ v


def norm_and_residual(self, y, x):
    y = self.norm(rearrange(self.out(y), "b i c -> b c i"))
    return x + y.reshape(x.shape)


def block_recipe(
    reading=channels_last,
    projecting=own_layers,
    pooling=keys_and_values,
    embedded=softmax_of_products,
    gaussian=softmax_of_products,
    dot=products_over_n,
    concatenation=pairs_over_n,
    mixing=weights_times_values,
    ending=norm_and_residual,
):
    """`NonLocal` with some of its steps replaced."""
    forms = dict(embedded=embedded, gaussian=gaussian, dot=dot, concatenation=concatenation)

    class Answer(NonLocal):
        def attention(self, x):
            q, k, _ = pooling(self, projecting, reading(x))
            return forms[self.form](self, q, k)

        def forward(self, x):
            _, _, v = pooling(self, projecting, reading(x))
            return ending(self, mixing(self.attention(x), v), x)

    return Answer


def reshaped_to_tokens(x):
    """You reshape b c h w to b (h w) c in one go: the numbers of different pixels get mixed.
    Move the channels to the end, then flatten."""
    return x.reshape(len(x), *x.shape[2:], x.shape[1])


def height_and_width_swapped(x):
    """Your pixels come column by column, (w h), and the result is read row by row: height and
    width are exchanged on the way in. The order is (h w)."""
    return rearrange(x, "b c h w -> b w h c")


def keys_by_query_layer(self, x):
    """The keys go through the layer of the queries. They have their own: `self.key`."""
    q, _, v = own_layers(self, x)
    return (x, x, v) if self.form == "gaussian" else (q, q, v)


def queries_by_key_layer(self, x):
    """The queries go through the layer of the keys. They have their own: `self.query`."""
    _, k, v = own_layers(self, x)
    return k, k, v


def values_by_key_layer(self, x):
    """The values go through the layer of the keys. They have their own: `self.value`."""
    q, k, v = own_layers(self, x)
    return (q, k, v) if self.form == "gaussian" else (q, k, k)


def query_and_key_swapped(self, x):
    """Queries and keys have changed places: `self.query` makes what asks."""
    q, k, v = own_layers(self, x)
    return k, q, v


def values_by_query_layer(self, x):
    """The values go through the layer of the queries. They have their own: `self.value`."""
    q, k, v = own_layers(self, x)
    return (q, k, v) if self.form == "gaussian" else (q, k, q)


def rectified_projections(self, x):
    """You put a relu after the projections. There is none: they are linear."""
    q, k, v = own_layers(self, x)
    return (q, k, v.relu()) if self.form == "gaussian" else (q.relu(), k.relu(), v.relu())


def without_biases(self, x):
    """You leave out the biases of the projections: call the layers."""
    value = F.linear(x, self.value.weight)
    if self.form == "gaussian":
        return x, x, value
    return F.linear(x, self.query.weight), F.linear(x, self.key.weight), value


def nothing_pooled(self, project, x):
    """Nothing is pooled: with `subsample` keys and values go through `self.pool`."""
    return tuple(rearrange(t, "b ... m -> b (...) m") for t in project(self, x))


def queries_pooled(self, project, x):
    """You pool the queries too: then only some pixels ask, and the block no longer returns one
    vector a pixel. Pool keys and values alone."""
    q, k, v = project(self, x)
    return self.pool(q), self.pool(k), self.pool(v)


def averaged(self, project, x):
    """You pool by the mean. The paper pools by the maximum: `self.pool`."""
    q, k, v = project(self, x)

    def pool(tokens):
        if self.subsample == 1:
            return rearrange(tokens, "b ... m -> b (...) m")
        maps = rearrange(tokens, "b h w m -> b m h w")
        maps = F.avg_pool2d(maps, self.subsample, ceil_mode=True)
        return rearrange(maps, "b m h w -> b (h w) m")

    return rearrange(q, "b ... m -> b (...) m"), pool(k), pool(v)


def strided(self, project, x):
    """You keep every so-many-th pixel as key. Pooling keeps the largest of each window."""
    q, k, v = project(self, x)
    s = self.subsample
    k, v = (rearrange(t[:, ::s, ::s], "b ... m -> b (...) m") for t in (k, v))
    return rearrange(q, "b ... m -> b (...) m"), k, v


def edges_cut_off(self, project, x):
    """Your pooling drops the last row or column of odd maps (`ceil_mode=False`). With
    `self.pool` every pixel is in a window."""
    q, k, v = project(self, x)

    def pool(tokens):
        if self.subsample == 1:
            return rearrange(tokens, "b ... m -> b (...) m")
        maps = F.max_pool2d(rearrange(tokens, "b h w m -> b m h w"), self.subsample)
        return rearrange(maps, "b m h w -> b (h w) m")

    return rearrange(q, "b ... m -> b (...) m"), pool(k), pool(v)


def pooled_before(self, project, x):
    """You pool x before it is projected to keys and values, as the authors' released code does:
    cheaper, since fewer pixels are projected. The paper pools after."""
    q, _, _ = project(self, x)
    small = max_pool(rearrange(x, "b ... c -> b c ..."), self.subsample)
    _, k, v = project(self, rearrange(small, "b c ... -> b ... c"))
    return tuple(rearrange(t, "b ... m -> b (...) m") for t in (q, k, v))


def by_root_of_channels(self, q, k):
    """You divide by sqrt(channels), the width of x. (One popular library does, though its
    queries are narrower.) The products are taken as they are."""
    return gaussian_weights(q / math.sqrt(self.out.out_features), k)


def times_root_of_m(self, q, k):
    """You multiply by sqrt(m): dividing by m**-0.5 does that, a bug that was published once.
    The products are taken as they are."""
    return gaussian_weights(q * math.sqrt(q.shape[-1]), k)


def by_m(self, q, k):
    """You divide the products by m. They are taken as they are."""
    return gaussian_weights(q / q.shape[-1], k)


def embedded_over_queries(self, q, k):
    """Your softmax runs over the queries i. It runs over the keys, the last axis."""
    return (q @ k.mT).softmax(-2)


def embedded_without_softmax(self, q, k):
    """The softmax is missing in the embedded form: products over N are the form "dot"."""
    return dot_product_weights(q, k)


def embedded_bare(self, q, k):
    """The softmax is missing in the embedded form."""
    return q @ k.mT


def embedded_and_over_n(self, q, k):
    """You divide the embedded form by N on top of its softmax. The softmax has divided by the
    sum already."""
    return gaussian_weights(q, k) / k.shape[-2]


def gaussian_over_n(self, q, k):
    """The softmax is missing in the Gaussian form: your products are only divided by N."""
    return dot_product_weights(q, k)


def gaussian_over_queries(self, q, k):
    """In the Gaussian form your softmax runs over the queries. It runs over the keys."""
    return (q @ k.mT).softmax(-2)


def gaussian_scaled(self, q, k):
    """You scale the Gaussian form by sqrt(channels). Its products are taken as they are."""
    return gaussian_weights(q / math.sqrt(q.shape[-1]), k)


def gaussian_cosine(self, q, k):
    """In the Gaussian form you divide pixels by their lengths (cosine). They are compared as
    they are."""
    return gaussian_weights(F.normalize(q, dim=-1), F.normalize(k, dim=-1))


def both_softmax_forms(scoring):
    """A slip that is made once for the two softmax forms, as where they share a line."""
    scoring.also = dict(gaussian=scoring)
    return scoring


@both_softmax_forms
def both_scaled(self, q, k):
    """You divide the Gaussian forms by the root of the width of q. The products are taken as
    they are: the authors' code scales the embedded form only, the paper none."""
    return gaussian_weights(q / math.sqrt(q.shape[-1]), k)


@both_softmax_forms
def both_by_root_of_channels(self, q, k):
    """You divide the Gaussian forms by sqrt(channels). The products are taken as they are."""
    return gaussian_weights(q / math.sqrt(self.out.out_features), k)


@both_softmax_forms
def both_times_root(self, q, k):
    """You multiply the Gaussian forms by the root of the width of q: dividing by width**-0.5
    does that, a bug that was published once. The products are taken as they are."""
    return gaussian_weights(q * math.sqrt(q.shape[-1]), k)


@both_softmax_forms
def both_by_root_of_keys(self, q, k):
    """You divide the Gaussian forms by the root of the number of keys. The products are taken
    as they are."""
    return gaussian_weights(q / math.sqrt(k.shape[-2]), k)


@both_softmax_forms
def both_by_keys_first(self, q, k):
    """You divide the products by N before the softmax. The Gaussian forms have no 1/N: the
    softmax divides by the sum."""
    return gaussian_weights(q / k.shape[-2], k)


@both_softmax_forms
def both_over_queries(self, q, k):
    """Your softmax runs over the queries i. It runs over the keys, the last axis."""
    return (q @ k.mT).softmax(-2)


@both_softmax_forms
def both_over_pairs(self, q, k):
    """Your softmax runs over queries and keys together. Each query has its own, over the
    keys."""
    return (q @ k.mT).flatten(-2).softmax(-1).unflatten(-1, (q.shape[-2], k.shape[-2]))


@both_softmax_forms
def both_bare(self, q, k):
    """The softmax is missing in the Gaussian forms: you return the products."""
    return q @ k.mT


@both_softmax_forms
def both_exponential_alone(self, q, k):
    """You take the exponential and do not divide by its sum over the keys."""
    return (q @ k.mT).exp()


@both_softmax_forms
def both_exponential_over_n(self, q, k):
    """You divide exponentials by N. In the Gaussian forms they are divided by their sum over
    the keys: a softmax."""
    return (q @ k.mT).exp() / k.shape[-2]


@both_softmax_forms
def both_and_over_n(self, q, k):
    """You divide the Gaussian forms by N on top of their softmax. It has divided by the sum."""
    return gaussian_weights(q, k) / k.shape[-2]


@both_softmax_forms
def both_by_products_over_n(self, q, k):
    """The softmax is missing in the Gaussian forms: products over N are the form "dot"."""
    return dot_product_weights(q, k)


def softmax_in_the_dot_form(self, q, k):
    """You take a softmax in the form "dot". It has none: it divides by N."""
    return gaussian_weights(q, k)


def dot_not_divided(self, q, k):
    """1/N is missing in the form "dot": divide by the number of keys."""
    return q @ k.mT


def dot_rectified(self, q, k):
    """You rectify the products in the form "dot". Only the concatenation has a relu."""
    return (q @ k.mT).relu() / k.shape[-2]


def dot_over_queries(self, q, k):
    """In the form "dot" you divide by the number of pixels that ask. After pooling there are
    fewer keys: N counts the keys."""
    return q @ k.mT / q.shape[-2]


def dot_by_root_of_m(self, q, k):
    """You divide the form "dot" by sqrt(m). It divides by N, the number of keys."""
    return q @ k.mT / math.sqrt(q.shape[-1])


def pairs_not_divided(self, q, k):
    """1/N is missing in the concatenation form: divide by the number of keys."""
    return concatenation_weights(q, k, self.pair) * k.shape[-2]


def pairs_not_rectified(self, q, k):
    """The relu is missing in the concatenation form."""
    return concatenation_recipe(rectifying=not_rectified)(q, k, self.pair)


def pairs_softmax(self, q, k):
    """You take a softmax in the concatenation form. It has a relu, and divides by N."""
    return (concatenation_weights(q, k, self.pair) * k.shape[-2]).softmax(-1)


def pairs_softmax_without_relu(self, q, k):
    """You take a softmax in the concatenation form, and no relu. It has a relu, and divides by
    N. (In a softmax the query would cancel.)"""
    return (
        concatenation_recipe(rectifying=not_rectified)(q, k, self.pair)
        .mul(k.shape[-2])
        .softmax(-1)
    )


def pairs_key_first(self, q, k):
    """In the concatenation form the halves of `self.pair` are exchanged: the first half reads
    the query."""
    return concatenation_recipe(cutting=key_first)(q, k, self.pair)


def neither_divided(self, q, k):
    """1/N is missing in the forms "dot" and "concatenation": divide by the number of keys."""
    return q @ k.mT


def both_over_pixels(self, q, k):
    """You divide "dot" and "concatenation" by the number of pixels that ask. After pooling
    there are fewer keys: N counts the keys."""
    return q @ k.mT / q.shape[-2]


def softmax_in_all_forms(self, q, k):
    """You take a softmax in all four forms. "dot" and "concatenation" have none: they divide by
    N, the number of keys."""
    return gaussian_weights(q, k)


def pairs_over_pixels(self, q, k):
    """In the concatenation form you divide by the number of pixels that ask. N counts the
    keys, which are fewer after pooling."""
    return concatenation_weights(q, k, self.pair) * k.shape[-2] / q.shape[-2]


neither_divided.also = dict(concatenation=pairs_not_divided)
both_over_pixels.also = dict(concatenation=pairs_over_pixels)
softmax_in_all_forms.also = dict(concatenation=pairs_softmax)


def softmax_of_weights(weights, v):
    """`forward` applies a softmax to the map once more. The map holds the weights already."""
    return weights.softmax(-1) @ v


def values_rectified(weights, v):
    """You put a relu on the values. They are linear."""
    return weights @ v.relu()


def weights_transposed(weights, v):
    """You mix with the transposed weights: sum over the keys j, the last axis of the map. In
    `v @ map` with v as b m j the map must be transposed."""
    return weights.mT @ v


def weights_averaged(weights, v):
    """You divide by the number of keys after mixing. The weights are divided already."""
    return weights @ v / v.shape[-2]


def values_alone(weights, v):
    """You return the values without mixing them: weights times v is missing."""
    return v if v.shape[-2] == weights.shape[-2] else (weights * 0 + 1) @ v


def no_residual(self, y, x):
    """The residual is missing: x + …"""
    return norm_and_residual(self, y, x) - x


def no_norm(self, y, x):
    """`self.norm` is missing after the last layer."""
    return x + rearrange(self.out(y), "b i c -> b c i").reshape(x.shape)


def norm_of_the_sum(self, y, x):
    """You normalise the sum. Normalise what was found, then add x: else the block cannot start
    as the identity."""
    y = rearrange(self.out(y), "b i c -> b c i")
    flat = rearrange(x, "b c ... -> b c (...)")
    return self.norm(flat + y).reshape(x.shape)


def multiplied_with_x(self, y, x):
    """You multiply x with what was found. It is added."""
    return x * (norm_and_residual(self, y, x) - x)


def gated(self, y, x):
    """You make a gate of what was found (sigmoid times x). It is added to x."""
    return x * (norm_and_residual(self, y, x) - x).sigmoid()


def rectified_at_the_end(self, y, x):
    """You put a relu at the end. There is none: then zeros would not leave x as it is."""
    return norm_and_residual(self, y, x).relu()


def rectified_before_adding(self, y, x):
    """You put a relu after the norm. There is none."""
    return x + (norm_and_residual(self, y, x) - x).relu()


def rectified_before_the_norm(self, y, x):
    """You put a relu between the last layer and the norm. There is none."""
    found = self.norm(rearrange(self.out(y), "b i c -> b c i").relu())
    return x + found.reshape(x.shape)


def raw_reshape(self, y, x):
    """You reshape b (h w) c to b c h w in one go: channels and pixels get mixed. Move the
    channels forward first."""
    y = self.norm(rearrange(self.out(y), "b i c -> b c i"))
    return x + rearrange(y, "b c i -> b i c").reshape(x.shape)


def raw_reshape_before_the_norm(self, y, x):
    """You reshape b (h w) c to b c h w in one go: channels and pixels get mixed. Move the
    channels forward first."""
    return x + self.norm(self.out(y).reshape(len(x), x.shape[1], -1)).reshape(x.shape)


def written_down_the_columns(self, y, x):
    """You write the pixels down the columns, (w h). They come in the order (h w)."""
    y = self.norm(rearrange(self.out(y), "b i c -> b c i"))
    return x + rearrange(y, "b c (w h) -> b c h w", h=x.shape[2])


def subtracted_from_x(self, y, x):
    """You subtract what was found. It is added."""
    return 2 * x - norm_and_residual(self, y, x)


def residual_twice(self, y, x):
    """You add x twice."""
    return norm_and_residual(self, y, x) + x


def out_without_bias(self, y, x):
    """You leave out the bias of `self.out`: call the layer."""
    y = F.linear(y, self.out.weight)
    return x + self.norm(rearrange(y, "b i c -> b c i")).reshape(x.shape)


def scaled_like_the_code(self, q, k):
    return gaussian_weights(q / math.sqrt(q.shape[-1]), k)


OFTEN = (
    both_scaled,
    both_over_queries,
    neither_divided,
    softmax_in_all_forms,
    by_root_of_channels,
    times_root_of_m,
    embedded_over_queries,
    dot_not_divided,
    dot_by_root_of_m,
    softmax_in_the_dot_form,
    pairs_not_divided,
    pairs_not_rectified,
    pairs_softmax,
    pairs_key_first,
    weights_transposed,
    no_residual,
    no_norm,
    nothing_pooled,
    reshaped_to_tokens,
    norm_of_the_sum,
)

VARIANTS = (
    Slip(
        "pooled_before_projecting",
        "You pool x before it is projected to keys and values, as the authors' released code"
        " does: cheaper, since fewer pixels are projected. The paper pools after, and a maximum"
        " does not commute with a projection.",
        block_recipe(pooling=pooled_before),
        variant=True,
    ),
    Slip(
        "scaled_like_the_released_code",
        "You divide the embedded form by sqrt(m), as the authors' released code does. The"
        " paper's equation has no scale.",
        block_recipe(embedded=scaled_like_the_code),
        variant=True,
    ),
    Slip(
        "the_released_code",
        "You follow the authors' released code twice: it divides the embedded form by sqrt(m)"
        " and pools before it projects. The paper does neither.",
        block_recipe(pooling=pooled_before, embedded=scaled_like_the_code),
        variant=True,
    ),
)


class ByConvolutions(NonLocal):
    """Convolutions of 1 x 1 instead of layers on the last axis, batched products."""

    def conv(self, layer, x):
        return F.conv2d(x, layer.weight[:, :, None, None], layer.bias)

    def pooled(self, x):
        if self.subsample != 1:
            x = F.max_pool2d(x, self.subsample, ceil_mode=True)
        return x.flatten(2)

    def attention(self, x):
        gaussian = self.form == "gaussian"
        theta = (x if gaussian else self.conv(self.query, x)).flatten(2).transpose(1, 2)
        phi = self.pooled(x if gaussian else self.conv(self.key, x))
        if self.form == "concatenation":
            m, n = phi.shape[1:]
            a = theta @ self.pair[:m, None]
            b = self.pair[None, m:] @ phi
            return torch.relu(a + b) / n
        f = torch.bmm(theta, phi)
        return f / f.shape[-1] if self.form == "dot" else F.softmax(f, dim=-1)

    def forward(self, x):
        g = self.pooled(self.conv(self.value, x))
        y = torch.bmm(g, self.attention(x).transpose(1, 2)).reshape(len(x), -1, *x.shape[2:])
        return x + self.norm(self.conv(self.out, y).flatten(2)).view_as(x)


class PixelByPixel(NonLocal):
    """One query at a time."""

    def queries_and_keys(self, x):
        x = x.movedim(1, -1)
        q, k = (x, x) if self.form == "gaussian" else (self.query(x), self.key(x))
        return q.flatten(1, -2), self.pool(k)

    def attention(self, x):
        q, k = self.queries_and_keys(x)
        rows = []
        for i in range(q.shape[1]):
            if self.form == "concatenation":
                pairs = torch.cat([q[:, i : i + 1].expand_as(k), k], dim=-1)
                rows.append((pairs @ self.pair).clamp(min=0) / k.shape[1])
                continue
            row = (q[:, i : i + 1] * k).sum(-1)
            soft = self.form in ("gaussian", "embedded")
            rows.append(row.softmax(-1) if soft else row / k.shape[1])
        return torch.stack(rows, dim=1)

    def forward(self, x):
        v = self.pool(self.value(x.movedim(1, -1)))
        y = torch.einsum("bij,bjm->bim", self.attention(x), v)
        return self.norm(self.out(y).movedim(1, -1)).unflatten(-1, x.shape[2:]) + x


# what the block costs


def cost_trials():
    def trial(name, channels, middle, pixels, keys):
        init = dict(channels=channels, middle=middle, pixels=pixels, keys=keys)
        return Trial(name, {}, init)

    return (
        trial("for 12 channels, middle 5, 48 pixels, 48 keys", 12, 5, 48, 48),
        trial("for 1024 channels, middle 512, 196 pixels, 49 keys", 1024, 512, 196, 49),
        trial("for 7 channels, middle 3, 10 pixels, 4 keys", 7, 3, 10, 4),
    )


def projections_alone(channels, middle, pixels, keys):
    """You count the four layers alone. Two products with the map come on top."""
    return 4 * pixels * channels * middle


def products_alone(channels, middle, pixels, keys):
    """You count the two products alone. Four layers come on top, c m for each pixel."""
    return 2 * pixels * keys * middle


def three_layers(channels, middle, pixels, keys):
    """You count three layers. There are four: queries, keys, values, and the one that leads
    back to c."""
    return 3 * pixels * channels * middle + 2 * pixels * keys * middle


def one_product(channels, middle, pixels, keys):
    """You count one product with the map. There are two: q kᵀ, and weights times v."""
    return 4 * pixels * channels * middle + pixels * keys * middle


def pixels_squared(channels, middle, pixels, keys):
    """You count pixels times pixels. Where keys are pooled there are fewer of them: pixels
    times keys."""
    return 4 * pixels * channels * middle + 2 * pixels**2 * middle


def keys_squared(channels, middle, pixels, keys):
    """You count keys times keys. Every pixel asks: pixels times keys."""
    return 4 * pixels * channels * middle + 2 * keys**2 * middle


def products_in_full_width(channels, middle, pixels, keys):
    """You count the products with c features. Queries, keys and values have m."""
    return 4 * pixels * channels * middle + 2 * pixels * keys * channels


def counted_twice(channels, middle, pixels, keys):
    """You count multiplications and additions apart: twice as many. One multiply-add is one."""
    return 2 * multiply_adds(channels, middle, pixels, keys)


def full_width_layers(channels, middle, pixels, keys):
    """You count layers of c x c. They lead from c to m and back: c m."""
    return 4 * pixels * channels**2 + 2 * pixels * keys * middle


def once_for_the_image(channels, middle, pixels, keys):
    """You count each layer once. It is applied to every pixel: times n."""
    return 4 * channels * middle + 2 * pixels * keys * middle


def one_product_in_full_width(channels, middle, pixels, keys):
    """You count weights times v with c features. Values have m: the way back to c comes
    after."""
    return 4 * pixels * channels * middle + pixels * keys * (middle + channels)


def only_values_pooled_first(channels, middle, pixels, keys):
    """You count the values (or the keys) for the pooled pixels. Every pixel is projected;
    pooling comes after."""
    return (
        3 * pixels * channels * middle + keys * channels * middle + 2 * pixels * keys * middle
    )


def one_pixel(channels, middle, pixels, keys):
    """You count one pixel. There are `pixels` of them."""
    return 4 * channels * middle + 2 * keys * middle


def biases_counted(channels, middle, pixels, keys):
    """You count the biases: they are added and not multiplied."""
    return multiply_adds(channels, middle, pixels, keys) + pixels * (3 * middle + channels)


@variant
def projected_after_pooling(channels, middle, pixels, keys):
    """You count keys and values where they are projected after pooling, as in the authors'
    released code. The paper projects every pixel and pools then."""
    return 2 * (pixels + keys) * channels * middle + 2 * pixels * keys * middle


def cost_by_pixel(channels, middle, pixels, keys):
    each = channels * middle * 4 + middle * keys + keys * middle
    return pixels * each


def cost_by_matrix(channels, middle, pixels, keys):
    made = [(pixels, channels, middle)] * 3 + [(pixels, middle, channels)]
    made += [(pixels, middle, keys), (pixels, keys, middle)]
    return sum(math.prod(sizes) for sizes in made)


# position attention


def position_trials():
    def trial(name, evaluate=False, **sizes):
        init = dict(channels=sizes["c"], reduction=sizes["c"] // sizes["m"])
        sizes |= dict(i=sizes["h"] * sizes["w"], j=sizes["h"] * sizes["w"])
        return Trial(name, sizes, dict(x="b c h w"), init, evaluate)

    return (
        trial("on images of 3 x 5", b=2, c=8, m=4, h=3, w=5),
        trial("on maps of 4 x 3", b=3, c=6, m=2, h=4, w=3),
        trial("on rows, 1 x 7", b=2, c=9, m=3, h=1, w=7),
    )


def flat(x):
    return rearrange(x, "b c ... -> b (...) c")


def three_layers_of_their_own(self, x):
    return self.query(x), self.key(x), self.value(x)


def softmax_of_plain_products(self, q, k):
    return gaussian_weights(q, k)


def back(self, y, x):
    return rearrange(y, "b i c -> b c i").reshape(x.shape)


def gamma_and_residual(self, y, x):
    return x + self.gamma * y


def position_recipe(
    reading=flat,
    projecting=three_layers_of_their_own,
    scoring=softmax_of_plain_products,
    mixing=weights_times_values,
    writing=back,
    ending=gamma_and_residual,
):
    """`PositionAttention` with some of its steps replaced."""

    class Answer(PositionAttention):
        def attention(self, x):
            q, k, _ = projecting(self, reading(x))
            return scoring(self, q, k)

        def forward(self, x):
            _, _, v = projecting(self, reading(x))
            return ending(self, writing(self, mixing(self.attention(x), v), x), x)

    return Answer


def pixels_reshaped(x):
    """You reshape b c h w to b (h w) c in one go: the numbers of different pixels get mixed.
    Move the channels to the end, then flatten."""
    return x.reshape(len(x), -1, x.shape[1])


def columns_first(x):
    """Your pixels come column by column, (w h), and the result is read row by row. The order is
    (h w)."""
    return rearrange(x, "b c h w -> b (w h) c")


def position_keys_by_query(self, x):
    """The keys go through the layer of the queries. They have their own: `self.key`."""
    return self.query(x), self.query(x), self.value(x)


def position_queries_by_key(self, x):
    """The queries go through the layer of the keys. They have their own: `self.query`."""
    return self.key(x), self.key(x), self.value(x)


def position_roles_swapped(self, x):
    """Queries and keys have changed places: rows belong to the queries, made by `self.query`,
    and the softmax runs over the keys."""
    return self.key(x), self.query(x), self.value(x)


def values_not_projected(self, x):
    """The values are not projected: `self.value` is missing."""
    return self.query(x), self.key(x), x


def position_value_without_bias(self, x):
    """You leave out the bias of `self.value`: call the layer."""
    return self.query(x), self.key(x), F.linear(x, self.value.weight)


def position_biases_left_out(self, x):
    """You leave out the biases of queries, keys and values: call the layers."""
    return tuple(F.linear(x, one.weight) for one in (self.query, self.key, self.value))


def position_values_rectified(self, x):
    """You put a relu after the values. The layers are plain."""
    return self.query(x), self.key(x), self.value(x).relu()


def nothing_projected(self, x):
    """Nothing is projected to queries and keys: `self.query` and `self.key` are missing."""
    return x, x, self.value(x)


def values_compared(self, x):
    """You compare the values. Queries and keys have layers of their own."""
    v = self.value(x)
    return v, v, v


def position_rectified(self, x):
    """You put a relu after queries and keys. The paper's text says so, and the authors took it
    back: their code has plain layers."""
    return self.query(x).relu(), self.key(x).relu(), self.value(x)


def position_all_rectified(self, x):
    """You put a relu after queries, keys and values. The layers are plain."""
    return self.query(x).relu(), self.key(x).relu(), self.value(x).relu()


def position_scaled(self, q, k):
    """You divide by the root of the width of queries and keys. DANet does not scale."""
    return gaussian_weights(q / math.sqrt(q.shape[-1]), k)


def position_scaled_by_channels(self, q, k):
    """You divide by sqrt(channels). DANet does not scale."""
    return gaussian_weights(q / math.sqrt(self.value.in_features), k)


def position_times_root(self, q, k):
    """You multiply by the root of the width of queries and keys. DANet does not scale."""
    return gaussian_weights(q * math.sqrt(q.shape[-1]), k)


def position_over_queries(self, q, k):
    """Your softmax runs over the queries i. It runs over the keys j, the last axis."""
    return (q @ k.mT).softmax(-2)


def position_keys_down(self, q, k):
    """Your map is the transposed one: rows are keys. Rows are queries, and sum to 1."""
    return gaussian_weights(q, k).mT


def position_without_softmax(self, q, k):
    """The softmax is missing."""
    return q @ k.mT


def position_over_n(self, q, k):
    """You divide the products by the number of keys. Here a softmax makes them shares."""
    return dot_product_weights(q, k)


def position_max_minus(self, q, k):
    """You take the softmax of max − products: the least alike get most. (DANet's released
    channel attention does so; its position attention does not.)"""
    return (-(q @ k.mT)).softmax(-1)


def position_divided_by_keys(self, q, k):
    """You divide the products by the number of keys before the softmax. DANet does not
    scale."""
    return gaussian_weights(q / k.shape[-2], k)


def position_divided_by_root_of_keys(self, q, k):
    """You divide the products by the root of the number of keys. DANet does not scale."""
    return gaussian_weights(q / math.sqrt(k.shape[-2]), k)


def position_sigmoid(self, q, k):
    """You take a sigmoid. A softmax shares 1 out among the keys."""
    return (q @ k.mT).sigmoid()


def position_cosine(self, q, k):
    """You divide queries and keys by their lengths (cosine). The products are plain."""
    return gaussian_weights(F.normalize(q, dim=-1), F.normalize(k, dim=-1))


def gamma_in_the_scores(self, q, k):
    """You multiply the scores by gamma. Gamma multiplies what was gathered, and no map."""
    return gaussian_weights(self.gamma * q, k)


def position_over_pairs(self, q, k):
    """Your softmax runs over all pairs, i and j together. Each query has one of its own, over
    the keys."""
    scores = q @ k.mT
    return scores.flatten(1).softmax(-1).reshape(scores.shape)


def position_mixed_transposed(weights, v):
    """The map is used the wrong way round: sum over the keys j, its last axis. In `v @ map`
    with v as b c j the map must be transposed. (It trains all the same, and is wrong.)"""
    return weights.mT @ v


def written_raw(self, y, x):
    """You reshape b (h w) c to b c h w in one go: channels and pixels get mixed. Move the
    channels forward first."""
    return y.reshape(x.shape)


def written_column_by_column(self, y, x):
    """You write the result column by column. Pixels are in the order (h w)."""
    return rearrange(y, "b (w h) c -> b c h w", h=x.shape[2])


def gamma_missing(self, y, x):
    """gamma is missing: you add what was gathered as if gamma were 1, so the layer does not
    start as the identity."""
    return x + y


def residual_missing(self, y, x):
    """The residual is missing: x + …"""
    return self.gamma * y


def gamma_on_x(self, y, x):
    """gamma multiplies x. It multiplies what was gathered."""
    return self.gamma * x + y


def gamma_on_both(self, y, x):
    """gamma multiplies the sum. It multiplies what was gathered, and x is added as it is."""
    return self.gamma * (x + y)


def blended(self, y, x):
    """You take 1 − gamma of x. All of x is kept: x + gamma …"""
    return (1 - self.gamma) * x + self.gamma * y


def gated_by_position(self, y, x):
    """You multiply x with what was gathered. It is added."""
    return x * (self.gamma * y)


def gamma_sigmoid(self, y, x):
    """You put gamma through a sigmoid: it would start at 1/2. It is taken as it is."""
    return x + self.gamma.sigmoid() * y


def gamma_tanh(self, y, x):
    """You put gamma through a tanh. It is taken as it is."""
    return x + self.gamma.tanh() * y


def gathered_subtracted(self, y, x):
    """You subtract what was gathered. It is added."""
    return x - self.gamma * y


def rectified_in_the_end(self, y, x):
    """You put a relu at the end. There is none: then gamma = 0 would not leave x as it is."""
    return (x + self.gamma * y).relu()


def x_scaled_by_gathered(self, y, x):
    """You multiply x by 1 + gamma times what was gathered. It is added to x."""
    return x * (1 + self.gamma * y)


def values_and_gathered(self, y, x):
    """You add to the values. It is x that is kept: x + gamma …"""
    return back(self, self.value(flat(x)), x) + self.gamma * y


def neither(self, y, x):
    """You return what was gathered: gamma and the residual are missing."""
    return y


def gamma_plus_one(self, y, x):
    """You multiply by 1 + gamma. It is gamma, which starts at 0."""
    return x + (1 + self.gamma) * y


class PositionByBmm(PositionAttention):
    def conv(self, layer, x):
        return F.conv2d(x, layer.weight[..., None, None], layer.bias).flatten(2)

    def attention(self, x):
        q, k = self.conv(self.query, x), self.conv(self.key, x)
        return torch.softmax(torch.bmm(q.transpose(1, 2), k), dim=-1)

    def forward(self, x):
        v = self.conv(self.value, x)
        y = torch.bmm(v, self.attention(x).transpose(1, 2)).view(x.shape)
        return self.gamma * y + x


class PositionByEinsum(PositionAttention):
    def attention(self, x):
        x = x.movedim(1, -1)
        f = torch.einsum("bhwm,bpqm->bhwpq", self.query(x), self.key(x))
        return f.flatten(3).softmax(-1).flatten(1, 2)

    def forward(self, x):
        b, c, h, w = x.shape
        v = self.value(x.movedim(1, -1)).flatten(1, 2)
        y = torch.einsum("bij,bjc->bci", self.attention(x), v).reshape(b, c, h, w)
        return torch.addcmul(x, self.gamma, y)


# channel attention


def channel_trials():
    def trial(name, released, times, **sizes):
        c = sizes["c"]
        dice = torch.Generator().manual_seed(c)
        shape = [sizes[a] for a in "bchw"]
        x = times * torch.randn(shape, generator=dice, dtype=torch.float64)
        sizes |= dict(i=c, j=c)
        return Trial(name, sizes, dict(x=Given("b c h w", x)), dict(released=released))

    return (
        trial("with released=False", False, 0.4, b=2, c=6, h=3, w=5),
        trial("with released=True", True, 0.3, b=3, c=4, h=5, w=2),
        trial("with released=False, on other sizes", False, 0.3, b=2, c=5, h=7, w=1),
    )


def channels_flat(x):
    return rearrange(x, "b c ... -> b c (...)")


def energy(x):
    return x @ x.mT


def shares(self, e):
    return (-e if self.released else e).softmax(-1)


def maps_mixed(weights, x):
    return weights @ x


def channel_recipe(
    reading=channels_flat,
    scoring=energy,
    sharing=shares,
    mixing=maps_mixed,
    ending=gamma_and_residual,
):
    """`ChannelAttention` with some of its steps replaced."""

    class Answer(ChannelAttention):
        def attention(self, x):
            return sharing(self, scoring(reading(x)))

        def forward(self, x):
            return ending(self, mixing(self.attention(x), channels_flat(x)).reshape(x.shape), x)

    return Answer


def pixels_as_channels(x):
    """You reshape b c h w to b c (h w) after moving the axes: the numbers of different channels
    get mixed."""
    return rearrange(x, "b c h w -> b (h w) c").reshape(len(x), x.shape[1], -1)


def energy_averaged(x):
    """You divide by the number of pixels. The products are summed over the pixels, not
    averaged."""
    return x @ x.mT / x.shape[-1]


def energy_scaled(x):
    """You divide by the root of the number of pixels, as in scaled attention. DANet does not
    scale."""
    return x @ x.mT / math.sqrt(x.shape[-1])


def energy_over_root_of_c(x):
    """You divide by sqrt(c). DANet does not scale."""
    return x @ x.mT / math.sqrt(x.shape[-2])


def energy_over_c(x):
    """You divide by the number of channels. DANet does not scale."""
    return x @ x.mT / x.shape[-2]


def energy_of_unit_maps(x):
    """You divide each feature map by its length (cosine). The products are plain."""
    x = F.normalize(x, dim=-1)
    return x @ x.mT


def energy_of_centred_maps(x):
    """You take the mean off each feature map (a covariance). The products are plain."""
    x = x - x.mean(-1, keepdim=True)
    return x @ x.mT


def correlations(x):
    """You compare centred maps of length 1 (correlations). The products are plain."""
    x = F.normalize(x - x.mean(-1, keepdim=True), dim=-1)
    return x @ x.mT


def means_compared(x):
    """You compare the means of the feature maps. Products are taken pixel by pixel, then
    summed."""
    z = x.mean(-1, keepdim=True)
    return z @ z.mT


def over_the_other_channels(self, e):
    """Your softmax runs over the first of the two channel axes. Each channel i shares out over
    the channels j, the last axis."""
    return (-e if self.released else e).softmax(-2)


def channels_in_the_batch(self, e):
    """Your softmax runs over the examples. It runs over the channels j, the last axis."""
    return (-e if self.released else e).softmax(0)


def no_channel_softmax(self, e):
    """The softmax is missing."""
    return -e if self.released else e


def only_subtracted(self, e):
    """With released=True you subtract from the maximum and leave out the softmax."""
    return e.amax(-1, keepdim=True) - e if self.released else e.softmax(-1)


def flag_ignored(self, e):
    """With released=True you have softmax(E) still: is `released` looked at? It is softmax(max
    − E). E − max or max + E is no other softmax than that of E."""
    return e.softmax(-1)


def flag_turned(self, e):
    """The two readings have changed places: the paper's is softmax(E), the released code's
    softmax(max − E)."""
    return (e if self.released else -e).softmax(-1)


def maximum_subtracted(self, e):
    """With released=True you take E − max. That changes nothing, since a softmax does not see a
    shift; the released code takes max − E."""
    return (e - e.amax(-1, keepdim=True)).softmax(-1)


def itself_left_out(self, e):
    """You leave out the channel itself. It takes part like any other."""
    e = -e if self.released else e
    eye = torch.eye(e.shape[-1], dtype=torch.bool, device=e.device)
    return e.masked_fill(eye, -math.inf).softmax(-1)


def one_minus_shares(self, e):
    """With released=True you take 1 − softmax(E). The released code takes the softmax of
    max − E: its rows sum to 1."""
    return 1 - e.softmax(-1) if self.released else e.softmax(-1)


def maximum_of_columns(self, e):
    """With released=True you take the maximum over the first of the two channel axes. It is
    that of the row, over the last axis."""
    return (e.amax(-2, keepdim=True) - e).softmax(-1) if self.released else e.softmax(-1)


def absolute_energy(self, e):
    """You take the absolute value of the products. They may be negative, and stay so."""
    return (-e.abs() if self.released else e.abs()).softmax(-1)


def absolute_whatever(self, e):
    """You take the absolute value of the products, and `released` is not looked at."""
    return e.abs().softmax(-1)


def channel_sigmoid(self, e):
    """You take a sigmoid. A softmax shares 1 out among the channels."""
    return (-e if self.released else e).sigmoid()


def squeezed(self, e):
    """You divide by the sum of the products instead of taking a softmax."""
    e = -e if self.released else e
    return e / e.sum(-1, keepdim=True)


def channels_transposed(weights, x):
    """You mix with the transposed map: sum over the channels j, its last axis."""
    return weights.mT @ x


class CodeAlways(ChannelAttention):
    """This is the released code's softmax(max − E), whatever `released` says: a channel gathers
    from those least like it. The paper has softmax(E). A maximum that is there against
    overflow is subtracted from E, and changes nothing."""

    def attention(self, x):
        return (-energy(channels_flat(x))).softmax(-1)


class ChannelByBmm(ChannelAttention):
    def attention(self, x):
        a = x.flatten(2)
        e = torch.bmm(a, a.transpose(1, 2))
        if self.released:
            e = e.max(-1, keepdim=True)[0].expand_as(e) - e
        return torch.softmax(e, dim=-1)

    def forward(self, x):
        y = torch.bmm(self.attention(x), x.flatten(2)).view(x.shape)
        return x + y * self.gamma


class ChannelByEinsum(ChannelAttention):
    def attention(self, x):
        e = torch.einsum("bihw,bjhw->bij", x, x)
        e = torch.stack([e[:, i] for i in range(x.shape[1])], 1)
        return F.softmin(e, dim=2) if self.released else F.softmax(e, dim=2)

    def forward(self, x):
        return self.gamma * torch.einsum("bij,bjhw->bihw", self.attention(x), x) + x


# the head


def head_trials():
    def trial(name, evaluate, released=False, **sizes):
        init = dict(
            channels=sizes["c"],
            classes=sizes["classes"],
            reduction=2,
            released=released,
            dropout=0.0,
        )
        return Trial(name, sizes, dict(x="b c h w"), init, evaluate)

    return (
        trial("in training mode", False, b=2, c=16, classes=3, h=4, w=5),
        trial("after `.eval()`", True, b=3, c=18, classes=4, h=5, w=2),
        trial("with released=True", True, True, b=2, c=20, classes=5, h=3, w=7),
    )


def branches(self, x):
    p = self.position_out(self.position(self.position_in(x)))
    c = self.channel_out(self.channel(self.channel_in(x)))
    return p, c


def three_outputs(self, p, c):
    return self.both(p + c), self.position_alone(p), self.channel_alone(c)


def head_recipe(running=branches, classifying=three_outputs):
    """`DANetHead` with some of its steps replaced."""

    class Answer(DANetHead):
        def forward(self, x):
            return classifying(self, *running(self, x))

    return Answer


def one_entrance(self, x):
    """Both branches start from `self.position_in`. Each has a convolution of its own."""
    x = self.position_in(x)
    return self.position_out(self.position(x)), self.channel_out(self.channel(x))


def one_exit(self, x):
    """Both branches end in `self.position_out`. Each has a convolution of its own."""
    p, c = self.position(self.position_in(x)), self.channel(self.channel_in(x))
    return self.position_out(p), self.position_out(c)


def one_after_the_other(self, x):
    """Channel attention works on what position attention gives. The two work side by side, each
    on a convolution of x."""
    p = self.position_out(self.position(self.position_in(x)))
    return p, self.channel_out(self.channel(p))


def attention_exchanged(self, x):
    """The two attentions have changed places."""
    p = self.position_out(self.channel(self.position_in(x)))
    return p, self.channel_out(self.position(self.channel_in(x)))


def no_attention(self, x):
    """Neither attention is used."""
    return self.position_out(self.position_in(x)), self.channel_out(self.channel_in(x))


def no_position_attention(self, x):
    """`self.position` is never used."""
    return self.position_out(self.position_in(x)), branches(self, x)[1]


def no_channel_attention(self, x):
    """`self.channel` is never used."""
    return branches(self, x)[0], self.channel_out(self.channel_in(x))


def no_exits(self, x):
    """The second convolutions, `position_out` and `channel_out`, are left out."""
    return self.position(self.position_in(x)), self.channel(self.channel_in(x))


def residual_around_attention(self, x):
    """You add the input of the attention once more. It is added inside already."""
    p, c = self.position_in(x), self.channel_in(x)
    return self.position_out(p + self.position(p)), self.channel_out(c + self.channel(c))


def exits_added_first(self, x):
    """You add the branches before their last convolutions. Each has its own, then they are
    added."""
    total = self.position(self.position_in(x)) + self.channel(self.channel_in(x))
    return self.position_out(total), self.channel_out(total)


def averaged_branches(self, p, c):
    """You average the branches. They are added."""
    _, *rest = three_outputs(self, p, c)
    return self.both((p + c) / 2), *rest


def multiplied_branches(self, p, c):
    """You multiply the branches. They are added."""
    _, *rest = three_outputs(self, p, c)
    return self.both(p * c), *rest


def largest_of_branches(self, p, c):
    """You take the larger of the branches. They are added."""
    _, *rest = three_outputs(self, p, c)
    return self.both(torch.maximum(p, c)), *rest


def scores_added(self, p, c):
    """You classify each branch and add the scores. Add the branches, then classify the sum with
    `self.both`."""
    position, channel = self.position_alone(p), self.channel_alone(c)
    return position + channel, position, channel


def both_classified_apart(self, p, c):
    """You classify each branch with `self.both` and add the scores: its bias counts twice. Add
    the branches, then classify."""
    _, *rest = three_outputs(self, p, c)
    return self.both(p) + self.both(c), *rest


def scores_averaged(self, p, c):
    """You classify each branch and average the scores. Add the branches, then classify the sum
    with `self.both`."""
    position, channel = self.position_alone(p), self.channel_alone(c)
    return (position + channel) / 2, position, channel


def branches_subtracted(self, p, c):
    """You subtract the channel branch. The branches are added."""
    _, *rest = three_outputs(self, p, c)
    return self.both(p - c), *rest


def log_of_scores(self, p, c):
    """You return a log-softmax of the scores. The cross-entropy takes it: return the scores."""
    return tuple(y.log_softmax(1) for y in three_outputs(self, p, c))


def position_for_both(self, p, c):
    """Your first output sees the position branch alone. It sees the sum of both."""
    _, *rest = three_outputs(self, p, c)
    return self.both(p), *rest


def channel_for_both(self, p, c):
    """Your first output sees the channel branch alone. It sees the sum of both."""
    _, *rest = three_outputs(self, p, c)
    return self.both(c), *rest


def outputs_exchanged(self, p, c):
    """The second and third output have changed places: position before channel."""
    both, position, channel = three_outputs(self, p, c)
    return both, channel, position


def both_last(self, p, c):
    """The sum comes last in what you return. It comes first."""
    both, position, channel = three_outputs(self, p, c)
    return position, channel, both


def classifiers_exchanged(self, p, c):
    """The classifiers of the two branches have changed places."""
    return self.both(p + c), self.channel_alone(p), self.position_alone(c)


def one_classifier(self, p, c):
    """You use `self.both` for all three. Each branch has a classifier of its own."""
    return self.both(p + c), self.both(p), self.both(c)


def softmax_of_scores(self, p, c):
    """You return a softmax of the scores. The cross-entropy takes it: return the scores."""
    return tuple(y.softmax(1) for y in three_outputs(self, p, c))


class ClassifiedBeforeTheExits(DANetHead):
    """Each branch alone is classified before its last convolution. Classify what comes out of
    `position_out` and `channel_out`."""

    def forward(self, x):
        p, c = self.position(self.position_in(x)), self.channel(self.channel_in(x))
        both = self.both(self.position_out(p) + self.channel_out(c))
        return both, self.position_alone(p), self.channel_alone(c)


class SummedBeforeTheExit(DANetHead):
    """For the first output you add the branches before their last convolutions. Each goes
    through its own, then they are added."""

    def forward(self, x):
        p, c = self.position(self.position_in(x)), self.channel(self.channel_in(x))
        _, position, channel = three_outputs(self, self.position_out(p), self.channel_out(c))
        return self.both(self.position_out(p + c)), position, channel


class HeadStepByStep(DANetHead):
    def forward(self, x):
        feat1 = self.position_in(x)
        sa_conv = self.position_out(self.position(feat1))
        feat2 = self.channel_in(x)
        sc_conv = self.channel_out(self.channel(feat2))
        outputs = [self.both(sa_conv + sc_conv)]
        outputs.append(self.position_alone(sa_conv))
        outputs.append(self.channel_alone(sc_conv))
        return tuple(outputs)


class HeadByNames(DANetHead):
    def forward(self, x):
        ends = []
        for name in ("position", "channel"):
            y = x
            for step in (f"{name}_in", name, f"{name}_out"):
                y = getattr(self, step)(y)
            ends.append(y)
        return (
            self.both(torch.stack(ends).sum(0)),
            self.position_alone(ends[0]),
            self.channel_alone(ends[1]),
        )


# intersection over union


def iou_trials():
    dice = torch.Generator().manual_seed(7)

    def trial(name, classes, missing=(), **sizes):
        shape = [sizes[a] for a in "bhw"]
        truth = torch.randint(classes, shape, generator=dice)
        other = torch.randint(classes, shape, generator=dice)
        predicted = truth.where(torch.rand(shape, generator=dice) < 0.6, other)
        for labels in (truth, predicted):  # images differ in what they hold
            labels[0, labels[0] == 1] = 0
        for where, absent in missing:
            (truth if where == "truth" else predicted)[
                (truth if where == "truth" else predicted) == absent
            ] = 0
        if "ignored" in name:
            truth[:, 0] = -1
            truth[0, -1] = 255
            truth[-1, -1] = classes
        return Trial(
            name,
            sizes,
            dict(
                predicted=Given("b h w", predicted),
                truth=Given("b h w", truth),
                classes=classes,
            ),
        )

    return (
        trial("with 3 classes", 3, b=2, h=4, w=5),
        trial("with ignored pixels", 4, b=3, h=5, w=7),
        trial(
            "where a class is neither there nor predicted",
            5,
            [("truth", 3), ("predicted", 3)],
            b=2,
            h=6,
            w=3,
        ),
        trial("where a class is predicted that is not there", 4, [("truth", 2)], b=2, h=3, w=7),
        trial("where the last class is not there", 3, [("truth", 2)], b=2, h=5, w=4),
        trial("where a class is there and not predicted", 4, [("predicted", 2)], b=2, h=7, w=3),
        trial(
            "with ignored pixels and an absent class",
            4,
            [("truth", 3), ("predicted", 3)],
            b=2,
            h=6,
            w=5,
        ),
    )


def only_counted(predicted, truth, classes):
    counted = (truth >= 0) & (truth < classes)
    return predicted[counted], truth[counted]


def counts(said, there):
    both = (said & there).sum().double()
    return both, (said | there).sum().double()


def left_out(ratios, present, there):
    return [r for r, p in zip(ratios, present, strict=True) if p]


def finite_ones(ratios, present, there):
    return [r for r, p in zip(ratios, present, strict=True) if p and not r.isnan()]


def mean_of(ratios, there):
    return torch.stack(ratios).mean()


def iou_recipe(counting=only_counted, dividing=counts, leaving=left_out, averaging=mean_of):
    """`mean_iou` with some of its steps replaced."""

    def answer(predicted, truth, classes):
        predicted, truth = counting(predicted, truth, classes)
        ratios, present, there = [], [], []
        for one in range(classes):
            above, below = dividing(predicted == one, truth == one)
            ratios.append(above / below)
            present.append(bool(((predicted == one) | (truth == one)).any()))
            there.append((truth == one).sum().double())
        kept = leaving(ratios, present, there)
        sizes = leaving(there, present, there)
        return averaging(kept, sizes).float()

    return answer


def ignored_counted(predicted, truth, classes):
    """Pixels whose truth is no class are counted: what is predicted there swells the unions.
    Take them out first."""
    return predicted, truth


def only_minus_one_ignored(predicted, truth, classes):
    """You take out -1 only. A truth of 255, or any that is no class, is not counted either."""
    return predicted[truth != -1], truth[truth != -1]


def only_255_ignored(predicted, truth, classes):
    """You take out 255 only. A truth of -1, or any that is no class, is not counted either."""
    return predicted[truth != 255], truth[truth != 255]


def ignored_become_class_0(predicted, truth, classes):
    """Pixels whose truth is no class become class 0. They are not counted at all."""
    return predicted, truth.where((truth >= 0) & (truth < classes), 0)


def clamped_to_classes(predicted, truth, classes):
    """Pixels whose truth is no class become the first or the last class, by `clamp`. They are
    not counted at all."""
    return predicted, truth.clamp(0, classes - 1)


def ignored_become_right(predicted, truth, classes):
    """Pixels whose truth is no class become class 0 in both: they count as rightly said. They
    are not counted at all: take them out."""
    counted = (truth >= 0) & (truth < classes)
    return predicted.where(counted, 0), truth.where(counted, 0)


def one_class_too_many(predicted, truth, classes):
    """A truth that equals `classes` is counted (`<=`). Classes count from 0: the last one is
    classes − 1, and beyond it is no class."""
    counted = (truth >= 0) & (truth <= classes)
    return predicted[counted], truth[counted]


def negative_counted(predicted, truth, classes):
    """You take out what is `classes` or more. A truth below 0, such as -1, is no class
    either."""
    return predicted[truth < classes], truth[truth < classes]


def smoothed(said, there):
    """You add 1 to intersection and union, as a smooth loss does. A score has plain counts:
    leave classes with an empty union out instead."""
    return (said & there).sum().double() + 1, (said | there).sum().double() + 1


def union_as_a_sum(said, there):
    """Your union counts what both have twice: sum both and take the intersection off once."""
    return (said & there).sum().double(), said.sum().double() + there.sum()


def dice_coefficient(said, there):
    """That is the Dice coefficient, 2 I / (A + B). IoU divides I by the union A + B − I."""
    return 2.0 * (said & there).sum(), said.sum().double() + there.sum()


def recall(said, there):
    """You divide by the pixels of the class: that is recall (mean class accuracy). IoU divides
    by the union, so that what is wrongly said counts too."""
    return (said & there).sum().double(), there.sum().double()


def precision(said, there):
    """You divide by the pixels that were said to be of the class: that is precision. IoU
    divides by the union."""
    return (said & there).sum().double(), said.sum().double()


def agreement(said, there):
    """You count agreement on what is not of the class too. The intersection holds the pixels
    that both call by this class."""
    return (said == there).sum().double(), torch.tensor(float(said.numel())).double()


def larger_of_both(said, there):
    """You divide by the larger of the two. IoU divides by the union."""
    total = torch.maximum(said.sum(), there.sum()).double()
    return (said & there).sum().double(), total


def absent_as_0(ratios, present, there):
    """A class that is neither there nor predicted counts as 0. Leave it out of the mean."""
    return [r if p else torch.zeros_like(r) for r, p in zip(ratios, present, strict=True)]


def absent_as_1(ratios, present, there):
    """A class that is neither there nor predicted counts as 1. Leave it out of the mean."""
    return [r if p else torch.ones_like(r) for r, p in zip(ratios, present, strict=True)]


def only_those_there(ratios, present, there):
    """You leave out classes that are predicted and not there. They count as 0: leave out only
    what is in neither."""
    return [r for r, t in zip(ratios, there, strict=True) if t > 0]


def only_those_hit(ratios, present, there):
    """You leave out classes whose *intersection* is empty. Those count as 0: leave out only
    what has an empty union."""
    return [r for r in ratios if r > 0]


def without_the_last_class(ratios, present, there):
    """The last class is left out. `range(classes)` goes from 0 to classes − 1: all of them
    count."""
    return left_out(ratios[:-1], present[:-1], there[:-1])


def absent_is_nan(ratios, present, there):
    """0 / 0 stays in: a class that is neither there nor predicted makes the mean nan. Leave it
    out."""
    return ratios


def without_class_0(ratios, present, there):
    """You leave out class 0 as background. Every class counts."""
    return left_out(ratios, present, there)[1:]


def weighted_by_frequency(ratios, there):
    """You weight the classes by how many pixels they have. In the mean every class counts
    alike."""
    weights = torch.stack(there)
    return (torch.stack(ratios) * weights / weights.sum()).sum()


def summed_over_classes(ratios, there):
    """You sum over the classes. Take the mean."""
    return torch.stack(ratios).sum()


def median_of_classes(ratios, there):
    """You take the median of the classes. Take the mean."""
    return torch.stack(ratios).median()


def one_value_a_class(ratios, there):
    """You return a value for each class. Take their mean."""
    return torch.stack(ratios)


def only_those_predicted(predicted, truth, classes):
    """You leave out classes that are there and never predicted. They count as 0: leave out only
    what is in neither."""
    predicted, truth = only_counted(predicted, truth, classes)
    said = [c for c in range(classes) if (predicted == c).any()]
    pairs = [counts(predicted == c, truth == c) for c in said]
    return torch.stack([both / either for both, either in pairs]).mean().float()


def classes_of_the_truth(predicted, truth, classes):
    """You count the classes in the truth, up to its largest label. There are `classes` of them:
    one that is predicted and not there counts as 0."""
    predicted, truth = only_counted(predicted, truth, classes)
    top = int(truth.max()) + 1
    pairs = [counts(predicted == c, truth == c) for c in range(top)]
    return torch.stack([both / either for both, either in pairs if either]).mean().float()


def in_percent(predicted, truth, classes):
    """You return percent. The mean of the ratios is a number from 0 to 1."""
    return 100 * mean_iou(predicted, truth, classes)


def as_a_loss(predicted, truth, classes):
    """You return 1 − IoU, a loss. The score is asked for: 1 is perfect."""
    return 1 - mean_iou(predicted, truth, classes)


def pixel_accuracy(predicted, truth, classes):
    """That is the share of pixels that are right. IoU is a ratio for each class, then averaged:
    a rare class counts as much as a common one."""
    predicted, truth = only_counted(predicted, truth, classes)
    return (predicted == truth).float().mean()


def summed_before_dividing(predicted, truth, classes):
    """You sum intersections and unions over the classes and divide then. Divide for each class,
    then average."""
    predicted, truth = only_counted(predicted, truth, classes)
    both = sum(((predicted == c) & (truth == c)).sum() for c in range(classes))
    return both / sum(((predicted == c) | (truth == c)).sum() for c in range(classes))


def image_by_image(predicted, truth, classes):
    """You average over images. Intersections and unions are counted over all pixels of all
    images, then divided: else a class in few images weighs otherwise."""
    each = [mean_iou(p, t, classes) for p, t in zip(predicted, truth, strict=True)]
    return torch.stack(each).mean()


def image_and_class_alike(predicted, truth, classes):
    """You average over all pairs of an image and a class. Count intersections and unions over
    all images, then divide, for each class once."""
    ratios = []
    for p, t in zip(predicted, truth, strict=True):
        p, t = only_counted(p, t, classes)
        found = (counts(p == c, t == c) for c in range(classes))
        ratios += [both / either for both, either in found if either]
    return torch.stack(ratios).mean().float()


def image_by_image_then_classes(predicted, truth, classes):
    """You divide for each image and average over images, class by class. Count intersections
    and unions over all images, then divide."""
    ratios = []
    for one in range(classes):
        found = []
        for p, t in zip(predicted, truth, strict=True):
            p, t = only_counted(p, t, classes)
            both, either = counts(p == one, t == one)
            if either:
                found.append(both / either)
        if found:
            ratios.append(torch.stack(found).mean())
    return torch.stack(ratios).mean().float()


def iou_by_confusion(predicted, truth, classes):
    keep = (truth >= 0) & (truth < classes)
    index = truth[keep] * classes + predicted[keep]
    table = torch.bincount(index, minlength=classes**2).reshape(classes, classes).float()
    union = table.sum(0) + table.sum(1) - table.diag()
    return (table.diag()[union > 0] / union[union > 0]).mean()


def iou_by_loops(predicted, truth, classes):
    pairs = list(zip(predicted.flatten().tolist(), truth.flatten().tolist(), strict=True))
    found = []
    for c in range(classes):
        both = sum(p == c and t == c for p, t in pairs)
        either = sum((p == c or t == c) for p, t in pairs if 0 <= t < classes)
        if either:
            found.append(both / either)
    return torch.tensor(sum(found) / len(found))


def iou_by_one_hot(predicted, truth, classes):
    keep = ((truth >= 0) & (truth < classes)).flatten()
    p = F.one_hot(predicted.flatten()[keep], classes)
    t = F.one_hot(truth.flatten()[keep], classes)
    both = (p * t).sum(0)
    union = (p + t).clamp(max=1).sum(0)
    return both.div(union).nanmean()


EXERCISES = [
    Exercise(
        id="non_local.mean_iou",
        solution=mean_iou,
        probes={"mean_iou": ""},
        trials=iou_trials,
        slips=(
            *family(
                iou_recipe,
                counting=(
                    ignored_counted,
                    only_minus_one_ignored,
                    only_255_ignored,
                    ignored_become_class_0,
                    ignored_become_right,
                    clamped_to_classes,
                    one_class_too_many,
                    negative_counted,
                ),
                dividing=(
                    union_as_a_sum,
                    dice_coefficient,
                    recall,
                    precision,
                    agreement,
                    larger_of_both,
                    smoothed,
                ),
                leaving=(
                    absent_as_0,
                    absent_as_1,
                    only_those_there,
                    absent_is_nan,
                    only_those_hit,
                    without_class_0,
                    without_the_last_class,
                ),
                averaging=(
                    weighted_by_frequency,
                    summed_over_classes,
                    median_of_classes,
                    one_value_a_class,
                ),
                unsaid=dict(leaving=(finite_ones,)),
            ),
            slip(only_those_predicted),
            slip(classes_of_the_truth),
            slip(image_and_class_alike),
            slip(in_percent),
            slip(as_a_loss),
            slip(pixel_accuracy),
            slip(summed_before_dividing),
            slip(image_by_image),
            slip(image_by_image_then_classes),
        ),
        hints=(
            "For one class: which pixels are called so by both, and which by at least one?",
            (
                "Take out the pixels whose truth is no class. Then, for each class, compare"
                " predicted == class and truth == class with & and |, and count. Leave out"
                " classes whose union is empty."
            ),
            (
                "counted = (truth >= 0) & (truth < classes)\n"
                "for each class: both = count of said & there,\n"
                "    either = count of said | there\n"
                "the mean of both / either over the classes with either > 0"
            ),
        ),
        minutes=10,
        difficulty=2,
        otherwise=(iou_by_confusion, iou_by_loops, iou_by_one_hot),
    ),
    Exercise(
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
    ),
    Exercise(
        id="non_local.dot_product_mixture",
        solution=dot_product_mixture,
        probes={"dot_product_mixture": "b i e"},
        trials=mixture_trials,
        slips=(
            mixture_not_divided,
            mixture_over_queries,
            mixture_over_m,
            mixture_over_root_of_m,
            mixture_over_root_of_n,
            mixture_over_n_squared,
            mixture_over_first_axis,
            mixture_with_scale_too,
            mixture_softmax,
            mixture_softmax_of_summary,
            mixture_efficient,
            mixture_without_queries,
            mixture_relu,
            mixture_relu_apart,
            mixture_absolute,
            mixture_over_e,
            mixture_over_axis_1,
            mixture_query_softmax,
            mixture_key_softmax,
            mixture_linear_attention,
            mixture_linear_attention_normalised,
        ),
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
    ),
    Exercise(
        id="non_local.concatenation_weights",
        solution=concatenation_weights,
        probes={"concatenation_weights": "b i j"},
        trials=concatenation_trials,
        slips=family(
            concatenation_recipe,
            cutting=(key_first, first_half_for_both, every_second),
            adding=(
                multiplied,
                subtracted,
                query_alone,
                key_alone,
                keys_down,
                rectified_apart,
                rectified_inputs,
            ),
            rectifying=(
                not_rectified,
                softmax_instead,
                softmax_of_rectified,
                sigmoid_instead,
                tanh_instead,
                leaky,
                leaky_as_in_graphs,
                gelu_instead,
                exponential_instead,
                absolute_instead,
            ),
            dividing=(
                not_divided,
                divided_by_queries,
                divided_by_width,
                divided_by_sum,
                divided_by_sum_above_0,
                divided_by_root_of_w_too,
                divided_by_pairs,
                divided_by_root_of_n,
                divided_by_twice_the_width,
                divided_by_axis_1,
            ),
        ),
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
    ),
    Exercise(
        id="non_local.non_local",
        solution=NonLocal,
        probes={"attention": "b i j", "forward": "b c h w"},
        trials=block_trials,
        blank=("queries_and_keys", "attention", "forward"),
        slips=(
            *family(
                block_recipe,
                paired=OFTEN,
                reading=(reshaped_to_tokens, height_and_width_swapped),
                projecting=(
                    keys_by_query_layer,
                    queries_by_key_layer,
                    values_by_key_layer,
                    values_by_query_layer,
                    query_and_key_swapped,
                    rectified_projections,
                    without_biases,
                ),
                pooling=(
                    nothing_pooled,
                    queries_pooled,
                    averaged,
                    strided,
                    edges_cut_off,
                ),
                embedded=(
                    by_root_of_channels,
                    times_root_of_m,
                    by_m,
                    embedded_over_queries,
                    embedded_without_softmax,
                    embedded_bare,
                    embedded_and_over_n,
                    both_scaled,
                    both_by_root_of_channels,
                    both_times_root,
                    both_by_root_of_keys,
                    both_by_keys_first,
                    both_over_queries,
                    both_over_pairs,
                    both_bare,
                    both_exponential_alone,
                    both_exponential_over_n,
                    both_and_over_n,
                    both_by_products_over_n,
                ),
                gaussian=(
                    gaussian_over_n,
                    gaussian_over_queries,
                    gaussian_scaled,
                    gaussian_cosine,
                ),
                dot=(
                    softmax_in_the_dot_form,
                    dot_not_divided,
                    dot_over_queries,
                    dot_rectified,
                    dot_by_root_of_m,
                    neither_divided,
                    both_over_pixels,
                    softmax_in_all_forms,
                ),
                concatenation=(
                    pairs_not_divided,
                    pairs_over_pixels,
                    pairs_not_rectified,
                    pairs_softmax,
                    pairs_softmax_without_relu,
                    pairs_key_first,
                ),
                mixing=(
                    weights_transposed,
                    weights_averaged,
                    values_alone,
                    softmax_of_weights,
                    values_rectified,
                ),
                ending=(
                    no_residual,
                    no_norm,
                    norm_of_the_sum,
                    multiplied_with_x,
                    gated,
                    rectified_at_the_end,
                    rectified_before_adding,
                    rectified_before_the_norm,
                    raw_reshape,
                    raw_reshape_before_the_norm,
                    written_down_the_columns,
                    subtracted_from_x,
                    residual_twice,
                    out_without_bias,
                ),
            ),
            *VARIANTS,
        ),
        hints=(
            "Which of queries, keys and values are pooled, and what must the block return?",
            (
                "Channels to the end, then the layers: they work on the last axis. Queries are"
                " flattened, keys and values go through `self.pool`. Each form has its function"
                " above; `self.pair` is the w of the concatenation. Then out, norm, and add x."
            ),
            (
                'queries_and_keys: x as "b ... c"; for the Gaussian form both are x,\n'
                "    else query(x), key(x); flatten the queries, pool the keys\n"
                "attention: the weights of the form\n"
                "forward: v = pool(value(x)); y = out(attention(x) @ v), b i c\n"
                '    norm takes "b c i"; reshape to x, and add x'
            ),
        ),
        minutes=25,
        difficulty=4,
        otherwise=(ByConvolutions, PixelByPixel),
        laws=("examples_do_not_mix",),
    ),
    Exercise(
        id="non_local.multiply_adds",
        solution=multiply_adds,
        probes={"multiply_adds": ""},
        trials=cost_trials,
        slips=(
            projections_alone,
            products_alone,
            three_layers,
            one_product,
            pixels_squared,
            keys_squared,
            products_in_full_width,
            counted_twice,
            full_width_layers,
            once_for_the_image,
            one_product_in_full_width,
            only_values_pooled_first,
            one_pixel,
            biases_counted,
            projected_after_pooling,
        ),
        hints=(
            "Which layers and which products are there, and on how many pixels does each work?",
            (
                "Four layers of c m on every pixel: queries, keys, values, and back. Then q kᵀ"
                " and weights times v, m for each pair of pixel and key."
            ),
            "4 n c m + 2 n j m",
        ),
        minutes=4,
        difficulty=1,
        otherwise=(cost_by_pixel, cost_by_matrix),
    ),
    Exercise(
        id="non_local.position_attention",
        solution=PositionAttention,
        probes={"attention": "b i j", "forward": "b c h w"},
        trials=position_trials,
        blank=("attention", "forward"),
        slips=family(
            position_recipe,
            reading=(pixels_reshaped, columns_first),
            projecting=(
                position_keys_by_query,
                position_queries_by_key,
                position_roles_swapped,
                values_not_projected,
                nothing_projected,
                values_compared,
                position_value_without_bias,
                position_biases_left_out,
                position_values_rectified,
                position_rectified,
                position_all_rectified,
            ),
            scoring=(
                position_scaled,
                position_scaled_by_channels,
                position_times_root,
                position_over_queries,
                position_keys_down,
                position_without_softmax,
                position_over_n,
                position_max_minus,
                position_divided_by_keys,
                position_divided_by_root_of_keys,
                position_sigmoid,
                position_cosine,
                position_over_pairs,
                gamma_in_the_scores,
            ),
            mixing=(position_mixed_transposed,),
            writing=(written_raw, written_column_by_column),
            ending=(
                gamma_missing,
                residual_missing,
                gamma_on_x,
                gamma_on_both,
                blended,
                gated_by_position,
                gamma_sigmoid,
                neither,
                gamma_plus_one,
                gamma_tanh,
                gathered_subtracted,
                rectified_in_the_end,
                x_scaled_by_gathered,
                values_and_gathered,
            ),
        ),
        hints=(
            "How does this differ from the embedded form of the non-local block?",
            (
                "No bottleneck for the values, no last layer, no norm: weights times values,"
                " multiplied by gamma, added to x."
            ),
            (
                'attention: tokens "b (...) c"; gaussian_weights(query(tokens), key(tokens))\n'
                'forward: y = attention(x) @ value(tokens); "b i c -> b c i"; reshape to x\n'
                "    x + gamma y"
            ),
        ),
        minutes=10,
        difficulty=3,
        otherwise=(PositionByBmm, PositionByEinsum),
        laws=("rows_sum_to_one", "scale_is_right", "examples_do_not_mix"),
    ),
    Exercise(
        id="non_local.channel_attention",
        solution=ChannelAttention,
        probes={"attention": "b i j", "forward": "b c h w"},
        trials=channel_trials,
        blank=("attention", "forward"),
        slips=(
            *family(
                channel_recipe,
                reading=(pixels_as_channels,),
                scoring=(
                    energy_averaged,
                    energy_scaled,
                    energy_over_root_of_c,
                    energy_over_c,
                    energy_of_unit_maps,
                    energy_of_centred_maps,
                    correlations,
                    means_compared,
                ),
                sharing=(
                    over_the_other_channels,
                    channels_in_the_batch,
                    no_channel_softmax,
                    only_subtracted,
                    flag_ignored,
                    flag_turned,
                    itself_left_out,
                    one_minus_shares,
                    maximum_of_columns,
                    absolute_energy,
                    absolute_whatever,
                    channel_sigmoid,
                    squeezed,
                ),
                mixing=(channels_transposed,),
                ending=(
                    gamma_missing,
                    residual_missing,
                    gamma_on_x,
                    gamma_on_both,
                    blended,
                    gated_by_position,
                    gamma_sigmoid,
                    neither,
                    gamma_plus_one,
                    gamma_tanh,
                    gathered_subtracted,
                    rectified_in_the_end,
                    x_scaled_by_gathered,
                ),
            ),
            Slip(
                "released_code_always",
                " ".join(CodeAlways.__doc__.split()),
                CodeAlways,
                variant=True,
            ),
        ),
        hints=(
            "What are the tokens here, and how many features does each have?",
            (
                "The tokens are the c feature maps, each with h w numbers. E is c c: products"
                " summed over the pixels. There are no layers; the values are the maps."
            ),
            (
                'attention: maps "b c (...)"; E = maps mapsᵀ; softmax over the last axis\n'
                "    of E, or of max − E (or −E, the same) if self.released\n"
                "forward: x + gamma (attention @ maps), reshaped to x"
            ),
        ),
        minutes=10,
        difficulty=3,
        otherwise=(ChannelByBmm, ChannelByEinsum),
        laws=("rows_sum_to_one", "scale_is_right", "examples_do_not_mix"),
    ),
    Exercise(
        id="non_local.danet_head",
        solution=DANetHead,
        probes={"forward": ("b classes h w", "b classes h w", "b classes h w")},
        trials=head_trials,
        blank=("forward",),
        slips=(
            *family(
                head_recipe,
                running=(
                    one_entrance,
                    one_exit,
                    one_after_the_other,
                    attention_exchanged,
                    no_attention,
                    no_position_attention,
                    no_channel_attention,
                    no_exits,
                    residual_around_attention,
                    exits_added_first,
                ),
                classifying=(
                    averaged_branches,
                    multiplied_branches,
                    largest_of_branches,
                    scores_added,
                    scores_averaged,
                    branches_subtracted,
                    log_of_scores,
                    both_classified_apart,
                    position_for_both,
                    channel_for_both,
                    outputs_exchanged,
                    both_last,
                    classifiers_exchanged,
                    one_classifier,
                    softmax_of_scores,
                ),
            ),
            slip(ClassifiedBeforeTheExits),
            slip(SummedBeforeTheExit),
        ),
        hints=(
            "How many convolutions stand before and after each attention?",
            (
                "Each branch: in, attention, out, all of its own. The branches are added and"
                " classified; each is classified alone as well."
            ),
            (
                "p = position_out(position(position_in(x))), c likewise\n"
                "return both(p + c), position_alone(p), channel_alone(c)"
            ),
        ),
        minutes=6,
        difficulty=2,
        otherwise=(HeadStepByStep, HeadByNames),
    ),
]
