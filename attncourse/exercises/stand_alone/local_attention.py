"""For each pixel the mean of the values in its window, weighted by `local_weights`."""

import math
from dataclasses import replace
from functools import partial

import torch
from einops import einsum, rearrange
from torch.nn import functional as F

from attncourse.exercises.edited import slips_of
from attncourse.exercises.edits import same, wrong
from attncourse.exercises.record import Exercise, Trial
from attncourse.exercises.stand_alone.local_weights import EXERCISE as WEIGHTS
from attncourse.exercises.stand_alone.shared import (
    attention_trials,
    embeddings_by_repeat,
    refuse_even,
    weights_by_halves,
    weights_by_unfold,
)
from solutions.stand_alone import local_attention, windows


def output_trials():
    sizes = dict(b=2, head=5, d=8, half=4, e=9, h=6, w=7, dy=3, dx=3)
    inputs = dict(q="b head d h w", k="b head d h w", v="b head e h w")
    inputs |= dict(rows="head dy half", columns="head dx half", window=3)
    wide = Trial("with values that are wider than queries", sizes, inputs)
    beyond = Trial(
        "for a window larger than the picture",
        dict(b=3, head=2, d=4, half=2, e=5, h=2, w=3, dy=7, dx=7),
        inputs | dict(window=7),
    )
    return (*attention_trials(values=True), wide, beyond)


def attended(make):
    """`local_attention` with weights that are made in another way."""

    def answer(q, k, v, rows, columns, window):
        weights, near = make()(q, k, rows, columns, window), windows(v, window)
        weights = weights if weights.ndim == near.ndim else weights[:, :, None]
        return (weights * near).sum((-1, -2))

    return answer


# Values beyond the edges are 0: whether their weights are is not seen in the output.
IN_WEIGHTS = tuple(
    replace(one, answers=tuple(partial(attended, make) for make in one.answers))
    for one in slips_of(WEIGHTS)
    if "hidden_after_the_softmax" not in one.name
)


# fmt: off
MIXED = 'einsum(weights, near, "b head h w dy dx, b head e h w dy dx -> b head e h w")'

VALUES = (
    wrong("own_value", "windows(v, window)",
          "v[..., None, None].expand(*v.shape, window, window)",
          "The weights meet the pixel's own value alone, and sum to 1: you return v. Put the values"
          " into windows too."),
    wrong("values_turned_round", "windows(v, window)", "windows(v, window).flip(-1, -2)",
          "Your values are turned round in the window. Keys and values lie alike."),
    wrong("values_transposed", "windows(v, window)", "windows(v, window).mT",
          "Rows and columns of the window are exchanged for the values."),
    wrong("values_window_begins_at_the_pixel", "windows(v, window)",
          "F.pad(v, (0, window - 1) * 2).unfold(-2, window, 1).unfold(-2, window, 1)",
          "The window of your values begins at the pixel. It stands in the middle, as for the"
          " keys."),
    wrong("keys_for_values", "windows(v", "windows(k",
          "You average the keys. It is the values that are averaged."),
    wrong("places_added_to_values", "windows(v, window)",
          "windows(v, window) + relative_embeddings(rows, columns)[:, :, None, None]",
          "You add the vectors of the places to the values. They are part of the scores alone."),
)

MEANS = (
    wrong("plain_mean_of_values", MIXED, "near.mean((-1, -2))",
          "The weights are not used: you take the plain mean of a window."),
    wrong("first_heads_weights", "einsum(weights", "einsum(weights[:, :1].expand_as(weights)",
          "All heads use the weights of the first."),
    wrong("largest_only", "near = ",
          "weights = (weights == weights.amax((-1, -2), keepdim=True)).to(weights)\nnear = ",
          "You take the value with the largest weight. All values count, each by its weight."),
    wrong("values_given_away", f"return {MIXED}",
          'parts = rearrange(weights, "b n h w y x -> b n 1 h w y x") * v[..., None, None]\n'
          'parts = rearrange(parts, "b n d h w y x -> b (n d y x) (h w)")\n'
          "given = F.fold(parts, v.shape[-2:], window, padding=window // 2)\n"
          "return given.unflatten(1, v.shape[1:3])",
          "Your pixels give their values away, and the output sums what arrives. A pixel collects:"
          " its weights meet the values of its own window."),
    same("local_weights(q,", "local_weights(q / math.sqrt(q.shape[2]),"),
)
# fmt: on


def attention_by_shifts(q, k, v, rows, columns, window):
    refuse_even(window)
    weights = weights_by_halves(q, k, rows, columns, window)
    r, (h, w) = window // 2, q.shape[-2:]
    padded, y = F.pad(v, (r, r, r, r)), torch.zeros_like(v)
    for dy in range(window):
        for dx in range(window):
            y = y + weights[:, :, None, :, :, dy, dx] * padded[..., dy : dy + h, dx : dx + w]
    return y


def attention_by_matrices(q, k, v, rows, columns, window):
    refuse_even(window)
    weights = weights_by_unfold(q, k, rows, columns, window)
    near = windows(v, window)
    y = rearrange(weights, "b n h w y x -> b n h w 1 (y x)") @ rearrange(
        near, "b n d h w y x -> b n h w (y x) d"
    )
    return rearrange(y, "b n h w 1 d -> b n d h w")


def attention_by_dense_mask(q, k, v, rows, columns, window):
    refuse_even(window)
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


def even_windows():
    sizes = dict(b=2, head=3, d=8, half=4, e=5, h=6, w=7, dy=4, dx=4)
    inputs = dict(q="b head d h w", k="b head d h w", v="b head e h w")
    inputs |= dict(rows="head dy half", columns="head dx half", window=4)
    return (Trial("an even window", sizes, inputs, says=(4,)),)


EXERCISE = Exercise(
    id="stand_alone.local_attention",
    solution=local_attention,
    probes={"local_attention": "b head d h w"},
    trials=output_trials,
    slips=(*IN_WEIGHTS, *VALUES, *MEANS),
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
    refuses=even_windows,
    tied=("dy dx", "b d half"),
)
