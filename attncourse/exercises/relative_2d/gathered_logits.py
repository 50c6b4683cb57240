"""The record of `relative_2d.gathered_logits`."""

from attncourse.exercises.record import Exercise
from attncourse.exercises.relative_2d.shared import (
    HALVES,
    PLANE,
    by_columns_of_the_product,
    columns_turned,
    gathered_flat,
    gathered_loops,
    plane_trials,
    rows_turned,
)
from solutions.relative_2d import (
    gathered_logits,
)

EXERCISE = Exercise(
    id="relative_2d.gathered_logits",
    solution=gathered_logits,
    probes={"gathered_logits": "b head i j"},
    trials=plane_trials,
    slips=(*PLANE, *HALVES, rows_turned, columns_turned),
    hints=(
        "A query in row 1, a key in row 3 of four. Which row of the table of seven?",
        (
            "3 - 1 + (4 - 1) = 5. `offsets(h)` has it for all pairs of rows, h y, and"
            " `rows[offsets(h)]` the vectors, h y d. The same for columns, w x d. One"
            " vector for each pair of pixels is their sum, with axes h w y x d."
        ),
        (
            "down = rows[offsets(h)] with axes h 1 y 1 d\n"
            "across = columns[offsets(w)] with axes 1 w 1 x d\n"
            "q times their sum over d: h w y x, read as (h w) (y x)"
        ),
    ),
    minutes=12,
    difficulty=3,
    otherwise=(gathered_loops, gathered_flat, by_columns_of_the_product),
    laws=("examples_do_not_mix",),
)
