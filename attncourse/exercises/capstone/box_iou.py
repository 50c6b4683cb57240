"""Intersection over union of each two boxes."""

import torch

from attncourse.exercises.capstone.shared import boxes, given
from attncourse.exercises.edits import often, same, wrong
from attncourse.exercises.record import Exercise, Given, Trial
from solutions.capstone.boxes import box_iou


def iou_trials():
    empty = torch.tensor([[3.0, 4.0, 3.0, 4.0], [3.0, 4.0, 3.0, 4.0]], dtype=torch.float64)
    apart = boxes(2, 5) + 100
    touching = torch.tensor([[0.0, 0, 2, 3], [2, 0, 5, 3], [0, 3, 2, 7]], dtype=torch.float64)
    return (
        Trial(
            "of 5 and 3 boxes", dict(n=5, m=3), dict(boxes=given(5, 1), others=given(3, 2, "m"))
        ),
        Trial(
            "where some lie apart",
            dict(n=2, m=6),
            dict(boxes=Given("n 4", apart), others=given(6, 3, "m")),
        ),
        Trial(
            "where boxes only touch",
            dict(n=3, m=2),
            dict(boxes=Given("n 4", touching), others=Given("m 4", touching[1:])),
        ),
        Trial(
            "where boxes are tiny",
            dict(n=4, m=3),
            dict(
                boxes=Given("n 4", boxes(4, 6) / 4096), others=Given("m 4", boxes(3, 7) / 4096)
            ),
        ),
        Trial(
            "where boxes have no area",
            dict(n=2, m=5),
            dict(
                boxes=Given("n 4", empty), others=Given("m 4", torch.cat([empty, boxes(3, 4)]))
            ),
        ),
    )


# fmt: off
SIDES = (
    *often(
        wrong("negative_sides", "torch.maximum(left, left2)).clamp(min=0)",
              "torch.maximum(left, left2))",
              "Boxes that lie apart get an overlap: both sides come out negative, and their product"
              " is positive. Cut each side off at 0.",
              ("torch.maximum(top, top2)).clamp(min=0)", "torch.maximum(top, top2))")),
        wrong("overlap_in_both", " - overlap", "",
              "Your union counts the overlap twice, once with each box. Take it off once."),
    ),
    wrong("one_side_cut_off", "torch.maximum(top, top2)).clamp(min=0)",
          "torch.maximum(top, top2))",
          "You cut the width off at 0 and not the height: boxes one above the other get a negative"
          " overlap."),
    wrong("product_cut_off", "torch.maximum(left, left2)).clamp(min=0)",
          "torch.maximum(left, left2))",
          "You cut the product off at 0. Two boxes that lie apart in both directions have two"
          " negative sides, and their product is positive: cut each side off.",
          ("torch.maximum(top, top2)).clamp(min=0)", "torch.maximum(top, top2))"),
          ("overlap = width * height", "overlap = (width * height).clamp(min=0)")),
    wrong("inclusive_throughout", "torch.maximum(left, left2)).clamp(min=0)",
          "torch.maximum(left, left2) + 1).clamp(min=0)",
          "You count each side one longer, as if edges were pixels. Edges are places: a side is"
          " their difference.",
          ("torch.maximum(top, top2)).clamp(min=0)", "torch.maximum(top, top2) + 1).clamp(min=0)"),
          ("(right - left) * (bottom - top) + (right2 - left2) * (bottom2 - top2)",
           "(right - left + 1) * (bottom - top + 1) + (right2 - left2 + 1) * (bottom2 - top2 + 1)")),
    wrong("hull", "torch.minimum(right, right2) - torch.maximum(left, left2)",
          "torch.maximum(right, right2) - torch.minimum(left, left2)",
          "You measure the box around both. The overlap begins at the larger left edge and ends at"
          " the smaller right one.",
          ("torch.minimum(bottom, bottom2) - torch.maximum(top, top2)",
           "torch.maximum(bottom, bottom2) - torch.minimum(top, top2)")),
    wrong("corner_and_size", 'rearrange(others, "m edge -> edge 1 m")',
          'rearrange(others, "m edge -> edge 1 m")\n'
          "right, bottom = left + right, top + bottom\n"
          "right2, bottom2 = left2 + right2, top2 + bottom2",
          "You read a box as left, top, width, height. Its numbers are four edges: left, top, right,"
          " bottom."),
    wrong("inclusive", "torch.maximum(left, left2)).clamp(min=0)",
          "torch.maximum(left, left2) + 1).clamp(min=0)",
          "You add a pixel to each side, as if edges were pixels. Edges are places: a side is their"
          " difference.",
          ("torch.maximum(top, top2)).clamp(min=0)", "torch.maximum(top, top2) + 1).clamp(min=0)")),
)

QUOTIENTS = (
    wrong("nan_of_nothing", "torch.where(union > 0, union, 1)", "union",
          "Two boxes without area give 0 / 0, which is NaN. Theirs is 0: divide by 1 there."),
    wrong("at_least_one_pixel", "torch.where(union > 0, union, 1)", "union.clamp(min=1)",
          "You take every union for one pixel at least: small boxes come out too low. Only a union"
          " of 0 is to be replaced."),
    wrong("with_a_small_number", "torch.where(union > 0, union, 1)", "(union + 1e-6)",
          "You add a small number to the union: tiny boxes come out too low. Only a union of 0 is"
          " to be replaced."),
    wrong("generalised", "overlap / torch.where(union > 0, union, 1)",
          "overlap / torch.where(union > 0, union, 1) - 1 + union / (\n"
          "(torch.maximum(right, right2) - torch.minimum(left, left2))\n"
          "* (torch.maximum(bottom, bottom2) - torch.minimum(top, top2))).clamp(min=1e-9)",
          "That is the generalised IoU: you take off the share of the box around both that neither"
          " fills. Here it is the overlap over the union alone, from 0 to 1."),
    wrong("by_the_sum", "overlap / torch.where(union > 0, union, 1)",
          "2 * overlap / torch.where(union > 0, union + overlap, 1)",
          "That is Dice's coefficient, twice the overlap over the sum of both areas. Divide by the"
          " union."),
    wrong("by_the_smaller", "overlap / torch.where(union > 0, union, 1)",
          "overlap / torch.minimum((right - left) * (bottom - top),"
          " (right2 - left2) * (bottom2 - top2)).clamp(min=1e-9)",
          "You divide by the area of the smaller box: one inside the other gets 1. Divide by the"
          " union."),
    wrong("by_the_first", "overlap / torch.where(union > 0, union, 1)",
          "overlap / ((right - left) * (bottom - top)).clamp(min=1e-9)",
          "You divide by the area of the first box alone. Divide by the union of both."),
    wrong("turned", "overlap / torch.where(union > 0, union, 1)",
          "(overlap / torch.where(union > 0, union, 1)).T",
          "Your table is m n. Its rows are `boxes`, its columns `others`: n m."),
    wrong("overlap_alone", "overlap / torch.where(union > 0, union, 1)", "overlap",
          "You return the overlap, in square pixels. Divide it by the union."),
    same("torch.where(union > 0, union, 1)", "union.clamp(min=1e-30)"),
)
# fmt: on


def iou_by_loops(boxes, others):
    table = boxes.new_zeros(len(boxes), len(others))
    for i, (a, b, c, d) in enumerate(boxes):
        for j, (e, f, g, h) in enumerate(others):
            w, k = min(c, g) - max(a, e), min(d, h) - max(b, f)
            both = w * k if w > 0 and k > 0 else 0 * a
            union = (c - a) * (d - b) + (g - e) * (h - f) - both
            table[i, j] = both / union if union > 0 else 0
    return table


def iou_by_corners(boxes, others):
    low = torch.maximum(boxes[:, None, :2], others[None, :, :2])
    high = torch.minimum(boxes[:, None, 2:], others[None, :, 2:])
    both = (high - low).clamp(min=0).prod(-1)
    areas = [(x[:, 2:] - x[:, :2]).prod(-1) for x in (boxes, others)]
    union = areas[0][:, None] + areas[1] - both
    return torch.where(union > 0, both / torch.where(union > 0, union, 1), 0)


EXERCISE = Exercise(
    id="capstone.box_iou",
    solution=box_iou,
    probes={"box_iou": "n m"},
    trials=iou_trials,
    slips=(*SIDES, *QUOTIENTS),
    hints=(
        "Where does the overlap of two intervals begin, and where does it end?",
        (
            "At the larger of the left edges and the smaller of the right ones; if that is"
            " negative there is none. Edges as n 1 beside 1 m give all pairs at once."
        ),
        (
            "width = (smaller right - larger left), at least 0; height likewise\n"
            "overlap = width height\nunion = area + area' - overlap\noverlap / union, 0 for 0 / 0"
        ),
    ),
    minutes=8,
    difficulty=2,
    otherwise=(iou_by_loops, iou_by_corners),
    skip=frozenset({"half", "gradients"}),
)
