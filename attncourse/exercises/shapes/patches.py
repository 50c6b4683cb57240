"""A picture cut into patches."""

from attncourse.exercises.edits import wrong
from attncourse.exercises.record import Exercise
from attncourse.exercises.shapes.shared import (
    cut_trials,
    patches_by_loops,
    refuse_rest,
    uncut_trials,
)
from solutions import shapes

# fmt: off
LETTERS = (
    wrong("every_hth_pixel", "(h p) (w q)", "(p h) (q w)",
          "Your patches hold pixels that lie h rows and w columns apart: that is `(p h) (q w)`. The"
          " outer letter stands first: `(h p)` is h patches of p neighbouring rows."),
    wrong("p_and_q_exchanged", "(h p) (w q) c -> (h w) p q", "(h q) (w p) c -> (h w) q p",
          "Your patches are q pixels high, p wide. The height is `(h p)`, the width is `(w q)`."),
    wrong("column_by_column", "-> (h w)", "-> (w h)",
          "Your patches are right and their order is not: `(w h)` counts down the columns. Row by"
          " row is `(h w)`."),
    wrong("flattened", "(h w) p q c", "(h w) (p q c)",
          "Your patches are rows of numbers, `(p q c)`. Here each stays a picture: `p q c`."),
)

RESHAPED = (
    wrong("patches_reshaped", 'rearrange(picture, "(h p) (w q) c -> (h w) p q c", p=p, q=q)',
          "picture.reshape(-1, p, q, picture.shape[-1])",
          "`reshape` and `view` cut the rows of the picture into pieces and mix them. Take the axes"
          " apart first, `(h p) (w q) c`; only then can h and w be joined."),
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


EXERCISE = Exercise(
    id="shapes.patches",
    solution=shapes.patches,
    probes={"patches": "(h w) p q c"},
    trials=cut_trials,
    slips=(*LETTERS, *RESHAPED),
    hints=(
        "Row y of the picture: in which row of patches is it, and which row within the patch?",
        "The height is h patches of p rows each. The patch is the outer letter: (h p). The "
        "width likewise. Then h and w join to one axis of patches, row by row: (h w).",
        'rearrange(picture, "( … ) ( … ) c -> ( … ) p q c", p=p, q=q): einops works '
        "out h and w.",
    ),
    minutes=2,
    difficulty=2,
    otherwise=(patches_by_loops, patches_by_unfold, patches_by_reshape),
    refuses=uncut_trials,
)
