"""Diagrams of chapter 13: where mechanisms stand, and what pairing takes away."""

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from attncourse.book.diagrams import (
    ATTENTION,
    DATA,
    arrow,
    canvas,
    frame,
    join,
    label,
    layer,
    tensor,
)


def places() -> Figure:
    """The network, and the three places at which a mechanism can stand in it."""
    fig, ax = canvas(16.8, 8.6)
    tensor(ax, 0.6, 5.6, (0.6, 1.5, 1.5), "rgb h w", "", DATA)
    layer(ax, 4.2, 6.0, "stem\n3x3", 1.2, 1.0)
    arrow(ax, (2.85, 6.5), (4.1, 6.5))
    left = 6.0
    for stage in (1, 2, 3):
        layer(ax, left, 6.0, f"stage {stage}", 1.6, 1.0, DATA)
        arrow(ax, (left - 0.5, 6.5), (left - 0.1, 6.5))
        layer(ax, left + 2.0, 6.15, "a", 0.5, 0.7, ATTENTION)
        arrow(ax, (left + 1.65, 6.5), (left + 1.95, 6.5))
        left += 3.1
    arrow(ax, (left - 0.5, 6.5), (left - 0.1, 6.5))
    layer(ax, left, 6.0, "mean,\nlinear", 1.25, 1.0)
    ax.text(8.25, 7.15, "between", ha="center", weight="bold", color=ATTENTION)
    label(ax, (8.25, 5.75), "BAM, non-local, DANet", "center", "top")
    frame(ax, 0.6, 0.3, 15.6, 4.1, "one residual block of a stage")
    ax.text(1.0, 2.3, "x", ha="center", va="center", weight="bold")
    layer(ax, 2.6, 1.8, "3x3", 1.5, 1.0, ATTENTION)
    layer(ax, 6.0, 1.8, "3x3", 1.5, 1.0, ATTENTION)
    layer(ax, 9.4, 1.95, "a", 0.7, 0.7, ATTENTION)
    plus = join(ax, 12.2, 2.3)
    arrow(ax, (1.3, 2.3), (2.5, 2.3))
    arrow(ax, (4.2, 2.3), (5.9, 2.3))
    arrow(ax, (7.6, 2.3), (9.3, 2.3))
    arrow(ax, (10.2, 2.3), plus.left)
    arrow(ax, (1.0, 2.6), (1.0, 3.6), (12.2, 3.6), plus.top)
    arrow(ax, plus.right, (13.9, 2.3), text="relu")
    ax.text(14.2, 2.3, "y", ha="center", va="center", weight="bold")
    ax.text(5.05, 1.35, "instead", ha="center", va="center", weight="bold", color=ATTENTION)
    label(ax, (5.05, 0.75), "AA, SASA, windows")
    ax.text(9.75, 1.35, "gate", ha="center", va="center", weight="bold", color=ATTENTION)
    label(ax, (10.4, 0.75), "SE, GE, ECA, CBAM, GALA")
    return fig


def pairing() -> Figure:
    """Three seeds of two networks: the seeds differ more than the networks, the differences
    little."""
    fig, (left, right) = plt.subplots(1, 2, figsize=(6.4, 2.6), width_ratios=(2, 1))
    a, b = (0.53, 0.47, 0.59), (0.51, 0.44, 0.565)
    for n, (one, other) in enumerate(zip(a, b, strict=True)):
        left.plot([0, 1], [other, one], "o-", color=("#0072b2", "#d55e00", "#009e73")[n])
        left.text(1.08, one, f"seed {n}", va="center", size=8.5)
    left.set(xlim=(-0.3, 1.6), xticks=[0, 1], ylabel="accuracy", title="Both follow the seed")
    left.set_xticklabels(["b", "a"])
    right.plot(range(3), [x - y for x, y in zip(a, b, strict=True)], "o", color="#333333")
    right.axhline(0, color="#999999", lw=0.8)
    right.set(xlim=(-1, 3), xticks=range(3), xlabel="seed", ylim=(-0.08, 0.08))
    right.set(ylabel="a − b", title="a − b does not")
    return fig
