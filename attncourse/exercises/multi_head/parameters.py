"""The record of `multi_head.parameters`."""

from torch import nn

from attncourse.exercises.record import Exercise, Trial
from solutions.multi_head import (
    MultiHeadAttention,
    parameters,
)


def count_trials():
    return (
        Trial("for dim = 12, heads = 3", {}, dict(dim=12, heads=3)),
        Trial("for dim = 512, heads = 8", {}, dict(dim=512, heads=8)),
        Trial("for dim = 10, heads = 5", {}, dict(dim=10, heads=5)),
    )


def no_biases(dim, heads):
    """You leave out the biases: four layers have `dim` of them each."""
    return 4 * dim**2


def three_projections(dim, heads):
    """You count three projections. There are four: queries, keys, values and the output."""
    return 3 * (dim**2 + dim)


def one_head_only(dim, heads):
    """You count the weights of one head. All heads together have four dim x dim matrices."""
    return 3 * (dim * (dim // heads) + dim // heads) + dim**2 + dim


def for_every_head(dim, heads):
    """You multiply by the number of heads. They share the width: the more heads, the narrower
    each."""
    return heads * (4 * dim**2 + 4 * dim)


def one_bias(dim, heads):
    """You count one bias of length dim. Each of the four layers has its own."""
    return 4 * dim**2 + dim


def without_the_output(dim, heads):
    """You count the bias of the output, but not its matrix: it is dim x dim as well."""
    return 3 * dim**2 + 4 * dim


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
    slips=(
        no_biases,
        three_projections,
        one_head_only,
        for_every_head,
        one_bias,
        without_the_output,
    ),
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
