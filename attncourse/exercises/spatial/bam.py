"""The record of `spatial.bam`."""

import torch

from attncourse.exercises.families import also, family, named
from attncourse.exercises.record import Exercise, Trial
from attncourse.exercises.spatial.shared import (
    by_relu,
    by_sigmoid,
    by_tanh,
    no_sigmoid,
    over_channels,
    over_pixels,
    plain,
    relu_first,
    shares,
    sigmoid_twice,
)
from solutions.spatial import (
    BAM,
)


def bam_trials():
    def trial(name, combine, evaluate=True, **sizes):
        init = dict(channels=sizes["c"], reduction=2, dilation=2, combine=combine)
        return Trial(name, sizes, dict(x="b c h w"), init, evaluate)

    return (
        trial("with the sum", "sum", b=2, c=4, h=5, w=7),
        trial("with the sum, in training mode", "sum", False, b=3, c=6, h=4, w=5),
        trial("with the product", "product", b=2, c=8, h=1, w=3),
    )


def as_combined(self):
    return self.combine


def sum_or_product(how, one, other):
    return one + other if how == "sum" else one * other


def once_more(x, gain):
    return x + x * gain


def bam_recipe(
    asking=as_combined, combining=sum_or_product, squashing=by_sigmoid, applying=once_more
):
    """`BAM` with some of its steps replaced."""

    class Answer(BAM):
        def attention(self, x):
            one, other = over_pixels(self.channel(x)), over_channels(self.spatial(x))
            return squashing(combining(asking(self), one, other).expand_as(x))

        def forward(self, x):
            return applying(x, self.attention(x))

    return Answer


def sum_always(self):
    """`self.combine` is not looked at: with "product" the logits are multiplied."""
    return "sum"


def ways_exchanged(self):
    """Sum and product are exchanged: with "sum" the logits are added."""
    return "product" if self.combine == "sum" else "sum"


def channels_alone(how, one, other):
    """The spatial branch plays no part: its logits are added to those of the channels."""
    return one + 0 * other


def pixels_alone(how, one, other):
    """The channel branch plays no part: its logits are added to those of the pixels."""
    return 0 * one + other


def logits_halved(how, one, other):
    """You average the logits of the branches. They are added."""
    return (one + other) / 2 if how == "sum" else one * other


def larger_of_both(how, one, other):
    """You take the larger of the two logits. They are added."""
    return torch.maximum(one, other) if how == "sum" else one * other


def difference(how, one, other):
    """You subtract the logits of the pixels. They are added."""
    return one - other if how == "sum" else one * other


@also(squashing=plain)
def each_squashed_and_multiplied(how, one, other):
    """You squash each branch and multiply the gains, as CBAM's gates do. BAM combines the
    logits and squashes once."""
    return one.sigmoid() * other.sigmoid()


@also(squashing=plain)
def each_squashed_and_added(how, one, other):
    """You squash each branch and add the gains. BAM adds the logits and squashes once."""
    if how == "sum":
        return one.sigmoid() + other.sigmoid()
    return one.sigmoid() * other.sigmoid()


def channels_squashed_before(how, one, other):
    """You squash the channel branch before you combine it. Both stay logits; squash once."""
    return sum_or_product(how, one.sigmoid(), other)


def pixels_squashed_before(how, one, other):
    """You squash the spatial branch before you combine it. Both stay logits; squash once."""
    return sum_or_product(how, one, other.sigmoid())


def sum_and_product_of_logits(how, one, other):
    """You add the product of the logits to their sum. With "sum" they are added, and that is
    all."""
    return one + other + one * other


def each_squashed_before(how, one, other):
    """You squash each branch, and what you combine once more. BAM combines the logits and
    squashes once."""
    one, other = one.sigmoid(), other.sigmoid()
    return one + other if how == "sum" else one * other


def compete(z):
    """You take a softmax over the channels. It is the sigmoid, for each number alone."""
    return z.softmax(1)


class InSequence(BAM):
    """Your spatial branch sees x as the channels have scaled it. In BAM both branches see x."""

    def attention(self, x):
        one = over_pixels(self.channel(x))
        other = over_channels(self.spatial(x * one.sigmoid()))
        return sum_or_product(self.combine, one, other).sigmoid()


class RaisedAlready(BAM):
    """Your `attention` returns y. It returns the map, in (0, 1); `forward` does the rest."""

    def attention(self, x):
        return once_more(x, super().attention(x))

    def forward(self, x):
        return self.attention(x)


class Turned(BAM):
    """Rows and columns are exchanged before the spatial branch. It sees x as it is."""

    def attention(self, x):
        one, other = self.channel(x), self.spatial(x.mT.contiguous()).mT
        both = sum_or_product(self.combine, over_pixels(one), over_channels(other))
        return both.sigmoid()


def no_residual(x, gain):
    """You leave out x itself: BAM adds the scaled x to it, y = x + x M."""
    return x * gain


def residual_twice(x, gain):
    """You add x twice: x + x (1 + M). It is x + x M."""
    return x + x * (1 + gain)


def doubled_gain(x, gain):
    """You scale x by 2 M. It is x + x M: between once and twice."""
    return 2 * x * gain


def map_added(x, gain):
    """You add the map to x. It scales x first: y = x + x M."""
    return x + gain


def map_alone(x, gain):
    """You return the map. It scales x: y = x + x M."""
    return 0 * x + gain


def map_subtracted(x, gain):
    """You subtract the scaled x. It is added: y = x + x M."""
    return x - x * gain


def nothing_done(x, gain):
    """The map is not applied: you return x as it came. y = x + x M."""
    return x + 0 * gain


def rectified_sum(x, gain):
    """You apply a ReLU to the result. BAM has none: y = x + x M."""
    return (x + x * gain).relu()


class OneIncluded(BAM):
    """Your map holds 1 + σ: it should be in (0, 1), and `forward` adds x itself."""

    def attention(self, x):
        return 1 + super().attention(x)

    def forward(self, x):
        return x * self.attention(x)


ALWAYS_PRODUCT = named(
    "product_as_released",
    "This is the product of the branches' logits, as BAM's released code has it; the paper adds"
    " them (eq. 2), and `combine` says which. A silent branch silences the other.",
    bam_recipe(asking=lambda self: "product"),
    variant=True,
)


class BAMLoops(BAM):
    def attention(self, x):
        what, where = self.channel(x), self.spatial(x)
        maps = []
        for c in range(x.shape[1]):
            z = what[:, c, None, None] + where
            maps.append(z if self.combine == "sum" else what[:, c, None, None] * where)
        return torch.sigmoid(torch.stack(maps, 1))

    def forward(self, x):
        return (1 + self.attention(x)) * x


class BAMEinsum(BAM):
    def attention(self, x):
        what, where = self.channel(x), self.spatial(x)
        if self.combine == "product":
            return torch.einsum("bc,bhw->bchw", what, where).sigmoid()
        return torch.sigmoid(what[..., None, None].expand(x.shape) + where.unsqueeze(1))

    def forward(self, x):
        return torch.addcmul(x, x, self.attention(x))


EXERCISE = Exercise(
    id="spatial.bam",
    solution=BAM,
    probes={"attention": "b c h w", "forward": "b c h w"},
    trials=bam_trials,
    blank=("attention", "forward"),
    slips=(
        *family(
            bam_recipe,
            paired=(no_residual, each_squashed_and_multiplied, no_sigmoid, map_added),
            asking=(sum_always, ways_exchanged),
            combining=(
                channels_alone,
                pixels_alone,
                logits_halved,
                larger_of_both,
                difference,
                each_squashed_and_multiplied,
                each_squashed_and_added,
                each_squashed_before,
                channels_squashed_before,
                pixels_squashed_before,
                sum_and_product_of_logits,
            ),
            squashing=(
                no_sigmoid,
                by_tanh,
                by_relu,
                relu_first,
                sigmoid_twice,
                shares,
                compete,
            ),
            applying=(
                no_residual,
                residual_twice,
                doubled_gain,
                map_added,
                map_alone,
                map_subtracted,
                nothing_done,
                rectified_sum,
            ),
        ),
        OneIncluded,
        InSequence,
        RaisedAlready,
        Turned,
        ALWAYS_PRODUCT,
    ),
    hints=(
        "One branch gives b c, the other b h w. How do they become one map b c h w?",
        "By broadcasting: b c 1 1 and b 1 h w. They are logits, so combine first and squash"
        ' once. The map says how much of x is added to x. With "product" they multiply.',
        'attention: channel(x) as b c 1 1, spatial(x) as b 1 h w; sum ("product": product);'
        " sigmoid\nforward: x + x times attention(x)",
    ),
    minutes=8,
    difficulty=2,
    otherwise=(BAMLoops, BAMEinsum),
    laws=(
        "examples_do_not_mix",
        "gains_are_themselves",
        "logits_are_right",
        "nothing_comes_of_nothing",
        "between_once_and_twice",
        "gains_in_range",
    ),
)
