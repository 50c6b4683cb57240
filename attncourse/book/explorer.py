"""Attention maps that one can touch: choose a place of an image, and see where it looks.

`explorer.js` beside this file draws them, in a notebook and on the web page alike. Where no
script runs, a figure stands there with the same maps for one query.
"""

import base64
import gzip
import io
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from PIL import Image

from attncourse.book import plots
from attncourse.files import write_whole

STATIC = "ATTNCOURSE_STATIC"  # set: notebooks show the figure only, the same on every run
KEEP = "ATTNCOURSE_MAPS"  # a folder: maps that have a name are kept there for the web edition
NARROWEST = 2  # a ratio of sides that is off by more is not the image's

Map = torch.Tensor  # b head i j, head i j, or i j
Maps = Map | Sequence[Map] | Mapping[str, "Map | Sequence[Map]"] | Callable


@dataclass(frozen=True)
class Layer:
    """The maps of one layer, head i j."""

    name: str
    weights: np.ndarray


def explore(
    image: torch.Tensor,
    maps: Maps,
    *,
    queries: tuple[int, int] | None = None,
    keys: tuple[int, int] | None = None,
    query: int | tuple[int, int] | None = None,
    alt: str = "",
    name: str = "",
):
    """Show where the places of an image look: point, tap, or use the arrow keys.

    image    h w, c h w or h w c, between 0 and 1
    maps     weights `b head i j` (the first of the batch is shown), `head i j` or `i j`; a list
             of them, one a layer; a dict of either by the name of a mechanism or model, two of
             which stand side by side; or a function of the image that returns any of these
    queries  rows and columns in which the i lie; without it, shaped as the image is
    keys     the same of the j
    query    the first one shown, as its number or as (row, column); without it, the middle
    alt      what the figure shows, in words; without it the strongest places are told
    name     keeps the maps under this name for the web edition

    In a notebook that runs, returns the widget; its `query` can be read and set. Raises
    ValueError, with the numbers, for maps that do not fit.
    """
    if not isinstance(maps, Mapping | Sequence | torch.Tensor) and callable(maps):
        maps = maps(image)
    picture = _picture(image)
    series = {title: _layers(each) for title, each in _by_name(maps).items()}
    i, j = _same([layer.weights.shape[1:] for layers in series.values() for layer in layers])
    queries, keys = (
        _grid(n, sides, picture.shape[:2], letter)
        for n, sides, letter in ((i, queries, "i"), (j, keys, "j"))
    )
    start = _start(query, queries)
    told = alt or _strongest(series, start, queries, keys)
    fig = _figure(picture, series, start, queries, keys)
    spec, packed = pack(picture, series, queries, keys, start, told)
    if name and (folder := os.environ.get(KEEP)):
        keep(Path(folder), name, spec, packed)
    live = not os.environ.get(STATIC) and find_spec("anywidget") and plots._shell() is not None
    plots.show(fig, told, explorer=name or "unnamed")
    return _widget()(spec=spec, maps=packed, query=start) if live else None


def pack(picture, series, queries, keys, start, alt) -> tuple[dict, bytes]:
    """The description and the bytes that `explorer.js` reads."""
    rows, described = [], []
    for title, layers in series.items():
        described.append({"name": title, "layers": []})
        for layer in layers:
            at = sum(len(each) for each in rows)
            described[-1]["layers"].append(
                {"name": layer.name, "heads": len(layer.weights), "at": at}
            )
            rows.append(layer.weights.reshape(-1, layer.weights.shape[-1]))
    weights = np.concatenate(rows).astype(np.float32)
    most = weights.max(1)
    share = weights / np.where(most > 0, most, 1)[:, None]
    levels = np.rint(255 * np.sqrt(share)).astype(np.uint8)
    packed = gzip.compress(most.astype("<f4").tobytes() + levels.tobytes(), mtime=0)
    spec = {
        "image": _address(picture),
        "alt": alt,
        "queries": list(queries),
        "keys": list(keys),
        "start": start,
        "series": described,
    }
    return spec, packed


def keep(folder: Path, name: str, spec: dict, packed: bytes) -> None:
    """Both as files, which the web edition reads."""
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / f"{name}.json", (json.dumps(spec) + "\n").encode())
    write_whole(folder / f"{name}.maps", packed)


def thinned(spec: dict, packed: bytes) -> tuple[dict, bytes]:
    """Every other row and column of the queries, a quarter of the bytes: for a start page."""
    (high, wide), keys = spec["queries"], spec["keys"]
    raw = np.frombuffer(gzip.decompress(packed), np.uint8)
    n, j = len(raw) // (4 + keys[0] * keys[1]), keys[0] * keys[1]
    every = np.arange(n).reshape(-1, high, wide)[:, 1::2, 1::2].ravel()
    most, levels = raw[: 4 * n].reshape(n, 4)[every], raw[4 * n :].reshape(n, j)[every]
    series = [
        one | {"layers": [layer | {"at": layer["at"] // 4} for layer in one["layers"]]}
        for one in spec["series"]
    ]
    row, column = divmod(spec["start"], wide)
    at = [
        ((2 * r + 1.5) * keys[0] // high, (2 * c + 1.5) * keys[1] // wide)
        for r in range(high // 2)
        for c in range(wide // 2)
    ]
    fewer = {
        "own": [int(r * keys[1] + c) for r, c in at],
        "shown": [len(series) - 2, len(series) - 1],
        "queries": [high // 2, wide // 2],
        "start": (row // 2) * (wide // 2) + column // 2,
        "series": series,
    }
    return spec | fewer, gzip.compress(most.tobytes() + levels.tobytes(), mtime=0)


@cache
def _widget() -> type:
    """The widget's class: it imports what a static figure does not need."""
    import anywidget
    import traitlets

    class Explorer(anywidget.AnyWidget):
        """Maps, and the query whose row is shown."""

        _esm = Path(__file__).with_name("explorer.js")
        spec = traitlets.Dict().tag(sync=True)
        maps = traitlets.Bytes().tag(sync=True)
        query = traitlets.Int().tag(sync=True)

    return Explorer


def _by_name(maps) -> Mapping:
    if isinstance(maps, Mapping):
        if not maps:
            raise ValueError("there is no map to show: the dict is empty")
        return maps
    return {"attention": maps}


def _layers(maps) -> list[Layer]:
    each = [maps] if isinstance(maps, torch.Tensor) else list(maps)
    if not each:
        raise ValueError("there is no map to show: the list of layers is empty")
    return [Layer(f"layer {n}", _weights(one)) for n, one in enumerate(each)]


def _weights(one) -> np.ndarray:
    array = plots._array(one).astype(np.float64)
    if array.ndim == 4 and len(array):
        array = array[0]
    if array.ndim == 2:
        array = array[None]
    if array.ndim != 3 or 0 in array.shape:
        raise ValueError(f"a map is b head i j, head i j or i j; this is {tuple(one.shape)}")
    if not np.isfinite(array).all() or array.min() < 0:
        raise ValueError(
            f"weights are 0 or more; these go from {array.min():.3g} to {array.max():.3g}"
        )
    return array


def _same(shapes) -> tuple[int, int]:
    first, *others = shapes
    if odd := next((shape for shape in others if shape != first), None):
        raise ValueError(
            f"maps of one explorer have the same queries and keys: i j is {first} and {odd}"
        )
    return first


def _grid(n, sides, image, letter) -> tuple[int, int]:
    """Rows and columns in which n places lie: those given, or shaped as the image is."""
    if sides is not None:
        if sides[0] * sides[1] != n:
            raise ValueError(f"{sides[0]} x {sides[1]} places are not {letter}={n}")
        return tuple(sides)
    wanted = np.log(image[0] / image[1])
    fits = [(h, n // h) for h in range(1, n + 1) if n % h == 0]
    best = min(fits, key=lambda sides: abs(np.log(sides[0] / sides[1]) - wanted))
    if abs(np.log(best[0] / best[1]) - wanted) > np.log(NARROWEST):
        word = {"i": "queries", "j": "keys"}[letter]
        raise ValueError(
            f"{letter}={n} places do not lie in the shape of {image[0]} x {image[1]} pixels: "
            f"say how, {word}=(rows, columns), without class tokens"
        )
    return best


def _start(query, queries) -> int:
    rows, columns = queries
    if query is None:
        return (rows // 2) * columns + columns // 2
    at = query if isinstance(query, int) else query[0] * columns + query[1]
    if not 0 <= at < rows * columns:
        raise ValueError(f"{query=} is not among {rows} x {columns} queries")
    return at


def _picture(image) -> np.ndarray:
    """h w c, between 0 and 1."""
    array = plots._array(image).astype(np.float64)
    if array.ndim == 3 and array.shape[-1] not in (1, 3) and array.shape[0] in (1, 3):
        array = np.moveaxis(array, 0, -1)
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or array.shape[-1] not in (1, 3):
        raise ValueError(f"a picture is h w, c h w or h w c; this is {array.shape}")
    return np.broadcast_to(array.clip(0, 1), (*array.shape[:2], 3))


def _address(picture: np.ndarray) -> str:
    buffer = io.BytesIO()
    Image.fromarray(np.rint(255 * picture).astype(np.uint8)).save(buffer, "png", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def _rows_of(series, start) -> dict[str, np.ndarray]:
    """The row of a query in the first layer of each mechanism, the mean of its heads."""
    return {title: layers[0].weights[:, start].mean(0) for title, layers in series.items()}


def _own(start, queries, keys) -> int:
    """The key at the place of a query."""
    row, column = divmod(start, queries[1])
    return (
        int((row + 0.5) * keys[0] / queries[0]) * keys[1]
        + int((column + 0.5) * keys[1] / queries[1])
    )  # fmt: skip


def _strongest(series, start, queries, keys) -> str:
    own, places = _own(start, queries, keys), []
    for title, row in _rows_of(series, start).items():
        others = row.copy()
        others[own] = 0
        at = divmod(int(others.argmax()), keys[1])
        places.append(
            f"by {title} it gives {row[own]:.2g} to its own place and, elsewhere, at most "
            f"{others.max():.2g}, to row {at[0]}, column {at[1]}"
        )
    row, column = divmod(own, keys[1])
    return (
        f"An image of {keys[0]} by {keys[1]} places, and one query, at row {row}, "
        f"column {column}: {'; '.join(places)}."
    )


def _scale(weights: np.ndarray) -> float:
    """Where the colours end: a few large weights would leave all others dark."""
    most = weights.max()
    return float(most if len(weights) < 100 else max(most / 20, np.sort(weights)[-8])) or 1.0


def _figure(picture, series, start, queries, keys):
    """The image with the query, and beside it up to three maps over it."""
    rows = dict(list(_rows_of(series, start).items())[:3])
    high, wide = picture.shape[:2]
    down, across = (2, 2) if len(rows) == 3 else (1, 1 + len(rows))
    side = plots.WIDEST / across
    height = down * min(4.0, side * high / wide + 0.6)
    fig, axs = plt.subplots(down, across, figsize=(plots.WIDEST, height), squeeze=False)
    axs = axs.flat
    plots.image(axs[0], picture, "The query")
    grey = picture.mean(-1)
    row, column = divmod(start, queries[1])
    at = (column + 0.5) * wide / queries[1] - 0.5, (row + 0.5) * high / queries[0] - 0.5
    for ax, (title, weights) in zip(axs[1:], rows.items(), strict=True):
        end = _scale(weights)
        plots.image(ax, 0.25 + 0.6 * grey, f"{title}\nyellow: weight ≥ {end:.2g}")
        share = (weights / end).clip(max=1).reshape(keys)
        box = (-0.5, wide - 0.5, high - 0.5, -0.5)
        ax.imshow(share, vmin=0, vmax=1, alpha=0.9 * np.sqrt(share), extent=box)
    for ax in axs:
        ax.plot(*at, "o", mfc="none", mec="#d55e00", ms=11, mew=1.4)
        ax.set(xlim=(-0.5, wide - 0.5), ylim=(high - 0.5, -0.5))
    return fig
