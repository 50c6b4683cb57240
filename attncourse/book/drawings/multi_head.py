"""The opening of chapter 2: two values in one mean, and two values side by side."""

from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from attncourse.book.diagrams import ATTENTION, DATA, LEARNED, arrow, canvas, layer

OTHER = "#cc79a7"  # the value of the second token
MIXED = tuple((x + y) / 2 for x, y in zip(to_rgb(DATA), to_rgb(OTHER), strict=True))


def one_mean_or_two() -> Figure:
    """Where are ball and player? One head passes on their mean, two heads pass on both."""
    fig, ax = canvas(16, 6.6)
    ax.set_title("How far is the ball from the player? Two heads can tell, one cannot")
    for y, name in (3.9, "One head: one mean"), (0.3, "Two heads: two results, side by side"):
        ax.text(0.3, y + 2.0, name, weight="bold", va="bottom")
        ball = layer(ax, 0.3, y + 1.05, "ball at 7", 2.5, 0.7, DATA)
        player = layer(ax, 0.3, y, "player at 2", 2.5, 0.7, OTHER)
        if name.startswith("One"):
            head = layer(ax, 4.6, y + 0.5, "head", 1.7, 0.75, ATTENTION)
            arrow(ax, ball.right, (4.5, y + 1.0), text="½")
            arrow(ax, player.right, (4.5, y + 0.75))
            ax.text(3.85, y + 0.35, "½", ha="center", va="top", size=8.5)
            mean = layer(ax, 7.6, y + 0.5, "4.5", 1.1, 0.75, MIXED)
            arrow(ax, head.right, mean.left)
            arrow(ax, mean.right, (10.6, mean.middle[1]))
            told = "7 and 2, 2 and 7, 5 and 4:\nthe mean is the same"
            ax.text(10.8, mean.middle[1], told, va="center", size=9)
            continue
        both = []
        for start, up, number in (ball, 1.05, 0), (player, 0, 1):
            head = layer(ax, 4.6, y + up, f"head {number}", 1.7, 0.7, ATTENTION)
            value, colour = (("7", DATA), ("2", OTHER))[number]
            both.append(layer(ax, 7.6, y + up, value, 1.1, 0.7, colour))
            arrow(ax, start.right, head.left, text="1")
            arrow(ax, head.right, both[-1].left)
        out = layer(ax, 10.7, y + 0.5, "$W_o$", 1.3, 0.75, LEARNED)
        for box, sign, up in zip(both, "+−", (1.0, 0.75), strict=True):
            arrow(ax, box.right, (10.6, y + up))
            ax.text(9.65, y + (1.35 if sign == "+" else 0.3), sign, ha="center", va="center")
        arrow(ax, out.right, (13.3, out.middle[1]))
        ax.text(13.5, out.middle[1], "7 − 2 = 5", va="center", size=9)
    return fig
