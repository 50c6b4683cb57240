"""The record of `relative_2d.relative_logits_2d`."""

from einops import rearrange, repeat

from attncourse.exercises.families import named, remade
from attncourse.exercises.record import Cost, Exercise, slip
from attncourse.exercises.relative_2d.shared import (
    HALVES,
    PLANE,
    by_columns_of_the_product,
    columns_turned,
    cut_into_rows_of_n,
    first_columns_kept,
    first_row_dropped,
    in_reading_order,
    moved_the_other_way,
    music_transformer,
    not_skewed_from_the_middle,
    padded_on_the_left,
    plane_trials,
    queries_turned,
    reshaped_without_padding,
    rows_turned,
)
from solutions.relative_2d import (
    axis_logits,
    gathered_logits,
    relative_logits_1d,
    relative_logits_2d,
)

WholeTable = named(
    "largest_tensor",
    "Right, but a vector for every pair of pixels is laid out first.",
    gathered_logits,
)


def skewed_in_the_plane(wrong):
    """`relative_logits_2d` with a slip of `rel_to_abs` inside."""
    one = slip(wrong)

    def answer(q, rows, columns):
        down = one.answer(rearrange(q @ rows.mT, "... h w r -> ... w h r"))
        down = rearrange(down, "... w h y -> ... h w y 1")
        across = one.answer(q @ columns.mT)
        return in_reading_order(down + rearrange(across, "... h w x -> ... h w 1 x"))

    return remade(one, answer=answer)


PLANE_SKEWS = tuple(
    map(
        skewed_in_the_plane,
        (
            padded_on_the_left,
            first_columns_kept,
            first_row_dropped,
            not_skewed_from_the_middle,
            moved_the_other_way,
            music_transformer,
            reshaped_without_padding,
            cut_into_rows_of_n,
            queries_turned,
        ),
    )
)


def rows_of_a_reshape(q, rows, columns):
    """For the rows you reshape q to w h: the queries of other pixels get there. Move the axes:
    rearrange "... h w d -> ... w h d"."""
    turned = q.reshape(*q.shape[:-3], q.shape[-2], q.shape[-3], q.shape[-1])
    down = relative_logits_1d(turned, rows).transpose(-3, -2)
    across = relative_logits_1d(q, columns)
    return in_reading_order(down[..., None] + across[..., None, :])


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
        *PLANE,
        *HALVES,
        *PLANE_SKEWS,
        rows_turned,
        columns_turned,
        rows_of_a_reshape,
        WholeTable,
    ),
    hints=(
        "What has the logit of a row, h w y, to do with the column of the key?",
        (
            "Nothing: it is the same for all x. So `relative_logits_1d(q, columns)` gives"
            " h w x at once, and for the rows the map is turned first, w h d. The sum of"
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
)
