"""A vector for each place of a window, half of it its row's and half its column's."""

from attncourse.exercises.edits import wrong
from attncourse.exercises.record import Exercise, Trial
from attncourse.exercises.stand_alone.shared import embeddings_by_repeat
from solutions.stand_alone import relative_embeddings


def embedding_trials():
    def trial(name, **sizes):
        sizes["d"] = 2 * sizes["half"]
        return Trial(name, sizes, dict(rows="head dy half", columns="head dx half"))

    return (
        trial("for 4 heads, 5 x 7 places", head=4, dy=5, dx=7, half=3),
        trial("for 4 heads, 3 x 1 places", head=4, dy=3, dx=1, half=5),
    )


# fmt: off
HALVES = (
    wrong("vectors_added", "torch.cat([down, across], dim=1)", "down + across",
          "You add row and column. They are put one after the other: d = 2 half features."),
    wrong("column_comes_first", "[down, across]", "[across, down]",
          "The column comes first in your vectors. The first half of the features is the row's."),
    wrong("rows_twice", "[down, across]", "[down, down]",
          "Both halves are the row's. The second half is the column's."),
    wrong("columns_twice", "[down, across]", "[across, across]",
          "Both halves are the column's. The first half is the row's."),
    wrong("halves_interleaved", "torch.cat([down, across], dim=1)",
          'rearrange([down, across], "two head half dy dx -> head (half two) dy dx")',
          "Row and column take turns in your features. The first half is the row's, the second the"
          " column's."),
    wrong("rows_for_half_of_the_heads", "[down, across], dim=1)",
          "[down, across]).reshape(len(rows), -1, *down.shape[2:])",
          "You put all rows before all columns and cut the heads afterwards: the first heads see"
          " rows alone, the last ones columns alone. Join within each head."),
    wrong("joined_along_the_heads", "dim=1", "dim=0",
          "You join along the heads: there are twice as many, half as wide. Join along the"
          " features."),
    wrong("tables_end_to_end", "[down, across], dim=1)", "[rows, columns], dim=1).mT",
          "You put the tables one below the other: dy + dx places in a row. A place has a row *and*"
          " a column: dy times dx of them."),
)

TABLES = (
    wrong("sum_in_both_halves", "torch.cat([down, across], dim=1)",
          "torch.cat([down + across, down + across], dim=1)",
          "Both halves hold the sum of row and column. The first half is the row's vector, the second"
          " the column's."),
    wrong("both_tables_turned", "rearrange(rows,", "rearrange(rows.flip(1),",
          "Both tables run backwards: entry 0 belongs to dy = 0 and dx = 0, above and to the left.",
          ("rearrange(columns,", "rearrange(columns.flip(1),")),
    wrong("first_heads_table", "rearrange(rows,", "rearrange(rows[:1].expand_as(rows),",
          "All heads get the table of the first. Each has its own.",
          ("rearrange(columns,", "rearrange(columns[:1].expand_as(columns),")),
    wrong("tables_reshaped", 'rearrange(rows, "head dy half -> head half dy 1")',
          "rows.reshape(len(rows), -1, rows.shape[1], 1)",
          "You reshape the tables, where their axes have to be moved: features and places get"
          " mixed. Use `rearrange`.",
          ('rearrange(columns, "head dx half -> head half 1 dx")',
           "columns.reshape(len(columns), -1, 1, columns.shape[1])")),
)
# fmt: on


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
    slips=(*HALVES, *TABLES),
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
