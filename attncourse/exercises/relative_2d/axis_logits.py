"""The position scores of each row of keys, and of each column: two small products."""

import torch

from attncourse.exercises.edits import often, wrong
from attncourse.exercises.record import Cost, Exercise, Trial
from attncourse.exercises.relative_2d.shared import INDICES, TURNED, indexed
from solutions.relative_2d import axis_logits, relative_logits_1d


def axis_trials():
    def trial(name, **sizes):
        inputs = dict(q="b head h w d", rows="r d", columns="s d")
        h, w = sizes["h"], sizes["w"]
        return Trial(name, sizes | dict(r=2 * h - 1, s=2 * w - 1, y=h, x=w), inputs)

    return (
        trial("on a map of 7 x 10 pixels", b=3, head=2, h=7, w=10, d=4),
        trial("on a map of 5 x 2 pixels", b=4, head=1, h=5, w=2, d=6),
        trial("on one column of 3 pixels", b=2, head=1, h=3, w=1, d=4),
    )


# fmt: off
TABLES = (
    *often(*indexed(*TURNED)),
    *indexed(*INDICES),
    wrong("mean_queries", "einsum(q, rows", "einsum(q.mean(-2, keepdim=True).expand_as(q), rows",
          "You ask with the mean of the queries of a row, and of a column. Each query asks for itself:"
          " the result has a number for each of them.",
          ("einsum(q, columns", "einsum(q.mean(-3, keepdim=True).expand_as(q), columns")),
    wrong("down_turned", "offsets(h, q.device)", "offsets(h, q.device).mT",
          "Your rows are read from the other end, your columns are right: below is y - h > 0."),
    wrong("across_turned", "offsets(w, q.device)", "offsets(w, q.device).mT",
          "Your columns are read from the other end, your rows are right: right is x - w > 0."),
    wrong("not_sorted", 'rows[offsets(h, q.device)], "... h w d, h y d -> ... h w y"',
          'rows, "... h w d, r d -> ... h w r"',
          "You multiply with the whole tables: your last axes are offsets, r and s. Take for each"
          " query the rows of the table that belong to y = 0, 1, …: `rows[offsets(h)]` is h y d.",
          ('columns[offsets(w, q.device)], "... h w d, w x d -> ... h w x"',
           'columns, "... h w d, s d -> ... h w s"')),
    wrong("cut_not_sorted", 'rows[offsets(h, q.device)], "... h w d, h y d',
          'rows[:h], "... h w d, y d',
          "You cut the products to h and w columns: that takes the most negative offsets, the same"
          " for all queries. Sort them first: `rows[offsets(h)]` is h y d.",
          ('columns[offsets(w, q.device)], "... h w d, w x d', 'columns[:w], "... h w d, x d')),
    wrong("cut_from_the_middle", 'rows[offsets(h, q.device)], "... h w d, h y d',
          'rows[h - 1 :], "... h w d, y d',
          "You take the last h and w products with the tables: offset 0 and above, the same for all"
          " queries. Sort them first: `rows[offsets(h)]` is h y d.",
          ('columns[offsets(w, q.device)], "... h w d, w x d',
           'columns[w - 1 :], "... h w d, x d')),
)

QUERIES = (
    wrong("one_query_for_all", ", rows, columns)\ndown =",
          ", rows, columns)\nq = q.mean((-3, -2), keepdim=True).expand(q.shape)\ndown =",
          "You multiply with the mean query of all pixels. Each pixel asks with its own."),
    wrong("rows_not_moved_back", "h y d -> ... h w y", "h y d -> ... w h y",
          "The position scores of the rows come as w h y: move the axes back, h w y."),
    wrong("down_of_a_reshape", 'einsum(q, rows[offsets(h, q.device)], "... h w d,',
          'einsum(q.reshape(*q.shape[:-3], w, h, -1), rows[offsets(h, q.device)], "... w h d,',
          "For the rows you reshape q: numbers of other pixels get there. Where an axis"
          " moves, `rearrange` it."),
)

ENDS = (
    *often(
        wrong("columns_first", "return down, across", "return across, down",
              "The two come in the wrong order: first the position scores of the rows, h w y, then"
              " those of the columns, h w x."),
        wrong("two_divided", ", rows, columns)\ndown =",
              ", rows, columns)\nq = q / math.sqrt(q.shape[-1])\ndown =",
              "You divide by sqrt(d) here. The queries come divided: these are plain products."),
    ),
    wrong("summed_to_the_map", "return down, across",
          "both = down[..., None] + across[..., None, :]\n"
          'return rearrange(both, "... h w y x -> ... (h w) (y x)")',
          "You add the two already: that makes the attention map. Return them apart, h w y and h w x."),
    wrong("softmax_of_each", "return down, across", "return down.softmax(-1), across.softmax(-1)",
          "You take a softmax here. The content has to be added first: these are plain products."),
)
# fmt: on


def rows_one_by_one(q, rows, columns):
    h, w = q.shape[-3:-1]
    down = [q[..., n, :, :] @ rows[h - 1 - n : 2 * h - 1 - n].mT for n in range(h)]
    across = [q[..., n, :] @ columns[w - 1 - n : 2 * w - 1 - n].mT for n in range(w)]
    return torch.stack(down, -3), torch.stack(across, -2)


def rows_by_skew(q, rows, columns):
    down = relative_logits_1d(q.transpose(-3, -2), rows).transpose(-3, -2)
    return down, relative_logits_1d(q, columns)


EXERCISE = Exercise(
    id="relative_2d.axis_logits",
    solution=axis_logits,
    probes={"axis_logits": ("b head h w y", "b head h w x")},
    trials=axis_trials,
    slips=(*TABLES, *QUERIES, *ENDS),
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
    otherwise=(rows_one_by_one, rows_by_skew),
    laws=("examples_do_not_mix",),
    cost=Cost(largest_tensor=2.5),
    tied=("h w y x",),
)
