"""BAM's view of the pixels: a logit for each, through two dilated convolutions."""

import torch
from torch.nn import functional as F

from attncourse.exercises.edits import often, wrong
from attncourse.exercises.record import Exercise, Trial
from attncourse.exercises.spatial.shared import SQUASHED_EARLY
from solutions.spatial import SpatialBranch


def pixel_branch_trials():
    def trial(name, dilation, evaluate=True, **sizes):
        init = dict(channels=sizes["c"], reduction=2, dilation=dilation)
        return Trial(name, sizes, dict(x="b c h w"), init, evaluate)

    return (
        trial("in evaluation mode", 2, b=2, c=6, h=5, w=7),
        trial("in training mode", 1, False, b=3, c=4, h=6, w=5),
        trial("on maps of 1 x 9 with dilation 4", 4, b=2, c=8, h=1, w=9),
    )


# fmt: off
LAYERS = (
    wrong("far_left_out", "self.near, self.far", "self.near",
          "`self.far` is left out: two dilated convolutions follow each other.",
          ("strict=True", "strict=False")),
    wrong("no_dilated_layers", "self.down, self.near, self.far", "self.down,",
          "Both dilated convolutions are left out: no pixel sees a neighbour.",
          ("strict=True", "strict=False")),
    wrong("far_before_near", "self.near, self.far", "self.far, self.near",
          "`self.far` comes before `self.near`. It is the other way round."),
    wrong("side_by_side",
          "for layer, norm in zip(layers, self.norms, strict=True):\n"
          "    x = norm(layer(x)).relu()",
          "x, *both = self.norms[0](self.down(x)).relu(), self.near, self.far\n"
          "x = sum(norm(layer(x)).relu() for layer, norm in zip(both, self.norms[1:]))",
          "The two dilated convolutions run side by side and are added. They follow each other."),
    wrong("with_shortcuts", "x = norm(layer(x)).relu()",
          "y = norm(layer(x)).relu()\n"
          "x = y if layer is self.down else x + y",
          "You add the input of each dilated convolution to its output. There are no shortcuts."),
)

STEPS = (
    *often(
        wrong("first_norm_for_all", "norm(layer(x))", "self.norms[0](layer(x))",
              "One normalisation serves all layers. Each has its own: `self.norms[0]`, `[1]`,"
              " `[2]`."),
        wrong("pixel_no_relu", ".relu()", "",
              "The ReLUs are missing: each of the three layers is followed by normalisation and"
              " ReLU."),
        wrong("squashed_early", '"b 1 h w -> b h w")', '"b 1 h w -> b h w").sigmoid()',
              SQUASHED_EARLY),
    ),
    wrong("norms_backwards", "zip(layers, self.norms", "zip(layers, self.norms[::-1]",
          "The normalisations are taken in reverse order."),
    wrong("last_norm_alone", "norm(layer(x)).relu()",
          "(norm(layer(x)) if layer is self.far else layer(x)).relu()",
          "You normalise once, at the end. Each of the three layers is followed by its own"
          " normalisation, as released; the paper's text has one a branch."),
    wrong("pixel_relu_first", "norm(layer(x)).relu()", "norm(layer(x).relu())",
          "ReLU and normalisation are exchanged: first the normalisation, then the ReLU."),
    wrong("pixel_layers_alone", "norm(layer(x)).relu()", "layer(x)",
          "Normalisations and ReLUs are both missing: then the four layers are one."),
)
# fmt: on


class PixelsWritten(SpatialBranch):
    def forward(self, x):
        x = torch.relu(self.norms[0](self.down(x)))
        x = torch.relu(self.norms[1](self.near(x)))
        x = torch.relu(self.norms[2](self.far(x)))
        return self.out(x)[:, 0]


class PixelsFunctional(SpatialBranch):
    def forward(self, x):
        d = self.near.dilation[0]
        x = torch.einsum("bchw,mc->bmhw", x, self.down.weight.flatten(1))
        x = F.relu(self.norms[0](x + self.down.bias[:, None, None]))
        for conv, norm in zip((self.near, self.far), list(self.norms)[1:], strict=True):
            x = F.relu(norm(F.conv2d(F.pad(x, [d] * 4), conv.weight, conv.bias, dilation=d)))
        return (x * self.out.weight[0]).sum(1) + self.out.bias


EXERCISE = Exercise(
    id="spatial.spatial_branch",
    solution=SpatialBranch,
    probes={"forward": "b h w"},
    trials=pixel_branch_trials,
    blank=("forward",),
    slips=(*LAYERS, *STEPS),
    hints=(
        "Four layers: 1x1, two dilated 3x3, 1x1. After which of them do normalisation and"
        " ReLU come?",
        "After `down`, `near` and `far`, each with its own of the three `self.norms`; `out`"
        " ends with one map of logits.",
        "for layer, norm in down, near, far with norms 0, 1, 2: x = relu(norm(layer(x)))\n"
        "out(x), b 1 h w -> b h w",
    ),
    minutes=6,
    difficulty=2,
    otherwise=(PixelsWritten, PixelsFunctional),
    laws=("examples_do_not_mix",),
)
