"""The padding mask: True for the keys that an example has, for every query alike."""

import torch

from attncourse.exercises.edits import wrong
from attncourse.exercises.record import Exercise, Given, Trial
from solutions.scaled_dot_product import padding_mask


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


# fmt: off
LENGTHS = (
    wrong("one_too_many", '1 1 j") <', '1 1 j") <=',
          "One key too many is let through: the positions below `lengths` count from 0."),
    wrong("padding_is_true", '1 1 j") <', '1 1 j") >=',
          "The mask is inverted: here True means may attend, and you mark the padding."),
    wrong("minus_infinity_on_padding",
          'return rearrange(j, "j -> 1 1 j") < rearrange(lengths, "b -> b 1 1")',
          'mask = rearrange(j, "j -> 1 1 j") < rearrange(lengths, "b -> b 1 1")\n'
          "return torch.zeros(mask.shape).masked_fill(~mask, -math.inf)",
          "This is the additive kind of mask, 0 and -inf. Here a mask is boolean: True where a"
          " query may attend."),
)

AXES = (
    wrong("no_axis_for_queries", '"j -> 1 1 j"', '"j -> 1 j"',
          "The axis of the queries is missing: b j. With b 1 j the mask broadcasts to the map, b i"
          " j.",
          ('"b -> b 1 1"', '"b -> b 1"')),
    wrong("down_the_queries", '"j -> 1 1 j"', '"j -> 1 j 1"',
          "Your mask is b j 1: it hides queries. Padding hides keys: b 1 j."),
    wrong("as_wide_as_the_longest", "arange(keys,", "arange(int(lengths.max()),",
          "Your mask ends where the longest example ends. It has a column for every key: `keys`."),
    wrong("over_queries_and_keys_alike",
          'return rearrange(j, "j -> 1 1 j") < rearrange(lengths, "b -> b 1 1")',
          'there = rearrange(j, "j -> 1 j") < rearrange(lengths, "b -> b 1")\n'
          'return rearrange(there, "b i -> b i 1") & rearrange(there, "b j -> b 1 j")',
          "Your mask hides queries as well: b j j. Padding hides keys, for every query alike: b 1"
          " j."),
    wrong("repeated_for_queries", 'rearrange(j, "j -> 1 1 j")', 'repeat(j, "j -> 1 i j", i=keys)',
          "You repeat the mask for every query: b j j. The axis of the queries has length 1, b 1 j:"
          " there may be more queries than keys, or fewer."),
)
# fmt: on


def padding_loops(lengths, keys):
    there = [[[j < n for j in range(keys)]] for n in lengths.tolist()]
    return torch.tensor(there, device=lengths.device)


def padding_by_cumsum(lengths, keys):
    ones = torch.ones(len(lengths), 1, keys, dtype=torch.long, device=lengths.device)
    return ones.cumsum(-1) <= lengths.reshape(-1, 1, 1)


EXERCISE = Exercise(
    id="scaled_dot_product.padding_mask",
    solution=padding_mask,
    probes={"padding_mask": "b 1 j"},
    trials=padding_trials,
    slips=(*LENGTHS, *AXES),
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
)
