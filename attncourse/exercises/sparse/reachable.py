"""Which keys a query hears of through two layers, each with a mask of its own."""

import torch

from attncourse.exercises.edits import wrong
from attncourse.exercises.record import Exercise, Given, Trial
from attncourse.exercises.sparse.shared import NO_TENSORS
from solutions.scaled_dot_product import causal_mask
from solutions.sparse import masks, reachable


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


# fmt: off
TWO_HOPS = 'einsum(then.float(), first.float(), "i a, a j -> i j") > 0'

LAYERS = (
    wrong("layers_exchanged", "then.float(), first.float()", "first.float(), then.float()",
          "The layers have changed places. Query i reads a in the upper layer, `then`, and a has"
          " read j in the lower one, `first`: then @ first."),
    wrong("lower_twice", "then.float()", "first.float()",
          "You use the lower layer twice: then @ first."),
    wrong("upper_twice", "first.float()", "then.float()",
          "You use the upper layer twice: then @ first."),
    wrong("one_hop", TWO_HOPS, "first | then",
          "You take what either layer shows. Two hops go through a key between: a product of"
          " matrices."),
    wrong("in_both", TWO_HOPS, "first & then",
          "You take what both layers show. Two hops go through a key between: a product of"
          " matrices, `@`, not element by element."),
    wrong("any_hops", f"return {TWO_HOPS}",
          "hops = torch.eye(len(first)) + (first | then).double()\n"
          "return torch.linalg.matrix_power(hops, len(first)) > 0",
          "You let tokens hop as often as they like. Two layers make two hops: first one, then the"
          " other."),
    wrong("or_one_hop", " > 0", ".bool() | first | then",
          "You add what one hop alone reaches. It is reached in two only if some token between"
          " passes it on."),
    wrong("or_upper_hop", " > 0", ".bool() | then",
          "You add what the upper layer shows. What they read it reaches only through the lower"
          " layer."),
    wrong("or_itself", " > 0", ".bool() | torch.eye(len(first), dtype=torch.bool)",
          "You add the diagonal. A token hears of itself only if some way leads there."),
)

LETTERS = (
    wrong("turned_over", "-> i j", "-> j i",
          "Your result is turned over: j i. The queries go down."),
    wrong("share_a_key", "a j ->", "j a ->",
          "You ask whether i and j read a common key: then @ first.T. The inner letter is the key"
          " of `then` and the query of `first`: i a, a j -> i j."),
    wrong("upper_turned", "i a,", "a i,",
          "You turn the upper layer over: its queries are keys in yours. The key of `then` is the"
          " query of `first`: i a, a j -> i j."),
    wrong("both_turned", "i a, a j ->", "a i, j a ->",
          "You turn both layers over. Query i reads a in `then`, and a has read j in `first`: then"
          " @ first."),
)

WAYS = (
    wrong("exactly_one_way", "> 0", "== 1",
          "You ask for exactly one way. A key that can be reached in several ways is reached too: >"
          " 0."),
    wrong("several_ways", "> 0", "> 1",
          "You ask for more than one way. One is enough: > 0."),
    wrong("ways_modulo_256", "then.float(), first.float()", "then.byte(), first.byte()",
          "You count the ways in 8 bits, and 256 of them are 0 there. Take floats, or longer"
          " integers."),
    wrong("unreached", "> 0", "== 0",
          "Your result is inverted: True where a key cannot be reached."),
    wrong("made_causal", " > 0", ".tril() > 0",
          "You hide what is later than the query. The masks have done that, where it is wanted."),
)
# fmt: on


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
    slips=(*LAYERS, *LETTERS, *WAYS),
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
    tied=("i j",),
)
