"""How many numbers multi-head attention learns: four square layers, whatever the heads."""

from torch import nn

from attncourse.exercises.edits import wrong
from attncourse.exercises.record import Exercise, Trial
from solutions.multi_head import MultiHeadAttention, parameters


def count_trials():
    return (
        Trial("for dim = 12, heads = 3", {}, dict(dim=12, heads=3)),
        Trial("for dim = 512, heads = 8", {}, dict(dim=512, heads=8)),
        Trial("for dim = 10, heads = 5", {}, dict(dim=10, heads=5)),
    )


# fmt: off
COUNTS = (
    wrong("no_biases", " + 4 * dim", "",
          "You leave out the biases: four layers have `dim` of them each."),
    wrong("three_projections", "4 * dim**2 + 4 * dim", "3 * dim**2 + 3 * dim",
          "You count three projections. There are four: queries, keys, values and the output."),
    wrong("one_head_only", "4 * dim**2 + 4 * dim", "3 * (dim + 1) * (dim // heads) + dim**2 + dim",
          "You count the weights of one head. All heads together have four dim x dim matrices."),
    wrong("for_every_head", "4 * dim**2 + 4 * dim", "heads * (4 * dim**2 + 4 * dim)",
          "You multiply by the number of heads. They share the width: the more heads, the narrower"
          " each."),
    wrong("a_further_row_and_column", "4 * dim**2 + 4 * dim", "4 * (dim + 1) ** 2",
          "You give each matrix a further row and column for the bias, (dim + 1)². A bias has one"
          " number for each feature that comes out: dim² + dim."),
    wrong("square_matrices_for_each_head", "4 * dim**2 + 4 * dim",
          "3 * heads * (dim**2 + dim) + heads * dim**2 + dim",
          "You give each head matrices of dim by dim. The heads share the width, dim / heads each:"
          " together their queries have one dim x dim matrix, and so have keys and values."),
    wrong("one_bias", " + 4 * dim", " + dim",
          "You count one bias of length dim. Each of the four layers has its own."),
)
# fmt: on


def parameters_by_sum(dim, heads):
    return sum(p.numel() for p in MultiHeadAttention(dim, heads).parameters())


def parameters_by_layer(dim, heads):
    layer = nn.Linear(dim, dim)
    return 4 * (layer.weight.numel() + layer.bias.numel())


EXERCISE = Exercise(
    id="multi_head.parameters",
    solution=parameters,
    probes={"parameters": ""},
    trials=count_trials,
    slips=COUNTS,
    hints=(
        "How many layers does `__init__` make, and what is the shape of each weight?",
        (
            "Four square matrices, dim by dim, and a bias of length dim for each. Where do"
            " the heads come in?"
        ),
        "4 (dim² + dim), whatever the number of heads",
    ),
    minutes=3,
    difficulty=1,
    otherwise=(parameters_by_sum, parameters_by_layer),
)
