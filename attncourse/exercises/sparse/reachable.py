"""The record of `sparse.reachable`."""

import torch

from attncourse.exercises.families import remade
from attncourse.exercises.record import Exercise, Given, Trial, slip
from attncourse.exercises.sparse.shared import NO_TENSORS, hop
from solutions.scaled_dot_product import causal_mask
from solutions.sparse import (
    masks,
    reachable,
)


def in_ways(answer, *ways):
    """A slip that is also known when it is made in other ways."""
    return remade(slip(answer), ways=ways)


def hop_trials():
    def trial(name, first, then):
        n = len(first)
        inputs = dict(first=Given("i j", first), then=Given("i j", then))
        return Trial(name, dict(i=n, j=n), inputs)

    dice = torch.Generator().manual_seed(3)
    first, then = (torch.rand(9, 9, generator=dice) < 0.15 for _ in range(2))
    block, summary = masks("fixed", 11, 3)
    return (
        trial("for two masks drawn at random", first, then),
        trial("for a block below and summaries above", block, summary),
        trial("for summaries below and a block above", summary, block),
        trial("for two dense layers", causal_mask(5, 5), causal_mask(5, 5)),
        trial("for two dense layers of 260 tokens", *[causal_mask(260, 260)] * 2),
    )


def layers_exchanged(first, then):
    """The layers have changed places. Query i reads a in the upper layer, `then`, and a has
    read j in the lower one, `first`: then @ first."""
    return hop(first, then) > 0


def one_hop(first, then):
    """You take what either layer shows. Two hops go through a key between: a product of
    matrices."""
    return first | then


def in_both(first, then):
    """You take what both layers show. Two hops go through a key between: a product of matrices,
    `@`, not element by element."""
    return first & then


def exactly_one_way(first, then):
    """You ask for exactly one way. A key that can be reached in several ways is reached too:
    > 0."""
    return hop(then, first) == 1


def several_ways(first, then):
    """You ask for more than one way. One is enough: > 0."""
    return hop(then, first) > 1


def ways_counted(first, then):
    """You return how many ways there are. The question is whether there is any: compare with
    0."""
    return hop(then, first)


def reachable_as_numbers(first, then):
    return (hop(then, first) > 0).double()


def turned_over(first, then):
    """Your result is turned over: j i. The queries go down."""
    return hop(first.mT, then.mT) > 0


def share_a_key(first, then):
    """You ask whether i and j read a common key: then @ first.T. The inner letter is the key of
    `then` and the query of `first`: i a, a j -> i j."""
    return hop(then, first.mT) > 0


def or_one_hop(first, then):
    """You add what one hop alone reaches. It is reached in two only if some token between hands
    it on."""
    return (hop(then, first) > 0) | first | then


def or_upper_hop(first, then):
    """You add what the upper layer shows. Of the lower tokens it hears only through the lower
    layer."""
    return (hop(then, first) > 0) | then


def or_itself(first, then):
    """You add the diagonal. A token hears of itself only if some way leads there."""
    return (hop(then, first) > 0) | torch.eye(len(first), dtype=torch.bool)


def lower_twice(first, then):
    """You use the lower layer twice: then @ first."""
    return hop(first, first) > 0


def upper_twice(first, then):
    """You use the upper layer twice: then @ first."""
    return hop(then, then) > 0


def any_hops(first, then):
    """You let tokens hop as often as they like. Two layers make two hops: first one, then the
    other."""
    ways = (first | then).double() + torch.eye(len(first), dtype=torch.double)
    return torch.linalg.matrix_power(ways, len(first)) > 0


def either_twice(first, then):
    """You let both hops go through either layer. The first hop is the upper layer's, the second
    the lower one's: then @ first."""
    return hop(first | then, first | then) > 0


def unreached(first, then):
    """Your result is inverted: True where a key cannot be reached."""
    return hop(then, first) == 0


def upper_turned(first, then):
    """You turn the upper layer over: its queries are keys in yours. The key of `then` is the
    query of `first`: i a, a j -> i j."""
    return hop(then.mT, first) > 0


def both_turned(first, then):
    """You turn both layers over. Query i reads a in `then`, and a has read j in `first`: then @
    first."""
    return hop(then.mT, first.mT) > 0


def made_causal(first, then):
    """You hide what is later than the query. The masks have done that, where it is wanted."""
    return (hop(then, first) > 0).tril()


def through_all(first, then):
    """You ask that all tokens between lead there. One is enough: any, not all."""
    return (~then[:, :, None] | first[None]).all(1)


def odd_ways(first, then):
    """You ask for an odd number of ways. One is enough: > 0."""
    return hop(then, first) % 2 == 1


def most_of_the_ways(first, then):
    """You divide by how many keys a query has, and ask for a large share. One way is enough: >
    0."""
    return hop(then, first) > 0.5 * then.double().sum(-1, keepdim=True)


def in_either_order(first, then):
    """You take both orders of the layers. `first` is the lower one: then @ first alone."""
    return (hop(then, first) > 0) | (hop(first, then) > 0)


def or_lower_hop(first, then):
    """You add what the lower layer shows. The upper one hears only of what its keys have
    read."""
    return (hop(then, first) > 0) | first


def ways_modulo_256(first, then):
    """You count the ways in 8 bits, and 256 of them are 0 there. Take floats, or longer
    integers."""
    return hop(then, first) % 256 > 0


def reachable_loops(first, then):
    n = len(first)
    found = torch.zeros(n, n, dtype=torch.bool, device=first.device)
    for a in range(n):
        found |= then[:, a, None] & first[None, a, :]
    return found


def reachable_broadcast(first, then):
    return (then.unsqueeze(-1) & first.unsqueeze(0)).any(dim=1)


def reachable_by_products(first, then):
    return torch.matmul(then.to(torch.float64), first.to(torch.float64)).bool()


EXERCISE = Exercise(
    id="sparse.reachable",
    solution=reachable,
    probes={"reachable": "i j"},
    trials=hop_trials,
    slips=(
        layers_exchanged,
        one_hop,
        in_both,
        exactly_one_way,
        several_ways,
        in_ways(ways_counted, reachable_as_numbers),
        upper_turned,
        both_turned,
        made_causal,
        through_all,
        odd_ways,
        most_of_the_ways,
        in_either_order,
        or_lower_hop,
        ways_modulo_256,
        turned_over,
        share_a_key,
        or_one_hop,
        or_upper_hop,
        or_itself,
        lower_twice,
        upper_twice,
        any_hops,
        either_twice,
        unreached,
    ),
    hints=(
        "In the upper layer token 9 reads token 6; in the lower one token 6 has read token"
        " 2. What does 9 hear of?",
        "Sum over the token a between: then[i, a] times first[a, j] counts the ways."
        " Booleans cannot be multiplied as matrices: make them numbers first.",
        'ways = einsum of then, "i a", and first, "a j", as floats\nways > 0',
    ),
    minutes=6,
    difficulty=2,
    otherwise=(reachable_loops, reachable_broadcast, reachable_by_products),
    laws=("queries_see_their_keys",),
    skip=NO_TENSORS - {"device"},
)
