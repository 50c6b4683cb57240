"""DANet's channel attention: a feature map gathers from others, by a map of c x c."""

import torch
from torch.nn import functional as F

from attncourse.exercises.edits import often, wrong
from attncourse.exercises.non_local.shared import GAMMA
from attncourse.exercises.record import Exercise, Given, Trial
from solutions.non_local import ChannelAttention


def channel_trials():
    def trial(name, released, times, **sizes):
        c = sizes["c"]
        dice = torch.Generator().manual_seed(c)
        shape = [sizes[a] for a in "bchw"]
        x = times * torch.randn(shape, generator=dice, dtype=torch.float64)
        sizes |= dict(i=c, j=c)
        return Trial(name, sizes, dict(x=Given("b c h w", x)), dict(released=released))

    return (
        trial("with released=False", False, 0.4, b=2, c=7, h=3, w=5),
        trial("with released=True", True, 0.3, b=3, c=4, h=5, w=2),
        trial("with released=False, on other sizes", False, 0.3, b=2, c=5, h=7, w=1),
    )


def many_pixels():
    """Sums of 3,000 products, which half precision rounds to multiples of 2."""
    dice = torch.Generator().manual_seed(1)
    one = torch.randn(2, 1, 50, 60, generator=dice, dtype=torch.float64)
    more = torch.randn(2, 4, 50, 60, generator=dice, dtype=torch.float64)
    x = Given("b c h w", one + 0.02 * more)
    sizes = dict(b=2, c=4, h=50, w=60, i=4, j=4)
    return Trial("on many pixels", sizes, dict(x=x), dict(released=False))


# fmt: off
ENERGIES = (
    wrong("energy_averaged", 'b i j")', 'b i j") / maps.shape[-1]',
          "You divide by the number of pixels. The products are summed over the pixels, not"
          " averaged."),
    wrong("energy_scaled", 'b i j")', 'b i j") / math.sqrt(maps.shape[-1])',
          "You divide by the root of the number of pixels, as in scaled attention. DANet does"
          " not scale."),
    wrong("pixels_as_channels", 'maps = rearrange(x, "b c ... -> b c (...)")',
          'maps = rearrange(x, "b c ... -> b (...) c").reshape(len(x), x.shape[1], -1)',
          "You reshape b c h w to b c (h w) after moving the axes: the numbers of different channels"
          " get mixed."),
    wrong("energy_of_unit_maps", "energy = einsum",
          "maps = F.normalize(maps, dim=-1)\nenergy = einsum",
          "You divide each feature map by its length (cosine). The products are plain."),
    wrong("energy_of_centred_maps", "energy = einsum",
          "maps = maps - maps.mean(-1, keepdim=True)\nenergy = einsum",
          "You take the mean off each feature map (a covariance). The products are plain."),
    wrong("correlations", "energy = einsum",
          "maps = F.normalize(maps - maps.mean(-1, keepdim=True), dim=-1)\nenergy = einsum",
          "You compare centred maps of length 1 (correlations). The products are plain."),
    wrong("means_compared", "energy = einsum",
          "maps = maps.mean(-1, keepdim=True)\nenergy = einsum",
          "You compare the means of the feature maps. Products are taken pixel by pixel, then"
          " summed."),
)

SHARES = (
    wrong("over_the_other_channels", ".softmax(-1)", ".softmax(-2)",
          "Your softmax runs over the first of the two channel axes. Each channel i divides"
          " its weight among the channels j, the last axis."),
    wrong("flag_ignored", "(-energy if self.released else energy)", "energy",
          "With released=True you have softmax(E) still: is `released` looked at? It is"
          " softmax(max − E). E − max or max + E is no other softmax than that of E."),
    wrong("flag_turned", "-energy if self.released else energy",
          "energy if self.released else -energy",
          "The two readings have changed places: the paper's is softmax(E), the released code's"
          " softmax(max − E)."),
    wrong("only_subtracted", "(-energy if self.released else energy).softmax(-1)",
          "(energy.amax(-1, keepdim=True) - energy if self.released else energy.softmax(-1))",
          "With released=True you subtract from the maximum and leave out the softmax."),
    wrong("one_minus_shares", "(-energy if self.released else energy).softmax(-1)",
          "(1 - energy.softmax(-1) if self.released else energy.softmax(-1))",
          "With released=True you take 1 − softmax(E). The released code takes the softmax of max −"
          " E: its rows sum to 1."),
    wrong("maximum_of_columns", "-energy if", "energy.amax(-2, keepdim=True) - energy if",
          "With released=True you take the maximum over the first of the two channel axes. It is"
          " that of the row, over the last axis."),
    wrong("released_code_always", "(-energy if self.released else energy)", "(-energy)",
          "This is the released code's softmax(max − E), whatever `released` says: a channel"
          " gathers from those least like it. With released=False it is the paper's softmax(E)."),
)

MIXTURES = (
    wrong("channels_transposed", "self.attention(x) @", "self.attention(x).mT @",
          "You mix with the transposed map: sum over the channels j, its last axis."),
)
# fmt: on


class ChannelByBmm(ChannelAttention):
    def attention(self, x):
        a = x.flatten(2).to(torch.promote_types(x.dtype, torch.float32))
        e = torch.bmm(a, a.transpose(1, 2))
        if self.released:
            e = e.max(-1, keepdim=True)[0].expand_as(e) - e
        return torch.softmax(e, dim=-1).to(x.dtype)

    def forward(self, x):
        y = torch.bmm(self.attention(x), x.flatten(2)).view(x.shape)
        return x + y * self.gamma


class ChannelByEinsum(ChannelAttention):
    def attention(self, x):
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        e = torch.einsum("bi...,bj...->bij", wide, wide)
        e = torch.stack([e[:, i] for i in range(x.shape[1])], 1)
        a = F.softmin(e, dim=2) if self.released else F.softmax(e, dim=2)
        return a.to(x.dtype)

    def forward(self, x):
        return self.gamma * torch.einsum("bij,bj...->bi...", self.attention(x), x) + x


EXERCISE = Exercise(
    id="non_local.channel_attention",
    solution=ChannelAttention,
    probes={"attention": "b i j", "forward": "b c h w"},
    trials=channel_trials,
    half=many_pixels,
    blank=("attention", "forward"),
    slips=often(*ENERGIES, *SHARES, *MIXTURES, *GAMMA),
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
    tied=("c i j",),
)
