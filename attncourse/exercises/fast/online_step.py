"""The record of `fast.online_step`."""

import torch

from attncourse.exercises import interpreter
from attncourse.exercises.record import Exercise, Given, Trial
from solutions.fast.kernel import kernel_attention, online_step

try:
    import triton.language as tl
except ImportError:  # Triton is there for Linux
    tl = None
from attncourse.exercises.fast.shared import in_ways

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


def largest_not_kept(scores, v, largest, total, read):
    """You return the old largest score: it is not updated, and the next tile believes that
    nothing was seen. Return the new one."""
    new = tl.maximum(largest, tl.max(scores, 1))
    fade = tl.exp(largest - new)
    shares = tl.exp(scores - new[:, None])
    total = fade * total + tl.sum(shares, 1)
    read = fade[:, None] * read + tl.dot(shares, v, input_precision="ieee")
    return largest, total, read


def tiles_own_maximum(scores, v, largest, total, read):
    """You subtract the largest score of the tile alone: where it is lower than what came
    before, e^(old - new) overflows. `tl.maximum` takes the larger of both."""
    new = tl.max(scores, 1)
    fade = tl.exp(largest - new)
    shares = tl.exp(scores - new[:, None])
    total = fade * total + tl.sum(shares, 1)
    read = fade[:, None] * read + tl.dot(shares, v, input_precision="ieee")
    return new, total, read


def nothing_faded(scores, v, largest, total, read):
    """Neither sum nor reading is rescaled when a larger score is found. Multiply both by e^(old
    - new) before you add."""
    new = tl.maximum(largest, tl.max(scores, 1))
    shares = tl.exp(scores - new[:, None])
    return new, total + tl.sum(shares, 1), read + tl.dot(shares, v, input_precision="ieee")


def reading_not_faded(scores, v, largest, total, read):
    """The accumulator is not rescaled: `read` was weighted with e^(s - old). Multiply it by
    e^(old - new), as you do with the sum: `fade[:, None] * read`."""
    new = tl.maximum(largest, tl.max(scores, 1))
    shares = tl.exp(scores - new[:, None])
    total = tl.exp(largest - new) * total + tl.sum(shares, 1)
    return new, total, read + tl.dot(shares, v, input_precision="ieee")


def sum_not_faded(scores, v, largest, total, read):
    """The sum is not rescaled, and the reading is. Multiply `total` by e^(old - new) as
    well."""
    new = tl.maximum(largest, tl.max(scores, 1))
    fade = tl.exp(largest - new)
    shares = tl.exp(scores - new[:, None])
    read = fade[:, None] * read + tl.dot(shares, v, input_precision="ieee")
    return new, total + tl.sum(shares, 1), read


def faded_the_wrong_way(scores, v, largest, total, read):
    """What you rescale by is infinite in the first tile, where the old largest is -inf, and 0
    inf is nan. It is e^(old - new), which is 0 there: with exp, and not the other way round."""
    new = tl.maximum(largest, tl.max(scores, 1))
    fade = tl.exp(new - largest)
    shares = tl.exp(scores - new[:, None])
    total = fade * total + tl.sum(shares, 1)
    read = fade[:, None] * read + tl.dot(shares, v, input_precision="ieee")
    return new, total, read


def faded_too_late(scores, v, largest, total, read):
    """You rescale after adding the tile, which was weighted with the new largest already. First
    rescale what was there, then add."""
    new = tl.maximum(largest, tl.max(scores, 1))
    fade = tl.exp(largest - new)
    shares = tl.exp(scores - new[:, None])
    total = fade * (total + tl.sum(shares, 1))
    read = fade[:, None] * (read + tl.dot(shares, v, input_precision="ieee"))
    return new, total, read


def faded_to_base_two(scores, v, largest, total, read):
    """You mix exp and exp2. One base for both: `tl.exp`, or `tl.exp2` of scores times
    log2(e)."""
    new = tl.maximum(largest, tl.max(scores, 1))
    fade = tl.exp2(largest - new)
    shares = tl.exp(scores - new[:, None])
    total = fade * total + tl.sum(shares, 1)
    read = fade[:, None] * read + tl.dot(shares, v, input_precision="ieee")
    return new, total, read


def all_to_base_two(scores, v, largest, total, read):
    """You take powers of 2 everywhere: `tl.exp2`. Softmax has powers of e: `tl.exp`, or
    multiply the scores by log2(e) first."""
    new = tl.maximum(largest, tl.max(scores, 1))
    fade = tl.exp2(largest - new)
    shares = tl.exp2(scores - new[:, None])
    total = fade * total + tl.sum(shares, 1)
    read = fade[:, None] * read + tl.dot(shares, v, input_precision="ieee")
    return new, total, read


def divided_in_every_tile(scores, v, largest, total, read):
    """You divide the reading by the sum in every tile. The kernel divides once, after the last
    one."""
    new = tl.maximum(largest, tl.max(scores, 1))
    fade = tl.exp(largest - new)
    shares = tl.exp(scores - new[:, None])
    total = fade * total + tl.sum(shares, 1)
    read = fade[:, None] * read + tl.dot(shares, v, input_precision="ieee")
    return new, total, read / total[:, None]


def tile_softmax(scores, v, largest, total, read):
    """You turn a tile's shares into a softmax of their own. They are divided at the end by the
    sum over all keys: read with e^(s - largest)."""
    new = tl.maximum(largest, tl.max(scores, 1))
    fade = tl.exp(largest - new)
    shares = tl.exp(scores - new[:, None])
    some = tl.sum(shares, 1)
    total = fade * total + some
    read = fade[:, None] * read + tl.dot(shares / some[:, None], v, input_precision="ieee")
    return new, total, read


def tile_overwrites(scores, v, largest, total, read):
    """You overwrite what was seen: only the last tile is left. Add to `total` and `read`, after
    rescaling them."""
    new = tl.maximum(largest, tl.max(scores, 1))
    shares = tl.exp(scores - new[:, None])
    return new, tl.sum(shares, 1), tl.dot(shares, v, input_precision="ieee")


def reading_overwritten(scores, v, largest, total, read):
    """You overwrite `read`: only the values of the last tile are left. Add to it, after
    rescaling: `fade[:, None] * read + …`."""
    new = tl.maximum(largest, tl.max(scores, 1))
    shares = tl.exp(scores - new[:, None])
    total = tl.exp(largest - new) * total + tl.sum(shares, 1)
    return new, total, tl.dot(shares, v, input_precision="ieee")


def sum_overwritten(scores, v, largest, total, read):
    """You overwrite `total`: only the shares of the last tile are summed. Add to it, after
    rescaling: `fade * total + …`."""
    new = tl.maximum(largest, tl.max(scores, 1))
    shares = tl.exp(scores - new[:, None])
    fade = tl.exp(largest - new)
    read = fade[:, None] * read + tl.dot(shares, v, input_precision="ieee")
    return new, tl.sum(shares, 1), read


def maximum_of_the_tile(scores, v, largest, total, read):
    """You take one largest score for all queries. A query that lies far below gets 0 / 0 = nan:
    one for each row, `tl.max(scores, 1)`."""
    new = tl.maximum(largest, tl.max(scores))
    fade = tl.exp(largest - new)
    shares = tl.exp(scores - new[:, None])
    total = fade * total + tl.sum(shares, 1)
    read = fade[:, None] * read + tl.dot(shares, v, input_precision="ieee")
    return new, total, read


def nothing_subtracted_in_it(scores, v, largest, total, read):
    """You take exp of the scores as they are: inf for large ones. Subtract the largest score so
    far."""
    shares = tl.exp(scores)
    return (
        total * 0,
        total + tl.sum(shares, 1),
        read + tl.dot(shares, v, input_precision="ieee"),
    )


def largest_and_sum_exchanged(scores, v, largest, total, read):
    """You return the sum before the largest score. The order is largest, total, read."""
    new = tl.maximum(largest, tl.max(scores, 1))
    fade = tl.exp(largest - new)
    shares = tl.exp(scores - new[:, None])
    total = fade * total + tl.sum(shares, 1)
    read = fade[:, None] * read + tl.dot(shares, v, input_precision="ieee")
    return total, new, read


def sum_of_the_whole_tile(scores, v, largest, total, read):
    """You sum over the whole tile. Each query has its own sum: `tl.sum(shares, 1)`."""
    new = tl.maximum(largest, tl.max(scores, 1))
    fade = tl.exp(largest - new)
    shares = tl.exp(scores - new[:, None])
    total = fade * total + tl.sum(shares)
    read = fade[:, None] * read + tl.dot(shares, v, input_precision="ieee")
    return new, total, read


def softmax_of_triton(scores, v, largest, total, read):
    """You take a softmax of the tile, which divides by the tile's own sum. The kernel divides
    at the end, by the sum over all keys: e^(s - new)."""
    new = tl.maximum(largest, tl.max(scores, 1))
    fade = tl.exp(largest - new)
    shares = tl.exp(scores - tl.max(scores, 1)[:, None])
    shares = shares / tl.sum(shares, 1)[:, None]
    total = fade * total + tl.sum(shares, 1)
    read = fade[:, None] * read + tl.dot(shares, v, input_precision="ieee")
    return new, total, read


def sum_of_scores(scores, v, largest, total, read):
    """You sum scores. It is e^(score - largest) that is summed, the shares."""
    new = tl.maximum(largest, tl.max(scores, 1))
    fade = tl.exp(largest - new)
    shares = tl.exp(scores - new[:, None])
    total = fade * total + tl.sum(scores - new[:, None], 1)
    read = fade[:, None] * read + tl.dot(shares, v, input_precision="ieee")
    return new, total, read


def fade_without_exp(scores, v, largest, total, read):
    """You rescale by old - new. It is the exponential of that, `tl.exp(largest - new)`."""
    new = tl.maximum(largest, tl.max(scores, 1))
    fade = largest - new
    shares = tl.exp(scores - new[:, None])
    total = fade * total + tl.sum(shares, 1)
    read = fade[:, None] * read + tl.dot(shares, v, input_precision="ieee")
    return new, total, read


def shares_of_the_old(scores, v, largest, total, read):
    """You weight the tile with e^(s - old), where old is -inf in the first tile. Its shares are
    e^(s - new): the new largest score."""
    new = tl.maximum(largest, tl.max(scores, 1))
    fade = tl.exp(largest - new)
    shares = tl.exp(scores - largest[:, None])
    total = fade * total + tl.sum(shares, 1)
    read = fade[:, None] * read + tl.dot(shares, v, input_precision="ieee")
    return new, total, read


def step_by_where(scores, v, largest, total, read):
    high = tl.max(scores, axis=1)
    new = tl.where(high > largest, high, largest)
    shares = tl.exp2((scores - new[:, None]) * 1.4426950408889634)
    fade = tl.exp2((largest - new) * 1.4426950408889634)
    read = read * fade[:, None]
    read += tl.dot(shares, v, input_precision="ieee")
    return new, total * fade + tl.sum(shares, axis=1), read


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
    slips=(
        largest_not_kept,
        tiles_own_maximum,
        nothing_faded,
        reading_not_faded,
        sum_not_faded,
        in_ways(faded_the_wrong_way, fade_without_exp),
        faded_too_late,
        faded_to_base_two,
        all_to_base_two,
        divided_in_every_tile,
        tile_softmax,
        tile_overwrites,
        reading_overwritten,
        sum_overwritten,
        maximum_of_the_tile,
        nothing_subtracted_in_it,
        largest_and_sum_exchanged,
        sum_of_the_whole_tile,
        softmax_of_triton,
        sum_of_scores,
        shares_of_the_old,
    ),
    hints=(
        "It is the inside of the loop of `attention_by_tiles`. What does it change, and"
        " in which order?",
        "new = max(largest, max over j of scores). What was there fades by e^(largest -"
        " new); the tile adds e^(scores - new), summed over j, and times v. `[:, None]`"
        " makes i an i 1.",
        "new = tl.maximum(largest, tl.max(scores, 1))\n"
        "fade: tl.exp of largest - new;  shares: tl.exp of scores - new[:, None]\n"
        "total: faded, plus tl.sum(…, 1);  read: faded[:, None], plus tl.dot(shares, v)\n"
        "return new, total, read",
    ),
    minutes=12,
    difficulty=3,
    otherwise=(step_by_where, step_with_an_accumulator),
    skip=frozenset({"gradients", "strided", "float32", "device"}),
    through=by_kernel,
    needs=interpreter.missing,
)
