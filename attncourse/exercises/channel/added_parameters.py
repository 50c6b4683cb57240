"""How many weights squeeze-and-excitation adds to a network (eq. 5)."""

from torch import nn

from attncourse.exercises.edits import wrong
from attncourse.exercises.record import Exercise, Trial
from solutions.channel import SqueezeExcite, added_parameters, bottleneck


def trials():
    def trial(name, *stages, reduction, bias):
        return Trial(name, {}, dict(stages=stages, reduction=reduction, bias=bias))

    return (
        trial("for one block of 64 channels, r = 16", (1, 64), reduction=16, bias=False),
        trial("for blocks 2, 3 of 48, 96 channels", (2, 48), (3, 96), reduction=8, bias=False),
        trial("for the same with biases", (2, 48), (3, 96), reduction=8, bias=True),
        trial("for one block of 60 channels with biases", (1, 60), reduction=4, bias=True),
    )


# fmt: off
WEIGHTS = (
    wrong("one_layer", "2 * channels * m", "channels * m",
          "You count one of the two layers. `down` and `up` have c m weights each."),
    wrong("as_wide_as_the_channels", "2 * channels * m", "2 * channels * channels",
          "You count c c weights a layer, without r. The width between the layers is m = c / r: one"
          " layer has c m."),
    wrong("reduced_twice", "2 * channels * m", "2 * m * m",
          "You divide by r twice. One side of each matrix is m = c / r, the other is c."),
    wrong("width_not_squared", "2 * channels * m", "2 * m",
          "You count 2 c / r weights. A matrix from c to m numbers has c m of them: 2 c² / r."),
)

WIDTHS = (
    wrong("not_reduced", "bottleneck(channels, reduction)", "channels",
          "You count two c x c matrices. The width between the layers is m = c / r: c m each."),
    wrong("multiplied_by_r", "bottleneck(channels, reduction)", "channels * reduction",
          "You multiply by r. The layers between get narrower by it: m = c / r."),
    wrong("reduction_ignored", "2 * channels * m", "2 * channels * channels // 16",
          "You divide by 16 in every case. The reduction is an argument.",
          ("channels + m", "channels + channels // 16")),
    wrong("true_division", "bottleneck(channels, reduction)", "channels / reduction",
          "Right, but a float: `/` gives one. A number of weights is a whole number: `//`."),
)

BIASES = (
    wrong("biases_forgotten", " + bias * (channels + m)", "",
          "You leave out the biases, which are there with `bias`: m for `down`, c for `up`."),
    wrong("biases_always", "bias * (channels + m)", "channels + m",
          "You count biases where there are none. They are there only with `bias`."),
    wrong("biases_of_up_alone", "(channels + m)", "channels",
          "You count the biases of `up` alone. `down` has m of its own."),
    wrong("biases_of_down_alone", "(channels + m)", "m",
          "You count the biases of `down` alone. `up` has c of its own."),
    wrong("two_c_biases", "(channels + m)", "2 * channels",
          "You count 2 c biases. `up` has c, but `down` has only m = c / r of them."),
    wrong("one_bias_each", "(channels + m)", "2",
          "You count one bias a layer. Every unit has its own: m for `down`, c for `up`."),
    wrong("biases_once_a_stage", "(2 * channels * m + bias * (channels + m))",
          "2 * channels * m + bias * (channels + m)",
          "You count the biases once a stage. Every block has its own."),
)

SUMS = (
    wrong("one_block_a_stage", "blocks * (", "(",
          "You count one block a stage. Every block has a gate of its own."),
    wrong("stages_added_first", "total = 0",
          "stages = ((sum(n for n, _ in stages), sum(c for _, c in stages)),)\ntotal = 0",
          "You add the channels of all stages before you square them. Each stage has blocks of its"
          " own width: c times c / reduction, stage by stage."),
    wrong("last_stage_alone", "total +=", "total =",
          "You count the last stage alone. Every stage adds its own."),
    wrong("first_stage_alone", "return total", "    return total",
          "You count the first stage alone: is there a `return` inside the loop? Every stage adds"
          " its own."),
)
# fmt: on


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
    trials=trials,
    slips=(*WEIGHTS, *WIDTHS, *BIASES, *SUMS),
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
