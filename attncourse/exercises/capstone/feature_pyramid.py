"""A pyramid of features, from the top down."""

from torch.nn import functional as F

from attncourse.exercises.edits import often, published, same, wrong
from attncourse.exercises.record import Exercise, Trial
from solutions.capstone.detection import FeaturePyramid


def pyramid_trials():
    def trial(name, b, channels, sizes, out):
        letters = ("c h w", "d p q", "e u v")
        named = {"b": b, "o": out}
        for axes, c, (h, w) in zip(letters, channels, sizes, strict=True):
            named |= dict(zip(axes.split(), (c, h, w), strict=True))
        inputs = dict(
            zip(("fine", "middle", "coarse"), (f"b {a}" for a in letters), strict=True)
        )
        return Trial(name, named, inputs, dict(widths=channels, out_channels=out))

    return (
        trial("of maps that halve", 3, (7, 11, 13), ((8, 20), (4, 10), (2, 5)), 9),
        trial("of odd maps", 2, (4, 3, 5), ((11, 14), (6, 7), (3, 4)), 8),
        trial("of a last map of one pixel", 3, (2, 5, 4), ((4, 3), (2, 2), (1, 1)), 6),
    )


# fmt: off
SUMS = (
    *often(
        wrong("no_way_down", 'between + F.interpolate(top, size=between.shape[-2:], mode="nearest")', "between",
              "The middle level knows nothing of the coarse one: add the coarse sum, enlarged."),
        wrong("not_smoothed", "self.output[0](bottom), self.output[1](between), self.output[2](top)",
              "bottom, between, top",
              "You return the sums themselves. Each level goes through its own 3x3, `output`, at the"
              " end."),
    ),
    wrong("fine_without_coarser", 'bottom + F.interpolate(between, size=bottom.shape[-2:], mode="nearest")', "bottom",
          "The fine level knows nothing of the coarser ones: add the middle sum, enlarged."),
    wrong("the_middle_left_out", "F.interpolate(between, size=bottom.shape[-2:]",
          "F.interpolate(top, size=bottom.shape[-2:]",
          "You hand the coarsest map down to the fine one, past the middle. Hand down the sum of the"
          " level above."),
    wrong("laterals_handed_down", "F.interpolate(between, size=bottom.shape[-2:]",
          "F.interpolate(self.lateral[1](middle), size=bottom.shape[-2:]",
          "You hand down what the middle map knows alone. Hand down its sum, with what came from"
          " above."),
    wrong("smoothed_handed_down", "F.interpolate(between, size=bottom.shape[-2:]",
          "F.interpolate(self.output[1](between), size=bottom.shape[-2:]",
          "You hand down what has gone through the 3x3. The sums are handed down; the 3x3 stands at"
          " the end of each level."),
)

SIZES = (
    wrong("blurred", 'size=between.shape[-2:], mode="nearest"',
          'size=between.shape[-2:], mode="bilinear", align_corners=False',
          "You enlarge by interpolation. The paper copies the nearest pixel.",
          ('size=bottom.shape[-2:], mode="nearest"',
           'size=bottom.shape[-2:], mode="bilinear", align_corners=False')),
    wrong("averaged", 'between + F.interpolate(top, size=between.shape[-2:], mode="nearest")',
          '(between + F.interpolate(top, size=between.shape[-2:], mode="nearest")) / 2',
          "You take the mean of the two maps. The paper adds them."),
    wrong("multiplied", 'bottom + F.interpolate(between', 'bottom * F.interpolate(between',
          "You multiply the fine map by what comes from above. The paper adds them."),
    wrong("coarse_first", "self.output[0](bottom), self.output[1](between), self.output[2](top)",
          "self.output[2](top), self.output[1](between), self.output[0](bottom)",
          "Your levels come in the wrong order: the finest is the first."),
    wrong("one_filter_for_all", "self.output[0](bottom), self.output[1](between), self.output[2](top)",
          "self.output[0](bottom), self.output[0](between), self.output[0](top)",
          "You use one 3x3 for all levels. Each has its own: `output[0]` to `output[2]`."),
    wrong("output_filters_exchanged", "self.output[0](bottom), self.output[1](between), self.output[2](top)",
          "self.output[2](bottom), self.output[1](between), self.output[0](top)",
          "The 3x3s of the finest and the coarsest level are exchanged: `output[0]` is the finest"
          " level's."),
    wrong("rectified_sums", "self.output[0](bottom), self.output[1](between), self.output[2](top)",
          "self.output[0](bottom.relu()), self.output[1](between.relu()), self.output[2](top.relu())",
          "You put a ReLU on each sum before its 3x3. The pyramid has none."),
    wrong("mean_of_two", 'between + F.interpolate(top, size=between.shape[-2:], mode="nearest")',
          '(between + F.interpolate(top, size=between.shape[-2:], mode="nearest")) / 2',
          "You take the mean of two maps. They are added.",
          ('bottom + F.interpolate(between, size=bottom.shape[-2:], mode="nearest")',
           '(bottom + F.interpolate(between, size=bottom.shape[-2:], mode="nearest")) / 2')),
    wrong("coarsest_twice", 'bottom + F.interpolate(between, size=bottom.shape[-2:], mode="nearest")',
          'bottom + F.interpolate(between, size=bottom.shape[-2:], mode="nearest")'
          ' + F.interpolate(top, size=bottom.shape[-2:], mode="nearest")',
          "The coarsest map reaches the fine one twice: it is in the middle sum already. Hand down that"
          " sum alone."),
    wrong("smoothed_all_the_way", "F.interpolate(top, size=between.shape[-2:]",
          "F.interpolate(self.output[2](top), size=between.shape[-2:]",
          "You hand down what has gone through the 3x3. The sums are handed down; the 3x3 stands at"
          " the end of each level.",
          ("F.interpolate(between, size=bottom.shape[-2:]",
           "F.interpolate(self.output[1](between), size=bottom.shape[-2:]")),
    same('F.interpolate(top, size=between.shape[-2:], mode="nearest")',
         "F.interpolate(top, between.shape[-2:])"),
    published("by_middles", 'size=between.shape[-2:], mode="nearest"',
              'size=between.shape[-2:], mode="nearest-exact"',
              'You copy the pixel whose middle is nearest (`mode="nearest-exact"`), which differs from'
              ' `mode="nearest"` on odd maps. Both are the nearest pixel.',
              ('size=bottom.shape[-2:], mode="nearest"', 'size=bottom.shape[-2:], mode="nearest-exact"')),
)
# fmt: on


class PyramidInALoop(FeaturePyramid):
    def forward(self, fine, middle, coarse):
        found, above = [], None
        for level, x in reversed([*enumerate((fine, middle, coarse))]):
            x = self.lateral[level](x)
            if above is not None:
                x = x + F.interpolate(above, x.shape[-2:])
            above = x
            found.append(self.output[level](x))
        return tuple(reversed(found))


class PyramidByIndex(FeaturePyramid):
    def forward(self, fine, middle, coarse):
        def enlarged(x, like):
            (h, w), (m, n) = x.shape[-2:], like.shape[-2:]
            rows, columns = [i * h // m for i in range(m)], [j * w // n for j in range(n)]
            return x[..., rows, :][..., columns]

        maps = [self.lateral[n](x) for n, x in enumerate((fine, middle, coarse))]
        maps[1] = maps[1] + enlarged(maps[2], maps[1])
        maps[0] = maps[0] + enlarged(maps[1], maps[0])
        return tuple(layer(x) for layer, x in zip(self.output, maps, strict=True))


EXERCISE = Exercise(
    id="capstone.feature_pyramid",
    solution=FeaturePyramid,
    probes={"forward": ("b o h w", "b o p q", "b o u v")},
    trials=pyramid_trials,
    blank=("forward",),
    slips=(*SUMS, *SIZES),
    hints=(
        "Which map knows what there is, and which knows where exactly?",
        (
            "The coarse one knows what, the fine one where. Go from coarse to fine: a 1x1 makes the"
            " channels equal, the sum from above is enlarged and added, and a 3x3 ends each level."
        ),
        (
            "top = lateral[2](coarse)\nbetween = lateral[1](middle) + top, enlarged to its size\n"
            "bottom = lateral[0](fine) + between, enlarged to its size\n"
            "output[0](bottom), output[1](between), output[2](top)"
        ),
    ),
    minutes=8,
    difficulty=3,
    otherwise=(PyramidInALoop, PyramidByIndex),
    tied=("h w p q u v",),
)
