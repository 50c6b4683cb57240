"""How far each head looks, in pixels."""

import torch

from attncourse.exercises.edits import often, wrong
from attncourse.exercises.record import Exercise, Given, Trial
from solutions.united.vision_transformer import attention_distance


def distance_trials():
    def trial(name, high, wide, patch, seed, **sizes):
        n = high * wide
        dice = torch.Generator().manual_seed(seed)
        shape = (sizes["b"], sizes["head"], n, n)
        weights = (2 * torch.randn(shape, generator=dice, dtype=torch.float64)).softmax(-1)
        weights = weights * torch.rand((*shape[:3], 1), generator=dice, dtype=torch.float64)
        inputs = dict(weights=Given("b head n n", weights), wide=wide, patch=patch)
        return Trial(name, sizes | dict(n=n), inputs)

    return (
        trial("on 3 x 4 patches of 16 pixels", 3, 4, 16, 1, b=2, head=5),
        trial("on 5 x 2 patches of 8 pixels", 5, 2, 8, 2, b=3, head=4),
        trial("on one row of 6 patches", 1, 6, 3, 3, b=2, head=3),
    )


# fmt: off
DISTANCES = (
    *often(
        wrong("in_patches", "patch * torch.hypot", "torch.hypot",
              "Your distance is in patches. A patch is `patch` pixels wide: multiply."),
        wrong("rest_not_divided", "weights / reduce(weights, \"b head i j -> b head i 1\", \"sum\")", "weights",
              "Your weights do not sum to 1: some of them went to the class token, which is left"
              " out. Divide each row by its sum."),
    ),
    wrong("by_rows_and_columns", "torch.hypot(down.to(weights), across.to(weights))",
          "(down.abs() + across.abs()).to(weights)",
          "You add rows and columns. The distance is straight: the root of the sum of squares."),
    wrong("squared", "torch.hypot(down.to(weights), across.to(weights))", "(down**2 + across**2).to(weights)",
          "You average the squared distance. It is the distance itself."),
    wrong("along_the_line", "torch.hypot(down.to(weights), across.to(weights))",
          "(n - rearrange(n, \"i -> i 1\")).abs().to(weights)",
          "You count places along the line of tokens. Neighbours in a column are `wide` places"
          " apart there: take rows and columns."),
    wrong("grid_of_rows", "y, x = n // wide, n % wide", "y, x = n % wide, n // wide * 2",
          "Your rows and columns are mixed up: row n // wide, column n % wide."),
    wrong("not_weighted", "share * distance", "distance + 0 * share",
          "You average the distance without weights: every head gets the same."),
    wrong("sum_over_queries", "reduce(looked, \"b head i -> head\", \"mean\")",
          "reduce(looked, \"b head i -> head\", \"sum\")",
          "You sum over queries and pictures. It is their mean."),
    wrong("mean_of_squares", "reduce(share * distance, \"b head i j -> b head i\", \"sum\")",
          "reduce(share * distance**2, \"b head i j -> b head i\", \"sum\").sqrt()",
          "You take the root of the mean square of a query's distances. It is the mean of the"
          " distances themselves."),
    wrong("root_mean_square_of_all", "return reduce(looked, \"b head i -> head\", \"mean\")",
          "looked = reduce(share * distance**2, \"b head i j -> b head i\", \"sum\")\n"
          "return reduce(looked, \"b head i -> head\", \"mean\").sqrt()",
          "You take the root of the mean square. It is the mean of the distances themselves."),
    wrong("one_division_for_all", "looked = reduce(share * distance, \"b head i j -> b head i\", \"sum\")",
          "return reduce(weights * distance, \"b head i j -> head\", \"sum\")"
          " / reduce(weights, \"b head i j -> head\", \"sum\")",
          "You divide once, by the sum of all weights: a query that gives the patches more then"
          " counts more. Divide each query's row by its own sum.",
          ("return reduce(looked, \"b head i -> head\", \"mean\")", "")),
    wrong("divided_over_queries", "reduce(weights, \"b head i j -> b head i 1\", \"sum\")",
          "reduce(weights, \"b head i j -> b head 1 j\", \"sum\")",
          "You divide by the sum over the queries. A query's weights sum over its keys j: the last"
          " axis."),
    wrong("rows_by_the_height", "y, x = n // wide, n % wide",
          "high = len(n) // wide\ny, x = n // high, n % high",
          "You divide by the number of rows. Patches run along a row, which has `wide` of them: row"
          " n // wide, column n % wide."),
    wrong("square_grid", "y, x = n // wide, n % wide",
          "side = round(len(n) ** 0.5)\ny, x = n // side, n % side",
          "You take the grid for a square. It is `wide` across: row n // wide, column n % wide."),
    wrong("to_the_mean_place", "looked = reduce(share * distance, \"b head i j -> b head i\", \"sum\")",
          "looked = patch * torch.hypot((share * down).sum(-1), (share * across).sum(-1))",
          "You measure the way to the mean place that is looked at: left and right cancel. It is the"
          " mean of the distances."),
    wrong("own_patch_left_out", "share = weights / reduce(weights, \"b head i j -> b head i 1\", \"sum\")",
          "weights = weights * (distance > 0)\nshare = weights / reduce(weights, \"b head i j -> b head i 1\", \"sum\")",
          "You leave out a query's own patch. It counts, with a distance of 0."),
    wrong("farthest", "share * distance", "share * 0 + distance * (share == reduce(share, \"b head i j -> b head i 1\", \"max\"))",
          "You take the distance to the key with the most weight. Every key counts, with its"
          " share."),
    wrong("over_heads", "reduce(looked, \"b head i -> head\", \"mean\")",
          "reduce(looked, \"b head i -> head\", \"mean\").mean().expand(weights.shape[1])",
          "You average over the heads too. Each head has its own distance."),
)
# fmt: on


def distance_by_cdist(weights, wide, patch):
    n = weights.shape[-1]
    places = torch.stack([torch.arange(n) // wide, torch.arange(n) % wide], -1).to(weights)
    away = torch.cdist(places, places, compute_mode="donot_use_mm_for_euclid_dist") * patch
    each = (weights * away).sum(-1) / weights.sum(-1)
    return each.mean((0, 2))


def distance_by_loops(weights, wide, patch):
    _, heads, n, _ = weights.shape
    told = []
    for head in range(heads):
        total = 0
        for i in range(n):
            far = [
                patch * ((i // wide - j // wide) ** 2 + (i % wide - j % wide) ** 2) ** 0.5
                for j in range(n)
            ]
            row = weights[:, head, i]
            total = total + ((row @ row.new_tensor(far)) / row.sum(-1)).mean()
        told.append(total / n)
    return torch.stack(told)


EXERCISE = Exercise(
    id="united.attention_distance",
    solution=attention_distance,
    probes={"attention_distance": "head"},
    trials=distance_trials,
    slips=DISTANCES,
    hints=(
        "Where in the grid lies the patch of number n, and how far is it from patch i?",
        "Row n // wide, column n % wide. A table i j of straight distances, times `patch`. Each row"
        " of the weights is divided by its sum; then the weighted mean over j, and the mean over i"
        " and b.",
        "distance i j = patch · hypot(rows apart, columns apart)\n"
        "share = weights / their sum over j\n"
        "Σ over j of share · distance, mean over i and b",
    ),
    minutes=8,
    difficulty=2,
    otherwise=(distance_by_cdist, distance_by_loops),
    skip=frozenset({"large", "sizes"}),
)
