"""The record of `shapes.similarity`."""

import torch

from attncourse.exercises.record import Exercise, Trial
from solutions import shapes


def keys_first(x, y):
    """Your table is `j i`. One row for each row of x: `i j`."""
    return y @ x.T


def summed_over_j(x, y):
    """You add up all rows of y: j is missing on the right, so it is summed. Keep i and j, sum
    over d: `i d, j d -> i j`."""
    return x * y.sum(0)


def d_not_summed(x, y):
    """d is still there: your products are not added. A letter that is missing on the right is
    summed: `i d, j d -> i j`."""
    return x[:, None] * y


def mean_over_d(x, y):
    """You take the mean over d, which is d times too little. An inner product is the sum."""
    return x @ y.T / x.shape[-1]


def over_root_of_d(x, y):
    """You divide by sqrt(d). That comes in chapter 01; here the inner product is all."""
    return x @ y.T / x.shape[-1] ** 0.5


def cosines(x, y):
    """You divide by the lengths of the rows, which gives cosines. Here the rows are taken as
    they are: the inner product is all."""
    return torch.nn.functional.normalize(x, dim=-1) @ torch.nn.functional.normalize(y, dim=-1).T


def shares(x, y):
    """A softmax has gone over your table. That comes in chapter 01; here the inner product is
    all."""
    return (x @ y.T).softmax(-1)


def x_with_itself(x, y):
    """You compare x with itself: your table is `i i`. The second vector of each pair is a row
    of y."""
    return x @ x.T


def distances(x, y):
    """You compute distances, which are small where rows are alike. The inner product is large
    there."""
    return (x[:, None] - y).square().sum(-1).sqrt()


def similarity_by_matmul(x, y):
    return x @ y.T


def similarity_by_loops(x, y):
    return torch.stack([torch.stack([(one * other).sum() for other in y]) for one in x])


def similarity_by_torch(x, y):
    return torch.nn.functional.linear(x, y)


def similarity_trials():
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
    trials=similarity_trials,
    slips=(
        keys_first,
        summed_over_j,
        d_not_summed,
        mean_over_d,
        over_root_of_d,
        cosines,
        shares,
        x_with_itself,
        distances,
    ),
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
