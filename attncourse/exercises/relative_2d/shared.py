"""Of several exercises of the chapter: relative_2d."""

import torch
from einops import einsum

from attncourse.exercises.edited import slips_of
from attncourse.exercises.edits import Wrong, often, wrong
from attncourse.exercises.record import Exercise, Trial


def plane_trials():
    def trial(name, front="b head", **sizes):
        inputs = dict(q=f"{front} h w d", rows="r d", columns="s d")
        n = sizes["h"] * sizes["w"]
        sizes |= dict(r=2 * sizes["h"] - 1, s=2 * sizes["w"] - 1, i=n, j=n)
        return Trial(name, sizes, inputs)

    return (
        trial("on a map of 4 x 6 pixels", b=2, head=5, h=4, w=6, d=23),
        trial("on a map of 5 x 2 pixels", b=4, head=1, h=5, w=2, d=6),
        trial("on a single row of 4 pixels", b=3, head=2, h=1, w=4, d=5),
        trial("on a square of 3 x 3 pixels", b=2, head=4, h=3, w=3, d=7),
    )


# Which row of a table belongs to a query and a key on an axis of {n} pixels: what is written
# instead of `offsets({n}, q.device)`.
# fmt: off
TURNED = (
    ("query_minus_key", "offsets({n}, q.device).mT",
     "You count query minus key, i - j: your tables are read from the other end. An offset is key"
     " minus query."),
)

OF_THE_KEY = (
    ("place_of_the_key", "torch.arange({n}).expand({n}, {n})",
     "Your vectors belong to the place of the key, whatever the query: that is an absolute"
     " position. The row of the table is key minus query, plus n - 1."),
)

INDICES = (
    ("place_of_the_query", "torch.arange({n})[:, None].expand({n}, {n})",
     "Your vectors belong to the place of the query, whatever the key. The row of the table is key"
     " minus query, plus n - 1."),
    ("not_shifted", "offsets({n}, q.device) - ({n} - 1)",
     "Your offsets begin at -(n - 1), and a table counts from 0: add n - 1. (A negative index"
     " counts from the end without a word.)"),
    ("only_how_far", "(offsets({n}, q.device) - ({n} - 1)).abs() + {n} - 1",
     "You take the absolute distance: above and below, left and right share a vector. The sign"
     " counts."),
    ("distances_from_0", "(offsets({n}, q.device) - ({n} - 1)).abs()",
     "You take the absolute distance, counted from row 0 of the table. The sign counts: key minus"
     " query, plus n - 1."),
    ("one_row_late", "(offsets({n}, q.device) + 1).clamp(max=2 * {n} - 2)",
     "Your rows are 1 too high, as if the table had 2n + 1 of them: offset 0 is row n - 1 of"
     " 2n - 1."),
    ("one_row_early", "(offsets({n}, q.device) - 1).clamp(min=0)",
     "Your rows are 1 too low: offset 0 is row n - 1."),
    ("later_alike", "offsets({n}, q.device).clamp(max={n} - 1)",
     "All keys below, or to the right, share the vector of offset 0, as if they were masked: they"
     " have vectors of their own."),
    ("wraps_around", "(offsets({n}, q.device) - ({n} - 1)) % {n}",
     "You take key minus query modulo n, as on a torus: above the query comes the bottom row. The"
     " row of the table is key minus query, plus n - 1."),
)
# fmt: on


def indexed(*rows: tuple[str, str, str]) -> tuple[Wrong, ...]:
    """Slips in which row of a table is read, for both axes."""
    return tuple(
        wrong(
            name,
            "offsets(h, q.device)",
            index.format(n="h"),
            message,
            ("offsets(w, q.device)", index.format(n="w")),
        )
        for name, index, message in rows
    )


# fmt: off
QUERIES = (  # before anything is multiplied
    wrong("not_with_the_query", ", rows, columns)\ndown =",
          ", rows, columns)\nq = torch.ones_like(q)\ndown =",
          "You add the sums of R and C: a bias in which the query has no say. It is q · (R + C)."),
    wrong("one_query_for_all_pixels", ", rows, columns)\ndown =",
          ", rows, columns)\nq = q.mean((-3, -2), keepdim=True).expand(q.shape)\ndown =",
          "You ask with the mean query of all pixels. Each pixel asks with its own: q at h w."),
    wrong("one_query_for_all_heads", ", rows, columns)\ndown =",
          ", rows, columns)\nq = q.mean(1, keepdim=True).expand(q.shape)\ndown =",
          "All heads ask with their mean query. The tables are shared, the queries are not."),
)

ORDERS = (  # of the pixels
    *often(
        wrong("keys_column_by_column", "(h w) (y x)", "(h w) (x y)",
              "You number the keys column by column, (x y). They are read row by row, (y x), like"
              " the queries: otherwise key and value j are different pixels."),
    ),
    wrong("queries_column_by_column", "(h w) (y x)", "(w h) (y x)",
          "You number the queries column by column, (w h). They are read row by row: (h w)."),
    wrong("column_by_column", "(h w) (y x)", "(w h) (x y)",
          "You number all pixels column by column. They are read row by row: (h w) and (y x)."),
    wrong("keys_down", "(h w) (y x)", "(y x) (h w)",
          "Your rows are keys and your columns queries: j i. The queries go down: i j."),
)

ENDS = (
    *often(
        wrong("divided_already", '(h w) (y x)")', '(h w) (y x)") / math.sqrt(q.shape[-1])',
              "You divide by sqrt(d) here. The queries come divided: these are plain products."),
    ),
    wrong("earlier_pixels_alone", '(h w) (y x)")', '(h w) (y x)").tril()',
          "You set the logits of later pixels to 0, as in the Transformer's decoder. In a picture"
          " all keys are there."),
    wrong("softmax_already", '(h w) (y x)")', '(h w) (y x)").softmax(-1)',
          "You take a softmax here. The content has to be added first: these are plain products."),
)
# fmt: on


def half_slips(old: str, first: str, down: str, across: str) -> tuple[Wrong, ...]:
    """A permute is missing in one half: what ports of the paper's code got wrong most often.

    old     the lines in which the halves are put together
    first   what comes before they are read as (h w) (y x), each by itself
    down    the axes of the half of the rows, and `across` those of the other
    """
    orders = (
        ("keys_column_by_column", "(h w) (x y)", "numbers the keys column by column, (x y)"),
        ("queries_column_by_column", "(w h) (y x)", "numbers the queries column by column, (w h)"),
        ("column_by_column", "(w h) (x y)", "numbers all pixels column by column"),
        ("keys_down", "(y x) (h w)", "has keys down and queries across, j i"),
        ("axes_mixed", "h y w x", "is flattened before its axes are in place"),
        ("turned_axes_mixed", "w x h y", "is flattened as w x h y"),
    )  # fmt: skip
    right, slips = "(h w) (y x)", []
    for half in ("rows", "columns"):
        for name, order, says in orders:
            of_rows, of_columns = (order, right) if half == "rows" else (right, order)
            new = (
                f"{first}\n"
                f'down = repeat(down, "... {down} -> ... {of_rows}", x=w)\n'
                f'across = repeat(across, "... {across} -> ... {of_columns}", y=h)\n'
                "n = *q.shape[:-3], h * w, h * w\n"
                "return down.reshape(n) + across.reshape(n)"
            )
            message = (
                f"The half of the {half} {says}; the other half is right. A permute is missing:"
                " both are (h w) (y x) before they are added."
            )
            slips.append(wrong(f"{half}_{name}", old, new, message))
    return tuple(slips)


def slipped(ex: Exercise, name: str):
    """The answer to an exercise with a slip in it, for what is built on it."""
    return next(one for one in slips_of(ex) if one.name == name).answer


# ------------------------------------------------------------------ right, written otherwise


def gathered_loops(q, rows, columns):
    h, w = q.shape[-3:-1]
    pixels, lines = [(a, b) for a in range(h) for b in range(w)], []
    for a, b in pixels:
        places = [rows[y - a + h - 1] + columns[x - b + w - 1] for y, x in pixels]
        lines.append(torch.stack([(q[..., a, b, :] * place).sum(-1) for place in places], -1))
    return torch.stack(lines, -2)


def gathered_flat(q, rows, columns):
    h, w, d = q.shape[-3:]
    n = torch.arange(h * w, device=q.device)
    down = (n // w)[None] - (n // w)[:, None] + h - 1
    across = (n % w)[None] - (n % w)[:, None] + w - 1
    flat = q.reshape(*q.shape[:-3], h * w, 1, d)
    return (flat * (rows[down] + columns[across])).sum(-1)


def by_columns_of_the_product(q, rows, columns):
    h, w = q.shape[-3:-1]
    n = torch.arange(h * w, device=q.device)
    flat = q.flatten(-3, -2)
    found = 0
    for table, place, size in ((rows, n // w, h), (columns, n % w, w)):
        product = flat @ table.T
        where = (place[None, :] - place[:, None] + size - 1).expand(*product.shape[:-1], h * w)
        found = found + product.gather(-1, where)
    return found


def from_q_and_k(q, k):
    return einsum(q, k, "... h w d, ... y x d -> ... h w y x").flatten(-2).flatten(-3, -2)


def weights_late_scale(q, k, rows=None, columns=None, logits=gathered_loops):
    scores = from_q_and_k(q, k)
    if rows is not None:
        scores = scores + logits(q, rows, columns)
    scores = scores / q.shape[-1] ** 0.5
    e = (scores - scores.amax(-1, keepdim=True)).exp()
    return e / e.sum(-1, keepdim=True)
