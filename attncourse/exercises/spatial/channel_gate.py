"""CBAM's channel gate: one MLP for the mean and the largest value of each map."""

import torch
from torch.nn import functional as F

from attncourse.exercises.edits import often, wrong
from attncourse.exercises.record import Exercise, Trial
from attncourse.exercises.spatial.shared import LIFTS, SCALES, SQUASHES
from solutions.spatial import ChannelGate


def channel_trials():
    def trial(name, reduction, pools, evaluate=False, **sizes):
        init = dict(channels=sizes["c"], reduction=reduction, pools=pools)
        return Trial(name, sizes, dict(x="b c h w"), init, evaluate)

    return (
        trial("with mean and max", 2, ("mean", "max"), b=2, c=6, h=5, w=7),
        trial("with the mean alone", 4, ("mean",), b=3, c=8, h=4, w=1),
        trial("with the max alone", 2, ("max",), b=2, c=4, h=3, w=5),
        trial("on a single pixel", 3, ("mean", "max"), b=2, c=9, h=1, w=1),
    )


# fmt: off
CHOICES = (
    wrong("both_always", "in self.pools", 'in ("mean", "max")',
          "`self.pools` is not looked at: you take mean and max even where only one is asked for."),
    wrong("mean_always", "in self.pools", 'in ("mean",)',
          "`self.pools` is not looked at: you take the mean alone, as squeeze-and-excitation."),
    wrong("max_always", "in self.pools", 'in ("max",)',
          "`self.pools` is not looked at: you take the largest value alone."),
    wrong("first_pool_only", "in self.pools", "in self.pools[:1]",
          "You use the first of `self.pools` only. The MLP runs for each of them."),
    wrong("last_pool_only", "in self.pools", "in self.pools[-1:]",
          "You use the last of `self.pools` only, or return inside the loop. The MLP runs for each"
          " of them."),
)

POOLS = (
    *often(
        wrong("mean_for_max", '"b c h w -> b c", pool', '"b c h w -> b c", "mean"',
              'You pool by the mean every time. "max" is the largest value of the map.'),
    ),
    wrong("largest_of_row_means", 'reduce(x, "b c h w -> b c", pool)',
          'reduce(reduce(x, "b c h w -> b c w", pool), "b c w -> b c", "mean")',
          "You take the largest over one side of the map and the mean over the other. Each pool"
          " takes in both at once."),
    wrong("largest_column_mean", 'reduce(x, "b c h w -> b c", pool)',
          'reduce(x.mean(2), "b c w -> b c", pool)',
          'You average each column and take the largest of these means. "max" is the largest value'
          " of the map."),
    wrong("rectified_pool", 'reduce(x, "b c h w -> b c", pool)',
          'reduce(x, "b c h w -> b c", pool).relu()',
          "You apply a ReLU to what is pooled. The first ReLU comes after `self.down`."),
)

LAYERS = (
    *often(
        wrong("no_relu", ".relu()", "",
              "The ReLU between the two layers is missing: without it they are one."),
    ),
    wrong("relu_at_the_end", ".relu()) for", ".relu()).relu() for",
          "You apply a ReLU after `self.up` as well. It belongs between the two layers only."),
    wrong("relu_after_up", ".relu()) for", ").relu() for",
          "The ReLU comes after `self.up`. It belongs between the two layers."),
)

SUMS = (
    *often(
        wrong("pools_added_first", "sum(self.up(self.down(z)", "self.up(self.down(sum(pooled))",
              "You add mean and max before the MLP. Each goes through it; then the results are"
              " added.",
              (".relu()) for z in pooled)", ".relu())")),
        wrong("logits_averaged", "pooled).sigmoid()", "pooled).div(len(self.pools)).sigmoid()",
              "You average what the MLP makes of the pools. It is summed."),
    ),
    wrong("pools_averaged_first", "sum(self.up(self.down(z)",
          "self.up(self.down(sum(pooled) / len(self.pools))",
          "You average mean and max before the MLP, as timm's light version does. Each goes through"
          " it; then the results are added.",
          (".relu()) for z in pooled)", ".relu())")),
    wrong("sigmoids_added", " for z in pooled).sigmoid()", ".sigmoid() for z in pooled)",
          "You squash each pool's result and add the gains: they reach 2. Add first, then squash."),
    wrong("sigmoids_averaged", " for z in pooled).sigmoid()",
          ".sigmoid() for z in pooled) / len(self.pools)",
          "You squash each pool's result and average the gains. Add first, then squash."),
    wrong("sigmoids_multiplied", " for z in pooled).sigmoid()", ".sigmoid() for z in pooled)",
          "You squash each pool's result and multiply the gains. Add first, then squash.",
          ("sum(", "math.prod(")),
    wrong("hidden_added", "sum(self.up(self.down(z).relu()) for z in pooled)",
          "self.up(sum(self.down(z).relu() for z in pooled))",
          "You add the hidden layers and go up once: the bias of `self.up` counts once instead of"
          " once for each pool. The whole MLP runs for each."),
    wrong("mean_not_fed", "self.up(self.down(z).relu()) for z in pooled",
          'z if pool == "mean" else self.up(self.down(z).relu())\n'
          "for pool, z in zip(self.pools, pooled)",
          "The mean skips the MLP: you add it to what the MLP makes of the maximum. Each pool goes"
          " through it."),
)

MORE_SCALES = (
    wrong("GatedTwice", 'return x * rearrange(self.attention(x), "b c -> b c 1 1")',
          'x = x * rearrange(self.attention(x), "b c -> b c 1 1")\n'
          'return x * rearrange(self.attention(x), "b c -> b c 1 1")',
          "`forward` gates what it has gated before, with new gains. Once is enough: y = s x."),
)
# fmt: on


class ChannelLoops(ChannelGate):
    def attention(self, x):
        rows = []
        for image in x:
            total = 0
            for pool in self.pools:
                z = [m.mean() if pool == "mean" else m.max() for m in image]
                total = total + self.up(torch.relu(self.down(torch.stack(z))))
            rows.append(torch.sigmoid(total))
        return torch.stack(rows)

    def forward(self, x):
        return x * self.attention(x)[:, :, None, None]


class ChannelFunctional(ChannelGate):
    def attention(self, x):
        ways = {"mean": F.adaptive_avg_pool2d, "max": F.adaptive_max_pool2d}
        zs = torch.stack([ways[p](x, 1).flatten(1) for p in self.pools])
        hidden = F.relu(F.linear(zs, self.down.weight, self.down.bias))
        return torch.sigmoid(F.linear(hidden, self.up.weight, self.up.bias).sum(0))

    def forward(self, x):
        return torch.einsum("bchw,bc->bchw", x, self.attention(x))


def undivided_channels():
    init = dict(channels=7, reduction=3)
    return (Trial("7 channels and reduction=3", dict(b=2, h=3, w=5), dict(x="b 7 h w"), init),)


EXERCISE = Exercise(
    id="spatial.channel_gate",
    solution=ChannelGate,
    probes={"attention": "b c", "forward": "b c h w"},
    trials=channel_trials,
    blank=("attention", "forward"),
    slips=(*CHOICES, *POOLS, *LAYERS, *SUMS, *SQUASHES, *LIFTS, *SCALES, *MORE_SCALES),
    hints=(
        "Squeeze-and-excitation asks the mean of each map. What does the largest value know"
        " that the mean does not?",
        "The same two layers run once for each pool in `self.pools`; their results"
        " are added"
        " while they are logits, and the sum is squashed. `reduce` takes the name of"
        " a pool.",
        "attention: for each pool: z = reduce(x, b c h w -> b c, pool)\n"
        "    up(relu(down(z))), all added, then sigmoid\n"
        'forward: x times attention(x), "b c -> b c 1 1"',
    ),
    minutes=10,
    difficulty=2,
    otherwise=(ChannelLoops, ChannelFunctional),
    laws=(
        "examples_do_not_mix",
        "gains_are_themselves",
        "logits_are_right",
        "nothing_comes_of_nothing",
        "one_gain_for_each_channel",
    ),
    refuses=undivided_channels,
)
