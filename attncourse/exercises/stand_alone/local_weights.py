"""The map of attention in windows: how much each pixel takes from each place of its window."""

import torch

from attncourse.exercises.edits import often, published, same, wrong
from attncourse.exercises.record import Exercise
from attncourse.exercises.stand_alone.shared import (
    attention_trials,
    weights_by_halves,
    weights_by_unfold,
)
from solutions.stand_alone import local_weights


def weights_trials():
    return attention_trials()


# fmt: off
CONTENTS = (
    *often(
        wrong("keys_turned_round", "windows(k, window)", "windows(k, window).flip(-1, -2)",
              "Your keys are turned round in the window: place 0, 0 is above and to the left, at h"
              " - window // 2."),
        wrong("keys_transposed", "windows(k, window)", "windows(k, window).mT",
              "Rows and columns of the window are exchanged for the keys: dy runs down, dx"
              " across."),
    ),
    wrong("not_summed_over_d", "w dy dx -> b head h w", "w dy dx -> b head d h w",
          "The sum over the features d is missing: every feature has a softmax of its own. q · k is"
          " one number for a head: sum the products over d. (A much used repository has this"
          " mistake.)",
          ("d dy dx -> b head h w", "d dy dx -> b head d h w")),
    wrong("summed_apart", ", b head d h w dy dx", ", b head e h w dy dx",
          "Your einsum has different letters for the features of q and k, so each is summed on its"
          " own. Give both the letter d, then products are summed."),
    wrong("summed_apart_from_the_sum", ", b head d h w dy dx", ", b head e h w dy dx",
          "Your einsum has different letters for the features of q and of key plus vector, so each"
          " is summed on its own. Give both the letter d, then products are summed.",
          (", head d dy dx", ", head e dy dx")),
    wrong("queries_in_windows", "windows(k", "windows(q",
          "You put the queries into windows and leave the keys. It is the keys of a window that a"
          " pixel asks: `windows(k, window)`.",
          ("einsum(q, near", "einsum(k, near")),
    wrong("window_begins_at_the_pixel", "windows(k, window)",
          "F.pad(k, (0, window - 1) * 2).unfold(-2, window, 1).unfold(-2, window, 1)",
          "The window of your keys begins at the pixel. It stands in the middle: pad both sides by"
          " window // 2."),
    wrong("no_content", "content = ", "content = 0 * ",
          "What the keys hold plays no part: q · k is missing, or all places get the key of the"
          " pixel itself. Put the keys into windows. (The paper tries q · r alone in its table"
          " 6.)"),
    wrong("queries_for_keys", "windows(k", "windows(q",
          "Queries meet queries: q takes the place of k. It is q · k."),
    wrong("keys_for_queries", "einsum(q, near", "einsum(k, near",
          "Keys meet keys: k takes the place of q. It is q · k."),
    wrong("keys_for_queries_everywhere", "einsum(q, near", "einsum(k, near",
          "The queries are not used: the pixel asks with its key. It asks with q.",
          ("einsum(q, place", "einsum(k, place")),
    wrong("roles_exchanged", "near, place = ", "q, k = k, q\nnear, place = ",
          "Queries and keys are exchanged: the pixel asks with its key. It asks with q."),
    wrong("absolute_content", 'dx")\nposition', 'dx").abs()\nposition',
          "You take the absolute value of q · k. Its sign counts."),
    wrong("cosine_content", "einsum(q, near",
          "einsum(F.normalize(q, dim=2), F.normalize(near, dim=2)",
          "You divide q and k by their lengths. The scores are plain products."),
)

POSITION = 'einsum(q, place, "b head d h w, head d dy dx -> b head h w dy dx")'

POSITIONS = (
    *often(
        wrong("no_place", "position = ", "position = 0 * ",
              "The keys do not know where they are: q · r is missing in the scores."),
        wrong("place_by_keys", 'q, place, "b head d h w',
              'windows(k, window), place, "b head d h w dy dx',
              "You multiply the vector of a place with the key. It meets the query: q · r."),
        wrong("place_summed_apart", ", head d dy dx", ", head e dy dx",
              "Your einsum has different letters for the features of q and r, so each is summed on"
              " its own. Give both the letter d."),
        wrong("place_without_query", POSITION, "place.sum(1)[:, None, None]",
              "You add the sum of r to the scores, a number that no query has a say in. It is q ·"
              " r."),
        wrong("places_turned_round", "(rows, columns)", "(rows, columns).flip(-1, -2)",
              "The vectors are turned round in the window: entry 0 of a table belongs to dy = 0,"
              " above the pixel."),
        wrong("tables_exchanged", "(rows, columns)", "(columns, rows)",
              "The two tables are exchanged: you pass the columns where the rows belong."),
        wrong("columns_before_rows", "relative_embeddings(rows, columns)",
              "torch.cat(relative_embeddings(rows, columns).chunk(2, 1)[::-1], 1)",
              "The column comes first in your vectors. The first half of the features is the"
              " row's."),
    ),
    wrong("place_by_the_pixels_key", "einsum(q, place", "einsum(k, place",
          "You multiply the vectors of the places with the pixel's own key. They meet the query: q"
          " · r."),
    wrong("places_transposed_in_scores", "(rows, columns)", "(rows, columns).mT",
          "Rows and columns of the window are exchanged for the vectors: the rows' table runs along"
          " dy."),
    wrong("place_of_first_head", "einsum(q, place", "einsum(q, place[:1].expand_as(place)",
          "All heads get the vectors of the first. Each has its own tables."),
    wrong("rows_table_alone", "(rows, columns)", "(rows, 0 * columns)",
          "The table of the columns is not used: left and right are alike to you."),
    wrong("columns_table_alone", "(rows, columns)", "(0 * rows, columns)",
          "The table of the rows is not used: above and below are alike to you."),
    wrong("rows_reach_half_of_the_heads", "relative_embeddings(rows, columns)",
          "torch.cat(relative_embeddings(rows, columns).chunk(2, 1))\n"
          "place = place.reshape(len(rows), -1, window, window)",
          "The first heads see rows alone and the last ones columns alone. Each head has both: join"
          " the tables within a head. (Published code has this mistake.)"),
)

SUMS = (
    *often(
        wrong("content_scaled_alone", "content + position",
              "content / math.sqrt(q.shape[2]) + position",
              "You divide q · k by sqrt(d) and q · r not. The paper divides neither."),
    ),
    wrong("place_scaled_alone", "content + position",
          "content + position / math.sqrt(q.shape[2])",
          "You divide q · r by sqrt(d) and q · k not. The paper divides neither."),
    wrong("divided_by_width", "(content + position)", "((content + position) / q.shape[2])",
          "You divide the scores by d. The paper does not divide them."),
    wrong("multiplied_by_root", "(content + position)",
          "((content + position) * math.sqrt(q.shape[2]))",
          "You multiply the scores by sqrt(d). The paper takes them as they are."),
    wrong("place_taken_off", "content + position", "content - position",
          "You subtract q · r. It is added."),
    wrong("terms_multiplied", "content + position", "content * position",
          "You multiply q · k and q · r. They are added."),
    wrong("terms_averaged", "(content + position)", "((content + position) / 2)",
          "You take the mean of q · k and q · r. They are added."),
    published("divided_by_root", "(content + position)",
              "((content + position) / math.sqrt(q.shape[2]))",
              "You divide the scores by sqrt(d), as chapter 1 does and HaloNet after this paper."
              " The paper itself does not: its widths are small, and its queries learn their"
              " length."),
    same("(content + position)", "((content + position) / math.sqrt(q.shape[2]))"),
)

EDGES = (
    *often(
        wrong("beyond_the_edges_too", ".masked_fill(~seen, -math.inf)", "",
              "Zeros beyond the edges get some of the weight: a key of zeros has the score q · r, not"
              " -inf. Hide what is not `inside`."),
        wrong("mask_turned_over", "~seen", "seen",
              "Your mask is inverted: `inside` is True where a query may attend, and you hide just"
              " that."),
        wrong("filled_with_zero", "-math.inf", "0.0",
              "Scores beyond the edges become 0, and exp(0) = 1 counts in full. Fill with -inf."),
        wrong("hidden_after_the_softmax", ".masked_fill(~seen, -math.inf)", "",
              "You hide the places beyond the edges after the softmax: they have taken part in its sum."
              " Hide the scores.",
              (", dy=window)", ", dy=window) * seen")),
    ),
    wrong("hidden_one_too_far", "seen = inside(*q.shape[-2:], window).to(q.device)",
          "y, x = (torch.arange(n)[:, None] + torch.arange(window) - window // 2 for n in (h, w))\n"
          "y, x = (y > 0) & (y < max(h - 1, 2)), (x > 0) & (x < max(w - 1, 2))\n"
          "seen = (y[:, None, :, None] & x[:, None]).to(q.device)",
          "You hide the outermost row and column of the picture too. They are inside.",
          ("near, place = ", "h, w = q.shape[-2:]\nnear, place = ")),
    wrong("middle_hidden", ".to(q.device)\n",
          ".to(q.device).clone()\nseen[..., window // 2, window // 2] = False\n",
          "You hide the pixel itself. It is a place of its window like any other."),
    wrong("hidden_where_keys_are_zero", "inside(*q.shape[-2:], window)", "(near != 0).any(2)",
          "You take a key of zeros for a place outside. A pixel inside may have such a key as well:"
          " ask `inside`, not the numbers."),
)

SHARES = 'rearrange(scores, "... dy dx -> ... (dy dx)").softmax(-1)'

SOFTMAXES = (
    *often(
        wrong("over_columns_alone", SHARES, "scores.softmax(-1).flatten(-2)",
              "Your softmax runs over dx alone: every row of the window sums to 1. It runs over dy"
              " and dx together."),
    ),
    wrong("over_rows_alone", SHARES, "scores.softmax(-2).flatten(-2)",
          "Your softmax runs over dy alone: every column of the window sums to 1. It runs over dy"
          " and dx together."),
    wrong("one_axis_then_the_other", SHARES,
          "scores.softmax(-1).nan_to_num(0).softmax(-2).flatten(-2)",
          "You take a softmax over dx and another over dy. One softmax runs over both together:"
          " make them one axis."),
    wrong("bare_scores", SHARES, "scores.masked_fill(scores == -math.inf, 0).flatten(-2)",
          "The softmax is missing."),
    wrong("place_after_the_softmax", "content + position", "content",
          "You add q · r after the softmax. It is part of the scores.",
          (", dy=window)", ", dy=window) + position")),
    same(", dy=window)", ", dy=window).nan_to_num(0)"),
)
# fmt: on


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
    slips=(*CONTENTS, *POSITIONS, *SUMS, *EDGES, *SOFTMAXES),
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
    tied=("dy dx", "b d half"),
)
