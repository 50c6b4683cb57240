"""What a non-local block costs: four layers on every pixel, and two products with the map."""

import math

from attncourse.exercises.edits import published, wrong
from attncourse.exercises.record import Exercise, Trial
from solutions.non_local import multiply_adds


def cost_trials():
    def trial(name, channels, middle, pixels, keys):
        init = dict(channels=channels, middle=middle, pixels=pixels, keys=keys)
        return Trial(name, {}, init)

    return (
        trial("for 12 channels, middle 5, 48 pixels, 48 keys", 12, 5, 48, 48),
        trial("for 1024 channels, middle 512, 196 pixels, 49 keys", 1024, 512, 196, 49),
        trial("for 7 channels, middle 3, 10 pixels, 4 keys", 7, 3, 10, 4),
    )


# fmt: off
COUNTS = (
    wrong("projections_alone", "projections + products", "projections",
          "You count the four layers alone. Two products with the map come on top."),
    wrong("three_layers", "4 * pixels", "3 * pixels",
          "You count three layers. There are four: queries, keys, values, and the one that leads"
          " back to c."),
    wrong("one_product", "2 * pixels", "pixels",
          "You count one product with the map. There are two: q kᵀ, and weights times v."),
    wrong("pixels_squared", "pixels * keys", "pixels**2",
          "You count pixels times pixels. Where keys are pooled there are fewer of them: pixels"
          " times keys."),
    wrong("products_in_full_width", "keys * middle", "keys * channels",
          "You count the products with c features. Queries, keys and values have m."),
    wrong("counted_twice", "projections + products", "2 * (projections + products)",
          "You count multiplications and additions apart: twice as many. One multiply-add is one."),
    wrong("only_values_pooled_first", "4 * pixels", "(3 * pixels + keys)",
          "You count the values (or the keys) for the pooled pixels. Every pixel is projected;"
          " pooling comes after."),
    wrong("one_pixel", "4 * pixels", "4",
          "You count one pixel. There are `pixels` of them.",
          ("2 * pixels", "2")),
    wrong("biases_and_softmax_counted", "projections + products",
          "projections + products + pixels * (3 * middle + channels) + pixels * keys",
          "You count the biases and the softmax as well. Only products are counted: four layers, and"
          " two with the map."),
    wrong("biases_counted", "projections + products",
          "projections + products + pixels * (3 * middle + channels)",
          "You count the biases: they are added and not multiplied."),
    published("projected_after_pooling", "4 * pixels", "2 * (pixels + keys)",
              "You count keys and values where they are projected after pooling, as in the authors'"
              " released code. The paper projects every pixel and pools then."),
)
# fmt: on


def cost_by_pixel(channels, middle, pixels, keys):
    each = channels * middle * 4 + middle * keys + keys * middle
    return pixels * each


def cost_by_matrix(channels, middle, pixels, keys):
    made = [(pixels, channels, middle)] * 3 + [(pixels, middle, channels)]
    made += [(pixels, middle, keys), (pixels, keys, middle)]
    return sum(math.prod(sizes) for sizes in made)


EXERCISE = Exercise(
    id="non_local.multiply_adds",
    solution=multiply_adds,
    probes={"multiply_adds": ""},
    trials=cost_trials,
    slips=COUNTS,
    hints=(
        "Which layers and which products are there, and on how many pixels does each work?",
        (
            "Four layers of c m on every pixel: queries, keys, values, and back. Then q kᵀ"
            " and weights times v, m for each pair of pixel and key."
        ),
        "4 n c m + 2 n j m",
    ),
    minutes=4,
    difficulty=1,
    otherwise=(cost_by_pixel, cost_by_matrix),
)
