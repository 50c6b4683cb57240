"""The record of `spatial.spatial_branch`."""

import torch
from einops import rearrange
from torch.nn import functional as F

from attncourse.exercises.families import family
from attncourse.exercises.record import Exercise, Trial
from attncourse.exercises.spatial.shared import as_it_is, rectified_end, squashed_early
from solutions.spatial import (
    SpatialBranch,
)


def pixel_branch_trials():
    def trial(name, dilation, evaluate=True, **sizes):
        init = dict(channels=sizes["c"], reduction=2, dilation=dilation)
        return Trial(name, sizes, dict(x="b c h w"), init, evaluate)

    return (
        trial("in evaluation mode", 2, b=2, c=6, h=5, w=7),
        trial("in training mode", 1, False, b=3, c=4, h=6, w=5),
        trial("on maps of 1 x 9 with dilation 4", 4, b=2, c=8, h=1, w=9),
    )


def in_turn(self):
    return self.down, self.near, self.far


def own_norms(self, number):
    return self.norms[number]


def normed(norm, z):
    return norm(z).relu()


def one_after_the_other(self, x, step, layers):
    for number, layer in enumerate(layers):
        x = step(number, layer(x))
    return x


def pixel_branch_recipe(
    taking=in_turn,
    norming=own_norms,
    stepping=normed,
    running=one_after_the_other,
    ending=as_it_is,
):
    """`SpatialBranch` with some of its steps replaced."""

    class Answer(SpatialBranch):
        def forward(self, x):
            def step(number, z):
                return stepping(norming(self, number), z)

            y = self.out(running(self, x, step, taking(self)))
            return rearrange(ending(self, y), "b 1 h w -> b h w")

    return Answer


def far_left_out(self):
    """`self.far` is left out: two dilated convolutions follow each other."""
    return self.down, self.near


def near_left_out(self):
    """`self.near` is left out: two dilated convolutions follow each other."""
    return self.down, self.far


def far_before_near(self):
    """`self.far` comes before `self.near`. It is the other way round."""
    return self.down, self.far, self.near


def near_twice(self):
    """`self.near` is applied twice and `self.far` not at all."""
    return self.down, self.near, self.near


def no_dilated_layers(self):
    """Both dilated convolutions are left out: no pixel sees a neighbour."""
    return (self.down,)


def first_norm_for_all(self, number):
    """One normalisation serves all layers. Each has its own: `self.norms[0]`, `[1]`, `[2]`."""
    return self.norms[0]


def norms_backwards(self, number):
    """The normalisations are taken in reverse order."""
    return self.norms[2 - number]


def pixel_no_norm(norm, z):
    """The normalisations are missing: each of the three layers is followed by its own."""
    return z.relu()


def pixel_no_relu(norm, z):
    """The ReLUs are missing: each of the three layers is followed by normalisation and ReLU."""
    return norm(z)


def pixel_relu_first(norm, z):
    """ReLU and normalisation are exchanged: first the normalisation, then the ReLU."""
    return norm(z.relu())


def pixel_batch_statistics(norm, z):
    """You normalise by the statistics of the batch even in evaluation. Call the layers in
    `self.norms`."""
    return F.batch_norm(z, None, None, norm.weight, norm.bias, True).relu()


def pixel_kept_statistics(norm, z):
    """You normalise by the running statistics even while training. Call the layers in
    `self.norms`."""
    n = norm
    return F.batch_norm(z, n.running_mean, n.running_var, n.weight, n.bias).relu()


def pixel_layers_alone(norm, z):
    """Normalisations and ReLUs are both missing: then the four layers are one."""
    return z


def side_by_side(self, x, step, layers):
    """The two dilated convolutions run side by side and are added. They follow each other."""
    first, *rest = layers
    x = step(0, first(x))
    return sum(step(n, layer(x)) for n, layer in enumerate(rest, start=1))


def with_shortcuts(self, x, step, layers):
    """You add the input of each dilated convolution to its output. There are no shortcuts."""
    first, *rest = layers
    x = step(0, first(x))
    for n, layer in enumerate(rest, start=1):
        x = x + step(n, layer(x))
    return x


def last_relu_missing(self, x, step, layers):
    """The last ReLU is missing: all three layers have normalisation and ReLU."""
    *rest, last = layers
    x = one_after_the_other(self, x, step, rest)
    return self.norms[len(rest)](last(x))


def last_norm_missing(self, x, step, layers):
    """The last normalisation is missing: all three layers have normalisation and ReLU."""
    *rest, last = layers
    return last(one_after_the_other(self, x, step, rest)).relu()


def middle_norm_missing(self, x, step, layers):
    """The normalisation after `self.near` is missing: all three layers have their own."""
    for number, layer in enumerate(layers):
        x = layer(x).relu() if number == 1 else step(number, layer(x))
    return x


def first_step_missing(self, x, step, layers):
    """Normalisation and ReLU after `self.down` are missing: all three layers have them."""
    for number, layer in enumerate(layers):
        x = step(number, layer(x)) if number else layer(x)
    return x


def dilation_ignored(self, x, step, layers):
    """The convolutions are not dilated: call `self.near` and `self.far`, which are."""
    first, *rest = layers
    x = step(0, first(x))
    for n, layer in enumerate(rest, start=1):
        x = step(n, F.conv2d(x, layer.weight, layer.bias, padding=1))
    return x


def last_norm_alone(self, x, step, layers):
    """You normalise once, at the end. Each of the three layers is followed by its own
    normalisation, as released; the paper's text has one a branch."""
    *rest, last = layers
    for layer in rest:
        x = layer(x).relu()
    return self.norms[len(rest)](last(x)).relu()


def border_repeated_twice(self, x, step, layers):
    """Beyond the border you repeat the last pixels. There are zeros: call the layers."""
    for number, layer in enumerate(layers):
        z = F.pad(x, [layer.padding[0]] * 4, mode="replicate")
        z = F.conv2d(z, layer.weight, layer.bias, dilation=layer.dilation)
        x = step(number, z)
    return x


def far_undilated(self, x, step, layers):
    """`self.far` is not dilated in your network. Both 3x3 convolutions are: leave `__init__` as
    it is, and call them."""
    for number, layer in enumerate(layers):
        wide = number < 2
        z = layer(x) if wide else F.conv2d(x, layer.weight, layer.bias, padding=1)
        x = step(number, z)
    return x


def centred_end(self, y):
    """You take the mean off the map. The logits stay as they are."""
    return y - y.mean((-1, -2), keepdim=True)


def bias_of_out_missing(self, y):
    """The bias of `self.out` is left out: call the layer."""
    return y - self.out.bias


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
    slips=family(
        pixel_branch_recipe,
        paired=(first_norm_for_all, pixel_no_relu, squashed_early),
        taking=(
            far_left_out,
            near_left_out,
            far_before_near,
            near_twice,
            no_dilated_layers,
        ),
        norming=(first_norm_for_all, norms_backwards),
        stepping=(
            pixel_no_norm,
            pixel_no_relu,
            pixel_relu_first,
            pixel_layers_alone,
            pixel_batch_statistics,
            pixel_kept_statistics,
        ),
        running=(
            side_by_side,
            with_shortcuts,
            last_relu_missing,
            last_norm_missing,
            middle_norm_missing,
            first_step_missing,
            dilation_ignored,
            last_norm_alone,
            border_repeated_twice,
            far_undilated,
        ),
        ending=(squashed_early, rectified_end, centred_end, bias_of_out_missing),
    ),
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
