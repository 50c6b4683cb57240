"""Chapter 05, channel attention: what is asked, what goes wrong, what helps."""

import math
from dataclasses import replace
from functools import partial

import torch
from einops import rearrange, reduce, repeat
from torch import nn
from torch.nn import functional as F

from attncourse.families import family
from attncourse.registry import Exercise, Given, Slip, Trial, slip, variant
from solutions.channel import (
    ECA,
    PLACEMENTS,
    GatherExcite,
    SqueezeExcite,
    added_parameters,
    bottleneck,
    gather,
    identity,
    placement_of,
    residual,
    squeeze,
)

# squeeze


def squeeze_trials():
    return (
        Trial("on maps of 5 x 7", dict(b=2, c=3, h=5, w=7), dict(x="b c h w")),
        Trial("on maps of 4 x 3", dict(b=5, c=6, h=4, w=3), dict(x="b c h w")),
        Trial("on one image", dict(b=1, c=4, h=2, w=3), dict(x="b c h w")),
    )


def largest(x):
    """You take the largest value of each map. Eq. 2 takes the mean."""
    return reduce(x, "b c h w -> b c", "max")


def summed(x):
    """You sum each map. Eq. 2 divides by h w: a mean."""
    return reduce(x, "b c h w -> b c", "sum")


def over_the_batch_too(x):
    """You average over b as well: all images share one vector. Average over h and w only."""
    return reduce(x, "b c h w -> c", "mean")


def same_for_all_images(x):
    """You average over b as well, so that every image gets the same vector. Average over h and
    w only."""
    return repeat(reduce(x, "b c h w -> c", "mean"), "c -> b c", b=len(x))


def channels_averaged(x):
    """You average over c, and keep the pixels: b h w. Average over h and w, and keep c."""
    return reduce(x, "b c h w -> b h w", "mean")


def rows_alone(x):
    """You average over h and keep w. The whole map becomes one number: average over both."""
    return reduce(x, "b c h w -> b c w", "mean")


def columns_alone(x):
    """You average over w and keep h. The whole map becomes one number: average over both."""
    return reduce(x, "b c h w -> b c h", "mean")


def axes_of_one_kept(x):
    """You keep the two axes as axes of length 1: b c 1 1. The result is b c."""
    return reduce(x, "b c h w -> b c 1 1", "mean")


def magnitudes(x):
    """You average the magnitudes. Eq. 2 averages the values, with their signs."""
    return reduce(x.abs(), "b c h w -> b c", "mean")


def after_a_relu(x):
    """You cut off negative values before you average. Eq. 2 averages x as it is."""
    return reduce(x.relu(), "b c h w -> b c", "mean")


def root_mean_square(x):
    """You take the root of the mean square. Eq. 2 is the plain mean."""
    return reduce(x.square(), "b c h w -> b c", "mean").sqrt()


def spread(x):
    """You take the standard deviation of each map. Eq. 2 takes the mean."""
    return x.std((-2, -1))


def half_way(x):
    """You take the median of each map. Eq. 2 takes the mean."""
    return rearrange(x, "b c h w -> b c (h w)").median(-1).values


def first_pixel(x):
    """You take one pixel, at h = 0, w = 0. Average over all of them."""
    return x[:, :, 0, 0]


def divided_by_the_width(x):
    """You divide the sum by w alone. There are h w pixels."""
    return reduce(x, "b c h w -> b c", "sum") / x.shape[-1]


def divided_by_the_height(x):
    """You divide the sum by h alone. There are h w pixels."""
    return reduce(x, "b c h w -> b c", "sum") / x.shape[-2]


def one_number_an_image(x):
    """You average over c as well: one number an image. Every channel keeps its own mean: b
    c."""
    return reduce(x, "b c h w -> b", "mean")


def squeeze_loops(x):
    return torch.stack([torch.stack([fmap.mean() for fmap in image]) for image in x])


def squeeze_einsum(x):
    return torch.einsum("bchw->bc", x) / (x.shape[2] * x.shape[3])


def squeeze_pooled(x):
    return F.adaptive_avg_pool2d(x, 1).flatten(1)


# squeeze-and-excitation: one recipe, and the ways to get each of its steps wrong


def excite_trials():
    def trial(name, bias, reduction, **sizes):
        init = dict(channels=sizes["c"], reduction=reduction, bias=bias)
        return Trial(name, sizes, dict(x="b c h w"), init)

    return (
        trial("without biases", False, 3, b=2, c=12, h=5, w=7, m=4),
        trial("with biases", True, 2, b=3, c=10, h=2, w=4, m=5),
        trial("on maps of one pixel", True, 1, b=4, c=3, h=1, w=1),
    )


def two_layers(self, z):
    return self.up(self.down(z).relu())


def gate(t):
    return t.sigmoid()


def scale(x, s):
    return x * rearrange(s, "b c -> b c 1 1")


def excite_recipe(squeezing=squeeze, exciting=two_layers, gating=gate, scaling=scale):
    """`SqueezeExcite` with some of its steps replaced."""

    class Answer(SqueezeExcite):
        def attention(self, x):
            return gating(exciting(self, squeezing(x)))

        def forward(self, x):
            return scaling(x, self.attention(x))

    return Answer


def largest_for_the_mean(x):
    """You squeeze by the largest value of each map. Eq. 2 takes the mean: `squeeze(x)`."""
    return largest(x)


def sum_for_the_mean(x):
    """You squeeze by the sum of each map. Eq. 2 takes the mean: `squeeze(x)`."""
    return summed(x)


def spread_for_the_mean(x):
    """You squeeze by the standard deviation of each map. Eq. 2 takes the mean: `squeeze(x)`."""
    return x.std((-2, -1), unbiased=False)


def magnitudes_for_the_mean(x):
    """You squeeze by the mean magnitude of each map. Eq. 2 keeps the signs: `squeeze(x)`."""
    return magnitudes(x)


def middle_for_the_mean(x):
    """You squeeze by the median of each map. Eq. 2 takes the mean: `squeeze(x)`."""
    return half_way(x)


def smallest_for_the_mean(x):
    """You squeeze by the smallest value of each map. Eq. 2 takes the mean: `squeeze(x)`."""
    return reduce(x, "b c h w -> b c", "min")


def images_mixed(x):
    """All images of a batch get the same gains. Average over h and w only, not over b."""
    return same_for_all_images(x)


def squeezed_after_relu(x):
    """You cut off negative values before you squeeze. Eq. 2 averages x as it is."""
    return after_a_relu(x)


def mean_and_largest(x):
    """You add the largest value of each map to its mean, as the next chapter does. Here it is
    the mean alone: `squeeze(x)`."""
    return squeeze(x) + largest(x)


def one_pixel_for_all(x):
    """You squeeze by one pixel, at h = 0, w = 0. Average over all of them: `squeeze(x)`."""
    return x[:, :, 0, 0]


def no_relu(self, z):
    """Your two layers act as one linear map: the ReLU between them is missing."""
    return self.up(self.down(z))


def relu_at_the_end(self, z):
    """Your ReLU stands behind `up`. It stands between the layers; behind the second comes the
    sigmoid alone."""
    return self.up(self.down(z)).relu()


def relu_twice(self, z):
    """There is a second ReLU behind `up`: no gain can fall below 1/2. Only the one between the
    layers belongs there."""
    return self.up(self.down(z).relu()).relu()


def relu_first(self, z):
    """Your ReLU stands before `down`. It stands between the two layers."""
    return self.up(self.down(z.relu()))


def means_rectified_too(self, z):
    """You cut off negative means before `down`. The one ReLU stands between the layers."""
    return two_layers(self, z.relu())


def sigmoid_inside(self, z):
    """There is a sigmoid between the layers. Eq. 3 has a ReLU there."""
    return self.up(self.down(z).sigmoid())


def tanh_inside(self, z):
    """There is a tanh between the layers. Eq. 3 has a ReLU there."""
    return self.up(self.down(z).tanh())


def gelu_inside(self, z):
    """There is a GELU between the layers. Eq. 3 has a ReLU there."""
    return self.up(F.gelu(self.down(z)))


def silu_inside(self, z):
    """There is a SiLU (swish) between the layers, as in EfficientNet. Eq. 3 has a ReLU
    there."""
    return self.up(F.silu(self.down(z)))


def leaky_relu_inside(self, z):
    """There is a leaky ReLU between the layers. Eq. 3 has a plain ReLU there."""
    return self.up(F.leaky_relu(self.down(z)))


def elu_inside(self, z):
    """There is an ELU between the layers. Eq. 3 has a ReLU there."""
    return self.up(F.elu(self.down(z)))


def softplus_inside(self, z):
    """There is a softplus between the layers. Eq. 3 has a ReLU there."""
    return self.up(F.softplus(self.down(z)))


def magnitude_inside(self, z):
    """You take magnitudes between the layers. Eq. 3 has a ReLU there: negative becomes 0."""
    return self.up(self.down(z).abs())


def down_without_its_bias(self, z):
    """The bias of `down` is left out: call the layer, not only its weight."""
    return self.up(F.linear(z, self.down.weight).relu())


def up_without_its_bias(self, z):
    """The bias of `up` is left out: call the layer, not only its weight."""
    return F.linear(self.down(z).relu(), self.up.weight)


def weights_without_biases(self, z):
    """The biases are left out: call the layers, not only their weights."""
    return F.linear(F.linear(z, self.down.weight).relu(), self.up.weight)


def layers_left_out(self, z):
    """The two layers are not used: each channel is gated by its own mean. Let the channels talk
    to each other: up(relu(down(z)))."""
    return z


def one_weight_for_both(self, z):
    """You go up by the weights of `down`, transposed. `up` has weights of its own."""
    return F.linear(self.down(z).relu(), self.down.weight.T, self.up.bias)


def means_added(self, z):
    """You add the means again behind the layers. Eq. 3 has no shortcut."""
    return z + two_layers(self, z)


def no_sigmoid(t):
    """Your gains leave (0, 1). The last step of eq. 3 is a sigmoid."""
    return t


def softmax_over_channels(t):
    """You take a softmax over c: the channels compete, and the gains of an image sum to 1. Eq.
    3 has a sigmoid, for each channel alone."""
    return t.softmax(-1)


def softmax_over_images(t):
    """You take a softmax over b, the images. Eq. 3 has a sigmoid, for each number alone."""
    return t.softmax(0)


def tanh_for_sigmoid(t):
    """Your gains run from -1 to 1: a tanh. Eq. 3 ends in a sigmoid."""
    return t.tanh()


def relu_for_sigmoid(t):
    """Your gains are a ReLU, without an upper bound. Eq. 3 ends in a sigmoid."""
    return t.relu()


def hard_sigmoid(t):
    """Your gains are a hard sigmoid, made of straight lines, as in MobileNetV3. Eq. 3 has the
    smooth one."""
    return F.hardsigmoid(t)


def sigmoid_twice(t):
    """You take the sigmoid twice: your gains lie between 1/2 and 0.73. Once is enough."""
    return t.sigmoid().sigmoid()


def one_more(t):
    """You add 1 to the gains. Eq. 3 gives them in (0, 1)."""
    return 1 + t.sigmoid()


def doubled(t):
    """You double the gains. Eq. 3 gives them in (0, 1)."""
    return 2 * t.sigmoid()


def halved(t):
    """Your gains run from 1/2 to 1: half of a sigmoid, and 1/2 more. Eq. 3 is the sigmoid
    itself."""
    return 0.5 + 0.5 * t.sigmoid()


def open_or_shut(t):
    """Your gains are 0 or 1. Eq. 3 leaves all values between, or nothing could be learned."""
    return (t > 0).to(t)


def shares(t):
    """You divide the gains by their sum: the channels compete. Eq. 3 gates each channel
    alone."""
    return t.sigmoid() / t.sigmoid().sum(-1, keepdim=True)


def turned_round(t):
    """Your gains are turned round: 1 where they should be 0. Is there a minus too many?"""
    return (-t).sigmoid()


def straight_line(t):
    """Your gains are t + 1/2, cut off at 0 and 1. Eq. 3 has a sigmoid."""
    return (t + 0.5).clamp(0, 1)


def gains_added(x, s):
    """You add the gains to x. Eq. 4 multiplies."""
    return x + rearrange(s, "b c -> b c 1 1")


def x_added(x, s):
    """You add x to the scaled maps. Eq. 4 is s x alone; the sum belongs to the residual
    block."""
    return x + scale(x, s)


def gains_alone(x, s):
    """You return the gains, spread over the map. Eq. 4 multiplies x with them."""
    return rearrange(s, "b c -> b c 1 1").expand_as(x)


def gains_twice(x, s):
    """You scale by the gains twice. Once is enough."""
    return scale(scale(x, s), s)


def not_scaled(x, s):
    """You return x as it came. Eq. 4 multiplies it with the gains."""
    return x.clone()


def divided_by_gains(x, s):
    """You divide by the gains. Eq. 4 multiplies."""
    return x / rearrange(s, "b c -> b c 1 1")


def means_scaled(x, s):
    """You scale the means instead of the maps. Eq. 4 scales x itself, b c h w."""
    return scale(reduce(x, "b c h w -> b c 1 1", "mean").expand_as(x), s)


def relu_on_top(x, s):
    """There is a ReLU on the scaled maps. Eq. 4 is the product alone."""
    return scale(x, s).relu()


def means_taken_off(x, s):
    """You take the mean off each map before you scale it. Eq. 4 scales x itself."""
    return scale(x - reduce(x, "b c h w -> b c 1 1", "mean"), s)


def gains_not_returned_as_vector(x, s):
    """You return the gains themselves, b c. `forward` scales x with them: b c h w."""
    return s


class EveryPixelExcited(SqueezeExcite):
    """You excite every pixel and average afterwards. Squeeze first: the ReLU of a mean is not
    the mean of ReLUs."""

    def attention(self, x):
        t = two_layers(self, rearrange(x, "b c h w -> b h w c"))
        return reduce(t, "b h w c -> b c", "mean").sigmoid()


class EveryPixelGated(SqueezeExcite):
    """You gate every pixel and average the gains afterwards. Squeeze first: one vector an image
    goes through the layers."""

    def attention(self, x):
        t = two_layers(self, rearrange(x, "b c h w -> b h w c"))
        return reduce(t.sigmoid(), "b h w c -> b c", "mean")


class ExciteLoops(SqueezeExcite):
    def attention(self, x):
        rows = []
        for image in x:
            z = torch.stack([fmap.sum() / fmap.numel() for fmap in image])
            rows.append(1 / (1 + torch.exp(-self.up(self.down(z).clamp(min=0)))))
        return torch.stack(rows)

    def forward(self, x):
        s = self.attention(x)
        scaled = [
            torch.stack([fmap * s[b, c] for c, fmap in enumerate(image)])
            for b, image in enumerate(x)
        ]
        return torch.stack(scaled)


class ExciteFunctional(SqueezeExcite):
    def attention(self, x):
        z = F.adaptive_avg_pool2d(x, (1, 1)).squeeze(-1).squeeze(-1)
        hidden = F.relu(F.linear(z, self.down.weight, self.down.bias))
        return torch.sigmoid(F.linear(hidden, self.up.weight, self.up.bias))

    def forward(self, x):
        return torch.einsum("bc,bchw->bchw", self.attention(x), x)


class ExciteConvolutions(SqueezeExcite):
    def attention(self, x):
        t = x.mean(dim=(2, 3), keepdim=True)
        t = F.relu(F.conv2d(t, self.down.weight[:, :, None, None], self.down.bias))
        return F.conv2d(t, self.up.weight[:, :, None, None], self.up.bias).sigmoid()[..., 0, 0]

    def forward(self, x):
        return self.attention(x).unsqueeze(-1).unsqueeze(-1) * x


# counting


def count_trials():
    def trial(name, *stages, reduction, bias):
        return Trial(name, {}, dict(stages=stages, reduction=reduction, bias=bias))

    return (
        trial("for one block of 64 channels, r = 16", (1, 64), reduction=16, bias=False),
        trial("for blocks 2, 3 of 48, 96 channels", (2, 48), (3, 96), reduction=8, bias=False),
        trial("for the same with biases", (2, 48), (3, 96), reduction=8, bias=True),
        trial("for one block of 60 channels with biases", (1, 60), reduction=4, bias=True),
    )


def one_layer(stages, reduction=16, bias=False):
    """You count one of the two layers. `down` and `up` have c m weights each."""
    return sum(n * (c * c // reduction + bias * (c + c // reduction)) for n, c in stages)


def biases_forgotten(stages, reduction=16, bias=False):
    """You leave out the biases, which are there with `bias`: m for `down`, c for `up`."""
    return sum(n * 2 * c * (c // reduction) for n, c in stages)


def biases_always(stages, reduction=16, bias=False):
    """You count biases where there are none. They are there only with `bias`."""
    return added_parameters(stages, reduction, True)


def biases_of_up_alone(stages, reduction=16, bias=False):
    """You count the biases of `up` alone. `down` has m of its own."""
    return sum(n * (2 * c * (c // reduction) + bias * c) for n, c in stages)


def biases_of_down_alone(stages, reduction=16, bias=False):
    """You count the biases of `down` alone. `up` has c of its own."""
    return sum(n * (2 * c * (c // reduction) + bias * (c // reduction)) for n, c in stages)


def two_c_biases(stages, reduction=16, bias=False):
    """You count 2 c biases. `up` has c, but `down` has only m = c / r of them."""
    return sum(n * (2 * c * (c // reduction) + bias * 2 * c) for n, c in stages)


def one_bias_each(stages, reduction=16, bias=False):
    """You count one bias a layer. Every unit has its own: m for `down`, c for `up`."""
    return sum(n * (2 * c * (c // reduction) + bias * 2) for n, c in stages)


def one_block_a_stage(stages, reduction=16, bias=False):
    """You count one block a stage. Every block has a gate of its own."""
    return added_parameters(tuple((1, c) for _, c in stages), reduction, bias)


def last_stage_alone(stages, reduction=16, bias=False):
    """You count the last stage alone. Every stage adds its own."""
    return added_parameters(stages[-1:], reduction, bias)


def first_stage_alone(stages, reduction=16, bias=False):
    """You count the first stage alone: is there a `return` inside the loop? Every stage adds
    its own."""
    return added_parameters(stages[:1], reduction, bias)


def not_reduced(stages, reduction=16, bias=False):
    """You count two c x c matrices. The width between the layers is m = c / r: c m each."""
    return added_parameters(stages, 1, bias)


def reduced_twice(stages, reduction=16, bias=False):
    """You divide by r twice. One side of each matrix is m = c / r, the other is c."""
    return sum(n * (2 * (c // reduction) ** 2 + bias * (c + c // reduction)) for n, c in stages)


def as_wide_as_the_channels(stages, reduction=16, bias=False):
    """You count c c weights a layer, without r. The width between the layers is m = c / r: one
    layer has c m."""
    return sum(n * (2 * c * c + bias * (c + c // reduction)) for n, c in stages)


def width_not_squared(stages, reduction=16, bias=False):
    """You count 2 c / r weights. A matrix from c to m numbers has c m of them: 2 c² / r."""
    return sum(n * (2 * c // reduction + bias * (c + c // reduction)) for n, c in stages)


def multiplied_by_r(stages, reduction=16, bias=False):
    """You multiply by r. The layers between get narrower by it: m = c / r."""
    return sum(n * (2 * c * c * reduction + bias * (c + c * reduction)) for n, c in stages)


def reduction_ignored(stages, reduction=16, bias=False):
    """You divide by 16 in every case. The reduction is an argument."""
    return sum(n * (2 * c * c // 16 + bias * (c + c // 16)) for n, c in stages)


def biases_once_a_stage(stages, reduction=16, bias=False):
    """You count the biases once a stage. Every block has its own."""
    return sum(n * 2 * c * (c // reduction) + bias * (c + c // reduction) for n, c in stages)


def true_division(stages, reduction=16, bias=False):
    """Right, but a float: `/` gives one. A number of weights is a whole number: `//`."""
    return float(added_parameters(stages, reduction, bias))


def count_by_layer(stages, reduction=16, bias=False):
    total = 0
    for blocks, c in stages:
        layers = nn.Linear(c, c // reduction, bias), nn.Linear(c // reduction, c, bias)
        total += blocks * sum(p.numel() for layer in layers for p in layer.parameters())
    return total


def count_by_module(stages, reduction=16, bias=False):
    sizes = [
        SqueezeExcite(c, reduction, bias).state_dict() for n, c in stages for _ in range(n)
    ]
    return sum(w.numel() for state in sizes for w in state.values())


def count_by_equation(stages, reduction=16, bias=False):
    squares = sum(n * c**2 for n, c in stages)
    sides = sum(n * (c + bottleneck(c, reduction)) for n, c in stages)
    return 2 * squares // reduction + (sides if bias else 0)


# where the gate stands


def bend(t):
    """A branch that is not linear and not odd."""
    return 1.3 - 0.7 * t * t - t


def weigh(t):
    """A gate that looks at its own input: what it is given shows in what it gives."""
    return t * (t.mean((-2, -1), keepdim=True) - 0.3).sigmoid()


def turn(t):
    """A shortcut that keeps the size."""
    return 0.4 - t.flip(1)


def shrink(t):
    """A shortcut to half the height and width and twice the channels."""
    half = t[..., ::2, ::2]
    return torch.cat([half, 0.4 - half], dim=1)


def shrunk_bend(t):
    """A branch to half the height and width and twice the channels."""
    return bend(torch.cat([t, 2 * t], dim=1)[..., ::2, ::2])


KEPT = dict(b=2, c=3, h=5, w=7)


def residual_trials():
    def trial(placement):
        inputs = dict(x="b c h w", branch=bend, gate=weigh, placement=Given("", placement))
        return Trial(f'for "{placement}"', KEPT, inputs | dict(shortcut=identity))

    def other(placement):
        inputs = dict(x="b c h w", branch=bend, gate=weigh, placement=Given("", placement))
        return Trial(
            f'for "{placement}", the shortcut with a layer',
            KEPT,
            inputs | dict(shortcut=turn),
        )

    def shrinking(placement):
        inputs = dict(x="b d i j", branch=shrunk_bend, gate=weigh)
        return Trial(
            f'for "{placement}" in a block that halves the map',
            dict(b=2, c=10, h=3, w=4, d=5, i=6, j=7),
            inputs | dict(placement=Given("", placement), shortcut=shrink),
        )

    return (*map(trial, PLACEMENTS), *map(other, PLACEMENTS), *map(shrinking, PLACEMENTS))


def refused_placements():
    inputs = dict(x="b c h w", branch=bend, gate=weigh, placement=Given("", "between"))
    return (Trial('the unknown placement "between"', KEPT, inputs | dict(shortcut=identity)),)


def standard(x, branch, gate, shortcut):
    return (shortcut(x) + gate(branch(x))).relu()


def pre(x, branch, gate, shortcut):
    return (shortcut(x) + branch(gate(x))).relu()


def post(x, branch, gate, shortcut):
    return gate((shortcut(x) + branch(x)).relu())


def beside(x, branch, gate, shortcut):
    return (gate(shortcut(x)) + branch(x)).relu()


def residual_recipe(standard=standard, pre=pre, post=post, identity=beside):
    """`residual` with some of its placements replaced."""
    places = dict(standard=standard, pre=pre, post=post, identity=identity)

    def answer(x, branch, gate, placement="standard", shortcut=lambda t: t):
        return places[placement](x, branch, gate, shortcut)

    return answer


def standard_is_post(x, branch, gate, shortcut):
    """In "standard" your gate stands behind the addition. It scales the branch before it is
    added: x + gate(F(x))."""
    return post(x, branch, gate, shortcut)


def standard_gates_the_sum(x, branch, gate, shortcut):
    """In "standard" your gate scales the sum, before the ReLU. It scales the branch alone:
    x + gate(F(x))."""
    return gate(shortcut(x) + branch(x)).relu()


def standard_gates_the_shortcut(x, branch, gate, shortcut):
    """In "standard" your gate stands on the shortcut. It scales the branch: x + gate(F(x))."""
    return beside(x, branch, gate, shortcut)


def standard_without_shortcut(x, branch, gate, shortcut):
    """In "standard" x is not added: it is x + gate(F(x))."""
    return gate(branch(x)).relu()


def standard_relu_too_early(x, branch, gate, shortcut):
    """In "standard" your ReLU comes before the addition. It comes after: relu(x + …)."""
    return shortcut(x) + gate(branch(x)).relu()


def standard_rectified_branch(x, branch, gate, shortcut):
    """In "standard" there is a ReLU on the branch as well. There is one, over the sum:
    relu(x + gate(F(x)))."""
    return (shortcut(x) + gate(branch(x).relu())).relu()


def standard_without_the_shortcuts_layer(x, branch, gate, shortcut):
    """In "standard" you add x itself. It is `shortcut(x)` that is added, since a block may
    change the size."""
    return (x + gate(branch(x))).relu()


def pre_without_the_shortcuts_layer(x, branch, gate, shortcut):
    """In "pre" you add x itself. It is `shortcut(x)` that is added, since a block may change
    the size."""
    return (x + branch(gate(x))).relu()


def post_without_the_shortcuts_layer(x, branch, gate, shortcut):
    """In "post" you add x itself. It is `shortcut(x)` that is added, since a block may change
    the size."""
    return gate((x + branch(x)).relu())


def identity_without_the_shortcuts_layer(x, branch, gate, shortcut):
    """In "identity" you gate x itself. It is gate(shortcut(x)), since a block may change the
    size."""
    return (gate(x) + branch(x)).relu()


def pre_rectified_branch(x, branch, gate, shortcut):
    """In "pre" there is a ReLU on the branch as well. There is one, over the sum:
    relu(x + F(gate(x)))."""
    return (shortcut(x) + branch(gate(x)).relu()).relu()


def post_gates_the_branch(x, branch, gate, shortcut):
    """In "post" your gate scales the branch before it is added. It comes last, over the whole:
    gate(relu(x + F(x)))."""
    return gate(branch(x)) + shortcut(x)


def identity_gates_the_branch_too(x, branch, gate, shortcut):
    """In "identity" you gate what the branch gives as well. The gate scales x alone:
    gate(x) + F(x)."""
    return (gate(shortcut(x)) + gate(branch(x))).relu()


def standard_gains_squared(x, branch, gate, shortcut):
    """In "standard" you multiply F(x) by gate(F(x)). `gate` returns its input scaled, not the
    gains."""
    f = branch(x)
    return (shortcut(x) + f * gate(f)).relu()


def standard_gate_of_x(x, branch, gate, shortcut):
    """In "standard" you multiply F(x) by gate(x). `gate` returns its input scaled, not the
    gains, and its input is the branch: gate(F(x))."""
    f = branch(x)
    return (shortcut(x) + f * gate(shortcut(x))).relu()


def pre_is_standard(x, branch, gate, shortcut):
    """In "pre" your gate stands behind the branch. It stands before it: x + F(gate(x))."""
    return standard(x, branch, gate, shortcut)


def pre_gates_both(x, branch, gate, shortcut):
    """In "pre" you gate x for the shortcut as well. The shortcut keeps x as it came:
    x + F(gate(x))."""
    return (shortcut(gate(x)) + branch(gate(x))).relu()


def pre_without_shortcut(x, branch, gate, shortcut):
    """In "pre" x is not added: it is x + F(gate(x))."""
    return branch(gate(x)).relu()


def pre_relu_too_early(x, branch, gate, shortcut):
    """In "pre" your ReLU comes before the addition. It comes after: relu(x + …)."""
    return shortcut(x) + branch(gate(x)).relu()


def post_before_the_relu(x, branch, gate, shortcut):
    """In "post" your gate stands before the ReLU. It stands behind it: gate(relu(x + F(x)))."""
    return gate(shortcut(x) + branch(x)).relu()


def post_is_standard(x, branch, gate, shortcut):
    """In "post" your gate scales the branch. It scales what comes out of the block:
    gate(relu(x + F(x)))."""
    return standard(x, branch, gate, shortcut)


def post_without_relu(x, branch, gate, shortcut):
    """In "post" the ReLU is missing: gate(relu(x + F(x)))."""
    return gate(shortcut(x) + branch(x))


def post_relu_twice(x, branch, gate, shortcut):
    """In "post" you gate the branch and then the sum again. There is one gate, at the end."""
    return gate(standard(x, branch, gate, shortcut))


def identity_is_standard(x, branch, gate, shortcut):
    """In "identity" your gate scales the branch. It stands on the shortcut: gate(x) + F(x)."""
    return standard(x, branch, gate, shortcut)


def identity_gates_both(x, branch, gate, shortcut):
    """In "identity" the branch gets the gated x as well. It gets x as it came: gate(x) +
    F(x)."""
    return (gate(shortcut(x)) + branch(gate(x))).relu()


def identity_before_the_shortcut(x, branch, gate, shortcut):
    """In "identity" your gate stands before the shortcut's own layer. It scales what the
    shortcut gives, as wide as the output: gate(shortcut(x))."""
    return (shortcut(gate(x)) + branch(x)).relu()


def identity_without_branch(x, branch, gate, shortcut):
    """In "identity" the branch is not added: it is gate(x) + F(x)."""
    return gate(shortcut(x)).relu()


def identity_relu_too_early(x, branch, gate, shortcut):
    """In "identity" your ReLU does not cover the shortcut. It comes last: relu(gate(x) +
    F(x))."""
    return gate(shortcut(x)) + branch(x).relu()


PLACES = dict(standard=standard, pre=pre, post=post, identity=beside)


def pre_and_post_exchanged(x, branch, gate, placement="standard", shortcut=identity):
    """ "pre" and "post" are exchanged: before the branch, and behind the block."""
    names = dict(pre="post", post="pre")
    return PLACES[names.get(placement, placement)](x, branch, gate, shortcut)


def standard_and_identity_exchanged(x, branch, gate, placement="standard", shortcut=identity):
    """ "standard" and "identity" are exchanged: the gate on the branch, and on the shortcut."""
    names = dict(standard="identity", identity="standard")
    return PLACES[names.get(placement, placement)](x, branch, gate, shortcut)


def standard_and_pre_exchanged(x, branch, gate, placement="standard", shortcut=identity):
    """ "standard" and "pre" are exchanged: behind the branch, and before it."""
    names = dict(standard="pre", pre="standard")
    return PLACES[names.get(placement, placement)](x, branch, gate, shortcut)


def standard_and_post_exchanged(x, branch, gate, placement="standard", shortcut=identity):
    """ "standard" and "post" are exchanged: on the branch before the addition, and behind the
    whole block."""
    names = dict(standard="post", post="standard")
    return PLACES[names.get(placement, placement)](x, branch, gate, shortcut)


def placement_ignored(x, branch, gate, placement="standard", shortcut=identity):
    """The placement is not looked at: you return the standard block for all four."""
    return standard(x, branch, gate, shortcut)


def shortcut_ignored(x, branch, gate, placement="standard", shortcut=identity):
    """The shortcut is not used: you add x itself. It is `shortcut(x)` that is added, since a
    block may change the size."""
    return PLACES[placement](x, branch, gate, identity)


def no_relu_anywhere(x, branch, gate, placement="standard", shortcut=identity):
    """The ReLU is missing in all four. The sum goes through it."""
    s, f = shortcut(x), branch(gate(x) if placement == "pre" else x)
    return dict(
        standard=lambda: s + gate(f),
        pre=lambda: s + f,
        post=lambda: gate(s + f),
        identity=lambda: gate(s) + f,
    )[placement]()


def no_gate(x, branch, gate, placement="standard", shortcut=identity):
    """The gate is not used: you return the block without attention."""
    return (shortcut(x) + branch(x)).relu()


def never_added(x, branch, gate, placement="standard", shortcut=identity):
    """The shortcut is not added: the block is no longer a residual one."""
    f = branch(gate(x)) if placement == "pre" else branch(x)
    return gate(f).relu() if placement == "standard" else f.relu()


def residual_by_match(x, branch, gate, placement="standard", shortcut=identity):
    if placement not in PLACEMENTS:
        raise ValueError(f"no placement {placement}")
    kept, inner = shortcut(x), gate(x) if placement == "pre" else x
    inner = branch(inner)
    if placement == "standard":
        inner = gate(inner)
    elif placement == "identity":
        kept = gate(kept)
    y = torch.clamp(kept + inner, min=0)
    return gate(y) if placement == "post" else y


def residual_by_table(x, branch, gate, placement="standard", shortcut=identity):
    places = {
        "standard": lambda: F.relu(gate(branch(x)) + shortcut(x)),
        "pre": lambda: F.relu(branch(gate(x)) + shortcut(x)),
        "post": lambda: gate(F.relu(branch(x) + shortcut(x))),
        "identity": lambda: F.relu(branch(x) + gate(shortcut(x))),
    }
    try:
        return places[placement]()
    except KeyError:
        raise ValueError(f"{placement} is none of {', '.join(places)}") from None


# telling the placements apart


def probe_trials():
    def trial(name, block):
        return Trial(name, {}, dict(block=block))

    def twice(x, branch, gate):
        return gate(gate((x + branch(x)).relu()))

    return (
        *(trial(f'for "{p}"', partial(residual, placement=p)) for p in PLACEMENTS),
        trial("for a block that has its gate twice", twice),
    )


def probed(block, branch, x=1.0, gate=lambda t: t / 2):
    return block(torch.full((1, 1, 1, 1), x), branch, gate).item()


def named(silent, steady):
    return {
        (1.0, 0.5): "standard",
        (1.0, 1.0): "pre",
        (0.5, 0.5): "post",
        (0.5, 1.0): "identity",
    }.get((silent, steady), "none of the four")


def silent_probe_alone(block):
    """One probe is not enough: with F = 0 "standard" and "pre" look alike, and so do "post" and
    "identity". Let F return a constant as well."""
    return {1.0: "standard", 0.5: "post"}.get(
        probed(block, torch.zeros_like), "none of the four"
    )


def steady_probe_alone(block):
    """With F a constant alone you cannot tell which half of the sum was halved: probe with F =
    0 as well, and look at what of x is left."""
    whole = probed(block, torch.ones_like)
    return {1.5: "standard", 2.0: "pre", 1.0: "post"}.get(whole, "none of the four")


def names_of_standard_and_pre(block):
    """ "standard" and "pre" are exchanged. A gate before the branch cannot touch a constant."""
    names = {"standard": "pre", "pre": "standard"}
    found = placement_of(block)
    return names.get(found, found)


def names_of_post_and_identity(block):
    """ "post" and "identity" are exchanged. A gate on the shortcut leaves the constant whole;
    one behind the block halves everything."""
    names = {"post": "identity", "identity": "post"}
    found = placement_of(block)
    return names.get(found, found)


def names_of_standard_and_identity(block):
    """ "standard" and "identity" are exchanged. A gate on the branch leaves x whole; one on the
    shortcut halves it."""
    names = {"standard": "identity", "identity": "standard"}
    found = placement_of(block)
    return names.get(found, found)


def names_of_pre_and_post(block):
    """ "pre" and "post" are exchanged. Behind the block the gate halves everything, before the
    branch nothing that a probe sees."""
    names = {"pre": "post", "post": "pre"}
    found = placement_of(block)
    return names.get(found, found)


def gate_that_does_nothing(block):
    """Your gate returns what it is given, so that every placement looks like "pre". Let it
    halve."""
    silent = probed(block, torch.zeros_like, gate=lambda t: t)
    return named(silent, probed(block, torch.ones_like, gate=lambda t: t) - silent)


def negative_x(block):
    silent = probed(block, torch.zeros_like, -1.0)
    return named(silent, probed(block, torch.ones_like, -1.0) - silent)


def x_of_zeros(block):
    silent = probed(block, torch.zeros_like, 0.0)
    return named(silent, probed(block, torch.ones_like, 0.0) - silent)


NOTHING_OF_X = Slip(
    "nothing_of_x",
    'You say "none of the four" of all four: does anything of x come through? Where x is 0 or'
    " negative the ReLU of the block leaves 0. Probe with x above 0.",
    negative_x,
    ways=(x_of_zeros,),
)


def constant_not_apart(block):
    """You look at the whole output of the second probe. Take off what the first one gave: what
    is left comes from the branch."""
    return named(probed(block, torch.zeros_like), probed(block, torch.ones_like))


def linear_branch(block):
    """Your branch returns its input, so that a gate before it and one behind it look alike. Let
    it return a constant."""
    silent = probed(block, torch.zeros_like)
    return named(silent, probed(block, lambda t: t) - silent)


def gate_that_adds(block):
    """Your gate adds a number. One that scales is the measure here: x is then left whole or
    halved, and so is what the branch adds."""
    silent = block(torch.ones(1, 1, 1, 1), torch.zeros_like, lambda t: t + 1).item()
    return named(
        silent, block(torch.ones(1, 1, 1, 1), torch.ones_like, lambda t: t + 1).item() - silent
    )


def branch_that_halves(block):
    """Your branch halves and your gate does nothing, so that all four look alike. It is the
    gate that must halve: where it stands is what you are looking for."""
    one = torch.ones(1, 1, 1, 1)

    def nothing(t):
        return t

    silent = block(one, torch.zeros_like, nothing).item()
    return named(silent, block(one, lambda t: torch.ones_like(t) / 2, nothing).item() - silent)


def whole_or_not(block):
    return "standard" if probed(block, torch.zeros_like) == 1 else "post"


def whole_or_half(block):
    found = probed(block, torch.zeros_like)
    return {1.0: "standard", 0.5: "post"}.get(found, "none of the four")


def nothing_for_none(block):
    """For a block that is none of the four you return None. Return "none of the four", in
    words."""
    found = placement_of(block)
    return None if found == "none of the four" else found


SILENT_PROBE = replace(slip(silent_probe_alone), ways=(whole_or_not, whole_or_half))


def always_one_of_four(block):
    """You name one of the four where the block is none of them. Say "none of the four"."""
    found = placement_of(block)
    return "post" if found == "none of the four" else found


def placement_by_zero(block):
    x, shut = torch.ones(1, 2, 3, 4), torch.zeros_like
    twice = (block(x, torch.zeros_like, lambda t: 3 * t) / x).mean().item()
    through = block(x, lambda t: torch.full_like(t, 5.0), shut).mean().item()
    key = round(twice), round(through)
    names = {(1, 1): "standard", (1, 6): "pre", (3, 0): "post", (3, 5): "identity"}
    return names.get(key, "none of the four")


def placement_by_elimination(block):
    ones, two = torch.ones(2, 1, 2, 1), 2.0
    a = float(block(ones, lambda t: 0 * t, lambda t: t / 2)[0, 0, 0, 0])
    b = float(block(ones, lambda t: 0 * t + two, lambda t: t / 2)[0, 0, 0, 0])
    if a == 1:
        return "standard" if b == 2 else "pre" if b == 3 else "none of the four"
    if a == 0.5:
        return "post" if b == 1.5 else "identity" if b == 2.5 else "none of the four"
    return "none of the four"


# gathering without parameters


def gather_trials():
    def trial(name, extent, **sizes):
        return Trial(name, sizes, dict(x="b c h w", extent=extent))

    return (
        trial("with extent 2 on an odd map", 2, b=2, c=8, h=7, w=11, u=4, v=6),
        trial("over the whole map", None, b=3, c=2, h=5, w=7),
        trial("with extent 4", 4, b=2, c=5, h=9, w=13, u=3, v=4),
        trial("with an extent beyond the map", 8, b=3, c=4, h=5, w=6),
        trial("with extent 1, each pixel by itself", 1, b=2, c=4, h=3, w=5),
    )


def whole(x, extent):
    return reduce(x, "b c h w -> b c 1 1", "mean")


def gather_recipe(global_=whole, local=gather):
    """`gather` with one of its two cases replaced."""

    def answer(x, extent=None):
        return (global_ if extent is None else local)(x, extent)

    return answer


def pooled(x, window, step, margin, border_counts=False):
    """Means of windows, padded by hand, so that any margin will do."""
    count = torch.ones_like(x)
    total, count = (
        F.avg_pool2d(F.pad(t, [margin] * 4), window, step, divisor_override=1)
        for t in (x, count)
    )
    return total / (window**2 if border_counts else count)


def where_it_fits(choice):
    """The same slip by someone who takes the whole map where a window does not fit."""

    def step(x, extent):
        try:
            return choice(x, extent)
        except RuntimeError:
            return whole(x, extent)

    return gather_recipe(local=step)


def border_counted(x, extent):
    """You count the zeros beyond the border as pixels. The mean is over the pixels there are:
    `count_include_pad=False`."""
    return pooled(x, 2 * extent - 1, extent, extent - 1, border_counts=True)


def separate_blocks(x, extent):
    """You average separate blocks of extent x extent. The means overlap: all pixels nearer than
    the extent count, a window of 2 extent - 1."""
    rest = [(-n) % extent for n in x.shape[-2:]]
    ones = F.pad(torch.ones_like(x), (0, rest[1], 0, rest[0]))
    total = F.avg_pool2d(F.pad(x, (0, rest[1], 0, rest[0])), extent, divisor_override=1)
    return total / F.avg_pool2d(ones, extent, divisor_override=1)


def separate_blocks_cut(x, extent):
    """You average separate blocks of extent x extent and drop what is left over. All pixels
    nearer than the extent count, a window of 2 extent - 1 with a margin of extent - 1."""
    return F.avg_pool2d(x, extent)


def one_pixel_more(x, extent):
    """Your window is 2 extent + 1 wide: it takes in pixels that lie at the extent itself.
    Nearer than the extent are 2 extent - 1."""
    return pooled(x, 2 * extent + 1, extent, extent)


def no_margin(x, extent):
    """You do not pad: there are no means around the pixels near the border. Pad by extent -
    1."""
    return F.avg_pool2d(x, 2 * extent - 1, extent)


def every_pixel(x, extent):
    """You gather around every pixel. Only every `extent`-th gets a mean: the stride is the
    extent."""
    return pooled(x, 2 * extent - 1, 1, extent - 1)


def largest_nearby(x, extent):
    """You take the largest value nearby. θ⁻ gathers the mean."""
    reach = min(extent, max(x.shape[-2:]))
    return F.max_pool2d(x, 2 * reach - 1, extent, reach - 1)


def sum_nearby(x, extent):
    """You sum the values nearby. θ⁻ gathers their mean."""
    x = F.pad(x, [extent - 1] * 4)
    return F.avg_pool2d(x, 2 * extent - 1, extent, divisor_override=1)


def samples(x, extent):
    """You take every `extent`-th pixel as it is. Average what is nearer than the extent."""
    return x[..., ::extent, ::extent].clone()


def extent_is_the_window(x, extent):
    """Your window is as wide as the extent. It reaches extent - 1 to both sides: 2 extent -
    1."""
    return F.avg_pool2d(x, extent, extent, extent // 2, count_include_pad=False)


def window_of_3(x, extent):
    """Your window is 3 wide, whatever the extent. It reaches extent - 1 to both sides:
    2 extent - 1."""
    return F.avg_pool2d(x, 3, extent, 1, count_include_pad=False)


def mirrored(x, extent):
    """Beyond the border you mirror the map. What is not there does not count:
    `count_include_pad=False`."""
    reach = min(extent, *x.shape[-2:])
    x = F.pad(x, [reach - 1] * 4, mode="reflect")
    return F.avg_pool2d(x, 2 * reach - 1, extent)


def as_many_parts(x, extent):
    """You cut each side into `extent` parts. The extent is how far a mean reaches, not how many
    there are."""
    return F.adaptive_avg_pool2d(x, extent)


def parts_of_the_map(x, extent):
    """You cut the map into as many parts as there are means. The means overlap: a window of
    2 extent - 1 around every `extent`-th pixel."""
    return F.adaptive_avg_pool2d(x, [math.ceil(n / extent) for n in x.shape[-2:]])


def border_from_the_other_side(x, extent):
    """Beyond the border you go on at the other side of the map. What is not there does not
    count: `count_include_pad=False`."""
    reach = min(extent, *x.shape[-2:])
    x = F.pad(x, [reach - 1] * 4, mode="circular")
    return F.avg_pool2d(x, 2 * reach - 1, extent)


def resized(x, extent):
    """You resize the map by interpolation. Average what is nearer than the extent."""
    size = [math.ceil(n / extent) for n in x.shape[-2:]]
    return F.interpolate(x, size, mode="bilinear")


def border_continued(x, extent):
    """Beyond the border you repeat the last pixels. What is not there does not count:
    `count_include_pad=False`."""
    x = F.pad(x, [extent - 1] * 4, mode="replicate")
    return F.avg_pool2d(x, 2 * extent - 1, extent)


def windows(x, extent, before, after):
    """Means from `before` pixels before every `extent`-th to `after` behind it."""
    rows = []
    for i in range(0, x.shape[-2], extent):
        row = [
            x[..., max(i - before, 0) : i + after + 1, max(j - before, 0) : j + after + 1]
            for j in range(0, x.shape[-1], extent)
        ]
        rows.append(torch.stack([near.mean((-2, -1)) for near in row], -1))
    return torch.stack(rows, -2)


def from_the_other_end(x, extent):
    """At the border your slices begin at a negative number, which counts from the other end and
    leaves nothing to average. Begin at max(i - extent + 1, 0)."""
    rows = []
    for i in range(0, x.shape[-2], extent):
        row = [
            x[..., i - extent + 1 : i + extent, j - extent + 1 : j + extent].mean((-2, -1))
            for j in range(0, x.shape[-1], extent)
        ]
        rows.append(torch.stack(row, -1))
    return torch.stack(rows, -2)


def last_pixel_missed(x, extent):
    """Your windows end one pixel early: a slice stops before its end. Up to extent - 1 behind
    the middle is `… : i + extent`."""
    return windows(x, extent, extent - 1, max(extent - 2, 0))


def middle_of_the_blocks(x, extent):
    """Your means stand around extent / 2, 3 extent / 2, …. They stand around 0, extent,
    2 extent, …."""
    start = x[..., extent // 2 :, extent // 2 :]
    return pooled(start, 2 * extent - 1, extent, extent - 1)


def rows_and_columns_exchanged(x, extent):
    """Rows and columns of the result are exchanged: it is b c u v, with u along h."""
    return gather(x, extent).mT


def rows_only(x, extent):
    """You gather along h alone. Gather along w as well."""
    wide, step = 2 * extent - 1, extent
    return F.avg_pool2d(x, (wide, 1), (step, 1), (step - 1, 0), count_include_pad=False)


def channels_averaged_too(x, extent):
    """You average over c as well: all channels get the same means. Each map has its own."""
    z = gather(x, extent)
    return z.mean(1, keepdim=True).expand_as(z)


def whole_map_too_early(x, extent):
    """You take the whole map as soon as the extent is half of a side. The means stand around
    every `extent`-th pixel as long as there is one."""
    return whole(x, extent) if extent >= min(x.shape[-2:]) // 2 else gather(x, extent)


def extent_1_is_the_whole(x, extent):
    """Extent 1 gives you the whole map. It is each pixel by itself; only None is the whole
    map."""
    return whole(x, extent) if extent <= 1 else gather(x, extent)


def largest_of_the_map(x, extent):
    """Without an extent you take the largest value. It is the mean of the whole map."""
    return reduce(x, "b c h w -> b c 1 1", "max")


def axes_dropped(x, extent):
    """Without an extent you return b c. Keep the axes, of length 1: b c 1 1."""
    return squeeze(x)


def map_kept(x, extent):
    """Without an extent you return the map as it is, or the mean over its full size. It becomes
    one number: b c 1 1."""
    return x.clone()


def gather_loops(x, extent=None):
    h, w = x.shape[-2:]
    if extent is None:
        return torch.stack([torch.stack([m.mean() for m in image]) for image in x])[
            ..., None, None
        ]
    rows = []
    for u in range(0, h, extent):
        row = []
        for v in range(0, w, extent):
            near = x[
                :, :, max(u - extent + 1, 0) : u + extent, max(v - extent + 1, 0) : v + extent
            ]
            row.append(near.mean((2, 3)))
        rows.append(torch.stack(row, -1))
    return torch.stack(rows, -2)


def gather_by_matrices(x, extent=None):
    def means(n):
        i, u = (
            torch.arange(n, device=x.device),
            torch.arange(0, n, extent or n, device=x.device),
        )
        near = ((i[None] - u[:, None]).abs() < (extent or n)).to(x)
        return near / near.sum(-1, keepdim=True)

    return means(x.shape[-2]) @ x @ means(x.shape[-1]).T


def gather_by_division(x, extent=None):
    if extent is None:
        return F.adaptive_avg_pool2d(x, 1)
    return pooled(x, 2 * extent - 1, extent, extent - 1)


# gather-excite: one recipe


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


# eca


def eca_trials():
    def trial(name, window, **sizes):
        init = dict(channels=sizes["c"], window=window)
        return Trial(name, sizes, dict(x="b c h w"), init)

    return (
        trial("with a window of 3", 3, b=2, c=6, h=5, w=7),
        trial("with a window of 5", 5, b=4, c=9, h=3, w=2),
        trial("with the window of 64 channels", None, b=2, c=64, h=3, w=1),
        trial("with the window of 128 channels", None, b=2, c=128, h=1, w=3),
    )


def along_channels(self, z):
    return rearrange(self.conv(rearrange(z, "b c -> b 1 c")), "b 1 c -> b c")


def eca_recipe(squeezing=squeeze, exciting=along_channels, gating=gate, scaling=scale):
    """`ECA` with some of its steps replaced."""

    class Answer(ECA):
        def attention(self, x):
            return gating(exciting(self, squeezing(x)))

        def forward(self, x):
            return scaling(x, self.attention(x))

    return Answer


def along_the_batch(self, z):
    """Your convolution runs along b: images mix. It runs along c: b 1 c."""
    return rearrange(self.conv(rearrange(z, "b c -> c 1 b")), "c 1 b -> b c")


def kernel_turned(self, z):
    """Your weights run backwards. `self.conv` multiplies weight 0 with the neighbour before."""
    return along_channels(self, z.flip(-1)).flip(-1)


def as_a_ring(self, z):
    """Your channels form a ring: the first is a neighbour of the last. Beyond the ends there
    are zeros."""
    w = self.conv.weight
    half = w.shape[-1] // 2
    return F.conv1d(F.pad(z[:, None], (half, half), mode="circular"), w)[:, 0]


def ends_repeated(self, z):
    """Beyond the ends you repeat the last channel. There are zeros."""
    w = self.conv.weight
    half = w.shape[-1] // 2
    return F.conv1d(F.pad(z[:, None], (half, half), mode="replicate"), w)[:, 0]


def ends_mirrored(self, z):
    """Beyond the ends you mirror the channels. There are zeros."""
    w = self.conv.weight
    half = w.shape[-1] // 2
    return F.conv1d(F.pad(z[:, None], (half, half), mode="reflect"), w)[:, 0]


def looking_ahead(self, z):
    """Your window looks ahead: it begins at the channel itself. It has the channel in its
    middle: pad both ends by half of it."""
    w = self.conv.weight
    return F.conv1d(F.pad(z[:, None], (0, w.shape[-1] - 1)), w)[:, 0]


def weights_as_shares(self, z):
    """You take a softmax of the weights of the window. They are used as they are: call
    `self.conv`."""
    w = self.conv.weight
    return F.conv1d(z[:, None], w.softmax(-1), padding=w.shape[-1] // 2)[:, 0]


def looking_back(self, z):
    """Your window looks back: it ends at the channel itself. It has the channel in its middle:
    pad both ends by half of it."""
    w = self.conv.weight
    return F.conv1d(F.pad(z[:, None], (w.shape[-1] - 1, 0)), w)[:, 0]


def rectified(self, z):
    """There is a ReLU behind the convolution: no gain can fall below 1/2. The sigmoid comes at
    once."""
    return along_channels(self, z).relu()


def means_rectified(self, z):
    """You cut off negative means before the convolution. It gets the means as they are."""
    return along_channels(self, z.relu())


def twice_along(self, z):
    """You run the convolution twice. Once is enough: ECA has one layer."""
    return along_channels(self, along_channels(self, z))


def own_mean_added(self, z):
    """You add the means behind the convolution. ECA has no shortcut."""
    return z + along_channels(self, z)


def no_neighbours(self, z):
    """The convolution is not used: each channel is gated by its own mean."""
    return z


def middle_alone(self, z):
    """You use the middle weight alone: no channel hears of its neighbours."""
    return z * self.conv.weight[0, 0, self.conv.weight.shape[-1] // 2]


class ECALoops(ECA):
    def attention(self, x):
        z, w = x.mean((2, 3)), self.conv.weight[0, 0]
        half, columns = len(w) // 2, []
        for c in range(z.shape[1]):
            near = range(max(0, c - half), min(z.shape[1], c + half + 1))
            columns.append(sum(w[n - c + half] * z[:, n] for n in near))
        return torch.stack(columns, -1).sigmoid()

    def forward(self, x):
        return x * self.attention(x)[:, :, None, None]


class ECAUnfolded(ECA):
    def attention(self, x):
        w = self.conv.weight.flatten()
        z = F.pad(squeeze(x), (len(w) // 2, len(w) // 2))
        return torch.sigmoid(z.unfold(-1, len(w), 1) @ w)

    def forward(self, x):
        return torch.einsum("bc,bchw->bchw", self.attention(x), x)


class ECAFromTheRelease(ECA):
    def attention(self, x):
        y = F.adaptive_avg_pool2d(x, 1)
        y = self.conv(y.squeeze(-1).transpose(-1, -2)).transpose(-1, -2)
        return torch.sigmoid(y)[..., 0]

    def forward(self, x):
        return x * self.attention(x)[..., None, None].expand_as(x)


EXERCISES = [
    Exercise(
        id="channel.squeeze",
        solution=squeeze,
        probes={"squeeze": "b c"},
        trials=squeeze_trials,
        slips=(
            largest,
            summed,
            over_the_batch_too,
            same_for_all_images,
            channels_averaged,
            rows_alone,
            columns_alone,
            axes_of_one_kept,
            magnitudes,
            after_a_relu,
            root_mean_square,
            spread,
            half_way,
            first_pixel,
            divided_by_the_width,
            divided_by_the_height,
            one_number_an_image,
        ),
        hints=(
            "Which axes are gone in b c? What becomes of an axis named on the left only?",
            "One number for each image and each channel: the mean over h and w.",
            'reduce(x, "b c h w -> b c", "mean")',
        ),
        minutes=2,
        difficulty=1,
        otherwise=(squeeze_loops, squeeze_einsum, squeeze_pooled),
        laws=("examples_do_not_mix", "pixels_are_all_alike", "a_mean_keeps_what_is_even"),
    ),
    Exercise(
        id="channel.squeeze_excite",
        solution=SqueezeExcite,
        probes={"attention": "b c", "forward": "b c h w"},
        trials=excite_trials,
        blank=("attention", "forward"),
        slips=(
            *family(
                excite_recipe,
                squeezing=(
                    largest_for_the_mean,
                    sum_for_the_mean,
                    spread_for_the_mean,
                    magnitudes_for_the_mean,
                    middle_for_the_mean,
                    smallest_for_the_mean,
                    images_mixed,
                    squeezed_after_relu,
                    mean_and_largest,
                    one_pixel_for_all,
                ),
                exciting=(
                    no_relu,
                    relu_at_the_end,
                    relu_twice,
                    relu_first,
                    means_rectified_too,
                    sigmoid_inside,
                    tanh_inside,
                    gelu_inside,
                    silu_inside,
                    leaky_relu_inside,
                    elu_inside,
                    softplus_inside,
                    magnitude_inside,
                    down_without_its_bias,
                    up_without_its_bias,
                    weights_without_biases,
                    layers_left_out,
                    one_weight_for_both,
                    means_added,
                ),
                gating=(
                    no_sigmoid,
                    softmax_over_channels,
                    softmax_over_images,
                    tanh_for_sigmoid,
                    relu_for_sigmoid,
                    hard_sigmoid,
                    straight_line,
                    sigmoid_twice,
                    one_more,
                    doubled,
                    halved,
                    open_or_shut,
                    shares,
                    turned_round,
                ),
                scaling=(
                    gains_added,
                    x_added,
                    gains_alone,
                    gains_twice,
                    not_scaled,
                    divided_by_gains,
                    means_scaled,
                    relu_on_top,
                    means_taken_off,
                    gains_not_returned_as_vector,
                ),
                paired=(
                    largest_for_the_mean,
                    sum_for_the_mean,
                    images_mixed,
                    no_relu,
                    relu_at_the_end,
                    sigmoid_inside,
                    weights_without_biases,
                    no_sigmoid,
                    softmax_over_channels,
                    tanh_for_sigmoid,
                    hard_sigmoid,
                    gains_added,
                    x_added,
                    gains_alone,
                ),
            ),
            EveryPixelExcited,
            EveryPixelGated,
        ),
        hints=(
            "Which axes does eq. 2 average over, and which are left for eq. 3?",
            (
                "`squeeze(x)` is b c, and `self.down` and `self.up` act on its last axis. Where"
                " does the ReLU stand, and what keeps the gains between 0 and 1?"
            ),
            (
                "attention: sigmoid of self.up of the relu of self.down of squeeze(x)\n"
                'forward: x times the gains, as "b c -> b c 1 1"'
            ),
        ),
        minutes=8,
        difficulty=2,
        otherwise=(ExciteLoops, ExciteFunctional, ExciteConvolutions),
        laws=(
            "examples_do_not_mix",
            "gains_are_themselves",
            "gains_scale_x",
            "gains_reach_their_channel",
            "gains_lie_between_0_and_1",
            "gains_come_from_the_means",
            "logits_are_right",
            "pixels_are_all_alike",
        ),
    ),
    Exercise(
        id="channel.added_parameters",
        solution=added_parameters,
        probes={"added_parameters": ""},
        trials=count_trials,
        slips=(
            one_layer,
            biases_forgotten,
            biases_always,
            biases_of_up_alone,
            biases_of_down_alone,
            two_c_biases,
            one_bias_each,
            one_block_a_stage,
            last_stage_alone,
            first_stage_alone,
            not_reduced,
            as_wide_as_the_channels,
            reduced_twice,
            width_not_squared,
            multiplied_by_r,
            reduction_ignored,
            biases_once_a_stage,
            true_division,
        ),
        hints=(
            "What shape has the weight of `down`, what shape that of `up`?",
            (
                "m x c and c x m with m = c / reduction; with `bias` m and c numbers more. So"
                " much for one block: sum over the blocks of each stage, then over the stages."
            ),
            "for blocks, c in stages: total += blocks * (2 c m + (c + m if bias))",
        ),
        minutes=4,
        difficulty=1,
        otherwise=(count_by_layer, count_by_module, count_by_equation),
    ),
    Exercise(
        id="channel.residual",
        solution=residual,
        probes={"residual": "b c h w"},
        trials=residual_trials,
        slips=(
            *family(
                residual_recipe,
                standard=(
                    standard_is_post,
                    standard_gates_the_sum,
                    standard_gates_the_shortcut,
                    standard_without_shortcut,
                    standard_relu_too_early,
                    standard_gains_squared,
                    standard_gate_of_x,
                    standard_rectified_branch,
                    standard_without_the_shortcuts_layer,
                ),
                pre=(
                    pre_is_standard,
                    pre_gates_both,
                    pre_without_shortcut,
                    pre_relu_too_early,
                    pre_rectified_branch,
                    pre_without_the_shortcuts_layer,
                ),
                post=(
                    post_before_the_relu,
                    post_is_standard,
                    post_gates_the_branch,
                    post_without_the_shortcuts_layer,
                    post_without_relu,
                    post_relu_twice,
                ),
                identity=(
                    identity_is_standard,
                    identity_gates_both,
                    identity_before_the_shortcut,
                    identity_without_branch,
                    identity_relu_too_early,
                    identity_gates_the_branch_too,
                    identity_without_the_shortcuts_layer,
                ),
                paired=(
                    standard_gates_the_sum,
                    standard_relu_too_early,
                    standard_gains_squared,
                    pre_gates_both,
                    pre_relu_too_early,
                    post_before_the_relu,
                    post_without_relu,
                    identity_gates_both,
                    identity_before_the_shortcut,
                    identity_relu_too_early,
                ),
            ),
            pre_and_post_exchanged,
            standard_and_identity_exchanged,
            standard_and_pre_exchanged,
            standard_and_post_exchanged,
            placement_ignored,
            shortcut_ignored,
            no_relu_anywhere,
            no_gate,
            never_added,
        ),
        hints=(
            "Draw the block: x, the branch F, the sum, the ReLU. On which arrow is the gate?",
            (
                "standard: between F and the sum. pre: between x and F, and not on the"
                " shortcut. post: behind the ReLU. identity: between the shortcut and the sum."
            ),
            (
                "standard  relu(shortcut(x) + gate(branch(x)))\n"
                "pre       relu(shortcut(x) + branch(gate(x)))\n"
                "post      gate(relu(shortcut(x) + branch(x)))\n"
                "identity  relu(gate(shortcut(x)) + branch(x))"
            ),
        ),
        minutes=8,
        difficulty=2,
        otherwise=(residual_by_match, residual_by_table),
        refuses=refused_placements,
        laws=("gate_stands_where_it_should", "examples_do_not_mix"),
        skip=frozenset({"large"}),
    ),
    Exercise(
        id="channel.placement_of",
        solution=placement_of,
        probes={"placement_of": ""},
        trials=probe_trials,
        slips=(
            SILENT_PROBE,
            steady_probe_alone,
            names_of_standard_and_pre,
            names_of_post_and_identity,
            names_of_standard_and_identity,
            names_of_pre_and_post,
            gate_that_does_nothing,
            NOTHING_OF_X,
            constant_not_apart,
            linear_branch,
            gate_that_adds,
            branch_that_halves,
            nothing_for_none,
            always_one_of_four,
        ),
        hints=(
            "With a branch that returns 0, what is left of x in each of the four?",
            (
                "Let the gate halve and x be 1. F = 0 leaves 1, 1, 1/2, 1/2: the gate is on x's"
                " way or not. F = 1 adds 1/2, 1, 1/2, 1: it is on the branch's way out or not."
            ),
            (
                "silent = block(1, F = 0, gate = half)\n"
                "steady = block(1, F = 1, gate = half) - silent\n"
                "(1, 1/2) standard, (1, 1) pre, (1/2, 1/2) post, (1/2, 1) identity,\n"
                'else "none of the four"'
            ),
        ),
        minutes=8,
        difficulty=3,
        otherwise=(placement_by_zero, placement_by_elimination),
    ),
    Exercise(
        id="channel.gather",
        solution=gather,
        probes={"gather": "b c u v"},
        trials=gather_trials,
        slips=(
            *family(
                gather_recipe,
                local=(
                    border_counted,
                    separate_blocks,
                    one_pixel_more,
                    every_pixel,
                    largest_nearby,
                    sum_nearby,
                    samples,
                    extent_is_the_window,
                    window_of_3,
                    mirrored,
                    as_many_parts,
                    parts_of_the_map,
                    border_continued,
                    border_from_the_other_side,
                    resized,
                    from_the_other_end,
                    last_pixel_missed,
                    rows_and_columns_exchanged,
                    rows_only,
                    channels_averaged_too,
                    whole_map_too_early,
                    extent_1_is_the_whole,
                ),
                global_=(largest_of_the_map, axes_dropped, map_kept),
            ),
            *(
                replace(
                    slip(step),
                    answer=gather_recipe(local=step),
                    ways=(where_it_fits(step),),
                )
                for step in (separate_blocks_cut, no_margin, middle_of_the_blocks)
            ),
        ),
        hints=(
            "Extent 2, around pixel 4 of a row: which pixels are nearer than 2? And around 0?",
            (
                "3, 4 and 5: a window of 2 extent - 1. Around 0 only 0 and 1: what lies beyond"
                " the border counts neither as a value nor as a pixel. The means stand at 0,"
                " extent, 2 extent, …"
            ),
            (
                "no extent: reduce to b c 1 1\n"
                "else F.avg_pool2d(x, 2 reach - 1, extent, reach - 1,"
                " count_include_pad=False),\n"
                "with reach = the extent, or the larger side of the map if that is less"
            ),
        ),
        minutes=10,
        difficulty=3,
        otherwise=(gather_loops, gather_by_matrices, gather_by_division),
        laws=("examples_do_not_mix", "pixels_of_the_mean", "a_mean_keeps_what_is_even"),
    ),
    Exercise(
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
    ),
    Exercise(
        id="channel.eca",
        solution=ECA,
        probes={"attention": "b c", "forward": "b c h w"},
        trials=eca_trials,
        blank=("attention", "forward"),
        slips=family(
            eca_recipe,
            squeezing=(
                largest_for_the_mean,
                sum_for_the_mean,
                images_mixed,
                mean_and_largest,
                squeezed_after_relu,
            ),
            exciting=(
                along_the_batch,
                kernel_turned,
                as_a_ring,
                ends_repeated,
                ends_mirrored,
                weights_as_shares,
                looking_ahead,
                looking_back,
                means_rectified,
                rectified,
                twice_along,
                own_mean_added,
                no_neighbours,
                middle_alone,
            ),
            gating=(
                no_sigmoid,
                softmax_over_channels,
                softmax_over_images,
                tanh_for_sigmoid,
                hard_sigmoid,
                sigmoid_twice,
            ),
            scaling=(gains_added, x_added, gains_alone, gains_twice, not_scaled),
        ),
        hints=(
            "nn.Conv1d wants examples, channels, length. Which of b and c is the length here?",
            (
                "c is the length: the list of channels is what the window slides along, and"
                " there is one number at each place of it: b 1 c."
            ),
            (
                'attention: squeeze(x) as "b c -> b 1 c", self.conv, back to b c, sigmoid\n'
                "forward: as in SqueezeExcite"
            ),
        ),
        minutes=5,
        difficulty=2,
        otherwise=(ECALoops, ECAUnfolded, ECAFromTheRelease),
        laws=(
            "examples_do_not_mix",
            "gains_are_themselves",
            "gains_scale_x",
            "gains_reach_their_channel",
            "gains_lie_between_0_and_1",
            "gains_come_from_the_means",
            "logits_are_right",
            "pixels_are_all_alike",
        ),
    ),
]
