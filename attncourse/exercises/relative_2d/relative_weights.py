"""The record of `relative_2d.relative_weights`."""

import math

import torch
from torch.nn import functional as F

from attncourse.exercises.families import family
from attncourse.exercises.record import Exercise, Trial
from attncourse.exercises.relative_2d.shared import from_q_and_k, weights_late_scale
from solutions.relative_2d import (
    augmented_pair,
    relative_logits_2d,
    relative_weights,
)


def weight_trials():
    def trial(name, places=True, **sizes):
        inputs = dict(q="b head h w d", k="b head h w d")
        inputs |= dict(rows="r d", columns="s d") if places else {}
        h, w = sizes["h"], sizes["w"]
        sizes |= dict(r=2 * h - 1, s=2 * w - 1) if places else {}
        return Trial(name, sizes | dict(i=h * w, j=h * w), inputs)

    return (
        trial("on a map of 2 x 5 pixels", b=3, head=4, h=2, w=5, d=6),
        trial("on a map of 4 x 3 pixels", b=2, head=1, h=4, w=3, d=8),
        trial("without tables", False, b=2, head=3, h=4, w=5, d=7),
    )


def from_q(q, k, rows, columns):
    return 0 if rows is None else relative_logits_2d(q, rows, columns)


def sum_over_root(content, place, d, heads):
    return (content + place) / math.sqrt(d)


def over_keys(scores):
    return scores.softmax(-1)


def weights_recipe(
    content=from_q_and_k, placing=from_q, scaling=sum_over_root, normalising=over_keys
):
    """`relative_weights` with some of its steps replaced."""

    def answer(q, k, rows=None, columns=None, logits=relative_logits_2d):
        place = placing(q, k, rows, columns)
        return normalising(scaling(content(q, k), place, q.shape[-1], q.shape[-4]))

    return answer


def keys_flattened_column_by_column(q, k):
    """You flatten the keys column by column, (x y), and the queries row by row. Both are read
    row by row."""
    return from_q_and_k(q, k.transpose(-3, -2).reshape(k.shape))


def places_missing(q, k, rows, columns):
    """The places are missing: you score keys by what they hold alone. Add `logits(q, rows,
    columns)`."""
    return 0


def places_of_k(q, k, rows, columns):
    """You ask the tables with k. It is the query that knows how far it wants to look: q."""
    return from_q(k, k, rows, columns)


def tables_turned(q, k, rows, columns):
    """Your tables are read from the other end: i - j. An offset is key minus query."""
    return 0 if rows is None else relative_logits_2d(q, rows.flip(0), columns.flip(0))


def place_columns_missing(q, k, rows, columns):
    """The columns are missing in the places: only rows are told apart."""
    return 0 if rows is None else relative_logits_2d(q, rows, 0 * columns)


def place_rows_missing(q, k, rows, columns):
    """The rows are missing in the places: only columns are told apart."""
    return 0 if rows is None else relative_logits_2d(q, 0 * rows, columns)


def places_transposed(q, k, rows, columns):
    """The map of the places is turned, j i. Its rows are queries, like those of q kᵀ: no
    transpose."""
    return relative_logits_2d(q, rows, columns).mT


def places_of_both(q, k, rows, columns):
    """You ask the tables with q and with k. The query alone knows where it looks: q."""
    return from_q(q, k, rows, columns) + from_q(k, q, rows, columns)


def places_for_one_head(q, k, rows, columns):
    """Only the first head gets the places. All heads share the tables: each asks them with its
    own queries."""
    place = from_q(q, k, rows, columns)
    if rows is not None:
        place[:, 1:] = 0
    return place


def places_of_the_first_head(q, k, rows, columns):
    """All heads get the places that the first one asks for. Each asks with its own queries."""
    return from_q(q[:, :1], k, rows, columns)


def place_unscaled(content, place, d, heads):
    """The places are not scaled: you divide q · k alone. Divide q by sqrt(d) before both
    products."""
    return content / math.sqrt(d) + place


def content_unscaled(content, place, d, heads):
    """The content is not scaled: you divide the places alone. Divide q by sqrt(d) before both
    products."""
    return content + place / math.sqrt(d)


def place_scaled_twice(content, place, d, heads):
    """The places are divided by sqrt(d) twice: once with q, and once more in the sum."""
    return content / math.sqrt(d) + place / d


def all_scaled_twice(content, place, d, heads):
    """You divide by d, or by sqrt(d) twice. Once by sqrt(d): the queries."""
    return (content + place) / d


def unscaled(content, place, d, heads):
    """Nothing is scaled. Divide q by sqrt(d) before both products."""
    return content + place


def by_all_heads(content, place, d, heads):
    """You divide by the root of dk, the width of all heads. It is that of one: sqrt(d) with
    d = dk / heads."""
    return (content + place) / math.sqrt(d * heads)


def content_scaled_twice(content, place, d, heads):
    """The content is divided by sqrt(d) twice: once alone, and once more in the sum."""
    return content / d + place / math.sqrt(d)


def fourth_root(content, place, d, heads):
    """You divide by the fourth root of d. That is for dividing q *and* k; dividing q alone
    takes sqrt(d)."""
    return (content + place) / d**0.25


def by_the_number_of_pixels(content, place, d, heads):
    """You divide by the root of the number of pixels. It is the width that counts: sqrt(d), the
    last axis of q."""
    return (content + place) / math.sqrt(content.shape[-1])


def times_root_of_d(content, place, d, heads):
    """You multiply q by sqrt(d). Divide."""
    return (content + place) * math.sqrt(d)


def place_times_content(content, place, d, heads):
    """You multiply content and places. They are added: q · (k + R + C)."""
    return content * place / d if isinstance(place, torch.Tensor) else content / math.sqrt(d)


def place_subtracted(content, place, d, heads):
    """You subtract the places. They are added to the content."""
    return (content - place) / math.sqrt(d)


def place_alone(content, place, d, heads):
    """What the keys hold plays no part: q · k is missing."""
    return (0 * content + place) / math.sqrt(d)


def over_queries(scores):
    """Your softmax runs over the queries i. It runs over the keys j, the last axis."""
    return scores.softmax(-2)


def over_heads(scores):
    """Your softmax runs over the heads. It runs over the keys j, the last axis."""
    return scores.softmax(-3)


def over_a_row_of_keys(scores):
    """Your softmax runs over each row of the picture apart, as if the keys were still y x. It
    runs over all pixels at once."""
    n = scores.shape[-1]
    w = next(x for x in range(math.isqrt(n) + 1, n + 1) if n % x == 0)
    w = {10: 5, 12: 3, 20: 5}.get(n, w)
    return scores.unflatten(-1, (-1, w)).softmax(-1).flatten(-2)


def softmax_twice(scores):
    """You take the softmax twice. Once is enough."""
    return scores.softmax(-1).softmax(-1)


def no_softmax(scores):
    """The softmax is missing: you return the bare scores."""
    return scores


def sigmoid(scores):
    """A sigmoid is no share: the weights of a query sum to 1 over the keys. Take a softmax."""
    return scores.sigmoid()


def keys_ask(q, k, rows=None, columns=None, logits=relative_logits_2d):
    """q and k have changed roles: your rows belong to the keys. The query asks: it is q that is
    divided and that meets the tables."""
    return relative_weights(k, q, rows, columns)


def places_by_the_key_turned(q, k, rows=None, columns=None, logits=relative_logits_2d):
    """You ask the tables with k and turn the result: the key then says where it wants to be
    seen from. It is the query that knows where it looks: logits(q, …)."""
    scores = from_q_and_k(q, k)
    if rows is not None:
        scores = scores + relative_logits_2d(k, rows, columns).mT
    return (scores / math.sqrt(q.shape[-1])).softmax(-1)


def place_after_the_softmax(q, k, rows=None, columns=None, logits=relative_logits_2d):
    """You add the places after the softmax. They are part of the scores: before it."""
    q = q / math.sqrt(q.shape[-1])
    return from_q_and_k(q, k).softmax(-1) + from_q(q, k, rows, columns)


def two_softmaxes(q, k, rows=None, columns=None, logits=relative_logits_2d):
    """You take a softmax of content and places apart and add. One softmax, of the sum."""
    q = q / math.sqrt(q.shape[-1])
    weights = from_q_and_k(q, k).softmax(-1)
    if rows is None:
        return weights
    return (weights + relative_logits_2d(q, rows, columns).softmax(-1)) / 2


def weights_by_augmenting(q, k, rows=None, columns=None, logits=None):
    q = q * q.shape[-1] ** -0.5
    if rows is None:
        return F.softmax(q.flatten(-3, -2) @ k.flatten(-3, -2).mT, dim=-1)
    a, b = augmented_pair(q, k, rows, columns)
    return F.softmax(a @ b.mT, dim=-1)


EXERCISE = Exercise(
    id="relative_2d.relative_weights",
    solution=relative_weights,
    probes={"relative_weights": "b head i j"},
    trials=weight_trials,
    slips=(
        *family(
            weights_recipe,
            paired=(
                place_unscaled,
                unscaled,
                all_scaled_twice,
                over_queries,
                tables_turned,
                places_of_k,
                no_softmax,
            ),
            content=(keys_flattened_column_by_column,),
            placing=(
                places_missing,
                places_of_k,
                tables_turned,
                place_columns_missing,
                place_rows_missing,
                places_transposed,
                places_of_both,
                places_for_one_head,
                places_of_the_first_head,
            ),
            scaling=(
                place_unscaled,
                content_unscaled,
                place_scaled_twice,
                content_scaled_twice,
                all_scaled_twice,
                unscaled,
                by_all_heads,
                fourth_root,
                by_the_number_of_pixels,
                times_root_of_d,
                place_times_content,
                place_subtracted,
                place_alone,
            ),
            normalising=(
                over_queries,
                over_heads,
                over_a_row_of_keys,
                softmax_twice,
                no_softmax,
                sigmoid,
            ),
        ),
        keys_ask,
        places_by_the_key_turned,
        place_after_the_softmax,
        two_softmaxes,
    ),
    hints=(
        "q · (k + R + C) / sqrt(d): which of the three products does sqrt(d) divide?",
        (
            "All. Divide q at once, then ask the keys and the tables with it. Pixels in a"
            " line, (h w), give i and j; `logits(q, rows, columns)` comes as i j."
        ),
        (
            "q = q / sqrt(d)\n"
            "scores = q kᵀ on flattened pixels, plus logits(q, rows, columns) if there are"
            " tables\n"
            "softmax over the keys"
        ),
    ),
    minutes=8,
    difficulty=2,
    otherwise=(weights_by_augmenting, weights_late_scale),
    laws=("rows_sum_to_one", "examples_do_not_mix"),
)
