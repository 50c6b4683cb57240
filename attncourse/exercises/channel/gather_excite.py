"""Gather-excite: every channel at every place scaled by what is gathered around it."""

import torch
from torch.nn import functional as F

from attncourse.exercises.channel.shared import gather_by_matrices, gather_loops
from attncourse.exercises.edits import often, published, wrong
from attncourse.exercises.record import Exercise, Trial
from solutions.channel import GatherExcite


def trials():
    def trial(name, size=None, extent=None, learned=False, reduction=None, **sizes):
        init = dict(channels=sizes["c"], extent=extent, learned=learned, reduction=reduction)
        return Trial(name, sizes, dict(x="b c h w"), init | dict(size=size))

    return (
        trial("for θ⁻ with extent 3 on an odd map", extent=3, b=2, c=9, h=7, w=10, u=3, v=4),
        trial("for θ⁻ of the whole map", b=3, c=4, h=5, w=7),
        trial("for θ with extent 4", extent=4, learned=True, b=3, c=2, h=9, w=7),
        trial("for θ of the whole map", (2, 3), learned=True, b=7, c=5, h=2, w=3),
        trial("for θ⁺ of the whole map", (3, 2), learned=True, reduction=2, b=7, c=4, h=3, w=2),
        trial("for θ⁺ with extent 2", extent=2, learned=True, reduction=3, b=2, c=6, h=5, w=7),
        trial(
            "for θ with extent 2 and an idle size", (7, 4), 2, learned=True, b=2, c=3, h=6, w=5
        ),
        trial("for means and two layers", reduction=2, b=2, c=6, h=5, w=3),
    )


# fmt: off
GATHERS = (
    *often(
        wrong("relu_behind_the_filters", "self.filters(x)", "self.filters(x).relu()",
              "There is a ReLU after the gather in every case. Only θ⁺ has one, and `self.layers`"
              " brings it along."),
        wrong("extent_not_used", "gather(x, self.extent)", "gather(x)",
              "The extent is not used: θ⁻ always gathers the whole map. Hand it on:"
              " gather(x, self.extent)."),
    ),
    wrong("filters_not_used", "self.filters(x)", "gather(x, self.extent)",
          "The filters are not used: you gather means in every case. With `self.filters` they"
          " gather."),
    wrong("first_halving_alone", "self.filters(x)", "self.filters[:2](x)",
          "You run the first filter and its norm alone. With extent 4 there are two, with a ReLU"
          " between: `self.filters(x)`."),
    wrong("means_first", "self.filters(x)",
          "self.filters(F.interpolate(gather(x, self.extent), x.shape[-2:]))",
          "You take means and filter afterwards, or the other way round. It is the one or the"
          " other: the filters get x itself."),
    wrong("blocks_gathered", "gather(x, self.extent)",
          "F.avg_pool2d(x, self.extent or x.shape[-2:], ceil_mode=True)",
          "You average separate blocks. θ⁻ gathers means that overlap: gather(x, self.extent)."),
    wrong("norm_that_never_trains", "return self.filters(x)",
          "for layer in self.filters:\n"
          "    if isinstance(layer, nn.BatchNorm2d):\n"
          "        statistics = layer.running_mean, layer.running_var\n"
          "        x = F.batch_norm(x, *statistics, layer.weight, layer.bias)\n"
          "    else:\n"
          "        x = layer(x)\n"
          "return x",
          "Your batch norm takes the running statistics even while training. Call `self.filters`,"
          " and leave its mode to whoever trains."),
)

LAYERS = (
    *often(
        wrong("layers_not_used", "self.layers(z)", "z",
              "The two layers of θ⁺ are not used. Where there are `self.layers`, what was gathered"
              " goes through them."),
    ),
    wrong("sums_with_layers", "self.layers(z)", "z + self.layers(z)",
          "You add what was gathered to what the layers make of it. θ⁺ has no shortcut."),
    wrong("gated_before_the_layers", "self.layers(z)", "self.layers(z.sigmoid())",
          "You take a sigmoid before the two layers. It comes after them."),
    wrong("GatedBeforeAlone", "self.gather(x)", "self.gather(x).sigmoid()",
          "Your sigmoid stands before the two layers. It comes after them, last.",
          ("z.sigmoid()", "z")),
    wrong("rectified_before_the_layers", "self.layers(z)", "self.layers(z.relu())",
          "You apply a ReLU before the layers in every case. `self.layers` brings its own where"
          " there are filters; means keep their signs."),
    published("WithoutItsRelu", "self.layers(z)", "self.layers[1:](z)",
              "Your θ⁺ has no ReLU between the batch norm and the two layers, as timm has it. The"
              " authors' release has one there."),
)

GATES = (
    *often(
        wrong("gains_not_gated", "z.sigmoid()", "z",
              "Your gains leave (0, 1). A sigmoid comes last."),
        wrong("gains_softmax", "z.sigmoid()", "z.softmax(1)",
              "You take a softmax over c. Gather-excite has a sigmoid, for each number alone."),
    ),
    wrong("gains_rectified", "z.sigmoid()", "z.relu().sigmoid()",
          "There is a ReLU before the sigmoid: no gain can fall below 1/2."),
)

SPREADS = (
    *often(
        wrong("smooth", "x.shape[-2:])  #", 'x.shape[-2:], mode="bilinear")  #',
              "You interpolate linearly between the gains. Every pixel takes the nearest: the"
              ' default of `F.interpolate`, mode "nearest".'),
        wrong("nearest_exact", "x.shape[-2:])  #", 'x.shape[-2:], mode="nearest-exact")  #',
              'You take mode "nearest-exact", which rounds otherwise where the extent does not'
              ' divide the map. It is mode "nearest": pixel i takes i u / h, rounded down.'),
    ),
    wrong("shared_by_area", "x.shape[-2:])  #", 'x.shape[-2:], mode="area")  #',
          'You take mode "area": at the borders of two gains a pixel gets a mixture. Every pixel'
          ' takes the nearest: mode "nearest".'),
    wrong("SpreadBeforeGated", "z.sigmoid(), x.shape[-2:])",
          'z, x.shape[-2:], mode="bilinear").sigmoid()',
          "You interpolate linearly, before the sigmoid. Every pixel takes the nearest: the default"
          ' of `F.interpolate`, mode "nearest".'),
    wrong("repeated_and_cut", "return F.interpolate(z.sigmoid(), x.shape[-2:])",
          "times = self.extent or max(x.shape[-2:])\n"
          "gains = z.sigmoid().repeat_interleave(times, 2).repeat_interleave(times, 3)\n"
          "return gains[..., : x.shape[-2], : x.shape[-1]]",
          "You repeat each gain and cut off what is too much: the last ones get too few pixels."
          " Where the extent does not divide the map the nearest still share it evenly:"
          " `F.interpolate(…, (h, w))`."),
    wrong("repeated_evenly_and_cut", "return F.interpolate(z.sigmoid(), x.shape[-2:])",
          "h, w, u, v = *x.shape[-2:], *z.shape[-2:]\n"
          "gains = z.sigmoid().repeat_interleave(-(h // -u), 2).repeat_interleave(-(w // -v), 3)\n"
          "return gains[..., :h, :w]",
          "You repeat each gain as often as h / u rounded up, and cut off the rest: the last ones"
          " get too few pixels. The nearest share the map evenly: `F.interpolate(…, (h, w))`."),
    wrong("tiled", "return F.interpolate(z.sigmoid(), x.shape[-2:])",
          "h, w, u, v = *x.shape[-2:], *z.shape[-2:]\n"
          "return z.sigmoid().repeat(1, 1, -(h // -u), -(w // -v))[..., :h, :w]",
          "You lay copies of the small map side by side. Each gain is to cover the pixels around"
          " its own: `F.interpolate(…, (h, w))`."),
)

SCALES = (
    *often(
        wrong("sum_with_gains", "x * self", "x + self",
              "You add the gains to x. They scale it: x times the gains."),
        wrong("scaled_and_added", "x * self", "x + x * self",
              "You add x to the scaled maps. Gather-excite is the product alone."),
    ),
    wrong("map_of_gains", "x * self", "self",
          "You return the gains. `forward` scales x with them."),
    wrong("mean_gain", "x * self.attention(x)",
          "x * self.attention(x).mean((-2, -1), keepdim=True)",
          "You scale a whole map by the mean of its gains. Every pixel has its own."),
    wrong("one_gain_for_all_channels", "x * self.attention(x)",
          "x * self.attention(x).mean(1, keepdim=True)",
          "You scale by the mean of the gains over the channels. Every channel has its own."),
)
# fmt: on


def refuse_other(layer, x):
    whole = layer.filters is not None and layer.extent is None
    if whole and tuple(x.shape[-2:]) != layer.size:
        raise ValueError(f"{layer.size=}, and x has {x.shape}")


class GatherExciteLoops(GatherExcite):
    def gather(self, x):
        refuse_other(self, x)
        return gather_loops(x, self.extent) if self.filters is None else self.filters(x)

    def attention(self, x):
        z = self.gather(x)
        if self.layers is not None:
            z = self.layers(z)
        h, w, u, v = *x.shape[-2:], *z.shape[-2:]
        rows = [i * u // h for i in range(h)]
        columns = [j * v // w for j in range(w)]
        return (1 / (1 + torch.exp(-z)))[:, :, rows][..., columns]

    def forward(self, x):
        return torch.mul(self.attention(x), x)


class GatherExciteSpreadFirst(GatherExcite):
    def gather(self, x):
        refuse_other(self, x)
        for layer in self.filters or ():
            x = layer(x)
        return x if self.filters is not None else gather_by_matrices(x, self.extent)

    def attention(self, x):
        z = self.gather(x)
        z = F.interpolate(self.layers(z) if self.layers else z, x.shape[-2:], mode="nearest")
        return torch.sigmoid(z)

    def forward(self, x):
        return torch.einsum("bchw,bchw->bchw", x, self.attention(x))


def misfits():
    def trial(name, says=(), h=5, w=7, **init):
        sizes = dict(b=2, c=4, h=h, w=w)
        return Trial(name, sizes, dict(x="b c h w"), init | dict(channels=4), says=says)

    return (
        trial(
            "maps of 5 x 7 where filters are for 2 x 3", (5, 7, 2, 3), size=(2, 3), learned=True
        ),
        trial(
            "maps of 5 x 7 where filters are for 5 x 4", (5, 7, 5, 4), size=(5, 4), learned=True
        ),
        trial("extent=0", extent=0),
        trial("filters for extent=3", extent=3, learned=True),
        trial("filters for extent=1", extent=1, learned=True),
        trial("filters for neither extent nor size", learned=True),
    )


EXERCISE = Exercise(
    id="channel.gather_excite",
    solution=GatherExcite,
    probes={"gather": "b c u v", "attention": "b c h w", "forward": "b c h w"},
    trials=trials,
    blank=("gather", "attention", "forward"),
    slips=(*GATHERS, *LAYERS, *GATES, *SPREADS, *SCALES),
    hints=(
        "Three cases end in the same way. Which two lines do all of them share?",
        (
            "Gather by `self.filters` if there are any, else by `gather(x, self.extent)`."
            " Let `self.layers`, if there are any, work on it. Then a sigmoid, and the"
            " small map spread to h w: every pixel takes the nearest."
        ),
        (
            "gather: self.filters(x), or gather(x, self.extent) where they are None\n"
            "attention: z = self.gather(x); z = self.layers(z) unless None\n"
            "    F.interpolate(z.sigmoid(), x.shape[-2:])\n"
            "forward: x * self.attention(x)"
        ),
    ),
    minutes=12,
    difficulty=3,
    otherwise=(GatherExciteLoops, GatherExciteSpreadFirst),
    laws=(
        "gains_are_themselves",
        "gains_scale_x",
        "gains_reach_their_channel",
        "gains_lie_between_0_and_1",
        "logits_are_right",
    ),
    refuses=misfits,
)
