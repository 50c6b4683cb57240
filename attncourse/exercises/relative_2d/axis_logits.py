"""The record of `relative_2d.axis_logits`."""

import math

from einops import einsum

from attncourse.exercises.families import family
from attncourse.exercises.record import Exercise, Trial
from attncourse.exercises.relative_2d.shared import (
    distances_from_0,
    in_reading_order,
    key_minus_query,
    later_alike,
    not_shifted,
    one_row_early,
    one_row_late,
    only_how_far,
    place_of_the_query,
    query_minus_key,
)
from solutions.relative_2d import (
    axis_logits,
    offsets,
    relative_logits_1d,
)


def axis_trials():
    def trial(name, **sizes):
        inputs = dict(q="b head h w d", rows="r d", columns="s d")
        h, w = sizes["h"], sizes["w"]
        return Trial(name, sizes | dict(r=2 * h - 1, s=2 * w - 1, y=h, x=w), inputs)

    return (
        trial("on a map of 4 x 6 pixels", b=2, head=3, h=4, w=6, d=5),
        trial("on a map of 5 x 2 pixels", b=4, head=1, h=5, w=2, d=6),
        trial("on one column of 3 pixels", b=2, head=1, h=3, w=1, d=4),
    )


def two(indexing=key_minus_query, asking=lambda q: q, ending=lambda y, x, q: (y, x)):
    def answer(q, rows, columns):
        h, w = q.shape[-3:-1]
        down = einsum(asking(q), rows[indexing(h)], "... h w d, h y d -> ... h w y")
        across = einsum(asking(q), columns[indexing(w)], "... h w d, w x d -> ... h w x")
        return ending(down, across, q)

    return answer


def one_query_for_all(q):
    """You multiply with the mean query of the map. Each pixel asks with its own."""
    return q.mean((-3, -2), keepdim=True).expand(q.shape)


def columns_first(down, across, q):
    """The two come in the wrong order: first what a query says to the rows, h w y, then what it
    says to the columns, h w x."""
    return across, down


def two_divided(down, across, q):
    """You divide by sqrt(d) here. The queries come divided: these are plain products."""
    return down / math.sqrt(q.shape[-1]), across / math.sqrt(q.shape[-1])


def summed_to_the_map(down, across, q):
    """You add the two already: that makes the large map. Return them apart, h w y and h w x."""
    both = in_reading_order(down[..., None] + across[..., None, :])
    return both, both


def not_sorted(q, rows, columns):
    """You multiply with the whole tables: your last axes are offsets, r and s. Take for each
    query the rows of the table that belong to y = 0, 1, …: `rows[offsets(h)]` is h y d."""
    return q @ rows.mT, q @ columns.mT


def cut_not_sorted(q, rows, columns):
    """You cut the products to h and w columns: that takes the most negative offsets, the same
    for all queries. Sort them first: `rows[offsets(h)]` is h y d."""
    h, w = q.shape[-3:-1]
    return (q @ rows.mT)[..., :h], (q @ columns.mT)[..., :w]


def cut_from_the_middle(q, rows, columns):
    """You take the last h and w products with the tables: offset 0 and above, the same for all
    queries. Sort them first: `rows[offsets(h)]` is h y d."""
    h, w = q.shape[-3:-1]
    return (q @ rows.mT)[..., h - 1 :], (q @ columns.mT)[..., w - 1 :]


def rows_not_moved_back(q, rows, columns):
    """What a query says to the rows comes as w h y: move the axes back, h w y."""
    down, across = axis_logits(q, rows, columns)
    return down.transpose(-3, -2), across


def down_of_a_reshape(q, rows, columns):
    """For the rows you reshape the map: numbers of other pixels get there. Where an axis moves,
    `rearrange` it."""
    h, w, d = q.shape[-3:]
    turned = q.reshape(*q.shape[:-3], w, h, d)
    down = relative_logits_1d(turned, rows).transpose(-3, -2)
    return down, relative_logits_1d(q, columns)


def down_turned(q, rows, columns):
    """Your rows are read from the other end, your columns are right: below is y - h > 0."""
    return axis_logits(q, rows.flip(0), columns)


def across_turned(q, rows, columns):
    """Your columns are read from the other end, your rows are right: right is x - w > 0."""
    return axis_logits(q, rows, columns.flip(0))


def softmax_of_each(q, rows, columns):
    """You take a softmax here. The content has to be added first: these are plain products."""
    return tuple(x.softmax(-1) for x in axis_logits(q, rows, columns))


def rows_by_gather(q, rows, columns):
    h, w = q.shape[-3:-1]
    down = (q.unsqueeze(-2) * rows[offsets(h, q.device)].unsqueeze(1)).sum(-1)
    across = q.unsqueeze(-2) @ columns[offsets(w, q.device)].mT
    return down, across.squeeze(-2)


def rows_by_skew(q, rows, columns):
    down = relative_logits_1d(q.transpose(-3, -2), rows).transpose(-3, -2)
    return down, relative_logits_1d(q, columns)


EXERCISE = Exercise(
    id="relative_2d.axis_logits",
    solution=axis_logits,
    probes={"axis_logits": ("b head h w y", "b head h w x")},
    trials=axis_trials,
    slips=(
        *family(
            two,
            paired=(query_minus_key, columns_first, two_divided),
            indexing=(
                query_minus_key,
                place_of_the_query,
                not_shifted,
                only_how_far,
                distances_from_0,
                one_row_late,
                one_row_early,
                later_alike,
            ),
            asking=(one_query_for_all,),
            ending=(columns_first, two_divided, summed_to_the_map),
        ),
        not_sorted,
        cut_not_sorted,
        cut_from_the_middle,
        rows_not_moved_back,
        down_of_a_reshape,
        down_turned,
        across_turned,
        softmax_of_each,
    ),
    hints=(
        "How large is `rows[offsets(h)]`, and how large was the table of all pairs?",
        (
            "h y d and w x d: no pair of pixels, only pairs of rows and of columns. Each is"
            " one einsum with q, over d, and the letter of the query is shared."
        ),
        (
            "q (… h w d) with rows[offsets(h)] (h y d) gives … h w y\n"
            "q (… h w d) with columns[offsets(w)] (w x d) gives … h w x"
        ),
    ),
    minutes=6,
    difficulty=2,
    otherwise=(rows_by_gather, rows_by_skew),
    laws=("examples_do_not_mix",),
)
