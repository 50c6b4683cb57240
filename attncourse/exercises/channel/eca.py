"""ECA: gains from the means of neighbouring channels (eqs. 9 and 12 of ECA-Net)."""

import torch
from torch.nn import functional as F

from attncourse.exercises.channel.shared import GATES, SCALES, SQUEEZES
from attncourse.exercises.edits import often, wrong
from attncourse.exercises.record import Exercise, Trial
from solutions.channel import ECA, squeeze


def trials():
    def trial(name, window, **sizes):
        init = dict(channels=sizes["c"], window=window)
        return Trial(name, sizes, dict(x="b c h w"), init)

    return (
        trial("with a window of 3", 3, b=2, c=6, h=5, w=7),
        trial("with a window of 5", 5, b=4, c=9, h=3, w=2),
        trial("with the window of 64 channels", None, b=2, c=64, h=3, w=1),
        trial("with the window of 128 channels", None, b=2, c=128, h=1, w=3),
    )


# fmt: off
NEIGHBOURS = (
    wrong("along_the_batch", '"b c -> b 1 c"', '"b c -> c 1 b"',
          "Your convolution runs along b: images mix. It runs along c: b 1 c.",
          ('"b 1 c -> b c"', '"c 1 b -> b c"')),
    wrong("rectified", ".sigmoid()", ".relu().sigmoid()",
          "There is a ReLU after the convolution: no gain can fall below 1/2. The sigmoid"
          " comes at once."),
    wrong("no_neighbours", "self.conv(z)", "z",
          "The convolution is not used: each channel is gated by its own mean."),
    wrong("middle_alone", "self.conv(z)",
          "z * self.conv.weight[..., self.conv.kernel_size[0] // 2]",
          "You use the middle weight alone: no channel hears of its neighbours."),
    wrong("looking_ahead", "self.conv(z)",
          "F.conv1d(F.pad(z, (0, self.conv.kernel_size[0] - 1)), self.conv.weight)",
          "Your window looks ahead: it begins at the channel itself. It has the channel in its"
          " middle: pad both ends by half of it."),
    wrong("looking_back", "self.conv(z)",
          "F.conv1d(F.pad(z, (self.conv.kernel_size[0] - 1, 0)), self.conv.weight)",
          "Your window looks back: it ends at the channel itself. It has the channel in its middle:"
          " pad both ends by half of it."),
)
# fmt: on


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
    trials=trials,
    blank=("attention", "forward"),
    slips=often(*SQUEEZES, *NEIGHBOURS, *GATES, *SCALES),
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
