"""What multi-head attention costs: four projections, and two products with the map."""

from attncourse.exercises.edits import wrong
from attncourse.exercises.record import Exercise, Trial
from solutions.multi_head import multiply_adds


def cost_trials():
    def trial(name, **sizes):
        return Trial(name, {}, sizes)

    return (
        trial("for dim = 12, 3 heads, 5 queries, 7 keys", dim=12, heads=3, queries=5, keys=7),
        trial(
            "for dim = 512, 8 heads, 64 queries, 100 keys",
            dim=512,
            heads=8,
            queries=64,
            keys=100,
        ),
        trial("for dim = 10, 5 heads, 1 query, 4 keys", dim=10, heads=5, queries=1, keys=4),
    )


# fmt: off
COUNTS = (
    wrong("only_the_projections", "return projections + products", "return projections",
          "You count the projections alone. q kᵀ and weights times v cost i j dim each."),
    wrong("only_the_products", "return projections + products", "return products",
          "You count the two products with the map alone. Four projections come on top."),
    wrong("one_product", "2 * queries * keys * dim", "queries * keys * dim",
          "You count one product with the map. There are two: q kᵀ, and weights times v."),
    wrong("products_for_every_head", "2 * queries * keys", "2 * heads * queries * keys",
          "You count the full width in every head: i j dim. A head is d = dim / heads wide; all"
          " heads together make i j dim."),
    wrong("width_of_one_head", "keys * dim\n", "keys * (dim // heads)\n",
          "You count the products of one head. There are `heads` of them, i j d each."),
    wrong("all_from_queries", "2 * (queries + keys)", "4 * queries",
          "You project all four times as many tokens as there are queries. Keys and values are made"
          " for each key."),
    wrong("all_from_keys", "2 * (queries + keys)", "4 * keys",
          "You project all four times as many tokens as there are keys. Queries and outputs are"
          " made for each query."),
    wrong("twice", "return projections + products", "return 2 * (projections + products)",
          "You count multiplications and additions apart: twice as many. One multiply-add is one."),
)
# fmt: on


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
    slips=COUNTS,
    hints=(
        (
            "A product of an m x n and an n x p matrix costs m n p multiply-adds. Which"
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
