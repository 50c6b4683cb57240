"""The record of `non_local.mean_iou`."""

import torch
from torch.nn import functional as F

from attncourse.exercises.families import family
from attncourse.exercises.record import Exercise, Given, Trial, slip
from solutions.non_local import (
    mean_iou,
)


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


def only_counted(predicted, truth, classes):
    counted = (truth >= 0) & (truth < classes)
    return predicted[counted], truth[counted]


def counts(said, there):
    both = (said & there).sum().double()
    return both, (said | there).sum().double()


def left_out(ratios, present, there):
    return [r for r, p in zip(ratios, present, strict=True) if p]


def finite_ones(ratios, present, there):
    return [r for r, p in zip(ratios, present, strict=True) if p and not r.isnan()]


def mean_of(ratios, there):
    return torch.stack(ratios).mean()


def iou_recipe(counting=only_counted, dividing=counts, leaving=left_out, averaging=mean_of):
    """`mean_iou` with some of its steps replaced."""

    def answer(predicted, truth, classes):
        predicted, truth = counting(predicted, truth, classes)
        ratios, present, there = [], [], []
        for one in range(classes):
            above, below = dividing(predicted == one, truth == one)
            ratios.append(above / below)
            present.append(bool(((predicted == one) | (truth == one)).any()))
            there.append((truth == one).sum().double())
        kept = leaving(ratios, present, there)
        sizes = leaving(there, present, there)
        return averaging(kept, sizes).float()

    return answer


def ignored_counted(predicted, truth, classes):
    """Pixels whose truth is no class are counted: what is predicted there swells the unions.
    Take them out first."""
    return predicted, truth


def only_minus_one_ignored(predicted, truth, classes):
    """You take out -1 only. A truth of 255, or any that is no class, is not counted either."""
    return predicted[truth != -1], truth[truth != -1]


def only_255_ignored(predicted, truth, classes):
    """You take out 255 only. A truth of -1, or any that is no class, is not counted either."""
    return predicted[truth != 255], truth[truth != 255]


def ignored_become_class_0(predicted, truth, classes):
    """Pixels whose truth is no class become class 0. They are not counted at all."""
    return predicted, truth.where((truth >= 0) & (truth < classes), 0)


def clamped_to_classes(predicted, truth, classes):
    """Pixels whose truth is no class become the first or the last class, by `clamp`. They are
    not counted at all."""
    return predicted, truth.clamp(0, classes - 1)


def ignored_become_right(predicted, truth, classes):
    """Pixels whose truth is no class become class 0 in both: they count as rightly said. They
    are not counted at all: take them out."""
    counted = (truth >= 0) & (truth < classes)
    return predicted.where(counted, 0), truth.where(counted, 0)


def one_class_too_many(predicted, truth, classes):
    """A truth that equals `classes` is counted (`<=`). Classes count from 0: the last one is
    classes − 1, and beyond it is no class."""
    counted = (truth >= 0) & (truth <= classes)
    return predicted[counted], truth[counted]


def negative_counted(predicted, truth, classes):
    """You take out what is `classes` or more. A truth below 0, such as -1, is no class
    either."""
    return predicted[truth < classes], truth[truth < classes]


def smoothed(said, there):
    """You add 1 to intersection and union, as a smooth loss does. A score has plain counts:
    leave classes with an empty union out instead."""
    return (said & there).sum().double() + 1, (said | there).sum().double() + 1


def union_as_a_sum(said, there):
    """Your union counts what both have twice: sum both and take the intersection off once."""
    return (said & there).sum().double(), said.sum().double() + there.sum()


def dice_coefficient(said, there):
    """That is the Dice coefficient, 2 I / (A + B). IoU divides I by the union A + B − I."""
    return 2.0 * (said & there).sum(), said.sum().double() + there.sum()


def recall(said, there):
    """You divide by the pixels of the class: that is recall (mean class accuracy). IoU divides
    by the union, so that what is wrongly said counts too."""
    return (said & there).sum().double(), there.sum().double()


def precision(said, there):
    """You divide by the pixels that were said to be of the class: that is precision. IoU
    divides by the union."""
    return (said & there).sum().double(), said.sum().double()


def agreement(said, there):
    """You count agreement on what is not of the class too. The intersection holds the pixels
    that both call by this class."""
    return (said == there).sum().double(), torch.tensor(float(said.numel())).double()


def larger_of_both(said, there):
    """You divide by the larger of the two. IoU divides by the union."""
    total = torch.maximum(said.sum(), there.sum()).double()
    return (said & there).sum().double(), total


def absent_as_0(ratios, present, there):
    """A class that is neither there nor predicted counts as 0. Leave it out of the mean."""
    return [r if p else torch.zeros_like(r) for r, p in zip(ratios, present, strict=True)]


def absent_as_1(ratios, present, there):
    """A class that is neither there nor predicted counts as 1. Leave it out of the mean."""
    return [r if p else torch.ones_like(r) for r, p in zip(ratios, present, strict=True)]


def only_those_there(ratios, present, there):
    """You leave out classes that are predicted and not there. They count as 0: leave out only
    what is in neither."""
    return [r for r, t in zip(ratios, there, strict=True) if t > 0]


def only_those_hit(ratios, present, there):
    """You leave out classes whose *intersection* is empty. Those count as 0: leave out only
    what has an empty union."""
    return [r for r in ratios if r > 0]


def without_the_last_class(ratios, present, there):
    """The last class is left out. `range(classes)` goes from 0 to classes − 1: all of them
    count."""
    return left_out(ratios[:-1], present[:-1], there[:-1])


def absent_is_nan(ratios, present, there):
    """0 / 0 stays in: a class that is neither there nor predicted makes the mean nan. Leave it
    out."""
    return ratios


def without_class_0(ratios, present, there):
    """You leave out class 0 as background. Every class counts."""
    return left_out(ratios, present, there)[1:]


def weighted_by_frequency(ratios, there):
    """You weight the classes by how many pixels they have. In the mean every class counts
    alike."""
    weights = torch.stack(there)
    return (torch.stack(ratios) * weights / weights.sum()).sum()


def summed_over_classes(ratios, there):
    """You sum over the classes. Take the mean."""
    return torch.stack(ratios).sum()


def median_of_classes(ratios, there):
    """You take the median of the classes. Take the mean."""
    return torch.stack(ratios).median()


def one_value_a_class(ratios, there):
    """You return a value for each class. Take their mean."""
    return torch.stack(ratios)


def only_those_predicted(predicted, truth, classes):
    """You leave out classes that are there and never predicted. They count as 0: leave out only
    what is in neither."""
    predicted, truth = only_counted(predicted, truth, classes)
    said = [c for c in range(classes) if (predicted == c).any()]
    pairs = [counts(predicted == c, truth == c) for c in said]
    return torch.stack([both / either for both, either in pairs]).mean().float()


def classes_of_the_truth(predicted, truth, classes):
    """You count the classes in the truth, up to its largest label. There are `classes` of them:
    one that is predicted and not there counts as 0."""
    predicted, truth = only_counted(predicted, truth, classes)
    top = int(truth.max()) + 1
    pairs = [counts(predicted == c, truth == c) for c in range(top)]
    return torch.stack([both / either for both, either in pairs if either]).mean().float()


def in_percent(predicted, truth, classes):
    """You return percent. The mean of the ratios is a number from 0 to 1."""
    return 100 * mean_iou(predicted, truth, classes)


def as_a_loss(predicted, truth, classes):
    """You return 1 − IoU, a loss. The score is asked for: 1 is perfect."""
    return 1 - mean_iou(predicted, truth, classes)


def pixel_accuracy(predicted, truth, classes):
    """That is the share of pixels that are right. IoU is a ratio for each class, then averaged:
    a rare class counts as much as a common one."""
    predicted, truth = only_counted(predicted, truth, classes)
    return (predicted == truth).float().mean()


def summed_before_dividing(predicted, truth, classes):
    """You sum intersections and unions over the classes and divide then. Divide for each class,
    then average."""
    predicted, truth = only_counted(predicted, truth, classes)
    both = sum(((predicted == c) & (truth == c)).sum() for c in range(classes))
    return both / sum(((predicted == c) | (truth == c)).sum() for c in range(classes))


def image_by_image(predicted, truth, classes):
    """You average over images. Intersections and unions are counted over all pixels of all
    images, then divided: else a class in few images weighs otherwise."""
    each = [mean_iou(p, t, classes) for p, t in zip(predicted, truth, strict=True)]
    return torch.stack(each).mean()


def image_and_class_alike(predicted, truth, classes):
    """You average over all pairs of an image and a class. Count intersections and unions over
    all images, then divide, for each class once."""
    ratios = []
    for p, t in zip(predicted, truth, strict=True):
        p, t = only_counted(p, t, classes)
        found = (counts(p == c, t == c) for c in range(classes))
        ratios += [both / either for both, either in found if either]
    return torch.stack(ratios).mean().float()


def image_by_image_then_classes(predicted, truth, classes):
    """You divide for each image and average over images, class by class. Count intersections
    and unions over all images, then divide."""
    ratios = []
    for one in range(classes):
        found = []
        for p, t in zip(predicted, truth, strict=True):
            p, t = only_counted(p, t, classes)
            both, either = counts(p == one, t == one)
            if either:
                found.append(both / either)
        if found:
            ratios.append(torch.stack(found).mean())
    return torch.stack(ratios).mean().float()


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
    return torch.tensor(sum(found) / len(found))


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
    slips=(
        *family(
            iou_recipe,
            counting=(
                ignored_counted,
                only_minus_one_ignored,
                only_255_ignored,
                ignored_become_class_0,
                ignored_become_right,
                clamped_to_classes,
                one_class_too_many,
                negative_counted,
            ),
            dividing=(
                union_as_a_sum,
                dice_coefficient,
                recall,
                precision,
                agreement,
                larger_of_both,
                smoothed,
            ),
            leaving=(
                absent_as_0,
                absent_as_1,
                only_those_there,
                absent_is_nan,
                only_those_hit,
                without_class_0,
                without_the_last_class,
            ),
            averaging=(
                weighted_by_frequency,
                summed_over_classes,
                median_of_classes,
                one_value_a_class,
            ),
            unsaid=dict(leaving=(finite_ones,)),
        ),
        slip(only_those_predicted),
        slip(classes_of_the_truth),
        slip(image_and_class_alike),
        slip(in_percent),
        slip(as_a_loss),
        slip(pixel_accuracy),
        slip(summed_before_dividing),
        slip(image_by_image),
        slip(image_by_image_then_classes),
    ),
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
