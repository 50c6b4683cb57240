"""A picture cut into patches."""

from attncourse.exercises.edits import wrong
from attncourse.exercises.record import Exercise
from attncourse.exercises.shapes.shared import (
    ONE,
    OTHER,
    cut_trials,
    in_patches,
    patches_by_loops,
    refuse_rest,
    uncut_trials,
)
from solutions import shapes

# fmt: off
LETTERS = (
    wrong("every_hth_pixel", "(row p) (column q)", "(p row) (q column)",
          "Your patches hold pixels that lie far apart in the picture: that is `(p row) (q column)`."
          " The outer axis stands first: `(row p)` is one row of patches after the other, each p"
          " neighbouring pixels high."),
    wrong("p_and_q_exchanged", "(row p) (column q) c -> (row column) p q",
          "(row q) (column p) c -> (row column) q p",
          "Your patches are q pixels high and p wide. The height is `(row p)`, the width is"
          " `(column q)`."),
    wrong("column_by_column", "-> (row column)", "-> (column row)",
          "Your patches are right and their order is not: `(column row)` counts down the columns."
          " Row by row is `(row column)`."),
    wrong("flattened", "(row column) p q c", "(row column) (p q c)",
          "Each of your patches is one row of numbers, `(p q c)`. Here a patch stays a picture: `p q c`."),
)

RESHAPED = (
    wrong("patches_reshaped", 'rearrange(picture, "(row p) (column q) c -> (row column) p q c", p=p, q=q)',
          "picture.reshape(-1, p, q, picture.shape[-1])",
          "`reshape` and `view` cut the rows of the picture into pieces and mix them. Take the axes"
          " apart first, `(row p) (column q) c`; only then can row and column be joined."),
)
# fmt: on


def patches_by_unfold(picture, p, q):
    refuse_rest(picture, p, q)
    return picture.unfold(0, p, p).unfold(1, q, q).permute(0, 1, 3, 4, 2).flatten(0, 1)


def patches_by_reshape(picture, p, q):
    refuse_rest(picture, p, q)
    height, width, c = picture.shape
    grid = picture.reshape(height // p, p, width // q, q, c)
    return grid.transpose(1, 2).reshape(-1, p, q, c)


def trials():
    return cut_trials("(row p) (column q) c", in_patches(ONE), in_patches(OTHER))


EXERCISE = Exercise(
    id="shapes.patches",
    solution=shapes.patches,
    probes={"patches": "(row column) p q c"},
    trials=trials,
    slips=(*LETTERS, *RESHAPED),
    hints=(
        "Take row y of the picture. In which row of patches does it lie, and which row of its patch is it?",
        "The height consists of rows of patches, each p pixels high. The row of patches is the "
        "outer axis: (row p). The width is taken apart in the same way. Then row and column are "
        "joined to one axis of patches, row by row: (row column).",
        'rearrange(picture, "( … ) ( … ) c -> ( … ) p q c", p=p, q=q): einops works '
        "out h and w.",
    ),
    minutes=2,
    difficulty=2,
    otherwise=(patches_by_loops, patches_by_unfold, patches_by_reshape),
    refuses=uncut_trials,
)
