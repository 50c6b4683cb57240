"""Diagrams of chapter 6: gates for channels and for pixels, and Grad-CAM."""

import numpy as np
from matplotlib.figure import Figure

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
    matrix,
    shade,
    step,
    tensor,
    vector,
)

GAINS = (0.15, 0.9, 0.35, 0.7, 0.05, 1.0)  # of six channels, front first
SPOT = np.exp(-((np.arange(5)[:, None] - 1.5) ** 2 + (np.arange(5) - 2.5) ** 2) / 2.5)
CUBE = (1.1, 1.6, 1.5)  # depth, height and width of the tensors


def scaled(gains=GAINS) -> list:
    """The colour of data for each channel, paler the smaller its gain."""
    return [shade(DATA, gain) for gain in gains]


def pixels(ax, x, y, grid, colour=DATA, side=0.26):
    """A small map, with both its letters beneath: arrows come from the left."""
    box = matrix(ax, x, y, grid, "", "", colour, side)
    label(ax, (box.middle[0], y - 0.12), "h w", "center", "top")
    return box


def channel_gate() -> Figure:
    """x to M_c to y: two pools, one MLP for both, added before the sigmoid."""
    fig, ax = canvas(15.4, 5.3)
    tensor(ax, 0.5, 1.4, CUBE, "c h w", "$x$", [DATA] * 6)
    mean = vector(ax, 4.5, 3.15, [0.5, 0.6, 0.5, 0.4, 0.5, 0.6], "c", side=0.26)
    most = vector(ax, 4.5, 0.75, [0.6, 0.9, 0.5, 0.8, 0.5, 1.0], "c", side=0.26)
    arrow(ax, (3.2, 3.93), mean.left, text="mean")
    arrow(ax, (3.2, 1.53), most.left, text="max")
    layer(ax, 5.8, 1.75, "one MLP\nfor both:\n$W_{up}$ relu $W_{down}$", 2.6, 1.7)
    arrow(ax, mean.right, (5.75, 3.05))
    arrow(ax, most.right, (5.75, 2.15))
    join(ax, 9.3, 2.6)
    arrow(ax, (8.47, 3.05), (9.1, 2.75))
    arrow(ax, (8.47, 2.15), (9.1, 2.45))
    gains = vector(ax, 10.2, 1.82, GAINS, "c", "$M_c$", ATTENTION, side=0.26)
    arrow(ax, (9.55, 2.6), gains.left, text="σ")
    join(ax, 11.4, 2.6, "×")
    arrow(ax, gains.right, (11.13, 2.6))
    arrow(ax, (11.65, 2.6), (12.15, 2.6))
    tensor(ax, 12.6, 1.55, (0.9, 1.4, 1.3), "c h w", "$y$", scaled())
    arrow(ax, (1.25, 0.95), (1.25, 0.25), (11.4, 0.25), (11.4, 2.33))
    return fig


def spatial_gate() -> Figure:
    """x to M_s to y: each pixel described by two numbers, one convolution, sigmoid."""
    fig, ax = canvas(15.4, 5.3)
    tensor(ax, 0.4, 1.4, CUBE, "c h w", "$x$", [DATA] * 6)
    most = pixels(ax, 5.25, 3.15, 0.2 + 0.8 * SPOT)
    mean = pixels(ax, 5.25, 0.9, 0.1 + 0.5 * SPOT)
    arrow(ax, (3.2, 3.8), most.left, text="max over c")
    arrow(ax, (3.2, 1.55), mean.left, text="mean over c")
    conv = layer(ax, 7.25, 2.05, "convolution\n7 x 7, norm,\n2 maps to 1", 2.2, 1.3)
    arrow(ax, most.right, (7.2, 3.0))
    arrow(ax, mean.right, (7.2, 2.4))
    gains = pixels(ax, 10.2, 2.05, SPOT, ATTENTION)
    label(ax, (gains.middle[0], 3.6), "$M_s$")
    arrow(ax, conv.right, gains.left, text="σ")
    join(ax, 12.1, 2.7, "×")
    arrow(ax, gains.right, (11.83, 2.7))
    arrow(ax, (12.35, 2.7), (12.75, 2.7))
    tensor(ax, 13.15, 1.7, (0.8, 1.3, 1.2), "c h w", "$y$", [shade(DATA, 0.45)] * 6)
    arrow(ax, (1.15, 0.95), (1.15, 0.25), (12.1, 0.25), (12.1, 2.43))
    return fig


def cbam() -> Figure:
    """Two gates in a row, each with its own product."""
    fig, ax = canvas(15.4, 6.2)
    cube = (0.9, 1.4, 1.3)
    tensor(ax, 0.4, 0.75, cube, "c h w", "$x$", [DATA] * 6)
    y, first, second = 1.45, 5.3, 11.2
    for middle, name in ((first, "channel gate"), (second, "spatial gate")):
        layer(ax, middle - 2.35, 3.75, name.replace(" ", "\n"), 1.6, 1.0, ATTENTION)
        join(ax, middle, y, "×")
    what = vector(ax, first - 0.13, 3.45, GAINS, "", "$M_c$", ATTENTION, side=0.26)
    where = matrix(ax, second - 0.4, 3.68, SPOT, "", "$M_s$", ATTENTION, side=0.23)
    tensor(ax, 6.6, 0.75, cube, "c h w", "$x'$", scaled())
    tensor(ax, 12.6, 0.75, cube, "c h w", "$y$", [shade(DATA, 0.6 * g) for g in GAINS])
    for middle, start, gains in ((first, 2.8, what), (second, 9.0, where)):
        arrow(ax, (start, y), (middle - 0.28, y))
        ax.plot(middle - 1.55, y, "o", color=INK, ms=4)
        arrow(ax, (middle - 1.55, y), (middle - 1.55, 3.7))
        arrow(ax, (middle - 0.72, 4.25), (gains.left[0], 4.25))
        arrow(ax, (middle, gains.bottom[1]), (middle, y + 0.27))
    arrow(ax, (first + 0.27, y), (6.25, y))
    arrow(ax, (second + 0.27, y), (12.25, y))
    step(ax, first - 0.9, 5.75, "1 which channels")
    step(ax, second - 0.9, 5.75, "2 which pixels")
    return fig


def bam() -> Figure:
    """Two branches of logits, one sigmoid of their sum, x scaled and added to itself."""
    fig, ax = canvas(15.4, 8.9)
    ax.set(ylim=(-3.0, 5.9))
    channel = ("mean\nover h, w", "down", "up")
    spatial = ("1 x 1", "3 x 3,\ndilation 4", "3 x 3,\ndilation 4", "1 x 1")
    for name, y, parts in (
        ("channel\nbranch:", -1.2, channel),
        ("spatial\nbranch:", -2.7, spatial),
    ):
        ax.text(0.4, y + 0.45, name, ha="left", va="center")
        colours = [DATA if part.startswith("mean") else LEARNED for part in parts]
        boxes = [
            layer(ax, 2.6 + 3.35 * n, y, part, 1.75, 0.9, colour)
            for n, (part, colour) in enumerate(zip(parts, colours, strict=True))
        ]
        for one, two, colour in zip(boxes[:-1], boxes[1:], colours, strict=False):
            arrow(ax, one.right, two.left, text="norm,\nrelu" if colour == LEARNED else "")
    tensor(ax, 0.5, 2.1, CUBE, "c h w", "$x$", [DATA] * 6)
    layer(ax, 4.1, 4.1, "channel\nbranch", 1.75, 0.95)
    layer(ax, 4.1, 1.3, "spatial\nbranch", 1.75, 0.95)
    arrow(ax, (3.2, 3.6), (4.05, 4.4))
    arrow(ax, (3.2, 2.6), (4.05, 1.95))
    what = vector(ax, 6.8, 3.75, GAINS, "c", "$B_c$", ATTENTION, side=0.26)
    where = pixels(ax, 6.3, 1.12, SPOT, ATTENTION)
    label(ax, (6.95, 2.72), "$B_s$")
    arrow(ax, (5.9, 4.57), what.left)
    arrow(ax, (5.9, 1.77), where.left)
    join(ax, 8.6, 3.2)
    arrow(ax, (7.15, 4.3), (8.42, 3.4))
    arrow(ax, where.right, (8.42, 3.0))
    both = [shade(ATTENTION, 0.2 + 0.8 * g) for g in GAINS]
    tensor(ax, 9.9, 2.1, (1.0, 1.4, 1.2), "c h w", "$M$", both)
    arrow(ax, (8.85, 3.2), (9.6, 3.2), text="σ")
    join(ax, 12.85, 2.75, "×")
    arrow(ax, (12.1, 2.75), (12.6, 2.75))
    join(ax, 13.95, 2.75)
    arrow(ax, (13.1, 2.75), (13.7, 2.75))
    arrow(ax, (14.2, 2.75), (14.8, 2.75))
    label(ax, (15.05, 2.75), "$y$")
    ax.plot([1.25, 1.25, 12.85], [1.5, 0.35, 0.35], color=INK, lw=1.2)
    arrow(ax, (12.85, 0.35), (12.85, 2.5))
    arrow(ax, (12.85, 0.35), (13.95, 0.35), (13.95, 2.5))
    return fig


def spatial_layer() -> Figure:
    """The mean channel shrinks by two and grows again, between three small convolutions."""
    fig, ax = canvas(15.4, 4.6)
    tensor(ax, 0.5, 1.3, (0.9, 1.4, 1.3), "c h w", "$x$", [DATA] * 6)
    six = np.exp(-((np.arange(6)[:, None] - 2) ** 2 + (np.arange(6) - 3) ** 2) / 4)
    three = six.reshape(3, 2, 3, 2).mean((1, 3))
    grown = three.repeat(2, 0).repeat(2, 1)
    places = (
        (4.2, 1.35, six, DATA, "6 x 6"),
        (8.25, 1.74, three, DATA, "3 x 3"),
        (10.4, 1.35, grown, DATA, "6 x 6"),
        (13.4, 1.35, six, ATTENTION, "6 x 6"),
    )
    boxes = [matrix(ax, x, y, grid, "", "", c, 0.26) for x, y, grid, c, _ in places]
    for box, (*_, size) in zip(boxes, places, strict=True):
        label(ax, (box.middle[0], 1.1), size, "center", "top")
    arrow(ax, (2.95, 2.13), boxes[0].left, text="mean")
    words = ("5 x 5, relu,\nthen 3 x 3 with\nstride 2, relu", "repeat\n2 x 2", "3 x 3\nσ")
    for one, two, text in zip(boxes[:-1], boxes[1:], words, strict=True):
        arrow(ax, one.right, two.left)
        middle = (one.right[0] + two.left[0]) / 2
        ax.text(middle, 2.3, text, ha="center", va="bottom", size=8.5)
    return fig


def gala() -> Figure:
    """g for channels, l for pixels; their sum and product weighted for each channel, tanh."""
    fig, ax = canvas(15.4, 5.6)
    tensor(ax, 0.4, 1.9, CUBE, "c h w", "$x$", [DATA] * 6)
    layer(ax, 3.75, 3.8, "global:\nmean, MLP", 2.0, 0.95)
    layer(ax, 3.75, 1.35, "local:\n1x1, 1x1", 2.0, 0.95)
    arrow(ax, (3.1, 3.4), (3.7, 4.1))
    arrow(ax, (3.1, 2.6), (3.7, 2.0))
    g = vector(ax, 6.75, 3.45, GAINS, "c", "$g$", ATTENTION, side=0.26)
    pixels(ax, 6.3, 1.15, SPOT, ATTENTION)
    label(ax, (6.95, 2.68), "$l$")
    arrow(ax, (5.85, 4.25), g.left)
    arrow(ax, (5.85, 1.8), (6.22, 1.8))
    top, low = (
        layer(ax, 8.7, 3.6, "$a\\,(g + l)$", 1.7),
        layer(ax, 8.7, 1.5, "$\\mu\\, g\\, l$", 1.7),
    )
    for box in (top, low):
        arrow(ax, (7.1, 4.2), (8.65, box.middle[1] + 0.1))
        arrow(ax, (7.7, 1.9), (8.65, box.middle[1] - 0.1))
    join(ax, 11.0, 2.85)
    arrow(ax, top.right, (10.85, 3.05))
    arrow(ax, low.right, (10.85, 2.65))
    signs = ["#b2182b", "#f4a582", "#f7f7f7", "#92c5de", "#2166ac", "#d6604d"]
    arrow(ax, (11.25, 2.85), (12.0, 2.85), text="tanh")
    tensor(ax, 12.3, 2.15, (0.6, 1.2, 0.7), "c h w", "gains", signs)
    ax.text(12.9, 1.6, "red: above 0\nblue: below 0", ha="center", va="top", size=8.5)
    join(ax, 14.3, 2.85, "×")
    arrow(ax, (13.65, 2.85), (14.03, 2.85))
    arrow(ax, (14.55, 2.85), (14.95, 2.85))
    label(ax, (15.15, 2.85), "$y$")
    arrow(ax, (1.15, 1.4), (1.15, 0.3), (14.3, 0.3), (14.3, 2.58))
    return fig


def grad_cam() -> Figure:
    """Forward to a score, backward to the maps, and the maps weighed by the mean gradients."""
    fig, ax = canvas(15.4, 6.6)
    image = matrix(ax, 0.5, 4.2, 0.15 + 0.85 * SPOT, "", "image", side=0.28)
    features = layer(ax, 2.7, 4.45, "features", 1.7, 0.9)
    arrow(ax, image.right, features.left)
    tensor(ax, 5.6, 3.95, CUBE, "c h w", "$A$", [DATA] * 6)
    arrow(ax, features.right, (5.2, 4.9))
    head = layer(ax, 9.7, 4.45, "head", 1.3, 0.9)
    arrow(ax, (8.4, 4.9), head.left)
    scores = vector(ax, 12.1, 4.15, [0.1, 0.1, 1, 0.1, 0.1], "", "scores", HIDDEN, side=0.3)
    arrow(ax, head.right, scores.left)
    label(ax, (12.75, 4.9), "$S$ of one class", "left")
    slope = r"$\partial S / \partial A$"
    tensor(ax, 5.9, 0.75, (0.9, 1.4, 1.3), "c h w", slope, [shade(LEARNED, 0.6)] * 6)
    arrow(ax, (12.25, 3.95), (12.25, 1.8), (8.4, 1.8), colour="#d55e00")
    ax.text(10.4, 1.9, "backward", ha="center", va="bottom")
    gains = vector(ax, 3.9, 1.02, GAINS, "c", "$\\alpha$", ATTENTION, side=0.26)
    arrow(ax, (5.45, 1.8), gains.right)
    ax.text(4.88, 1.95, "mean\nover\npixels", ha="center", va="bottom", size=8.5)
    join(ax, 2.85, 1.8, "×")
    arrow(ax, gains.left, (3.12, 1.8))
    arrow(ax, (5.5, 3.75), (2.85, 3.75), (2.85, 2.07))
    matrix(ax, 0.45, 1.15, SPOT, "h w", "$L$", ATTENTION, side=0.26)
    arrow(ax, (2.6, 1.8), (1.85, 1.8))
    ax.text(2.8, 1.45, "sum over c,\nrelu", ha="center", va="top", size=8.5)
    return fig
