"""What a head that should read one pixel gives to the others, at most."""

import math

import torch

from attncourse.exercises.edits import wrong
from attncourse.exercises.record import Exercise, Trial
from solutions.united.as_convolution import leak


def leak_trials():
    def trial(sharpness, reach):
        name = f"for a sharpness of {sharpness} and a reach of {reach}"
        return Trial(name, {}, dict(sharpness=sharpness, reach=reach))

    return (trial(0.5, 2), trial(1.3, 1), trial(2.0, 5), trial(0.1, 3), trial(1.0, 0))


# fmt: off
WAYS = (
    wrong("kept_not_leaked", "return beside * (2 + beside) / (1 + beside) ** 2", "return 1 / (1 + beside) ** 2",
          "You return the share that the pixel keeps. What leaks is the rest: 1 minus it."),
    wrong("one_axis", "beside * (2 + beside) / (1 + beside) ** 2", "beside / (1 + beside)",
          "You count one row of keys. The plane has two axes: what is kept is the product of what"
          " is kept along each."),
    wrong("weights_not_shares", "beside * (2 + beside) / (1 + beside) ** 2", "beside * (2 + beside)",
          "You return the weights of the others before they are divided by the sum over all keys."
          " A share is a part of that sum."),
    wrong("one_side", "2 * sum", "sum",
          "You count the keys on one side. There are as many on the other: twice the sum."),
    wrong("square_missing", "-sharpness * n**2", "-sharpness * n",
          "Your weights fall with the distance. The logits fall with its square: exp(-sharpness"
          " n²)."),
    wrong("itself_beside", "range(1, reach + 1)", "range(reach + 1)",
          "You count the pixel itself among the others: n starts at 1."),
    wrong("last_left_out", "range(1, reach + 1)", "range(1, reach)",
          "You leave out the farthest keys: n runs from 1 to reach."),
    wrong("whole_plane", "range(1, reach + 1)", "range(1, reach + 200)",
          "You sum over the whole plane. Only keys up to `reach` are there."),
    wrong("a_disc", "return beside * (2 + beside) / (1 + beside) ** 2",
          "near = range(-reach, reach + 1)\n"
          "total = sum(math.exp(-sharpness * (y * y + x * x)) for y in near for x in near if y * y + x * x <= reach**2)\n"
          "return 1 - 1 / total",
          "You sum over the keys of a disc. They fill a square: up to `reach` in each direction."),
    wrong("root_of_the_square", "-sharpness * n**2", "-sharpness * n**2 / 2",
          "You halve the exponent, as in a normal distribution. The logits are -sharpness n²."),
    wrong("range_without_its_end", "return beside * (2 + beside) / (1 + beside) ** 2",
          "total = sum(math.exp(-sharpness * n**2) for n in range(-reach, reach))\n"
          "return 1 - 1 / total**2 if reach else 0.0",
          "Your range ends before `reach`: `range(-reach, reach)` leaves out the last key. It goes to"
          " reach + 1."),
    wrong("variance_for_sharpness", "-sharpness * n**2", "-(n**2) / (2 * sharpness)",
          "You take sharpness for a variance. The logits are -sharpness n²."),
    wrong("four_neighbours", "return beside * (2 + beside) / (1 + beside) ** 2",
          "return 4 * math.exp(-sharpness)",
          "You count the four neighbours alone, as if they were all: good for a sharp head, too"
          " little for a dull one, and not divided by the sum."),
)
# fmt: on


def leak_by_softmax(sharpness, reach):
    n = torch.arange(-reach, reach + 1, dtype=torch.float64)
    logits = -sharpness * (n[:, None] ** 2 + n**2)
    weights = logits.flatten().softmax(0)
    return 1 - weights[len(weights) // 2].item()


def leak_by_loops(sharpness, reach):
    total = 0.0
    for y in range(-reach, reach + 1):
        for x in range(-reach, reach + 1):
            total += math.exp(-sharpness * (x * x + y * y))
    return (total - 1) / total


EXERCISE = Exercise(
    id="united.leak",
    solution=leak,
    probes={"leak": ""},
    trials=leak_trials,
    slips=WAYS,
    hints=(
        "Before the softmax divides, a key at offset (x, y) from the head's pixel weighs"
        " exp(-sharpness (x² + y²)). What do all weigh together?",
        "exp(-s (x² + y²)) = exp(-s x²) exp(-s y²): the sum over the plane is the square of the sum"
        " over a line. The pixel itself weighs 1.",
        "line = Σ exp(-sharpness n²) over n from -reach to reach\nreturn 1 - 1 / line²",
    ),
    minutes=7,
    difficulty=3,
    otherwise=(leak_by_softmax, leak_by_loops),
)
