"""The anchors of a map."""

import torch

from attncourse.exercises.edits import often, same, wrong
from attncourse.exercises.record import Exercise, Trial
from solutions.capstone.boxes import anchors


def anchor_trials():
    def trial(name, height, width, stride, size, scales, ratios):
        inputs = dict(height=height, width=width, stride=stride, size=size)
        return Trial(name, {}, inputs | dict(scales=scales, ratios=ratios))

    return (
        trial("of a map of 2 x 3", 2, 3, 4, 10, (1.0, 1.5), (1.0, 4.0, 0.25)),
        trial("of one pixel", 1, 1, 16, 32, (1.0,), (0.25, 1.0)),
        trial("of squares", 3, 2, 8, 5.5, (0.5, 1.0, 2.0), (1.0,)),
        trial("of a map of 5 x 4", 5, 4, 2, 7, (1.25,), (4.0,)),
        trial("where the stride is odd", 2, 3, 5, 7, (1.0,), (1.0,)),
    )


# fmt: off
PLACES = (
    *often(
        wrong("corners_of_pixels", "(torch.arange(height) + 0.5)", "torch.arange(height)",
              "Your anchors stand at the corners of pixels. Add half a pixel of the map, before"
              " the stride.",
              ("(torch.arange(width) + 0.5)", "torch.arange(width)")),
        wrong("width_to_height", "(size * scale / math.sqrt(ratio), size * scale * math.sqrt(ratio))",
              "(size * scale * math.sqrt(ratio), size * scale / math.sqrt(ratio))",
              "Your ratios are of width to height. Here they are of height to width."),
    ),
    wrong("half_a_pixel_of_the_picture", "(torch.arange(height) + 0.5) * stride",
          "torch.arange(height) * stride + 0.5",
          "You add half a pixel of the picture. The middle of a pixel of the map is half a stride"
          " from its edge.",
          ("(torch.arange(width) + 0.5) * stride", "torch.arange(width) * stride + 0.5")),
    wrong("columns_first", '"w -> (h w s)", h=height', '"w -> (w h s)", h=height',
          "Your anchors run column by column. They run row by row, as pixels do.",
          ('"h -> (h w s)", w=width', '"h -> (w h s)", w=width')),
    wrong("shapes_first", '"w -> (h w s)", h=height', '"w -> (s h w)", h=height',
          "You go through the whole map with one shape after the other. At each pixel all shapes"
          " come together.",
          ('"h -> (h w s)", w=width', '"h -> (s h w)", w=width'),
          ('"s side -> side (h w s)"', '"s side -> side (s h w)"')),
)

SHAPES = (
    wrong("ratio_without_root", "(size * scale / math.sqrt(ratio), size * scale * math.sqrt(ratio))",
          "(size * scale, size * scale * ratio)",
          "You stretch the height by the whole ratio: the area changes with it. Share it between"
          " both sides, a root each."),
    wrong("ratio_twice", "(size * scale / math.sqrt(ratio), size * scale * math.sqrt(ratio))",
          "(size * scale / ratio, size * scale * ratio)",
          "Your height is ratio squared times the width. Each side takes the root of the ratio."),
    wrong("twice_as_large", "torch.tensor(shapes) / 2", "torch.tensor(shapes)",
          "Your anchors are twice as wide and as high: a side to the left and a side to the right"
          " of the middle. Go half a side each way."),
    wrong("no_scale", "(size * scale / math.sqrt(ratio), size * scale * math.sqrt(ratio))",
          "(size / math.sqrt(ratio), size * math.sqrt(ratio))",
          "The scales change nothing: all your anchors have the plain size."),
    wrong("ratios_first", "for scale in scales\nfor ratio in ratios",
          "for ratio in ratios\nfor scale in scales",
          "Your shapes go through all scales of a ratio. Each scale comes with all its ratios."),
    wrong("middle_and_size", "[x - half_w, y - half_h, x + half_w, y + half_h]",
          "[x, y, 2 * half_w, 2 * half_h]",
          "You return middles, widths and heights. A box is left, top, right, bottom."),
    wrong("scale_of_areas", "(size * scale / math.sqrt(ratio), size * scale * math.sqrt(ratio))",
          "(size * math.sqrt(scale / ratio), size * math.sqrt(scale * ratio))",
          "Your scales are factors of the area. They are factors of the size, that is, of each"
          " side."),
    wrong("size_in_pixels_of_the_map", "(size * scale / math.sqrt(ratio), size * scale * math.sqrt(ratio))",
          "(stride * size * scale / math.sqrt(ratio), stride * size * scale * math.sqrt(ratio))",
          "You multiply the size by the stride. It is in pixels of the picture already."),
    wrong("cut_off", "return torch.stack([x - half_w, y - half_h, x + half_w, y + half_h], dim=-1)",
          "edges = torch.stack([x - half_w, y - half_h, x + half_w, y + half_h], dim=-1)\n"
          "high = torch.tensor([width, height, width, height]) * stride\n"
          "return torch.minimum(edges.clamp(min=0), high)",
          "You cut the anchors off at the edges of the picture. They may lie beyond: their middles"
          " and shapes are told by the map alone."),
    wrong("middle_rounded_down", "(torch.arange(height) + 0.5) * stride",
          "torch.arange(height) * stride + stride // 2",
          "You round half a stride down. With an odd stride the middle of a pixel lies between two"
          " of the picture's: add 0.5 before the stride.",
          ("(torch.arange(width) + 0.5) * stride", "torch.arange(width) * stride + stride // 2")),
    wrong("scale_by_scale", "for scale in scales\nfor ratio in ratios",
          "for scale, ratio in zip(scales, ratios)",
          "You pair the first scale with the first ratio, and so on. Each scale comes with every"
          " ratio."),
    same("torch.tensor(shapes) / 2", "0.5 * torch.tensor(shapes)"),
)
# fmt: on


def anchors_by_loops(height, width, stride, size, scales=(1.0,), ratios=(1.0,)):
    found = []
    for row in range(height):
        for column in range(width):
            y, x = (row + 0.5) * stride, (column + 0.5) * stride
            for scale in scales:
                for ratio in ratios:
                    w, h = size * scale / ratio**0.5, size * scale * ratio**0.5
                    found.append([x - w / 2, y - h / 2, x + w / 2, y + h / 2])
    return torch.tensor(found)


def anchors_by_a_grid(height, width, stride, size, scales=(1.0,), ratios=(1.0,)):
    y, x = torch.meshgrid(
        stride * torch.arange(height) + stride / 2,
        stride * torch.arange(width) + stride / 2,
        indexing="ij",
    )
    middle = torch.stack([x, y, x, y], -1).reshape(-1, 1, 4)
    root = torch.tensor(ratios).float().sqrt()
    large = size * torch.tensor(scales).float()[:, None]
    w, h = (large / root).flatten() / 2, (large * root).flatten() / 2
    return (middle + torch.stack([-w, -h, w, h], -1)).reshape(-1, 4)


EXERCISE = Exercise(
    id="capstone.anchors",
    solution=anchors,
    probes={"anchors": "a 4"},
    trials=anchor_trials,
    slips=(*PLACES, *SHAPES),
    hints=(
        "Where is the middle of pixel (row, column) of a map, in pixels of the picture?",
        (
            "At ((column + 1/2) stride, (row + 1/2) stride). Around it stand boxes of area"
            " (size scale)^2; a ratio r makes them root r times as high and as narrow."
        ),
        (
            "w, h = size scale / root r, size scale root r, for each scale, for each ratio\n"
            "x, y of every pixel, row by row, each s times\n"
            "stack x - w/2, y - h/2, x + w/2, y + h/2"
        ),
    ),
    minutes=12,
    difficulty=3,
    otherwise=(anchors_by_loops, anchors_by_a_grid),
    skip=frozenset({"gradients", "large", "strided", "float32", "half"}),
)
