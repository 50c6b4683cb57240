"""The record of `channel.eca`."""

import torch
from einops import rearrange
from torch.nn import functional as F

from attncourse.exercises.channel.shared import (
    gains_added,
    gains_alone,
    gains_twice,
    gate,
    hard_sigmoid,
    images_mixed,
    largest_for_the_mean,
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
    ECA,
    squeeze,
)


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


EXERCISE = Exercise(
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
)
