"""The record of `non_local.non_local`."""

import math

import torch
from einops import rearrange
from torch.nn import functional as F

from attncourse.exercises.families import family, named
from attncourse.exercises.non_local.shared import (
    concatenation_recipe,
    key_first,
    not_rectified,
    weights_times_values,
)
from attncourse.exercises.record import Exercise, Trial
from solutions.non_local import (
    NonLocal,
    concatenation_weights,
    dot_product_weights,
    gaussian_weights,
    max_pool,
)


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


neither_divided.also = dict(concatenation=pairs_not_divided)


def both_over_pixels(self, q, k):
    """You divide "dot" and "concatenation" by the number of pixels that ask. After pooling
    there are fewer keys: N counts the keys."""
    return q @ k.mT / q.shape[-2]


def softmax_in_all_forms(self, q, k):
    """You take a softmax in all four forms. "dot" and "concatenation" have none: they divide by
    N, the number of keys."""
    return gaussian_weights(q, k)


softmax_in_all_forms.also = dict(concatenation=pairs_softmax)


def pairs_over_pixels(self, q, k):
    """In the concatenation form you divide by the number of pixels that ask. N counts the
    keys, which are fewer after pooling."""
    return concatenation_weights(q, k, self.pair) * k.shape[-2] / q.shape[-2]


both_over_pixels.also = dict(concatenation=pairs_over_pixels)


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
    named(
        "pooled_before_projecting",
        "You pool x before it is projected to keys and values, as the authors' released code"
        " does: cheaper, since fewer pixels are projected. The paper pools after, and a maximum"
        " does not commute with a projection.",
        block_recipe(pooling=pooled_before),
        variant=True,
    ),
    named(
        "scaled_like_the_released_code",
        "You divide the embedded form by sqrt(m), as the authors' released code does. The"
        " paper's equation has no scale.",
        block_recipe(embedded=scaled_like_the_code),
        variant=True,
    ),
    named(
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


EXERCISE = Exercise(
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
)
