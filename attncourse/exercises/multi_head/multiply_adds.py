"""The record of `multi_head.multiply_adds`."""

from attncourse.exercises.record import Exercise, Trial
from solutions.multi_head import (
    multiply_adds,
)


def cost_trials():
    def trial(name, **sizes):
        return Trial(name, {}, sizes)

    return (
        trial("for dim = 12, 3 heads, 5 queries, 7 keys", dim=12, heads=3, queries=5, keys=7),
        trial("for dim = 512, 8 heads, 64 of each", dim=512, heads=8, queries=64, keys=64),
        trial("for dim = 10, 5 heads, 1 query, 9 keys", dim=10, heads=5, queries=1, keys=9),
    )


def only_the_projections(dim, heads, queries, keys):
    """You count the projections alone. q kᵀ and weights times v cost i j dim each."""
    return 2 * (queries + keys) * dim**2


def only_the_products(dim, heads, queries, keys):
    """You count the two products with the map alone. Four projections come on top."""
    return 2 * queries * keys * dim


def one_product(dim, heads, queries, keys):
    """You count one product with the map. There are two: q kᵀ, and weights times v."""
    return 2 * (queries + keys) * dim**2 + queries * keys * dim


def products_for_every_head(dim, heads, queries, keys):
    """You count the full width in every head: i j dim. A head is d = dim / heads wide; all
    heads together make i j dim."""
    return 2 * (queries + keys) * dim**2 + 2 * heads * queries * keys * dim


def width_of_one_head(dim, heads, queries, keys):
    """You count the products of one head. There are `heads` of them, i j d each."""
    return 2 * (queries + keys) * dim**2 + 2 * queries * keys * (dim // heads)


def all_from_queries(dim, heads, queries, keys):
    """You project all four times as many tokens as there are queries. Keys and values are made
    for each key."""
    return 4 * queries * dim**2 + 2 * queries * keys * dim


def three_layers(dim, heads, queries, keys):
    """You leave out the last projection: i dim² more."""
    return (queries + 2 * keys) * dim**2 + 2 * queries * keys * dim


def out_for_every_key(dim, heads, queries, keys):
    """You count the output projection for every key. It is made for every query, as that of the
    queries."""
    return (queries + 3 * keys) * dim**2 + 2 * queries * keys * dim


def all_from_keys(dim, heads, queries, keys):
    """You project all four times as many tokens as there are keys. Queries and outputs are made
    for each query."""
    return 4 * keys * dim**2 + 2 * queries * keys * dim


def twice(dim, heads, queries, keys):
    """You count multiplications and additions apart: twice as many. One multiply-add is one."""
    return 2 * (2 * (queries + keys) * dim**2 + 2 * queries * keys * dim)


def cost_by_layer(dim, heads, queries, keys):
    per_layer = [queries, keys, keys, queries]
    d = dim // heads
    return sum(n * dim * dim for n in per_layer) + sum(
        2 * queries * keys * d for _ in range(heads)
    )


def cost_by_matrix(dim, heads, queries, keys):
    products = [(queries, dim, dim)] * 2 + [(keys, dim, dim)] * 2
    products += [(queries, dim // heads, keys), (queries, keys, dim // heads)] * heads
    return sum(rows * inner * columns for rows, inner, columns in products)


EXERCISE = Exercise(
    id="multi_head.multiply_adds",
    solution=multiply_adds,
    probes={"multiply_adds": ""},
    trials=cost_trials,
    slips=(
        only_the_projections,
        only_the_products,
        one_product,
        products_for_every_head,
        width_of_one_head,
        all_from_queries,
        three_layers,
        out_for_every_key,
        all_from_keys,
        twice,
    ),
    hints=(
        (
            "A product of an i x c and a c x e matrix costs i c e multiply-adds. Which"
            " products are there?"
        ),
        (
            "Two projections for each query (query, out), two for each key (key, value);"
            " then, in each head, i d j for q kᵀ and i j d for weights times v."
        ),
        "2 i dim² + 2 j dim² + 2 i j dim, since head d = dim",
    ),
    minutes=5,
    difficulty=2,
    otherwise=(cost_by_layer, cost_by_matrix),
)
