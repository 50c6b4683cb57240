"""The record of `stand_alone.multiply_adds`."""

from attncourse.exercises.record import Exercise, Trial
from solutions.stand_alone import (
    multiply_adds,
)


def cost_trials():
    def trial(name, **sizes):
        return Trial(name, {}, sizes)

    return (
        trial("for 12 channels, window = 5", channels=12, window=5, relative=True),
        trial(
            "for 128 channels, window = 19, without q · r",
            channels=128,
            window=19,
            relative=False,
        ),
        trial("for 64 channels, window = 7", channels=64, window=7, relative=True),
    )


def products_alone(channels, window, relative=True):
    """You count the products alone. The three projections cost c² each."""
    return (2 + relative) * window**2 * channels


def projections_alone(channels, window, relative=True):
    """You count the projections alone. Each place of the window costs c for q · k, c for
    weights times v, and c for q · r."""
    return 3 * channels**2


def side_for_area(channels, window, relative=True):
    """You count `window` places. A window has window² of them."""
    return 3 * channels**2 + (2 + relative) * window * channels


def one_product_alone(channels, window, relative=True):
    """You count one product for each place. There are two, q · k and weights times v, and q · r
    on top."""
    return 3 * channels**2 + (1 + relative) * window**2 * channels


def place_always(channels, window, relative=True):
    """You count q · r although `relative` is False."""
    return 3 * channels**2 + 3 * window**2 * channels


def place_never(channels, window, relative=True):
    """You leave out q · r where `relative` is True: window² c more."""
    return 3 * channels**2 + 2 * window**2 * channels


def four_projections(channels, window, relative=True):
    """You count four projections. This layer has three: nothing comes after the heads."""
    return 4 * channels**2 + (2 + relative) * window**2 * channels


def as_a_convolution(channels, window, relative=True):
    """You count window² c² as for a convolution. Attention has no matrix for each place: a
    place costs c, not c²."""
    return 3 * channels**2 + (2 + relative) * window**2 * channels**2


def multiplied_and_added(channels, window, relative=True):
    """You count multiplications and additions apart: twice as many. One multiply-add is one;
    the paper's tables count two."""
    return 2 * (3 * channels**2 + (2 + relative) * window**2 * channels)


def place_through_matrix(channels, window, relative=True):
    """You count q · r once a pixel, c. It costs c for each place of the window."""
    return 3 * channels**2 + 2 * window**2 * channels + relative * channels


def convolution_counted(channels, window, relative=True):
    """You count a 3 x 3 convolution. Count attention: three projections and the products."""
    return 9 * channels**2


def one_projection(channels, window, relative=True):
    """You count one projection. Queries, keys and values are three."""
    return channels**2 + (2 + relative) * window**2 * channels


def places_without_features(channels, window, relative=True):
    """You count one multiply-add for each place. A product of two vectors costs their length, c
    in all heads."""
    return 3 * channels**2 + (2 + relative) * window**2


def projected_in_every_place(channels, window, relative=True):
    """You project keys and values anew in every window. They are made once a pixel and then
    read by all windows around: 3 c² in all."""
    return (1 + 2 * window**2) * channels**2 + (2 + relative) * window**2 * channels


def all_projected_in_every_place(channels, window, relative=True):
    """You count the projections for each place of the window. They are made once a pixel: 3
    c²."""
    return 3 * window**2 * channels**2 + (2 + relative) * window**2 * channels


def place_by_tables(channels, window, relative=True):
    """You count q · r by its two tables, window c. That is how little it can cost; the paper
    counts it for each place, window² c, and so do we."""
    return 3 * channels**2 + 2 * window**2 * channels + relative * window * channels


def place_inverted(channels, window, relative=True):
    """`relative` works the wrong way round: q · r counts where it is True."""
    return 3 * channels**2 + (3 - relative) * window**2 * channels


def place_by_both_tables(channels, window, relative=True):
    """You count q · r once for each row and once for each column, 2 window c. That can be done;
    the paper counts it for each place, window² c, and so do we."""
    return 3 * channels**2 + 2 * window**2 * channels + relative * 2 * window * channels


def place_by_half(channels, window, relative=True):
    """You count half of the features for q · r. A place has a vector of d: half of the row and
    half of the column."""
    return 3 * channels**2 + 2 * window**2 * channels + relative * window**2 * channels // 2


def projections_in_places_alone(channels, window, relative=True):
    """You count the projections alone, and for each place of the window. They are made once a
    pixel, 3 c²; then come the products, window² c each."""
    return 3 * window**2 * channels**2


def cost_by_steps(channels, window, relative=True):
    steps = [channels * channels] * 3 + [channels * window * window] * 2
    return sum(steps) + (channels * window * window if relative else 0)


def cost_factored(channels, window, relative=True):
    return channels * (3 * channels + (3 if relative else 2) * window**2)


EXERCISE = Exercise(
    id="stand_alone.multiply_adds",
    solution=multiply_adds,
    probes={"multiply_adds": ""},
    trials=cost_trials,
    slips=(
        products_alone,
        projections_alone,
        side_for_area,
        one_product_alone,
        place_always,
        place_never,
        four_projections,
        as_a_convolution,
        multiplied_and_added,
        place_through_matrix,
        convolution_counted,
        one_projection,
        places_without_features,
        projected_in_every_place,
        all_projected_in_every_place,
        place_by_tables,
        place_inverted,
        place_by_both_tables,
        place_by_half,
        projections_in_places_alone,
    ),
    hints=(
        "How many numbers are multiplied for one score q · k, in all heads together?",
        (
            "d in each head, so c in all. The same for weights times v, and for q · r."
            " There are window² places. A projection is a c x c matrix."
        ),
        "3 c² + (3 or 2) window² c",
    ),
    minutes=5,
    difficulty=2,
    otherwise=(cost_by_steps, cost_factored),
)
