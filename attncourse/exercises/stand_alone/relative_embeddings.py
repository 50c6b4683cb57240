"""The record of `stand_alone.relative_embeddings`."""

import torch
from einops import rearrange

from attncourse.exercises.record import Exercise, Trial
from attncourse.exercises.stand_alone.shared import (
    column_comes_first,
    embeddings_by_repeat,
    in_ways,
    rows_for_half_of_the_heads,
    spread,
)
from solutions.stand_alone import (
    relative_embeddings,
)


def embedding_trials():
    def trial(name, **sizes):
        sizes["d"] = 2 * sizes["half"]
        return Trial(name, sizes, dict(rows="head dy half", columns="head dx half"))

    return (
        trial("for 2 heads, 5 x 7 places", head=2, dy=5, dx=7, half=3),
        trial("for 4 heads, 3 x 1 places", head=4, dy=3, dx=1, half=5),
    )


def vectors_added(rows, columns):
    """You add row and column. They are put one after the other: d = 2 half features."""
    return rows.mT[..., None] + columns.mT[..., None, :]


def vectors_multiplied(rows, columns):
    """You multiply row and column. They are put one after the other: d = 2 half features."""
    return rows.mT[..., None] * columns.mT[..., None, :]


def halves_interleaved(rows, columns):
    """Row and column take turns in your features. The first half is the row's, the second the
    column's."""
    return rearrange([*spread(rows, columns)], "two head half dy dx -> head (half two) dy dx")


def table_of_rows_turned(rows, columns):
    """Your rows run backwards: row 0 of the table belongs to dy = 0."""
    return relative_embeddings(rows.flip(1), columns)


def both_tables_turned(rows, columns):
    """Both tables run backwards: entry 0 belongs to dy = 0 and dx = 0, above and to the
    left."""
    return relative_embeddings(rows.flip(1), columns.flip(1))


def table_of_columns_turned(rows, columns):
    """Your columns run backwards: row 0 of their table belongs to dx = 0, on the left."""
    return relative_embeddings(rows, columns.flip(1))


def joined_along_the_heads(rows, columns):
    """You join along the heads: there are twice as many, half as wide. Join along the
    features."""
    return torch.cat(spread(rows, columns), 0)


def places_exchanged(rows, columns):
    """Your places are dx dy. Rows run along dy, the first axis of a window: dy dx."""
    return relative_embeddings(rows, columns).mT


def features_at_the_end(rows, columns):
    """The features come last: head dy dx d. They come before the places: head d dy dx."""
    return rearrange(relative_embeddings(rows, columns), "head d dy dx -> head dy dx d")


def first_heads_table(rows, columns):
    """All heads get the table of the first. Each has its own."""
    return relative_embeddings(rows[:1], columns[:1]).expand(len(rows), -1, -1, -1)


def rows_twice(rows, columns):
    """Both halves are the row's. The second half is the column's."""
    first, second = spread(rows, columns)
    return torch.cat([first, first + 0 * second], 1)


def columns_twice(rows, columns):
    """Both halves are the column's. The first half is the row's."""
    first, second = spread(rows, columns)
    return torch.cat([second + 0 * first, second], 1)


def rows_down_and_across(rows, columns):
    return relative_embeddings(rows, rows)


def columns_down_and_across(rows, columns):
    return relative_embeddings(columns, columns)


def tables_reshaped(rows, columns):
    """You reshape the tables, where their axes have to be moved: features and places get mixed.
    Use `rearrange`."""
    head, dy, half = rows.shape
    dx = columns.shape[1]
    first, second = rows.reshape(head, half, dy, 1), columns.reshape(head, half, 1, dx)
    return torch.cat(torch.broadcast_tensors(first, second), 1)


def tables_end_to_end(rows, columns):
    """You put the tables one below the other: dy + dx places in a row. A place has a row *and*
    a column: dy times dx of them."""
    return torch.cat([rows, columns], 1).mT


def columns_taken_off(rows, columns):
    """Your columns have the other sign. They stand in the second half as they are."""
    return relative_embeddings(rows, -columns)


def joined_along_dy(rows, columns):
    """You join along dy: twice as many rows of places. Join along the features."""
    return torch.cat(spread(rows, columns), 2)


def embeddings_by_loops(rows, columns):
    head, height, half = rows.shape
    width = columns.shape[1]
    found = rows.new_zeros(head, 2 * half, height, width)
    for dy in range(height):
        for dx in range(width):
            found[:, :half, dy, dx] = rows[:, dy]
            found[:, half:, dy, dx] = columns[:, dx]
    return found


EXERCISE = Exercise(
    id="stand_alone.relative_embeddings",
    solution=relative_embeddings,
    probes={"relative_embeddings": "head d dy dx"},
    trials=embedding_trials,
    slips=(
        vectors_added,
        vectors_multiplied,
        column_comes_first,
        halves_interleaved,
        rows_for_half_of_the_heads,
        table_of_rows_turned,
        table_of_columns_turned,
        both_tables_turned,
        joined_along_the_heads,
        places_exchanged,
        features_at_the_end,
        first_heads_table,
        in_ways(rows_twice, rows_down_and_across),
        in_ways(columns_twice, columns_down_and_across),
        tables_reshaped,
        tables_end_to_end,
        columns_taken_off,
        joined_along_dy,
    ),
    hints=(
        "What do all places of one row of the window have in common?",
        (
            "The first half of their vector. Copy the rows along dx and the columns along"
            " dy: both are head half dy dx. Then put them one after the other along the"
            " features."
        ),
        (
            'repeat(rows, "head dy half -> head half dy dx", dx=…), the columns alike\n'
            "torch.cat of both along the axis of the halves"
        ),
    ),
    minutes=6,
    difficulty=2,
    otherwise=(embeddings_by_repeat, embeddings_by_loops),
)
