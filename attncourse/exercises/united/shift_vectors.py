"""The weights of a proof: a vector for each place of a kernel, whose head reads that pixel."""

import torch

from attncourse.exercises.edits import often, wrong
from attncourse.exercises.record import Exercise, Trial
from solutions.united.as_convolution import shift_vectors


def vector_trials():
    def trial(window, sharpness):
        name = f"for a window of {window} and a sharpness of {sharpness}"
        inputs = dict(window=window, sharpness=sharpness)
        return Trial(name, dict(head=window**2, three=3), inputs)

    return (trial(3, 0.7), trial(5, 2.5), trial(2, 1.5), trial(1, 3.0))


# fmt: off
SIGNS = (
    *often(
        wrong("shift_turned_round", "place = torch.arange(window) - (window - 1) / 2",
              "place = (window - 1) / 2 - torch.arange(window)",
              "Your heads look the other way: the first place of the kernel is above and to the"
              " left, at -reach, and a convolution reads the pixel there."),
        wrong("parabola_opens_upwards", "-torch.ones", "torch.ones",
              "The last number is positive: then far keys win. It is -sharpness, so that the"
              " logits fall with the distance."),
        wrong("without_the_2", "[2 * across, 2 * down,", "[across, down,",
              "The 2 is missing: |δ - Δ|² has -2 δ·Δ in it. Without it the top of the parabola"
              " stands at half the shift."),
    ),
    wrong("square_not_sharpened", "sharpness * torch.stack([2 * across, 2 * down, -torch.ones_like(down)], -1)",
          "torch.stack([2 * sharpness * across, 2 * sharpness * down, -torch.ones_like(down)], -1)",
          "Sharpness multiplies the first two numbers alone: the top of the parabola moves to"
          " sharpness times the shift. It multiplies all three."),
    wrong("places_from_minus_one_to_one", "torch.arange(window) - (window - 1) / 2",
          "torch.linspace(-1, 1, window)",
          "Your places run from -1 to 1 whatever the window is. They are in pixels: from -(window -"
          " 1) / 2 to (window - 1) / 2."),
    wrong("sharpness_divides", "sharpness * torch.stack", "1 / sharpness * torch.stack",
          "You divide by the sharpness: the sharper, the duller. It multiplies."),
)

ORDERS = (
    wrong("rows_first", "[2 * across, 2 * down,", "[2 * down, 2 * across,",
          "Rows and columns are exchanged: the first number of an offset is across."),
    wrong("from_the_corner", "torch.arange(window) - (window - 1) / 2", "torch.arange(window) * 1.0",
          "Your shifts count from 0. The middle of the kernel is the pixel itself: from -(window -"
          " 1) / 2 on."),
    wrong("rounded_middle", "(window - 1) / 2", "window // 2",
          "The middle of an even window lies between two places: subtract (window - 1) / 2, not"
          " window // 2."),
    wrong("square_first", "[2 * across, 2 * down, -torch.ones_like(down)]",
          "[-torch.ones_like(down), 2 * across, 2 * down]",
          "Your factor of the squared distance comes first. It comes last, as in"
          " `offset_encoding`."),
)
# fmt: on


def vectors_by_loops(window, sharpness):
    half = (window - 1) / 2
    return torch.tensor(
        [
            (2 * sharpness * (dx - half), 2 * sharpness * (dy - half), -sharpness)
            for dy in range(window)
            for dx in range(window)
        ]
    )


def vectors_by_products(window, sharpness):
    n = torch.arange(window).float() - window / 2 + 0.5
    down, across = torch.cartesian_prod(n, n).reshape(-1, 2).unbind(-1)
    both = 2 * torch.stack([across, down], 1)
    return sharpness * torch.cat([both, both.new_full((len(both), 1), -1.0)], 1)


EXERCISE = Exercise(
    id="united.shift_vectors",
    solution=shift_vectors,
    probes={"shift_vectors": "head three"},
    trials=vector_trials,
    slips=(*SIGNS, *ORDERS),
    hints=(
        "Which function of the offset δ is largest at δ = Δ and falls on all sides?",
        "-|δ - Δ|² = -|δ|² + 2 δ·Δ - |Δ|². The last term is the same for all keys: the softmax does"
        " not see it. The others are a product of a vector with (δx, δy, |δ|²).",
        "place = 0 … window - 1, minus its middle (window - 1) / 2\n"
        "for each dy, dx: sharpness · (2 place[dx], 2 place[dy], -1)\n"
        "in order of rows: (dy dx)",
    ),
    minutes=8,
    difficulty=3,
    otherwise=(vectors_by_loops, vectors_by_products),
    skip=frozenset({"gradients", "large"}),
)
