"""The heart of a kernel in Triton: what a tile of keys changes in largest, sum and output."""

import torch

from attncourse.exercises import interpreter
from attncourse.exercises.edits import wrong
from attncourse.exercises.record import Exercise, Given, Trial
from solutions.fast.kernel import kernel_attention, online_step, tl

STEP = {"largest": "i", "total": "i", "read": "i e"}
TILE = {"i": 16, "j": 32, "e": 64}  # queries and keys of a tile, features of its values


def by_kernel(step, q, k, v):
    """The kernel with this step, on the GPU if there is one."""
    device = q.device if interpreter.interpreted() else torch.device("cuda")
    there = [x.to(device) for x in (q, k, v)]
    found = interpreter.called(lambda own: kernel_attention(*there, own), step, STEP, TILE)
    return tuple(x.to(q.device) for x in found)


def step_trials():
    rising = torch.linspace(-3, 3, 70, dtype=torch.float64)[:, None].expand(70, 5)
    three = {"q": "i d", "k": "keys d", "v": "keys e"}
    q = torch.ones(16, 5, dtype=torch.float64) * torch.linspace(-1, 1, 16)[:, None]
    return (
        Trial(
            "with 3 tiles of keys, the last one not full",
            TILE | dict(keys=75, d=5),
            three,
        ),
        Trial(
            "where scores rise for some queries and fall for others",
            TILE | dict(keys=70, d=5),
            three | {"q": Given("i d", q.double()), "k": Given("keys d", rising.contiguous())},
        ),
    )


# fmt: off
LARGEST = (
    wrong("new_part_rescaled", 'rescale[:, None] * read + tl.dot(shares, v, input_precision="ieee")',
          'rescale[:, None] * (read + tl.dot(shares, v, input_precision="ieee"))',
          "You rescale what this tile adds as well. Only what was read before was counted from the old"
          " maximum."),
    wrong("largest_not_kept", "return new", "return largest",
          "You return the old largest score: it is not updated, and the next tile believes that"
          " nothing was seen. Return the new one."),
    wrong("tiles_own_maximum", "tl.maximum(largest, tl.max(scores, 1))", "tl.max(scores, 1)",
          "You subtract the largest score of the tile alone: where it is lower than what came"
          " before, exp(old - new) overflows. `tl.maximum` takes the larger of both."),
    wrong("maximum_of_the_tile", "tl.max(scores, 1)", "tl.max(scores)",
          "You take one largest score for all queries. A query that lies far below gets 0 / 0 ="
          " nan: one for each row, `tl.max(scores, 1)`."),
    wrong("nothing_subtracted_in_it", "tl.maximum(largest, tl.max(scores, 1))",
          "tl.zeros_like(largest)",
          "You take exp of the scores as they are: inf for large ones. Subtract the largest score"
          " so far."),
    wrong("largest_and_sum_exchanged", "return new, total", "return total, new",
          "You return the sum before the largest score. The order is largest, total, read."),
)

FADES = (
    wrong("nothing_faded", "rescale * total", "total",
          "Neither sum nor output is rescaled when a larger score is found. Multiply both by"
          " exp(old - new) before you add.",
          ("rescale[:, None] * read", "read")),
    wrong("reading_not_faded", "rescale[:, None] * read", "read",
          "The accumulator is not rescaled: `read` was weighted with exp(s - old). Multiply it by"
          " exp(old - new), as you do with the sum: `rescale[:, None] * read`."),
    wrong("sum_not_faded", "rescale * total", "total",
          "The sum is not rescaled, and the output is. Multiply `total` by exp(old - new) as"
          " well."),
    wrong("faded_the_wrong_way", "largest - new", "new - largest",
          "What you rescale by is infinite in the first tile, where the old largest is -inf, and"
          " 0 inf is nan. It is exp(old - new), which is 0 there: with exp, and not the other way"
          " round."),
    wrong("faded_too_late", "rescale * total + tl.sum(shares, 1)",
          "rescale * (total + tl.sum(shares, 1))",
          "You rescale after adding the tile, which was weighted with the new largest already."
          " First rescale what was there, then add.",
          ('rescale[:, None] * read + tl.dot(shares, v, input_precision="ieee")',
           'rescale[:, None] * (read + tl.dot(shares, v, input_precision="ieee"))')),
    wrong("faded_to_base_two", "rescale = tl.exp", "rescale = tl.exp2",
          "You mix exp and exp2. One base for both: `tl.exp`, or `tl.exp2` of scores times"
          " log2(e)."),
    wrong("all_to_base_two", "rescale = tl.exp", "rescale = tl.exp2",
          "You take powers of 2 everywhere: `tl.exp2`. Softmax has powers of e: `tl.exp`, or"
          " multiply the scores by log2(e) first.",
          ("shares = tl.exp", "shares = tl.exp2")),
)

SHARES = (
    wrong("shares_of_the_old", "scores - new", "scores - largest",
          "You weight the tile with exp(s - old), where old is -inf in the first tile. Its shares"
          " are exp(s - new): the new largest score."),
    wrong("largest_not_subtracted", "tl.exp(scores - new[:, None])", "tl.exp(scores)",
          "You weight the tile with exp(s), and rescale as if the largest score had been subtracted."
          " Its shares are exp(s - new)."),
    wrong("tile_softmax", "tl.dot(shares, v", "tl.dot(shares / tl.sum(shares, 1)[:, None], v",
          "You turn a tile's shares into a softmax of their own. They are divided at the end by"
          " the sum over all keys: read with exp(s - largest)."),
    wrong("softmax_of_triton", "shares = tl.exp(scores - new[:, None])",
          "shares = tl.exp(scores - new[:, None])\n"
          "shares = shares / tl.sum(shares, 1)[:, None]",
          "You take a softmax of the tile, which divides by the tile's own sum. The kernel"
          " divides at the end, by the sum over all keys: exp(s - new)."),
    wrong("divided_in_every_tile", "return new, total, read",
          "return new, total, read / total[:, None]",
          "You divide the output by the sum in every tile. The kernel divides once, after the"
          " last one."),
)

SUMS = (
    wrong("tile_overwrites", "rescale * total + ", "",
          "You overwrite what was seen: only the last tile is left. Add to `total` and `read`,"
          " after rescaling them.",
          ("rescale[:, None] * read + ", "")),
    wrong("reading_overwritten", "rescale[:, None] * read + ", "",
          "You overwrite `read`: only the values of the last tile are left. Add to it, after"
          " rescaling: `rescale[:, None] * read + …`."),
    wrong("sum_overwritten", "rescale * total + ", "",
          "You overwrite `total`: only the shares of the last tile are summed. Add to it, after"
          " rescaling: `rescale * total + …`."),
    wrong("sum_of_the_whole_tile", "tl.sum(shares, 1)", "tl.sum(shares)",
          "You sum over the whole tile. Each query has its own sum: `tl.sum(shares, 1)`."),
    wrong("sum_of_scores", "tl.sum(shares, 1)", "tl.sum(scores, 1)",
          "You sum scores. It is exp(score - largest) that is summed, the shares."),
)
# fmt: on


def step_by_where(scores, v, largest, total, read):
    high = tl.max(scores, axis=1)
    new = tl.where(high > largest, high, largest)
    shares = tl.exp2((scores - new[:, None]) * 1.4426950408889634)
    rescale = tl.exp2((largest - new) * 1.4426950408889634)
    read = read * rescale[:, None]
    read += tl.dot(shares, v, input_precision="ieee")
    return new, total * rescale + tl.sum(shares, axis=1), read


def step_with_an_accumulator(scores, v, m, l, acc):  # noqa: E741
    m_new = tl.maximum(m, tl.max(scores, 1))
    p = tl.exp(scores - m_new[:, None])
    alpha = tl.exp(m - m_new)
    acc = tl.dot(p, v, acc * alpha[:, None], input_precision="ieee")
    l = l * alpha + tl.sum(p, 1)  # noqa: E741
    return m_new, l, acc


EXERCISE = Exercise(
    id="fast.online_step",
    solution=online_step,
    probes={"online_step": ("i e", "i")},
    trials=step_trials,
    slips=(*LARGEST, *FADES, *SHARES, *SUMS),
    hints=(
        "It is the inside of the loop of `attention_by_tiles`. What does it change, and"
        " in which order?",
        "new = max(largest, max over j of scores). What was there is rescaled by exp(largest"
        " - new); the tile adds exp(scores - new), summed over j, and times v. `[:, None]`"
        " makes i an i 1.",
        "new = tl.maximum(largest, tl.max(scores, 1))\n"
        "rescale: tl.exp of largest - new;  shares: tl.exp of scores - new[:, None]\n"
        "total: times rescale, plus tl.sum(…, 1)\n"
        "read: times rescale[:, None], plus tl.dot(shares, v)\n"
        "return new, total, read",
    ),
    minutes=12,
    difficulty=3,
    otherwise=(step_by_where, step_with_an_accumulator),
    skip=frozenset({"gradients", "strided", "float32", "device"}),
    through=by_kernel,
    needs=interpreter.missing,
)
