"""The record of `non_local.position_attention`."""

import math

import torch
from einops import rearrange
from torch.nn import functional as F

from attncourse.exercises.families import family
from attncourse.exercises.non_local.shared import (
    blended,
    flat,
    gamma_and_residual,
    gamma_missing,
    gamma_on_both,
    gamma_on_x,
    gamma_plus_one,
    gamma_sigmoid,
    gamma_tanh,
    gated_by_position,
    gathered_subtracted,
    neither,
    rectified_in_the_end,
    residual_missing,
    weights_times_values,
    x_scaled_by_gathered,
)
from attncourse.exercises.record import Exercise, Trial
from solutions.non_local import (
    PositionAttention,
    dot_product_weights,
    gaussian_weights,
)


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


def three_layers_of_their_own(self, x):
    return self.query(x), self.key(x), self.value(x)


def softmax_of_plain_products(self, q, k):
    return gaussian_weights(q, k)


def back(self, y, x):
    return rearrange(y, "b i c -> b c i").reshape(x.shape)


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


def values_and_gathered(self, y, x):
    """You add to the values. It is x that is kept: x + gamma …"""
    return back(self, self.value(flat(x)), x) + self.gamma * y


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


EXERCISE = Exercise(
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
)
