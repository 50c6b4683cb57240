"""Three numbers for each pair of pixels: how far across, how far down, and the square."""

import torch

from attncourse.exercises.edits import often, wrong
from attncourse.exercises.record import Exercise, Trial
from solutions.united.as_convolution import offset_encoding


def offset_trials():
    def trial(name, height, width, reach):
        keys = (height + 2 * reach) * (width + 2 * reach)
        sizes = dict(i=height * width, j=keys, three=3)
        return Trial(name, sizes, dict(height=height, width=width, reach=reach))

    return (
        trial("on a map of 4 x 5 with a reach of 1", 4, 5, 1),
        trial("on a map of 5 x 2 with a reach of 2", 5, 2, 2),
        trial("on a map of 1 x 6 with a reach of 1", 1, 6, 1),
        trial("on a map of 4 x 3 with no reach", 4, 3, 0),
    )


# fmt: off
SIGNS = (
    *often(
        wrong("query_minus_key_down", "down = torch.arange(-reach, height + reach) - rearrange(y, \"y -> y 1\")",
              "down = rearrange(y, \"y -> y 1\") - torch.arange(-reach, height + reach)",
              "Your rows count from the key to the query. An offset leads from the query to the"
              " key: key minus query, positive downwards."),
        wrong("query_minus_key_across", "across = torch.arange(-reach, width + reach) - rearrange(x, \"x -> x 1\")",
              "across = rearrange(x, \"x -> x 1\") - torch.arange(-reach, width + reach)",
              "Your columns count from the key to the query. An offset leads from the query to the"
              " key: key minus query, positive to the right."),
        wrong("absolute_down", "down = torch.arange(-reach, height + reach) - rearrange(y, \"y -> y 1\")",
              "down = (torch.arange(-reach, height + reach) - rearrange(y, \"y -> y 1\")).abs()",
              "You take the absolute value of the rows. Above and below are then the same place."),
    ),
    wrong("keys_begin_at_0", "down = torch.arange(-reach, height + reach)",
          "down = torch.arange(height + 2 * reach)",
          "Your keys begin at row and column 0. The padded map begins `reach` before the picture:"
          " at -reach.",
          ("across = torch.arange(-reach, width + reach)", "across = torch.arange(width + 2 * reach)")),
)

THREE = (
    wrong("rows_first", "across, down, across**2", "down, across, across**2",
          "You put the rows first. Here the columns come first: across, down, squared."),
    wrong("square_first", "(across, down, across**2 + down**2)", "(across**2 + down**2, across, down)",
          "You put the squared distance first, as the paper writes it. Here it comes last: across,"
          " down, squared (the order of ConViT's code)."),
    wrong("distance_itself", "across**2 + down**2", "(across**2 + down**2).sqrt()",
          "Your third number is the distance. It is its square: only with that is the product with"
          " a vector a parabola."),
    wrong("square_of_the_sum", "across**2 + down**2", "(across + down)**2",
          "You square the sum of both. It is the sum of the squares, across² + down²."),
    wrong("distance_by_rows_and_columns", "across**2 + down**2", "across.abs() + down.abs()",
          "Your third number is rows plus columns. It is the square of the distance, across² +"
          " down²."),
    wrong("keys_in_columns", "(down across) three", "(across down) three",
          "Your keys are in order of columns. They are in order of rows: (down across)."),
    wrong("queries_in_columns", "-> (y x)", "-> (x y)",
          "Your queries are in order of columns. They are in order of rows: (y x)."),
)
# fmt: on


def offsets_by_meshgrid(height, width, reach=0):
    queries = torch.cartesian_prod(torch.arange(height), torch.arange(width))
    keys = torch.cartesian_prod(
        torch.arange(-reach, height + reach), torch.arange(-reach, width + reach)
    )
    away = (keys[None] - queries[:, None]).flip(-1).float()
    return torch.cat([away, away.square().sum(-1, keepdim=True)], -1)


def offsets_by_loops(height, width, reach=0):
    return torch.tensor(
        [
            [
                (u - x, v - y, (u - x) ** 2 + (v - y) ** 2)
                for v in range(-reach, height + reach)
                for u in range(-reach, width + reach)
            ]
            for y in range(height)
            for x in range(width)
        ]
    ).float()


EXERCISE = Exercise(
    id="united.offset_encoding",
    solution=offset_encoding,
    probes={"offset_encoding": "i j three"},
    trials=offset_trials,
    slips=(*SIGNS, *THREE),
    hints=(
        "How far is it from the pixel in row 2 to the key in row 1, and with which sign?",
        "Rows of keys run from -reach to height + reach - 1. Keys minus queries, rows and columns"
        " apart, each a small table; then all four axes at once: y x down across.",
        "down = rows of keys - rows of queries, as y 1 down 1\n"
        "across = the same of columns, as 1 x 1 across\n"
        "stack across, down, across² + down² as a last axis\n"
        '"y x down across three -> (y x) (down across) three"',
    ),
    minutes=8,
    difficulty=2,
    otherwise=(offsets_by_meshgrid, offsets_by_loops),
    skip=frozenset({"gradients", "large"}),
)
