"""The record of `spatial.spatial_gate`."""

import torch
from einops import rearrange, reduce
from torch.nn import functional as F

from attncourse.exercises.families import also, family, named
from attncourse.exercises.record import Exercise, Trial
from attncourse.exercises.spatial.shared import (
    APPLYING,
    SQUASHING,
    by_sigmoid,
    no_sigmoid,
    over_channels,
    residual_added,
    times,
)
from solutions.spatial import (
    SpatialGate,
)


def spatial_trials():
    def trial(name, kernel, evaluate=True, **sizes):
        return Trial(name, sizes, dict(x="b c h w"), dict(kernel=kernel), evaluate)

    return (
        trial("with a 3x3 in evaluation mode", 3, b=2, c=3, h=5, w=7),
        trial("with a 3x3 in training mode", 3, False, b=3, c=4, h=6, w=5),
        trial("with a 7x7 on maps of 1 x 5", 7, b=2, c=4, h=1, w=5),
    )


def max_then_mean(x):
    return [reduce(x, "b c h w -> b h w", pool) for pool in ("max", "mean")]


def normalised(self, x):
    return self.norm(self.conv(x))


def spatial_recipe(
    describing=max_then_mean, filtering=normalised, squashing=by_sigmoid, applying=times
):
    """`SpatialGate` with some of its steps replaced."""

    class Answer(SpatialGate):
        def describe(self, x):
            return rearrange(describing(x), "two b h w -> b two h w")

        def attention(self, x):
            z = squashing(filtering(self, self.describe(x)))
            return rearrange(z, "b 1 h w -> b h w")

        def forward(self, x):
            return applying(x, over_channels(self.attention(x)))

    return Answer


def mean_then_max(x):
    return max_then_mean(x)[::-1]


def mean_twice(x):
    """Both descriptors are means. The first is the largest of the channels."""
    return [x.mean(1), x.mean(1)]


def max_twice(x):
    """Both descriptors are largest values. The second is the mean of the channels."""
    return [x.amax(1), x.amax(1)]


def min_and_mean(x):
    """You take the smallest of the channels. It is the largest."""
    return [x.amin(1), x.mean(1)]


def max_and_sum(x):
    """You sum over the channels where the mean is asked for."""
    return [x.amax(1), x.sum(1)]


def largest_absolute(x):
    """You take the largest absolute value of the channels. It keeps its sign."""
    return [x.abs().amax(1), x.mean(1)]


def max_and_min(x):
    """Your second descriptor is the smallest of the channels. It is their mean."""
    return [x.amax(1), x.amin(1)]


def maps_pooled(x):
    """You pool over the pixels, h and w. Here the channels are pooled: each pixel keeps its own
    two numbers."""
    over = [reduce(x, "b c h w -> b 1 1", pool) for pool in ("max", "mean")]
    return [m.expand(-1, *x.shape[-2:]) for m in over]


def axes_reshaped(x):
    """You stack the descriptors along a new first axis and reshape it behind b: images mix.
    Stack them along axis 1, or move the axis."""
    both = torch.stack(max_then_mean(x))
    return list(both.reshape(len(x), 2, *x.shape[-2:]).unbind(1))


def max_and_spread(x):
    """Your second descriptor is the spread of the channels. It is their mean."""
    return [x.amax(1), x.std(1)]


def max_and_length(x):
    """Your second descriptor is the norm of the channels. It is their mean."""
    return [x.amax(1), x.norm(dim=1)]


def max_and_middle(x):
    """Your second descriptor is the median of the channels. It is their mean."""
    return [x.amax(1), x.median(1).values]


def first_channels(x):
    """You take the first two channels. A pixel is described by the largest and the mean of all
    of them."""
    return [x[:, 0], x[:, 1]]


def which_is_largest(x):
    """You take the index of the largest channel. `max(1)` returns values and indices: take the
    values."""
    return [x.argmax(1).to(x), x.mean(1)]


def all_images_pooled(x):
    """You pool over the batch as well: all images get one map. Each has its own."""
    return [m.expand(len(x), -1, -1) for m in (x.amax((0, 1)), x.mean((0, 1)))]


def no_norm(self, x):
    """The normalisation is missing: `self.norm` comes after the convolution."""
    return self.conv(x)


def conv_left_out(self, x):
    """The convolution is left out: you normalise the mean of the descriptors."""
    return self.norm(x.mean(1, keepdim=True))


def rectified_conv(self, x):
    """A ReLU stands between convolution and normalisation. There is none."""
    return self.norm(self.conv(x).relu())


def turned_kernel(self, x):
    """The kernel is turned by 180 degrees. Deep learning calls correlation convolution: call
    `self.conv`."""
    weight = self.conv.weight.flip((-1, -2))
    return self.norm(F.conv2d(x, weight, padding=self.conv.padding))


def transposed_kernel(self, x):
    """Rows and columns of the kernel are exchanged: call `self.conv` itself."""
    return self.norm(F.conv2d(x, self.conv.weight.mT, padding=self.conv.padding))


def statistics_of_the_batch(self, x):
    """You normalise by the statistics of the batch even in evaluation: an image's map depends
    on its neighbours. Call `self.norm`."""
    z, norm = self.conv(x), self.norm
    return F.batch_norm(z, None, None, norm.weight, norm.bias, True)


def running_statistics(self, x):
    """You normalise by the running statistics even while training. Call `self.norm`."""
    z, norm = self.conv(x), self.norm
    return F.batch_norm(z, norm.running_mean, norm.running_var, norm.weight, norm.bias)


def per_image_norm(self, x):
    """You normalise each image by its own mean and variance. BatchNorm takes them over the
    batch: call `self.norm`."""
    z, norm = self.conv(x), self.norm
    return (
        F.instance_norm(z, weight=norm.weight, bias=norm.bias, use_input_stats=True)
        if z[0].numel() > 1
        else norm(z)
    )


def norm_first(self, x):
    """You normalise the descriptors, before the convolution. `self.norm` comes after it."""
    norm = self.norm
    return self.conv(
        F.batch_norm(
            x,
            norm.running_mean.repeat(2),
            norm.running_var.repeat(2),
            norm.weight.repeat(2),
            norm.bias.repeat(2),
            norm.training,
        )
    )


def max_alone(self, x):
    """The second descriptor plays no part: the convolution sees the largest value alone."""
    weight = self.conv.weight[:, :1]
    return self.norm(F.conv2d(x[:, :1], weight, padding=self.conv.padding))


def mean_alone(self, x):
    """The first descriptor plays no part: the convolution sees the mean alone."""
    weight = self.conv.weight[:, 1:]
    return self.norm(F.conv2d(x[:, 1:], weight, padding=self.conv.padding))


def rectified_descriptors(self, x):
    """You apply a ReLU to the descriptors. They keep their signs."""
    return normalised(self, x.relu())


def normalised_without_weights(self, x):
    """Weight and bias of `self.norm` are left out: call the layer."""
    n = self.norm
    return F.batch_norm(self.conv(x), n.running_mean, n.running_var, training=n.training)


def normalised_over_the_map(self, x):
    """You normalise each map over its pixels, as a LayerNorm. BatchNorm does so over the batch:
    call `self.norm`."""
    return F.layer_norm(self.conv(x), x.shape[-2:])


def border_repeated(self, x):
    """Beyond the border you repeat the last pixels. There are zeros: call `self.conv`."""
    x = F.pad(x, [self.conv.padding[0]] * 4, mode="replicate")
    return self.norm(F.conv2d(x, self.conv.weight))


def normalised_twice(self, x):
    """You normalise twice. Once, after the convolution."""
    return self.norm(normalised(self, x))


def reshaped_across(self, x):
    """Rows and columns are exchanged before the convolution and put back by a reshape, which
    mixes pixels."""
    return normalised(self, x.mT).reshape(len(x), 1, *x.shape[-2:])


@also(squashing=lambda z: z)
def norm_before_sigmoid_lost(self, x):
    """The sigmoid comes before `self.norm`. It is the last step."""
    return self.norm(self.conv(x).sigmoid())


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


EXERCISE = Exercise(
    id="spatial.spatial_gate",
    solution=SpatialGate,
    probes={"describe": "b two h w", "attention": "b h w", "forward": "b c h w"},
    trials=spatial_trials,
    blank=("describe", "attention", "forward"),
    slips=(
        *family(
            spatial_recipe,
            paired=(mean_twice, max_twice, no_norm, no_sigmoid, residual_added),
            describing=(
                mean_twice,
                max_twice,
                min_and_mean,
                max_and_sum,
                max_and_min,
                maps_pooled,
                axes_reshaped,
                largest_absolute,
                max_and_spread,
                max_and_length,
                max_and_middle,
                first_channels,
                which_is_largest,
                all_images_pooled,
            ),
            filtering=(
                no_norm,
                conv_left_out,
                rectified_conv,
                turned_kernel,
                transposed_kernel,
                statistics_of_the_batch,
                running_statistics,
                per_image_norm,
                norm_before_sigmoid_lost,
                norm_first,
                max_alone,
                mean_alone,
                rectified_descriptors,
                normalised_without_weights,
                normalised_over_the_map,
                normalised_twice,
                border_repeated,
                reshaped_across,
            ),
            squashing=SQUASHING,
            applying=APPLYING,
        ),
        named(
            "mean_before_max",
            "You describe a pixel by mean and max, in the order of the paper's"
            " equation 3 and"
            " of timm. The released code, whose weights others load, has max first.",
            spatial_recipe(describing=mean_then_max),
            variant=True,
        ),
    ),
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
)
