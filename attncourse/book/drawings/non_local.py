"""Diagrams of chapter 7: the non-local block, its cheaper orders, and dual attention."""

import numpy as np
from matplotlib.figure import Figure

from attncourse.book.diagrams import (
    ATTENTION,
    DATA,
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
MAP = np.abs(np.sin(np.arange(36) * 2.3)).reshape(6, 6) ** 3


def grid(ax, x, y, rows, columns, text, name="", colour=DATA, side=0.24):
    """A matrix with its axes beneath."""
    values = 0.25 + 0.6 * np.abs(np.sin(np.arange(rows * columns) * 1.7)).reshape(rows, columns)
    box = matrix(ax, x, y, values, "", name, colour, side)
    label(ax, (box.middle[0], y - 0.12), text, "center", "top")
    return box


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
    join(ax, 8.1, 5.4, "·")
    arrow(ax, boxes["q"].right, (7.92, 5.6))
    arrow(ax, boxes["k"].right, (7.92, 5.2))
    weights = matrix(ax, 9.75, 4.8, MAP[:5, :5], "", "$A$", ATTENTION, 0.24)
    label(ax, (weights.middle[0], 4.68), "i j", "center", "top")
    arrow(ax, (8.35, 5.4), weights.left, text="softmax")
    join(ax, 10.35, 1.9, "·")
    arrow(ax, (10.35, 4.2), (10.35, 2.15))
    arrow(ax, boxes["v"].right, (10.1, 1.9))
    layer(ax, 11.5, 1.59, "out, norm", 1.8, 0.62)
    arrow(ax, (10.6, 1.9), (11.42, 1.9))
    join(ax, 14.1, 1.9)
    arrow(ax, (13.35, 1.9), (13.85, 1.9))
    arrow(ax, (1.2, 2.7), (1.2, 0.3), (14.1, 0.3), (14.1, 1.65))
    arrow(ax, (14.35, 1.9), (14.85, 1.9))
    label(ax, (15.1, 1.9), "$z$")
    return fig


def two_orders() -> Figure:
    """Three matrices multiplied from the left, or from the right: what lies in the middle."""
    fig, ax = canvas(15.4, 7.4)
    for y, name in ((4.1, "by the map: (q kᵀ) v"), (0.5, "without it: q (kᵀ v)")):
        ax.text(0.4, y + 2.55, name, weight="bold", va="center")
    q = grid(ax, 0.6, 4.5, 7, 2, "i m", "", DATA, 0.22)
    grid(ax, 1.5, 5.2, 2, 7, "m j", "", DATA, 0.22)
    big = matrix(ax, 5.4, 4.5, np.full((7, 7), 0.6), "", "", ATTENTION, 0.22)
    label(ax, (big.middle[0], 4.38), "i j: grows with n times n", "center", "top")
    arrow(ax, (3.3, q.middle[1]), big.left)
    grid(ax, 9.2, 4.5, 7, 2, "j e", "", DATA, 0.22)
    label(ax, (8.2, q.middle[1]), "times")
    y1 = grid(ax, 11.6, 4.5, 7, 2, "i e", "$y$", DATA, 0.22)
    arrow(ax, (9.9, q.middle[1]), y1.left)
    grid(ax, 0.6, 1.6, 2, 7, "m j", "", DATA, 0.22)
    k = grid(ax, 2.5, 0.9, 7, 2, "j e", "", DATA, 0.22)
    small = matrix(ax, 5.9, 1.45, np.full((2, 2), 0.6), "", "", ATTENTION, 0.22)
    label(ax, (small.middle[0], 1.3), "m e: does not grow", "center", "top")
    arrow(ax, (3.2, k.middle[1]), small.left)
    grid(ax, 9.2, 0.9, 7, 2, "i m", "", DATA, 0.22)
    label(ax, (8.2, k.middle[1]), "after")
    y2 = grid(ax, 11.6, 0.9, 7, 2, "i e", "$y$", DATA, 0.22)
    arrow(ax, (9.9, k.middle[1]), y2.left)
    return fig


def crosswise() -> Figure:
    """One number for each query and one for each key, added crosswise and rectified."""
    fig, ax = canvas(15.4, 4.6)
    a, b = np.array([1, -2, 3]), np.array([0, 1, -1, 2])
    sums = a[:, None] + b

    def numbers(x, y, values, name, colour=DATA):
        words = [[str(v).replace("-", "−") for v in row] for row in values]
        return matrix(ax, x, y, np.abs(values) / 6, "", name, colour, 0.62, words)

    numbers(1.5, 0.8, a[:, None], "")
    label(ax, (1.35, 1.73), "$w_q \\cdot q_i$", "right")
    numbers(2.6, 3.0, b[None, :], "")
    label(ax, (3.84, 3.95), "$w_k \\cdot k_j$")
    total = numbers(2.6, 0.8, sums, "", ATTENTION)
    label(ax, (3.84, 0.65), "sum", "center", "top")
    final = numbers(8.9, 0.8, sums.clip(0), "", ATTENTION)
    label(ax, (final.middle[0], 0.65), "i j", "center", "top")
    arrow(ax, total.right, final.left, text="relu, over N")
    ax.text(12.0, 1.73, "no tensor\ni j 2m", va="center", ha="left", style="italic")
    return fig


def position_attention() -> Figure:
    """Pixels ask pixels: a map of n by n, values of full width, gamma in front."""
    fig, ax = canvas(15.4, 6.6)
    tensor(ax, 0.5, 2.3, CUBE, "c h w", "$x$", [DATA] * 5)
    rows = (("query", 5.0, "i c/8", 1), ("key", 3.1, "j c/8", 1), ("value", 1.15, "j c", 4))
    boxes = []
    for name, y, axes, columns in rows:
        layer(ax, 4.1, y, name, 1.25, 0.6)
        arrow(ax, (3.1, 3.2), (4.0, y + 0.3))
        boxes.append(grid(ax, 6.1, y - 0.35, 5, columns, axes, "", DATA, 0.26))
        arrow(ax, (5.4, y + 0.3), boxes[-1].left)
    join(ax, 8.0, 4.3, "·")
    arrow(ax, boxes[0].right, (7.85, 4.5))
    arrow(ax, boxes[1].right, (7.85, 4.1))
    weights = matrix(ax, 9.7, 3.65, MAP[:5, :5], "", "$A$: pixels", ATTENTION, 0.26)
    label(ax, (weights.middle[0], 3.53), "i j", "center", "top")
    arrow(ax, (8.25, 4.3), weights.left, text="softmax")
    join(ax, 10.35, 1.6, "·")
    arrow(ax, (10.35, 3.05), (10.35, 1.85))
    arrow(ax, boxes[2].right, (10.1, 1.6))
    layer(ax, 11.6, 1.3, "$\\gamma$", 0.7, 0.6)
    arrow(ax, (10.6, 1.6), (11.5, 1.6))
    join(ax, 13.6, 1.6)
    arrow(ax, (12.35, 1.6), (13.35, 1.6))
    arrow(ax, (1.2, 1.8), (1.2, 0.2), (13.6, 0.2), (13.6, 1.35))
    arrow(ax, (13.85, 1.6), (14.6, 1.6))
    label(ax, (14.9, 1.6), "$z$")
    return fig


def channel_attention() -> Figure:
    """Channels ask channels: no layers, a map of c by c."""
    fig, ax = canvas(15.4, 5.0)
    tensor(ax, 0.5, 1.4, CUBE, "c h w", "$x$", [DATA] * 5)
    tall = grid(ax, 4.4, 1.75, 5, 9, "c n", "one row a channel", DATA, 0.24)
    arrow(ax, (3.15, 2.35), tall.left, text="flat")
    join(ax, 7.8, 2.35, "·")
    arrow(ax, tall.right, (7.55, 2.35))
    ax.text(7.8, 1.95, "with\nitself", ha="center", va="top", size=8.5)
    weights = matrix(ax, 10.0, 1.75, MAP[:5, :5], "", "$A$: channels", ATTENTION, 0.24)
    label(ax, (weights.middle[0], 1.63), "c c", "center", "top")
    arrow(ax, (8.05, 2.35), weights.left, text="softmax")
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
        arrow(ax, (10.55, y + 0.48), (12.6, y + 0.48))
    join(ax, 11.0, 3.2)
    arrow(ax, (11.0, 4.68), (11.0, 3.45))
    arrow(ax, (11.0, 1.78), (11.0, 2.95))
    arrow(ax, (11.25, 3.2), (12.6, 3.2))
    for y, name in ((4.68, "scores alone"), (3.2, "scores of both"), (1.78, "scores alone")):
        layer(ax, 12.7, y - 0.31, "1 x 1", 0.95, 0.62)
        ax.text(14.5, y, name.replace(" ", "\n", 1), ha="center", va="center", size=8.5)
    return fig


def three_routes() -> Figure:
    """Which pixels one query compares itself with: all, its row and column, none of its own."""
    fig, ax = canvas(15.4, 4.9)
    side, n = 0.42, 8
    y, x = np.mgrid[:n, :n]
    cross = ((y == 3) | (x == 5)).astype(float)
    titles = ("non-local: all n", "criss-cross: h + w - 1", "GCNet: one map for all")
    salient = np.exp(-((y - 1.5) ** 2 + (x - 2) ** 2) / 3) + 0.6 * np.exp(
        -((y - 6) ** 2 + (x - 5) ** 2) / 2
    )
    for k, (name, values) in enumerate(
        zip(titles, (np.full((n, n), 0.5), 0.6 * cross, salient), strict=True)
    ):
        left = 0.8 + 5.0 * k
        matrix(ax, left, 0.5, values.clip(0, 1), "", "", ATTENTION, side)
        title(ax, left + n * side / 2, 0.5 + n * side + 0.15, name)
        if k < 2:
            ax.plot(
                left + 5.5 * side, 0.5 + (n - 3.5) * side, "x", color="#d55e00", ms=9, mew=2
            )
    return fig
