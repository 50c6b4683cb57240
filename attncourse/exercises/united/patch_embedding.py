"""A token for each patch: one matrix for its pixels."""

import torch
from torch.nn import functional as F

from attncourse.exercises.edits import often, wrong
from attncourse.exercises.record import Exercise, Trial
from solutions.united.blocks import patch_embedding


def embedding_trials():
    def trial(name, h, w, **sizes):
        sizes |= dict(h=h, w=w, n=(h // sizes["dy"]) * (w // sizes["dx"]))
        inputs = dict(x="b c h w", weight="dim c dy dx", bias="dim")
        return Trial(name, sizes, inputs)

    return (
        trial("with patches of 4 x 5", 12, 15, b=2, c=7, dim=11, dy=4, dx=5),
        trial("with patches of 5 x 3", 10, 9, b=4, c=2, dim=7, dy=5, dx=3),
        trial("with patches of one row", 3, 8, b=5, c=4, dim=7, dy=1, dx=2),
    )


def pictures_not_filled():
    sizes = dict(b=2, c=3, dim=7)
    inputs = dict(weight="dim c 4 4", bias="dim")
    return (
        Trial("a picture of 10 x 8 in patches of 4", sizes, dict(x="b c 10 8") | inputs, says=(10, 8)),
        Trial("a picture of 8 x 14 in patches of 4", sizes, dict(x="b c 8 14") | inputs, says=(8, 14)),
    )  # fmt: skip


# fmt: off
PATCHES = (
    *often(
        wrong("patches_in_columns", "(high wide)", "(wide high)",
              "Your patches are in order of columns. They are in order of rows: (high wide)."),
        wrong("bias_forgotten", " + bias", "",
              "The bias is missing: it is added to every token."),
    ),
    wrong("pixels_spread", "(high dy) (wide dx) ->", "(dy high) (dx wide) ->",
          "Your patches are made of pixels that are spread over the picture: (dy high) takes every"
          " so manieth row. A patch is of neighbours: the outer letter comes first, (high dy)."),
    wrong("kernel_turned", "einsum(patches, weight,", "einsum(patches, weight.flip(-1, -2),",
          "You turn the weights round: pixel 0, 0 of a patch meets weight 0, 0."),
    wrong("mean_of_the_patch", "einsum(patches, weight,",
          "einsum(patches / (dy * dx), weight,",
          "You divide by the pixels of a patch. Products are summed, not averaged."),
    wrong("colours_last", "return einsum(patches, weight, \"b n c dy dx, dim c dy dx -> b n dim\") + bias",
          "flat = rearrange(patches, \"b n c dy dx -> b n (dy dx c)\")\n"
          "return flat @ weight.flatten(1).T + bias",
          "You flatten a patch with its colours last, and the weight with its colours first, so that"
          " wrong numbers meet. Use the same order for both."),
    wrong("stride_of_the_height", "return einsum(patches, weight, \"b n c dy dx, dim c dy dx -> b n dim\") + bias",
          "y = F.conv2d(x, weight, bias, stride=dy)\nreturn rearrange(y, \"b dim h w -> b (h w) dim\")",
          "Your stride is the patch's height in both directions. Across it is the patch's width."),
    wrong("mean_of_all_with_colours", "einsum(patches, weight,", "einsum(patches / (dy * dx * x.shape[1]), weight,",
          "You divide by the numbers in a patch. Products are summed, not averaged."),
    wrong("slides", "return einsum(patches, weight, \"b n c dy dx, dim c dy dx -> b n dim\") + bias",
          "y = F.conv2d(x, weight, bias)\nreturn rearrange(y, \"b dim h w -> b (h w) dim\")",
          "Your window slides pixel by pixel. Patches lie side by side: the stride is the patch."),
    wrong("raw_reshape", "rearrange(x, \"b c (high dy) (wide dx) -> b (high wide) c dy dx\", dy=dy, dx=dx)",
          "x.reshape(len(x), -1, x.shape[1], dy, dx)",
          "You reshape b c h w to patches without moving an axis: pixels of one row end up in one"
          " patch. Use `rearrange`."),
)
# fmt: on


def refuse_unfilled(x, weight):
    h, w = x.shape[-2:]
    dy, dx = weight.shape[-2:]
    if h % dy or w % dx:
        raise ValueError(f"{h} x {w} pixels in patches of {dy} x {dx}")


def embedding_by_convolution(x, weight, bias):
    refuse_unfilled(x, weight)
    return F.conv2d(x, weight, bias, stride=weight.shape[-2:]).flatten(2).mT


def embedding_by_unfold(x, weight, bias):
    refuse_unfilled(x, weight)
    size = weight.shape[-2:]
    columns = F.unfold(x, size, stride=size)
    return columns.mT @ weight.flatten(1).T + bias


def embedding_by_loops(x, weight, bias):
    refuse_unfilled(x, weight)
    dy, dx = weight.shape[-2:]
    tokens = []
    for y in range(0, x.shape[-2], dy):
        for z in range(0, x.shape[-1], dx):
            patch = x[:, :, y : y + dy, z : z + dx]
            tokens.append(F.linear(patch.flatten(1), weight.flatten(1), bias))
    return torch.stack(tokens, dim=1)


EXERCISE = Exercise(
    id="united.patch_embedding",
    solution=patch_embedding,
    probes={"patch_embedding": "b n dim"},
    trials=embedding_trials,
    slips=PATCHES,
    hints=(
        "You have cut a picture into patches in chapter 0. Which axes has a patch, and over which"
        " of them does the matrix sum?",
        "(high dy) (wide dx): the outer letters say which patch, the inner ones which pixel in it."
        " The weight has c dy dx too, and these are summed.",
        "ValueError where dy or dx do not divide h and w\n"
        '"b c (high dy) (wide dx) -> b (high wide) c dy dx"\n'
        "einsum with the weight over c, dy and dx, then the bias",
    ),
    minutes=6,
    difficulty=2,
    otherwise=(embedding_by_convolution, embedding_by_unfold, embedding_by_loops),
    refuses=pictures_not_filled,
    laws=("examples_do_not_mix",),
    tied=("h w n dy dx",),
)
