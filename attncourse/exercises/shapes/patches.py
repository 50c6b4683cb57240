"""The record of `shapes.patches`."""

from einops import rearrange

from attncourse.exercises.record import Exercise
from attncourse.exercises.shapes.shared import cut_trials, patches_by_loops
from solutions import shapes


def every_hth_pixel(picture, p, q):
    """Your patches hold pixels that lie h rows and w columns apart: that is `(p h) (q w)`.
    The outer letter stands first: `(h p)` is h patches of p neighbouring rows."""
    return rearrange(picture, "(p h) (q w) c -> (h w) p q c", p=p, q=q)


def column_by_column(picture, p, q):
    """Your patches are right and their order is not: `(w h)` counts down the columns. Row by
    row is `(h w)`."""
    return rearrange(picture, "(h p) (w q) c -> (w h) p q c", p=p, q=q)


def patches_reshaped(picture, p, q):
    """`reshape` and `view` cut the rows of the picture into pieces and mix them. Take the
    axes apart first, `(h p) (w q) c`; only then can h and w be joined."""
    return picture.reshape(-1, p, q, picture.shape[-1])


def patches_lying(picture, p, q):
    """Each of your patches is mirrored at its diagonal, `q p`. Its rows come first: `p q`."""
    return rearrange(picture, "(h p) (w q) c -> (h w) q p c", p=p, q=q)


def p_and_q_exchanged(picture, p, q):
    """Your patches are q pixels high, p wide. The height is `(h p)`, the width is `(w q)`."""
    return rearrange(picture, "(h q) (w p) c -> (h w) q p c", p=p, q=q)


def still_a_grid(picture, p, q):
    """Your patches still stand in a grid `h w`. Join its two axes to one: `(h w)`."""
    return rearrange(picture, "(h p) (w q) c -> h w p q c", p=p, q=q)


def flattened(picture, p, q):
    """Your patches are rows of numbers, `(p q c)`. Here each stays a picture: `p q c`."""
    return rearrange(picture, "(h p) (w q) c -> (h w) (p q c)", p=p, q=q)


def patches_channels_first(picture, p, q):
    """Your patches have their channels first, `c p q`. Here the channels come last: `p q c`."""
    return rearrange(picture, "(h p) (w q) c -> (h w) c p q", p=p, q=q)


def patches_by_unfold(picture, p, q):
    return picture.unfold(0, p, p).unfold(1, q, q).permute(0, 1, 3, 4, 2).flatten(0, 1)


def patches_by_reshape(picture, p, q):
    height, width, c = picture.shape
    grid = picture.reshape(height // p, p, width // q, q, c)
    return grid.transpose(1, 2).reshape(-1, p, q, c)


EXERCISE = Exercise(
    id="shapes.patches",
    solution=shapes.patches,
    probes={"patches": "(h w) p q c"},
    trials=cut_trials,
    slips=(
        every_hth_pixel,
        column_by_column,
        patches_reshaped,
        patches_lying,
        p_and_q_exchanged,
        still_a_grid,
        flattened,
        patches_channels_first,
    ),
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
)
