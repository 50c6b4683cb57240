"""The record of `channel.squeeze_excite`."""

import torch
from einops import rearrange, reduce
from torch.nn import functional as F

from attncourse.exercises.channel.shared import (
    gains_added,
    gains_alone,
    gains_twice,
    gate,
    half_way,
    hard_sigmoid,
    images_mixed,
    largest_for_the_mean,
    magnitudes,
    mean_and_largest,
    no_sigmoid,
    not_scaled,
    scale,
    sigmoid_twice,
    softmax_over_channels,
    softmax_over_images,
    squeezed_after_relu,
    sum_for_the_mean,
    tanh_for_sigmoid,
    x_added,
)
from attncourse.exercises.families import family
from attncourse.exercises.record import Exercise, Trial
from solutions.channel import (
    SqueezeExcite,
    squeeze,
)


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


def excite_recipe(squeezing=squeeze, exciting=two_layers, gating=gate, scaling=scale):
    """`SqueezeExcite` with some of its steps replaced."""

    class Answer(SqueezeExcite):
        def attention(self, x):
            return gating(exciting(self, squeezing(x)))

        def forward(self, x):
            return scaling(x, self.attention(x))

    return Answer


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


def relu_for_sigmoid(t):
    """Your gains are a ReLU, without an upper bound. Eq. 3 ends in a sigmoid."""
    return t.relu()


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


EXERCISE = Exercise(
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
)
