"""BAM's view of the channels: a logit for each, out of its mean over the image."""

import torch
from torch.nn import functional as F

from attncourse.exercises.edits import often, wrong
from attncourse.exercises.record import Exercise, Trial
from attncourse.exercises.spatial.shared import SQUASHED_EARLY
from solutions.spatial import ChannelBranch


def branch_trials():
    def trial(name, reduction, evaluate=True, **sizes):
        init = dict(channels=sizes["c"], reduction=reduction)
        return Trial(name, sizes, dict(x="b c h w"), init, evaluate)

    return (
        trial("in evaluation mode", 2, b=2, c=6, h=5, w=7),
        trial("in training mode", 2, False, b=5, c=8, h=3, w=4),
        trial("on a single pixel", 3, b=2, c=9, h=1, w=1),
    )


# fmt: off
MEANS = (
    *often(
        wrong("by_max", "squeeze(x)", "x.amax((2, 3))",
              "You pool by the largest value. BAM pools by the mean alone."),
    ),
    wrong("by_mean_and_max", "squeeze(x)", "squeeze(x) + x.amax((2, 3))",
          "You add mean and largest value. BAM pools by the mean alone; CBAM takes both, each"
          " through the MLP."),
    wrong("EachPoolThrough", "self.up(self.norm(self.down(squeeze(x))).relu())",
          "sum(\n"
          "    self.up(self.norm(self.down(z)).relu()) for z in (squeeze(x), x.amax((2, 3)))\n"
          ")",
          "You send mean and largest value through the layers and add, as CBAM does. BAM takes the"
          " mean alone."),
)

LAYERS = (
    *often(
        wrong("relu_without_norm", "self.norm(self.down", "self.down",
              "The normalisation is missing: `self.norm` comes after `self.down`.",
              ("(x))).relu", "(x)).relu")),
        wrong("squashed_early", ".relu())", ".relu()).sigmoid()", SQUASHED_EARLY),
    ),
    wrong("neither_norm_nor_relu", "self.norm(self.down(squeeze(x))).relu()",
          "self.down(squeeze(x))",
          "Normalisation and ReLU are both missing between the two layers."),
)
# fmt: on


class BranchLoops(ChannelBranch):
    def forward(self, x):
        z = torch.stack([torch.stack([m.sum() / m.numel() for m in image]) for image in x])
        z = torch.clamp(self.norm(z @ self.down.weight.T + self.down.bias), min=0)
        return torch.einsum("bm,cm->bc", z, self.up.weight) + self.up.bias


class BranchFunctional(ChannelBranch):
    def forward(self, x):
        z = F.adaptive_avg_pool2d(x, 1).flatten(1)
        return F.linear(F.relu(self.norm(self.down(z))), self.up.weight, self.up.bias)


EXERCISE = Exercise(
    id="spatial.channel_branch",
    solution=ChannelBranch,
    probes={"forward": "b c"},
    trials=branch_trials,
    blank=("forward",),
    slips=(*MEANS, *LAYERS),
    hints=(
        "What is the same as in squeeze-and-excitation, and which step is new?",
        "The mean of each map, `self.down`, then normalisation and ReLU, then"
        " `self.up`. The"
        " branch ends with logits: no sigmoid yet.",
        "z = mean of x over h, w\nup(relu(norm(down(z))))",
    ),
    minutes=4,
    difficulty=1,
    otherwise=(BranchLoops, BranchFunctional),
    laws=("examples_do_not_mix",),
)
