"""The record of `fast.relative_mod`."""

import torch

from attncourse.exercises.families import family
from attncourse.exercises.record import Exercise, Given, Trial
from solutions.fast.mods import relative_mod

try:
    import triton.language as tl
except ImportError:  # Triton is there for Linux
    tl = None
from attncourse.exercises.fast.shared import places_of


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


def for_the_keys_row(down, batch, head, i, j, width):
    return down[batch, head, i, j // width]


def for_the_keys_column(across, batch, head, i, j, width):
    return across[batch, head, i, j % width]


def sum_of_three(score, row, column):
    return score + row + column


def relative_recipe(
    rowing=for_the_keys_row, columning=for_the_keys_column, adding=sum_of_three
):
    def answer(score, batch, head, i, j, down, across, width):
        row = rowing(down, batch, head, i, j, width)
        column = columning(across, batch, head, i, j, width)
        return adding(score, row, column)

    return answer


def for_the_queries_row(down, batch, head, i, j, width):
    """You look up what the query says to its own row. It is the key's row: j // width."""
    return down[batch, head, i, i // width]


def said_by_the_key(down, batch, head, i, j, width):
    """You look up what the key says. It is the query that speaks, at i; the key's place is j //
    width."""
    return down[batch, head, j, j // width]


def said_by_the_key_of_the_query(down, batch, head, i, j, width):
    """i and j are exchanged for the rows: `down` is indexed by the query i, then by the key's
    row j // width."""
    return down[batch, head, j, i // width]


def row_by_remainder(down, batch, head, i, j, width):
    """You take j % width for the row, which is the column. A row has `width` pixels: j //
    width."""
    return down[batch, head, i, (j % width) % down.shape[-1]]


def row_by_height(down, batch, head, i, j, width):
    """You divide by the number of rows. A row has `width` pixels: j // width."""
    return down[batch, head, i, (j // down.shape[-1]) % down.shape[-1]]


def row_of_the_offset(down, batch, head, i, j, width):
    """You look up the offset of rows, j // width - i // width. `down` is indexed by the key's
    row itself: offsets were turned into rows when it was made."""
    return down[batch, head, i, j // width - i // width]


def first_head_for_all_rows(down, batch, head, i, j, width):
    """You take the rows of the first head for all: `down[batch, head, …]`."""
    return down[batch, head * 0, i, j // width]


def first_example_for_all_rows(down, batch, head, i, j, width):
    """You take the rows of the first example for all: `down[batch, head, …]`."""
    return down[batch * 0, head, i, j // width]


def row_not_added(down, batch, head, i, j, width):
    """The rows are missing: add down[batch, head, i, j // width] too."""
    return 0.0 * down[batch, head, i, j // width]


def for_the_queries_column(across, batch, head, i, j, width):
    """You look up what the query says to its own column. It is the key's column: j % width."""
    return across[batch, head, i, i % width]


def column_said_by_the_key(across, batch, head, i, j, width):
    """You look up what the key says to its column. It is the query that speaks, at i:
    across[batch, head, i, j % width]."""
    return across[batch, head, j, j % width]


def column_said_by_the_key_of_the_query(across, batch, head, i, j, width):
    """i and j are exchanged for the columns: `across` is indexed by the query i, then by the
    key's column j % width."""
    return across[batch, head, j, i % width]


def column_by_quotient(across, batch, head, i, j, width):
    """You take j // width for the column, which is the row. The column is the remainder: j %
    width."""
    return across[batch, head, i, (j // width) % across.shape[-1]]


def column_of_the_offset(across, batch, head, i, j, width):
    """You look up the offset of columns, j % width - i % width. `across` is indexed by the
    key's column itself: offsets were turned into columns when it was made."""
    return across[batch, head, i, j % width - i % width]


def first_head_for_all_columns(across, batch, head, i, j, width):
    """You take the columns of the first head for all: `across[batch, head, …]`."""
    return across[batch, head * 0, i, j % width]


def first_example_for_all_columns(across, batch, head, i, j, width):
    """You take the columns of the first example for all: `across[batch, head, …]`."""
    return across[batch * 0, head, i, j % width]


def column_not_added(across, batch, head, i, j, width):
    """The columns are missing: add across[batch, head, i, j % width] too."""
    return 0.0 * across[batch, head, i, j % width]


def score_lost(score, row, column):
    """The score itself is lost: what you return takes its place. Add to it."""
    return row + column + 0.0 * score


def places_subtracted(score, row, column):
    """You subtract the places. They are added to the score."""
    return score - row - column


def places_multiplied(score, row, column):
    """You multiply by the places. They are added to the score."""
    return score * row * column


def rows_times_columns(score, row, column):
    """You multiply what is said to the row by what is said to the column. Both are added."""
    return score + row * column


def score_unchanged(score, row, column):
    """You return the score as it is. Add what the query says to the key's row and column."""
    return score + 0.0 * (row + column)


def places_scaled(score, row, column):
    """You take the mean of rows and columns. Both are added in full."""
    return score + (row + column) / 2


def score_counted_twice(score, row, column):
    """The score counts twice in your result. It is score + row + column."""
    return (score + row) + (score + column)


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
    slips=family(
        relative_recipe,
        paired=(
            for_the_queries_row,
            for_the_queries_column,
            said_by_the_key,
            column_said_by_the_key,
            said_by_the_key_of_the_query,
            column_said_by_the_key_of_the_query,
            row_of_the_offset,
            column_of_the_offset,
            first_head_for_all_rows,
            first_head_for_all_columns,
            first_example_for_all_rows,
            first_example_for_all_columns,
            score_lost,
        ),
        rowing=(
            for_the_queries_row,
            said_by_the_key,
            said_by_the_key_of_the_query,
            row_by_remainder,
            row_by_height,
            row_of_the_offset,
            first_head_for_all_rows,
            first_example_for_all_rows,
            row_not_added,
        ),
        columning=(
            for_the_queries_column,
            column_said_by_the_key,
            column_said_by_the_key_of_the_query,
            column_by_quotient,
            column_of_the_offset,
            first_head_for_all_columns,
            first_example_for_all_columns,
            column_not_added,
        ),
        adding=(
            score_lost,
            places_subtracted,
            places_multiplied,
            rows_times_columns,
            score_unchanged,
            places_scaled,
            score_counted_twice,
        ),
    ),
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
)
