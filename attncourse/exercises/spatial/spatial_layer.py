"""SResNet's spatial layer: a gain for each pixel, out of the mean channel seen coarsely."""

import torch
from torch.nn import functional as F

from attncourse.exercises.edits import often, wrong
from attncourse.exercises.record import Exercise, Trial
from attncourse.exercises.spatial.shared import LIFTS, SCALES, SQUASHES
from solutions.spatial import SpatialLayer


def layer_trials():
    def trial(name, **sizes):
        return Trial(name, sizes, dict(x="b c h w"))

    return (
        trial("on maps of 6 x 4", b=2, c=5, h=6, w=4),
        trial("on odd maps", b=2, c=3, h=5, w=7),
        trial("on a single pixel", b=2, c=3, h=1, w=1),
    )


# fmt: off
SHRUNK = "self.shrink(self.look(z).relu()).relu()"
GROWN = 'repeat(z, "b 1 h w -> b 1 (h down) (w across)", down=2, across=2)'

LAYERS = (
    *often(
        wrong("first_relu_missing", "self.look(z).relu()", "self.look(z)",
              "The ReLU after `self.look` is missing: without it the two convolutions are one."),
        wrong("second_relu_missing", ".relu()).relu()", ".relu())",
              "The ReLU after `self.shrink` is missing."),
    ),
    wrong("shrunk_before_look", SHRUNK, "self.look(self.shrink(z).relu()).relu()",
          "`self.shrink` comes before `self.look`. First the 5x5 on the whole map, then stride 2."),
    wrong("pooled_look", SHRUNK, "F.avg_pool2d(self.look(z).relu(), 2, ceil_mode=True)",
          "You shrink by pooling. `self.shrink`, a convolution with stride 2, does it."),
    wrong("largest_look", SHRUNK, "F.max_pool2d(self.look(z).relu(), 2, ceil_mode=True)",
          "You shrink by the largest of 2 x 2. `self.shrink`, a convolution with stride 2, does"
          " it."),
    wrong("smoothed_before_growing", SHRUNK, f"self.smooth({SHRUNK})",
          "`self.smooth` comes before the map grows again. It comes after, and wears the edges of"
          " the blocks away.",
          ("self.smooth(z[..., :h, :w])", "z[..., :h, :w]")),
)

BLOCKS = (
    wrong("tiled", "(h down) (w across)", "(down h) (across w)",
          "You put the small map twice beside itself. Each pixel becomes a block of 2 x 2: \"(h"
          " down)\", with h outside."),
    wrong("rows_tiled", "(h down)", "(down h)",
          "Your rows lie one below the other in two copies. Each pixel becomes a block of 2 x 2:"
          ' "(h down)", with h outside.'),
    wrong("columns_tiled", "(w across)", "(across w)",
          "Your columns lie side by side in two copies. Each pixel becomes a block of 2 x 2: \"(w"
          " across)\", with w outside."),
    wrong("interpolated", GROWN, 'F.interpolate(z, (h, w), mode="bilinear")',
          "You interpolate between the pixels of the small map. Each becomes a block of 2 x 2."),
    wrong("interpolated_to_the_corners", GROWN,
          'F.interpolate(z, (h, w), mode="bilinear", align_corners=True)',
          "You interpolate between the pixels of the small map, corners aligned. Each becomes a"
          " block of 2 x 2."),
    wrong("exact_neighbour", GROWN, 'F.interpolate(z, (h, w), mode="nearest-exact")',
          "On odd maps your blocks are uneven (\"nearest-exact\" to h and w). Repeat every pixel"
          " twice, then cut to h and w."),
    wrong("spread_with_zeros", f"z = {GROWN}",
          "spread = x.new_zeros(len(x), 1, h, w)\n"
          "spread[..., ::2, ::2] = z\n"
          "z = spread",
          "You put zeros between the pixels of the small map. Each becomes a block of 2 x 2."),
)

CUTS = (
    wrong("CutAfterSmoothing", "(z[..., :h, :w])", "(z)[..., :h, :w]",
          "On odd maps you cut after `self.smooth`: the last row and column then see what is cut"
          " off. Cut before it."),
    wrong("not_cut", "z[..., :h, :w]", "z",
          "On odd maps your gains are one row or column too many, as in the released code: repeat"
          " every pixel twice, then cut to h and w."),
    wrong("cut_at_the_front", "z[..., :h, :w]", "z[..., -h:, -w:]",
          "On odd maps you cut the first row and column off. It is the last: [..., :h, :w]."),
    wrong("filled_with_zeros", "return rearrange(self.smooth(z[..., :h, :w])",
          "z = z[..., : h - h % 2 or 1, : w - w % 2 or 1]\n"
          "z = F.pad(z, (0, w - z.shape[-1], 0, h - z.shape[-2]))\n"
          "return rearrange(self.smooth(z)",
          "On odd maps your last row and column are zeros. There the last blocks are cut in two:"
          " grow to at least h and w, then cut."),
)
# fmt: on


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
    slips=(*LAYERS, *BLOCKS, *CUTS, *SQUASHES, *LIFTS, *SCALES),
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
