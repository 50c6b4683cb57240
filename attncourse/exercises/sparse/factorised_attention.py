"""Attention whose heads use two masks: merged, interleaved or split."""

from dataclasses import replace

import torch
from torch.nn import functional as F

from attncourse.exercises.edits import often, wrong
from attncourse.exercises.record import Exercise, Given, Trial
from attncourse.exercises.sparse.shared import own_attention, scores
from solutions.scaled_dot_product import causal_mask, scaled_dot_product_attention
from solutions.sparse import factorised_attention, masks


def head_trials():
    def trial(name, pattern, way, layer=0, head=4, i=11, **sizes):
        sizes = dict(b=2, head=head, i=i) | sizes
        first, second = masks(pattern, i, 3, 2) if pattern == "fixed" else masks(pattern, i, 3)
        inputs = dict(q="b head i d", k="b head i d", v="b head i e")
        inputs |= dict(first=Given("i i", first), second=Given("i i", second))
        return Trial(name, sizes, inputs | dict(way=Given("", way), layer=layer))

    def batches(name):
        one = trial(name, "strided", "split", head=6, b=4, i=11, d=5, e=7)
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
    sizes = dict(b=2, head=3, i=4, d=5, e=6)
    return (Trial("3 heads that are to be split", sizes, inputs, says=(3,)),)


# fmt: off
MERGED = (
    *often(
        wrong("merged_after_the_softmax", "mask = first | second",
              "y = [scaled_dot_product_attention(q, k, v, mask) for mask in (first, second)]\n"
              "return (y[0] + y[1]) / 2",
              "You merge after the softmax: the mean of two attentions. Merged means one softmax"
              " over the union of the keys, first | second."),
        wrong("intersection", "first | second", "first & second",
              "You take the keys that are in both masks. Merged takes those that are in either:"
              " first | second."),
    ),
    wrong("one_after_the_other", "mask = first | second",
          "v, mask = scaled_dot_product_attention(q, k, v, first), second",
          "You let the second attention read what the first returns: two layers. Merged means one"
          " softmax over the union of the keys, first | second."),
    wrong("counted_twice", "mask = first | second",
          "mask, k = torch.cat([first, second], -1), torch.cat([k, k], -2)\n"
          "v = torch.cat([v, v], -2)",
          "A key that is in both masks counts twice in your softmax: the query itself, for one."
          " Join the masks, not the lists of scores."),
)

INTERLEAVED = (
    *often(
        wrong("layers_from_one", "(first, second)", "(second, first)",
              "Your layers count from 1: layer 0 takes the second mask. It takes the first."),
        wrong("layer_ignored", "(first, second)[layer % 2]", "first",
              "Interleaved, you take the first mask in every layer. Odd layers take the second."),
    ),
    wrong("layer_zero_alone", "layer % 2", "layer > 0",
          "Interleaved, layer 2 takes the second mask in yours. It goes on in turn: layer % 2."),
    wrong("pairs_of_layers", "layer % 2", "layer // 2 % 2",
          "Interleaved, two layers after one another take the same mask in yours. They take turns:"
          " layer % 2, not layer // 2."),
    wrong("heads_interleaved", "(first, second)[layer % 2]",
          "torch.stack([(first, second)[head % 2] for head in range(heads)])",
          "You interleave heads. Interleaved means layers: all heads of a layer take the same"
          " mask."),
)

SPLIT = (
    *often(
        wrong("halves_exchanged", "[first, second]", "[second, first]",
              "Split, your first half of the heads takes the second mask. It takes the first."),
        wrong("every_other_head", "(part half)", "(half part)",
              "Split, you deal the masks out in turn, head by head. Here the first half of the"
              " heads takes the first mask: (part half), not (half part)."),
    ),
    wrong("split_at_axis_1",
          'mask = repeat([first, second], "part i j -> (part half) i j", half=heads // 2)',
          "parts = zip(*(x.chunk(2, 1) for x in (q, k, v)), (first, second))\n"
          "return torch.cat([scaled_dot_product_attention(*part) for part in parts], 1)",
          "You count the axes from the front: with more axes in front, the heads are not axis 1."
          " They are the last but two, -3."),
    wrong("split_over_features",
          'mask = repeat([first, second], "part i j -> (part half) i j", half=heads // 2)',
          "parts = zip(v.chunk(2, -1), (first, second))\n"
          "return torch.cat([scaled_dot_product_attention(q, k, *part) for part in parts], -1)",
          "You split the features of v, so every head takes both masks. It is the heads that are"
          " split."),
    wrong("halves_of_features",
          'mask = repeat([first, second], "part i j -> (part half) i j", half=heads // 2)',
          "half = v.shape[-1] // 2\n"
          "parts = (v[..., :half], first), (v[..., half:], second)\n"
          "return torch.cat([scaled_dot_product_attention(q, k, *part) for part in parts], -1)",
          "You split the features, so every head takes both masks. It is the heads that are"
          " split."),
)

SCORES = (
    *scores("heads = q.shape[-3]"),
    *often(
        own_attention("heads = q.shape[-3]", "empty_rows_are_nan",
                      "(q @ k.mT / q.shape[-1] ** 0.5).masked_fill(~mask, -math.inf).softmax(-1)",
                      "A query that may attend to nothing gets NaN: softmax over nothing but -inf"
                      " is 0 / 0. The first queries of the summaries are such. They get 0."),
    ),
    own_attention("heads = q.shape[-3]", "empty_rows_read_everything",
                  "(q @ k.mT / q.shape[-1] ** 0.5).masked_fill(~mask, -1e9).softmax(-1)",
                  "A query that may attend to nothing gets the mean of all values: with a large"
                  " negative number instead of -inf all its scores are alike. It gets 0."),
    wrong("mask_inverted", "k, v, mask)", "k, v, ~mask)",
          "You attend where the mask is False. It is True where a query may."),
)
# fmt: on


def refuse_odd(heads, way):
    if way == "split" and heads % 2:
        raise ValueError(f"{heads} heads have no halves")


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
    slips=(*MERGED, *INTERLEAVED, *SPLIT, *SCORES),
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
