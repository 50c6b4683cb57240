"""A pattern for FlexAttention: a window around each pixel of a map."""

from attncourse.exercises.edits import often, wrong
from attncourse.exercises.fast.shared import mod_trials
from attncourse.exercises.record import Exercise, Trial
from solutions.fast.mods import local_mod


def local_mod_trials():
    numbers = dict(batch=0, head=0, i=17, j=23, width=5, window=3)
    return (*tensor_trials(), Trial("for numbers, i = 17 and j = 23", {}, numbers))


tensor_trials = mod_trials(
    (
        (20, dict(width=5, window=3)),
        (21, dict(width=7, window=5)),
        (24, dict(width=4, window=3)),
        (48, dict(width=8, window=7)),
        (6, dict(width=6, window=3)),
        (7, dict(width=1, window=5)),
    )
)

# fmt: off
PLACES = (
    *often(
        wrong("rows_of_the_difference", "j // width - i // width", "(j - i) // width",
              "You take (j - i) // width for the rows, which rounds down: a pixel behind the"
              " query in its own row is a row above. Take both quotients first: j // width - i //"
              " width."),
        wrong("a_line_of_tokens", "j % width - i % width", "j - i",
              "You take the distance in the line, j - i, for the one in columns. The last pixel"
              " of a row and the first of the next are neighbours in the line and not on the map:"
              " j % width - i % width."),
        wrong("remainder_of_the_difference", "j % width - i % width", "(j - i) % width",
              "You take (j - i) % width for the columns: it is never negative, so that a column"
              " to the left is far away. Take both remainders first: j % width - i % width."),
    ),
    wrong("window_begins_at_the_query", "(abs(down) <= reach) & (abs(across) <= reach)",
          "(down >= 0) & (down < window) & (across >= 0) & (across < window)",
          "Your window begins at the query. The query is its middle: window // 2 to each side."),
    wrong("difference_of_the_numbers_cut", "down = j // width - i // width", "down = (i - j) // width",
          "You take i - j first and cut the difference into rows and columns. Cut i and j, each by"
          " itself, and take the differences then.",
          ("across = j % width - i % width", "across = (i - j) % width")),
    wrong("columns_of_the_key", "j % width - i % width", "j % width",
          "You ask which column the key is in. It is the difference of both columns: j % width -"
          " i % width."),
    wrong("blocks_for_rows", "j // width - i // width", "j // window - i // window",
          "You divide by `window`. Rows and columns come from the width of the map: i // width, i"
          " % width.",
          ("j % width - i % width", "j % window - i % window")),
    wrong("fractions_of_rows", "j // width - i // width", "j / width - i / width",
          "You take i / width for the row, which is a fraction. The row is the whole part: i //"
          " width."),
)

REACHES = (
    *often(
        wrong("whole_window", "window // 2", "window",
              "You reach a whole window to each side. With the query in the middle it is window"
              " // 2."),
    ),
    wrong("window_less_one", "window // 2", "window - 1",
          "You reach window - 1 to each side. With the query in the middle it is window // 2."),
    wrong("half_less_one", "window // 2", "window // 2 - 1",
          "You reach one too short: window // 2 to each side, which counts as well, `<=`."),
    wrong("half_window_up", "window // 2", "(window + 1) // 2",
          "You reach one too far: window // 2 to each side, and not (window + 1) // 2."),
)

WINDOWS = (
    *often(
        wrong("near_in_one", "<= reach) &", "<= reach) |",
              "You show a key that is near in rows *or* in columns. It is both: `&`."),
        wrong("signs_ignored", "(abs(down) <= reach) & (abs(across) <= reach)",
              "(down <= reach) & (across <= reach)",
              "Your differences have signs, and all negative ones are below the reach. Take"
              " `abs`."),
        wrong("causal_too", "return (abs(down)", "return (j <= i) & (abs(down)",
              "You hide what comes later. A window on a map looks to all sides."),
    ),
    wrong("distances_added", "(abs(down) <= reach) & (abs(across) <= reach)",
          "abs(down) + abs(across) <= reach",
          "You add both distances: a diamond. Each by itself is at most window // 2."),
    wrong("a_disc", "(abs(down) <= reach) & (abs(across) <= reach)",
          "down**2 + across**2 <= reach**2",
          "Your window is round. It is a square: each distance by itself is at most window // 2."),
    wrong("far_ones", "(abs(down) <= reach) & (abs(across) <= reach)",
          "~((abs(down) <= reach) & (abs(across) <= reach))",
          "Your mask is inverted: True where a query may *not* attend. FlexAttention keeps what"
          " is True."),
    wrong("flat_distance", "(abs(down) <= reach) & (abs(across) <= reach)",
          "abs(i - j) <= reach * width + reach",
          "You compare the distance in the flattened line, |i - j|. The first pixel of a row is then"
          " near the last one of the row above, at the other end of the map. Compare rows and"
          " columns, each by itself."),
    wrong("not_the_query", "return (abs(down)", "return (j != i) & (abs(down)",
          "The query itself is hidden. It is in the middle of its window."),
    wrong("near_in_columns_alone", "(abs(down) <= reach) & ", "",
          "Only columns count in your mask. Rows must be near as well: row i // width, column i %"
          " width."),
    wrong("near_in_rows_alone", " & (abs(across) <= reach)", "",
          "Only rows count in your mask. Columns must be near as well: row i // width, column i %"
          " width."),
    wrong("own_block_of_pixels", "(abs(down) <= reach) & (abs(across) <= reach)",
          "(i // width // window == j // width // window)"
          " & (i % width // window == j % width // window)",
          "You cut the map into fixed blocks. A window moves with its query: |dy|, |dx| <= window"
          " // 2."),
)
# fmt: on


def local_mod_by_squares(batch, head, i, j, width, window):
    down, across = i // width - j // width, i % width - j % width
    return (down**2 <= (window // 2) ** 2) & (across**2 <= (window // 2) ** 2)


def local_mod_by_corners(batch, head, i, j, width, window):
    y, x, v, u = i // width, i % width, j // width, j % width
    r = window // 2
    return (y - r <= v) & (v <= y + r) & (x - r <= u) & (u <= x + r)


EXERCISE = Exercise(
    id="fast.local_mod",
    solution=local_mod,
    probes={"local_mod": "i j"},
    trials=local_mod_trials,
    slips=(*PLACES, *REACHES, *WINDOWS),
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
    otherwise=(local_mod_by_squares, local_mod_by_corners),
    skip=frozenset({"gradients", "large", "strided", "float32"}),
    tied=("i j",),
)
