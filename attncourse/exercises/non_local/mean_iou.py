"""Mean intersection over union: one ratio a class, over all pixels, then their mean."""

import torch
from torch.nn import functional as F

from attncourse.exercises.edits import often, same, wrong
from attncourse.exercises.record import Exercise, Given, Trial
from solutions.non_local import mean_iou


def iou_trials():
    dice = torch.Generator().manual_seed(7)

    def trial(name, classes, missing=(), **sizes):
        shape = [sizes[a] for a in "bhw"]
        truth = torch.randint(classes, shape, generator=dice)
        other = torch.randint(classes, shape, generator=dice)
        predicted = truth.where(torch.rand(shape, generator=dice) < 0.6, other)
        for labels in (truth, predicted):  # images differ in what they hold
            labels[0, labels[0] == 1] = 0
        for where, absent in missing:
            (truth if where == "truth" else predicted)[
                (truth if where == "truth" else predicted) == absent
            ] = 0
        if "ignored" in name:
            truth[:, 0] = -1
            truth[0, -1] = 255
            truth[-1, -1] = classes
        return Trial(
            name,
            sizes,
            dict(
                predicted=Given("b h w", predicted),
                truth=Given("b h w", truth),
                classes=classes,
            ),
        )

    return (
        trial("with 3 classes", 3, b=2, h=4, w=5),
        trial("with ignored pixels", 4, b=3, h=5, w=7),
        trial(
            "where a class is neither there nor predicted",
            5,
            [("truth", 3), ("predicted", 3)],
            b=2,
            h=6,
            w=3,
        ),
        trial("where a class is predicted that is not there", 4, [("truth", 2)], b=2, h=3, w=7),
        trial("where the last class is not there", 3, [("truth", 2)], b=2, h=5, w=4),
        trial("where a class is there and not predicted", 4, [("predicted", 2)], b=2, h=7, w=3),
        trial(
            "with ignored pixels and an absent class",
            4,
            [("truth", 3), ("predicted", 3)],
            b=2,
            h=6,
            w=5,
        ),
    )


# fmt: off
WAYS = (same("[either > 0].mean()", ".nanmean()"),)

COUNTED = (
    *often(
        wrong("ignored_counted", "predicted[counted], truth[counted]",
              "predicted.flatten(), truth.flatten()",
              "Pixels whose truth is no class are counted: what is predicted there swells the"
              " unions. Take them out first."),
        wrong("only_255_ignored", "(truth >= 0) & (truth < classes)", "truth != 255",
              "You take out 255 only. A truth of -1, or any that is no class, is not counted"
              " either."),
    ),
    wrong("only_minus_one_ignored", "(truth >= 0) & (truth < classes)", "truth != -1",
          "You take out -1 only. A truth of 255, or any that is no class, is not counted either."),
    wrong("ignored_become_class_0", "predicted[counted], truth[counted]",
          "predicted.flatten(), truth.where(counted, 0).flatten()",
          "Pixels whose truth is no class become class 0. They are not counted at all."),
    wrong("ignored_become_right", "predicted[counted], truth[counted]",
          "predicted.where(counted, 0).flatten(), truth.where(counted, 0).flatten()",
          "Pixels whose truth is no class become class 0 in both: they count as rightly said. They"
          " are not counted at all: take them out."),
    wrong("clamped_to_classes", "predicted[counted], truth[counted]",
          "predicted.flatten(), truth.clamp(0, classes - 1).flatten()",
          "Pixels whose truth is no class become the first or the last class, by `clamp`. They are"
          " not counted at all."),
    wrong("one_class_too_many", "truth < classes", "truth <= classes",
          "A truth that equals `classes` is counted (`<=`). Classes count from 0: the last one is"
          " classes − 1, and beyond it is no class."),
    wrong("negative_counted", "(truth >= 0) & (truth < classes)", "truth < classes",
          "You take out what is `classes` or more. A truth below 0, such as -1, is no class"
          " either."),
)

RATIOS = (
    *often(
        wrong("union_as_a_sum", "(said | there).sum(-1)", "said.sum(-1) + there.sum(-1)",
              "Your union counts what both have twice: sum both and take the intersection off"
              " once."),
        wrong("dice_coefficient", "(said & there).sum(-1)", "2 * (said & there).sum(-1)",
              "That is the Dice coefficient, 2 I / (A + B). IoU divides I by the union A + B − I.",
              ("(said | there).sum(-1)", "said.sum(-1) + there.sum(-1)")),
        wrong("recall", "both / either", "both / there.sum(-1)",
              "You divide by the pixels of the class: that is recall (mean class accuracy). IoU"
              " divides by the union, so that what is wrongly said counts too."),
    ),
    wrong("precision", "both / either", "both / said.sum(-1)",
          "You divide by the pixels that were said to be of the class: that is precision. IoU"
          " divides by the union."),
    wrong("agreement", "(both / either)", "(said == there).float().mean(-1)",
          "You count agreement on what is not of the class too. The intersection holds the pixels"
          " that both call by this class."),
    wrong("larger_of_both", "both / either", "both / torch.maximum(said.sum(-1), there.sum(-1))",
          "You divide by the larger of the two. IoU divides by the union."),
    wrong("smoothed", "both / either", "(both + 1) / (either + 1)",
          "You add 1 to intersection and union, as a smooth loss does. A score has plain counts:"
          " leave classes with an empty union out instead."),
)

CLASSES = (
    *often(
        wrong("absent_is_nan", "[either > 0]", "",
              "0 / 0 stays in: a class that is neither there nor predicted makes the mean nan. Leave"
              " it out."),
        wrong("without_class_0", "[either > 0]", "[either > 0][1:]",
              "You leave out class 0 as background. Every class counts."),
    ),
    wrong("absent_as_0", "[either > 0]", ".nan_to_num(0)",
          "A class that is neither there nor predicted counts as 0. Leave it out of the mean."),
    wrong("absent_as_1", "[either > 0]", ".nan_to_num(1)",
          "A class that is neither there nor predicted counts as 1. Leave it out of the mean."),
    wrong("only_those_there", "either > 0", "there.any(-1)",
          "You leave out classes that are predicted and not there. They count as 0: leave out only"
          " what is in neither."),
    wrong("only_those_predicted", "either > 0", "said.any(-1)",
          "You leave out classes that are there and never predicted. They count as 0: leave out only"
          " what is in neither."),
    wrong("only_those_hit", "either > 0", "both > 0",
          "You leave out classes whose *intersection* is empty. Those count as 0: leave out only"
          " what has an empty union."),
    wrong("without_the_last_class", "arange(classes,", "arange(classes - 1,",
          "The last class is left out. `range(classes)` goes from 0 to classes − 1: all of them"
          " count."),
    wrong("classes_of_the_truth", "arange(classes,", "arange(int(truth.max()) + 1,",
          "You count the classes in the truth, up to its largest label. There are `classes` of them:"
          " one that is predicted and not there counts as 0."),
)

MEANS = (
    wrong("weighted_by_frequency", "return (both",
          "share = there.sum(-1) / there.sum()\nreturn (share * both",
          "You weight the classes by how many pixels they have. In the mean every class counts"
          " alike.",
          (".mean()", ".sum()")),
    wrong("summed_over_classes", ".mean()", ".sum()",
          "You sum over the classes. Take the mean."),
    wrong("median_of_classes", ".mean()", ".median()",
          "You take the median of the classes. Take the mean."),
    wrong("one_value_a_class", ".mean()", "",
          "You return a value for each class. Take their mean."),
    wrong("in_percent", "return (", "return 100 * (",
          "You return percent. The mean of the ratios is a number from 0 to 1."),
    wrong("as_a_loss", "return (", "return 1 - (",
          "You return 1 − IoU, a loss. The score is asked for: 1 is perfect."),
    wrong("pixel_accuracy", "(both / either)[either > 0].mean()",
          "(predicted == truth).float().mean()",
          "That is the share of pixels that are right. IoU is a ratio for each class, then averaged:"
          " a rare class counts as much as a common one."),
    wrong("summed_before_dividing", "(both / either)[either > 0].mean()", "both.sum() / either.sum()",
          "You sum intersections and unions over the classes and divide then. Divide for each class,"
          " then average."),
)
# fmt: on


def ratios_of_images(predicted, truth, classes):
    """Intersection over union of each class in each image; nan where it is in neither."""
    counted = (truth >= 0) & (truth < classes)
    each = torch.arange(classes)[:, None, None, None]
    said, there = (predicted == each) & counted, (truth == each) & counted
    return (said & there).sum((-2, -1)) / (said | there).sum((-2, -1))


def image_and_class_alike(predicted, truth, classes):
    """You average over all pairs of an image and a class. Count intersections and unions over
    all images, then divide, for each class once."""
    return ratios_of_images(predicted, truth, classes).nanmean()


def image_by_image(predicted, truth, classes):
    """You average over images. Intersections and unions are counted over all pixels of all
    images, then divided: else a class in few images weighs otherwise."""
    return ratios_of_images(predicted, truth, classes).nanmean(0).mean()


def image_by_image_then_classes(predicted, truth, classes):
    """You divide for each image and average over images, class by class. Count intersections
    and unions over all images, then divide."""
    return ratios_of_images(predicted, truth, classes).nanmean(1).nanmean()


IMAGES = image_and_class_alike, image_by_image, image_by_image_then_classes


def iou_by_confusion(predicted, truth, classes):
    keep = (truth >= 0) & (truth < classes)
    index = truth[keep] * classes + predicted[keep]
    table = torch.bincount(index, minlength=classes**2).reshape(classes, classes).float()
    union = table.sum(0) + table.sum(1) - table.diag()
    return (table.diag()[union > 0] / union[union > 0]).mean()


def iou_by_loops(predicted, truth, classes):
    pairs = list(zip(predicted.flatten().tolist(), truth.flatten().tolist(), strict=True))
    found = []
    for c in range(classes):
        both = sum(p == c and t == c for p, t in pairs)
        either = sum((p == c or t == c) for p, t in pairs if 0 <= t < classes)
        if either:
            found.append(both / either)
    return torch.tensor(sum(found) / len(found), device=truth.device)


def iou_by_one_hot(predicted, truth, classes):
    keep = ((truth >= 0) & (truth < classes)).flatten()
    p = F.one_hot(predicted.flatten()[keep], classes)
    t = F.one_hot(truth.flatten()[keep], classes)
    both = (p * t).sum(0)
    union = (p + t).clamp(max=1).sum(0)
    return both.div(union).nanmean()


EXERCISE = Exercise(
    id="non_local.mean_iou",
    solution=mean_iou,
    probes={"mean_iou": ""},
    trials=iou_trials,
    slips=(*WAYS, *COUNTED, *RATIOS, *CLASSES, *MEANS, *IMAGES),
    hints=(
        "For one class: which pixels are called so by both, and which by at least one?",
        (
            "Take out the pixels whose truth is no class. Then, for each class, compare"
            " predicted == class and truth == class with & and |, and count. Leave out"
            " classes whose union is empty."
        ),
        (
            "counted = (truth >= 0) & (truth < classes)\n"
            "for each class: both = count of said & there,\n"
            "    either = count of said | there\n"
            "the mean of both / either over the classes with either > 0"
        ),
    ),
    minutes=10,
    difficulty=2,
    otherwise=(iou_by_confusion, iou_by_loops, iou_by_one_hot),
)
