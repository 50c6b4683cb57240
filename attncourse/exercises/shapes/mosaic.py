"""The record of `shapes.mosaic`."""

import torch
from einops import rearrange

from attncourse.exercises.record import Exercise, Trial
from attncourse.exercises.shapes.shared import ONE, OTHER
from solutions import shapes


def rows_for_columns(tiles, w):
    """Your mosaic has w rows. It should have w columns: w is the number of tiles in a row,
    and h follows from n = `(h w)`."""
    return rearrange(tiles, "(h w) p q c -> (h p) (w q) c", h=w)


def filled_downwards(tiles, w):
    """You fill the mosaic column by column: `(w h)`. The tiles come row by row: `(h w)`."""
    return rearrange(tiles, "(w h) p q c -> (h p) (w q) c", w=w)


def interleaved_pixels(tiles, w):
    """Your tiles are interleaved, a pixel of each in turn: `(p h) (q w)`. The tile is the
    outer letter, so it stands first: `(h p) (w q)`."""
    return rearrange(tiles, "(h w) p q c -> (p h) (q w) c", w=w)


def interleaved_across(tiles, w):
    """The height is right; across, your tiles are interleaved, a pixel of each in turn: `(q
    w)`. The tile is the outer letter: `(w q)`."""
    return rearrange(tiles, "(h w) p q c -> (h p) (q w) c", w=w)


def interleaved_down(tiles, w):
    """The width is right; downwards, your tiles are interleaved, a pixel of each in turn: `(p
    h)`. The tile is the outer letter: `(h p)`."""
    return rearrange(tiles, "(h w) p q c -> (p h) (w q) c", w=w)


def mosaic_reshaped(tiles, w):
    """`reshape` and `view` lay the tiles out one after the other, without moving p past w.
    The order of the axes changes too: `(h w) p q c -> (h p) (w q) c`."""
    n, p, q, c = tiles.shape
    return tiles.reshape(n // w * p, w * q, c)


def mosaic_lying(tiles, w):
    """Your mosaic is mirrored at its diagonal: the width stands first. Rows come first: `(h
    p) (w q) c`."""
    return rearrange(tiles, "(h w) p q c -> (w q) (h p) c", w=w)


def tiles_lying(tiles, w):
    """The grid is right, but each tile in it is mirrored at its diagonal: p belongs to h and
    q to w, `(h p) (w q)`."""
    return rearrange(tiles, "(h w) p q c -> (h q) (w p) c", w=w)


def one_long_row(tiles, w):
    """All your tiles stand in one row: w is not used. Take n apart into `(h w)`, with w
    given."""
    return rearrange(tiles, "n p q c -> p (n q) c")


def mosaic_by_cat(tiles, w):
    rows = [torch.cat(list(tiles[i : i + w]), dim=1) for i in range(0, len(tiles), w)]
    return torch.cat(rows)


def mosaic_by_permute(tiles, w):
    n, p, q, c = tiles.shape
    return (
        tiles.reshape(n // w, w, p, q, c).permute(0, 2, 1, 3, 4).reshape(n // w * p, w * q, c)
    )


def mosaic_trials():
    return tuple(
        Trial(name, s, {"tiles": "(h w) p q c", "w": s["w"]})
        for name, s in (("on a grid", ONE), ("on another grid", OTHER))
    )


EXERCISE = Exercise(
    id="shapes.mosaic",
    solution=shapes.mosaic,
    probes={"mosaic": "(h p) (w q) c"},
    trials=mosaic_trials,
    slips=(
        rows_for_columns,
        filled_downwards,
        interleaved_pixels,
        interleaved_across,
        interleaved_down,
        mosaic_reshaped,
        mosaic_lying,
        tiles_lying,
        one_long_row,
    ),
    hints=(
        "What undoes an arrow?",
        "The pattern of `patches`, read from right to left: n comes apart into (h w), "
        "and h joins p, w joins q. One of h and w has to be given, the other follows.",
        'rearrange(tiles, "( … ) p q c -> ( … ) ( … ) c", w=w).',
    ),
    minutes=1,
    difficulty=2,
    otherwise=(mosaic_by_cat, mosaic_by_permute),
)
