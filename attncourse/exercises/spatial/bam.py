"""BAM: both branches see x, and together say how much of x is added to it."""

import torch

from attncourse.exercises.edits import often, wrong
from attncourse.exercises.record import Exercise, Trial
from attncourse.exercises.spatial.shared import SQUASHES
from solutions.spatial import BAM


def bam_trials():
    def trial(name, combine, evaluate=True, **sizes):
        init = dict(channels=sizes["c"], reduction=2, dilation=2, combine=combine)
        return Trial(name, sizes, dict(x="b c h w"), init, evaluate)

    return (
        trial("with the sum", "sum", b=2, c=4, h=5, w=7),
        trial("with the sum, in training mode", "sum", False, b=3, c=6, h=4, w=5),
        trial("with the product", "product", b=2, c=8, h=1, w=3),
    )


# fmt: off
EITHER = 'what + where if self.combine == "sum" else what * where'

BRANCHES = (
    wrong("InSequence", "self.spatial(x)", "self.spatial(x * what.sigmoid())",
          "Your spatial branch sees x as the channels have scaled it. In BAM both branches see x."),
    wrong("Turned", "self.spatial(x)", "self.spatial(x.mT).mT",
          "Rows and columns are exchanged before the spatial branch. It sees x as it is."),
)

COMBINATIONS = (
    *often(
        wrong("each_squashed_and_multiplied", f"({EITHER}).sigmoid()",
              "what.sigmoid() * where.sigmoid()",
              "You squash each branch and multiply the gains, as CBAM's gates do. BAM combines the"
              " logits and squashes once."),
    ),
    wrong("each_squashed_and_added", "(what + where", "(what.sigmoid() + where.sigmoid()",
          "You squash each branch and add the gains. BAM adds the logits and squashes once.",
          ("what * where).sigmoid()", "what.sigmoid() * where.sigmoid())")),
    wrong("each_squashed_before", '"b c -> b c 1 1")', '"b c -> b c 1 1").sigmoid()',
          "You squash each branch, and what you combine once more. BAM combines the logits and"
          " squashes once.",
          ('"b h w -> b 1 h w")', '"b h w -> b 1 h w").sigmoid()')),
    wrong("gains_in_the_product", f"({EITHER}).sigmoid()",
          '(what + where).sigmoid() if self.combine == "sum" else what.sigmoid() * where.sigmoid()',
          'With "product" you multiply the gains, each squashed by itself. It is the logits that are'
          " multiplied, and squashed once."),
    wrong("sum_always", EITHER, "what + where",
          '`self.combine` is not looked at: with "product" the logits are multiplied.'),
    wrong("ways_exchanged", "self.combine ==", "self.combine !=",
          'Sum and product are exchanged: with "sum" the logits are added.'),
    wrong("product_as_released", EITHER, "what * where",
          "You multiply the logits whatever `combine` says, as BAM's released code does. With"
          ' "sum" they are added, as in the paper (eq. 2).'),
)

MAPS = (
    wrong("shares", ".sigmoid()", ".flatten(1).softmax(-1).reshape(x.shape)",
          "You take a softmax: gains that sum to 1. Each gain stands for itself: a sigmoid."),
    wrong("OneIncluded", ".sigmoid()", ".sigmoid() + 1",
          "Your map holds 1 + σ: it should be in (0, 1), and `forward` adds x itself.",
          ("x + x * self", "x * self")),
    wrong("RaisedAlready", "return (what", "return x + x * (what",
          "Your `attention` returns y. It returns the map, in (0, 1); `forward` does the rest.",
          ("x + x * self", "self")),
)

SUMS = (
    *often(
        wrong("no_residual", "x + x * self", "x * self",
              "You leave out x itself: BAM adds the scaled x to it, y = x + x M."),
        wrong("map_added", "x + x * self", "x + self",
              "You add the map to x. It scales x first: y = x + x M."),
    ),
    wrong("doubled_gain", "x + x * self", "2 * x * self",
          "You scale x by 2 M. It is x + x M: between once and twice."),
    wrong("map_alone", "x + x * self", "self",
          "You return the map. It scales x: y = x + x M."),
)
# fmt: on


class BAMLoops(BAM):
    def attention(self, x):
        what, where = self.channel(x), self.spatial(x)
        maps = []
        for c in range(x.shape[1]):
            z = what[:, c, None, None] + where
            maps.append(z if self.combine == "sum" else what[:, c, None, None] * where)
        return torch.sigmoid(torch.stack(maps, 1))

    def forward(self, x):
        return (1 + self.attention(x)) * x


class BAMEinsum(BAM):
    def attention(self, x):
        what, where = self.channel(x), self.spatial(x)
        if self.combine == "product":
            return torch.einsum("bc,bhw->bchw", what, where).sigmoid()
        return torch.sigmoid(what[..., None, None].expand(x.shape) + where.unsqueeze(1))

    def forward(self, x):
        return torch.addcmul(x, x, self.attention(x))


EXERCISE = Exercise(
    id="spatial.bam",
    solution=BAM,
    probes={"attention": "b c h w", "forward": "b c h w"},
    trials=bam_trials,
    blank=("attention", "forward"),
    slips=(*BRANCHES, *COMBINATIONS, *SQUASHES, *MAPS, *SUMS),
    hints=(
        "One branch gives b c, the other b h w. How do they become one map b c h w?",
        "By broadcasting: b c 1 1 and b 1 h w. They are logits, so combine first and squash"
        ' once. The map says how much of x is added to x. With "product" they multiply.',
        'attention: channel(x) as b c 1 1, spatial(x) as b 1 h w; sum ("product": product);'
        " sigmoid\nforward: x + x times attention(x)",
    ),
    minutes=8,
    difficulty=2,
    otherwise=(BAMLoops, BAMEinsum),
    laws=(
        "examples_do_not_mix",
        "gains_are_themselves",
        "logits_are_right",
        "nothing_comes_of_nothing",
        "between_once_and_twice",
        "gains_in_range",
    ),
)
