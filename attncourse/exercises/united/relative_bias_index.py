"""Which number of the table belongs to each pair of tokens of a window."""

import torch

from attncourse.exercises.edits import often, wrong
from attncourse.exercises.record import Exercise, Trial
from solutions.united.windows import relative_bias_index


def index_trials():
    def trial(height, width):
        name = f"for {height} x {width} tokens"
        n = height * width
        return Trial(name, dict(i=n, j=n), dict(height=height, width=width))

    return (trial(3, 4), trial(4, 2), trial(1, 5), trial(3, 3))


# fmt: off
SIGNS = (
    *often(
        wrong("key_minus_query_down", "rearrange(y, \"i -> i 1\") - y", "y - rearrange(y, \"i -> i 1\")",
              "Your rows are key minus query. In Swin's table they are query minus key. (Chapter 8"
              " counts the other way.)"),
        wrong("key_minus_query_across", "rearrange(x, \"i -> i 1\") - x", "x - rearrange(x, \"i -> i 1\")",
              "Your columns are key minus query. In Swin's table they are query minus key. (Chapter"
              " 8 counts the other way.)"),
    ),
    wrong("columns_not_counted_from_0", "+ width - 1", "",
          "Your columns run from -(width - 1): the numbers of a row reach into the row before. Add"
          " width - 1."),
    wrong("nothing_counted_from_0", "+ height - 1", "",
          "Your offsets run from below 0: some entries are negative, and count from the end of the"
          " table. Add height - 1 and width - 1.", ("+ width - 1", "")),
    wrong("distances", "rearrange(y, \"i -> i 1\") - y + height - 1", "(rearrange(y, \"i -> i 1\") - y).abs()",
          "You take distances, without a sign. Above and below, left and right have numbers of their"
          " own.", ("rearrange(x, \"i -> i 1\") - x + width - 1", "(rearrange(x, \"i -> i 1\") - x).abs()")),
    wrong("distances_counted_from_the_middle", "rearrange(y, \"i -> i 1\") - y + height - 1",
          "(rearrange(y, \"i -> i 1\") - y).abs() + height - 1",
          "You take distances, without a sign. Above and below, left and right have numbers of their"
          " own.", ("rearrange(x, \"i -> i 1\") - x + width - 1", "(rearrange(x, \"i -> i 1\") - x).abs() + width - 1")),
    wrong("not_counted_from_0", "+ height - 1", "",
          "Your rows run from -(height - 1): some entries are negative, and count from the end of"
          " the table. Add height - 1."),
    wrong("absolute", "rearrange(y, \"i -> i 1\") - y + height - 1", "(rearrange(y, \"i -> i 1\") - y).abs()",
          "You take the absolute value of the rows. Above and below have numbers of their own."),
)

PRODUCTS = (
    wrong("factor_of_the_window", "(2 * width - 1) +", "width +",
          "A row of offsets holds 2 width - 1 of them, not width: some pairs share a number."),
    wrong("factor_of_height", "down * (2 * width - 1) + across", "down * (2 * height - 1) + across",
          "You multiply by the number of row offsets. A step down skips as many entries as there"
          " are column offsets: 2 width - 1."),
    wrong("columns_outside", "down * (2 * width - 1) + across", "across * (2 * height - 1) + down",
          "Your table is in order of columns. It is in order of rows: down · (2 width - 1) +"
          " across."),
    wrong("added_alone", "down * (2 * width - 1) + across", "down + across",
          "You add rows and columns: many offsets share a number. Rows count (2 width - 1) each."),
    wrong("tokens_by_the_height", "n // width, n % width", "n // height, n % height",
          "You divide by the height. Tokens run along a row, which has `width` of them: row n //"
          " width, column n % width."),
    wrong("tokens_in_columns", "n // width, n % width", "n % height, n // height",
          "Your tokens are in order of columns. They are in order of rows."),
)
# fmt: on


def index_by_loops(height, width):
    return torch.tensor(
        [
            [
                (a - v + height - 1) * (2 * width - 1) + b - u + width - 1
                for v in range(height)
                for u in range(width)
            ]
            for a in range(height)
            for b in range(width)
        ]
    )


def index_by_meshgrid(height, width):
    at = torch.cartesian_prod(torch.arange(height), torch.arange(width))
    offset = at[:, None, :] - at[None, :, :] + torch.tensor([height - 1, width - 1])
    return (offset * torch.tensor([2 * width - 1, 1])).sum(-1)


EXERCISE = Exercise(
    id="united.relative_bias_index",
    solution=relative_bias_index,
    probes={"relative_bias_index": "i j"},
    trials=index_trials,
    slips=(*SIGNS, *PRODUCTS),
    hints=(
        "How many different offsets are there down, and how many across?",
        "2 height - 1 and 2 width - 1. Count both from 0, by adding height - 1 and width - 1 to"
        " query minus key. The table has them row by row.",
        "y, x = row and column of each token\n"
        "down = y of i - y of j + height - 1; across in the same way\n"
        "down · (2 width - 1) + across",
    ),
    minutes=7,
    difficulty=2,
    otherwise=(index_by_loops, index_by_meshgrid),
    skip=frozenset({"gradients", "large"}),
    tied=("i j",),
)
