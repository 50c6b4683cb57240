"""The largest window for which attention costs no more than a convolution."""

import math

from attncourse.exercises.edits import wrong
from attncourse.exercises.record import Exercise, Trial
from solutions.stand_alone import largest_window


def window_trials():
    def trial(name, **sizes):
        return Trial(name, {}, sizes)

    return (
        trial("for 128 channels and 3 x 3", channels=128, kernel=3),
        trial("for 64 channels and 3 x 3", channels=64, kernel=3),
        trial("for 64 channels and 5 x 5", channels=64, kernel=5),
        trial("for 27 channels and 3 x 3", channels=27, kernel=3),
        trial("for 110 channels and 3 x 3", channels=110, kernel=3),
        trial("for 6 channels and 7 x 7", channels=6, kernel=7),
        trial("for 3 channels and 3 x 3", channels=3, kernel=3),
        trial("for 16 channels and 1 x 1", channels=16, kernel=1),
        trial("for 1 channel and 3 x 3", channels=1, kernel=3),
        trial("for 40,000 channels and 3 x 3", channels=40000, kernel=3),
    )


# fmt: off
COSTS = (
    wrong("projections_forgotten", "(kernel**2 - 3)", "kernel**2",
          "You leave out the projections: 3 c² on the side of attention."),
    wrong("four_projections_counted", "- 3)", "- 4)",
          "You count four projections. This layer has three."),
    wrong("one_product_counted", " // 2", "",
          "You count one product for each place. There are two, q · k and weights times v."),
    wrong("place_counted", "// 2", "// 3",
          "You count q · r. Here it is left out, as in the paper's comparison: 3 c² + 2 window²"
          " c."),
    wrong("always_for_3_x_3", "kernel**2", "9",
          "You compare with a 3 x 3 convolution whatever `kernel` is. It costs kernel² c²."),
    wrong("kernel_not_squared", "kernel**2", "kernel",
          "You count `kernel` places for the convolution. It has kernel²."),
    wrong("strictly_cheaper", "(kernel**2 - 3) * channels", "((kernel**2 - 3) * channels - 1)",
          "You ask for less than the convolution. As much is allowed: <=."),
)

ROOTS = (
    wrong("root_not_taken", "math.isqrt(square)", "square",
          "You give the number of places, window². The window is its root."),
    wrong("rounded_to_the_nearest", "math.isqrt(square)", "round(math.sqrt(square))",
          "You round the root to the nearest whole number, which may be too large. Round down:"
          " `math.isqrt`.",
          ("// 2", "/ 2")),
    wrong("even_windows_too", "root if root % 2 else root - 1", "root",
          "Yours may be even. A window has a middle, so its width is odd."),
    wrong("next_odd_number_above", "root - 1", "root + 1",
          "From an even root you go up to the next odd number: that costs more than the convolution. Go down."),
    wrong("rounded_up", "root if root % 2 else root - 1", "root + 2 if root % 2 else root + 1",
          "Yours is one step too large: it costs more than the convolution. Round down.",
          ("return 0", "return 1")),
    wrong("smallest_that_fits", "root if root % 2 else root - 1", "1",
          "You give the smallest window that fits. The largest is asked for."),
)

NONE_FITS = (
    wrong("at_least_one", "return 0", "return 1",
          "You give 1 where even a single pixel costs too much. There it is 0."),
    wrong("less_than_nothing", "return 0", "return -1",
          "Where nothing fits you give -1. It is 0."),
    wrong("at_least_three", "square < 1", "square < 9",
          "Your search begins at 3. A window of 1 is one too."),
)
# fmt: on


def window_by_search(channels, kernel=3):
    window = 0
    while 3 * channels**2 + 2 * (window + 2) ** 2 * channels <= kernel**2 * channels**2:
        window += 2
    one = 3 * channels + 2 <= kernel**2 * channels
    odd = [
        k for k in range(1, window + 3, 2) if 3 * channels + 2 * k**2 <= kernel**2 * channels
    ]
    return odd[-1] if one else 0


def window_by_root(channels, kernel=3):
    square = (kernel**2 - 3) * channels / 2
    if square < 1:
        return 0
    return 2 * int((math.sqrt(square + 1e-9) - 1) // 2) + 1


EXERCISE = Exercise(
    id="stand_alone.largest_window",
    solution=largest_window,
    probes={"largest_window": ""},
    trials=window_trials,
    slips=(*COSTS, *ROOTS, *NONE_FITS),
    hints=(
        "Write both costs down, with c for the channels, and divide by c. What is left?",
        (
            "3 c + 2 window² <= kernel² c. Solve it for the window, and take the next odd"
            " number below. `math.isqrt` rounds a root down. Nothing fits: 0."
        ),
        (
            "square = (kernel² - 3) c // 2; 0 if that is less than 1\n"
            "its whole root, one less if even"
        ),
    ),
    minutes=6,
    difficulty=2,
    otherwise=(window_by_search, window_by_root),
)
