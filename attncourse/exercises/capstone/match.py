"""Which truth each anchor is to find."""

import torch

from attncourse.exercises.edits import often, same, wrong
from attncourse.exercises.record import Exercise, Given, Trial
from solutions.capstone.boxes import match


def match_trials():
    def trial(name, rows, foreground=0.5, background=0.4):
        iou = torch.tensor(rows, dtype=torch.float64)
        sizes = dict(g=iou.shape[0], a=iou.shape[1])
        inputs = dict(iou=Given("g a", iou), foreground=foreground, background=background)
        return Trial(name, sizes, inputs)

    dice = torch.Generator().manual_seed(11)
    drawn = torch.rand(3, 17, generator=dice, dtype=torch.float64)
    none = Trial(
        "without any truth",
        dict(a=4),
        dict(iou=Given("g a", torch.zeros(0, 4).double()), foreground=0.5, background=0.4),
    )
    return (
        trial(
            "of 2 truths and 5 anchors",
            [[0.7, 0.1, 0.45, 0.2, 0.6], [0.2, 0.3, 0.41, 0.9, 0.65]],
        ),
        trial("at the thresholds", [[0.5, 0.4, 0.49], [0.1, 0.2, 0.3]]),
        trial("with other thresholds", drawn.tolist(), 0.75, 0.25),
        trial(
            "of a truth that no anchor overlaps much",
            [[0.1, 0.2, 0.39, 0.3], [0.8, 0.1, 0.0, 0.6]],
        ),
        none,
    )


# fmt: off
WAYS = (
    *often(
        wrong("up_to_and_with", "best < foreground", "best <= foreground",
              "An anchor that overlaps by `foreground` itself has a truth: it is left out only below."),
        wrong("background_up_to_and_with", "best < background", "best <= background",
              "An anchor that overlaps by `background` itself is no background: only below it."),
    ),
    wrong("nothing_between", "torch.where(best < foreground, IGNORED, truth)",
          "torch.where(best < foreground, BACKGROUND, truth)",
          "You take all that have no truth for background. Between the thresholds an anchor counts"
          " as nothing: -2."),
    wrong("all_between", "torch.where(best < background, BACKGROUND, truth)", "truth",
          "You leave out all that have no truth. Below `background` they are background: -1."),
    wrong("names_exchanged", "torch.where(best < foreground, IGNORED, truth)",
          "torch.where(best < foreground, BACKGROUND, truth)",
          "Your -1 and -2 are exchanged: -1 is background, -2 is what counts as nothing.",
          ("torch.where(best < background, BACKGROUND, truth)",
           "torch.where(best < background, IGNORED, truth)")),
    wrong("the_least", "iou.max(0)", "iou.min(0)",
          "You give each anchor the truth that it overlaps least. Take the one that it overlaps"
          " most."),
    wrong("by_truth", "best, truth = iou.max(0)", "best, truth = iou.T.max(0)",
          "You look for the best anchor of each truth. Ask for the best truth of each anchor: over"
          " the axis g."),
    wrong("the_first_that_overlaps_enough", "best, truth = iou.max(0)",
          "best, truth = iou.amax(0), (iou >= foreground).int().argmax(0)",
          "You give each anchor the first truth that overlaps it enough. Take the one that overlaps"
          " it most."),
    wrong("each_truth_has_its_best_anchor", "return torch.where(best < background, BACKGROUND, truth)",
          "truth = torch.where(best < background, BACKGROUND, truth)\n"
          "truth[iou.argmax(1)] = torch.arange(len(iou), device=iou.device)\nreturn truth",
          "You give every truth its best anchor, however little they overlap. Here only the"
          " thresholds decide."),
    wrong("ignored_without_truths", "return torch.full(iou.shape[1:], BACKGROUND, device=iou.device)",
          "return torch.full(iou.shape[1:], IGNORED, device=iou.device)",
          "Where there is no truth you let the anchors count as nothing. They are background: -1."),
    wrong("a_mask", "torch.where(best < background, BACKGROUND, truth)",
          "torch.where(best < background, BACKGROUND, torch.where(best < foreground, IGNORED, 1))",
          "You say whether an anchor has a truth, and not which one. Its index is asked for."),
    wrong("counted_from_1", "best, truth = iou.max(0)", "best, truth = iou.max(0)\ntruth = truth + 1",
          "You count truths from 1. Indices begin at 0."),
    same("best, truth = iou.max(0)", "best, truth = iou.amax(0), iou.argmax(0)"),
)
# fmt: on


def match_by_loops(iou, foreground=0.5, background=0.4):
    found = []
    for overlaps in iou.T.tolist():
        best = max(overlaps, default=-1.0)
        if best < background:
            found.append(-1)
        elif best < foreground:
            found.append(-2)
        else:
            found.append(overlaps.index(best))
    return torch.tensor(found, device=iou.device, dtype=torch.long)


def match_by_filling(iou, foreground=0.5, background=0.4):
    if not len(iou):
        return torch.zeros(iou.shape[1], dtype=torch.long, device=iou.device) - 1
    truth, best = iou.argmax(dim=0), iou.amax(dim=0)
    truth = truth.masked_fill((best >= background) & (best < foreground), -2)
    return truth.masked_fill(best < background, -1)


EXERCISE = Exercise(
    id="capstone.match",
    solution=match,
    probes={"match": "a"},
    trials=match_trials,
    slips=WAYS,
    hints=(
        "Which truth has the best claim to an anchor, and when is that claim too weak?",
        (
            "`iou.max(0)` gives each anchor its best overlap and whose it is. Below `background`"
            " the anchor learns that nothing is there; up to `foreground` it learns nothing."
        ),
        (
            "no truth: all -1\nbest, truth = max over g\n"
            "truth = -2 where best < foreground\ntruth = -1 where best < background"
        ),
    ),
    minutes=6,
    difficulty=2,
    otherwise=(match_by_loops, match_by_filling),
    skip=frozenset({"gradients", "large", "half"}),
)
