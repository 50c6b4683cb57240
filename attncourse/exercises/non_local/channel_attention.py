"""The record of `non_local.channel_attention`."""

import math

import torch
from einops import rearrange
from torch.nn import functional as F

from attncourse.exercises.families import family, named
from attncourse.exercises.non_local.shared import (
    blended,
    gamma_and_residual,
    gamma_missing,
    gamma_on_both,
    gamma_on_x,
    gamma_plus_one,
    gamma_sigmoid,
    gamma_tanh,
    gated_by_position,
    gathered_subtracted,
    neither,
    rectified_in_the_end,
    residual_missing,
    x_scaled_by_gathered,
)
from attncourse.exercises.record import Exercise, Given, Trial
from solutions.non_local import (
    ChannelAttention,
)


def channel_trials():
    def trial(name, released, times, **sizes):
        c = sizes["c"]
        dice = torch.Generator().manual_seed(c)
        shape = [sizes[a] for a in "bchw"]
        x = times * torch.randn(shape, generator=dice, dtype=torch.float64)
        sizes |= dict(i=c, j=c)
        return Trial(name, sizes, dict(x=Given("b c h w", x)), dict(released=released))

    return (
        trial("with released=False", False, 0.4, b=2, c=6, h=3, w=5),
        trial("with released=True", True, 0.3, b=3, c=4, h=5, w=2),
        trial("with released=False, on other sizes", False, 0.3, b=2, c=5, h=7, w=1),
    )


def channels_flat(x):
    return rearrange(x, "b c ... -> b c (...)")


def energy(x):
    return x @ x.mT


def shares(self, e):
    return (-e if self.released else e).softmax(-1)


def maps_mixed(weights, x):
    return weights @ x


def channel_recipe(
    reading=channels_flat,
    scoring=energy,
    sharing=shares,
    mixing=maps_mixed,
    ending=gamma_and_residual,
):
    """`ChannelAttention` with some of its steps replaced."""

    class Answer(ChannelAttention):
        def attention(self, x):
            return sharing(self, scoring(reading(x)))

        def forward(self, x):
            return ending(self, mixing(self.attention(x), channels_flat(x)).reshape(x.shape), x)

    return Answer


def pixels_as_channels(x):
    """You reshape b c h w to b c (h w) after moving the axes: the numbers of different channels
    get mixed."""
    return rearrange(x, "b c h w -> b (h w) c").reshape(len(x), x.shape[1], -1)


def energy_averaged(x):
    """You divide by the number of pixels. The products are summed over the pixels, not
    averaged."""
    return x @ x.mT / x.shape[-1]


def energy_scaled(x):
    """You divide by the root of the number of pixels, as in scaled attention. DANet does not
    scale."""
    return x @ x.mT / math.sqrt(x.shape[-1])


def energy_over_root_of_c(x):
    """You divide by sqrt(c). DANet does not scale."""
    return x @ x.mT / math.sqrt(x.shape[-2])


def energy_over_c(x):
    """You divide by the number of channels. DANet does not scale."""
    return x @ x.mT / x.shape[-2]


def energy_of_unit_maps(x):
    """You divide each feature map by its length (cosine). The products are plain."""
    x = F.normalize(x, dim=-1)
    return x @ x.mT


def energy_of_centred_maps(x):
    """You take the mean off each feature map (a covariance). The products are plain."""
    x = x - x.mean(-1, keepdim=True)
    return x @ x.mT


def correlations(x):
    """You compare centred maps of length 1 (correlations). The products are plain."""
    x = F.normalize(x - x.mean(-1, keepdim=True), dim=-1)
    return x @ x.mT


def means_compared(x):
    """You compare the means of the feature maps. Products are taken pixel by pixel, then
    summed."""
    z = x.mean(-1, keepdim=True)
    return z @ z.mT


def over_the_other_channels(self, e):
    """Your softmax runs over the first of the two channel axes. Each channel i shares out over
    the channels j, the last axis."""
    return (-e if self.released else e).softmax(-2)


def channels_in_the_batch(self, e):
    """Your softmax runs over the examples. It runs over the channels j, the last axis."""
    return (-e if self.released else e).softmax(0)


def no_channel_softmax(self, e):
    """The softmax is missing."""
    return -e if self.released else e


def only_subtracted(self, e):
    """With released=True you subtract from the maximum and leave out the softmax."""
    return e.amax(-1, keepdim=True) - e if self.released else e.softmax(-1)


def flag_ignored(self, e):
    """With released=True you have softmax(E) still: is `released` looked at? It is softmax(max
    − E). E − max or max + E is no other softmax than that of E."""
    return e.softmax(-1)


def flag_turned(self, e):
    """The two readings have changed places: the paper's is softmax(E), the released code's
    softmax(max − E)."""
    return (e if self.released else -e).softmax(-1)


def itself_left_out(self, e):
    """You leave out the channel itself. It takes part like any other."""
    e = -e if self.released else e
    eye = torch.eye(e.shape[-1], dtype=torch.bool, device=e.device)
    return e.masked_fill(eye, -math.inf).softmax(-1)


def one_minus_shares(self, e):
    """With released=True you take 1 − softmax(E). The released code takes the softmax of
    max − E: its rows sum to 1."""
    return 1 - e.softmax(-1) if self.released else e.softmax(-1)


def maximum_of_columns(self, e):
    """With released=True you take the maximum over the first of the two channel axes. It is
    that of the row, over the last axis."""
    return (e.amax(-2, keepdim=True) - e).softmax(-1) if self.released else e.softmax(-1)


def absolute_energy(self, e):
    """You take the absolute value of the products. They may be negative, and stay so."""
    return (-e.abs() if self.released else e.abs()).softmax(-1)


def absolute_whatever(self, e):
    """You take the absolute value of the products, and `released` is not looked at."""
    return e.abs().softmax(-1)


def channel_sigmoid(self, e):
    """You take a sigmoid. A softmax shares 1 out among the channels."""
    return (-e if self.released else e).sigmoid()


def squeezed(self, e):
    """You divide by the sum of the products instead of taking a softmax."""
    e = -e if self.released else e
    return e / e.sum(-1, keepdim=True)


def channels_transposed(weights, x):
    """You mix with the transposed map: sum over the channels j, its last axis."""
    return weights.mT @ x


class CodeAlways(ChannelAttention):
    """This is the released code's softmax(max − E), whatever `released` says: a channel gathers
    from those least like it. The paper has softmax(E). A maximum that is there against
    overflow is subtracted from E, and changes nothing."""

    def attention(self, x):
        return (-energy(channels_flat(x))).softmax(-1)


class ChannelByBmm(ChannelAttention):
    def attention(self, x):
        a = x.flatten(2)
        e = torch.bmm(a, a.transpose(1, 2))
        if self.released:
            e = e.max(-1, keepdim=True)[0].expand_as(e) - e
        return torch.softmax(e, dim=-1)

    def forward(self, x):
        y = torch.bmm(self.attention(x), x.flatten(2)).view(x.shape)
        return x + y * self.gamma


class ChannelByEinsum(ChannelAttention):
    def attention(self, x):
        e = torch.einsum("bihw,bjhw->bij", x, x)
        e = torch.stack([e[:, i] for i in range(x.shape[1])], 1)
        return F.softmin(e, dim=2) if self.released else F.softmax(e, dim=2)

    def forward(self, x):
        return self.gamma * torch.einsum("bij,bjhw->bihw", self.attention(x), x) + x


EXERCISE = Exercise(
    id="non_local.channel_attention",
    solution=ChannelAttention,
    probes={"attention": "b i j", "forward": "b c h w"},
    trials=channel_trials,
    blank=("attention", "forward"),
    slips=(
        *family(
            channel_recipe,
            reading=(pixels_as_channels,),
            scoring=(
                energy_averaged,
                energy_scaled,
                energy_over_root_of_c,
                energy_over_c,
                energy_of_unit_maps,
                energy_of_centred_maps,
                correlations,
                means_compared,
            ),
            sharing=(
                over_the_other_channels,
                channels_in_the_batch,
                no_channel_softmax,
                only_subtracted,
                flag_ignored,
                flag_turned,
                itself_left_out,
                one_minus_shares,
                maximum_of_columns,
                absolute_energy,
                absolute_whatever,
                channel_sigmoid,
                squeezed,
            ),
            mixing=(channels_transposed,),
            ending=(
                gamma_missing,
                residual_missing,
                gamma_on_x,
                gamma_on_both,
                blended,
                gated_by_position,
                gamma_sigmoid,
                neither,
                gamma_plus_one,
                gamma_tanh,
                gathered_subtracted,
                rectified_in_the_end,
                x_scaled_by_gathered,
            ),
        ),
        named(
            "released_code_always",
            " ".join(CodeAlways.__doc__.split()),
            CodeAlways,
            variant=True,
        ),
    ),
    hints=(
        "What are the tokens here, and how many features does each have?",
        (
            "The tokens are the c feature maps, each with h w numbers. E is c c: products"
            " summed over the pixels. There are no layers; the values are the maps."
        ),
        (
            'attention: maps "b c (...)"; E = maps mapsᵀ; softmax over the last axis\n'
            "    of E, or of max − E (or −E, the same) if self.released\n"
            "forward: x + gamma (attention @ maps), reshaped to x"
        ),
    ),
    minutes=10,
    difficulty=3,
    otherwise=(ChannelByBmm, ChannelByEinsum),
    laws=("rows_sum_to_one", "scale_is_right", "examples_do_not_mix"),
)
