"""Diagrams of chapter 13's detector: overlaps, and the pyramid with its heads."""

from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from attncourse.book.diagrams import (
    ATTENTION,
    DATA,
    HIDDEN,
    INK,
    LEARNED,
    arrow,
    canvas,
    join,
    label,
    layer,
    shade,
    tensor,
    title,
)


def overlap_of_boxes() -> Figure:
    """Two boxes on a grid of pixels: their overlap, and what both cover."""
    fig, ax = canvas(14.0, 4.6)
    for column in range(9):
        ax.plot([1 + 0.5 * column] * 2, [0.5, 4.0], color="#dddddd", lw=0.6)
    for row in range(8):
        ax.plot([1, 5], [0.5 + 0.5 * row] * 2, color="#dddddd", lw=0.6)
    for x, y, w, h, colour in (
        (1.5, 1.5, 2.0, 2.0, DATA),
        (2.5, 1.0, 2.0, 1.5, LEARNED),
    ):
        ax.add_patch(Rectangle((x, y), w, h, fc=colour, alpha=0.35, ec=colour, lw=1.6))
    ax.add_patch(Rectangle((2.5, 1.5), 1.0, 1.0, fc=ATTENTION, alpha=0.8, ec=INK, lw=0.8))
    label(ax, (1.9, 3.0), "A")
    label(ax, (4.1, 1.25), "B")
    lines = (
        ("overlap: 2 · 2 = 4 pixels", ATTENTION),
        ("A: 4 · 4 = 16 pixels", DATA),
        ("B: 4 · 3 = 12 pixels", LEARNED),
    )
    for number, (text, colour) in enumerate(lines):
        y = 3.2 - 0.8 * number
        ax.add_patch(Rectangle((6.4, y - 0.16), 0.4, 0.32, fc=colour, alpha=0.7))
        ax.text(7.1, y, text, va="center")
    ax.text(6.4, 0.7, "IoU = 4 / (16 + 12 − 4) = 1/6", va="center", weight="bold")
    return fig


def pyramid_and_heads() -> Figure:
    """Three maps, a pyramid built from the coarsest down, and two heads on every level."""
    fig, ax = canvas(16.6, 9.0)
    sizes = (1.7, 1.15, 0.7)
    heights = (0.7, 4.2, 7.0)
    axes = ("c h w", "c h/2 w/2", "c h/4 w/4")
    names = ("fine", "middle", "coarse")
    joins = []
    for side, y, letters, name in zip(sizes, heights, axes, names, strict=True):
        middle = y + side / 2
        tensor(ax, 0.9, y, (0.5, side, side), letters, name, [DATA] * 3)
        one = layer(ax, 4.0, middle - 0.31, "1x1", 1.0)
        arrow(ax, (3.35, middle), one.left)
        if name == "coarse":
            point = (6.4, middle)
            arrow(ax, one.right, (8.1, middle))
        else:
            plus = join(ax, 6.4, middle)
            arrow(ax, one.right, plus.left)
            arrow(ax, plus.right, (8.1, middle))
            point = (6.4, middle)
        joins.append((point, middle))
        out = layer(ax, 8.2, middle - 0.31, "3x3", 1.0)
        arrow(ax, out.right, (10.3, middle))
        for text, up in (("classes", 0.42), ("boxes", -0.42)):
            head = layer(ax, 11.4, middle + up - 0.3, text, 1.7, 0.6)
            arrow(ax, (10.3, middle), head.left)
    for (upper, _), (lower, _) in ((joins[2], joins[1]), (joins[1], joins[0])):
        start = (upper[0], upper[1] - (0.0 if upper == joins[2][0] else 0.24))
        arrow(ax, start, (lower[0], lower[1] + 0.26), text="enlarge")
    title(ax, 12.25, 8.0, "heads")
    ax.text(
        14.9,
        4.5,
        "the same\nweights on\nevery level",
        ha="center",
        va="center",
        color=shade(INK, 0.8),
        bbox={"fc": HIDDEN, "ec": "none", "boxstyle": "round"},
    )
    return fig
