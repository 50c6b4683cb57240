"""Of several exercises of the chapter: channel."""

import torch
from einops import rearrange, reduce, repeat
from torch.nn import functional as F

from attncourse.exercises.edits import often, wrong
from solutions.channel import (
    squeeze,
)


def largest(x):
    """You take the largest value of each map. Eq. 2 takes the mean."""
    return reduce(x, "b c h w -> b c", "max")


def summed(x):
    """You sum each map. Eq. 2 divides by h w: a mean."""
    return reduce(x, "b c h w -> b c", "sum")


def same_for_all_images(x):
    """You average over b as well, so that every image gets the same vector. Average over h and
    w only."""
    return repeat(reduce(x, "b c h w -> c", "mean"), "c -> b c", b=len(x))


def magnitudes(x):
    """You average the magnitudes. Eq. 2 averages the values, with their signs."""
    return reduce(x.abs(), "b c h w -> b c", "mean")


def after_a_relu(x):
    """You cut off negative values before you average. Eq. 2 averages x as it is."""
    return reduce(x.relu(), "b c h w -> b c", "mean")


def half_way(x):
    """You take the median of each map. Eq. 2 takes the mean."""
    return rearrange(x, "b c h w -> b c (h w)").median(-1).values


def gate(t):
    return t.sigmoid()


def scale(x, s):
    return x * rearrange(s, "b c -> b c 1 1")


def largest_for_the_mean(x):
    """You squeeze by the largest value of each map. Eq. 2 takes the mean: `squeeze(x)`."""
    return largest(x)


def sum_for_the_mean(x):
    """You squeeze by the sum of each map. Eq. 2 takes the mean: `squeeze(x)`."""
    return summed(x)


def images_mixed(x):
    """All images of a batch get the same gains. Average over h and w only, not over b."""
    return same_for_all_images(x)


def squeezed_after_relu(x):
    """You cut off negative values before you squeeze. Eq. 2 averages x as it is."""
    return after_a_relu(x)


def mean_and_largest(x):
    """You add the largest value of each map to its mean, as the next chapter does. Here it is
    the mean alone: `squeeze(x)`."""
    return squeeze(x) + largest(x)


def no_sigmoid(t):
    """Your gains leave (0, 1). The last step of eq. 3 is a sigmoid."""
    return t


def softmax_over_channels(t):
    """You take a softmax over c: the channels compete, and the gains of an image sum to 1. Eq.
    3 has a sigmoid, for each channel alone."""
    return t.softmax(-1)


def softmax_over_images(t):
    """You take a softmax over b, the images. Eq. 3 has a sigmoid, for each number alone."""
    return t.softmax(0)


def tanh_for_sigmoid(t):
    """Your gains run from -1 to 1: a tanh. Eq. 3 ends in a sigmoid."""
    return t.tanh()


def hard_sigmoid(t):
    """Your gains are a hard sigmoid, made of straight lines, as in MobileNetV3. Eq. 3 has the
    smooth one."""
    return F.hardsigmoid(t)


def sigmoid_twice(t):
    """You take the sigmoid twice: your gains lie between 1/2 and 0.73. Once is enough."""
    return t.sigmoid().sigmoid()


def gains_added(x, s):
    """You add the gains to x. Eq. 4 multiplies."""
    return x + rearrange(s, "b c -> b c 1 1")


def x_added(x, s):
    """You add x to the scaled maps. Eq. 4 is s x alone; the sum belongs to the residual
    block."""
    return x + scale(x, s)


def gains_alone(x, s):
    """You return the gains, spread over the map. Eq. 4 multiplies x with them."""
    return rearrange(s, "b c -> b c 1 1").expand_as(x)


def gains_twice(x, s):
    """You scale by the gains twice. Once is enough."""
    return scale(scale(x, s), s)


def not_scaled(x, s):
    """You return x as it came. Eq. 4 multiplies it with the gains."""
    return x.clone()


def whole(x, extent):
    return reduce(x, "b c h w -> b c 1 1", "mean")


def separate_blocks(x, extent):
    """You average separate blocks of extent x extent. The means overlap: all pixels nearer than
    the extent count, a window of 2 extent - 1."""
    rest = [(-n) % extent for n in x.shape[-2:]]
    ones = F.pad(torch.ones_like(x), (0, rest[1], 0, rest[0]))
    total = F.avg_pool2d(F.pad(x, (0, rest[1], 0, rest[0])), extent, divisor_override=1)
    return total / F.avg_pool2d(ones, extent, divisor_override=1)


def gather_loops(x, extent=None):
    h, w = x.shape[-2:]
    if extent is None:
        return torch.stack([torch.stack([m.mean() for m in image]) for image in x])[
            ..., None, None
        ]
    rows = []
    for u in range(0, h, extent):
        row = []
        for v in range(0, w, extent):
            near = x[
                :, :, max(u - extent + 1, 0) : u + extent, max(v - extent + 1, 0) : v + extent
            ]
            row.append(near.mean((2, 3)))
        rows.append(torch.stack(row, -1))
    return torch.stack(rows, -2)


def gather_by_matrices(x, extent=None):
    def means(n):
        i, u = (
            torch.arange(n, device=x.device),
            torch.arange(0, n, extent or n, device=x.device),
        )
        near = ((i[None] - u[:, None]).abs() < (extent or n)).to(x)
        return near / near.sum(-1, keepdim=True)

    return means(x.shape[-2]) @ x @ means(x.shape[-1]).T


# fmt: off
GATES = (
    *often(
        wrong("no_sigmoid", ".sigmoid()", "",
              "Your gains leave (0, 1). The last step of eq. 3 is a sigmoid."),
        wrong("softmax_over_channels", ".sigmoid()", ".softmax(-1)",
              "You take a softmax over c: the channels compete, and the gains of an image sum to 1."
              " Eq. 3 has a sigmoid, for each channel alone."),
        wrong("tanh_for_sigmoid", ".sigmoid()", ".tanh()",
              "Your gains run from -1 to 1: a tanh. Eq. 3 ends in a sigmoid."),
        wrong("hard_sigmoid", ".sigmoid()", ".add(3).clamp(0, 6) / 6",
              "Your gains are a hard sigmoid, made of straight lines, as in MobileNetV3. Eq. 3 has"
              " the smooth one."),
    ),
    wrong("softmax_over_images", ".sigmoid()", ".softmax(0)",
          "You take a softmax over b, the images. Eq. 3 has a sigmoid, for each number alone."),
    wrong("sigmoid_twice", ".sigmoid()", ".sigmoid().sigmoid()",
          "You take the sigmoid twice: your gains lie between 1/2 and 0.73. Once is enough."),
)

SCALES = (
    *often(
        wrong("gains_added", "x * rearrange", "x + rearrange",
              "You add the gains to x. Eq. 4 multiplies."),
        wrong("x_added", "x * rearrange", "x + x * rearrange",
              "You add x to the scaled maps. Eq. 4 is s x alone; the sum belongs to the residual"
              " block."),
        wrong("gains_alone", 'x * rearrange(self.attention(x), "b c -> b c 1 1")',
              'rearrange(self.attention(x), "b c -> b c 1 1").expand_as(x)',
              "You return the gains, spread over the map. Eq. 4 multiplies x with them."),
    ),
    wrong("gains_twice", "x * rearrange(self.attention(x), \"b c -> b c 1 1\")",
          'x * rearrange(self.attention(x), "b c -> b c 1 1") ** 2',
          "You scale by the gains twice. Once is enough."),
    wrong("not_scaled", 'x * rearrange(self.attention(x), "b c -> b c 1 1")', "x.clone()",
          "You return x as it came. Eq. 4 multiplies it with the gains."),
)
# fmt: on
