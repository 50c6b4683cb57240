"""GALA: what the whole image and what each pixel say, summed and multiplied."""

import torch
from torch.nn import functional as F

from attncourse.exercises.edits import often, published, wrong
from attncourse.exercises.record import Exercise, Trial
from attncourse.exercises.spatial.shared import SCALES
from solutions.spatial import GALA


def gala_trials():
    def trial(name, reduction, **sizes):
        init = dict(channels=sizes["c"], reduction=reduction)
        return Trial(name, sizes, dict(x="b c h w"), init)

    return (
        trial("on two images", 2, b=2, c=6, h=5, w=7),
        trial("on maps of 1 x 4", 4, b=3, c=8, h=1, w=4),
        trial("on a single pixel", 3, b=2, c=9, h=1, w=1),
    )


# fmt: off
BRANCHES = (
    *often(
        wrong("local_relu_missing", "self.shrink(x).relu()", "self.shrink(x)",
              "The ReLU between `self.shrink` and `self.collapse` is missing."),
    ),
    wrong("NotCollapsed", 'rearrange(self.collapse(self.shrink(x).relu()), "b 1 h w -> b h w")',
          "self.shrink(x).relu().mean(1)",
          "You average the maps of `self.shrink`. `self.collapse` weighs them."),
    wrong("CollapsedBySum", 'rearrange(self.collapse(self.shrink(x).relu()), "b 1 h w -> b h w")',
          "self.shrink(x).relu().sum(1)",
          "You sum the maps of `self.shrink`. `self.collapse` weighs them."),
    wrong("CollapsedByMax", 'rearrange(self.collapse(self.shrink(x).relu()), "b 1 h w -> b h w")',
          "self.shrink(x).relu().amax(1)",
          "You take the largest of the maps of `self.shrink`. `self.collapse` weighs them."),
    wrong("PixelsAfterChannels", "self.pixels(x)", "self.pixels(x * g)",
          "Your pixels see x as the channels have scaled it. In GALA both see x."),
    wrong("branches_squashed", '"b c -> b c 1 1")', '"b c -> b c 1 1").tanh()',
          "You squash g and l by tanh before they are combined. Combine first, then squash once.",
          ('"b h w -> b 1 h w")', '"b h w -> b 1 h w").tanh()')),
    wrong("global_left_out", "a * (g + l) + m * g * l", "a * l + m * l",
          "The global branch plays no part in your map: a (g + l) + μ g l."),
    wrong("local_left_out", "(a * (g + l) + m * g * l)", "(a * g + m * g).expand_as(x)",
          "The local branch plays no part in your map: a (g + l) + μ g l."),
)

SHARES = (
    *often(
        wrong("shares_exchanged", "a * (g + l) + m * g * l", "m * (g + l) + a * g * l",
              "The two coefficients are exchanged: `self.additive` belongs to the sum, `self.multiplicative`"
              " to the product."),
    ),
    wrong("shares_left_out", "a * (g + l) + m * g * l", "g + l + g * l",
          "The coefficients of the channels are left out: a (g + l) + μ g l."),
    wrong("additive_on_global_alone", "a * (g + l)", "a * g + l",
          "The coefficient of the sum belongs to both terms: a (g + l). You have a g + l."),
    wrong("each_its_share", "a * (g + l) + m * g * l", "a * g + m * l",
          "You give one coefficient to g and the other to l. They belong to sum and product: a (g + l) +"
          " μ g l."),
    wrong("product_in_the_sum", "a * (g + l) + m * g * l", "a * (g + l + m * g * l)",
          "You multiply the product by both coefficients: a (g + l + μ g l). It is a (g + l) + μ g l."),
    wrong("one_share_for_all", 'rearrange(self.additive, "c -> c 1 1")', "self.additive.mean()",
          "All channels have the same coefficients. Each has its own: `self.additive` and"
          " `self.multiplicative` hold c numbers, `c -> c 1 1`.",
          ('rearrange(self.multiplicative, "c -> c 1 1")', "self.multiplicative.mean()")),
    wrong("shares_squashed", "self.additive,", "self.additive.sigmoid(),",
          "You squash the coefficients. They are plain numbers: a (g + l) + μ g l.",
          ("self.multiplicative,", "self.multiplicative.sigmoid(),")),
)

TERMS = (
    *often(
        wrong("sum_alone", " + m * g * l", "",
              "The product is missing: μ g l is added to a (g + l)."),
    ),
    wrong("product_alone", "a * (g + l) + m", "m",
          "The sum is missing: a (g + l) is added to μ g l."),
    wrong("terms_subtracted", ") + m * g", ") - m * g",
          "You subtract the product. It is added: a (g + l) + μ g l."),
    wrong("terms_multiplied", ") + m * g", ") * m * g",
          "You multiply the two terms. They are added: a (g + l) + μ g l."),
    wrong("squared_sum", "m * g * l", "m * (g + l) ** 2",
          "Your second term is μ (g + l)². It is the product: μ g l."),
    wrong("pixels_averaged", "m * g * l", "m * g * l.mean((2, 3), keepdim=True)",
          "In the product l is averaged over the pixels. Each pixel keeps its own: μ g l."),
)

SQUASHES = (
    published("squashed_as_released", ".tanh()", ".sigmoid()",
              "You squash by a sigmoid, as GALA's released code does unless told otherwise. The"
              " paper has tanh, so that a gain may turn the sign."),
    *often(
        wrong("not_squashed", ".tanh()", "",
              "The tanh is missing: your gains are any numbers. They are in (-1, 1)."),
    ),
    wrong("each_term_squashed", "a * (g + l) + m * g * l", "a * (g + l)).tanh() + (m * g * l",
          "You squash sum and product each by tanh and add: gains reach 2. Add first, then"
          " squash."),
    wrong("from_0_to_1", ".tanh()", ".tanh() / 2 + 0.5",
          "You bring tanh to (0, 1). Its negative half is meant: a gain may turn the sign."),
    wrong("half_tanh", "(a * (g + l) + m * g * l).tanh()",
          "2 * (a * (g + l) + m * g * l).sigmoid() - 1",
          "You take 2 σ(z) - 1, which is tanh(z / 2). It is tanh(z), which is 2 σ(2 z) - 1."),
)
# fmt: on


class GALALoops(GALA):
    def channels(self, x):
        z = torch.stack([torch.stack([m.mean() for m in image]) for image in x])
        return self.up(torch.relu(self.down(z)))

    def pixels(self, x):
        y = torch.einsum("bchw,mc->bmhw", x, self.shrink.weight[:, :, 0, 0])
        y = torch.relu(y + self.shrink.bias[:, None, None])
        return (
            torch.einsum("bmhw,m->bhw", y, self.collapse.weight.flatten()) + self.collapse.bias
        )

    def attention(self, x):
        g, p = self.channels(x), self.pixels(x)
        maps = []
        for c in range(x.shape[1]):
            one = g[:, c, None, None]
            maps.append(self.additive[c] * (one + p) + self.multiplicative[c] * one * p)
        return torch.tanh(torch.stack(maps, 1))

    def forward(self, x):
        return self.attention(x) * x


class GALAEinsum(GALA):
    def channels(self, x):
        return self.up(F.relu(self.down(x.mean(dim=(-2, -1)))))

    def pixels(self, x):
        return self.collapse(F.relu(self.shrink(x))).squeeze(1)

    def attention(self, x):
        g, p = self.channels(x)[..., None, None], self.pixels(x)[:, None]
        a, m = self.additive.view(1, -1, 1, 1), self.multiplicative.view(1, -1, 1, 1)
        return torch.tanh(a * g + a * p + m * (g * p))

    def forward(self, x):
        return torch.mul(x, self.attention(x))


EXERCISE = Exercise(
    id="spatial.gala",
    solution=GALA,
    probes={
        "channels": "b c",
        "pixels": "b h w",
        "attention": "b c h w",
        "forward": "b c h w",
    },
    trials=gala_trials,
    blank=("channels", "pixels", "attention", "forward"),
    slips=(*BRANCHES, *SHARES, *TERMS, *SQUASHES, *SCALES),
    hints=(
        "g says something of each channel, l of each pixel. Which combination of the two is"
        " like BAM's, which like CBAM's?",
        "The sum is like BAM, the product like CBAM; each channel weighs both. a and"
        " μ have one number a channel: `c -> c 1 1` meets b c h w.",
        "channels: up(relu(down(mean of x)))     pixels: collapse(relu(shrink(x)))\n"
        "attention: tanh of a (g + l) + μ g l, with g b c 1 1 and l b 1 h w\n"
        "forward: x times attention(x)",
    ),
    minutes=12,
    difficulty=3,
    otherwise=(GALALoops, GALAEinsum),
    laws=(
        "examples_do_not_mix",
        "gains_are_themselves",
        "logits_are_right",
        "nothing_comes_of_nothing",
        "gains_in_range",
    ),
)
