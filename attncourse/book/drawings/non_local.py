"""Diagrams of chapter 7: the non-local block, its cheaper orders, and dual attention."""

import numpy as np
from matplotlib.figure import Figure

from attncourse.book.diagrams import (
    ATTENTION,
    DATA,
    HIDDEN,
    INK,
    arrow,
    canvas,
    join,
    label,
    layer,
    matrix,
    tensor,
    title,
)

CUBE = (1.0, 1.5, 1.4)  # depth, height and width of the tensors
ABOVE, BELOW = "#b2182b", "#2166ac"  # as in the figures of signed numbers
MAP = np.abs(np.sin(np.arange(36) * 2.3)).reshape(6, 6) ** 3


def grid(ax, x, y, rows, columns, text, name="", colour=DATA, side=0.24):
    """A matrix with its axes beneath."""
    values = 0.25 + 0.6 * np.abs(np.sin(np.arange(rows * columns) * 1.7)).reshape(rows, columns)
    box = matrix(ax, x, y, values, "", name, colour, side)
    label(ax, (box.middle[0], y - 0.12), text, "center", "top")
    return box


def product(ax, x, y, text):
    """A matrix product, by its name: a grey box around its middle x, y."""
    return layer(ax, x - 0.5, y - 0.3, text, 1.0, 0.6, HIDDEN)


def non_local_block() -> Figure:
    """Queries and keys to a map, the map times the values, back to c channels, plus x."""
    fig, ax = canvas(15.4, 8.0)
    tensor(ax, 0.5, 3.2, CUBE, "c h w", "$x$", [DATA] * 5)
    rows = (("query", 6.2, "q", "i m"), ("key", 3.95, "k", "j m"), ("value", 1.6, "v", "j m"))
    boxes = {}
    for name, y, letter, axes in rows:
        layer(ax, 4.1, y, name, 1.25, 0.6)
        arrow(ax, (3.1, 4.25), (4.0, y + 0.3))
        boxes[letter] = grid(ax, 6.1, y - 0.3, 5, 3, axes, f"${letter}$")
        arrow(ax, (5.4, y + 0.3), boxes[letter].left)
    product(ax, 8.0, 5.4, "$q\\,k^T$")
    arrow(ax, boxes["q"].right, (7.42, 5.6))
    arrow(ax, boxes["k"].right, (7.42, 5.2))
    weights = matrix(ax, 9.95, 4.8, MAP[:5, :5], "", "$A$", ATTENTION, 0.24)
    label(ax, (weights.middle[0], 4.68), "i j", "center", "top")
    arrow(ax, (8.58, 5.4), weights.left, text="softmax")
    product(ax, 10.55, 1.9, "$A\\,v$")
    arrow(ax, (10.55, 4.2), (10.55, 2.3))
    arrow(ax, boxes["v"].right, (9.97, 1.9))
    layer(ax, 11.65, 1.59, "out, norm", 1.8, 0.62)
    arrow(ax, (11.13, 1.9), (11.57, 1.9))
    join(ax, 14.1, 1.9)
    arrow(ax, (13.53, 1.9), (13.85, 1.9))
    arrow(ax, (1.2, 2.7), (1.2, 0.3), (14.1, 0.3), (14.1, 1.65))
    arrow(ax, (14.35, 1.9), (14.85, 1.9))
    label(ax, (15.1, 1.9), "$z$")
    return fig


def two_orders() -> Figure:
    """Three matrices multiplied from the left, or from the right: what lies in the middle."""
    fig, ax = canvas(15.4, 8.2)
    side = 0.24

    def place(x, middle, rows, columns, axes, name=""):
        return grid(ax, x, middle - rows * side / 2, rows, columns, axes, name, DATA, side)

    def centre(x, middle, n, axes):
        box = matrix(
            ax, x, middle - n * side / 2, np.full((n, n), 0.6), "", "", ATTENTION, side
        )
        label(ax, (box.middle[0], middle - n * side / 2 - 0.12), axes, "center", "top")
        return box

    for y, name in ((7.75, "by the map: (q kᵀ) v"), (3.75, "without it: q (kᵀ v)")):
        ax.text(0.4, y, name, weight="bold", va="center")
    up, low = 5.6, 1.6
    place(0.8, up, 7, 2, "i m", "$q$")
    place(2.2, up, 2, 7, "m j", "$k^T$")
    big = centre(5.9, up, 7, "i j: grows with n times n")
    place(9.4, up, 7, 2, "j e", "$v$")
    place(0.8, low, 2, 7, "m j", "$k^T$")
    place(3.4, low, 7, 2, "j e", "$v$")
    small = centre(6.4, low, 2, "m e: does not grow")
    place(9.3, low, 7, 2, "i m", "$q$")
    centre(10.7, low, 2, "m e")
    for x, y in ((1.75, up), (8.5, up), (2.95, low), (10.25, low)):
        ax.text(x, y, "×", ha="center", va="center")
    for y, box, start in ((up, big, 10.1), (low, small, 11.4)):
        arrow(ax, (4.1, y), box.left)
        last = place(13.6, y, 7, 2, "i e", "$y$")
        arrow(ax, (start, y), last.left)
    arrow(ax, small.right, (9.0, low), text="then")
    return fig


def crosswise() -> Figure:
    """One number for each query and one for each key, added crosswise and rectified."""
    fig, ax = canvas(15.4, 5.1)
    a, b = np.array([1, -2, 3]), np.array([0, 1, -1, 2])
    sums, side = a[:, None] + b, 0.72

    def numbers(x, y, values, colour=ABOVE):
        words = np.array([[f"{v:g}".replace("-", "−") for v in row] for row in values])
        below = values < 0
        shown = np.where(below, "", words)
        box = matrix(ax, x, y, np.abs(values) / 6, "", "", colour, side, shown)
        for i, j in np.argwhere(below):
            where = x + j * side, y + (len(values) - 1 - i) * side
            matrix(ax, *where, [[-values[i, j] / 6]], "", "", BELOW, side, [[words[i, j]]])
        return box

    numbers(1.6, 0.9, a[:, None])
    label(ax, (1.45, 1.98), "$w_q \\cdot q_i$", "right")
    numbers(2.75, 3.45, b[None, :])
    label(ax, (4.19, 4.5), "$w_k \\cdot k_j$")
    total = numbers(2.75, 0.9, sums)
    label(ax, (4.19, 0.75), "sum", "center", "top")
    final = numbers(8.9, 0.9, sums.clip(0) / 4, ATTENTION)
    label(ax, (final.middle[0], 0.75), "i j", "center", "top")
    arrow(ax, total.right, final.left, text="relu, over N = 4")
    ax.text(8.9, 3.8, "red: above 0\nblue: below 0", ha="left", va="center", size=8.5)
    ax.text(12.2, 1.98, "no tensor\ni j 2m", va="center", ha="left", style="italic")
    return fig


def position_attention() -> Figure:
    """Pixels ask pixels: a map of n by n, values of full width, gamma in front."""
    fig, ax = canvas(15.4, 6.6)
    tensor(ax, 0.5, 2.3, CUBE, "c h w", "$x$", [DATA] * 5)
    rows = (("query", 5.0, "i c/8", 1), ("key", 3.1, "j c/8", 1), ("value", 1.15, "j c", 8))
    boxes = []
    for name, y, axes, columns in rows:
        layer(ax, 4.1, y, name, 1.25, 0.6)
        arrow(ax, (3.1, 3.2), (4.0, y + 0.3))
        boxes.append(grid(ax, 6.1, y - 0.35, 5, columns, axes, "", DATA, 0.26))
        arrow(ax, (5.4, y + 0.3), boxes[-1].left)
    product(ax, 8.0, 4.3, "$q\\,k^T$")
    arrow(ax, boxes[0].right, (7.42, 4.5))
    arrow(ax, boxes[1].right, (7.42, 4.1))
    weights = matrix(ax, 9.95, 3.65, MAP[:5, :5], "", "$A$: pixels", ATTENTION, 0.26)
    label(ax, (weights.middle[0], 3.53), "i j", "center", "top")
    arrow(ax, (8.58, 4.3), weights.left, text="softmax")
    product(ax, 10.6, 1.45, "$A\\,v$")
    arrow(ax, (10.6, 3.05), (10.6, 1.85))
    arrow(ax, boxes[2].right, (10.02, 1.45))
    layer(ax, 11.8, 1.15, "$\\gamma$", 0.7, 0.6)
    arrow(ax, (11.18, 1.45), (11.7, 1.45))
    join(ax, 13.6, 1.45)
    arrow(ax, (12.58, 1.45), (13.35, 1.45))
    arrow(ax, (1.2, 1.8), (1.2, 0.2), (13.6, 0.2), (13.6, 1.2))
    arrow(ax, (13.85, 1.45), (14.6, 1.45))
    label(ax, (14.9, 1.45), "$z$")
    return fig


def channel_attention() -> Figure:
    """Channels ask channels: no layers, a map of c by c."""
    fig, ax = canvas(15.4, 5.0)
    tensor(ax, 0.5, 1.4, CUBE, "c h w", "$x$", [DATA] * 5)
    tall = grid(ax, 4.4, 1.75, 5, 9, "c n", "x, by rows", DATA, 0.24)
    arrow(ax, (3.15, 2.35), tall.left, text="flat")
    product(ax, 8.0, 2.35, "$x\\,x^T$")
    arrow(ax, tall.right, (7.42, 2.35))
    ax.plot(6.95, 2.35, "o", color=INK, ms=4)
    arrow(ax, (6.95, 2.35), (6.95, 3.9), (12.7, 3.9), (12.7, 2.75))
    weights = matrix(ax, 10.0, 1.75, MAP[:5, :5], "", "$A$: channels", ATTENTION, 0.24)
    label(ax, (weights.middle[0], 1.63), "c c", "center", "top")
    arrow(ax, (8.58, 2.35), weights.left, text="softmax")
    layer(ax, 12.2, 2.05, "$\\gamma A x$", 1.0, 0.6)
    arrow(ax, weights.right, (12.1, 2.35))
    join(ax, 14.0, 2.35)
    arrow(ax, (13.3, 2.35), (13.75, 2.35))
    arrow(ax, (1.2, 0.9), (1.2, 0.3), (14.0, 0.3), (14.0, 2.1))
    arrow(ax, (14.25, 2.35), (14.8, 2.35))
    label(ax, (15.05, 2.35), "$z$")
    return fig


def danet_head() -> Figure:
    """Two branches side by side, each classified alone, and their sum classified."""
    fig, ax = canvas(15.4, 6.0)
    tensor(ax, 0.4, 2.1, (1.3, 1.5, 1.2), "c h w", "$x$", [DATA] * 6)
    for y, name, colour in ((4.2, "position", ATTENTION), (1.3, "channel", ATTENTION)):
        layer(ax, 4.1, y, "3 x 3\nto c / 4", 1.5, 0.95)
        layer(ax, 6.5, y, f"{name}\nattention", 2.0, 0.95, colour)
        layer(ax, 9.35, y, "3 x 3", 1.1, 0.95)
        arrow(ax, (3.3, 3.1), (4.0, y + 0.48))
        arrow(ax, (5.7, y + 0.48), (6.4, y + 0.48))
        arrow(ax, (8.6, y + 0.48), (9.25, y + 0.48))
        ax.plot(11.0, y + 0.48, "o", color=INK, ms=4)
        arrow(ax, (10.55, y + 0.48), (12.5, y + 0.48))
    join(ax, 11.0, 3.2)
    arrow(ax, (11.0, 4.68), (11.0, 3.45))
    arrow(ax, (11.0, 1.78), (11.0, 2.95))
    arrow(ax, (11.25, 3.2), (12.5, 3.2))
    trained, used = "in training\nonly", "the result"
    for y, name in ((4.68, trained), (3.2, used), (1.78, trained)):
        layer(ax, 12.6, y - 0.31, "1 x 1", 0.95, 0.62)
        how = "bold" if name == used else "normal"
        ax.text(14.5, y, name, ha="center", va="center", size=8.5, weight=how)
    return fig


def three_routes() -> Figure:
    """Which pixels one query compares itself with: all, its row and column, none of its own."""
    fig, ax = canvas(15.4, 4.9)
    side, n = 0.42, 8
    y, x = np.mgrid[:n, :n]
    cross = ((y == 3) | (x == 5)).astype(float)
    some = 0.25 + 0.5 * np.abs(np.sin(np.arange(n * n) * 1.7)).reshape(n, n)
    titles = ("non-local: all n", "criss-cross: h + w − 1", "GCNet: one map for all")
    salient = np.exp(-((y - 1.5) ** 2 + (x - 2) ** 2) / 3) + 0.6 * np.exp(
        -((y - 6) ** 2 + (x - 5) ** 2) / 2
    )
    for k, (name, values) in enumerate(zip(titles, (some, some * cross, salient), strict=True)):
        left = 0.8 + 5.0 * k
        matrix(ax, left, 0.75, values.clip(0, 1), "", "", ATTENTION, side)
        title(ax, left + n * side / 2, 0.75 + n * side + 0.15, name)
        if k < 2:
            ax.plot(
                left + 5.5 * side, 0.75 + (n - 3.5) * side, "x", color="#d55e00", ms=9, mew=2
            )
    key = "cross: the pixel that asks    darker: more weight"
    ax.text(7.5, 0.35, key, ha="center", va="center", size=8.5)
    return fig
