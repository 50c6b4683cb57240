"""Diagrams of chapter 8: relative positions in the plane and the augmented convolution."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from attncourse.book.diagrams import (
    ATTENTION,
    DATA,
    LEARNED,
    arrow,
    canvas,
    label,
    layer,
    matrix,
    tensor,
    vector,
)


def two_tables() -> Figure:
    """A query and a key on a feature map, and the two tables' entries for their offset."""
    fig, ax = canvas(15.4, 6.0)
    h, w, side = 5, 7, 0.6
    values = np.full((h, w), 0.15)
    values[1, 2], values[3, 5] = 1.0, 0.6
    words = np.full((h, w), "", dtype=object)
    words[1, 2], words[3, 5] = "q", "k"
    picture = matrix(ax, 0.9, 1.4, values, "h w", "", DATA, side, words)
    x0, top = 0.9, picture.y + picture.height
    corner = (x0 + 2.5 * side, top - 3.5 * side)
    arrow(ax, (x0 + 2.5 * side, top - 2.05 * side), corner, colour="#d55e00")
    arrow(ax, corner, (x0 + 4.95 * side, corner[1]), colour="#d55e00")
    over = (picture.middle[0], top + 0.2)
    ax.text(*over, "2 down, 3 right", ha="center", va="bottom", color="#d55e00", weight="bold")
    for left, n, offset, name, letters in (
        (7.1, h, 2, "$R$", "r d"),
        (10.3, w, 3, "$C$", "s d"),
    ):
        chosen = np.full((2 * n - 1, 3), 0.15)
        chosen[offset + n - 1] = 0.9
        size = 3.9 / (2 * n - 1)
        table = matrix(ax, left + 0.6, 0.9, chosen, "", name, LEARNED, size)
        label(ax, (table.middle[0], 0.78), letters, "center", "top")
        for place in (-(n - 1), 0, offset, n - 1):
            y = 0.9 + table.height - (place + n - 0.5) * size
            ax.text(
                left + 0.45, y, f"{place:+d}" if place else "0", ha="right", va="center", size=8
            )
    ax.text(
        12.9, 3.5, "$q \\cdot R_{+2}$\n$+\\; q \\cdot C_{+3}$", ha="left", va="center", size=11
    )
    ax.text(
        12.9,
        2.2,
        "is the position\nscore, added\nto $q \\cdot k$",
        ha="left",
        va="center",
        size=8.5,
    )
    return fig


def padded_strip() -> Figure:
    """Three rows of five offsets, padded by one, read as one strip and cut anew."""
    fig, ax = canvas(15.4, 8.3)
    n, r, side = 3, 5, 0.62
    rows = [[(i, f"{o:+d}" if o else "0") for o in range(-2, 3)] for i in range(n)]

    def grid(x, y, cells, name, dropped=None):
        """Cells of one query have one shade; what was padded is nearly white."""
        tone = [[(0.25, 0.5, 0.85)[i] if word != "·" else 0.0 for i, word in c] for c in cells]
        words = [[word.replace("-", "−") for _, word in c] for c in cells]
        before = len(ax.texts)
        box = matrix(ax, x, y, tone, "", name, DATA, side, words, dropped)
        for text in ax.texts[before : len(ax.texts) - 1]:  # the last is the name
            text.set_size(9.5)
        return box

    padded = [[*row, (i, "·")] for i, row in enumerate(rows)]
    strip = [cell for row in padded for cell in row]
    new = [strip[n - 1 + k : n - 1 + k + r] for k in range(0, n * r, r)]
    ends = np.zeros((1, len(strip)), dtype=bool)
    ends[:, : n - 1] = ends[:, -1] = True
    beyond = np.zeros((n, r), dtype=bool)
    beyond[:, n:] = True
    have = grid(1.2, 5.4, rows, "1 one column per offset")
    label(ax, (have.left[0], have.middle[1]), "query i", "right")
    grid(7.4, 5.4, padded, "2 one more cell in each row")
    arrow(ax, (4.45, 6.33), (7.2, 6.33), text="pad")
    grid(1.2, 3.4, [strip], "3 one strip; hatched cells are dropped", ends)
    arrow(ax, (9.3, 5.3), (9.3, 4.65))
    for start in (n - 1, n - 1 + r, n - 1 + 2 * r):
        corner = (1.2 + start * side, 3.4)
        ax.add_patch(Rectangle(corner, n * side, side, fc="none", ec="#d55e00", lw=2, zorder=3))
    grid(1.2, 0.4, new, "4 cut anew into rows of r", beyond)
    arrow(ax, (2.75, 3.25), (2.75, 2.8))
    box = grid(8.9, 0.4, [row[:n] for row in new], "5 one column per key")
    label(ax, (box.right[0] + 0.15, box.middle[1]), "i j", "left", "center")
    arrow(ax, (4.45, 1.33), (8.7, 1.33), text="the first n columns")
    return fig


def axis_logits() -> Figure:
    """One query's position scores of each row and of each column, added by broadcasting."""
    fig, ax = canvas(15.4, 5.2)
    down, across = np.array([-2, 0, 3, 1, -1]), np.array([0, 2, 1, -1, -2, 0, 1])
    sums = down[:, None] + across

    def numbers(x, y, values, colour):
        words = [[str(v).replace("-", "−") for v in row] for row in values]
        return matrix(ax, x, y, (np.asarray(values) + 4) / 9, "", "", colour, 0.56, words)

    numbers(3.1, 0.9, down[:, None], ATTENTION)
    label(ax, (2.95, 2.3), "$q \\cdot R$ to each row", "right")
    numbers(4.6, 4.0, across[None, :], ATTENTION)
    label(ax, (8.75, 4.28), "$q \\cdot C$ to each column", "left")
    table = numbers(4.6, 0.9, sums, ATTENTION)
    label(
        ax,
        (table.middle[0], 0.75),
        "position score of this query with each key, y x",
        "center",
        "top",
    )
    ax.text(9.2, 2.3, "h + w numbers\nfor each query\nmake all h w", ha="left", va="center")
    return fig


def longer_pair() -> Figure:
    """A query with its position scores of rows and columns behind it; a key with two ones."""
    fig, ax = canvas(15.4, 5.4)
    side = 0.5
    parts = (
        (0.6, 4, "q", DATA),
        (3.4, 5, "to rows", ATTENTION),
        (6.7, 7, "to columns", ATTENTION),
    )
    shown = np.array([0.4, 0.7, 0.3, 0.6]), np.array([0.2, 0.4, 0.9, 0.5, 0.3])
    third = np.array([0.4, 0.6, 0.5, 0.3, 0.2, 0.8, 0.5])
    for (x, _, name, colour), values in zip(parts, (*shown, third), strict=True):
        vector(ax, x + 1.0, 3.3, values, "", name, colour, side, across=True)
    label(ax, (1.45, 3.55), "query", "right")
    ones = [np.array([0.6, 0.2, 0.5, 0.7]), np.eye(5)[2], np.eye(7)[5]]
    names = ("k", "its row", "its column")
    for (x, _, _, colour), values, name in zip(parts, ones, names, strict=True):
        words = [["1" if v == 1 else "0" for v in values]] if len(values) > 4 else ""
        matrix(ax, x + 1.0, 1.3, values[None], "", name, colour, side, words)
    label(ax, (1.45, 1.55), "key", "right")
    for x, width, size in ((1.6, 4, "d"), (4.4, 5, "h"), (7.7, 7, "w")):
        label(ax, (x + width * side / 2, 1.15), size, "center", "top")
    words = "one product of\nd + h + w features:\n$q \\cdot k$, and the two\n"
    words += "entries that the\nones pick"
    ax.text(11.8, 2.7, words, ha="left", va="center", size=8.5)
    return fig


def augmented_convolution() -> Figure:
    """A convolution for most channels, attention for the others, concatenated."""
    fig, ax = canvas(15.4, 6.6)
    tensor(ax, 0.5, 1.6, (1.3, 1.6, 1.6), "c h w", "$x$", [DATA] * 6)
    layer(ax, 4.5, 0.95, "convolution 3 x 3", 3.2, 0.8)
    layer(ax, 4.5, 3.9, "k, q, v\n1 x 1", 1.4, 1.0)
    layer(ax, 6.6, 3.9, "attention with\n$R$ and $C$", 3.3, 1.0, ATTENTION)
    layer(ax, 7.05, 5.6, "tables $R$, $C$", 2.4, 0.7)
    layer(ax, 10.6, 3.9, "$W_o$\n1 x 1", 1.0, 1.0)
    arrow(ax, (3.5, 3.6), (4.4, 4.25))
    arrow(ax, (3.25, 1.8), (4.4, 1.4))
    arrow(ax, (6.0, 4.4), (6.5, 4.4))
    arrow(ax, (8.25, 5.55), (8.25, 5.0))
    arrow(ax, (10.0, 4.4), (10.5, 4.4))
    colours = [DATA] * 4 + [ATTENTION] * 2
    tensor(ax, 12.2, 1.0, (1.2, 1.5, 1.2), "f h w", "", colours)
    ax.text(12.95, 0.0, "out", ha="center", va="bottom", weight="bold")
    arrow(ax, (11.7, 4.4), (13.85, 4.4), (13.85, 3.35))
    ax.text(13.0, 4.5, "dv channels", ha="center", va="bottom", size=8.5)
    arrow(ax, (7.8, 1.2), (12.1, 1.2))
    ax.text(9.85, 1.3, "f − dv channels", ha="center", va="bottom", size=8.5)
    return fig
