"""The record of `sparse.factorised_attention`."""

import math
from dataclasses import replace

import torch
from einops import repeat
from torch.nn import functional as F

from attncourse.exercises.families import family
from attncourse.exercises.record import Exercise, Given, Trial
from attncourse.exercises.sparse.shared import (
    by_dense_map,
    hop,
    mask_inverted,
    masked_after_the_softmax,
    not_scaled,
    scaled_by_d,
    scaled_by_values,
)
from solutions.positional import masked_softmax
from solutions.scaled_dot_product import causal_mask, scaled_dot_product_attention
from solutions.sparse import (
    factorised_attention,
    masks,
)


def head_trials():
    def trial(name, pattern, way, layer=0, head=4, i=11, **sizes):
        sizes = dict(b=2, head=head, i=i) | sizes
        first, second = masks(pattern, i, 3, 2) if pattern == "fixed" else masks(pattern, i, 3)
        inputs = dict(q="b head i d", k="b head i d", v="b head i e")
        inputs |= dict(first=Given("i i", first), second=Given("i i", second))
        return Trial(name, sizes, inputs | dict(way=Given("", way), layer=layer))

    def batches(name):
        one = trial(name, "strided", "split", head=6, b=4, i=8, d=5, e=7)
        inputs = dict(q="a b head i d", k="a b head i d", v="a b head i e")
        return replace(one, sizes=dict(a=2) | one.sizes, inputs=one.inputs | inputs)

    return (
        trial("merged", "strided", "merged", d=3, e=5),
        trial("merged in an odd layer", "fixed", "merged", layer=1, head=3, i=7, d=5, e=6),
        trial("interleaved, layer 0", "strided", "interleaved", d=5, e=3),
        trial("interleaved, layer 1", "strided", "interleaved", 1, d=3, e=6),
        trial("interleaved, layer 2, 3 heads", "fixed", "interleaved", 2, 3, 8, d=4, e=5),
        trial("interleaved, layer 3, with empty rows", "fixed", "interleaved", 3, d=5, e=7),
        trial("split, 4 heads", "strided", "split", d=6, e=3),
        trial("split, 2 heads, with empty rows", "fixed", "split", 1, head=2, i=7, d=3, e=5),
        batches("split, with two batch axes"),
    )


def odd_heads():
    mask = causal_mask(4, 4)
    inputs = dict(q="b head i d", k="b head i d", v="b head i e")
    inputs |= dict(first=Given("i i", mask), second=Given("i i", mask))
    inputs |= dict(way=Given("", "split"), layer=0)
    return (Trial("3 heads that are to be split", dict(b=2, head=3, i=4, d=5, e=6), inputs),)


def union(q, k, v, first, second, look):
    return look(q, k, v, first | second)


def by_layer(q, k, v, first, second, layer, look):
    return look(q, k, v, second if layer % 2 else first)


def by_halves(q, k, v, first, second, look):
    heads = q.shape[-3]
    return look(q, k, v, repeat([first, second], "p i j -> (p h) i j", h=heads // 2))


def heads_recipe(
    merging=union, interleaving=by_layer, splitting=by_halves, looking=by_dense_map
):
    """`factorised_attention` with some of its steps replaced."""

    def answer(q, k, v, first, second, way, layer=0):
        if way == "merged":
            return merging(q, k, v, first, second, looking)
        if way == "interleaved":
            return interleaving(q, k, v, first, second, layer, looking)
        return splitting(q, k, v, first, second, looking)

    return answer


def merged_after_the_softmax(q, k, v, first, second, look):
    """You merge after the softmax: the mean of two attentions. Merged means one softmax over
    the union of the keys, first | second."""
    return (look(q, k, v, first) + look(q, k, v, second)) / 2


def two_attentions_added(q, k, v, first, second, look):
    """You add two attentions. Merged means one softmax over the union of the keys, first |
    second."""
    return look(q, k, v, first) + look(q, k, v, second)


def one_after_the_other(q, k, v, first, second, look):
    """You let the second attention read what the first returns: two layers. Merged means one
    softmax over the union of the keys, first | second."""
    return look(q, k, look(q, k, v, first), second)


def intersection(q, k, v, first, second, look):
    """You take the keys that are in both masks. Merged takes those that are in either: first |
    second."""
    return look(q, k, v, first & second)


def in_one_only(q, k, v, first, second, look):
    """You take the keys that are in exactly one of the masks, so the query itself is lost.
    Merged takes those that are in either: |, not ^ or !=."""
    return look(q, k, v, first ^ second)


def two_hops_at_once(q, k, v, first, second, look):
    """You take the product of the masks, all that two hops reach. Merged takes the union: first
    | second."""
    return look(q, k, v, hop(first, second) > 0)


def counted_twice(q, k, v, first, second, look):
    """A key that is in both masks counts twice in your softmax: the query itself, for one. Join
    the masks, not the lists of scores."""
    s = q @ k.mT / math.sqrt(q.shape[-1])
    s = torch.cat([s.masked_fill(~mask, -math.inf) for mask in (first, second)], dim=-1)
    return s.softmax(-1).nan_to_num(0) @ torch.cat([v, v], dim=-2)


def merged_by_halves(q, k, v, first, second, look):
    """Merged, every head takes both masks. Yours split the heads between them."""
    heads = q.shape[-3] + 1
    mask = repeat([first, second], "p i j -> (p h) i j", h=heads // 2)
    return look(q, k, v, mask[: q.shape[-3]])


def second_alone(q, k, v, first, second, look):
    """Merged, you use the second mask alone. One softmax over the union: first | second."""
    return look(q, k, v, second)


def first_alone(q, k, v, first, second, look):
    """Merged, you use the first mask alone."""
    return look(q, k, v, first)


def layers_from_one(q, k, v, first, second, layer, look):
    """Your layers count from 1: layer 0 takes the second mask. It takes the first."""
    return look(q, k, v, first if layer % 2 else second)


def layer_ignored(q, k, v, first, second, layer, look):
    """Interleaved, you take the first mask in every layer. Odd layers take the second."""
    return look(q, k, v, first)


def layer_zero_alone(q, k, v, first, second, layer, look):
    """Interleaved, layer 2 takes the second mask in yours. It goes on in turn: layer % 2."""
    return look(q, k, v, second if layer else first)


def heads_interleaved(q, k, v, first, second, layer, look):
    """You interleave heads. Interleaved means layers: all heads of a layer take the same
    mask."""
    turns = [(first, second)[h % 2] for h in range(q.shape[-3])]
    return look(q, k, v, torch.stack(turns))


def always_the_second(q, k, v, first, second, layer, look):
    """Interleaved, you take the second mask in every layer. Even layers take the first."""
    return look(q, k, v, second)


def interleaved_is_merged(q, k, v, first, second, layer, look):
    """Interleaved, you use both masks in one layer. A layer has one: the even ones the first,
    the odd ones the second."""
    return look(q, k, v, first | second)


def halves_exchanged(q, k, v, first, second, look):
    """Split, your first half of the heads takes the second mask. It takes the first."""
    return by_halves(q, k, v, second, first, look)


def every_other_head(q, k, v, first, second, look):
    """Split, you deal the masks out in turn, head by head. Here the first half of the heads
    takes the first mask: (part half), not (half part)."""
    turns = [(first, second)[h % 2] for h in range(q.shape[-3])]
    return look(q, k, v, torch.stack(turns))


def first_head_alone(q, k, v, first, second, look):
    """Split, only head 0 takes the first mask in yours. Half of the heads do."""
    turns = [first] + [second] * (q.shape[-3] - 1)
    return look(q, k, v, torch.stack(turns))


def split_is_merged(q, k, v, first, second, look):
    """Split, all your heads take both masks. Each half takes one."""
    return look(q, k, v, first | second)


def split_by_examples(q, k, v, first, second, look):
    """Split, you give the first mask to the first half of the examples. It is the heads that
    are split."""
    mask = repeat([first, second], "p i j -> (p b) i j", b=q.shape[0] // 2)
    return look(q, k, v, mask.unflatten(0, (-1, *[1] * (q.ndim - 3))))


def split_takes_the_first(q, k, v, first, second, look):
    """Split, all your heads take the first mask. The second half takes the second."""
    return look(q, k, v, first)


def split_at_axis_1(q, k, v, first, second, look):
    """You count the axes from the front: with more axes in front, the heads are not axis 1.
    They are the last but two, -3."""
    parts = zip(*(x.chunk(2, 1) for x in (q, k, v)), (first, second), strict=True)
    return torch.cat([look(*part) for part in parts], 1)


def split_over_features(q, k, v, first, second, look):
    """You split the features of v, so every head takes both masks. It is the heads that are
    split."""
    parts = zip(v.chunk(2, -1), (first, second), strict=True)
    return torch.cat([look(q, k, part, mask) for part, mask in parts], -1)


def halves_of_features(q, k, v, first, second, look):
    """You split the features, so every head takes both masks. It is the heads that are
    split."""
    half = v.shape[-1] // 2
    parts = (v[..., :half], first), (v[..., half:], second)
    return torch.cat([look(q, k, part, mask) for part, mask in parts], -1)


def scaled_by_length(q, k, v, mask):
    """You divide the scores by the root of the number of tokens. It is sqrt(d), the features of
    a head."""
    return masked_softmax(q @ k.mT / math.sqrt(k.shape[-2]), mask) @ v


def pairs_of_layers(q, k, v, first, second, layer, look):
    """Interleaved, two layers after one another take the same mask in yours. They take turns:
    layer % 2, not layer // 2."""
    return look(q, k, v, second if layer // 2 % 2 else first)


def empty_rows_are_nan(q, k, v, mask):
    """A query that may attend to nothing gets NaN: softmax over nothing but -inf is 0 / 0. The
    first queries of the summaries are such. They get 0."""
    return (q @ k.mT / math.sqrt(q.shape[-1])).masked_fill(~mask, -math.inf).softmax(-1) @ v


def empty_rows_read_everything(q, k, v, mask):
    """A query that may attend to nothing gets the mean of all values: with a large negative
    number instead of -inf all its scores are alike. It gets 0."""
    return (q @ k.mT / math.sqrt(q.shape[-1])).masked_fill(~mask, -1e9).softmax(-1) @ v


def refuse_odd(heads, way):
    if way == "split" and heads % 2:
        raise ValueError("odd")


def heads_loops(q, k, v, first, second, way, layer=0):
    refuse_odd(q.shape[-3], way)
    outputs, heads = [], q.shape[-3]
    for h in range(heads):
        if way == "merged":
            mask = torch.logical_or(first, second)
        elif way == "interleaved":
            mask = [first, second][layer % 2]
        else:
            mask = first if h < heads // 2 else second
        outputs.append(scaled_dot_product_attention(q[..., h, :, :], k[..., h, :, :],
                                                    v[..., h, :, :], mask))  # fmt: skip
    return torch.stack(outputs, dim=-3)


def heads_by_torch(q, k, v, first, second, way, layer=0):
    refuse_odd(q.shape[-3], way)
    half = q.shape[-3] // 2
    if way == "merged":
        mask = first + second
    elif way == "interleaved":
        mask = second if layer % 2 == 1 else first
    else:
        mask = torch.stack([first] * half + [second] * half)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)


EXERCISE = Exercise(
    id="sparse.factorised_attention",
    solution=factorised_attention,
    probes={"factorised_attention": "b head i e"},
    trials=head_trials,
    slips=family(
        heads_recipe,
        paired=(
            merged_after_the_softmax,
            intersection,
            layers_from_one,
            layer_ignored,
            halves_exchanged,
            every_other_head,
            empty_rows_are_nan,
            not_scaled,
        ),
        merging=(
            merged_after_the_softmax,
            two_attentions_added,
            one_after_the_other,
            intersection,
            in_one_only,
            two_hops_at_once,
            counted_twice,
            merged_by_halves,
            first_alone,
            second_alone,
        ),
        interleaving=(
            layers_from_one,
            layer_ignored,
            layer_zero_alone,
            heads_interleaved,
            interleaved_is_merged,
            always_the_second,
            pairs_of_layers,
        ),
        splitting=(
            halves_exchanged,
            every_other_head,
            first_head_alone,
            split_is_merged,
            split_by_examples,
            split_at_axis_1,
            split_takes_the_first,
            split_over_features,
            halves_of_features,
        ),
        looking=(
            empty_rows_are_nan,
            empty_rows_read_everything,
            masked_after_the_softmax,
            mask_inverted,
            not_scaled,
            scaled_by_d,
            scaled_by_values,
            scaled_by_length,
        ),
    ),
    hints=(
        "A query sees keys 5, 6, 7 by the first mask and 1, 4, 7 by the second. Over how"
        " many keys does the softmax of a merged head run?",
        "All three ways are the same attention with another mask: first | second for all;"
        " one of them, by layer % 2; or a mask with an axis of heads.",
        "merged: mask = first | second\n"
        "interleaved: mask = (first, second)[layer % 2]\n"
        'split: repeat [first, second] as "part i j -> (part half) i j"\n'
        "scaled_dot_product_attention(q, k, v, mask)",
    ),
    minutes=10,
    difficulty=3,
    otherwise=(heads_loops, heads_by_torch),
    refuses=odd_heads,
    laws=("examples_do_not_mix", "queries_read_their_keys"),
)
