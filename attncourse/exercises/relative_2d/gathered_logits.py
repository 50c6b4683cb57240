"""The position scores in the plane, with the vectors of every pair of pixels laid out."""

from attncourse.exercises.edits import often, wrong
from attncourse.exercises.record import Exercise
from attncourse.exercises.relative_2d.shared import (
    ENDS,
    INDICES,
    OF_THE_KEY,
    ORDERS,
    QUERIES,
    TURNED,
    by_columns_of_the_product,
    gathered_flat,
    gathered_loops,
    half_slips,
    indexed,
    plane_trials,
)
from solutions.relative_2d import gathered_logits

# fmt: off
TABLES = (
    *often(*indexed(*TURNED)),
    *indexed(*OF_THE_KEY, *INDICES),
    wrong("rows_turned", "offsets(h, q.device)", "offsets(h, q.device).mT",
          "Your rows are read from the other end, your columns are right: below is y - h > 0, as"
          " right is x - w > 0."),
    wrong("columns_turned", "offsets(w, q.device)", "offsets(w, q.device).mT",
          "Your columns are read from the other end, your rows are right: right is x - w > 0, as"
          " below is y - h > 0."),
)

PRODUCTS = (
    *often(
        wrong("rows_alone", "down + across", "down + 0 * across",
              "The columns are missing: your logits know how far above or below a key is, and not"
              " how far to the side."),
        wrong("columns_alone", "down + across", "across + 0 * down",
              "The rows are missing: your logits know how far to the side a key is, and not how"
              " far above or below."),
    ),
    wrong("logits_multiplied", 'down + across, "... h w d, h w y x d -> ... h w y x")',
          'down, "... h w d, h w y x d -> ... h w y x")'
          ' * einsum(q, across, "... h w d, h w y x d -> ... h w y x")',
          "You multiply the position scores of the row and of the column of a key. The two are"
          " added."),
    wrong("with_the_query_of_the_key", "... h w d, h w y x d", "... y x d, h w y x d",
          "You multiply the vector of a pair with q at the place of the key. It is the query's"
          " own: q at h w."),
    wrong("by_the_place_of_the_key", "rows[offsets(h, q.device)]", "rows[h - 1 :].expand(h, -1, -1)",
          "You look the vector of a key up by its own place, whoever asks. It is looked up by its"
          " offset from the query: `offsets`.",
          ("columns[offsets(w, q.device)]", "columns[w - 1 :].expand(w, -1, -1)")),
    wrong("half_for_rows_half_for_columns", "down + across",
          "torch.where(torch.arange(q.shape[-1]) < q.shape[-1] // 2, down, across)",
          "You take half of the features for rows and half for columns, as chapter 9 will. Here"
          " the two vectors have all d features, and are added."),
)

HALVES = half_slips(
    'logits = einsum(q, down + across, "... h w d, h w y x d -> ... h w y x")\n'
    'return rearrange(logits, "... h w y x -> ... (h w) (y x)")',
    'down = einsum(q, down, "... h w d, h w y x d -> ... h w y x")\n'
    'across = einsum(q, across, "... h w d, h w y x d -> ... h w y x")',
    "h w y 1", "h w 1 x",
)
# fmt: on

EXERCISE = Exercise(
    id="relative_2d.gathered_logits",
    solution=gathered_logits,
    probes={"gathered_logits": "b head i j"},
    trials=plane_trials,
    slips=(*TABLES, *QUERIES, *PRODUCTS, *ORDERS, *ENDS, *HALVES),
    hints=(
        "A query in row 1, a key in row 3 of four. Which entry of the table of seven?",
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
    tied=("h w i j",),
)
