"""The box that is told from an anchor by four numbers."""

import torch

from attncourse.exercises.capstone.shared import given
from attncourse.exercises.edits import often, same, wrong
from attncourse.exercises.record import Exercise, Given, Trial
from solutions.capstone.boxes import decode


def decode_trials():
    def trial(name, n, seed):
        return Trial(name, dict(n=n), dict(deltas="n 4", anchors=given(n, seed)))

    far = torch.tensor([[0.3, -0.2, 6.0, 0.1], [-2.0, 9.0, -0.4, 5.0]], dtype=torch.float64)
    return (
        trial("of 5 boxes", 5, 1),
        trial("of 7 boxes", 7, 3),
        trial("of one box", 1, 6),
        Trial(
            "of boxes much larger than their anchors",
            dict(n=2),
            dict(deltas=Given("n 4", far), anchors=given(2, 8)),
        ),
    )


# fmt: off
NUMBERS = (
    *often(
        wrong("shifts_in_pixels", "x_a + dx * w_a, y_a + dy * h_a", "x_a + dx, y_a + dy",
              "You add the shifts as pixels. They are in widths and heights of the anchor."),
        wrong("no_exponential", "w_a * dw.exp(), h_a * dh.exp()", "w_a * dw, h_a * dh",
              "You multiply by the logarithms themselves. `exp` undoes them."),
    ),
    wrong("whole_sides", "[x - w / 2, y - h / 2, x + w / 2, y + h / 2]", "[x - w, y - h, x + w, y + h]",
          "Your boxes are twice as large: a whole side each way from the centre. Go half of it."),
    wrong("shifts_of_the_box", "x, y = x_a + dx * w_a, y_a + dy * h_a\nw, h = w_a * dw.exp(), h_a * dh.exp()",
          "w, h = w_a * dw.exp(), h_a * dh.exp()\nx, y = x_a + dx * w, y_a + dy * h",
          "You shift by sides of the new box. Shifts are in sides of the anchor."),
    wrong("shifts_taken_off", "x_a + dx * w_a, y_a + dy * h_a", "x_a - dx * w_a, y_a - dy * h_a",
          "You take the shifts off: they lead from the anchor to the box, so add them."),
    wrong("sides_exchanged", "x_a + dx * w_a, y_a + dy * h_a", "x_a + dx * h_a, y_a + dy * w_a",
          "You multiply the shift to the right by the height, and the one down by the width."),
    wrong("middle_and_size", "[x - w / 2, y - h / 2, x + w / 2, y + h / 2]", "[x, y, w, h]",
          "You return centre, width and height. A box is left, top, right, bottom."),
    wrong("from_the_corner", "[x - w / 2, y - h / 2, x + w / 2, y + h / 2]", "[x, y, x + w, y + h]",
          "You take the centre for the left top corner. The box lies around it."),
    wrong("size_kept", "w_a * dw.exp(), h_a * dh.exp()", "w_a, h_a",
          "The last two numbers change nothing: your boxes are as large as their anchors."),
    wrong("one_more", "w_a * dw.exp(), h_a * dh.exp()", "w_a * (1 + dw), h_a * (1 + dh)",
          "You stretch by 1 + d, which is the exponential near 0 alone. Take `exp`."),
    wrong("logarithms_cut_off", "w_a * dw.exp(), h_a * dh.exp()",
          "w_a * dw.clamp(max=math.log(1000 / 16)).exp(), h_a * dh.clamp(max=math.log(1000 / 16)).exp()",
          "You cut the logarithms off at log(1000 / 16), as detection libraries do against"
          " overflow. Here a box may be as large as it is told."),
    wrong("one_factor", "w_a * dw.exp(), h_a * dh.exp()", "w_a * dw.exp(), h_a * dw.exp()",
          "Both sides grow by the width's factor. The height has its own: the fourth number."),
    wrong("the_other_side_s_factor", "w_a * dw.exp(), h_a * dh.exp()", "w_a * dh.exp(), h_a * dw.exp()",
          "Width and height are exchanged in the last two numbers: the third is the width's."),
    wrong("corners_shifted", "[x - w / 2, y - h / 2, x + w / 2, y + h / 2]",
          "[x - w_a / 2, y - h_a / 2, x - w_a / 2 + w, y - h_a / 2 + h]",
          "You shift the anchor's left top corner, and stretch from there. The centre is shifted,"
          " and the box lies around it."),
    wrong("variances", "dx, dy, dw, dh = rearrange(deltas, \"n delta -> delta n\")",
          "dx, dy, dw, dh = rearrange(deltas, \"n delta -> delta n\")\n"
          "dx, dy, dw, dh = 0.1 * dx, 0.1 * dy, 0.2 * dw, 0.2 * dh",
          "You multiply the four numbers by 0.1 and 0.2, the variances of SSD. Here they count as"
          " they are."),
    wrong("not_beyond_the_picture", "[x - w / 2, y - h / 2, x + w / 2, y + h / 2]",
          "[(x - w / 2).clamp(min=0), (y - h / 2).clamp(min=0), (x + w / 2).clamp(min=0), (y + h / 2).clamp(min=0)]",
          "You cut boxes off at the left and the upper edge of the picture. What is told may lie"
          " beyond."),
    wrong("edges_out_of_order", "[x - w / 2, y - h / 2, x + w / 2, y + h / 2]",
          "[x - w / 2, x + w / 2, y - h / 2, y + h / 2]",
          "Your order is left, right, top, bottom. It is left, top, right, bottom."),
    same("w_a * dw.exp(), h_a * dh.exp()", "(w_a.log() + dw).exp(), (h_a.log() + dh).exp()"),
)
# fmt: on


def decode_by_columns(deltas, anchors):
    size = anchors[:, 2:] - anchors[:, :2]
    middle = (anchors[:, :2] + anchors[:, 2:]) / 2 + deltas[:, :2] * size
    half = size * torch.exp(deltas[:, 2:]) / 2
    return torch.cat([middle - half, middle + half], dim=1)


def decode_by_loops(deltas, anchors):
    rows = []
    for (dx, dy, dw, dh), (a, b, c, d) in zip(deltas, anchors, strict=True):
        x, y = (a + c) / 2 + dx * (c - a), (b + d) / 2 + dy * (d - b)
        w, h = (c - a) * dw.exp() / 2, (d - b) * dh.exp() / 2
        rows.append(torch.stack([x - w, y - h, x + w, y + h]))
    return torch.stack(rows)


EXERCISE = Exercise(
    id="capstone.decode",
    solution=decode,
    probes={"decode": "n 4"},
    trials=decode_trials,
    slips=NUMBERS,
    hints=(
        "Solve the four equations of `encode` for x, y, w and h.",
        "A shift times the anchor's side is in pixels again; `exp` undoes the logarithm.",
        (
            "x, y = x_a + dx w_a, y_a + dy h_a\nw, h = w_a exp(dw), h_a exp(dh)\n"
            "stack x - w/2, y - h/2, x + w/2, y + h/2"
        ),
    ),
    minutes=4,
    difficulty=2,
    otherwise=(decode_by_columns, decode_by_loops),
    skip=frozenset({"half", "large"}),
)
