"""The record of `stand_alone.local_attention`."""

import math

import torch
from einops import einsum, rearrange
from torch.nn import functional as F

from attncourse.exercises.families import family, named
from attncourse.exercises.record import Exercise, Trial
from attncourse.exercises.stand_alone.shared import (
    PAIRED,
    SCALED,
    STEPS,
    UNSAID,
    attention_recipe,
    attention_trials,
    divided_by_root,
    embeddings_by_repeat,
    hidden_after_the_softmax,
    hidden_where_keys_are_zero,
    mixed,
    own_value,
    padded_windows,
    values_turned_round,
    weights_by_halves,
    weights_by_unfold,
)
from solutions.stand_alone import (
    local_attention,
    local_weights,
    relative_embeddings,
    windows,
)


def output_trials():
    sizes = dict(b=2, head=5, d=8, half=4, e=9, h=6, w=7, dy=3, dx=3)
    inputs = dict(q="b head d h w", k="b head d h w", v="b head e h w")
    inputs |= dict(rows="head dy half", columns="head dx half", window=3)
    wide = Trial("with values that are wider than queries", sizes, inputs)
    return (*attention_trials(values=True), wide)


def values_transposed(weights, q, k, v, window):
    """Rows and columns of the window are exchanged for the values."""
    return mixed(weights.mT, q, k, v, window)


def keys_for_values(weights, q, k, v, window):
    """You average the keys. It is the values that are averaged."""
    return mixed(weights, q, k, k, window)


def values_not_weighted(weights, q, k, v, window):
    """The weights are not used: you sum all values of a window."""
    return windows(v, window).sum((-1, -2)) + 0 * own_value(weights, q, k, v, window)


def plain_mean_of_values(weights, q, k, v, window):
    """The weights are not used: you take the plain mean of a window."""
    return windows(v, window).mean((-1, -2)) + 0 * own_value(weights, q, k, v, window)


def weights_averaged(weights, q, k, v, window):
    """You divide by the number of places. The weights sum to 1 already."""
    return mixed(weights, q, k, v, window) / window**2


def first_heads_weights(weights, q, k, v, window):
    """All heads use the weights of the first."""
    return mixed(weights[:, :1].expand_as(weights), q, k, v, window)


def largest_only(weights, q, k, v, window):
    """You take the value with the largest weight. All values count, each by its weight."""
    flat = weights.flatten(-2)
    chosen = F.one_hot(flat.argmax(-1), flat.shape[-1]).to(weights).reshape(weights.shape)
    return mixed(chosen, q, k, v, window)


def value_added(weights, q, k, v, window):
    """You add the pixel's own value. It is in the window already."""
    return mixed(weights, q, k, v, window) + v


def values_summed_over_features(weights, q, k, v, window):
    """Your einsum sums over the features of v. They stay: b head d h w."""
    y = mixed(weights, q, k, v, window)
    return y.sum(2, keepdim=True).expand_as(y)


def output_scaled(weights, q, k, v, window):
    """You divide the output by sqrt(d). Nothing is scaled."""
    return mixed(weights, q, k, v, window) / math.sqrt(q.shape[2])


def output_rectified(weights, q, k, v, window):
    """You add a ReLU. There is none."""
    return mixed(weights, q, k, v, window).relu()


def values_from_queries(weights, q, k, v, window):
    """You average the queries. It is the values that are averaged."""
    return mixed(weights, q, k, q, window)


def heads_summed(weights, q, k, v, window):
    """You sum over the heads. Each keeps its own features: b head d h w."""
    y = mixed(weights, q, k, v, window)
    return y.sum(1, keepdim=True).expand_as(y)


def first_examples_weights(weights, q, k, v, window):
    """All examples use the weights of the first. Each has its own."""
    return mixed(weights[:1].expand_as(weights), q, k, v, window)


def largest_product(weights, q, k, v, window):
    """You take the largest of the weighted values. They are summed."""
    return (weights[:, :, None] * windows(v, window)).amax((-1, -2))


def values_given_away(weights, q, k, v, window):
    """Your pixels give their values away, and the output sums what arrives. A pixel collects:
    its weights meet the values of its own window."""
    parts = rearrange(
        weights[:, :, None] * v[..., None, None], "b n d h w y x -> b (n d y x) (h w)"
    )
    given = F.fold(parts, v.shape[-2:], window, padding=window // 2)
    return given.unflatten(1, v.shape[1:3])


def values_window_begins_at_the_pixel(weights, q, k, v, window):
    """The window of your values begins at the pixel. It stands in the middle, as for the
    keys."""
    near = padded_windows(v, window, 0, window - 1)
    return einsum(weights, near, "b n h w y x, b n d h w y x -> b n d h w")


# Values beyond the edges are 0: whether their weights are is not seen in the output.
MASKINGS = tuple(step for step in STEPS["masking"] if step is not hidden_after_the_softmax)


def output_hidden_where_keys_are_zero(q, k, v, rows, columns, window):
    weights = hidden_where_keys_are_zero(q, k, rows, columns, window)
    return mixed(weights, q, k, v, window)


def places_added_to_values(q, k, v, rows, columns, window):
    """You add the vectors of the places to the values. They are part of the scores alone."""
    weights, r = (
        local_weights(q, k, rows, columns, window),
        relative_embeddings(rows, columns),
    )
    y = mixed(weights, q, k, v, window)
    return y + einsum(weights, r, "b n h w y x, n d y x -> b n d h w")


HiddenWhereKeysAreZero = named(
    "hidden_where_keys_are_zero",
    " ".join(hidden_where_keys_are_zero.__doc__.split()),
    output_hidden_where_keys_are_zero,
)


DividedByRoot = named(
    "divided_by_root", SCALED, attention_recipe(joining=divided_by_root), variant=True
)


def attention_by_shifts(q, k, v, rows, columns, window):
    weights = weights_by_halves(q, k, rows, columns, window)
    r, (h, w) = window // 2, q.shape[-2:]
    padded, y = F.pad(v, (r, r, r, r)), torch.zeros_like(v)
    for dy in range(window):
        for dx in range(window):
            y = y + weights[:, :, None, :, :, dy, dx] * padded[..., dy : dy + h, dx : dx + w]
    return y


def attention_by_matrices(q, k, v, rows, columns, window):
    weights = weights_by_unfold(q, k, rows, columns, window)
    near = windows(v, window)
    y = rearrange(weights, "b n h w y x -> b n h w 1 (y x)") @ rearrange(
        near, "b n d h w y x -> b n h w (y x) d"
    )
    return rearrange(y, "b n h w 1 d -> b n d h w")


def attention_by_dense_mask(q, k, v, rows, columns, window):
    h, w = q.shape[-2:]
    reach, flat = window // 2, [x.flatten(-2).mT for x in (q, k, v)]
    n = torch.arange(h * w, device=q.device)
    dy, dx = n // w - (n // w)[:, None] + reach, n % w - (n % w)[:, None] + reach
    near = (dy >= 0) & (dy < window) & (dx >= 0) & (dx < window)
    r = embeddings_by_repeat(rows, columns)[
        :, :, dy.clamp(0, window - 1), dx.clamp(0, window - 1)
    ]
    bias = einsum(flat[0], r, "b n i d, n d i j -> b n i j").masked_fill(~near, -math.inf)
    y = F.scaled_dot_product_attention(*flat, attn_mask=bias, scale=1.0)
    return y.mT.reshape(v.shape)


EXERCISE = Exercise(
    id="stand_alone.local_attention",
    solution=local_attention,
    probes={"local_attention": "b head d h w"},
    trials=output_trials,
    slips=(
        *family(
            attention_recipe,
            paired=PAIRED,
            unsaid=UNSAID,
            **(STEPS | dict(masking=MASKINGS)),
            mixing=(
                own_value,
                values_turned_round,
                values_transposed,
                keys_for_values,
                values_not_weighted,
                plain_mean_of_values,
                weights_averaged,
                first_heads_weights,
                largest_only,
                value_added,
                output_scaled,
                output_rectified,
                values_from_queries,
                values_summed_over_features,
                values_window_begins_at_the_pixel,
                heads_summed,
                first_examples_weights,
                largest_product,
                values_given_away,
            ),
        ),
        places_added_to_values,
        HiddenWhereKeysAreZero,
        DividedByRoot,
    ),
    hints=(
        "The weights have the axes b head h w dy dx. Which axes does the output have?",
        "Put the values into windows as well. Sum over dy and dx, keep the rest.",
        "einsum of weights and windows(v, window): dy and dx are not in the result",
    ),
    minutes=6,
    difficulty=2,
    otherwise=(attention_by_shifts, attention_by_matrices, attention_by_dense_mask),
    laws=(
        "equal_values_stay",
        "values_reach_half_a_window",
        "output_is_a_mixture_of_values",
        "examples_do_not_mix",
    ),
)
