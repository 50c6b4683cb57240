"""The record of `stand_alone.local_weights`."""

import torch

from attncourse.exercises.families import family, named
from attncourse.exercises.record import Exercise
from attncourse.exercises.stand_alone.shared import (
    PAIRED,
    SCALED,
    STEPS,
    UNSAID,
    attention_trials,
    divided_by_root,
    hidden_where_keys_are_zero,
    no_place,
    right_place,
    weights_by_halves,
    weights_by_unfold,
    weights_recipe,
)
from solutions.stand_alone import (
    local_weights,
    relative_embeddings,
)


def weights_trials():
    return attention_trials()


def maps_averaged_over_heads(q, k, rows, columns, window):
    """You average the maps of the heads. Each head has its own."""
    weights = local_weights(q, k, rows, columns, window)
    return weights.mean(1, keepdim=True).expand_as(weights)


def first_examples_map(q, k, rows, columns, window):
    """All examples get the map of the first. Each has its own."""
    weights = local_weights(q, k, rows, columns, window)
    return weights[:1].expand_as(weights)


def places_left_in_one_axis(q, k, rows, columns, window):
    """The places of the window are one axis, (dy dx). Make them two again after the softmax."""
    return local_weights(q, k, rows, columns, window).flatten(-2)


def place_after_the_softmax(q, k, rows, columns, window):
    """You add q · r after the softmax. It is part of the scores."""
    r = relative_embeddings(rows, columns)
    return weights_recipe(place=no_place)(q, k, rows, columns, window) + right_place(
        q, k, r, window
    )


DividedByRootInWeights = named(
    "divided_by_root", SCALED, weights_recipe(joining=divided_by_root), variant=True
)


def weights_by_loops(q, k, rows, columns, window):
    b, head, _, h, w = q.shape
    r, found = window // 2, q.new_zeros(b, head, h, w, window, window)
    for i in range(h):
        for j in range(w):
            places = [
                (y, x)
                for y in range(window)
                for x in range(window)
                if 0 <= i + y - r < h and 0 <= j + x - r < w
            ]
            scores = []
            for y, x in places:
                near = torch.cat([rows[:, y], columns[:, x]], -1) + k[..., i + y - r, j + x - r]
                scores.append((q[..., i, j] * near).sum(-1))
            shares = torch.stack(scores, -1).softmax(-1)
            for n, (y, x) in enumerate(places):
                found[..., i, j, y, x] = shares[..., n]
    return found


EXERCISE = Exercise(
    id="stand_alone.local_weights",
    solution=local_weights,
    probes={"local_weights": "b head h w dy dx"},
    trials=weights_trials,
    slips=(
        *family(
            weights_recipe,
            paired=PAIRED,
            unsaid=UNSAID,
            **STEPS,
        ),
        place_after_the_softmax,
        maps_averaged_over_heads,
        first_examples_map,
        places_left_in_one_axis,
        hidden_where_keys_are_zero,
        DividedByRootInWeights,
    ),
    hints=(
        "How many scores does a pixel have, and of which two terms is each the sum?",
        (
            "window² of them: q with each key of `windows(k, window)` and q with each"
            " vector of `relative_embeddings(rows, columns)`. Both sums run over d. What is"
            " not `inside` becomes -inf. One softmax over dy and dx together: make them one"
            " axis."
        ),
        (
            "content: q (b head d h w) with windows of k, over d -> b head h w dy dx\n"
            "position: q with the vectors (head d dy dx), over d -> b head h w dy dx\n"
            "their sum, -inf where not inside(h, w, window), moved to q.device\n"
            "softmax over (dy dx), and apart again"
        ),
    ),
    minutes=20,
    difficulty=4,
    otherwise=(weights_by_loops, weights_by_unfold, weights_by_halves),
    laws=(
        "shares_of_the_window",
        "nothing_beyond_the_edges",
        "content_and_place_in_windows",
        "examples_do_not_mix",
    ),
)
