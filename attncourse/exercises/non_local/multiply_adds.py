"""The record of `non_local.multiply_adds`."""

import math

from attncourse.exercises.record import Exercise, Trial, variant
from solutions.non_local import (
    multiply_adds,
)


def cost_trials():
    def trial(name, channels, middle, pixels, keys):
        init = dict(channels=channels, middle=middle, pixels=pixels, keys=keys)
        return Trial(name, {}, init)

    return (
        trial("for 12 channels, middle 5, 48 pixels, 48 keys", 12, 5, 48, 48),
        trial("for 1024 channels, middle 512, 196 pixels, 49 keys", 1024, 512, 196, 49),
        trial("for 7 channels, middle 3, 10 pixels, 4 keys", 7, 3, 10, 4),
    )


def projections_alone(channels, middle, pixels, keys):
    """You count the four layers alone. Two products with the map come on top."""
    return 4 * pixels * channels * middle


def products_alone(channels, middle, pixels, keys):
    """You count the two products alone. Four layers come on top, c m for each pixel."""
    return 2 * pixels * keys * middle


def three_layers(channels, middle, pixels, keys):
    """You count three layers. There are four: queries, keys, values, and the one that leads
    back to c."""
    return 3 * pixels * channels * middle + 2 * pixels * keys * middle


def one_product(channels, middle, pixels, keys):
    """You count one product with the map. There are two: q kᵀ, and weights times v."""
    return 4 * pixels * channels * middle + pixels * keys * middle


def pixels_squared(channels, middle, pixels, keys):
    """You count pixels times pixels. Where keys are pooled there are fewer of them: pixels
    times keys."""
    return 4 * pixels * channels * middle + 2 * pixels**2 * middle


def keys_squared(channels, middle, pixels, keys):
    """You count keys times keys. Every pixel asks: pixels times keys."""
    return 4 * pixels * channels * middle + 2 * keys**2 * middle


def products_in_full_width(channels, middle, pixels, keys):
    """You count the products with c features. Queries, keys and values have m."""
    return 4 * pixels * channels * middle + 2 * pixels * keys * channels


def counted_twice(channels, middle, pixels, keys):
    """You count multiplications and additions apart: twice as many. One multiply-add is one."""
    return 2 * multiply_adds(channels, middle, pixels, keys)


def full_width_layers(channels, middle, pixels, keys):
    """You count layers of c x c. They lead from c to m and back: c m."""
    return 4 * pixels * channels**2 + 2 * pixels * keys * middle


def once_for_the_image(channels, middle, pixels, keys):
    """You count each layer once. It is applied to every pixel: times n."""
    return 4 * channels * middle + 2 * pixels * keys * middle


def one_product_in_full_width(channels, middle, pixels, keys):
    """You count weights times v with c features. Values have m: the way back to c comes
    after."""
    return 4 * pixels * channels * middle + pixels * keys * (middle + channels)


def only_values_pooled_first(channels, middle, pixels, keys):
    """You count the values (or the keys) for the pooled pixels. Every pixel is projected;
    pooling comes after."""
    return (
        3 * pixels * channels * middle + keys * channels * middle + 2 * pixels * keys * middle
    )


def one_pixel(channels, middle, pixels, keys):
    """You count one pixel. There are `pixels` of them."""
    return 4 * channels * middle + 2 * keys * middle


def biases_counted(channels, middle, pixels, keys):
    """You count the biases: they are added and not multiplied."""
    return multiply_adds(channels, middle, pixels, keys) + pixels * (3 * middle + channels)


@variant
def projected_after_pooling(channels, middle, pixels, keys):
    """You count keys and values where they are projected after pooling, as in the authors'
    released code. The paper projects every pixel and pools then."""
    return 2 * (pixels + keys) * channels * middle + 2 * pixels * keys * middle


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
    slips=(
        projections_alone,
        products_alone,
        three_layers,
        one_product,
        pixels_squared,
        keys_squared,
        products_in_full_width,
        counted_twice,
        full_width_layers,
        once_for_the_image,
        one_product_in_full_width,
        only_values_pooled_first,
        one_pixel,
        biases_counted,
        projected_after_pooling,
    ),
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
