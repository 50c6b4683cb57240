"""Squeeze-and-excitation: one gain a channel, and the maps it scales (eqs. 2 to 4)."""

import torch
from torch.nn import functional as F

from attncourse.exercises.channel.shared import GATES, SCALES, SQUEEZES
from attncourse.exercises.edits import often, wrong
from attncourse.exercises.record import Exercise, Trial
from solutions.channel import SqueezeExcite


def trials():
    def trial(name, bias, reduction, **sizes):
        init = dict(channels=sizes["c"], reduction=reduction, bias=bias)
        return Trial(name, sizes, dict(x="b c h w"), init)

    return (
        trial("without biases", False, 3, b=2, c=12, h=5, w=7, m=4),
        trial("with biases", True, 2, b=3, c=10, h=2, w=4, m=5),
        trial("on maps of one pixel", True, 1, b=4, c=3, h=1, w=1),
    )


# fmt: off
MORE_SQUEEZES = (
    wrong("one_pixel_for_all", "squeeze(x)", "x[:, :, 0, 0]",
          "You squeeze by one pixel, at h = 0, w = 0. Average over all of them: `squeeze(x)`."),
)

LAYERS = (
    *often(
        wrong("no_relu", ".relu()", "",
              "Your two layers act as one linear map: the ReLU between them is missing."),
        wrong("relu_at_the_end", "self.down(z).relu())", "self.down(z)).relu()",
              "Your ReLU stands after `up`. It stands between the layers; after the second comes"
              " the sigmoid alone."),
        wrong("sigmoid_inside", ".relu()", ".sigmoid()",
              "There is a sigmoid between the layers. Eq. 3 has a ReLU there."),
        wrong("weights_without_biases", "self.up(self.down(z).relu())",
              "F.linear(F.linear(z, self.down.weight).relu(), self.up.weight)",
              "The biases are left out: call the layers, not only their weights."),
    ),
    wrong("layers_left_out", "self.up(self.down(z).relu())", "z",
          "The two layers are not used: each channel is gated by its own mean. Let the channels"
          " talk to each other: up(relu(down(z)))."),
    wrong("one_weight_for_both", "self.up(self.down(z).relu())",
          "F.linear(self.down(z).relu(), self.down.weight.T, self.up.bias)",
          "You go up by the weights of `down`, transposed. `up` has weights of its own."),
    wrong("EveryPixelExcited", "z = squeeze(x)\nreturn self.up(self.down(z).relu()).sigmoid()",
          't = self.up(self.down(rearrange(x, "b c h w -> b h w c")).relu())\n'
          "return t.mean((1, 2)).sigmoid()",
          "You excite every pixel and average afterwards. Squeeze first: the ReLU of a mean is not"
          " the mean of ReLUs."),
    wrong("EveryPixelGated", "z = squeeze(x)\nreturn self.up(self.down(z).relu()).sigmoid()",
          't = self.up(self.down(rearrange(x, "b c h w -> b h w c")).relu())\n'
          "return t.sigmoid().mean((1, 2))",
          "You gate every pixel and average the gains afterwards. Squeeze first: one vector an"
          " image goes through the layers."),
)

MORE_GATES = (
    wrong("straight_line", ".sigmoid()", ".add(0.5).clamp(0, 1)",
          "Your gains are t + 1/2, cut off at 0 and 1. Eq. 3 has a sigmoid."),
    wrong("one_more", ".sigmoid()", ".sigmoid() + 1",
          "You add 1 to the gains. Eq. 3 gives them in (0, 1)."),
    wrong("halved", ".sigmoid()", ".sigmoid() / 2 + 0.5",
          "Your gains run from 1/2 to 1: half of a sigmoid, and 1/2 more. Eq. 3 is the sigmoid"
          " itself."),
    wrong("turned_round", ".sigmoid()", ".neg().sigmoid()",
          "Your gains are turned round: 1 where they should be 0. Is there a minus too many?"),
)

MORE_SCALES = (
    wrong("divided_by_gains", "x * rearrange", "x / rearrange",
          "You divide by the gains. Eq. 4 multiplies."),
    wrong("means_scaled", "x * rearrange",
          "x.mean((-2, -1), keepdim=True).expand_as(x) * rearrange",
          "You scale the means instead of the maps. Eq. 4 scales x itself, b c h w."),
    wrong("relu_on_top", 'x * rearrange(self.attention(x), "b c -> b c 1 1")',
          '(x * rearrange(self.attention(x), "b c -> b c 1 1")).relu()',
          "There is a ReLU on the scaled maps. Eq. 4 is the product alone."),
    wrong("means_taken_off", "x * rearrange", "(x - x.mean((-2, -1), keepdim=True)) * rearrange",
          "You take the mean off each map before you scale it. Eq. 4 scales x itself."),
    wrong("gains_not_returned_as_vector", 'x * rearrange(self.attention(x), "b c -> b c 1 1")',
          "self.attention(x)",
          "You return the gains themselves, b c. `forward` scales x with them: b c h w."),
)
# fmt: on


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


def undivided_channels():
    init = dict(channels=7, reduction=3)
    return (Trial("7 channels and reduction=3", dict(b=2, h=3, w=5), dict(x="b 7 h w"), init),)


EXERCISE = Exercise(
    id="channel.squeeze_excite",
    solution=SqueezeExcite,
    probes={"attention": "b c", "forward": "b c h w"},
    trials=trials,
    blank=("attention", "forward"),
    slips=(*SQUEEZES, *MORE_SQUEEZES, *LAYERS, *GATES, *MORE_GATES, *SCALES, *MORE_SCALES),
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
    refuses=undivided_channels,
)
