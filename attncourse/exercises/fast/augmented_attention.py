"""Attention with relative positions in one call of torch's: they become features of q and k."""

import torch
from torch.nn import functional as F

from attncourse.exercises.edits import often, wrong
from attncourse.exercises.record import Cost, Exercise, Trial
from solutions.fast.augmented import augmented_attention
from solutions.relative_2d import relative_attention_2d


def augmented_trials():
    def trial(name, **sizes):
        h, w = sizes["h"], sizes["w"]
        sizes |= {"r": 2 * h - 1, "s": 2 * w - 1}
        three = {"q": "b head h w d", "k": "b head h w d", "v": "b head h w e"}
        return Trial(name, sizes, three | {"rows": "r d", "columns": "s d"})

    return (
        trial("on 7 x 12 pixels", b=2, head=3, h=7, w=12, d=17, e=22),
        trial("with values wider than all of q' and k'", b=1, head=2, h=3, w=4, d=6, e=17),
        trial("on one row of pixels", b=2, head=3, h=1, w=6, d=4, e=8),
    )


# fmt: off
SCALES = (
    *often(
        wrong("nothing_scaled", "q = q / math.sqrt(d)\ny, x", "y, x",
              "You do not scale: all scores, those of places too, are divided by sqrt(d)."),
        wrong("places_not_scaled", "q = q / math.sqrt(d)\ny, x", "y, x",
              "You scale what q and k say, and not the places: q · R and q · C are divided by"
              " sqrt(d) too. Scale q first, then make down and across of it.",
              ("torch.cat([q,", "torch.cat([q / math.sqrt(d),")),
        wrong("default_scale", ", scale=1.0", "",
              "You scale q, and the call scales once more, by 1 / sqrt of the width of q'. Say"
              " `scale=1.0`."),
    ),
    wrong("ones_at_the_other_axis", 'torch.eye(h).to(k), "h y -> h w y", w=w', 'torch.eye(w, h).to(k), "w y -> h w y", h=h',
          "The 1 of a key stands at its column among the rows, and at its row among the columns."
          " Exchange them.",
          ('torch.eye(w).to(k), "w x -> h w x", h=h', 'torch.eye(h, w).to(k), "h x -> h w x", w=w')),
    wrong("offset_0_a_row_late", "y - y[:, None] + h - 1", "(y - y[:, None] + h).clamp(max=2 * h - 2)",
          "You look for offset 0 in row h of the table. The first row is the offset -(h - 1), so that"
          " offset 0 is row h - 1.",
          ("x - x[:, None] + w - 1", "(x - x[:, None] + w).clamp(max=2 * w - 2)")),
    wrong("scaled_by_d_here", "math.sqrt(d)", "d",
          "You divide by d. It is sqrt(d), once: is q scaled, and the call scales again?"),
    wrong("places_scaled_twice", "einsum(q, rows", "einsum(q / math.sqrt(d), rows",
          "You scale the places twice: down and across are made of q that is scaled already.",
          ("einsum(q, columns", "einsum(q / math.sqrt(d), columns")),
    wrong("scale_left_to_the_call", "q = q / math.sqrt(d)\ny, x", "y, x",
          "You leave the scale to the call, which takes 1 / sqrt(m), the width of q' and k'. It is"
          " 1 / sqrt(d): scale q yourself and say `scale=1.0`.",
          (", scale=1.0", "")),
    wrong("scaled_by_the_longer", "math.sqrt(d)", "math.sqrt(d + h + w)",
          "You divide by sqrt(m), the width of q' and k'. It is sqrt(d): what stands beside q and k"
          " does not count."),
)

OFFSETS = (
    *often(
        wrong("offsets_turned", "y - y[:, None] + h - 1", "y[:, None] - y + h - 1",
              "Your offsets have the wrong sign. Row r of a table is the offset r - (h - 1) of"
              " *key minus query*, and not the other way round.",
              ("x - x[:, None] + w - 1", "x[:, None] - x + w - 1")),
    ),
    wrong("offsets_from_zero", "y - y[:, None] + h - 1", "y - y[:, None]",
          "You index with key minus query alone: negative ones count from the end of the table."
          " Add n - 1, so that the offset -(n - 1) is row 0.",
          ("x - x[:, None] + w - 1", "x - x[:, None]")),
    wrong("offsets_one_off", "y - y[:, None] + h - 1", "(y - y[:, None] + h) % (2 * h - 1)",
          "Your offsets are off by one: key minus query + n - 1, so that offset 0 is the middle"
          " row of the table.",
          ("x - x[:, None] + w - 1", "(x - x[:, None] + w) % (2 * w - 1)")),
    wrong("distances", "y - y[:, None] + h - 1", "(y - y[:, None]).abs() + h - 1",
          "You take the distance without its sign. Above and below have rows of their own: key"
          " minus query + n - 1.",
          ("x - x[:, None] + w - 1", "(x - x[:, None]).abs() + w - 1")),
    wrong("distances_from_zero", "y - y[:, None] + h - 1", "(y - y[:, None]).abs()",
          "You take the distance without its sign, and count from the first row of the table."
          " Above and below have rows of their own: key minus query + n - 1.",
          ("x - x[:, None] + w - 1", "(x - x[:, None]).abs()")),
    wrong("places_of_keys", "y - y[:, None] + h - 1", "y.expand(h, h)",
          "You index the tables with the place of the key alone. They hold offsets: key minus"
          " query + n - 1.",
          ("x - x[:, None] + w - 1", "x.expand(w, w)")),
)

PLACES = (
    *often(
        wrong("rows_alone", "[q, down, across]", "[q, down]",
              "The columns are missing: a query says something to each row *and* to each column.",
              ("[k, row, column]", "[k, row]")),
    ),
    wrong("columns_alone", "[q, down, across]", "[q, across]",
          "The rows are missing: a query says something to each row *and* to each column.",
          ("[k, row, column]", "[k, column]")),
    wrong("no_places", "[q, down, across]", "[q]",
          "Places do not count in your result: what the query says to rows and columns must stand"
          " beside q, and the ones beside k.",
          ("[k, row, column]", "[k]")),
    wrong("places_doubled", "[q, down, across]", "[q, 2 * down, 2 * across]",
          "Places count twice in your result: added to q, or as features *and* as a bias."),
    wrong("places_of_the_first", "q, k = torch.cat",
          "down = down[..., :1, :1, :].expand_as(down)\n"
          "across = across[..., :1, :1, :].expand_as(across)\n"
          "q, k = torch.cat",
          "You take down and across of the first pixel for all of them. Each query has its own."),
)

ONES = (
    *often(
        wrong("turned_ones", '"h y -> h w y", w=w)', '"h y -> (w h) y", w=w).view(h, w, h)',
              "The ones of your keys are in the wrong order: pixel (h w) of a line is in row h,"
              " that is one every w pixels. The ones for rows repeat along w, those for columns"
              " along h.",
              ('"w x -> h w x", h=h)', '"w x -> (w h) x", h=h).view(h, w, w)')),
    ),
    wrong("columns_before_rows", "[k, row, column]", "[k, column, row]",
          "The ones of your keys stand in another order than what the queries say: down goes with"
          " the ones for rows, across with those for columns."),
    wrong("ones_from_the_end", "torch.eye(h)", "torch.eye(h).flip(0)",
          "Your ones run from the last row and column to the first. Key (y x) has its ones at y"
          " and x.",
          ("torch.eye(w)", "torch.eye(w).flip(0)")),
)

VALUES = (
    *often(
        wrong("last_features", "read[..., :e]", "read[..., -e:]",
              "You keep the last e features. The zeros stand behind v: the first e are the"
              " result."),
    ),
    wrong("zeros_in_front", "(0, width - one.shape[-1])", "(width - one.shape[-1], 0)",
          "You fill v up in front and keep the first features. Fill up behind: `F.pad(v, (0,"
          " more))`."),
    wrong("filled_with_ones", "(0, width - one.shape[-1])", "(0, width - one.shape[-1]), value=1.0",
          "You fill v up and return what was filled up in part. The first e features are the"
          " result.",
          ("read[..., :e]", "read.roll(1, -1)[..., :e]")),
    wrong("all_features", "read[..., :e]", "read",
          "You do not cut the filled up features off: keep the first e."),
)

COSTS = (
    wrong("values_not_filled",
          'F.pad(rearrange(one, "... h w m -> ... (h w) m"), (0, width - one.shape[-1]))',
          'rearrange(one, "... h w m -> ... (h w) m")',
          "v is narrower than q' and k': then torch takes a slower way without a word, and makes"
          " the whole map. Fill v up with zeros to their width, and cut the result."),
    wrong("not_contiguous", "q.contiguous(), k.contiguous(), v.contiguous()",
          "q.mT.contiguous().mT, k.mT.contiguous().mT, v.mT.contiguous().mT",
          "q', k' or v is not contiguous: then torch takes a slower way without a word, and makes"
          " the whole map. Say `.contiguous()` before the call."),
)
# fmt: on


def bias_for_places(q, k, v, rows, columns):
    """You give the places as a bias: right, but it has a number for each pair of pixels. As
    features of q' and k' they need h + w for each."""
    return relative_attention_2d(q, k, v, rows, columns, "fused")


def all_scores_made(q, k, v, rows, columns):
    """You make the map yourself. One call of `F.scaled_dot_product_attention` on q', k' and v
    never holds it."""
    return relative_attention_2d(q, k, v, rows, columns, "broadcast")


def augmented_by(q, k, v, rows, columns):
    h, w, d = q.shape[-3:]
    q = q * d**-0.5
    y, x = torch.arange(h, device=q.device), torch.arange(w, device=q.device)
    down = torch.einsum("...hwd,hyd->...hwy", q, rows[y[None] - y[:, None] + h - 1])
    across = torch.einsum("...hwd,wxd->...hwx", q, columns[x[None] - x[:, None] + w - 1])
    line = torch.arange(h * w, device=q.device)
    places = torch.cat([F.one_hot(line // w, h), F.one_hot(line % w, w)], -1).to(k.dtype)
    q = torch.cat([q, down, across], -1).flatten(-3, -2)
    k = torch.cat([k.flatten(-3, -2), places.expand(*k.shape[:-3], h * w, h + w)], -1)
    e, v = v.shape[-1], v.flatten(-3, -2)
    wide = max(q.shape[-1], e)
    q, k, v = (F.pad(one, (0, wide - one.shape[-1])) for one in (q, k, v))
    y = F.scaled_dot_product_attention(q, k, v, scale=1.0)
    return y[..., :e].unflatten(-2, (h, w))


def augmented_by_sums(q, k, v, rows, columns):
    h, w, d = q.shape[-3:]
    q = q * d**-0.5
    down = torch.stack(
        [
            torch.stack([(q[..., i, :, :] @ rows[y - i + h - 1]) for y in range(h)], -1)
            for i in range(h)
        ],
        -3,
    )
    across = torch.stack(
        [
            torch.stack([(q[..., i, :] @ columns[x - i + w - 1]) for x in range(w)], -1)
            for i in range(w)
        ],
        -2,
    )
    ones = torch.zeros(h, w, h + w, dtype=k.dtype, device=k.device)
    for y in range(h):
        for x in range(w):
            ones[y, x, y] = ones[y, x, h + x] = 1
    longer = torch.cat([q, down, across], -1)
    keys = torch.cat([k, ones.expand(*k.shape[:-1], h + w)], -1)
    wide = max(longer.shape[-1], v.shape[-1])
    three = [
        F.pad(x, (0, wide - x.shape[-1])).flatten(-3, -2).contiguous()
        for x in (longer, keys, v)
    ]
    y = F.scaled_dot_product_attention(*three, scale=1.0)[..., : v.shape[-1]]
    return y.unflatten(-2, (h, w))


EXERCISE = Exercise(
    id="fast.augmented_attention",
    solution=augmented_attention,
    probes={"augmented_attention": "b head h w e"},
    trials=augmented_trials,
    slips=(
        *SCALES,
        *OFFSETS,
        *PLACES,
        *ONES,
        *VALUES,
        *COSTS,
        bias_for_places,
        all_scores_made,
    ),
    hints=(
        "A key in row 2 gets q · R_(2-h) from a query in row h. The query knows it for"
        " every row. With which features must the key be longer, so that a product picks"
        " row 2?",
        "q' = [q, down, across], k' = [k, 1 for its row, 1 for its column]: q' · k' is"
        " all of the score. Scale q by sqrt(d) first and say scale=1.0. v gets zeros to"
        " the same width; everything contiguous.",
        "q = q / sqrt(d)\n"
        'down: q, rows[y - y_query + h - 1], "... h w d, h y d -> ... h w y"; across too\n'
        "row: eye(h) repeated over w; column: eye(w) repeated over h\n"
        "cat, (h w) as one axis, pad all three to one width, contiguous\n"
        "F.scaled_dot_product_attention(q, k, v, scale=1.0)[..., :e], back to h w",
    ),
    minutes=20,
    difficulty=4,
    otherwise=(augmented_by, augmented_by_sums),
    laws=("a_constant_factor", "examples_do_not_mix"),
    cost=Cost(largest_tensor=1.5, multiply_adds=1.5),
    skip=frozenset({"sizes"}),
    tied=("h w r s",),
)
