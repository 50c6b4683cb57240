"""The position scores in the plane, skewed along each axis: no larger than the attention map."""

from einops import einsum, rearrange, repeat

from attncourse.exercises.edits import Wrong, often, wrong
from attncourse.exercises.record import Cost, Exercise
from attncourse.exercises.relative_2d import relative_logits_1d as line
from attncourse.exercises.relative_2d.shared import (
    ENDS,
    INDICES,
    OF_THE_KEY,
    ORDERS,
    QUERIES,
    TURNED,
    by_columns_of_the_product,
    half_slips,
    plane_trials,
    slipped,
)
from solutions.relative_2d import axis_logits, offsets, relative_logits_1d, relative_logits_2d


def on_a_line(name):
    """`relative_logits_1d` with a slip in it."""
    return slipped(line.EXERCISE, name)


def vectors_multiplied(q, rows, columns):
    """You multiply the vectors of row and column with each other. They are added: q · (R +
    C)."""
    h, w = q.shape[-3:-1]
    pair = rows[offsets(h)][:, None, :, None] * columns[offsets(w)][None, :, None]
    logits = einsum(q, pair, "... h w d, h w y x d -> ... h w y x")
    return rearrange(logits, "... h w y x -> ... (h w) (y x)")


def unskewed(*rows: tuple[str, str, str]) -> tuple[Wrong, ...]:
    """Slips in which row of a table is read, where nothing is skewed."""
    return tuple(
        wrong(
            name,
            'relative_logits_1d(rearrange(q, "... h w d -> ... w h d"), rows)',
            f'einsum(q, rows[{index.format(n="h")}], "... h w d, h y d -> ... w h y")',
            message,
            (
                "relative_logits_1d(q, columns)",
                f'einsum(q, columns[{index.format(n="w")}], "... h w d, w x d -> ... h w x")',
            ),
            ("check_tables(*q.shape[-3:-1], rows, columns)", "h, w = q.shape[-3:-1]"),
        )
        for name, index, message in rows
    )


# fmt: off
TABLES = (
    *often(*unskewed(*TURNED)),
    *unskewed(*OF_THE_KEY, *INDICES),
    wrong("rows_turned", "rows)\nacross", "rows.flip(0))\nacross",
          "Your rows are read from the other end, your columns are right: below is y - h > 0, as"
          " right is x - w > 0."),
    wrong("columns_turned", "(q, columns)", "(q, columns.flip(0))",
          "Your columns are read from the other end, your rows are right: right is x - w > 0, as"
          " below is y - h > 0."),
)

SKEWS = tuple(
    wrong(one.name, "down = relative_logits_1d(", f"down = on_a_line({one.name!r})(", one.message,
          ("across = relative_logits_1d(", f"across = on_a_line({one.name!r})("))
    for one in line.SKEWS
    if one.name in {
        "padded_on_the_left", "line_cut_late", "first_columns_kept", "first_row_dropped",
        "reshaped_without_padding", "cut_into_rows_of_n", "music_transformer",
        "not_skewed_from_the_middle", "moved_the_other_way", "queries_turned",
    }
)

PRODUCTS = (
    wrong("with_the_query_of_the_key", "(h w) (y x)", "(y x) (h w)",
          "You multiply the vector of a pair with q at the place of the key. It is the query's"
          " own: q at h w.",
          ("rows)\nacross", "rows.flip(0))\nacross"), ("(q, columns)", "(q, columns.flip(0))")),
    wrong("half_for_rows_half_for_columns", ", rows, columns)\ndown",
          ", rows, columns)\nhalf = q.shape[-1] // 2\ndown",
          "You take half of the features for rows and half for columns, as chapter 9 will. Here"
          " the two vectors have all d features, and are added.",
          ('... w h d"), rows)', '... w h d")[..., :half], rows[:, :half])'),
          ("(q, columns)", "(q[..., half:], columns[:, half:])")),
    wrong("rows_of_a_reshape", 'rearrange(q, "... h w d -> ... w h d")',
          "q.reshape(*q.shape[:-3], q.shape[-2], q.shape[-3], -1)",
          "For the rows you reshape q to w h: the queries of other pixels get there. Move the"
          ' axes: rearrange "... h w d -> ... w h d".'),
)

BOTH = (
    'rearrange(down, "... w h y -> ... h w y 1") + rearrange(\n'
    '    across, "... h w x -> ... h w 1 x"\n)'
)

SUMS = (
    *often(
        wrong("rows_alone", BOTH, 'repeat(down, "... w h y -> ... h w y x", x=q.shape[-2])',
              "The columns are missing: your logits know how far above or below a key is, and not"
              " how far to the side."),
        wrong("columns_alone", BOTH, 'repeat(across, "... h w x -> ... h w y x", y=q.shape[-3])',
              "The rows are missing: your logits know how far to the side a key is, and not how"
              " far above or below."),
    ),
    wrong("logits_multiplied", ") + rearrange(", ") * rearrange(",
          "You multiply the position scores of the row and of the column of a key. The two are"
          " added."),
    wrong("reshaped_for_the_rows", 'rearrange(q, "... h w d -> ... w h d")',
          "q.reshape(*q.shape[:-3], *q.shape[-3:-1][::-1], q.shape[-1])",
          "For the rows you reshape h w to w h, which mixes the pixels. Exchange the axes: `... h w d"
          " -> ... w h d`, and back.",
          ('rearrange(down, "... w h y -> ... h w y 1")',
           "down.reshape(*q.shape[:-1], q.shape[-3], 1)")),
    wrong("columns_subtracted", ") + rearrange(", ") - rearrange(",
          "You subtract what the columns say. Both are added: q · (R + C)."),
    wrong("rows_counted_twice", "logits = rearrange", "logits = 2 * rearrange",
          "The rows are added twice, as by a broadcast that is summed. Once: q · (R + C)."),
    wrong("mean_of_both", '(h w) (y x)")', '(h w) (y x)") / 2',
          "You take the mean of the scores of rows and columns. They are added."),
)

HALVES = half_slips(
    f'logits = {BOTH}\nreturn rearrange(logits, "... h w y x -> ... (h w) (y x)")',
    "h, w = q.shape[-3:-1]", "w h y", "h w x",
)
# fmt: on


def plane_by_skew(q, rows, columns):
    down = relative_logits_1d(q.transpose(-3, -2), rows).transpose(-3, -2)
    across = relative_logits_1d(q, columns)
    return (down.unsqueeze(-1) + across.unsqueeze(-2)).flatten(-2).flatten(-3, -2)


def plane_without_skew(q, rows, columns):
    down, across = axis_logits(q, rows, columns)
    h, w = q.shape[-3:-1]
    down = repeat(down, "... h w y -> ... (h w) (y x)", x=w)
    return down + repeat(across, "... h w x -> ... (h w) (y x)", y=h)


EXERCISE = Exercise(
    id="relative_2d.relative_logits_2d",
    solution=relative_logits_2d,
    probes={"relative_logits_2d": "b head i j"},
    trials=plane_trials,
    slips=(
        *TABLES,
        *SKEWS,
        *QUERIES,
        *PRODUCTS,
        vectors_multiplied,
        *SUMS,
        *ORDERS,
        *ENDS,
        *HALVES,
    ),
    hints=(
        "What has the logit of a row, h w y, to do with the column of the key?",
        (
            "Nothing: it is the same for all x. So `relative_logits_1d(q, columns)` gives"
            " h w x at once, and for the rows the feature map is turned first, w h d. The sum of"
            " both is a broadcast."
        ),
        (
            "down = relative_logits_1d(q as … w h d, rows)      … w h y\n"
            "across = relative_logits_1d(q, columns)            … h w x\n"
            "down as h w y 1 plus across as h w 1 x, read as (h w) (y x)"
        ),
    ),
    minutes=8,
    difficulty=3,
    otherwise=(plane_by_skew, plane_without_skew, by_columns_of_the_product),
    laws=("examples_do_not_mix",),
    cost=Cost(largest_tensor=2),
    tied=("h w i j",),
)
