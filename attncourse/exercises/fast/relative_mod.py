"""A score_mod for FlexAttention: what the query says to the key's row and to its column."""

import torch

from attncourse.exercises.edits import often, wrong
from attncourse.exercises.fast.shared import places_of
from attncourse.exercises.record import Exercise, Given, Trial
from solutions.fast.mods import relative_mod


def relative_trials():
    def trial(name, b, head, h, w):
        n = h * w
        batch, heads, i, j = places_of(n, b, head)
        inputs = {
            "score": "b head i j",
            "batch": Given("b 1 1 1", batch),
            "head": Given("head 1 1", heads),
            "i": Given("i 1", i),
            "j": Given("j", j),
            "down": "b head i h",
            "across": "b head i w",
            "width": w,
        }
        return Trial(name, dict(b=b, head=head, h=h, w=w, i=n, j=n), inputs)

    return (
        trial("on 4 x 5 pixels", 2, 3, 4, 5),
        trial("on 6 x 2 pixels", 1, 3, 6, 2),
        trial("on 3 x 3 pixels", 3, 2, 3, 3),
    )


# fmt: off
ROWS = (
    *often(
        wrong("for_the_queries_row", "j // width", "i // width",
              "You look up what the query says to its own row. It is the key's row: j // width."),
        wrong("said_by_the_key", "down[batch, head, i,", "down[batch, head, j,",
              "You look up what the key says. It is the query that speaks, at i; the key's place"
              " is j // width."),
        wrong("said_by_the_key_of_the_query", "i, j // width", "j, i // width",
              "i and j are exchanged for the rows: `down` is indexed by the query i, then by the"
              " key's row j // width."),
        wrong("row_of_the_offset", "j // width", "j // width - i // width",
              "You look up the offset of rows, j // width - i // width. `down` is indexed by the"
              " key's row itself: offsets were turned into rows when it was made."),
        wrong("first_head_for_all_rows", "down[batch, head,", "down[batch, 0,",
              "You take the rows of the first head for all: `down[batch, head, …]`."),
        wrong("first_example_for_all_rows", "down[batch,", "down[0,",
              "You take the rows of the first example for all: `down[batch, head, …]`."),
    ),
    wrong("width_of_the_rows", "j // width", "j // down.shape[-1] % down.shape[-1]",
          "You take the number of rows, the last axis of `down`, for the width. They agree in square"
          " images only: a row has `width` pixels.",
          ("j % width", "j % down.shape[-1]")),
    wrong("row_by_remainder", "j // width", "j % width",
          "You take j % width for the row, which is the column. A row has `width` pixels: j //"
          " width."),
    wrong("row_by_height", "j // width", "j // down.shape[-1] % down.shape[-1]",
          "You divide by the number of rows. A row has `width` pixels: j // width."),
)

COLUMNS = (
    *often(
        wrong("for_the_queries_column", "j % width", "i % width",
              "You look up what the query says to its own column. It is the key's column: j %"
              " width."),
        wrong("column_said_by_the_key", "across[batch, head, i,", "across[batch, head, j,",
              "You look up what the key says to its column. It is the query that speaks, at i:"
              " across[batch, head, i, j % width]."),
        wrong("column_said_by_the_key_of_the_query", "i, j % width", "j, i % width",
              "i and j are exchanged for the columns: `across` is indexed by the query i, then by"
              " the key's column j % width."),
        wrong("column_of_the_offset", "j % width", "j % width - i % width",
              "You look up the offset of columns, j % width - i % width. `across` is indexed by"
              " the key's column itself: offsets were turned into columns when it was made."),
        wrong("first_head_for_all_columns", "across[batch, head,", "across[batch, 0,",
              "You take the columns of the first head for all: `across[batch, head, …]`."),
        wrong("first_example_for_all_columns", "across[batch,", "across[0,",
              "You take the columns of the first example for all: `across[batch, head, …]`."),
    ),
    wrong("column_by_quotient", "j % width", "j // width",
          "You take j // width for the column, which is the row. The column is the remainder: j %"
          " width."),
)

SUMS = (
    *often(
        wrong("score_lost", "score + down", "down",
              "The score itself is lost: what you return takes its place. Add to it."),
    ),
    wrong("places_subtracted", "score + down", "score - down",
          "You subtract the places. They are added to the score.",
          ("+ across", "- across")),
    wrong("places_multiplied", "score + down", "score * down",
          "You multiply by the places. They are added to the score.",
          ("+ across", "* across")),
    wrong("rows_times_columns", "+ across", "* across",
          "You multiply what is said to the row by what is said to the column. Both are added."),
    wrong("places_scaled", "down[batch, head, i, j // width] + across[batch, head, i, j % width]",
          "(down[batch, head, i, j // width] + across[batch, head, i, j % width]) / 2",
          "You take the mean of rows and columns. Both are added in full."),
)
# fmt: on


def relative_by_flat(score, batch, head, i, j, down, across, width):
    row, column = torch.div(j, width, rounding_mode="floor"), torch.remainder(j, width)
    score = score + down[batch, head, i, row]
    return score + across[batch, head, i, column]


def relative_by_divmod(score, batch, head, i, j, down, across, width):
    mine_down, mine_across = down[batch, head, i], across[batch, head, i]
    shape = torch.broadcast_shapes(mine_down.shape[:-1], j.shape)
    row = (j // width).expand(shape)[..., None]
    column = (j - j // width * width).expand(shape)[..., None]
    row = mine_down.expand(*shape, -1).gather(-1, row)
    column = mine_across.expand(*shape, -1).gather(-1, column)
    return score + (row + column)[..., 0]


EXERCISE = Exercise(
    id="fast.relative_mod",
    solution=relative_mod,
    probes={"relative_mod": "b head i j"},
    trials=relative_trials,
    slips=(*ROWS, *COLUMNS, *SUMS),
    hints=(
        "`down` has a number for each query and each row of the map. Which row belongs to"
        " the pair i, j?",
        "The key's: j // width, and its column j % width. Both are looked up in what"
        " query i says in this example and head, and added to the score.",
        "score + down[batch, head, i, row of j] + across[batch, head, i, column of j]",
    ),
    minutes=6,
    difficulty=2,
    otherwise=(relative_by_flat, relative_by_divmod),
    tied=("h w i j",),
)
