"""The record of `spatial.spatial_layer`."""

import torch
from einops import rearrange, reduce, repeat
from torch.nn import functional as F

from attncourse.exercises.families import also, family
from attncourse.exercises.record import Exercise, Trial
from attncourse.exercises.spatial.shared import (
    APPLYING,
    SQUASHING,
    by_sigmoid,
    no_sigmoid,
    over_channels,
    residual_added,
    times,
)
from solutions.spatial import (
    SpatialLayer,
)


def layer_trials():
    def trial(name, **sizes):
        return Trial(name, sizes, dict(x="b c h w"))

    return (
        trial("on maps of 6 x 4", b=2, c=3, h=6, w=4),
        trial("on odd maps", b=2, c=3, h=5, w=7),
        trial("on a single pixel", b=2, c=3, h=1, w=1),
    )


def mean_channel(x):
    return reduce(x, "b c h w -> b 1 h w", "mean")


def relus(z):
    return z.relu()


def blocks(z, h, w):
    z = repeat(z, "b 1 h w -> b 1 (h down) (w across)", down=2, across=2)
    return z[..., :h, :w]


def look_then_shrink(self, z, first, second):
    return second(self.shrink(first(self.look(z))))


def smoothed(self, z):
    return self.smooth(z)


def layer_recipe(
    averaging=mean_channel,
    first=relus,
    second=relus,
    chain=look_then_shrink,
    growing=blocks,
    ending=smoothed,
    squashing=by_sigmoid,
    applying=times,
):
    """`SpatialLayer` with some of its steps replaced."""

    class Answer(SpatialLayer):
        def attention(self, x):
            h, w = x.shape[-2:]
            z = growing(chain(self, averaging(x), first, second), h, w)
            return rearrange(squashing(ending(self, z)), "b 1 h w -> b h w")

        def forward(self, x):
            return applying(x, over_channels(self.attention(x)))

    return Answer


def largest_channel(x):
    """You take the largest of the channels. This layer sees their mean alone."""
    return x.amax(1, keepdim=True)


def summed_channels(x):
    """You sum over the channels. It is their mean."""
    return x.sum(1, keepdim=True)


def mean_and_largest_channel(x):
    """You add the largest of the channels to their mean. This layer sees the mean alone."""
    return x.mean(1, keepdim=True) + x.amax(1, keepdim=True)


def first_channel(x):
    """You take the first channel. It is the mean of all."""
    return x[:, :1]


def first_relu_missing(z):
    """The ReLU after `self.look` is missing: without it the two convolutions are one."""
    return z


def second_relu_missing(z):
    """The ReLU after `self.shrink` is missing."""
    return z


def not_cut(z, h, w):
    """On odd maps your gains are one row or column too many, as in the released code: repeat
    every pixel twice, then cut to h and w."""
    return repeat(z, "b 1 h w -> b 1 (h down) (w across)", down=2, across=2)


def tiled(z, h, w):
    """You put the small map twice beside itself. Each pixel becomes a block of 2 x 2: "(h
    down)", with h outside."""
    z = repeat(z, "b 1 h w -> b 1 (down h) (across w)", down=2, across=2)
    return z[..., :h, :w]


def columns_tiled(z, h, w):
    """Your columns lie side by side in two copies. Each pixel becomes a block of 2 x 2:
    "(w across)", with w outside."""
    z = repeat(z, "b 1 h w -> b 1 (h down) (across w)", down=2, across=2)
    return z[..., :h, :w]


def rows_tiled(z, h, w):
    """Your rows lie one below the other in two copies. Each pixel becomes a block of 2 x 2:
    "(h down)", with h outside."""
    z = repeat(z, "b 1 h w -> b 1 (down h) (w across)", down=2, across=2)
    return z[..., :h, :w]


def interpolated_to_the_corners(z, h, w):
    """You interpolate between the pixels of the small map, corners aligned. Each becomes a
    block of 2 x 2."""
    return F.interpolate(z, (h, w), mode="bilinear", align_corners=True)


def interpolated(z, h, w):
    """You interpolate between the pixels of the small map. Each becomes a block of 2 x 2."""
    return F.interpolate(z, (h, w), mode="bilinear")


def exact_neighbour(z, h, w):
    """On odd maps your blocks are uneven ("nearest-exact" to h and w). Repeat every pixel
    twice, then cut to h and w."""
    return F.interpolate(z, (h, w), mode="nearest-exact")


def filled_with_zeros(z, h, w):
    """On odd maps your last row and column are zeros. There the last blocks are cut in two:
    grow to at least h and w, then cut."""
    y = grown_only(z, h, w)[..., :h, :w].clone()
    y[..., h - h % 2 if h > 1 else 1 :, :] = 0
    y[..., w - w % 2 if w > 1 else 1 :] = 0
    return y


def cut_at_the_front(z, h, w):
    """On odd maps you cut the first row and column off. It is the last: [..., :h, :w]."""
    z = repeat(z, "b 1 h w -> b 1 (h down) (w across)", down=2, across=2)
    return z[..., z.shape[-2] - h :, z.shape[-1] - w :]


def spread_with_zeros(z, h, w):
    """You put zeros between the pixels of the small map. Each becomes a block of 2 x 2."""
    y = z.new_zeros(len(z), 1, h, w)
    y[..., ::2, ::2] = z
    return y


def shrink_without_look(self, z, first, second):
    """`self.look`, the 5x5 convolution, is left out."""
    return second(self.shrink(z))


def shrunk_before_look(self, z, first, second):
    """`self.shrink` comes before `self.look`. First the 5x5 on the whole map, then stride 2."""
    return second(self.look(first(self.shrink(z))))


def no_relu_at_all(self, z, first, second):
    """Both ReLUs are missing, after `self.look` and after `self.shrink`."""
    return self.shrink(self.look(z))


def pooled_look(self, z, first, second):
    """You shrink by pooling. `self.shrink`, a convolution with stride 2, does it."""
    return second(F.avg_pool2d(first(self.look(z)), 2, ceil_mode=True))


def largest_look(self, z, first, second):
    """You shrink by the largest of 2 x 2. `self.shrink`, a convolution with stride 2, does
    it."""
    return F.max_pool2d(first(self.look(z)), 2, ceil_mode=True)


def smoothed_twice(self, z):
    """`self.smooth` is applied twice. Once is enough."""
    return self.smooth(self.smooth(z))


def not_smoothed(self, z):
    """`self.smooth`, the last convolution, is left out."""
    return z


def smoothed_small(self, z, first, second):
    return self.smooth(second(self.shrink(first(self.look(z)))))


@also(chain=smoothed_small)
def smoothed_before_growing(self, z):
    """`self.smooth` comes before the map grows again. It comes after, and wears the edges of
    the blocks away."""
    return z


def grown_only(z, h, w):
    return repeat(z, "b 1 h w -> b 1 (h down) (w across)", down=2, across=2)


class CutAfterSmoothing(SpatialLayer):
    """On odd maps you cut after `self.smooth`: the last row and column then see what is cut
    off. Cut before it."""

    def attention(self, x):
        z = grown_only(look_then_shrink(self, mean_channel(x), relus, relus), 0, 0)
        return self.smooth(z)[:, 0, : x.shape[-2], : x.shape[-1]].sigmoid()


def biases_taken_off(self, z):
    """The bias of `self.smooth` is left out: call the layer."""
    return self.smooth(z) - self.smooth.bias


class LayerLoops(SpatialLayer):
    def attention(self, x):
        h, w = x.shape[-2:]
        z = torch.relu(self.shrink(torch.relu(self.look(x.mean(1, keepdim=True)))))
        rows = [torch.stack([z[..., i // 2, j // 2] for j in range(w)], -1) for i in range(h)]
        return torch.sigmoid(self.smooth(torch.stack(rows, -2)))[:, 0]

    def forward(self, x):
        return x * self.attention(x)[:, None]


class LayerInterpolated(SpatialLayer):
    def attention(self, x):
        z = F.relu(self.look(x.mean(1).unsqueeze(1)))
        z = F.interpolate(F.relu(self.shrink(z)), size=x.shape[-2:], mode="nearest")
        return self.smooth(z).squeeze(1).sigmoid()

    def forward(self, x):
        return torch.einsum("bchw,bhw->bchw", x, self.attention(x))


EXERCISE = Exercise(
    id="spatial.spatial_layer",
    solution=SpatialLayer,
    probes={"attention": "b h w", "forward": "b c h w"},
    trials=layer_trials,
    blank=("attention", "forward"),
    slips=(
        CutAfterSmoothing,
        *family(
            layer_recipe,
            paired=(first_relu_missing, second_relu_missing, no_sigmoid, residual_added),
            averaging=(
                largest_channel,
                summed_channels,
                mean_and_largest_channel,
                first_channel,
            ),
            first=(first_relu_missing,),
            second=(second_relu_missing,),
            chain=(
                shrink_without_look,
                shrunk_before_look,
                no_relu_at_all,
                pooled_look,
                largest_look,
            ),
            growing=(
                not_cut,
                tiled,
                rows_tiled,
                columns_tiled,
                interpolated,
                interpolated_to_the_corners,
                exact_neighbour,
                cut_at_the_front,
                filled_with_zeros,
                spread_with_zeros,
            ),
            ending=(
                not_smoothed,
                smoothed_before_growing,
                smoothed_twice,
                biases_taken_off,
            ),
            squashing=SQUASHING,
            applying=APPLYING,
        ),
    ),
    hints=(
        "A map of 5 x 7 shrinks by stride 2 to 3 x 4. How large is it after every pixel has"
        " become a block of 2 x 2, and how large should it be?",
        "Mean over the channels; `look`, ReLU; `shrink`, ReLU; each pixel repeated"
        " twice down"
        " and twice across (`repeat` with brackets), cut to h and w; `smooth`; sigmoid.",
        "z = relu(shrink(relu(look(mean of x over c)))), b 1 h w\n"
        "z = repeat b 1 h w -> b 1 (h down) (w across), twice each, then [..., :h, :w]\n"
        "sigmoid of smooth(z), b h w; forward: x times it",
    ),
    minutes=10,
    difficulty=2,
    otherwise=(LayerLoops, LayerInterpolated),
    laws=(
        "examples_do_not_mix",
        "gains_are_themselves",
        "logits_are_right",
        "nothing_comes_of_nothing",
        "one_gain_for_each_pixel",
    ),
)
