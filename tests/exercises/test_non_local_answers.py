"""What `check` says of answers to chapter 07 that are written otherwise than the slips."""

import pytest
import torch
from torch.nn import functional as F

from attncourse import check
from solutions.non_local import ChannelAttention, PositionAttention, mean_iou


def table(predicted, truth, classes):
    """Intersections, pixels there and pixels said, of each class, from a confusion matrix."""
    counted = (truth >= 0) & (truth < classes)
    index = truth[counted] * classes + predicted[counted]
    counts = torch.bincount(index, minlength=classes**2).reshape(classes, classes).float()
    return counts.diag(), counts.sum(1), counts.sum(0)


def mean_over_said(predicted, truth, classes):
    both, there, said = table(predicted, truth, classes)
    return (both / (there + said - both))[said > 0].mean()


def mean_over_hit(predicted, truth, classes):
    both, there, said = table(predicted, truth, classes)
    return (both / (there + said - both))[both > 0].mean()


def up_to_the_largest_label(predicted, truth, classes):
    both, there, said = table(predicted, truth, classes)
    top = int(there.nonzero().max()) + 1
    return (both / (there + said - both))[:top].nanmean()


def one_label_too_many(predicted, truth, classes):
    truth = truth.where((truth >= 0) & (truth <= classes), -1)
    kept = truth >= 0
    found = []
    for c in range(classes):
        said, there = predicted[kept] == c, truth[kept] == c
        if (said | there).any():
            found.append((said & there).sum() / (said | there).sum())
    return torch.stack(found).mean()


def precision_without_nan(predicted, truth, classes):
    both, _, said = table(predicted, truth, classes)
    return (both / said).nanmean()


def recall_without_nan(predicted, truth, classes):
    both, there, _ = table(predicted, truth, classes)
    return (both / there).nanmean()


@pytest.mark.parametrize(
    ("answer", "slip"),
    [
        (mean_over_said, "only_those_predicted"),
        (mean_over_hit, "only_those_hit"),
        (up_to_the_largest_label, "classes_of_the_truth"),
        (one_label_too_many, "one_class_too_many"),
        (precision_without_nan, "precision"),
        (recall_without_nan, "recall"),
        (
            lambda predicted, truth, classes: 100 * mean_iou(predicted, truth, classes),
            "in_percent",
        ),
    ],
)
def test_a_wrong_score_is_named(answer, slip):
    verdict = check("non_local.mean_iou", answer)
    assert (verdict.status, verdict.slip) == ("not yet", slip)


class WithoutABias(PositionAttention):
    def forward(self, x):
        v = x.flatten(2).mT @ self.value.weight.mT
        return x + self.gamma * (self.attention(x) @ v).mT.reshape(x.shape)


class ScoresTimesGamma(PositionAttention):
    def attention(self, x):
        tokens = x.flatten(2).mT
        scores = torch.einsum("bim, bjm -> bij", self.query(tokens), self.key(tokens))
        return F.softmax(self.gamma * scores, dim=-1)


@pytest.mark.parametrize(
    ("answer", "slip"),
    [
        (WithoutABias, "position_value_without_bias"),
        (ScoresTimesGamma, "gamma_in_the_scores"),
    ],
)
def test_a_wrong_position_attention_is_named(answer, slip):
    verdict = check("non_local.position_attention", answer)
    assert (verdict.status, verdict.slip) == ("not yet", slip)


class MaximumAdded(ChannelAttention):
    def attention(self, x):
        maps = x.flatten(2)
        energy = maps @ maps.mT
        if self.released:
            energy = energy.amax(-1, keepdim=True) + energy
        return energy.softmax(-1)


def test_a_maximum_that_is_added_is_not_said_to_be_a_flag_left_alone():
    verdict = check("non_local.channel_attention", MaximumAdded)
    assert verdict.slip == "flag_ignored"
    assert "max + E is no other softmax" in verdict.message
