"""Diagrams of mechanisms: tensors as boxes with their letters on the edges, steps as arrows.

A diagram says with shapes what the formula says with symbols. It has its own units, y upwards.
The same colours everywhere: data blue, learned orange, attention (weights, gains) green.

    fig, ax = canvas(15, 5)
    x = tensor(ax, 0.6, 1, (1.3, 1.7, 1.5), "c h w", "x")
    z = vector(ax, 5, 1.3, [0.5, 0.6, 0.4], "c", "z")
    arrow(ax, x.right, z.left, "mean over h, w")
    plots.show(fig, "…")
"""

from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch, Polygon, Rectangle

from attncourse.book.plots import WIDEST

DATA, LEARNED, ATTENTION, HIDDEN, INK = "#56b4e9", "#e69f00", "#009e73", "#d9d9d9", "#333333"
FAR = 0.12  # from an edge to its letter

Point = tuple[float, float]


@dataclass(frozen=True)
class Box:
    """Where something was drawn: what arrows start from and point at."""

    x: float
    y: float
    width: float
    height: float

    @property
    def middle(self) -> Point:
        return self.x + self.width / 2, self.y + self.height / 2

    @property
    def left(self) -> Point:
        return self.x - 0.08, self.middle[1]

    @property
    def right(self) -> Point:
        return self.x + self.width + 0.08, self.middle[1]

    @property
    def top(self) -> Point:
        return self.middle[0], self.y + self.height + 0.08

    @property
    def bottom(self) -> Point:
        return self.middle[0], self.y - 0.08


def canvas(width: float, height: float, inches: float = WIDEST) -> tuple[Figure, Axes]:
    """An empty drawing of width x height units, equal in both directions."""
    fig, ax = plt.subplots(figsize=(inches, inches * height / width))
    ax.set(xlim=(0, width), ylim=(0, height), aspect="equal")
    ax.axis("off")
    return fig, ax


def shade(colour: str, value: float) -> tuple[float, ...]:
    """The colour, paler the smaller the value (0 to 1)."""
    return tuple(1 - (0.12 + 0.88 * value) * (1 - part) for part in to_rgb(colour))


def tensor(ax, x, y, size: Sequence[float], letters: str, name="", colours=DATA) -> Box:
    """A stack of maps, size (depth, height, width) in units, three letters on its edges.

    colours  one for all, or one for each slice, front first
    """
    depth, h, w = size
    slices = [colours] if isinstance(colours, str | tuple) else list(colours)
    step = depth / len(slices)
    for number in reversed(range(len(slices))):
        left, low = x + number * step, y + number * step
        right, high = left + w, low + h
        side = [
            (right, low),
            (right + step, low + step),
            (right + step, high + step),
            (right, high),
        ]
        top = [
            (left, high),
            (right, high),
            (right + step, high + step),
            (left + step, high + step),
        ]
        front = [(left, low), (right, low), (right, high), (left, high)]
        for corners, alpha in ((side, 0.65), (top, 0.45), (front, 1.0)):
            ax.add_patch(Polygon(corners, fc="white", ec="none"))
            ax.add_patch(Polygon(corners, fc=slices[number], alpha=alpha, ec="white", lw=0.6))
    c, rows, columns = letters.split()
    label(ax, (x - FAR, y + h / 2), rows, "right", "center")
    label(ax, (x + w / 2, y - FAR), columns, "center", "top")
    label(ax, (x + w + depth / 2 + FAR, y + depth / 2 - FAR), c, "left", "top")
    title(ax, x + (w + depth) / 2, y + h + depth, name)
    return Box(x, y, w + depth, h + depth)


def matrix(
    ax, x, y, values, letters="", name="", colour=DATA, side=0.4, text="", hidden=None
) -> Box:
    """A grid of cells, first row on top, darker where the value (0 to 1) is larger.

    letters  of the rows and of the columns, as "i j"
    text     how to write each value in its cell, as "{:.1f}"; or a grid of words
    hidden   True for cells that are masked: hatched grey
    """
    values = np.asarray(values, dtype=float)
    rows, columns = values.shape
    words = np.asarray(text) if not isinstance(text, str) else None
    for i, j in np.ndindex(rows, columns):
        where = (x + j * side, y + (rows - 1 - i) * side)
        masked = hidden is not None and bool(np.asarray(hidden)[i, j])
        fill = HIDDEN if masked else shade(colour, values[i, j].clip(0, 1))
        cell = Rectangle(where, side, side, fc=fill, ec=INK, lw=0.6, hatch="////" * masked)
        cell.set(hatch_linewidth=0.4) if masked else None
        ax.add_patch(cell)
        word = words[i, j] if words is not None else text.format(values[i, j])
        if word and not masked:
            dark = sum(shade(colour, values[i, j].clip(0, 1))) < 1.5
            middle = (where[0] + side / 2, where[1] + side / 2)
            ax.text(
                *middle,
                word,
                ha="center",
                va="center",
                size=7.5,
                color="white" if dark else INK,
            )
    box = Box(x, y, columns * side, rows * side)
    if letters:
        row, column = letters.split()
        label(ax, (x - FAR, box.middle[1]), row, "right", "center")
        label(ax, (box.middle[0], y - FAR), column, "center", "top")
    title(ax, box.middle[0], y + box.height, name)
    return box


def numbers(
    ax,
    x,
    y,
    values,
    rows="",
    columns="",
    name="",
    shades=None,
    colour=DATA,
    side=0.6,
    form="{:g}",
    hidden=None,
) -> Box:
    """A table with its numbers written in it, its axes, of any words, at its left and below.

    shades  how dark each cell is, 0 to 1; without them the larger number is the darker
    form    how a number is written
    """
    values = np.atleast_2d(np.asarray(values, dtype=float))
    shades = values / max(values.max(), 1) if shades is None else np.atleast_2d(shades)
    text = np.vectorize(form.format)(values)
    box = matrix(ax, x, y, 0.7 * np.asarray(shades), "", name, colour, side, text, hidden)
    label(ax, (x - FAR, box.middle[1]), rows, "right", "center")
    label(ax, (box.middle[0], y - FAR), columns, "center", "top")
    return box


def vector(ax, x, y, values, letter="", name="", colour=DATA, side=0.32, across=False) -> Box:
    """A column of cells (or a row), first on top, darker where the value (0 to 1) is larger."""
    grid = np.asarray(values, dtype=float)[None, :] if across else np.asarray(values)[:, None]
    box = matrix(ax, x, y, grid, "", name, colour, side)
    label(ax, (box.middle[0], y - FAR), letter, "center", "top")
    return box


def layer(ax, x, y, text, width=1.3, height=0.62, colour=LEARNED) -> Box:
    """A box with a name in it: something with weights, or, in another colour, a function."""
    shape = "round,pad=0.02,rounding_size=0.1"
    ax.add_patch(
        FancyBboxPatch(
            (x, y), width, height, boxstyle=shape, fc=shade(colour, 0.3), ec=colour, lw=1.2
        )
    )
    ax.text(x + width / 2, y + height / 2, text, ha="center", va="center")
    return Box(x, y, width, height)


def join(ax, x, y, sign="+", radius=0.22) -> Box:
    """A circle around its middle x, y where two ways meet: + or ×."""
    ax.add_patch(Circle((x, y), radius, fc="white", ec=INK, lw=1.2, zorder=3))
    ax.text(x, y, sign, ha="center", va="center_baseline", zorder=4)
    return Box(x - radius, y - radius, 2 * radius, 2 * radius)


def frame(ax, x, y, width, height, name="") -> Box:
    """A dashed frame around several things, its name above the upper left corner."""
    ax.add_patch(
        Rectangle((x, y), width, height, fc="none", ec="#888888", lw=1, ls=(0, (4, 3)))
    )
    ax.text(x, y + height + 0.1, name, ha="left", va="bottom", size=8.5, color="#666666")
    return Box(x, y, width, height)


def arrow(ax, start: Point, *ends: Point, text="", bend=0.0, colour=INK) -> None:
    """From one point to another, or along corners to the last, with what happens on the way.

    The words stand above the middle of the first stretch, or at its right where it is upright.
    """
    *corners, end = ends
    way = [start, *corners]
    if corners:
        ax.plot(*zip(*way, strict=True), color=colour, lw=1.2, solid_capstyle="butt")
    ax.add_patch(
        FancyArrowPatch(
            way[-1], end, arrowstyle="-|>", mutation_scale=11, lw=1.2, color=colour,
            connectionstyle=f"arc3,rad={bend}", shrinkA=0, shrinkB=0,
        )
    )  # fmt: skip
    if text:
        (x, y), (to, up) = start, ends[0]
        if abs(to - x) < abs(up - y):
            ax.text((x + to) / 2 + 0.12, (y + up) / 2, text, ha="left", va="center", size=8.5)
        else:
            ax.text((x + to) / 2, (y + up) / 2 + 0.1, text, ha="center", va="bottom", size=8.5)


def arrows(ax, *ways: Sequence[Point]) -> None:
    """An arrow along each way: its points in order, from the first to the last."""
    for way in ways:
        arrow(ax, *way)


def label(ax, where: Point, text, across="center", up="center") -> None:
    """A letter of the text's formulas, in their italics."""
    ax.text(*where, text, ha=across, va=up, style="italic")


def title(ax, x, y, text) -> None:
    """The name of what stands below, bold."""
    ax.text(x, y + FAR, text, ha="center", va="bottom", weight="bold")


def step(ax, x, y, text) -> None:
    """The heading of a part of the diagram, as "1 squeeze"."""
    ax.text(x, y, text, ha="center", size=10, color="#777777", weight="bold")
