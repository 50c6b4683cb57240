"""CBAM's spatial gate: a convolution over the largest and the mean of the channels."""

import torch
from torch.nn import functional as F

from attncourse.exercises.edits import often, published, wrong
from attncourse.exercises.record import Exercise, Trial
from attncourse.exercises.spatial.shared import LIFTS, SCALES, SQUASHES
from solutions.spatial import SpatialGate


def spatial_trials():
    def trial(name, kernel, evaluate=True, **sizes):
        return Trial(name, sizes, dict(x="b c h w"), dict(kernel=kernel), evaluate)

    return (
        trial("with a 3x3 in evaluation mode", 3, b=2, c=3, h=5, w=7),
        trial("with a 3x3 in training mode", 3, False, b=3, c=4, h=6, w=5),
        trial("with a 7x7 on maps of 1 x 5", 7, b=2, c=4, h=1, w=5),
    )


# fmt: off
DESCRIPTIONS = (
    published("mean_before_max", '("max", "mean")', '("mean", "max")',
              "You describe a pixel by mean and max, in the order of the paper's equation 3 and of"
              " timm. The released code, whose weights others load, has max first."),
    *often(
        wrong("mean_twice", '("max", "mean")', '("mean", "mean")',
              "Both descriptors are means. The first is the largest of the channels."),
        wrong("max_twice", '("max", "mean")', '("max", "max")',
              "Both descriptors are largest values. The second is the mean of the channels."),
    ),
    wrong("maps_pooled", 'reduce(x, "b c h w -> b h w", pool)',
          'reduce(x, "b c h w -> b 1 1", pool).expand(-1, *x.shape[-2:])',
          "You pool over the pixels, h and w. Here the channels are pooled: each pixel keeps its"
          " own two numbers."),
    wrong("which_is_largest", '[reduce(x, "b c h w -> b h w", pool) for pool in ("max", "mean")]',
          "[x.argmax(1).to(x), x.mean(1)]",
          "You take the index of the largest channel. `max(1)` returns values and indices: take the"
          " values."),
    wrong("first_channels", 'rearrange(pooled, "two b h w -> b two h w")', "x[:, :2]",
          "You take the first two channels. A pixel is described by the largest and the mean of all"
          " of them."),
    wrong("axes_reshaped", 'rearrange(pooled, "two b h w -> b two h w")',
          "torch.stack(pooled).reshape(len(x), 2, *x.shape[-2:])",
          "You stack the descriptors along a new first axis and reshape it behind b: images mix."
          " Stack them along axis 1, or move the axis."),
)

FILTERS = (
    *often(
        wrong("no_norm", "self.norm(self.conv(self.describe(x)))", "self.conv(self.describe(x))",
              "The normalisation is missing: `self.norm` comes after the convolution."),
    ),
    wrong("conv_left_out", "self.conv(self.describe(x))", "self.describe(x).mean(1, keepdim=True)",
          "The convolution is left out: you normalise the mean of the descriptors."),
    wrong("norm_first", "self.norm(self.conv(self.describe(x)))",
          "self.conv(torch.cat([self.norm(one) for one in self.describe(x).split(1, 1)], 1))",
          "You normalise the descriptors, before the convolution. `self.norm` comes after it."),
    wrong("max_alone", "self.conv(self.describe(x))",
          "F.conv2d(self.describe(x)[:, :1], self.conv.weight[:, :1], padding=self.conv.padding)",
          "The second descriptor plays no part: the convolution sees the largest value alone."),
    wrong("mean_alone", "self.conv(self.describe(x))",
          "F.conv2d(self.describe(x)[:, 1:], self.conv.weight[:, 1:], padding=self.conv.padding)",
          "The first descriptor plays no part: the convolution sees the mean alone."),
    wrong("normalised_over_the_map", "self.norm(self.conv(self.describe(x)))",
          "F.layer_norm(self.conv(self.describe(x)), x.shape[-2:])",
          "You normalise each map over its pixels, as a LayerNorm. BatchNorm does so over the"
          " batch: call `self.norm`."),
    wrong("reshaped_across", "self.norm(self.conv(self.describe(x)))",
          "self.norm(self.conv(self.describe(x).mT)).reshape(len(x), 1, *x.shape[-2:])",
          "Rows and columns are exchanged before the convolution and put back by a reshape, which"
          " mixes pixels."),
)
# fmt: on


class SpatialSums(SpatialGate):
    """The kernel split in two: one for each descriptor."""

    def describe(self, x):
        return torch.cat([x.max(1, keepdim=True).values, x.mean(1, keepdim=True)], 1)

    def attention(self, x):
        d, pad = self.describe(x), self.conv.padding
        z = F.conv2d(d[:, :1], self.conv.weight[:, :1], padding=pad)
        z = z + F.conv2d(d[:, 1:], self.conv.weight[:, 1:], padding=pad)
        return 1 / (1 + torch.exp(-self.norm(z)))[:, 0]

    def forward(self, x):
        return torch.einsum("bchw,bhw->bchw", x, self.attention(x))


class SpatialWindows(SpatialGate):
    """Windows cut out one after the other."""

    def describe(self, x):
        return torch.stack([torch.amax(x, 1), torch.sum(x, 1) / x.shape[1]], dim=1)

    def attention(self, x):
        k = self.conv.weight.shape[-1]
        d = F.pad(self.describe(x), [k // 2] * 4)
        rows = [
            torch.stack(
                [
                    (d[:, :, i : i + k, j : j + k] * self.conv.weight[0]).sum((1, 2, 3))
                    for j in range(x.shape[-1])
                ],
                -1,
            )
            for i in range(x.shape[-2])
        ]
        return torch.sigmoid(self.norm(torch.stack(rows, 1).unsqueeze(1)).squeeze(1))

    def forward(self, x):
        return x * self.attention(x).unsqueeze(1)


def even_kernels():
    sizes = dict(b=2, c=3, h=5, w=7)
    return (Trial("an even kernel, 4", sizes, dict(x="b c h w"), dict(kernel=4)),)


EXERCISE = Exercise(
    id="spatial.spatial_gate",
    solution=SpatialGate,
    probes={"describe": "b two h w", "attention": "b h w", "forward": "b c h w"},
    trials=spatial_trials,
    blank=("describe", "attention", "forward"),
    slips=(*DESCRIPTIONS, *FILTERS, *SQUASHES, *LIFTS, *SCALES),
    hints=(
        "The channel gate averages over h and w and keeps c. Which axis goes here,"
        " and which"
        " stay?",
        "Two numbers for each pixel, the largest and the mean of its channels, are an image"
        " of two planes: `self.conv` makes one of them, `self.norm` normalises it.",
        "describe: reduce b c h w -> b h w, by max and by mean, put together as b two h w\n"
        "attention: sigmoid of norm(conv(describe(x))), b 1 h w -> b h w\n"
        'forward: x times attention(x), "b h w -> b 1 h w"',
    ),
    minutes=10,
    difficulty=2,
    otherwise=(SpatialSums, SpatialWindows),
    laws=(
        "examples_do_not_mix",
        "gains_are_themselves",
        "logits_are_right",
        "nothing_comes_of_nothing",
        "one_gain_for_each_pixel",
    ),
    refuses=even_kernels,
)
