"""The record of `spatial.gala`."""

import torch
from einops import rearrange
from torch.nn import functional as F

from attncourse.exercises.families import also, family, named
from attncourse.exercises.record import Exercise, Trial
from attncourse.exercises.spatial.shared import (
    APPLYING,
    by_sigmoid,
    over_channels,
    over_pixels,
    plain,
    pooled,
    times,
)
from solutions.spatial import (
    GALA,
)


def gala_trials():
    def trial(name, reduction, **sizes):
        init = dict(channels=sizes["c"], reduction=reduction)
        return Trial(name, sizes, dict(x="b c h w"), init)

    return (
        trial("on two images", 2, b=2, c=6, h=5, w=7),
        trial("on maps of 1 x 4", 4, b=3, c=8, h=1, w=4),
        trial("on a single pixel", 3, b=2, c=9, h=1, w=1),
    )


def a_mean(x):
    return pooled(x, "mean")


def rectified_middle(z):
    return z.relu()


def local_middle(z):
    return z.relu()


def signed(z):
    return z


def sum_and_product(g, p, a, m):
    return a * (g + p) + m * g * p


def by_hyperbola(z):
    return z.tanh()


def gala_recipe(
    pooling=a_mean,
    widening=rectified_middle,
    local=local_middle,
    globally=signed,
    locally=signed,
    joining=sum_and_product,
    squashing=by_hyperbola,
    applying=times,
):
    """`GALA` with some of its steps replaced."""

    class Answer(GALA):
        def channels(self, x):
            return globally(self.up(widening(self.down(pooling(x)))))

        def pixels(self, x):
            return rearrange(locally(self.collapse(local(self.shrink(x)))), "b 1 h w -> b h w")

        def attention(self, x):
            g, p = over_pixels(self.channels(x)), over_channels(self.pixels(x))
            a, m = (rearrange(w, "c -> c 1 1") for w in (self.additive, self.multiplicative))
            return squashing(joining(g, p, a, m))

        def forward(self, x):
            return applying(x, self.attention(x))

    return Answer


def a_max(x):
    """You pool by the largest value. GALA's global branch takes the mean."""
    return pooled(x, "max")


def a_sum(x):
    """You sum over the pixels. It is their mean."""
    return pooled(x, "sum")


def global_relu_missing(z):
    """The ReLU between `self.down` and `self.up` is missing."""
    return z


def local_relu_missing(z):
    """The ReLU between `self.shrink` and `self.collapse` is missing."""
    return z


def global_rectified(z):
    """A ReLU follows `self.up`: what the image says of a channel loses its sign."""
    return z.relu()


def global_squashed(z):
    """You squash the global branch by a sigmoid. It is squashed together with the other, once,
    by tanh."""
    return z.sigmoid()


def local_rectified(z):
    """A ReLU follows `self.collapse`: what a pixel says of itself loses its sign."""
    return z.relu()


def local_centred(z):
    """You take the mean off what the pixels say. It stays as it is."""
    return z - z.mean((-2, -1), keepdim=True)


def local_squashed(z):
    """You squash the local branch by a sigmoid. It is squashed together with the other, once,
    by tanh."""
    return z.sigmoid()


def sum_alone(g, p, a, m):
    """The product is missing: m g l is added to a (g + l)."""
    return a * (g + p) + 0 * m


def product_alone(g, p, a, m):
    """The sum is missing: a (g + l) is added to m g l."""
    return m * g * p + 0 * a


def shares_exchanged(g, p, a, m):
    """The shares are exchanged: `self.additive` belongs to the sum, `self.multiplicative` to
    the product."""
    return m * (g + p) + a * g * p


def shares_left_out(g, p, a, m):
    """The shares of the channels are left out: a (g + l) + m g l."""
    return g + p + g * p + 0 * (a + m)


def additive_on_global_alone(g, p, a, m):
    """The share of the sum belongs to both terms: a (g + l). You have a g + l."""
    return a * g + p + m * g * p


def each_its_share(g, p, a, m):
    """You give one share to g and the other to l. They belong to sum and product: a (g + l) +
    m g l."""
    return a * g + m * p


def terms_subtracted(g, p, a, m):
    """You subtract the product. It is added: a (g + l) + m g l."""
    return a * (g + p) - m * g * p


def terms_multiplied(g, p, a, m):
    """You multiply the two terms. They are added: a (g + l) + m g l."""
    return a * (g + p) * m * g * p


def product_in_the_sum(g, p, a, m):
    """You multiply the product by both shares: a (g + l + m g l). It is a (g + l) + m g l."""
    return a * (g + p + m * g * p)


@also(squashing=plain)
def each_term_squashed(g, p, a, m):
    """You squash sum and product each by tanh and add: gains reach 2. Add first, then
    squash."""
    return (a * (g + p)).tanh() + (m * g * p).tanh()


@also(squashing=by_hyperbola)
def branches_squashed(g, p, a, m):
    """You squash g and l by tanh before they are combined. Combine first, then squash once."""
    return sum_and_product(g.tanh(), p.tanh(), a, m)


def squared_sum(g, p, a, m):
    """Your second term is m (g + l)². It is the product: m g l."""
    return a * (g + p) + m * (g + p).square()


def local_subtracted(g, p, a, m):
    """You subtract l from g. They are added: a (g + l) + m g l."""
    return a * (g - p) + m * g * p


def one_share_for_all(g, p, a, m):
    """All channels have the same share. Each has its own: `self.additive` and
    `self.multiplicative` hold c numbers, `c -> c 1 1`."""
    return sum_and_product(g, p, a.mean(), m.mean())


def pixels_averaged(g, p, a, m):
    """In the product l is averaged over the pixels. Each pixel keeps its own: m g l."""
    return a * (g + p) + m * g * p.mean((2, 3), keepdim=True)


def shares_squashed(g, p, a, m):
    """You squash the shares. They are plain numbers: a (g + l) + m g l."""
    return a.sigmoid() * (g + p) + m.sigmoid() * g * p


def global_left_out(g, p, a, m):
    """The global branch plays no part in your map: a (g + l) + m g l."""
    return a * p + m * p + 0 * g


def local_left_out(g, p, a, m):
    """The local branch plays no part in your map: a (g + l) + m g l."""
    return a * g + m * g + 0 * p


def not_squashed(z):
    """The tanh is missing: your gains are any numbers. They are in (-1, 1)."""
    return z


def from_0_to_1(z):
    """You bring tanh to (0, 1). Its negative half is meant: a gain may turn the sign."""
    return (z.tanh() + 1) / 2


def lifted_tanh(z):
    """You add 1 to the gains. They are tanh alone, in (-1, 1)."""
    return 1 + z.tanh()


def half_tanh(z):
    """You take 2 σ(z) - 1, which is tanh(z / 2). It is tanh(z), which is 2 σ(2 z) - 1."""
    return (z / 2).tanh()


def by_absolute_tanh(z):
    """You take the absolute value of the gains. They may turn the sign."""
    return z.tanh().abs()


def rectified_tanh(z):
    """You cut negative gains off. They may turn the sign."""
    return z.tanh().relu()


SQUASHED_AS_RELEASED = named(
    "squashed_as_released",
    "You squash by a sigmoid, as GALA's released code does unless told otherwise. The paper has"
    " tanh, so that a gain may turn the sign.",
    gala_recipe(squashing=by_sigmoid),
    variant=True,
)


class NotCollapsed(gala_recipe()):
    """You average the maps of `self.shrink`. `self.collapse` weighs them."""

    def pixels(self, x):
        return self.shrink(x).relu().mean(1)


class CollapsedBySum(gala_recipe()):
    """You sum the maps of `self.shrink`. `self.collapse` weighs them."""

    def pixels(self, x):
        return self.shrink(x).relu().sum(1)


class CollapsedByMax(gala_recipe()):
    """You take the largest of the maps of `self.shrink`. `self.collapse` weighs them."""

    def pixels(self, x):
        return self.shrink(x).relu().amax(1)


class PixelsAfterChannels(gala_recipe()):
    """Your pixels see x as the channels have scaled it. In GALA both see x."""

    def attention(self, x):
        g = over_pixels(self.channels(x))
        p = over_channels(self.pixels(x * g))
        a, m = (rearrange(w, "c -> c 1 1") for w in (self.additive, self.multiplicative))
        return sum_and_product(g, p, a, m).tanh()


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
    slips=(
        *family(
            gala_recipe,
            paired=(sum_alone, shares_exchanged, not_squashed, local_relu_missing),
            pooling=(a_max, a_sum),
            widening=(global_relu_missing,),
            local=(local_relu_missing,),
            globally=(global_rectified, global_squashed),
            locally=(local_rectified, local_squashed, local_centred),
            joining=(
                sum_alone,
                product_alone,
                shares_exchanged,
                shares_left_out,
                additive_on_global_alone,
                each_its_share,
                terms_subtracted,
                terms_multiplied,
                product_in_the_sum,
                each_term_squashed,
                branches_squashed,
                squared_sum,
                local_subtracted,
                one_share_for_all,
                pixels_averaged,
                shares_squashed,
                global_left_out,
                local_left_out,
            ),
            squashing=(
                not_squashed,
                from_0_to_1,
                lifted_tanh,
                half_tanh,
                by_absolute_tanh,
                rectified_tanh,
            ),
            applying=APPLYING,
        ),
        NotCollapsed,
        CollapsedBySum,
        CollapsedByMax,
        PixelsAfterChannels,
        SQUASHED_AS_RELEASED,
    ),
    hints=(
        "g says something of each channel, l of each pixel. Which combination of the two is"
        " like BAM's, which like CBAM's?",
        "The sum is like BAM, the product like CBAM; each channel has its share of both. a"
        " and m have one number a channel: `c -> c 1 1` meets b c h w.",
        "channels: up(relu(down(mean of x)))     pixels: collapse(relu(shrink(x)))\n"
        "attention: tanh of a (g + l) + m g l, with g b c 1 1 and l b 1 h w\n"
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
