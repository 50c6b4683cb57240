"""The record of `scaled_dot_product.padding_mask`."""

import math

import torch

from attncourse.exercises.record import Exercise, Given, Trial
from solutions.scaled_dot_product import (
    padding_mask,
)


def padding_trials():
    def trial(name, lengths, keys):
        lengths = torch.tensor(lengths)
        return Trial(
            name, dict(b=len(lengths), j=keys), dict(lengths=Given("b", lengths), keys=keys)
        )

    return (
        trial("with lengths 2, 5, 0 and 4 of 5", [2, 5, 0, 4], 5),
        trial("with lengths 1 and 3 of 7", [1, 3], 7),
    )


def one_too_many(lengths, keys):
    """One key too many is let through: the positions below `lengths` count from 0."""
    return torch.arange(keys)[None, None] <= lengths[:, None, None]


def padding_is_true(lengths, keys):
    """The mask is inverted: here True means may attend, and you mark the padding."""
    return torch.arange(keys)[None, None] >= lengths[:, None, None]


def from_the_left(lengths, keys):
    """You mark the last keys of each example. The padding comes at the end."""
    return torch.arange(keys)[None, None] >= keys - lengths[:, None, None]


def no_axis_for_queries(lengths, keys):
    """The axis of the queries is missing: b j. With b 1 j the mask broadcasts to the map, b i
    j."""
    return torch.arange(keys)[None] < lengths[:, None]


def down_the_queries(lengths, keys):
    """Your mask is b j 1: it hides queries. Padding hides keys: b 1 j."""
    return torch.arange(keys)[None, :, None] < lengths[:, None, None]


def only_the_last(lengths, keys):
    """You mark one key of each example; all of the first `lengths` may be attended to."""
    return torch.arange(keys)[None, None] == lengths[:, None, None] - 1


def as_numbers(lengths, keys):
    """Your mask holds numbers. A mask is boolean: True where a query may attend."""
    return (torch.arange(keys)[None, None] < lengths[:, None, None]).float()


def as_wide_as_the_longest(lengths, keys):
    """Your mask ends where the longest example ends. It has a column for every key: `keys`."""
    keys = int(lengths.max())
    return torch.arange(keys)[None, None] < lengths[:, None, None]


def over_queries_and_keys_alike(lengths, keys):
    """Your mask hides queries as well: b j j. Padding hides keys, for every query alike:
    b 1 j."""
    there = torch.arange(keys)[None] < lengths[:, None]
    return there[:, :, None] & there[:, None]


def longest_for_all(lengths, keys):
    """All examples get the length of the longest. Each has its own."""
    return padding_mask(lengths.amax().expand(len(lengths)), keys)


def first_for_all(lengths, keys):
    """All examples get the length of the first. Each has its own."""
    return padding_mask(lengths[:1].expand(len(lengths)), keys)


def as_many_as_padding(lengths, keys):
    """You mark as many keys as there is padding, keys - length. Mark the first `lengths`."""
    return padding_mask(keys - lengths, keys)


def one_axis_too_many(lengths, keys):
    """Your mask has an axis too many: b 1 1 j, as for heads. Here it is b 1 j."""
    return padding_mask(lengths, keys)[:, None]


def repeated_for_queries(lengths, keys):
    """You repeat the mask for every query: b j j. The axis of the queries has length 1, b 1 j:
    there may be more queries than keys, or fewer."""
    return padding_mask(lengths, keys).expand(-1, keys, -1)


def one_too_few(lengths, keys):
    """One key too few is let through: the positions below `lengths` count from 0."""
    return torch.arange(keys)[None, None] < lengths[:, None, None] - 1


def keys_before_examples(lengths, keys):
    """The axes are exchanged: j 1 b. The examples come first: b 1 j."""
    return torch.arange(keys)[:, None, None] < lengths


def minus_infinity_on_padding(lengths, keys):
    """This is the additive kind of mask, 0 and -inf. Here a mask is boolean: True where a query
    may attend."""
    mask = padding_mask(lengths, keys)
    return torch.zeros(mask.shape).masked_fill(~mask, -math.inf)


def padding_loops(lengths, keys):
    return torch.tensor([[[j < n for j in range(keys)]] for n in lengths.tolist()])


def padding_by_cumsum(lengths, keys):
    ones = torch.ones(len(lengths), 1, keys, dtype=torch.long, device=lengths.device)
    return ones.cumsum(-1) <= lengths.reshape(-1, 1, 1)


EXERCISE = Exercise(
    id="scaled_dot_product.padding_mask",
    solution=padding_mask,
    probes={"padding_mask": "b 1 j"},
    trials=padding_trials,
    slips=(
        one_too_many,
        padding_is_true,
        from_the_left,
        no_axis_for_queries,
        down_the_queries,
        only_the_last,
        as_numbers,
        as_wide_as_the_longest,
        longest_for_all,
        first_for_all,
        as_many_as_padding,
        over_queries_and_keys_alike,
        one_axis_too_many,
        repeated_for_queries,
        one_too_few,
        keys_before_examples,
        minus_infinity_on_padding,
    ),
    hints=(
        "For an example of length 2, which positions j = 0, 1, 2, … are real keys?",
        (
            "Compare j, as 1 1 j, with the lengths, as b 1 1. The middle axis is there for"
            " the queries."
        ),
        (
            "j = 0 … keys - 1, on the device of lengths\n"
            'return (j as "1 1 j") < (lengths as "b 1 1")'
        ),
    ),
    minutes=4,
    difficulty=1,
    otherwise=(padding_loops, padding_by_cumsum),
    laws=("lengths_are_kept",),
    skip=frozenset({"device"}),
)
