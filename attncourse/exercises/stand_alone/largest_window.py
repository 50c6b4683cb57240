"""The record of `stand_alone.largest_window`."""

import math

from attncourse.exercises.record import Exercise, Trial
from solutions.stand_alone import (
    largest_window,
)


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


def fitting(channels, kernel, cost, odd=True):
    """The largest window that costs no more than a convolution."""
    limit = kernel**2 * channels**2
    return max((k for k in range(1, 999, 1 + odd) if cost(channels, k) <= limit), default=0)


def even_windows_too(channels, kernel=3):
    """Yours may be even. A window has a middle, so its width is odd."""
    return fitting(channels, kernel, lambda c, k: 3 * c**2 + 2 * k**2 * c, odd=False)


def rounded_up(channels, kernel=3):
    """Yours is one step too large: it costs more than the convolution. Round down."""
    found = largest_window(channels, kernel)
    return found + 2 if found else 1


def projections_forgotten(channels, kernel=3):
    """You leave out the projections: 3 c² on the side of attention."""
    return fitting(channels, kernel, lambda c, k: 2 * k**2 * c)


def place_counted(channels, kernel=3):
    """You count q · r. Here it is left out, as in the paper's comparison: 3 c² + 2 window²
    c."""
    return fitting(channels, kernel, lambda c, k: 3 * c**2 + 3 * k**2 * c)


def one_product_counted(channels, kernel=3):
    """You count one product for each place. There are two, q · k and weights times v."""
    return fitting(channels, kernel, lambda c, k: 3 * c**2 + k**2 * c)


def four_projections_counted(channels, kernel=3):
    """You count four projections. This layer has three."""
    return fitting(channels, kernel, lambda c, k: 4 * c**2 + 2 * k**2 * c)


def root_not_taken(channels, kernel=3):
    """You give the number of places, window². The window is its root."""
    square = (kernel**2 - 3) * channels // 2
    return max(square - (square % 2 == 0), 0)


def always_for_3_x_3(channels, kernel=3):
    """You compare with a 3 x 3 convolution whatever `kernel` is. It costs kernel² c²."""
    return largest_window(channels, 3)


def kernel_not_squared(channels, kernel=3):
    """You count `kernel` places for the convolution. It has kernel²."""
    limit = kernel * channels**2
    return max(
        (k for k in range(1, 999, 2) if 3 * channels**2 + 2 * k**2 * channels <= limit),
        default=0,
    )


def at_least_one(channels, kernel=3):
    """You give 1 where even a single pixel costs too much. There it is 0."""
    return max(largest_window(channels, kernel), 1)


def next_odd_number_above(channels, kernel=3):
    """From an even root you go up to the next odd number: too dear. Go down."""
    square = (kernel**2 - 3) * channels // 2
    if square < 1:
        return 0
    root = math.isqrt(square)
    return root if root % 2 else root + 1


def rounded_to_the_nearest(channels, kernel=3):
    """You round the root to the nearest whole number, which may be too large. Round down:
    `math.isqrt`."""
    square = (kernel**2 - 3) * channels / 2
    if square < 1:
        return 0
    root = round(math.sqrt(square))
    return root if root % 2 else root - 1


def less_than_nothing(channels, kernel=3):
    """Where nothing fits you give -1. It is 0."""
    return largest_window(channels, kernel) or -1


def strictly_cheaper(channels, kernel=3):
    """You ask for less than the convolution. As much is allowed: <=."""
    limit = kernel**2 * channels**2
    fits = (k for k in range(1, 999, 2) if 3 * channels**2 + 2 * k**2 * channels < limit)
    return max(fits, default=0)


def smallest_that_fits(channels, kernel=3):
    """You give the smallest window that fits. The largest is asked for."""
    return min(largest_window(channels, kernel), 1)


def at_least_three(channels, kernel=3):
    """Your search begins at 3. A window of 1 is one too."""
    found = largest_window(channels, kernel)
    return found if found > 1 else 0


def nothing_said(channels, kernel=3):
    """Where nothing fits you return None. It is 0."""
    return largest_window(channels, kernel) or None


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
    slips=(
        even_windows_too,
        rounded_up,
        projections_forgotten,
        place_counted,
        one_product_counted,
        four_projections_counted,
        root_not_taken,
        always_for_3_x_3,
        kernel_not_squared,
        at_least_one,
        next_odd_number_above,
        rounded_to_the_nearest,
        less_than_nothing,
        strictly_cheaper,
        smallest_that_fits,
        at_least_three,
        nothing_said,
    ),
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
