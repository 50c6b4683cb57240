"""Patches put together again."""

import torch

from attncourse.exercises.edits import wrong
from attncourse.exercises.record import Exercise, Trial
from attncourse.exercises.shapes.shared import ONE, OTHER, in_patches
from solutions import shapes

# fmt: off
TILES = (
    wrong("rows_for_columns", "column=columns", "row=columns",
          "Your mosaic has as many rows as it should have columns. `columns` is the number of tiles"
          " in a row; the number of rows follows from n = `(row column)`."),
    wrong("filled_downwards", "(row column)", "(column row)",
          "You fill the mosaic column by column: `(column row)`. The tiles come row by row:"
          " `(row column)`."),
    wrong("one_long_row", "rearrange(tiles, pattern, column=columns)",
          'rearrange(tiles, "n p q c -> p (n q) c")',
          "All your tiles stand in one row: `columns` is not used. Take n apart into"
          " `(row column)`, with the number of columns given."),
)

PIXELS = (
    wrong("interleaved_pixels", "(row p) (column q)", "(p row) (q column)",
          "Your tiles are interleaved, a pixel of each in turn: `(p row) (q column)`. The tile"
          " is the outer axis, so it stands first: `(row p) (column q)`."),
    wrong("interleaved_across", "(column q)", "(q column)",
          "The height is right; across, your tiles are interleaved, a pixel of each in turn: `(q"
          " column)`. The tile is the outer axis: `(column q)`."),
    wrong("interleaved_down", "(row p)", "(p row)",
          "The width is right; downwards, your tiles are interleaved, a pixel of each in turn: `(p"
          " row)`. The tile is the outer axis: `(row p)`."),
    wrong("placed_as_if_square", "return rearrange(tiles, pattern, column=columns)",
          "n, p, q, c = tiles.shape\n"
          "canvas = tiles.new_zeros(n // columns * p, columns * q, c)\n"
          "for k in range(n):\n"
          "    y, x = k // columns * p, k % columns * p\n"
          "    canvas[y : y + p, x : x + q] = tiles[k, :, : canvas.shape[1] - x]\n"
          "return canvas",
          "Your tiles begin at multiples of p both downwards and across, which fits square tiles"
          " only. Across, they begin at multiples of q."),
    wrong("mosaic_reshaped", "return rearrange(tiles, pattern, column=columns)",
          "n, p, q, c = tiles.shape\nreturn tiles.reshape(n // columns * p, columns * q, c)",
          "`reshape` and `view` lay the tiles out one after the other, without moving p past w. The"
          " order of the axes changes too: `(row column) p q c -> (row p) (column q) c`."),
)
# fmt: on


def refuse_rest(tiles, columns):
    if len(tiles) % columns:
        raise ValueError(f"{len(tiles)} tiles, {columns} to a row")


def mosaic_by_cat(tiles, columns):
    refuse_rest(tiles, columns)
    starts = range(0, len(tiles), columns)
    return torch.cat([torch.cat(list(tiles[n : n + columns]), dim=1) for n in starts])


def mosaic_by_permute(tiles, columns):
    refuse_rest(tiles, columns)
    n, p, q, c = tiles.shape
    grid = tiles.reshape(n // columns, columns, p, q, c).permute(0, 2, 1, 3, 4)
    return grid.reshape(n // columns * p, columns * q, c)


def trials():
    return tuple(
        Trial(name, s, {"tiles": "(row column) p q c", "columns": s["column"]})
        for name, s in (
            ("on a grid", in_patches(ONE)),
            ("on another grid", in_patches(OTHER)),
        )
    )


def with_a_rest():
    sizes = dict(n=7, p=2, q=4, c=5)
    return (Trial("7 tiles, 3 to a row", sizes, dict(tiles="n p q c", columns=3), says=(7, 3)),)


EXERCISE = Exercise(
    id="shapes.mosaic",
    solution=shapes.mosaic,
    probes={"mosaic": "(row p) (column q) c"},
    trials=trials,
    slips=(*TILES, *PIXELS),
    hints=(
        "What undoes an arrow?",
        "It is the pattern of `patches`, read from right to left: n is taken apart into "
        "(row column), then row joins p and column joins q. One of row and column has to be "
        "given, and the other follows.",
        'rearrange(tiles, "( … ) p q c -> ( … ) ( … ) c", column=columns).',
    ),
    minutes=1,
    difficulty=2,
    otherwise=(mosaic_by_cat, mosaic_by_permute),
    refuses=with_a_rest,
)
