"""What `check` says of answers to chapter 08 that are written otherwise than the slips."""

import itertools
import math

import pytest
import torch
from torch.nn import functional as F

from attncourse import check
from solutions.relative_2d import (
    AttentionAugmentedConv2d,
    axis_logits,
    fit_table,
    relative_attention_2d,
    relative_weights,
)


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_any_order_of_features_is_right_if_it_is_the_same_in_both(order):
    def answer(q, k, rows, columns):
        h, w = q.shape[-3:-1]
        row = torch.eye(h).to(k)[:, None].expand(*k.shape[:-1], h)
        column = torch.eye(w).to(k).expand(*k.shape[:-1], w)
        pair = (q, *axis_logits(q, rows, columns)), (k, row, column)
        return tuple(torch.cat([x[p] for p in order], -1).flatten(-3, -2) for x in pair)

    verdict = check("relative_2d.augmented_pair", answer)
    assert verdict.status == "passed"
    assert (verdict.slip is None) == (order == (0, 1, 2))


def floored(out_channels, kappa, upsilon, heads):
    dk, dv = (int(part * out_channels) // heads * heads for part in (kappa, upsilon))
    return (max(dk, 20 * heads), dv) if dv else (0, 0)


def emptied_for_upsilon_0(out_channels, kappa, upsilon, heads):
    if upsilon == 0:
        return 0, 0
    dk, dv = (math.floor(round(p * out_channels / heads, 6)) for p in (kappa, upsilon))
    return max(dk, 20) * heads, dv * heads


@pytest.mark.parametrize(
    ("answer", "slip"),
    [(emptied_for_upsilon_0, "empty_for_upsilon_0_alone")],
)
def test_wrong_widths_are_named(answer, slip):
    verdict = check("relative_2d.attention_widths", answer)
    assert (verdict.status, verdict.slip) == ("not yet", slip)


def test_a_product_that_floats_cut_off_is_a_remark():
    verdict = check("relative_2d.attention_widths", floored)
    assert verdict.status == "passed"
    assert "28.999… in floats" in verdict.message


class Pooled(AttentionAugmentedConv2d):
    """Made smaller by another pooling than the mean of the pixels that there are."""

    def smaller(self, x, times):
        raise NotImplementedError

    def project(self, x):
        for times in [self.stride] * (self.stride > 1) + [2] * self.downsample:
            x = self.smaller(x, times)
        dk, dv = self.widths
        k, q, v = self.kqv(x).split([dk, dk, dv], 1)
        return tuple(t.unflatten(1, (self.heads, -1)).movedim(2, -1) for t in (q, k, v))


class WithZeros(Pooled):
    def smaller(self, x, times):
        return F.avg_pool2d(x, 3, times, 1)


class Largest(Pooled):
    def smaller(self, x, times):
        return F.max_pool2d(x, 3, times, 1)


class Sliced(Pooled):
    def smaller(self, x, times):
        return x[..., ::times, ::times]


class SideBySide(Pooled):
    def smaller(self, x, times):
        return F.avg_pool2d(x, 2, times, ceil_mode=True)


class NotStretched(AttentionAugmentedConv2d):
    def tables(self, h, w):
        return fit_table(self.rows, h), fit_table(self.columns, w)


class Cropped(AttentionAugmentedConv2d):
    def forward(self, x):
        q, k, v = self.project(x)
        y = relative_attention_2d(q, k, v, *self.tables(*q.shape[-3:-1]))
        y = self.out(y.movedim(-1, 2).flatten(1, 2))
        h, w = (math.ceil(n / self.stride) for n in x.shape[-2:])
        if self.downsample:
            y = F.interpolate(y, scale_factor=2, mode="bilinear")[..., :h, :w]
        return y if self.conv is None else torch.cat([self.conv(x), y], 1)


@pytest.mark.parametrize(
    ("answer", "slip"),
    [
        (WithZeros, "all_zeros_counted"),
        (Largest, "always_the_largest"),
        (Sliced, "always_skips"),
        (SideBySide, "windows_of_the_stride"),
        (NotStretched, "tables_never_stretched"),
        (Cropped, "enlarged_by_2_and_cut"),
    ],
)
def test_a_wrong_layer_is_named(answer, slip):
    verdict = check("relative_2d.attention_augmented_conv", answer)
    assert (verdict.status, verdict.slip) == ("not yet", slip)


class NeverAlone(AttentionAugmentedConv2d):
    def forward(self, x):
        q, k, v = self.project(x)
        y = relative_attention_2d(q, k, v, *self.tables(*q.shape[-3:-1]))
        y = self.out(y.movedim(-1, 2).flatten(1, 2))
        if self.downsample:
            size = [math.ceil(n / self.stride) for n in x.shape[-2:]]
            y = F.interpolate(y, size=size, mode="bilinear")
        return torch.cat([self.conv(x), y], 1)


def test_a_layer_without_a_convolution_is_tried():
    verdict = check("relative_2d.attention_augmented_conv", NeverAlone)
    assert verdict.status == "not yet"
    assert "Seen of attention alone" in verdict.message


def test_places_that_are_turned_are_named():
    def answer(q, k, rows=None, columns=None, logits=None):
        weights = relative_weights(q, k, rows, columns)
        if rows is None:
            return weights
        d = q.shape[-1]
        flat = [x.flatten(-3, -2) for x in (q, k)]
        down, across = axis_logits(q, rows, columns)
        place = (down[..., None] + across[..., None, :]).flatten(-2).flatten(-3, -2)
        return ((flat[0] @ flat[1].mT + place.mT) / math.sqrt(d)).softmax(-1)

    verdict = check("relative_2d.relative_weights", answer)
    assert (verdict.status, verdict.slip) == ("not yet", "places_transposed")
