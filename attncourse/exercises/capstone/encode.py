"""A box as it is told from its anchor."""

import torch

from attncourse.exercises.capstone.shared import given
from attncourse.exercises.edits import often, same, wrong
from attncourse.exercises.record import Exercise, Trial
from solutions.capstone.boxes import encode


def encode_trials():
    def trial(name, n, seed):
        return Trial(name, dict(n=n), dict(boxes=given(n, seed), anchors=given(n, seed + 1)))

    return (trial("of 5 boxes", 5, 1), trial("of 7 boxes", 7, 3), trial("of one box", 1, 6))


# fmt: off
NUMBERS = (
    *often(
        wrong("in_pixels", "(x - x_a) / w_a, (y - y_a) / h_a", "x - x_a, y - y_a",
              "Your shifts are in pixels. Divide them by the anchor's width and height, so that a"
              " large anchor learns the same numbers as a small one."),
        wrong("no_logarithm", "(w / w_a).log(), (h / h_a).log()", "w / w_a, h / h_a",
              "Your sides are plain ratios. Take their logarithms: half as wide is then as far from"
              " 0 as twice as wide."),
    ),
    wrong("by_the_box", "(x - x_a) / w_a, (y - y_a) / h_a", "(x - x_a) / w, (y - y_a) / h",
          "You divide the shifts by the sides of the box, which the network does not know yet."
          " Divide by the anchor's."),
    wrong("the_other_way", "(x - x_a) / w_a, (y - y_a) / h_a", "(x_a - x) / w_a, (y_a - y) / h_a",
          "Your shifts lead from the box to the anchor. They lead from the anchor to the box."),
    wrong("sides_upside_down", "(w / w_a).log(), (h / h_a).log()",
          "(w_a / w).log(), (h_a / h).log()",
          "Your sides tell the anchor from the box: their signs are turned. Divide the box's sides by"
          " the anchor's."),
    wrong("sides_exchanged", "(x - x_a) / w_a, (y - y_a) / h_a", "(x - x_a) / h_a, (y - y_a) / w_a",
          "You divide the shift to the right by the height and the one down by the width."),
    wrong("from_the_corners", "(x - x_a) / w_a, (y - y_a) / h_a",
          "((x - w / 2) - (x_a - w_a / 2)) / w_a, ((y - h / 2) - (y_a - h_a / 2)) / h_a",
          "Your shifts are those of the left and top edges. Take the centres."),
    wrong("differences_of_sides", "(w / w_a).log(), (h / h_a).log()",
          "(w - w_a) / w_a, (h - h_a) / h_a",
          "Your sides are relative differences. The last two numbers are logarithms of ratios."),
    wrong("height_first", "[(x - x_a) / w_a, (y - y_a) / h_a, (w / w_a).log(), (h / h_a).log()]",
          "[(y - y_a) / h_a, (x - x_a) / w_a, (h / h_a).log(), (w / w_a).log()]",
          "Your order is y, x, h, w. It is x, y, w, h."),
    wrong("base_2", "(w / w_a).log(), (h / h_a).log()", "(w / w_a).log2(), (h / h_a).log2()",
          "Your logarithms are to base 2. Take natural ones, which `exp` undoes."),
    wrong("log_of_one_more", "(w / w_a).log(), (h / h_a).log()", "(1 + w / w_a).log(), (1 + h / h_a).log()",
          "You take the logarithm of one more than the ratio (`log1p`): a box as large as its anchor"
          " would not be 0."),
    wrong("both_in_widths", "(x - x_a) / w_a, (y - y_a) / h_a", "(x - x_a) / w_a, (y - y_a) / w_a",
          "You divide both shifts by the anchor's width. The one down is in its height."),
    wrong("both_in_heights", "(x - x_a) / w_a, (y - y_a) / h_a", "(x - x_a) / h_a, (y - y_a) / h_a",
          "You divide both shifts by the anchor's height. The one to the right is in its width."),
    wrong("variances", "[(x - x_a) / w_a, (y - y_a) / h_a, (w / w_a).log(), (h / h_a).log()]",
          "[(x - x_a) / w_a / 0.1, (y - y_a) / h_a / 0.1, (w / w_a).log() / 0.2, (h / h_a).log() / 0.2]",
          "You divide by 0.1 and 0.2, the variances of SSD. Here the four numbers stay as they are."),
    wrong("height_of_sides_first", "(w / w_a).log(), (h / h_a).log()", "(h / h_a).log(), (w / w_a).log()",
          "The last two numbers are exchanged: the width's logarithm comes before the height's."),
    wrong("shift_and_side_in_turn", "[(x - x_a) / w_a, (y - y_a) / h_a, (w / w_a).log(), (h / h_a).log()]",
          "[(x - x_a) / w_a, (w / w_a).log(), (y - y_a) / h_a, (h / h_a).log()]",
          "Your order is x, w, y, h. It is x, y, w, h: both shifts first."),
    wrong("inclusive", "x, y, w, h = middles(boxes)\nx_a, y_a, w_a, h_a = middles(anchors)",
          "x, y, w, h = middles(boxes)\nx_a, y_a, w_a, h_a = middles(anchors)\n"
          "x, y, w, h, x_a, y_a, w_a, h_a = x + 0.5, y + 0.5, w + 1, h + 1, x_a + 0.5, y_a + 0.5, w_a + 1, h_a + 1",
          "You count each side one longer, as if edges were pixels. Edges are places: a side is their"
          " difference."),
    same("(w / w_a).log(), (h / h_a).log()", "w.log() - w_a.log(), h.log() - h_a.log()"),
)
# fmt: on


def encode_by_columns(boxes, anchors):
    size, size_a = boxes[:, 2:] - boxes[:, :2], anchors[:, 2:] - anchors[:, :2]
    middle, middle_a = boxes[:, :2] + size / 2, anchors[:, :2] + size_a / 2
    return torch.cat([(middle - middle_a) / size_a, torch.log(size / size_a)], dim=1)


def encode_by_loops(boxes, anchors):
    rows = []
    for (a, b, c, d), (e, f, g, h) in zip(boxes, anchors, strict=True):
        x, y = (a + c - e - g) / 2 / (g - e), (b + d - f - h) / 2 / (h - f)
        rows.append(torch.stack([x, y, ((c - a) / (g - e)).log(), ((d - b) / (h - f)).log()]))
    return torch.stack(rows)


EXERCISE = Exercise(
    id="capstone.encode",
    solution=encode,
    probes={"encode": "n 4"},
    trials=encode_trials,
    slips=NUMBERS,
    hints=(
        "A network sees the same pattern at every size. Which numbers are the same for a small"
        " box on a small anchor and for a large box on a large one?",
        (
            "Shifts of the centre in widths and heights of the anchor, and the ratios of the sides;"
            " of these the logarithms. `middles` gives x, y, w, h of boxes."
        ),
        "stack (x - x_a) / w_a, (y - y_a) / h_a, log(w / w_a), log(h / h_a)",
    ),
    minutes=5,
    difficulty=2,
    otherwise=(encode_by_columns, encode_by_loops),
    skip=frozenset({"half"}),
)
