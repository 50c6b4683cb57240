"""The record of `scaled_dot_product.causal_mask`."""

import math

import torch

from attncourse.exercises.record import Exercise, Trial
from attncourse.exercises.scaled_dot_product.shared import square
from solutions.scaled_dot_product import (
    causal_mask,
)


def causal_trials():
    return tuple(
        Trial(name, dict(i=i, j=j), dict(queries=i, keys=j))
        for name, i, j in (
            ("with fewer queries than keys", 3, 5),
            ("with more queries than keys", 7, 4),
            ("with one query", 1, 2),
        )
    )


def later_keys(queries, keys):
    """This mask lets a query see what comes later and hides the past. True where j <= i."""
    return torch.arange(queries)[:, None] <= torch.arange(keys)


def masked_is_true(queries, keys):
    """The mask is inverted: here True means may attend, and you mark what is hidden."""
    return torch.arange(queries)[:, None] < torch.arange(keys)


def not_itself(queries, keys):
    """A query may not see its own position. It may: j <= i, not j < i."""
    return torch.arange(queries)[:, None] > torch.arange(keys)


def one_ahead(queries, keys):
    """A query sees one position too far: j <= i, not j <= i + 1."""
    return torch.arange(queries)[:, None] + 1 >= torch.arange(keys)


def bottom_right(queries, keys):
    """Your mask is aligned at the bottom right, so that the last query sees the last key. In
    this course, as in torch, both count from the first (top left)."""
    return torch.ones(queries, keys).tril(keys - queries).bool()


def square_of_keys(queries, keys):
    """Your mask is keys x keys. It has one row for each query."""
    return torch.ones(keys, keys).tril().bool()


def transposed(queries, keys):
    """Your mask has the keys down and the queries across: j i. The queries go down: i j."""
    return torch.ones(queries, keys).tril().bool().mT


def ones_and_zeros(queries, keys):
    """Your mask holds the numbers 0 and 1. A mask is boolean: True where a query may attend."""
    return torch.ones(queries, keys).tril()


def minus_infinity(queries, keys):
    """This is the additive kind of mask, 0 and -inf. Here a mask is boolean: True where a query
    may attend."""
    return torch.full((queries, keys), -math.inf).triu(1)


def none_hidden(queries, keys):
    """Nothing is hidden: your mask is True everywhere. It is False where j > i."""
    return torch.ones(queries, keys, dtype=torch.bool)


def one_minus_infinity(queries, keys):
    """This is a mask of 1 and -inf. Here a mask is boolean: True where a query may attend."""
    ones = torch.ones(queries, keys)
    return ones.masked_fill(ones.triu(1).bool(), -math.inf)


def zeros_and_ones(queries, keys):
    """Your mask holds the numbers 1 for what is hidden and 0 else. A mask is boolean: True
    where a query may attend."""
    return torch.ones(queries, keys).triu(1)


def mask_of_integers(queries, keys):
    """Your mask holds the integers 0 and 1. A mask is boolean: True where a query may
    attend."""
    return torch.ones(queries, keys, dtype=torch.long).tril()


def mask_with_a_batch(queries, keys):
    """Your mask has an axis too many: 1 i j. Without it, i j, it broadcasts to every map."""
    return causal_mask(queries, keys)[None]


def causal_by_tril(queries, keys):
    return torch.ones(queries, keys, dtype=torch.bool).tril()


def causal_loops(queries, keys):
    return torch.tensor([[j <= i for j in range(keys)] for i in range(queries)])


EXERCISE = Exercise(
    id="scaled_dot_product.causal_mask",
    solution=causal_mask,
    probes={"causal_mask": "i j"},
    trials=causal_trials,
    slips=(
        later_keys,
        masked_is_true,
        not_itself,
        one_ahead,
        bottom_right,
        square,
        square_of_keys,
        transposed,
        ones_and_zeros,
        minus_infinity,
        none_hidden,
        one_minus_infinity,
        zeros_and_ones,
        mask_of_integers,
        mask_with_a_batch,
    ),
    hints=(
        "Query i = 0 is the first. How many keys may it see, and how many may query i = 2?",
        "Compare two counts: i as a column, i 1, and j as a row. True where j <= i.",
        (
            "i = 0 … queries - 1, with a second axis of length 1\nj = 0 … keys - 1\nreturn"
            " i >= j"
        ),
    ),
    minutes=4,
    difficulty=1,
    otherwise=(causal_by_tril, causal_loops),
    laws=("queries_see_their_keys",),
)
