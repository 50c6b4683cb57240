"""The inner product of all pairs of rows."""

import torch

from attncourse.exercises.edits import wrong
from attncourse.exercises.record import Exercise, Trial
from solutions import shapes

# fmt: off
LETTERS = (
    wrong("summed_over_j", "-> i j", "-> i d",
          "You add up all rows of y: j is missing on the right, so it is summed. Keep i and j, sum"
          " over d: `i d, j d -> i j`."),
    wrong("d_not_summed", "-> i j", "-> i j d",
          "d is still there: your products are not added. A letter that is missing on the right is"
          " summed: `i d, j d -> i j`."),
    wrong("another_letter_for_d", '"i d, j d -> i j"', '"i d, j e -> i j"',
          "d and its partner have different letters, so each is summed by itself and the sums are"
          " multiplied. The letter in common makes them one axis: `i d, j d -> i j`."),
    wrong("x_with_itself", "x, y,", "x, x,",
          "You compare x with itself: your table is `i i`. The second vector of each pair is a row"
          " of y."),
)

PRODUCTS = (
    wrong("mean_over_d", '-> i j")', '-> i j") / x.shape[-1]',
          "You take the mean over d, which is d times too little. An inner product is the sum."),
    wrong("over_root_of_d", '-> i j")', '-> i j") / x.shape[-1] ** 0.5',
          "You divide by sqrt(d). That comes in chapter 01; here the inner product is all."),
    wrong("cosines", "x, y,", "F.normalize(x, dim=-1), F.normalize(y, dim=-1),",
          "You divide by the lengths of the rows, which gives cosines. Here the rows are taken as"
          " they are: the inner product is all."),
    wrong("distances", 'einsum(x, y, "i d, j d -> i j")', "torch.cdist(x, y)",
          "You compute distances, which are small where rows are alike. The inner product is large"
          " there."),
)
# fmt: on


def similarity_by_matmul(x, y):
    return x @ y.T


def similarity_by_loops(x, y):
    return torch.stack([torch.stack([(one * other).sum() for other in y]) for one in x])


def similarity_by_torch(x, y):
    return torch.nn.functional.linear(x, y)


def trials():
    return tuple(
        Trial(name, sizes, {"x": "i d", "y": "j d"})
        for name, sizes in (
            ("with more rows in y", {"i": 3, "j": 5, "d": 4}),
            ("with more rows in x", {"i": 7, "j": 2, "d": 5}),
        )
    )


EXERCISE = Exercise(
    id="shapes.similarity",
    solution=shapes.similarity,
    probes={"similarity": "i j"},
    trials=trials,
    slips=(*LETTERS, *PRODUCTS),
    hints=(
        "Of the three letters i, j, d: which ones does a table of all pairs keep?",
        "i and j are different letters, so every i meets every j. d is in both and "
        "not on the right: there they are multiplied and summed.",
        'einsum(x, y, "i d, … -> …").',
    ),
    minutes=1,
    difficulty=2,
    otherwise=(similarity_by_matmul, similarity_by_loops, similarity_by_torch),
)
