"""The record of `fast.local_mod`."""

import torch

from attncourse.exercises.families import family
from attncourse.exercises.record import Exercise
from solutions.fast.mods import local_mod

try:
    import triton.language as tl
except ImportError:  # Triton is there for Linux
    tl = None
from attncourse.exercises.fast.shared import mod_trials

local_mod_trials = mod_trials(
    (
        (20, dict(width=5, window=3)),
        (21, dict(width=7, window=5)),
        (24, dict(width=4, window=3)),
        (48, dict(width=8, window=7)),
        (6, dict(width=6, window=3)),
        (7, dict(width=1, window=5)),
    )
)


def near_rows(i, j, width):
    return j // width - i // width


def near_columns(i, j, width):
    return j % width - i % width


def half(window):
    return window // 2


def at_most(down, across, reach):
    return (abs(down) <= reach) & (abs(across) <= reach)


def local_recipe(rowing=near_rows, columning=near_columns, reaching=half, comparing=at_most):
    def answer(batch, head, i, j, width, window):
        return comparing(rowing(i, j, width), columning(i, j, width), reaching(window))

    return answer


def a_line_of_tokens(i, j, width):
    """You take the distance in the line, j - i, for the one in columns. The last pixel of a row
    and the first of the next are neighbours in the line and not on the map: j % width - i %
    width."""
    return j - i


def columns_of_the_key(i, j, width):
    """You ask which column the key is in. It is the difference of both columns: j % width - i %
    width."""
    return j % width


def remainder_of_the_difference(i, j, width):
    """You take (j - i) % width for the columns: it is never negative, so that a column to the
    left is far away. Take both remainders first: j % width - i % width."""
    return (j - i) % width


def rows_of_the_difference(i, j, width):
    """You take (j - i) // width for the rows, which rounds down: a pixel behind the query in
    its own row is a row above. Take both quotients first: j // width - i // width."""
    return (j - i) // width


def whole_window(window):
    """You reach a whole window to each side. With the query in the middle it is window // 2."""
    return window


def window_less_one(window):
    """You reach window - 1 to each side. With the query in the middle it is window // 2."""
    return window - 1


def half_less_one(window):
    """You reach one too short: window // 2 to each side, which counts as well, `<=`."""
    return window // 2 - 1


def near_in_one(down, across, reach):
    """You show a key that is near in rows *or* in columns. It is both: `&`."""
    return (abs(down) <= reach) | (abs(across) <= reach)


def signs_ignored(down, across, reach):
    """Your differences have signs, and all negative ones are below the reach. Take `abs`."""
    return (down <= reach) & (across <= reach)


def distances_added(down, across, reach):
    """You add both distances: a diamond. Each by itself is at most window // 2."""
    return abs(down) + abs(across) <= reach


def a_disc(down, across, reach):
    """Your window is round. It is a square: each distance by itself is at most window // 2."""
    return down**2 + across**2 <= reach**2


def far_ones(down, across, reach):
    """Your mask is inverted: True where a query may *not* attend. FlexAttention keeps what is
    True."""
    return ~at_most(down, across, reach)


def causal_too(down, across, reach):
    """You hide what comes later. A window on a map looks to all sides."""
    return at_most(down, across, reach) & ((down < 0) | ((down == 0) & (across <= 0)))


def not_the_query(down, across, reach):
    """The query itself is hidden. It is in the middle of its window."""
    return at_most(down, across, reach) & ((down != 0) | (across != 0))


def blocks_for_rows(batch, head, i, j, width, window):
    """You divide by `window`. Rows and columns come from the width of the map: i // width, i %
    width."""
    return local_mod(batch, head, i, j, window, window)


def fractions_of_rows(batch, head, i, j, width, window):
    """You take i / width for the row, which is a fraction. The row is the whole part: i //
    width."""
    rows = abs(j / width - i / width) <= window // 2
    return rows & (abs(near_columns(i, j, width)) <= window // 2)


def near_in_rows_alone(batch, head, i, j, width, window):
    """Only rows count in your mask. Columns must be near as well: row i // width, column i %
    width."""
    return abs(near_rows(i, j, width)) <= window // 2


def near_in_columns_alone(batch, head, i, j, width, window):
    """Only columns count in your mask. Rows must be near as well: row i // width, column i %
    width."""
    return abs(near_columns(i, j, width)) <= window // 2


def half_window_up(batch, head, i, j, width, window):
    """You reach one too far: window // 2 to each side, and not (window + 1) // 2."""
    return local_mod(batch, head, i, j, width, window + 2)


def own_block_of_pixels(batch, head, i, j, width, window):
    """You cut the map into fixed blocks. A window moves with its query: |dy|, |dx| <= window //
    2."""
    rows = (i // width) // window == (j // width) // window
    return rows & ((i % width) // window == (j % width) // window)


def local_numbers(batch, head, i, j, width, window):
    """You return numbers. A mask_mod returns True or False: comparisons make it so."""
    return local_mod(batch, head, i, j, width, window).double()


def local_mod_by_torch(batch, head, i, j, width, window):
    down = torch.div(i, width, rounding_mode="floor") - torch.div(
        j, width, rounding_mode="floor"
    )
    across = torch.remainder(i, width) - torch.remainder(j, width)
    return torch.maximum(down.abs(), across.abs()) <= (window - 1) // 2


def local_mod_by_corners(batch, head, i, j, width, window):
    y, x, v, u = i // width, i % width, j // width, j % width
    r = window // 2
    return (y - r <= v) & (v <= y + r) & (x - r <= u) & (u <= x + r)


EXERCISE = Exercise(
    id="fast.local_mod",
    solution=local_mod,
    probes={"local_mod": "i j"},
    trials=local_mod_trials,
    slips=(
        *family(
            local_recipe,
            paired=(
                whole_window,
                near_in_one,
                a_line_of_tokens,
                signs_ignored,
                remainder_of_the_difference,
                rows_of_the_difference,
                causal_too,
            ),
            rowing=(rows_of_the_difference,),
            columning=(
                a_line_of_tokens,
                columns_of_the_key,
                remainder_of_the_difference,
            ),
            reaching=(whole_window, window_less_one, half_less_one),
            comparing=(
                near_in_one,
                signs_ignored,
                distances_added,
                a_disc,
                far_ones,
                causal_too,
                not_the_query,
            ),
        ),
        half_window_up,
        blocks_for_rows,
        fractions_of_rows,
        near_in_columns_alone,
        near_in_rows_alone,
        own_block_of_pixels,
        local_numbers,
    ),
    hints=(
        "On a map of 5 columns, where is token 13? And which tokens are its neighbours to"
        " the left, to the right, above and below?",
        "Row i // width, column i % width. A key is in the window where rows and columns"
        " each differ by at most window // 2.",
        "down = j // width - i // width;  across = j % width - i % width\n"
        "(abs(down) <= window // 2) & (abs(across) <= window // 2)",
    ),
    minutes=6,
    difficulty=2,
    otherwise=(local_mod_by_torch, local_mod_by_corners),
    skip=frozenset({"gradients", "large", "strided", "float32"}),
)
