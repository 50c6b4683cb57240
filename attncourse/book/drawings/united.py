"""Diagrams of chapter 12: heads that read one pixel, patches, windows that shift, a gate."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from attncourse.book.diagrams import (
    ATTENTION,
    DATA,
    LEARNED,
    arrow,
    canvas,
    join,
    label,
    layer,
    matrix,
    numbers,
    shade,
    tensor,
    title,
    vector,
)

MAP = 0.2 + 0.6 * np.abs(np.sin(np.arange(36) * 2.3)).reshape(6, 6)
PARTS = ("#56b4e9", "#e69f00", "#cc79a7", "#f0e442")  # of a map that was rolled


def heads_as_places() -> Figure:
    """A query, three of its nine heads with one bright cell each, their matrices, the sum."""
    fig, ax = canvas(15.4, 7.6)
    picture = matrix(ax, 0.8, 2.7, MAP[:5, :5], "h w", "x, padded", side=0.5)
    ax.add_patch(
        Rectangle((0.8 + 2 * 0.5, 2.7 + 2 * 0.5), 0.5, 0.5, fc="none", ec="#d55e00", lw=2.5)
    )
    ax.text(0.8, 1.95, "framed: the query", size=8.5, color="#d55e00", ha="left", va="center")
    rows = ((5.4, (1, 1), "-1, -1"), (2.95, (1, 2), "-1, 0"), (0.5, (3, 3), "1, 1"))
    add = join(ax, 13.2, 3.95)
    for y, (row, column), words in rows:
        weights = np.zeros((5, 5))
        weights[row, column] = 1
        head = matrix(ax, 5.4, y, weights, "", f"A, shift {words}", ATTENTION, 0.34)
        arrow(ax, picture.right, head.left)
        own = layer(ax, 9.3, y + 0.5, f"$W_{{{words}}}$", 1.7, 0.7)
        arrow(ax, head.right, own.left, text="reads one")
        arrow(ax, own.right, (12.9, 3.95 + (y - 2.95) / 9))
    ax.text(8.4, 5.0, "…", size=14, ha="center", va="center")
    arrow(ax, add.right, (14.5, 3.95))
    label(ax, (14.8, 3.95), "y")
    ax.text(13.6, 4.6, "all nine\nsummed", ha="left", va="center", size=8.5)
    return fig


def patches_as_tokens() -> Figure:
    """A picture in four patches, one of them through a matrix; the class token in front, and
    positions added."""
    fig, ax = canvas(15.4, 7.0)
    matrix(ax, 0.8, 2.4, MAP[:4, :4], "h w", "", side=0.7)
    for y in (0, 2):
        for x in (0, 2):
            corner = (0.8 + 0.7 * x, 2.4 + 0.7 * y)
            ax.add_patch(Rectangle(corner, 1.4, 1.4, fc="none", ec="#d55e00", lw=2.2))
    row = vector(
        ax, 4.6, 4.9, MAP[:2, :2].flatten(), "c dy dx", "a patch", side=0.45, across=True
    )
    arrow(ax, (1.5, 5.3), (1.5, 6.5), (5.5, 6.5), (5.5, 6.0))
    label(ax, (3.0, 5.55), "x")
    made = layer(ax, 7.9, 4.75, "E, bias", 1.6, 0.75)
    arrow(ax, row.right, made.left)
    token = vector(ax, 10.6, 4.9, [0.7, 0.3, 0.5], "dim", "its token", side=0.45, across=True)
    arrow(ax, made.right, token.left)
    tokens = matrix(ax, 4.2, 0.7, MAP[:5, :3], "n dim", "", side=0.45)
    for place in range(3):
        matrix(ax, 4.2 + 0.45 * place, 2.5, [[0.8 - 0.2 * place]], "", "", LEARNED, 0.45)
    ax.text(5.75, 2.75, "class token", ha="left", va="bottom", size=8.5)
    add = join(ax, 7.2, 1.8)
    arrow(ax, tokens.right, add.left)
    table = matrix(ax, 8.9, 0.7, MAP[1:6, 1:4], "", "positions", LEARNED, 0.45)
    arrow(ax, table.left, add.right)
    arrow(ax, (7.2, 1.5), (7.2, 0.25), (11.9, 0.25), (11.9, 1.4))
    encoder = layer(ax, 11.1, 1.5, "blocks", 1.6, 0.75, ATTENTION)
    arrow(ax, encoder.right, (13.6, 1.87))
    ax.text(13.8, 1.87, "to the\nhead", ha="left", va="center")
    return fig


def shifted_windows() -> Figure:
    """A map in four windows; the same with its windows shifted; rolled, with its four parts in
    four colours."""
    fig, ax = canvas(15.4, 5.6)
    side = 0.5
    for x, name in ((0.9, "windows"), (5.9, "shifted by 1"), (10.9, "rolled")):
        for row in range(6):
            for column in range(6):
                part = 0
                if x > 10:
                    part = (row >= 5) + 2 * (column >= 5)
                elif x > 5:  # where these lie before the roll
                    part = (row < 1) + 2 * (column < 1)
                colour = shade(PARTS[part], 0.55)
                corner = (x + side * column, 1.5 + side * (5 - row))
                ax.add_patch(Rectangle(corner, side, side, fc=colour, ec="white", lw=0.8))
        title(ax, x + 1.5, 4.5, name)
        cuts = (1, 4) if 5 < x < 10 else (0, 3, 6)
        ax.add_patch(Rectangle((x, 1.5), 3, 3, fill=False, ec="#333333", lw=0.8))
        for cut in cuts:
            ax.plot([x, x + 3], [4.5 - side * cut] * 2, color="#333333", lw=2)
            ax.plot([x + side * cut] * 2, [1.5, 4.5], color="#333333", lw=2)
    arrow(ax, (4.1, 3.0), (5.6, 3.0), text="next layer")
    arrow(ax, (9.1, 3.0), (10.6, 3.0), text="roll")
    label(ax, (0.75, 3.0), "h", "right")
    label(ax, (2.4, 1.38), "w", "center", "top")
    ax.text(
        12.4,
        0.8,
        "same window and same\ncolour: may see each other",
        ha="center",
        va="center",
        size=8.5,
    )
    ax.text(7.4, 0.8, "nine windows,\neight of them cut", ha="center", va="center", size=8.5)
    return fig


def bias_table() -> Figure:
    """A query in a window of 2 x 2, the table of 3 x 3 numbers, and the four that it uses."""
    fig, ax = canvas(15.4, 5.4)
    window = matrix(ax, 0.9, 1.8, [[0.5, 0.2], [0.35, 0.7]], "y x", "a window", side=0.8,
                    text=[["0", "1"], ["2", "3"]])  # fmt: skip
    ax.add_patch(Rectangle((0.9, 1.8), 0.8, 0.8, fc="none", ec="#d55e00", lw=2.5))
    grid = np.arange(9).reshape(3, 3)
    table = numbers(ax, 6.0, 1.3, grid, "rows", "columns", "the table", np.full((3, 3), 0.5),
                    LEARNED, 0.8)  # fmt: skip
    arrow(ax, window.right, (5.0, 2.6), text="query - key")
    index = [[4, 3, 1, 0], [5, 4, 2, 1], [7, 6, 4, 3], [8, 7, 5, 4]]
    numbers(ax, 11.4, 1.0, index, "i", "j", "which number", np.full((4, 4), 0.4), ATTENTION,
            0.75)  # fmt: skip
    ax.add_patch(Rectangle((11.4, 1.75), 3.0, 0.75, fc="none", ec="#d55e00", lw=2.5))
    arrow(ax, table.right, (10.8, 2.5), text="index")
    return fig


def gate() -> Figure:
    """Content through a softmax, place through another, and a gate that mixes the two maps."""
    fig, ax = canvas(15.4, 6.8)
    tensor(ax, 0.6, 2.3, (0.9, 1.5, 1.4), "dim h w", "$x$", [DATA] * 4)
    content = layer(ax, 4.0, 4.7, "q · k, softmax", 2.6, 0.75, LEARNED)
    arrow(ax, (3.2, 3.6), (3.9, 4.9))
    one = matrix(ax, 7.8, 4.0, MAP[:5, :5], "", "by content", ATTENTION, 0.42)
    arrow(ax, content.right, one.left)
    offsets = layer(ax, 4.0, 1.1, "v · r, softmax", 2.6, 0.75, LEARNED)
    arrow(ax, (2.6, 1.47), offsets.left)
    ax.text(0.6, 1.47, "offsets r", ha="left", va="center", style="italic")
    near = np.exp(-1.2 * (np.subtract.outer(np.arange(5), np.arange(5)) - 1.0) ** 2)
    two = matrix(
        ax, 7.8, 0.5, near / near.sum(-1, keepdims=True), "", "by place", ATTENTION, 0.42
    )
    arrow(ax, offsets.right, two.left)
    add = join(ax, 12.6, 3.4)
    arrow(ax, one.right, (12.6, 5.05), add.top)
    arrow(ax, two.right, (12.6, 1.55), add.bottom)
    ax.text(11.2, 5.25, "times 1 - g", ha="center", va="bottom", size=8.5)
    ax.text(11.2, 1.35, "times g", ha="center", va="top", size=8.5)
    arrow(ax, add.right, (13.9, 3.4))
    ax.text(14.1, 3.4, "A, i j", ha="left", va="center", style="italic")
    return fig


def kernel_in_softmax() -> Figure:
    """Products of queries and keys, plus a kernel's number for each offset, one softmax."""
    fig, ax = canvas(15.4, 4.9)
    products = matrix(ax, 0.9, 1.3, MAP[:5, :5], "i j", "q · k / √d", DATA, 0.46)
    add = join(ax, 4.6, 2.45)
    away = np.abs(np.subtract.outer(np.arange(5), np.arange(5)))
    matrix(ax, 5.9, 1.3, np.exp(-0.6 * away), "i j", "$w_{i - j}$, on a line", LEARNED, 0.46)
    arrow(ax, products.right, add.left)
    arrow(ax, (5.35, 2.45), add.right)
    one = layer(ax, 9.0, 2.1, "softmax", 1.6, 0.7, ATTENTION)
    arrow(ax, (4.6, 2.2), (4.6, 0.4), (9.8, 0.4), (9.8, 2.0))
    sums = np.exp(2 * MAP[:5, :5] - 0.6 * away)
    matrix(ax, 11.9, 1.3, sums / sums.max(-1, keepdims=True), "i j", "A", ATTENTION, 0.46)
    arrow(ax, one.right, (11.4, 2.45))
    return fig
