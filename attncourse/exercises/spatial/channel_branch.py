"""The record of `spatial.channel_branch`."""

import torch
from einops import reduce, repeat
from torch.nn import functional as F

from attncourse.exercises.families import family
from attncourse.exercises.record import Exercise, Trial
from attncourse.exercises.spatial.shared import as_it_is, pooled, rectified_end, squashed_early
from solutions.spatial import (
    ChannelBranch,
)


def branch_trials():
    def trial(name, reduction, evaluate=True, **sizes):
        init = dict(channels=sizes["c"], reduction=reduction)
        return Trial(name, sizes, dict(x="b c h w"), init, evaluate)

    return (
        trial("in evaluation mode", 2, b=2, c=6, h=5, w=7),
        trial("in training mode", 2, False, b=5, c=8, h=3, w=4),
        trial("on a single pixel", 3, b=2, c=9, h=1, w=1),
    )


def by_mean(x):
    return pooled(x, "mean")


def norm_then_relu(self, z):
    return self.norm(z).relu()


def branch_recipe(pooling=by_mean, middle=norm_then_relu, down=None, ending=as_it_is):
    """`ChannelBranch` with some of its steps replaced."""

    class Answer(ChannelBranch):
        def forward(self, x):
            z = self.down(pooling(x)) if down is None else down(self, pooling(x))
            return ending(self, self.up(middle(self, z)))

    return Answer


def by_max(x):
    """You pool by the largest value. BAM pools by the mean alone."""
    return pooled(x, "max")


def by_mean_and_max(x):
    """You add mean and largest value. BAM pools by the mean alone; CBAM takes both, each
    through the MLP."""
    return pooled(x, "mean") + pooled(x, "max")


def by_sum(x):
    """You sum over the pixels. It is the mean: divide by their number."""
    return pooled(x, "sum")


def rectified_mean(x):
    """You apply a ReLU to the means. The ReLU comes after `self.norm`."""
    return pooled(x, "mean").relu()


def over_the_batch(x):
    """You pool over the batch as well: all images get the same logits."""
    return repeat(reduce(x, "b c h w -> c", "mean"), "c -> b c", b=len(x))


def relu_without_norm(self, z):
    """The normalisation is missing: `self.norm` comes after `self.down`."""
    return z.relu()


def relu_then_norm(self, z):
    """ReLU and normalisation are exchanged: first `self.norm`, then the ReLU."""
    return self.norm(z.relu())


def norm_without_relu(self, z):
    """The ReLU is missing. It comes after `self.norm`."""
    return self.norm(z)


def neither_norm_nor_relu(self, z):
    """Normalisation and ReLU are both missing between the two layers."""
    return z


def norm_twice(self, z):
    """You normalise twice. Once, after `self.down`."""
    return self.norm(self.norm(z)).relu()


def sigmoid_between(self, z):
    """Between the layers you have a sigmoid. It is a ReLU."""
    return self.norm(z).sigmoid()


def leaky_between(self, z):
    """Between the layers you have a leaky ReLU. It is a plain one."""
    return F.leaky_relu(self.norm(z))


def norm_over_features(self, z):
    """You normalise each image over its m numbers, as a LayerNorm. BatchNorm normalises each
    number over the batch: call `self.norm`."""
    n = self.norm
    return F.layer_norm(z, n.weight.shape, n.weight, n.bias).relu()


def norm_without_weights(self, z):
    """Weight and bias of `self.norm` are left out: call the layer."""
    n = self.norm
    return F.batch_norm(z, n.running_mean, n.running_var, training=n.training).relu()


def own_batch_statistics(self, z):
    """You normalise by the statistics of the batch even in evaluation. Call `self.norm`."""
    return F.batch_norm(z, None, None, self.norm.weight, self.norm.bias, True).relu()


def kept_statistics(self, z):
    """You normalise by the running statistics even while training. Call `self.norm`."""
    n = self.norm
    return F.batch_norm(z, n.running_mean, n.running_var, n.weight, n.bias).relu()


def down_without_bias(self, z):
    """The bias of `self.down` is left out: call the layer."""
    return F.linear(z, self.down.weight)


def up_without_bias(self, y):
    """The bias of `self.up` is left out: call the layer."""
    return y - self.up.bias


class EachPoolThrough(ChannelBranch):
    """You send mean and largest value through the layers and add, as CBAM does. BAM takes the
    mean alone."""

    def forward(self, x):
        zs = pooled(x, "mean"), pooled(x, "max")
        return sum(self.up(self.norm(self.down(z)).relu()) for z in zs)


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
    slips=(
        *family(
            branch_recipe,
            paired=(by_max, relu_without_norm, squashed_early),
            pooling=(by_max, by_mean_and_max, by_sum, over_the_batch, rectified_mean),
            middle=(
                relu_without_norm,
                relu_then_norm,
                norm_without_relu,
                neither_norm_nor_relu,
                norm_twice,
                sigmoid_between,
                leaky_between,
                norm_over_features,
                norm_without_weights,
                own_batch_statistics,
                kept_statistics,
            ),
            down=(down_without_bias,),
            ending=(squashed_early, rectified_end, up_without_bias),
        ),
        EachPoolThrough,
    ),
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
