"""The record of `spatial.channel_gate`."""

import torch
from einops import reduce, repeat
from torch.nn import functional as F

from attncourse.exercises.families import family
from attncourse.exercises.record import Exercise, Trial
from attncourse.exercises.spatial.shared import (
    APPLYING,
    SQUASHING,
    over_pixels,
    pooled,
    residual_added,
    times,
)
from solutions.spatial import (
    ChannelGate,
)


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


def given_pools(self):
    return self.pools


def whole_mlp(self, z):
    return self.up(self.down(z).relu())


def logits_added(self, zs, mlp):
    return sum(mlp(self, z) for z in zs).sigmoid()


def channel_recipe(
    choosing=given_pools,
    pooling=pooled,
    feeding=whole_mlp,
    joining=logits_added,
    squashing=None,
    applying=times,
):
    """`ChannelGate` with some of its steps replaced."""

    class Answer(ChannelGate):
        def attention(self, x):
            zs = [pooling(x, pool) for pool in choosing(self)]
            if squashing is not None:
                return squashing(sum(feeding(self, z) for z in zs))
            return joining(self, zs, feeding)

        def forward(self, x):
            return applying(x, over_pixels(self.attention(x)))

    return Answer


def both_always(self):
    """`self.pools` is not looked at: you take mean and max even where only one is asked for."""
    return ("mean", "max")


def mean_always(self):
    """`self.pools` is not looked at: you take the mean alone, as squeeze-and-excitation."""
    return ("mean",)


def max_always(self):
    """`self.pools` is not looked at: you take the largest value alone."""
    return ("max",)


def first_pool_only(self):
    """You use the first of `self.pools` only. The MLP runs for each of them."""
    return self.pools[:1]


def last_pool_only(self):
    """You use the last of `self.pools` only, or return inside the loop. The MLP runs for each
    of them."""
    return self.pools[-1:]


def mean_for_max(x, pool):
    """You pool by the mean every time. "max" is the largest value of the map."""
    return pooled(x, "mean")


def max_for_mean(x, pool):
    """You pool by the largest value every time. "mean" is the mean of the map."""
    return pooled(x, "max")


def min_for_max(x, pool):
    """You take the smallest value where the largest is asked for."""
    return pooled(x, "min" if pool == "max" else pool)


def largest_size(x, pool):
    """You take the largest absolute value. The largest value keeps its sign."""
    return pooled(x.abs(), "max") if pool == "max" else pooled(x, pool)


def sum_for_mean(x, pool):
    """You sum over the pixels where the mean is asked for: divide by their number."""
    return pooled(x, "sum" if pool == "mean" else pool)


def one_image_for_all(x, pool):
    """You pool over the batch as well: all images get the same gains. Each has its own."""
    return repeat(reduce(x, "b c h w -> c", pool), "c -> b c", b=len(x))


def largest_of_row_means(x, pool):
    """You take the largest over one side of the map and the mean over the other. Each pool
    takes in both at once."""
    return reduce(reduce(x, "b c h w -> b c w", pool), "b c w -> b c", "mean")


def largest_row_mean(x, pool):
    """You average each row and take the largest of these means. "max" is the largest value of
    the map."""
    return pooled(x, pool) if pool == "mean" else x.mean(3).amax(2)


def largest_column_mean(x, pool):
    """You average each column and take the largest of these means. "max" is the largest value
    of the map."""
    return pooled(x, pool) if pool == "mean" else x.mean(2).amax(2)


def spread_for_max(x, pool):
    """You take the standard deviation where the largest value is asked for."""
    return x.std((2, 3), unbiased=False) if pool == "max" else pooled(x, pool)


def rectified_pool(x, pool):
    """You apply a ReLU to what is pooled. The first ReLU comes after `self.down`."""
    return pooled(x, pool).relu()


def no_relu(self, z):
    """The ReLU between the two layers is missing: without it they are one."""
    return self.up(self.down(z))


def relu_at_the_end(self, z):
    """You apply a ReLU after `self.up` as well. It belongs between the two layers only."""
    return self.up(self.down(z).relu()).relu()


def relu_after_up(self, z):
    """The ReLU comes after `self.up`. It belongs between the two layers."""
    return self.up(self.down(z)).relu()


def sigmoid_in_the_middle(self, z):
    """Between the two layers you have a sigmoid. There it is a ReLU."""
    return self.up(self.down(z).sigmoid())


def biases_left_out(self, z):
    """The biases are left out: call the layers, not only their weights."""
    return F.linear(F.linear(z, self.down.weight).relu(), self.up.weight)


def pools_added_first(self, zs, mlp):
    """You add mean and max before the MLP. Each goes through it; then the results are added."""
    return mlp(self, sum(zs)).sigmoid()


def pools_averaged_first(self, zs, mlp):
    """You average mean and max before the MLP, as timm's light version does. Each goes through
    it; then the results are added."""
    return mlp(self, sum(zs) / len(zs)).sigmoid()


def logits_averaged(self, zs, mlp):
    """You average what the MLP makes of the pools. It is summed."""
    return (sum(mlp(self, z) for z in zs) / len(zs)).sigmoid()


def logits_multiplied(self, zs, mlp):
    """You multiply what the MLP makes of the pools. It is added."""
    y = mlp(self, zs[0])
    for z in zs[1:]:
        y = y * mlp(self, z)
    return y.sigmoid()


def larger_logit(self, zs, mlp):
    """You take the larger of what the MLP makes of the pools. It is added."""
    return torch.stack([mlp(self, z) for z in zs]).amax(0).sigmoid()


def sigmoids_added(self, zs, mlp):
    """You squash each pool's result and add the gains: they reach 2. Add first, then squash."""
    return sum(mlp(self, z).sigmoid() for z in zs)


def sigmoids_averaged(self, zs, mlp):
    """You squash each pool's result and average the gains. Add first, then squash."""
    return sum(mlp(self, z).sigmoid() for z in zs) / len(zs)


def sigmoids_multiplied(self, zs, mlp):
    """You squash each pool's result and multiply the gains. Add first, then squash."""
    return torch.stack([mlp(self, z).sigmoid() for z in zs]).prod(0)


def logits_subtracted(self, zs, mlp):
    """You subtract what the MLP makes of the one pool from that of the other. They are
    added."""
    first, *rest = (mlp(self, z) for z in zs)
    return (sum(rest) - first if rest else first).sigmoid()


def hidden_added(self, zs, mlp):
    """You add the hidden layers and go up once: the bias of `self.up` counts once instead of
    once for each pool. The whole MLP runs for each."""
    return self.up(sum(self.down(z).relu() for z in zs)).sigmoid()


def mean_not_fed(self, zs, mlp):
    """The mean skips the MLP: you add it to what the MLP makes of the maximum. Each pool goes
    through it."""
    fed = (z if p == "mean" else mlp(self, z) for p, z in zip(self.pools, zs, strict=False))
    return sum(fed).sigmoid()


class GatedTwice(ChannelGate):
    """`forward` gates what it has gated before, with new gains. Once is enough: y = s x."""

    def attention(self, x):
        return logits_added(self, [pooled(x, pool) for pool in self.pools], whole_mlp)

    def forward(self, x):
        x = x * over_pixels(self.attention(x))
        return x * over_pixels(self.attention(x))


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


EXERCISE = Exercise(
    id="spatial.channel_gate",
    solution=ChannelGate,
    probes={"attention": "b c", "forward": "b c h w"},
    trials=channel_trials,
    blank=("attention", "forward"),
    slips=(
        *family(
            channel_recipe,
            paired=(
                pools_added_first,
                logits_averaged,
                no_relu,
                mean_for_max,
                residual_added,
            ),
            choosing=(
                both_always,
                mean_always,
                max_always,
                first_pool_only,
                last_pool_only,
            ),
            pooling=(
                mean_for_max,
                max_for_mean,
                min_for_max,
                largest_size,
                sum_for_mean,
                largest_of_row_means,
                largest_row_mean,
                largest_column_mean,
                spread_for_max,
                one_image_for_all,
                rectified_pool,
            ),
            feeding=(
                no_relu,
                relu_at_the_end,
                relu_after_up,
                sigmoid_in_the_middle,
                biases_left_out,
            ),
            joining=(
                pools_added_first,
                pools_averaged_first,
                logits_averaged,
                logits_multiplied,
                larger_logit,
                sigmoids_added,
                sigmoids_averaged,
                sigmoids_multiplied,
                hidden_added,
                mean_not_fed,
                logits_subtracted,
            ),
            squashing=SQUASHING,
            applying=APPLYING,
        ),
        GatedTwice,
    ),
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
)
