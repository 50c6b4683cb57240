"""Of many boxes around one thing, the best."""

import torch

from attncourse.exercises.capstone.shared import boxes
from attncourse.exercises.edits import often, same, wrong
from attncourse.exercises.record import Exercise, Given, Trial
from solutions.capstone.boxes import box_iou, non_maximum_suppression

CHAIN = [[8.0, 0, 18, 10], [4, 0, 14, 10], [0, 0, 10, 10], [40, 0, 50, 9], [12, 0, 22, 10]]


def suppression_trials():
    def trial(name, edges, scores, threshold):
        edges = torch.as_tensor(edges, dtype=torch.float64)
        inputs = dict(
            boxes=Given("n 4", edges),
            scores=Given("n", torch.as_tensor(scores, dtype=torch.float64)),
            threshold=threshold,
        )
        return Trial(name, dict(n=len(edges)), inputs)

    dice = torch.Generator().manual_seed(3)
    drawn = torch.rand(23, generator=dice, dtype=torch.float64)
    square = [[0.0, 0, 4, 4]]
    return (
        trial("of a chain", CHAIN, [0.7, 0.8, 0.9, 0.3, 0.6], 0.4),
        trial("of 23 boxes", boxes(23, 9, side=12.0), drawn, 0.3),
        trial("where all stay", boxes(7, 4, side=12.0), drawn[:7], 1.0),
        trial("of equal scores", square * 2 + CHAIN[:1] + square, [0.5, 0.5, 0.9, 0.5], 0.5),
        trial(
            "at the threshold",
            [[0.0, 0, 2, 1], [0, 0, 1, 1], [0, 0, 4, 1]],
            [0.9, 0.8, 0.7],
            0.5,
        ),
        trial("of no boxes", torch.zeros(0, 4), [], 0.5),
    )


# fmt: off
ORDERS = (
    *often(
        wrong("worst_first", "descending=True, stable=True", "descending=False, stable=True",
              "You begin with the worst score, which then suppresses better ones. Begin with the"
              " best."),
        wrong("from_the_threshold_on", "(iou[place] <= threshold)", "(iou[place] < threshold)",
              "A box that overlaps by `threshold` itself stays: it goes only above."),
    ),
    wrong("places_in_the_order", "return order[torch.tensor(kept, dtype=torch.long, device=boxes.device)]",
          "return torch.tensor(kept, dtype=torch.long, device=boxes.device)",
          "You return places in the sorted order. Which boxes are these in `boxes`? Look them up in"
          " the order."),
    wrong("boxes_returned", "return order[torch.tensor(kept, dtype=torch.long, device=boxes.device)]",
          "return boxes[order[torch.tensor(kept, dtype=torch.long, device=boxes.device)]]",
          "You return the boxes. Their indices are asked for, since scores and classes go with"
          " them."),
    wrong("in_order_of_the_boxes", "return order[torch.tensor(kept, dtype=torch.long, device=boxes.device)]",
          "return order[torch.tensor(kept, dtype=torch.long, device=boxes.device)].sort().values",
          "Your indices rise. The best score comes first."),
    wrong("last_of_equals_first", "scores.argsort(descending=True, stable=True)",
          "scores.flip(0).argsort(descending=True, stable=True)",
          "Of equal scores your last comes first. The first does.",
          ("iou = box_iou(boxes[order], boxes[order])",
           "order = len(scores) - 1 - order\niou = box_iou(boxes[order], boxes[order])")),
    wrong("never_sorted", "scores.argsort(descending=True, stable=True)",
          "torch.arange(len(scores), device=boxes.device)",
          "You go through the boxes as they come. Go through them by their scores, the best first."),
)

CHOICES = (
    wrong("not_greedy", "alive = alive & (iou[place] <= threshold)", "pass",
          "Nothing is suppressed: what a kept box overlaps by more than the threshold must go."),
    wrong("suppressed_suppress_too", "if alive[place]:\n    kept.append(place)\n    alive = alive & (iou[place] <= threshold)",
          "if alive[place]:\n    kept.append(place)\nalive = alive & (iou[place] <= threshold)",
          "A box that was suppressed suppresses others still. Only boxes that were kept do."),
    wrong("last_kept_alone", "if alive[place]:\n    kept.append(place)\n    alive = alive & (iou[place] <= threshold)",
          "if not kept or iou[place, kept[-1]] <= threshold:\n    kept.append(place)",
          "You compare with the box that was kept last alone. All that were kept before count."),
    wrong("threshold_of_one_half", "(iou[place] <= threshold)", "(iou[place] <= 0.5)",
          "Your threshold is 0.5 whatever `threshold` is."),
    wrong("by_the_smaller_box", "iou = box_iou(boxes[order], boxes[order])",
          "area = (boxes[order][:, 2:] - boxes[order][:, :2]).prod(-1)\n"
          "iou = box_iou(boxes[order], boxes[order])\n"
          "iou = iou / (1 + iou) * (area[:, None] + area) / torch.minimum(area[:, None], area)",
          "You divide the overlap by the smaller box: one within another always goes. Overlap is"
          " measured by `box_iou`."),
    wrong("a_mask", "return order[torch.tensor(kept, dtype=torch.long, device=boxes.device)]",
          "mask = torch.zeros(len(order), dtype=torch.bool, device=boxes.device)\n"
          "mask[order[torch.tensor(kept, dtype=torch.long, device=boxes.device)]] = True\nreturn mask",
          "You return a mask. The indices of the boxes that stay are asked for, the best score"
          " first."),
    wrong("far_ones_go", "(iou[place] <= threshold)", "(iou[place] > threshold)",
          "You suppress what does not overlap the kept box, and keep what does. It is the other way"
          " round."),
    wrong("one_alone", "kept.append(place)", "kept = kept or [place]",
          "You keep the best box alone. One thing after the other: the best of those that are left."),
    same("(iou[place] <= threshold)", "~(iou[place] > threshold)"),
)
# fmt: on


def suppression_by_lists(boxes, scores, threshold=0.5):
    left = sorted(range(len(scores)), key=lambda i: -scores[i].item())
    kept = []
    while left:
        best = left.pop(0)
        kept.append(best)
        left = [i for i in left if box_iou(boxes[best][None], boxes[i][None]) <= threshold]
    return torch.tensor(kept, dtype=torch.long, device=boxes.device)


def suppression_by_shrinking(boxes, scores, threshold=0.5):
    order, kept = torch.sort(scores, descending=True, stable=True).indices, []
    while order.numel():
        kept.append(order[0])
        iou = box_iou(boxes[order[:1]], boxes[order[1:]])[0]
        order = order[1:][iou <= threshold]
    return torch.stack(kept) if kept else order


EXERCISE = Exercise(
    id="capstone.non_maximum_suppression",
    solution=non_maximum_suppression,
    probes={"non_maximum_suppression": "k"},
    trials=suppression_trials,
    slips=(*ORDERS, *CHOICES),
    hints=(
        "Ten boxes surround one digit. Which of them stays, and who decides about the next?",
        (
            "The best score stays, and takes away all that overlap it by more than the threshold."
            " Of those that are left the best stays, and so on."
        ),
        (
            "order by score, the best first; a table of all overlaps in that order\n"
            "for each place: if it is alive, keep it, and let live only iou[place] <= threshold\n"
            "return order[kept]"
        ),
    ),
    minutes=10,
    difficulty=3,
    otherwise=(suppression_by_lists, suppression_by_shrinking),
    skip=frozenset({"gradients", "large", "half"}),
)
