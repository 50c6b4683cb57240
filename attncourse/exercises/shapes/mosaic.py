"""Patches put together again."""

import torch

from attncourse.exercises.edits import wrong
from attncourse.exercises.record import Exercise, Trial
from attncourse.exercises.shapes.shared import ONE, OTHER
from solutions import shapes

# fmt: off
TILES = (
    wrong("rows_for_columns", "w=w", "h=w",
          "Your mosaic has w rows. It should have w columns: w is the number of tiles in a row, and"
          " h follows from n = `(h w)`."),
    wrong("filled_downwards", "(h w)", "(w h)",
          "You fill the mosaic column by column: `(w h)`. The tiles come row by row: `(h w)`."),
    wrong("one_long_row", '"(h w) p q c -> (h p) (w q) c", w=w', '"n p q c -> p (n q) c"',
          "All your tiles stand in one row: w is not used. Take n apart into `(h w)`, with w"
          " given."),
)

PIXELS = (
    wrong("interleaved_pixels", "(h p) (w q)", "(p h) (q w)",
          "Your tiles are interleaved, a pixel of each in turn: `(p h) (q w)`. The tile is the"
          " outer letter, so it stands first: `(h p) (w q)`."),
    wrong("interleaved_across", "(w q)", "(q w)",
          "The height is right; across, your tiles are interleaved, a pixel of each in turn: `(q"
          " w)`. The tile is the outer letter: `(w q)`."),
    wrong("interleaved_down", "(h p)", "(p h)",
          "The width is right; downwards, your tiles are interleaved, a pixel of each in turn: `(p"
          " h)`. The tile is the outer letter: `(h p)`."),
    wrong("mosaic_reshaped", 'return rearrange(tiles, "(h w) p q c -> (h p) (w q) c", w=w)',
          "n, p, q, c = tiles.shape\nreturn tiles.reshape(n // w * p, w * q, c)",
          "`reshape` and `view` lay the tiles out one after the other, without moving p past w. The"
          " order of the axes changes too: `(h w) p q c -> (h p) (w q) c`."),
)
# fmt: on


def refuse_rest(tiles, w):
    if len(tiles) % w:
        raise ValueError(f"{len(tiles)} tiles, {w} to a row")


def mosaic_by_cat(tiles, w):
    refuse_rest(tiles, w)
    rows = [torch.cat(list(tiles[i : i + w]), dim=1) for i in range(0, len(tiles), w)]
    return torch.cat(rows)


def mosaic_by_permute(tiles, w):
    refuse_rest(tiles, w)
    n, p, q, c = tiles.shape
    return (
        tiles.reshape(n // w, w, p, q, c).permute(0, 2, 1, 3, 4).reshape(n // w * p, w * q, c)
    )


def trials():
    return tuple(
        Trial(name, s, {"tiles": "(h w) p q c", "w": s["w"]})
        for name, s in (("on a grid", ONE), ("on another grid", OTHER))
    )


def with_a_rest():
    sizes = dict(n=7, p=2, q=4, c=5)
    return (Trial("7 tiles, 3 to a row", sizes, dict(tiles="n p q c", w=3), says=(7, 3)),)


EXERCISE = Exercise(
    id="shapes.mosaic",
    solution=shapes.mosaic,
    probes={"mosaic": "(h p) (w q) c"},
    trials=trials,
    slips=(*TILES, *PIXELS),
    hints=(
        "What undoes an arrow?",
        "The pattern of `patches`, read from right to left: n comes apart into (h w), "
        "and h joins p, w joins q. One of h and w has to be given, the other follows.",
        'rearrange(tiles, "( … ) p q c -> ( … ) ( … ) c", w=w).',
    ),
    minutes=1,
    difficulty=2,
    otherwise=(mosaic_by_cat, mosaic_by_permute),
    refuses=with_a_rest,
)
