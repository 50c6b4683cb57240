"""What a stage of residual blocks costs."""

import torch
from torch import nn

from attncourse.exercises.edits import often, same, wrong
from attncourse.exercises.record import Exercise, Trial
from solutions.capstone import stage_multiply_adds


def stage_trials():
    def trial(name, **sizes):
        return Trial(name, {}, sizes)

    return (
        trial(
            "for 16 to 32 channels, 3 blocks, stride 2",
            channels=16,
            out_channels=32,
            blocks=3,
            height=24,
            width=20,
            stride=2,
        ),
        trial(
            "for 12 channels, which stay, 2 blocks",
            channels=12,
            out_channels=12,
            blocks=2,
            height=7,
            width=10,
            stride=1,
        ),
        trial(
            "for 8 to 20 channels, one block, stride 1",
            channels=8,
            out_channels=20,
            blocks=1,
            height=5,
            width=6,
            stride=1,
        ),
        trial(
            "for 12 channels, which stay, and stride 2 on odd maps",
            channels=12,
            out_channels=12,
            blocks=2,
            height=7,
            width=9,
            stride=2,
        ),
    )


# fmt: off
PIXELS = (
    *often(
        wrong("pixels_that_come_in", "-(-height // stride) * -(-width // stride)", "height * width",
              "You count the pixels that come in. The first convolution already has the stride: all"
              " of the stage works on the smaller maps."),
        wrong("only_the_height_halved", "-(-width // stride)", "width",
              "You divide the height alone by the stride. The width shrinks with it."),
        wrong("rounded_down", "-(-height // stride) * -(-width // stride)",
              "(height // stride) * (width // stride)",
              "You round down. A stride keeps the last row and column of an odd map: it rounds up."),
    ),
    wrong("area_rounded", "-(-height // stride) * -(-width // stride)",
          "-(-height * width // stride**2)",
          "You divide the area and round that. Each side is divided and rounded up by itself."),
    wrong("area_rounded_down", "-(-height // stride) * -(-width // stride)",
          "height * width // stride**2",
          "You divide the area and round that down. Each side is divided and rounded up by itself."),
    wrong("first_before_the_stride", "return pixels * (first + others)",
          "return 9 * channels * out_channels * (height * width - pixels) + pixels * (first + others)",
          "You count the first convolution on the pixels that come in. It has the stride: it works"
          " only for the pixels that go out."),
    wrong("stride_in_every_block", "return pixels * (first + others)",
          "pairs, h, w = [channels] + [out_channels] * (blocks - 1), height, width\n"
          "total = 0\n"
          "for c in pairs:\n"
          "    h, w = -(-h // stride), -(-w // stride)\n"
          "    total += h * w * (9 * c * out_channels + 9 * out_channels**2)\n"
          "    total += h * w * changes * c * out_channels\n"
          "    changes = False\n"
          "return total",
          "You stride in every block. The first alone has the stride; the others keep the size."),
    same("-(-height // stride) * -(-width // stride)",
         "((height + stride - 1) // stride) * ((width + stride - 1) // stride)"),
)

FIRST = (
    *often(
        wrong("no_shortcut", "(9 + changes)", "9",
              "You leave out the shortcut. Where the shape changes it has a 1x1 convolution: one"
              " more product for each pair of channels."),
        wrong("shortcut_always", "(9 + changes)", "10",
              "You count a 1x1 on the shortcut where nothing changes. There x is added as it is."),
        wrong("shortcut_by_stride_alone", "stride > 1 or channels != out_channels", "stride > 1",
              "You count the shortcut's 1x1 only where there is a stride. Other channels ask for it"
              " too."),
        wrong("shortcut_by_channels_alone", "stride > 1 or channels != out_channels",
              "channels != out_channels",
              "You count the shortcut's 1x1 only where the channels change. A stride asks for it"
              " too."),
    ),
    wrong("shortcut_by_both", "stride > 1 or channels != out_channels",
          "stride > 1 and channels != out_channels",
          "You count the shortcut's 1x1 only where stride and channels both change. One of them is"
          " enough."),
    wrong("shortcut_of_every_block", "return pixels * (first + others)",
          "return pixels * (first + others + changes * (blocks - 1) * out_channels**2)",
          "You count a 1x1 on the shortcut of every block. From the second block on nothing changes:"
          " x is added as it is."),
    wrong("shortcut_as_a_3x3", "(9 + changes)", "(9 + 9 * changes)",
          "You count the shortcut as a 3x3. It is a 1x1: one product for each pair of channels."),
    wrong("first_is_square_too", "channels * out_channels\n", "out_channels**2\n",
          "Your first convolution goes from `out_channels` to `out_channels`. What comes into the"
          " stage has `channels`."),
    wrong("first_block_like_others", "9 * (2 * blocks - 1) * out_channels**2",
          "9 * 2 * blocks * out_channels**2",
          "You count one convolution too many: of the 2 blocks, the first convolution is counted"
          " already, so 2 blocks - 1 are left."),
)

OTHERS = (
    wrong("one_convolution_a_block", "(2 * blocks - 1)", "(blocks - 1)",
          "You count one convolution a block. There are two."),
    wrong("first_block_alone", "9 * (2 * blocks - 1)", "9",
          "You count the first block alone. `blocks` of them stand behind one another."),
    wrong("window_not_squared", "9 * (2 * blocks - 1)", "3 * (2 * blocks - 1)",
          "You count 3 products for each pair of channels. A 3x3 has 9 places.",
          ("(9 + changes)", "(3 + changes)")),
    wrong("weights_counted", "return pixels * (", "return (",
          "You count the weights. Each of them is multiplied once a pixel of the map that comes"
          " out."),
    wrong("doubled", "return pixels * (", "return 2 * pixels * (",
          "You count products and sums apart: twice as many. A multiply-add is one of each."),
)
# fmt: on


def stage_by_layers(channels, out_channels, blocks, height, width, stride=1):
    h, w = (height + stride - 1) // stride, (width + stride - 1) // stride
    total, before = 0, channels
    for block in range(blocks):
        total += 9 * before * out_channels * h * w + 9 * out_channels**2 * h * w
        if block == 0 and (stride != 1 or before != out_channels):
            total += before * out_channels * h * w
        before = out_channels
    return total


def stage_by_modules(channels, out_channels, blocks, height, width, stride=1):
    convs = [nn.Conv2d(channels, out_channels, 3, stride, 1, bias=False, device="meta")]
    for _ in range(2 * blocks - 1):
        convs.append(nn.Conv2d(out_channels, out_channels, 3, padding=1, device="meta"))
    if stride > 1 or channels != out_channels:
        convs.append(nn.Conv2d(channels, out_channels, 1, stride, device="meta"))
    seen = convs[0](torch.zeros(1, channels, height, width, device="meta"))
    return sum(conv.weight.numel() for conv in convs) * seen.shape[-2] * seen.shape[-1]


EXERCISE = Exercise(
    id="capstone.stage_multiply_adds",
    solution=stage_multiply_adds,
    probes={"stage_multiply_adds": ""},
    trials=stage_trials,
    slips=(*PIXELS, *FIRST, *OTHERS),
    hints=(
        "How many convolutions has the stage, and on which maps does each of them work?",
        (
            "2 blocks convolutions of 3x3, all on the maps behind the stride. The first goes from"
            " c to e channels and costs 9 c e a pixel, the others 9 e². The shortcut's 1x1 is c e"
            " more, where there is one."
        ),
        "pixels (9 c e + c e if the shape changes + 9 (2 blocks - 1) e²)",
    ),
    minutes=6,
    difficulty=2,
    otherwise=(stage_by_layers, stage_by_modules),
)
