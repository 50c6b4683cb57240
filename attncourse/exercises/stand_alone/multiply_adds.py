"""What a pixel costs: how many multiply-adds."""

from attncourse.exercises.edits import wrong
from attncourse.exercises.record import Exercise, Trial
from solutions.stand_alone import multiply_adds


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


# fmt: off
COST = "3 * channels**2 + products * window**2 * channels"

PROJECTIONS = (
    wrong("projections_alone", f"return {COST}", "return 3 * channels**2",
          "You count the projections alone. Each place of the window costs c for q · k, c for"
          " weights times v, and c for q · r."),
    wrong("convolution_counted", COST, "9 * channels**2",
          "You count a 3 x 3 convolution. Count attention: three projections and the products."),
    wrong("projections_in_places_alone", COST, "3 * window**2 * channels**2",
          "You count the projections alone, and for each place of the window. They are made once a"
          " pixel, 3 c²; then come the products, window² c each."),
    wrong("all_projected_in_every_place", "3 * channels**2", "3 * window**2 * channels**2",
          "You count the projections for each place of the window. They are made once a pixel: 3"
          " c²."),
    wrong("projected_in_every_place", "3 * channels**2", "(1 + 2 * window**2) * channels**2",
          "You project keys and values anew in every window. They are made once a pixel and then"
          " read by all windows around: 3 c² in all."),
    wrong("multiplied_and_added", COST, f"2 * ({COST})",
          "You count multiplications and additions apart: twice as many. One multiply-add is one;"
          " the paper's tables count two."),
)

PRODUCTS = (
    wrong("side_for_area", "window**2", "window",
          "You count `window` places. A window has window² of them."),
    wrong("places_without_features", "window**2 * channels", "window**2",
          "You count one multiply-add for each place. A product of two vectors costs their length,"
          " c in all heads."),
    wrong("as_a_convolution", "window**2 * channels", "window**2 * channels**2",
          "You count window² c² as for a convolution. Attention has no matrix for each place: a"
          " place costs c, not c²."),
    wrong("place_always", "3 if relative else 2", "3",
          "You count q · r although `relative` is False."),
    wrong("place_never", "3 if relative else 2", "2",
          "You leave out q · r where `relative` is True: window² c more."),
    wrong("place_inverted", "3 if relative else 2", "2 if relative else 3",
          "`relative` works the wrong way round: q · r counts where it is True."),
    wrong("place_through_matrix", "3 if relative else 2", "2",
          "You count q · r once a pixel, c. It costs c for each place of the window.",
          ("window**2 * channels", "window**2 * channels + relative * channels")),
    wrong("place_by_tables", "3 if relative else 2", "2",
          "You count q · r by its two tables, window c. That is how little it can cost; the paper"
          " counts it for each place, window² c, and so do we.",
          ("window**2 * channels", "window**2 * channels + relative * window * channels")),
    wrong("place_by_both_tables", "3 if relative else 2", "2",
          "You count q · r once for each row and once for each column, 2 window c. That can be"
          " done; the paper counts it for each place, window² c, and so do we.",
          ("window**2 * channels", "window**2 * channels + relative * 2 * window * channels")),
    wrong("place_by_half", "3 if relative else 2", "2",
          "You count half of the features for q · r. A place has a vector of d: half of the row and"
          " half of the column.",
          ("window**2 * channels", "window**2 * channels + relative * window**2 * channels // 2")),
)
# fmt: on


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
    slips=(*PROJECTIONS, *PRODUCTS),
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
