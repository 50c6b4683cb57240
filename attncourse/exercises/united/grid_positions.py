"""Learned positions for a picture of another size."""

import torch
from torch.nn import functional as F

from attncourse.exercises.edits import often, wrong
from attncourse.exercises.record import Exercise, Trial
from solutions.united.vision_transformer import grid_positions


def position_trials():
    def trial(old, new, dim):
        name = f"from {old[0]} x {old[1]} to {new[0]} x {new[1]} places"
        sizes = dict(n=1 + old[0] * old[1], m=1 + new[0] * new[1], dim=dim)
        return Trial(name, sizes, dict(table="n dim", old=old, new=new))

    return (
        trial((3, 4), (5, 6), 7),
        trial((4, 3), (7, 2), 5),
        trial((5, 2), (2, 3), 4),
        trial((3, 5), (3, 4), 7),
        trial((2, 6), (3, 4), 5),
    )


def tables_that_do_not_fit():
    inputs = dict(table="12 dim", old=(3, 4), new=(5, 6))
    return (
        Trial("a table without a row for the class token", dict(dim=7), inputs, says=(12,)),
    )


# fmt: off
GRIDS = (
    *often(
        wrong("corners_aligned", "align_corners=False", "align_corners=True",
              "You enlarge with align_corners=True: then places are points at the corners. Patches"
              " are squares: align_corners=False."),
        wrong("places_in_columns", "\"(high wide) dim -> 1 dim high wide\"", "\"(wide high) dim -> 1 dim high wide\"",
              "You read the table as a grid in order of columns. It is in order of rows: (high"
              " wide)."),
        wrong("written_in_columns", "-> (high wide) dim\")", "-> (wide high) dim\")",
              "You write the new grid down in order of columns. It is in order of rows: (high"
              " wide)."),
    ),
    wrong("as_a_line", "grid = F.interpolate(grid, new, mode=\"bilinear\", align_corners=False)",
          "grid = rearrange(grid, \"1 dim high wide -> 1 dim (high wide)\")\n"
          "grid = F.interpolate(grid, new[0] * new[1], mode=\"linear\")\n"
          "grid = rearrange(grid, \"1 dim (high wide) -> 1 dim high wide\", high=new[0])",
          "You stretch the table as a line: the end of one row runs into the start of the next. It"
          " is a grid: rows and columns."),
    wrong("as_many_places_left_alone", "grid = F.interpolate(grid, new, mode=\"bilinear\", align_corners=False)",
          "if new[0] * new[1] == old[0] * old[1]:\n    return table\n"
          "grid = F.interpolate(grid, new, mode=\"bilinear\", align_corners=False)",
          "You leave the table as it is where the new grid has as many places. A grid of 2 x 6 is"
          " another than one of 3 x 4: compare both sides."),
    wrong("antialiased", "mode=\"bilinear\", align_corners=False", "mode=\"bilinear\", antialias=True",
          "You smooth before you sample (antialias=True), as resizing pictures does. Positions are"
          " interpolated without it."),
    wrong("last_row_for_the_class_token", "table[1:]", "table[:-1]",
          "You take the last row for the class token's. It is the first.",
          ("torch.cat([table[:1], rearrange(grid, \"1 dim high wide -> (high wide) dim\")])",
           "torch.cat([rearrange(grid, \"1 dim high wide -> (high wide) dim\"), table[-1:]])")),
    wrong("features_not_moved", "rearrange(table[1:], \"(high wide) dim -> 1 dim high wide\", high=high)",
          "table[1:].reshape(1, -1, high, wide)",
          "You reshape without moving an axis: features and places get mixed. The features come"
          " last in the table and second for `F.interpolate`: use `rearrange`."),
    wrong("features_not_moved_nor_moved_back", "rearrange(table[1:], \"(high wide) dim -> 1 dim high wide\", high=high)",
          "table[1:].reshape(1, -1, high, wide)",
          "You reshape without moving an axis: features and places get mixed. The features come"
          " last in the table and second for `F.interpolate`: use `rearrange`.",
          ("rearrange(grid, \"1 dim high wide -> (high wide) dim\")",
           "grid.reshape(-1, table.shape[1])")),
    wrong("nearest", "mode=\"bilinear\", align_corners=False", "mode=\"nearest\"",
          "Your new places take the vector of the nearest old one. Interpolate: mode=\"bilinear\"."),
    wrong("bicubic", "mode=\"bilinear\"", "mode=\"bicubic\"",
          "You interpolate bicubically, as DeiT's and timm's code do. Here it is bilinear."),
    wrong("class_token_last", "torch.cat([table[:1], rearrange(grid, \"1 dim high wide -> (high wide) dim\")])",
          "torch.cat([rearrange(grid, \"1 dim high wide -> (high wide) dim\"), table[:1]])",
          "The class token's row comes last. It is the first of the tokens."),
    wrong("class_token_forgotten", "torch.cat([table[:1], rearrange(grid, \"1 dim high wide -> (high wide) dim\")])",
          "rearrange(grid, \"1 dim high wide -> (high wide) dim\")",
          "The class token's row is missing. It is no place in the picture, so it stays as it"
          " is."),
    wrong("class_token_zeroed", "torch.cat([table[:1]", "torch.cat([0 * table[:1]",
          "The class token's row is 0. It keeps its vector."),
    wrong("sizes_exchanged", "F.interpolate(grid, new,", "F.interpolate(grid, new[::-1],",
          "Height and width of the new grid are exchanged."),
)
# fmt: on


def refuse_other_tables(table, old):
    if len(table) != 1 + old[0] * old[1]:
        raise ValueError(f"a table of {len(table)} rows for {old[0]} x {old[1]} places")


def positions_by_permute(table, old, new):
    refuse_other_tables(table, old)
    grid = table[1:].reshape(*old, -1).permute(2, 0, 1).unsqueeze(0)
    grid = F.interpolate(grid, size=new, mode="bilinear").squeeze(0).flatten(1).T
    return torch.cat((table[:1], grid), dim=0)


def positions_by_matrices(table, old, new):
    """Rows and columns apart: bilinear is linear along each."""
    refuse_other_tables(table, old)

    def along(n, m):
        at = (
            ((torch.arange(m, dtype=table.dtype) + 0.5) * n / m - 0.5).clamp(0, n - 1).to(table)
        )
        return (1 - (at[:, None] - torch.arange(n).to(table)).abs()).clamp(min=0)

    grid = table[1:].unflatten(0, old)
    grid = torch.einsum("yv,xu,vud->yxd", along(old[0], new[0]), along(old[1], new[1]), grid)
    return torch.vstack([table[0], grid.flatten(0, 1)])


EXERCISE = Exercise(
    id="united.grid_positions",
    solution=grid_positions,
    probes={"grid_positions": "m dim"},
    trials=position_trials,
    slips=GRIDS,
    hints=(
        "Which rows of the table are places in the picture, and how are they arranged in it?",
        "All but the first, row by row. As 1 dim high wide they are a picture of `dim` colours,"
        " which F.interpolate makes larger. Then back, and the first row in front.",
        "ValueError unless the table has 1 + high wide rows\n"
        'the rest as "(high wide) dim -> 1 dim high wide"\n'
        'F.interpolate(…, new, mode="bilinear", align_corners=False)\n'
        "back to rows, behind the first row",
    ),
    minutes=7,
    difficulty=2,
    otherwise=(positions_by_permute, positions_by_matrices),
    refuses=tables_that_do_not_fit,
)
