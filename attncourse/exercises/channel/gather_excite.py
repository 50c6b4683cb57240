"""The record of `channel.gather_excite`."""

import math

import torch
from einops import reduce
from torch import nn
from torch.nn import functional as F

from attncourse.exercises.channel.shared import (
    gate,
    gather_by_matrices,
    gather_loops,
    separate_blocks,
)
from attncourse.exercises.families import family
from attncourse.exercises.record import Exercise, Trial, variant
from solutions.channel import (
    GatherExcite,
    gather,
)


def gather_excite_trials():
    def trial(name, size=None, extent=None, learned=False, reduction=None, **sizes):
        init = dict(channels=sizes["c"], extent=extent, learned=learned, reduction=reduction)
        return Trial(name, sizes, dict(x="b c h w"), init | dict(size=size))

    return (
        trial("for θ⁻ with extent 3 on an odd map", extent=3, b=2, c=5, h=7, w=10, u=3, v=4),
        trial("for θ⁻ of the whole map", b=3, c=4, h=5, w=7),
        trial("for θ with extent 4", extent=4, learned=True, b=3, c=2, h=9, w=7),
        trial("for θ of the whole map", (2, 3), learned=True, b=7, c=5, h=2, w=3),
        trial("for θ⁺ of the whole map", (3, 2), learned=True, reduction=2, b=7, c=4, h=3, w=2),
        trial("for θ⁺ with extent 2", extent=2, learned=True, reduction=3, b=2, c=6, h=5, w=7),
        trial("for means and two layers", reduction=2, b=2, c=6, h=5, w=3),
    )


def gathered(self, x):
    if self.filters is None:
        return gather(x, self.extent)
    return self.filters(x)


def talked_over(self, z):
    return z if self.layers is None else self.layers(z)


def nearest(self, gains, size):
    return F.interpolate(gains, size)


def product(x, gains):
    return x * gains


def gather_excite_recipe(
    gathering=gathered, layering=talked_over, gating=gate, spreading=nearest, scaling=product
):
    """`GatherExcite` with some of its steps replaced."""

    class Answer(GatherExcite):
        def gather(self, x):
            return gathering(self, x)

        def attention(self, x):
            z = self.gather(x)
            return spreading(self, gating(layering(self, z)), x.shape[-2:])

        def forward(self, x):
            return scaling(x, self.attention(x))

    return Answer


def filters_not_used(self, x):
    """The filters are not used: you gather means in every case. With `self.filters` they
    gather."""
    return gather(x, self.extent)


def norm_left_out(self, x):
    """The batch norm behind the filter is left out. `self.filters(x)` runs all of them."""
    if self.filters is None:
        return gather(x, self.extent)
    for layer in self.filters:
        x = x if isinstance(layer, nn.BatchNorm2d) else layer(x)
    return x


def first_halving_alone(self, x):
    """You run the first filter and its norm alone. With extent 4 there are two, with a ReLU
    between: `self.filters(x)`."""
    return gather(x, self.extent) if self.filters is None else self.filters[:2](x)


def no_relu_between(self, x):
    """The ReLU between the two halvings is left out. `self.filters(x)` runs all of them."""
    if self.filters is None:
        return gather(x, self.extent)
    for layer in self.filters:
        x = x if isinstance(layer, nn.ReLU) else layer(x)
    return x


def relu_behind_the_filters(self, x):
    """There is a ReLU behind the gather in every case. Only θ⁺ has one, and `self.layers`
    brings it along."""
    return gathered(self, x) if self.filters is None else gathered(self, x).relu()


def extent_not_used(self, x):
    """The extent is not used: θ⁻ always gathers the whole map. Hand it on:
    gather(x, self.extent)."""
    return gather(x) if self.filters is None else self.filters(x)


def blocks_gathered(self, x):
    """You average separate blocks. θ⁻ gathers means that overlap: gather(x, self.extent)."""
    if self.filters is None and self.extent is not None:
        return separate_blocks(x, self.extent)
    return gathered(self, x)


def relu_before_the_filters(self, x):
    """You cut off negative values before the filters. They get x as it is; θ⁺ has its ReLU
    behind them, in `self.layers`."""
    return gathered(self, x) if self.filters is None else gathered(self, x.relu())


def norm_that_never_trains(self, x):
    """Your batch norm takes the running statistics even while training. Call `self.filters`,
    and leave its mode to whoever trains."""
    if self.filters is None:
        return gather(x, self.extent)
    for layer in self.filters:
        if isinstance(layer, nn.BatchNorm2d):
            n = layer
            x = F.batch_norm(x, n.running_mean, n.running_var, n.weight, n.bias)
        else:
            x = layer(x)
    return x


def mean_taken_off(self, x):
    """You take the mean off each map before the filters. They get x as it is."""
    if self.filters is None:
        return gather(x, self.extent)
    return self.filters(x - reduce(x, "b c h w -> b c 1 1", "mean"))


def means_first(self, x):
    """You take means and filter afterwards, or the other way round. It is the one or the other:
    the filters get x itself."""
    z = gather(x, self.extent)
    return z if self.filters is None else self.filters(F.interpolate(z, x.shape[-2:]))


def layers_not_used(self, z):
    """The two layers of θ⁺ are not used. Where there are `self.layers`, what was gathered goes
    through them."""
    return z


def gated_before_the_layers(self, z):
    """You take a sigmoid before the two layers. It comes behind them."""
    return z if self.layers is None else self.layers(z.sigmoid())


def sums_with_layers(self, z):
    """You add what was gathered to what the layers make of it. θ⁺ has no shortcut."""
    return z if self.layers is None else z + self.layers(z)


def relu_between_left_out(self, z):
    """The ReLU between the two layers is left out: `self.layers(z)` runs all of them."""
    if self.layers is None:
        return z
    first, down, _, up = self.layers
    return up(down(first(z)))


def rectified_before_the_layers(self, z):
    """You apply a ReLU before the layers in every case. `self.layers` brings its own where
    there are filters; means keep their signs."""
    return z if self.layers is None else self.layers(z.relu())


def gains_not_gated(t):
    """Your gains leave (0, 1). A sigmoid comes last."""
    return t


def gains_tanh(t):
    """Your gains run from -1 to 1: a tanh. Gather-excite has a sigmoid."""
    return t.tanh()


def gains_softmax(t):
    """You take a softmax over c. Gather-excite has a sigmoid, for each number alone."""
    return t.softmax(1)


def gains_hard(t):
    """Your gains are a hard sigmoid, made of straight lines. Gather-excite has the smooth
    one."""
    return F.hardsigmoid(t)


def gains_rectified(t):
    """There is a ReLU before the sigmoid: no gain can fall below 1/2."""
    return t.relu().sigmoid()


def gains_sigmoid_twice(t):
    """You take the sigmoid twice. Once is enough."""
    return t.sigmoid().sigmoid()


def smooth(self, gains, size):
    """You interpolate linearly between the gains. Every pixel takes the nearest: the default of
    `F.interpolate`, mode "nearest"."""
    return F.interpolate(gains, size, mode="bilinear")


def smooth_to_the_corners(self, gains, size):
    """You interpolate linearly between the gains, corners aligned. Every pixel takes the
    nearest: the default of `F.interpolate`, mode "nearest"."""
    return F.interpolate(gains, size, mode="bilinear", align_corners=True)


def nearest_exact(self, gains, size):
    """You take mode "nearest-exact", which rounds otherwise where the extent does not divide
    the map. It is mode "nearest": pixel i takes i u / h, rounded down."""
    return F.interpolate(gains, size, mode="nearest-exact")


def smooth_by_cubes(self, gains, size):
    """You interpolate by cubes between the gains. Every pixel takes the nearest: the default of
    `F.interpolate`, mode "nearest"."""
    return F.interpolate(gains, size, mode="bicubic")


def shared_by_area(self, gains, size):
    """You take mode "area": at the borders of two gains a pixel gets a mixture. Every pixel
    takes the nearest: mode "nearest"."""
    return F.interpolate(gains, size, mode="area")


def repeated_and_cut(self, gains, size):
    """You repeat each gain and cut off what is too much: the last ones get too few pixels.
    Where the extent does not divide the map the nearest still share it evenly:
    `F.interpolate(…, (h, w))`."""
    times = self.extent or max(size)
    gains = gains.repeat_interleave(times, 2).repeat_interleave(times, 3)
    return gains[..., : size[0], : size[1]]


def repeated_evenly_and_cut(self, gains, size):
    """You repeat each gain as often as h / u rounded up, and cut off the rest: the last ones
    get too few pixels. The nearest share the map evenly: `F.interpolate(…, (h, w))`."""
    times = [math.ceil(n / m) for n, m in zip(size, gains.shape[-2:], strict=True)]
    gains = gains.repeat_interleave(times[0], 2).repeat_interleave(times[1], 3)
    return gains[..., : size[0], : size[1]]


def tiled(self, gains, size):
    """You lay copies of the small map side by side. Each gain is to cover the pixels around its
    own: `F.interpolate(…, (h, w))`."""
    times = [math.ceil(n / m) for n, m in zip(size, gains.shape[-2:], strict=True)]
    return gains.repeat(1, 1, *times)[..., : size[0], : size[1]]


def sum_with_gains(x, gains):
    """You add the gains to x. They scale it: x times the gains."""
    return x + gains


def scaled_and_added(x, gains):
    """You add x to the scaled maps. Gather-excite is the product alone."""
    return x + x * gains


def scaled_twice(x, gains):
    """You scale by the gains twice. Once is enough."""
    return x * gains * gains


def map_of_gains(x, gains):
    """You return the gains. `forward` scales x with them."""
    return gains


def one_gain_for_all_channels(x, gains):
    """You scale by the mean of the gains over the channels. Every channel has its own."""
    return x * gains.mean(1, keepdim=True)


def mean_gain(x, gains):
    """You scale a whole map by the mean of its gains. Every pixel has its own."""
    return x * gains.mean((-2, -1), keepdim=True)


class WithoutItsRelu(GatherExcite):
    """Your θ⁺ has no ReLU between the batch norm and the two layers, as timm has it. The
    authors' release has one there."""

    def attention(self, x):
        z = self.gather(x)
        z = z if self.layers is None else self.layers[1:](z)
        return F.interpolate(z.sigmoid(), x.shape[-2:])


class GatedBeforeAlone(gather_excite_recipe()):
    """Your sigmoid stands before the two layers. It comes behind them, last."""

    def attention(self, x):
        return F.interpolate(talked_over(self, self.gather(x).sigmoid()), x.shape[-2:])


class SpreadBeforeGated(gather_excite_recipe()):
    """You interpolate linearly, before the sigmoid. Every pixel takes the nearest: the default
    of `F.interpolate`, mode "nearest"."""

    def attention(self, x):
        z = talked_over(self, self.gather(x))
        return F.interpolate(z, x.shape[-2:], mode="bilinear").sigmoid()


class GatherExciteLoops(GatherExcite):
    def gather(self, x):
        return gather_loops(x, self.extent) if self.filters is None else self.filters(x)

    def attention(self, x):
        z = self.gather(x)
        if self.layers is not None:
            z = self.layers(z)
        h, w, u, v = *x.shape[-2:], *z.shape[-2:]
        rows = [i * u // h for i in range(h)]
        columns = [j * v // w for j in range(w)]
        return (1 / (1 + torch.exp(-z)))[:, :, rows][..., columns]

    def forward(self, x):
        return torch.mul(self.attention(x), x)


class GatherExciteSpreadFirst(GatherExcite):
    def gather(self, x):
        for layer in self.filters or ():
            x = layer(x)
        return x if self.filters is not None else gather_by_matrices(x, self.extent)

    def attention(self, x):
        z = self.gather(x)
        z = F.interpolate(self.layers(z) if self.layers else z, x.shape[-2:], mode="nearest")
        return torch.sigmoid(z)

    def forward(self, x):
        return torch.einsum("bchw,bchw->bchw", x, self.attention(x))


EXERCISE = Exercise(
    id="channel.gather_excite",
    solution=GatherExcite,
    probes={"gather": "b c u v", "attention": "b c h w", "forward": "b c h w"},
    trials=gather_excite_trials,
    blank=("gather", "attention", "forward"),
    slips=(
        *family(
            gather_excite_recipe,
            gathering=(
                filters_not_used,
                norm_left_out,
                first_halving_alone,
                no_relu_between,
                relu_behind_the_filters,
                extent_not_used,
                means_first,
                blocks_gathered,
                relu_before_the_filters,
                mean_taken_off,
                norm_that_never_trains,
            ),
            layering=(
                layers_not_used,
                sums_with_layers,
                gated_before_the_layers,
                relu_between_left_out,
                rectified_before_the_layers,
            ),
            gating=(
                gains_hard,
                gains_rectified,
                gains_not_gated,
                gains_tanh,
                gains_softmax,
                gains_sigmoid_twice,
            ),
            spreading=(
                smooth,
                smooth_to_the_corners,
                smooth_by_cubes,
                shared_by_area,
                nearest_exact,
                repeated_and_cut,
                repeated_evenly_and_cut,
                tiled,
            ),
            scaling=(
                sum_with_gains,
                scaled_and_added,
                scaled_twice,
                map_of_gains,
                mean_gain,
                one_gain_for_all_channels,
            ),
            paired=(
                norm_left_out,
                relu_behind_the_filters,
                extent_not_used,
                layers_not_used,
                gains_not_gated,
                gains_softmax,
                smooth,
                nearest_exact,
                sum_with_gains,
                scaled_and_added,
            ),
        ),
        GatedBeforeAlone,
        SpreadBeforeGated,
        variant(WithoutItsRelu),
    ),
    hints=(
        "Three cases end in the same way. Which two lines do all of them share?",
        (
            "Gather by `self.filters` if there are any, else by `gather(x, self.extent)`."
            " Let `self.layers`, if there are any, work on it. Then a sigmoid, and the"
            " small map spread to h w: every pixel takes the nearest."
        ),
        (
            "gather: self.filters(x), or gather(x, self.extent) where they are None\n"
            "attention: z = self.gather(x); z = self.layers(z) unless None\n"
            "    F.interpolate(z.sigmoid(), x.shape[-2:])\n"
            "forward: x * self.attention(x)"
        ),
    ),
    minutes=12,
    difficulty=3,
    otherwise=(GatherExciteLoops, GatherExciteSpreadFirst),
    laws=(
        "gains_are_themselves",
        "gains_scale_x",
        "gains_reach_their_channel",
        "gains_lie_between_0_and_1",
        "logits_are_right",
    ),
)
