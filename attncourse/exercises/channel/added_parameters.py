"""The record of `channel.added_parameters`."""

from torch import nn

from attncourse.exercises.record import Exercise, Trial
from solutions.channel import (
    SqueezeExcite,
    added_parameters,
    bottleneck,
)


def count_trials():
    def trial(name, *stages, reduction, bias):
        return Trial(name, {}, dict(stages=stages, reduction=reduction, bias=bias))

    return (
        trial("for one block of 64 channels, r = 16", (1, 64), reduction=16, bias=False),
        trial("for blocks 2, 3 of 48, 96 channels", (2, 48), (3, 96), reduction=8, bias=False),
        trial("for the same with biases", (2, 48), (3, 96), reduction=8, bias=True),
        trial("for one block of 60 channels with biases", (1, 60), reduction=4, bias=True),
    )


def one_layer(stages, reduction=16, bias=False):
    """You count one of the two layers. `down` and `up` have c m weights each."""
    return sum(n * (c * c // reduction + bias * (c + c // reduction)) for n, c in stages)


def biases_forgotten(stages, reduction=16, bias=False):
    """You leave out the biases, which are there with `bias`: m for `down`, c for `up`."""
    return sum(n * 2 * c * (c // reduction) for n, c in stages)


def biases_always(stages, reduction=16, bias=False):
    """You count biases where there are none. They are there only with `bias`."""
    return added_parameters(stages, reduction, True)


def biases_of_up_alone(stages, reduction=16, bias=False):
    """You count the biases of `up` alone. `down` has m of its own."""
    return sum(n * (2 * c * (c // reduction) + bias * c) for n, c in stages)


def biases_of_down_alone(stages, reduction=16, bias=False):
    """You count the biases of `down` alone. `up` has c of its own."""
    return sum(n * (2 * c * (c // reduction) + bias * (c // reduction)) for n, c in stages)


def two_c_biases(stages, reduction=16, bias=False):
    """You count 2 c biases. `up` has c, but `down` has only m = c / r of them."""
    return sum(n * (2 * c * (c // reduction) + bias * 2 * c) for n, c in stages)


def one_bias_each(stages, reduction=16, bias=False):
    """You count one bias a layer. Every unit has its own: m for `down`, c for `up`."""
    return sum(n * (2 * c * (c // reduction) + bias * 2) for n, c in stages)


def one_block_a_stage(stages, reduction=16, bias=False):
    """You count one block a stage. Every block has a gate of its own."""
    return added_parameters(tuple((1, c) for _, c in stages), reduction, bias)


def last_stage_alone(stages, reduction=16, bias=False):
    """You count the last stage alone. Every stage adds its own."""
    return added_parameters(stages[-1:], reduction, bias)


def first_stage_alone(stages, reduction=16, bias=False):
    """You count the first stage alone: is there a `return` inside the loop? Every stage adds
    its own."""
    return added_parameters(stages[:1], reduction, bias)


def not_reduced(stages, reduction=16, bias=False):
    """You count two c x c matrices. The width between the layers is m = c / r: c m each."""
    return added_parameters(stages, 1, bias)


def reduced_twice(stages, reduction=16, bias=False):
    """You divide by r twice. One side of each matrix is m = c / r, the other is c."""
    return sum(n * (2 * (c // reduction) ** 2 + bias * (c + c // reduction)) for n, c in stages)


def as_wide_as_the_channels(stages, reduction=16, bias=False):
    """You count c c weights a layer, without r. The width between the layers is m = c / r: one
    layer has c m."""
    return sum(n * (2 * c * c + bias * (c + c // reduction)) for n, c in stages)


def width_not_squared(stages, reduction=16, bias=False):
    """You count 2 c / r weights. A matrix from c to m numbers has c m of them: 2 c² / r."""
    return sum(n * (2 * c // reduction + bias * (c + c // reduction)) for n, c in stages)


def multiplied_by_r(stages, reduction=16, bias=False):
    """You multiply by r. The layers between get narrower by it: m = c / r."""
    return sum(n * (2 * c * c * reduction + bias * (c + c * reduction)) for n, c in stages)


def reduction_ignored(stages, reduction=16, bias=False):
    """You divide by 16 in every case. The reduction is an argument."""
    return sum(n * (2 * c * c // 16 + bias * (c + c // 16)) for n, c in stages)


def biases_once_a_stage(stages, reduction=16, bias=False):
    """You count the biases once a stage. Every block has its own."""
    return sum(n * 2 * c * (c // reduction) + bias * (c + c // reduction) for n, c in stages)


def true_division(stages, reduction=16, bias=False):
    """Right, but a float: `/` gives one. A number of weights is a whole number: `//`."""
    return float(added_parameters(stages, reduction, bias))


def count_by_layer(stages, reduction=16, bias=False):
    total = 0
    for blocks, c in stages:
        layers = nn.Linear(c, c // reduction, bias), nn.Linear(c // reduction, c, bias)
        total += blocks * sum(p.numel() for layer in layers for p in layer.parameters())
    return total


def count_by_module(stages, reduction=16, bias=False):
    sizes = [
        SqueezeExcite(c, reduction, bias).state_dict() for n, c in stages for _ in range(n)
    ]
    return sum(w.numel() for state in sizes for w in state.values())


def count_by_equation(stages, reduction=16, bias=False):
    squares = sum(n * c**2 for n, c in stages)
    sides = sum(n * (c + bottleneck(c, reduction)) for n, c in stages)
    return 2 * squares // reduction + (sides if bias else 0)


EXERCISE = Exercise(
    id="channel.added_parameters",
    solution=added_parameters,
    probes={"added_parameters": ""},
    trials=count_trials,
    slips=(
        one_layer,
        biases_forgotten,
        biases_always,
        biases_of_up_alone,
        biases_of_down_alone,
        two_c_biases,
        one_bias_each,
        one_block_a_stage,
        last_stage_alone,
        first_stage_alone,
        not_reduced,
        as_wide_as_the_channels,
        reduced_twice,
        width_not_squared,
        multiplied_by_r,
        reduction_ignored,
        biases_once_a_stage,
        true_division,
    ),
    hints=(
        "What shape has the weight of `down`, what shape that of `up`?",
        (
            "m x c and c x m with m = c / reduction; with `bias` m and c numbers more. So"
            " much for one block: sum over the blocks of each stage, then over the stages."
        ),
        "for blocks, c in stages: total += blocks * (2 c m + (c + m if bias))",
    ),
    minutes=4,
    difficulty=1,
    otherwise=(count_by_layer, count_by_module, count_by_equation),
)
