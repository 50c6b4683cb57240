"""Chapter 11, fast attention: what is asked, what goes wrong, what helps."""

import math
from dataclasses import replace
from statistics import median

import torch
from einops import einsum, rearrange
from torch.nn import functional as F

from attncourse import interpreter
from attncourse.families import also, family
from attncourse.registry import Cost, Exercise, Given, Trial, slip
from solutions.fast.augmented import augmented_attention
from solutions.fast.halo import halo_attention
from solutions.fast.kernel import kernel_attention, online_step
from solutions.fast.measure import floor_seconds, ratio, traffic
from solutions.fast.mods import local_mod, relative_mod, sparse_mod
from solutions.fast.tiles import (
    attention_by_tiles,
    attention_gradients,
    merge,
    online_softmax,
)
from solutions.relative_2d import relative_attention_2d

try:
    import triton.language as tl
except ImportError:  # Triton is there for Linux
    tl = None

HIDDEN = -math.inf


def in_ways(answer, *ways):
    """A slip that is also known when it is made in other ways."""
    return replace(slip(answer), ways=ways)


# softmax in one pass: pairs of rows that rise and fall, for they separate what is rescaled


def softmax_trials():
    rising = torch.linspace(-3, 4, 7, dtype=torch.float64)
    some = torch.tensor([0.0, 1, 2, -1, 0.5], dtype=torch.float64)
    deep = torch.stack([some - 2000, some.flip(0) - 2001])
    fall = torch.tensor([3000.0, 3000, 3000, 2000, 2000], dtype=torch.float64)
    apart = torch.stack([some + fall, some.flip(0) + 1000])
    hidden = torch.tensor([[HIDDEN, HIDDEN, HIDDEN, 0.3, 1.2, HIDDEN, -0.4, 2.0]]).double()
    return (
        Trial(
            "with 4 tiles, the last one shorter",
            dict(b=5, j=11, tile=3),
            {"x": "b j", "tile": 3},
        ),
        Trial(
            "where the scores rise in one row and fall in the other",
            dict(b=2, j=7),
            {"x": Given("b j", torch.stack([rising, rising.flip(0)])), "tile": 3},
        ),
        Trial("with x of 3 axes", dict(b=2, i=3, j=10, tile=5), {"x": "b i j", "tile": 5}),
        Trial("with one tile that is not full", dict(b=3, j=5), {"x": "b j", "tile": 9}),
        Trial(
            "where all scores are far below 0",
            dict(b=2, j=5),
            {"x": Given("b j", deep), "tile": 2},
        ),
        Trial(
            "where scores lie far apart, in a row and from row to row",
            dict(b=2, j=5),
            {"x": Given("b j", apart), "tile": 3},
        ),
        Trial(
            "where the first tile holds -inf alone",
            dict(b=1, j=8),
            {"x": Given("b j", hidden), "tile": 3},
        ),
    )


def in_tiles(x, tile):
    return x.split(tile, dim=-1)


def from_the_lowest(x):
    return torch.full_like(x[..., :1], torch.finfo(x.dtype).min)


def greatest_so_far(largest, part, x):
    return torch.maximum(largest, part.amax(-1, keepdim=True))


def by_the_old_over_the_new(largest, new):
    return (largest - new).exp()


def with_what_came(total, fade, part, new):
    return total * fade + (part - new).exp().sum(-1, keepdim=True)


def the_new(largest, new):
    return new


def over_the_total(x, largest, total, tile):
    return (x - largest).exp() / total


def softmax_recipe(
    cutting=in_tiles,
    beginning=from_the_lowest,
    finding=greatest_so_far,
    fading=by_the_old_over_the_new,
    adding=with_what_came,
    keeping=the_new,
    ending=over_the_total,
):
    def answer(x, tile):
        largest = beginning(x)
        total = torch.zeros_like(largest)
        for part in cutting(x, tile):
            new = finding(largest, part, x)
            total = adding(total, fading(largest, new), part, new)
            largest = keeping(largest, new)
        return ending(x, largest, total, tile)

    return answer


def last_tile_left_out(x, tile):
    """You stop before the last tile where it is not full. It holds what is left: its entries
    count as well."""
    return [x[..., start : start + tile] for start in range(0, x.shape[-1] - tile + 1, tile)]


def last_tile_filled_up(x, tile):
    """You fill the last tile up with zeros and count them: each adds e^(0 - largest) to the
    sum. Cut the tile short, or fill up with -inf."""
    return F.pad(x, (0, -x.shape[-1] % tile)).split(tile, dim=-1)


def one_entry_between_tiles(x, tile):
    """You leave one entry out between two tiles. The next tile starts where this one ended, at
    start + tile."""
    return [x[..., start : start + tile] for start in range(0, x.shape[-1], tile + 1)]


def tiles_overlap(x, tile):
    """Your tiles overlap by an entry, which is counted twice. The next one starts at start +
    tile."""
    return [x[..., start : start + tile + 1] for start in range(0, x.shape[-1], tile)]


def first_tile_alone(x, tile):
    """You look at the first tile alone. A loop over all of them finds largest entry and sum."""
    return [x[..., :tile]]


def begins_at_zero(x):
    """Your largest entry begins at 0. Where all scores are far below, 0 stays the largest and
    every exp is 0. Begin with the lowest number there is."""
    return torch.zeros_like(x[..., :1])


def begins_at_minus_inf(x):
    """Your largest entry begins at -inf, and where a whole tile is -inf too, -inf - -inf is
    nan. Begin with the lowest finite number, `torch.finfo(x.dtype).min`."""
    return torch.full_like(x[..., :1], HIDDEN)


def begins_with_the_first_entry(x, tile):
    """You begin with the first entry as largest and with a sum of 1, and the loop counts that
    entry again. Begin with the lowest number and a sum of 0."""
    largest, total = x[..., :1], torch.ones_like(x[..., :1])
    for part in x.split(tile, dim=-1):
        new = torch.maximum(largest, part.amax(-1, keepdim=True))
        total = total * (largest - new).exp() + (part - new).exp().sum(-1, keepdim=True)
        largest = new
    return (x - largest).exp() / total


def all_to_base_2(x, tile):
    """You take powers of 2. Softmax has powers of e: `exp`, or multiply x by log2(e) first."""
    shares = torch.exp2(x - x.amax(-1, keepdim=True))
    return shares / shares.sum(-1, keepdim=True)


def fade_twice(largest, new):
    """You rescale the sum twice. Once by e^(old - new) is enough."""
    return (2 * (largest - new)).exp()


def tiles_own_largest(largest, part, x):
    """You subtract the largest of the tile alone. Then the sum so far is multiplied by e^(old -
    new) > 1 where a tile is lower, and overflows. Take the larger of both, `torch.maximum`."""
    return part.amax(-1, keepdim=True)


def largest_of_all_rows(largest, part, x):
    """You take one largest entry for all rows. In a row that lies far below it every exp is 0,
    and 0 / 0 is nan. Each row has its own: `amax(-1, keepdim=True)`."""
    return torch.maximum(largest, part.amax().expand_as(largest))


def no_largest(largest, part, x):
    """You subtract nothing, so that exp of a large score is inf. Subtract the largest entry
    seen so far."""
    return torch.zeros_like(largest)


def not_rescaled(largest, new):
    """Your sum is not rescaled when a larger entry is found. It was made with the old largest:
    multiply it by e^(old - new) before you add."""
    return torch.ones_like(new)


def rescaled_the_wrong_way(largest, new):
    """You rescale by e^(new - old), which is inf where nothing was seen yet, and 0 inf is nan.
    What was summed as e^(s - old) becomes e^(s - new) by e^(old - new), which is at most 1."""
    return (new - largest).exp()


def rescaled_by_the_new(largest, new):
    """You rescale the sum by e^(-new), which forgets that e^(-old) is in it already. It takes
    e^(old - new)."""
    return (-new).exp()


def rescaled_without_exp(largest, new):
    """You multiply the sum by old - new. It is the exponential of that: e^(old - new)."""
    return largest - new


def rescaled_to_base_two(largest, new):
    """You rescale with 2^ and sum with e^. Both must have the same base."""
    return torch.exp2(largest - new)


def rescaled_with_the_new_part(total, fade, part, new):
    """You rescale what you have just added too: it was made with the new largest already. First
    rescale the old sum, then add."""
    return (total + (part - new).exp().sum(-1, keepdim=True)) * fade


def part_rescaled_instead(total, fade, part, new):
    """You rescale what the tile adds, and not the sum so far. The tile is summed with the new
    largest, the sum with the old one: it is the sum that needs e^(old - new)."""
    return total + fade * (part - new).exp().sum(-1, keepdim=True)


def part_with_the_old(total, fade, part, new):
    """You add e^(s - old) for a tile. Its entries are taken with the new largest, e^(s - new),
    and the sum so far is brought to that."""
    return total * fade + (part - (new + fade.log())).exp().sum(-1, keepdim=True)


def only_the_last_tile(total, fade, part, new):
    """Your sum is that of the last tile: each one overwrites it. Add to what was there, after
    rescaling it."""
    return (part - new).exp().sum(-1, keepdim=True)


def mean_of_the_tile(total, fade, part, new):
    """You add the mean of a tile's exponentials. It is their sum."""
    return total * fade + (part - new).exp().mean(-1, keepdim=True)


def scores_summed(total, fade, part, new):
    """You add the scores. It is e^(s - largest) that is summed."""
    return total * fade + part.sum(-1, keepdim=True)


def largest_not_updated(largest, new):
    """The largest entry is found and not kept: `largest = new` is missing at the end of the
    loop. The next tile rescales from where the first began, and at the end nothing fits."""
    return largest


def not_divided(x, largest, total, tile):
    """You do not divide by the sum. Shares are e^(s - largest) / sum."""
    return (x - largest).exp()


def ends_without_the_largest(x, largest, total, tile):
    """At the end you take e^s, and the sum holds e^(s - largest). Subtract the largest there
    too."""
    return x.exp() / total


def ends_with_logs(x, largest, total, tile):
    """You return the logarithm of the shares. Softmax is the exponential of that."""
    return x - largest - total.log()


def softmax_of_each_tile(x, largest, total, tile):
    """You take the softmax of each tile: every tile sums to 1. Only at the end are largest and
    sum known, and then all of x is turned into shares."""
    return torch.cat([part.softmax(-1) for part in x.split(tile, dim=-1)], dim=-1)


def shares_left_as_they_were(x, largest, total, tile):
    """Your shares were made in the loop, with the largest entry as it stood then. What came
    first must be rescaled too: make the shares after the loop."""
    so_far, parts = from_the_lowest(x), []
    for part in x.split(tile, dim=-1):
        so_far = torch.maximum(so_far, part.amax(-1, keepdim=True))
        parts.append((part - so_far).exp())
    return torch.cat(parts, dim=-1) / total


def ends_with_the_tiles_largest(x, largest, total, tile):
    """Your shares subtract the largest entry of their own tile. The sum was made with the
    largest of all: subtract that one."""
    parts = x.split(tile, dim=-1)
    return torch.cat([(p - p.amax(-1, keepdim=True)).exp() / total for p in parts], dim=-1)


def divided_as_it_went(x, largest, total, tile):
    """You make the shares of a tile while you go, with largest and sum as they stand then. They
    are not final before the last tile: make the shares after the loop."""
    largest, total, parts = from_the_lowest(x), 0.0, []
    for part in x.split(tile, dim=-1):
        new = torch.maximum(largest, part.amax(-1, keepdim=True))
        total = total * (largest - new).exp() + (part - new).exp().sum(-1, keepdim=True)
        largest = new
        parts.append((part - largest).exp() / total)
    return torch.cat(parts, dim=-1)


def last_tile_as_largest(x, largest, total, tile):
    """At the end you subtract the largest entry of the last tile. The sum was made with the
    largest of all tiles."""
    return (x - x.split(tile, dim=-1)[-1].amax(-1, keepdim=True)).exp() / total


def softmax_over_rows(x, tile):
    """You work along the first axis. The entries that share out 1 stand on the last one."""
    return x.softmax(0)


def online_loops(x, tile):
    rows = []
    for row in x.reshape(-1, x.shape[-1]):
        largest, total = (
            torch.full_like(row[0], torch.finfo(x.dtype).min),
            torch.zeros_like(row[0]),
        )
        for score in row:
            new = torch.maximum(largest, score)
            total = total * torch.exp(largest - new) + torch.exp(score - new)
            largest = new
        rows.append(torch.exp(row - largest) / total)
    return torch.stack(rows).reshape(x.shape)


def online_by_logsumexp(x, tile):
    parts = [part.logsumexp(-1, keepdim=True) for part in torch.split(x, tile, -1)]
    total = parts[0]
    for part in parts[1:]:
        total = torch.logaddexp(total, part)
    return (x - total).exp()


# two readings


def merge_trials():
    lse, other = (
        torch.tensor([[1.0, HIDDEN, 0.5, HIDDEN]]),
        torch.tensor([[HIDDEN, 2, 1, HIDDEN]]),
    )
    y, theirs = torch.randn(2, 1, 4, 3, generator=torch.Generator().manual_seed(3)).double()
    seen, also_seen = (~x.isinf()[..., None] for x in (lse, other))
    return (
        Trial(
            "with 3 queries",
            dict(b=2, i=3, e=5),
            {"y": "b i e", "lse": "b i", "other": "b i e", "other_lse": "b i"},
        ),
        Trial(
            "with heads",
            dict(b=2, head=3, i=5, e=4),
            {
                "y": "b head i e",
                "lse": "b head i",
                "other": "b head i e",
                "other_lse": "b head i",
            },
        ),
        Trial(
            "where some queries saw nothing (log-sum-exp -inf)",
            dict(b=1, i=4, e=3),
            {
                "y": Given("b i e", y * seen),
                "lse": Given("b i", lse.double()),
                "other": Given("b i e", theirs * also_seen),
                "other_lse": Given("b i", other.double()),
            },
        ),
    )


def known_to_be(total):
    return total.masked_fill(total.isinf(), 0)


def shares_of_both(lse, other):
    total = known_to_be(torch.logaddexp(lse, other))
    return (lse - total).exp(), (other - total).exp()


def weighted(y, other, mine, theirs):
    return mine[..., None] * y + theirs[..., None] * other


def log_of_both(lse, other):
    return torch.logaddexp(lse, other)


def as_read(y, log, nothing):
    return y, log


def nan_for_nothing(y, log, nothing):
    return y.masked_fill(nothing[..., None], math.nan), log


def nan_for_nothing_twice(y, log, nothing):
    return y.masked_fill(nothing[..., None], math.nan), log.masked_fill(nothing, math.nan)


def merge_recipe(sharing=shares_of_both, adding=weighted, logging=log_of_both, leaving=as_read):
    def answer(y, lse, other, other_lse):
        mine, theirs = sharing(lse, other_lse)
        nothing = (lse == HIDDEN) & (other_lse == HIDDEN)
        return leaving(adding(y, other, mine, theirs), logging(lse, other_lse), nothing)

    return answer


def halves(lse, other):
    """You take the mean of the two readings. The one whose keys score higher counts more: its
    share is e^(its lse - lse of both)."""
    return torch.full_like(lse, 0.5), torch.full_like(lse, 0.5)


def both_in_full(lse, other):
    """You add the readings. Each is a mean already; together their shares are 1."""
    return torch.ones_like(lse), torch.ones_like(lse)


def shares_exchanged(lse, other):
    """Your shares are exchanged: a reading is weighted by the log-sum-exp of the other one."""
    return shares_of_both(lse, other)[::-1]


def shares_turned(lse, other):
    """Your shares are upside down: e^(lse of both - lse) is 1 or more. It is e^(lse - lse of
    both)."""
    total = torch.logaddexp(lse, other)
    return (total - lse).exp(), (total - other).exp()


def shares_without_exp(lse, other):
    """You weight by the log-sum-exp itself. It is a logarithm: its exponential says how much
    was seen."""
    return lse / (lse + other), other / (lse + other)


def shares_not_normalised(lse, other):
    """You weight by e^(lse - the larger one) and do not divide by the sum of both weights. The
    readings are means: their weights must sum to 1."""
    largest = known_to_be(torch.maximum(lse, other))
    return (lse - largest).exp(), (other - largest).exp()


def weights_without_a_largest(lse, other):
    """You take exp of a log-sum-exp as it is, which overflows for large scores. Subtract the
    larger one first, or the log-sum-exp of both: e^(lse - lse of both)."""
    one, two = lse.exp(), other.exp()
    total = (one + two).masked_fill((one + two) == 0, 1)
    return one / total, two / total


def weights_as_sums(lse, other):
    """You multiply each reading by e^lse and do not divide again. Then it is a sum and no mean:
    divide by the sum of both e^lse."""
    return lse.exp(), other.exp()


def winner_takes_all(lse, other):
    """You keep the reading with the larger log-sum-exp. The other one counts too, by its
    share."""
    return (lse >= other).to(lse), (lse < other).to(lse)


def shares_of_base_two(lse, other):
    """You weight with powers of 2. Log-sum-exp is a natural logarithm: its inverse is exp."""
    one, two = torch.exp2(lse), torch.exp2(other)
    total = (one + two).masked_fill((one + two) == 0, 1)
    return one / total, two / total


def nan_where_nothing_was_seen(lse, other):
    """Where neither saw anything your reading is nan: -inf - -inf, or 0 / 0. Put a finite
    number for the one that you subtract; the exponential of -inf is 0 then."""
    total = torch.logaddexp(lse, other)
    return (lse - total).exp(), (other - total).exp()


def minus_inf_as_zero(lse, other):
    """You put 0 for a log-sum-exp of -inf: then what saw nothing counts as if it had seen a
    score of 0. e^-inf is 0 by itself."""
    lse, other = (x.masked_fill(x.isinf(), 0) for x in (lse, other))
    return shares_of_both(lse, other)


def shares_over_queries(lse, other):
    """Your softmax goes over the queries, the last axis of lse. It goes over the two readings:
    stack them on a new axis, and take that one."""
    return torch.stack([lse, other]).nan_to_num(neginf=-1e9).softmax(-1)


def one_share_for_both(lse, other):
    """You weight both readings by the share of the first. The second has its own: e^(other_lse
    - lse of both)."""
    mine, _ = shares_of_both(lse, other)
    return mine, mine


def second_not_weighted(y, other, mine, theirs):
    """You weight the first reading and add the second as it is. It has a share as well."""
    return mine[..., None] * y + other


def mean_of_the_weighted(y, other, mine, theirs):
    """You halve the weighted sum. Its shares sum to 1 already."""
    return (mine[..., None] * y + theirs[..., None] * other) / 2


def root_of_shares(y, other, mine, theirs):
    """You weight by the root of a share. It is the share itself."""
    return mine.sqrt()[..., None] * y + theirs.sqrt()[..., None] * other


def logs_added(lse, other):
    """You add the two log-sum-exps. It is what they are logarithms of that adds: log(e^a +
    e^b)."""
    return lse + other


def larger_log(lse, other):
    """You return the larger log-sum-exp. Both count: log(e^a + e^b), which is more."""
    return torch.maximum(lse, other)


def largest_not_added_back(lse, other):
    """You subtract the larger one before exp and do not add it again after the log."""
    largest = known_to_be(torch.maximum(lse, other))
    return ((lse - largest).exp() + (other - largest).exp()).log()


def larger_and_sum(lse, other):
    """You return the larger one and the sum of e^(lse - larger). It takes the logarithm of that
    sum."""
    largest = known_to_be(torch.maximum(lse, other))
    return largest + (lse - largest).exp() + (other - largest).exp()


def sum_without_a_log(lse, other):
    """You return the sum of the exponentials. Its logarithm is what the next merge expects."""
    return lse.exp() + other.exp()


def log_of_the_mean(lse, other):
    """You take the logarithm of the mean of both, log 2 too little. It is that of their sum."""
    return torch.logaddexp(lse, other) - math.log(2)


def first_log(lse, other):
    """You return the log-sum-exp of the first reading. The result has seen all keys: log(e^a +
    e^b)."""
    return lse.clone()


def mean_of_logs(lse, other):
    """You return the mean of the two log-sum-exps. It is log(e^a + e^b)."""
    return (lse + other) / 2


def log_of_base_two(lse, other):
    """You return a logarithm of base 2. Log-sum-exp is the natural one."""
    return torch.logaddexp2(lse, other)


def log_overflows(lse, other):
    """Your log-sum-exp is right until exp overflows: log(e^a + e^b) is inf for large scores.
    `torch.logaddexp`, or subtract the larger one and add it again."""
    return (lse.exp() + other.exp()).log()


def log_nan(lse, other):
    """Where neither saw anything, your log-sum-exp is nan: -inf - -inf. It is -inf there."""
    largest = torch.maximum(lse, other)
    return largest + ((lse - largest).exp() + (other - largest).exp()).log()


def merge_by_softmax(y, lse, other, other_lse):
    both = torch.stack([lse, other_lse], -1)
    shares = both.softmax(-1).nan_to_num(0.0)
    return einsum(
        shares, torch.stack([y, other], -1), "... p, ... e p -> ... e"
    ), both.logsumexp(-1)


def merge_by_sigmoid(y, lse, other, other_lse):
    share = torch.sigmoid(lse - other_lse).nan_to_num(0.0)[..., None]
    return y * share + other * (1 - share), torch.logaddexp(lse, other_lse)


def merge_by_hand(y, lse, other, other_lse):
    lowest = torch.finfo(y.dtype).min
    largest = torch.maximum(lse, other_lse).clamp(min=lowest)
    a, b = torch.exp(lse - largest), torch.exp(other_lse - largest)
    total = a + b
    read = (a[..., None] * y + b[..., None] * other) / torch.where(total == 0, 1.0, total)[
        ..., None
    ]
    return read, total.log() + largest.masked_fill(total == 0, HIDDEN)


def softmax_from_the_first_tile(fading, taking=the_new):
    """The first tile gives largest and sum, the loop begins with the second."""

    def answer(x, tile):
        first, *rest = x.split(tile, dim=-1)
        largest = first.amax(-1, keepdim=True)
        total = (first - largest).exp().sum(-1, keepdim=True)
        for part in rest:
            new = torch.maximum(largest, part.amax(-1, keepdim=True))
            more = (part - taking(largest, new)).exp().sum(-1, keepdim=True)
            total = total * fading(largest, new) + more
            largest = new
        return (x - largest).exp() / total

    return answer


def softmax_slips():
    made = family(
        softmax_recipe,
        paired=(not_rescaled, not_divided, last_tile_left_out, ends_without_the_largest),
        unsaid={"beginning": (begins_at_minus_inf,)},
        cutting=(
            last_tile_left_out,
            last_tile_filled_up,
            one_entry_between_tiles,
            tiles_overlap,
            first_tile_alone,
        ),
        beginning=(begins_at_zero, begins_at_minus_inf),
        finding=(tiles_own_largest, largest_of_all_rows, no_largest),
        fading=(
            not_rescaled,
            rescaled_the_wrong_way,
            rescaled_by_the_new,
            rescaled_without_exp,
            rescaled_to_base_two,
            fade_twice,
        ),
        adding=(
            part_with_the_old,
            rescaled_with_the_new_part,
            part_rescaled_instead,
            only_the_last_tile,
            mean_of_the_tile,
            scores_summed,
        ),
        keeping=(largest_not_updated,),
        ending=(
            not_divided,
            ends_without_the_largest,
            ends_with_logs,
            softmax_of_each_tile,
            shares_left_as_they_were,
            ends_with_the_tiles_largest,
            divided_as_it_went,
            last_tile_as_largest,
        ),
    )
    more = {
        one.__name__: softmax_from_the_first_tile(one)
        for one in (rescaled_the_wrong_way, rescaled_by_the_new, rescaled_without_exp)
    } | {
        not_rescaled.__name__: softmax_from_the_first_tile(not_rescaled),
        part_with_the_old.__name__: softmax_from_the_first_tile(
            by_the_old_over_the_new, lambda largest, new: largest
        ),
    }
    made = [
        replace(one, ways=(*one.ways, more[one.name])) if one.name in more else one
        for one in made
    ]
    more = softmax_over_rows, begins_with_the_first_entry, all_to_base_2
    return (*made, *map(slip, more))


# attention in tiles of keys


def tile_trials():
    slope = torch.linspace(-2, 2, 9, dtype=torch.float64)
    q = torch.ones(1, 2, 4, dtype=torch.float64) * torch.tensor([[1.0], [-1.0]])
    k = slope[None, :, None] * torch.tensor([1.0, 0.5, 2.0, 0.1])
    all_three = {"q": "b i d", "k": "b j d", "v": "b j e"}
    return (
        Trial(
            "with 12 tiles, the last one shorter",
            dict(b=4, i=13, j=23, d=5, e=3, tile=2),
            all_three | {"tile": 2},
        ),
        Trial(
            "with scores that rise for one query and fall for the other",
            dict(b=1, i=2, j=9, d=4, e=3, tile=5),
            {"q": Given("b i d", q), "k": Given("b j d", k.double()), "v": "b j e", "tile": 5},
        ),
        Trial(
            "with scores far above and far below 0",
            dict(b=1, i=3, j=9, d=4, e=2, tile=5),
            {
                "q": Given("b i d", q[:, [0, 0, 1]] * torch.tensor([[2.0], [1.0], [1.0]])),
                "k": Given("b j d", k.double() + 1000),
                "v": "b j e",
                "tile": 5,
            },
        ),
        Trial(
            "with heads and one tile that is not full",
            dict(b=2, head=3, i=4, j=5, d=7, e=6),
            {"q": "b head i d", "k": "b head j d", "v": "b head j e", "tile": 9},
        ),
        Trial(
            "with a causal mask",
            dict(b=2, i=11, j=9, d=5, e=4, tile=3),
            all_three | {"tile": 3, "causal": True},
        ),
        Trial(
            "with a causal mask and more keys than queries",
            dict(b=2, i=7, j=12, d=3, e=5, tile=4),
            all_three | {"tile": 4, "causal": True},
        ),
    )


def scaled_once(q, k, v):
    return q / math.sqrt(q.shape[-1])


def tiles_of_keys(q, k, v, tile):
    return [
        (start, k[..., start : start + tile, :], v[..., start : start + tile, :])
        for start in range(0, k.shape[-2], tile)
    ]


def ahead(scores, start):
    """True where a key of the tile is later than the query."""
    i, j = (torch.arange(n, device=scores.device) for n in scores.shape[-2:])
    return i[:, None] < start + j


def future_hidden(scores, start, keys):
    return scores.masked_fill(ahead(scores, start), HIDDEN)


def greatest_of_both(largest, scores):
    return torch.maximum(largest, scores.amax(-1, keepdim=True))


def both_faded(largest, new):
    fade = (largest - new).exp()
    return fade, fade


def sum_grows(total, fade, shares):
    return total * fade + shares.sum(-1, keepdim=True)


def read_grows(read, fade, shares, v, total):
    return read * fade + shares @ v


def read_over_total(read, total, largest):
    return read / total


def log_sum_exp(total, largest, scale):
    return (largest + total.log())[..., 0]


def tiles_recipe(
    scaling=scaled_once,
    cutting=tiles_of_keys,
    hiding=future_hidden,
    finding=greatest_of_both,
    fading=both_faded,
    summing=sum_grows,
    reading=read_grows,
    keeping=the_new,
    ending=read_over_total,
    logging=log_sum_exp,
):
    def answer(q, k, v, tile, causal=False):
        scale = math.sqrt(q.shape[-1])
        q = scaling(q, k, v)
        largest = torch.full_like(q[..., :1], HIDDEN)
        total = torch.zeros_like(largest)
        read = q.new_zeros(*q.shape[:-1], v.shape[-1])
        for start, some_k, some_v in cutting(q, k, v, tile):
            scores = q @ some_k.mT
            if causal:
                scores = hiding(scores, start, k.shape[-2])
                if scores is None:
                    continue
            new = finding(largest, scores)
            shares = (scores - new).exp()
            fade, fade_read = fading(largest, new)
            total = summing(total, fade, shares)
            read = reading(read, fade_read, shares, some_v, total)
            largest = keeping(largest, new)
        return ending(read, total, largest), logging(total, largest, scale)

    return answer


def not_scaled(q, k, v):
    """You do not scale: the scores are q · k / sqrt(d)."""
    return q


def scaled_by_d(q, k, v):
    """You divide by d. It is sqrt(d): once for q · k, not for each of them."""
    return q / q.shape[-1]


def scaled_by_values(q, k, v):
    """You divide by sqrt(e), the width of the values. d is that of q and k."""
    return q / math.sqrt(v.shape[-1])


def scaled_by_keys(q, k, v):
    """You divide by the root of how many keys there are. d is the number of features of q and
    k: `q.shape[-1]`."""
    return q / math.sqrt(k.shape[-2])


def scaled_the_wrong_way(q, k, v):
    """You multiply by sqrt(d). Scores are divided by it."""
    return q * math.sqrt(q.shape[-1])


def last_keys_left_out(q, k, v, tile):
    """You leave the last tile out where it is not full. It holds the keys that are left: they
    count as well."""
    return [t for t in tiles_of_keys(q, k, v, tile) if t[1].shape[-2] == tile]


def zero_keys_counted(q, k, v, tile):
    """The last tile is not masked: you fill k and v up with zeros, and a key of zeros has the
    score 0 and a share. Cut the tile short, or set those scores to -inf."""
    rest = -k.shape[-2] % tile
    return tiles_of_keys(q, *(F.pad(x, (0, 0, 0, rest)) for x in (k, v)), tile)


def keys_overlap(q, k, v, tile):
    """Your tiles overlap by a key, which counts twice. The next one starts at start + tile."""
    return [
        (start, k[..., start : start + tile + 1, :], v[..., start : start + tile + 1, :])
        for start in range(0, k.shape[-2], tile)
    ]


def a_key_between_tiles(q, k, v, tile):
    """You leave out a key between two tiles. The next tile starts where this one ended, at
    start + tile."""
    return [
        (start, k[..., start : start + tile, :], v[..., start : start + tile, :])
        for start in range(0, k.shape[-2], tile + 1)
    ]


def as_many_tiles(q, k, v, tile):
    """You cut the keys into `tile` tiles. `tile` says how many keys one has."""
    length = -(-k.shape[-2] // tile)
    return tiles_of_keys(q, k, v, length)


def values_of_the_first_tile(q, k, v, tile):
    """You read the values of the first tile every time. Keys and values of a tile are at the
    same places, start to start + tile."""
    cut = tiles_of_keys(q, k, v, tile)
    return [(s, some, v[..., : some.shape[-2], :]) for s, some, _ in cut]


def first_keys_alone(q, k, v, tile):
    """You look at the first tile of keys alone: the loop ends too early, or a `return` stands
    in it."""
    return tiles_of_keys(q, k, v, tile)[:1]


def last_keys_alone(q, k, v, tile):
    """Your result is that of the last tile. What was read so far is kept and rescaled: begin
    before the loop, not in it."""
    return tiles_of_keys(q, k, v, tile)[-1:]


def counted_from_the_tile(scores, start, keys):
    """Your causal mask counts the keys from the start of their tile. The place of a key is
    start + its place in the tile; compare that with i."""
    return scores.masked_fill(ahead(scores, 0), HIDDEN)


def causal_ignored(scores, start, keys):
    """You do not use `causal`: query i sees keys up to j = i then."""
    return scores


def itself_hidden(scores, start, keys):
    """You hide the query's own key. Keys up to j = i count: hide j > i alone."""
    return scores.masked_fill(ahead(scores, start - 1), HIDDEN)


def one_key_ahead(scores, start, keys):
    """You show one key of the future, j = i + 1. Keys up to j = i count."""
    return scores.masked_fill(ahead(scores, start + 1), HIDDEN)


def past_hidden(scores, start, keys):
    """Your causal mask is turned: you hide the keys before the query and show the later ones.
    Hide j > i."""
    return scores.masked_fill(~ahead(scores, start + 1), HIDDEN)


def aligned_at_the_end(scores, start, keys):
    """Your causal mask lets the last query see all keys. Here both count from the first: key j
    is hidden where j > i, also where keys and queries are not equally many."""
    return scores.masked_fill(ahead(scores, start - keys + scores.shape[-2]), HIDDEN)


def hidden_with_zero(scores, start, keys):
    """You set hidden scores to 0, which still has a share. It takes -inf, whose exponential is
    0."""
    return scores.masked_fill(ahead(scores, start), 0)


def cut_tiles_skipped(scores, start, keys):
    """You skip a tile as soon as one of its keys is in the future of a query: the tiles that
    the diagonal crosses are missing. They are masked key by key."""
    late = ahead(scores, start)
    return scores.masked_fill(late.any(-1, keepdim=True), -1e300) if late.any() else scores


def start_on_the_wrong_side(scores, start, keys):
    """The start of the tile has the wrong sign in your causal mask: key start + j is hidden
    where start + j > i, so that later tiles show less."""
    return scores.masked_fill(ahead(scores, -start), HIDDEN)


def tiles_shown_whole(scores, start, keys):
    """You show a whole tile as soon as its first key may be seen. Inside the tile key start + j
    is hidden too where it is later than i."""
    return scores.masked_fill(ahead(scores, start)[:, :1], HIDDEN)


def one_tile_skipped_too_many(scores, start, keys):
    """You skip one tile too many: the last one that a query may see. Skip a tile only where
    start > i for all of its queries."""
    hidden = scores.shape[-2] <= start + scores.shape[-1]
    return None if hidden and start else future_hidden(scores, start, keys)


def begins_at_zero_here(largest, scores):
    """Your largest score begins at 0. Where all scores are far below, 0 stays the largest and
    every exp is 0. Begin with -inf."""
    return torch.maximum(largest, scores.amax(-1, keepdim=True)).clamp(min=0)


def largest_of_the_tile(largest, scores):
    """You subtract the largest score of the tile alone: where a tile is lower than what came
    before, e^(old - new) overflows. Take the larger of both."""
    return scores.amax(-1, keepdim=True)


def largest_of_all(largest, scores):
    """You take one largest score for all queries of a batch. A query that lies far below it
    gets 0 / 0 = nan. Each query has its own: `amax(-1, keepdim=True)`."""
    return torch.maximum(largest, scores.amax().expand_as(largest))


def nothing_subtracted(largest, scores):
    """You take exp of the scores as they are: inf for large ones. Subtract the largest score so
    far."""
    return torch.zeros_like(largest)


def neither_rescaled(largest, new):
    """Neither the sum nor what was read is rescaled when a larger score is found. Both were
    made with the old largest: multiply them by e^(old - new)."""
    return torch.ones_like(new), torch.ones_like(new)


def read_not_rescaled(largest, new):
    """The accumulator is not rescaled: what was read so far was weighted with e^(s - old).
    Multiply it by e^(old - new), as you do with the sum."""
    return (largest - new).exp(), torch.ones_like(new)


def sum_not_rescaled(largest, new):
    """The sum is not rescaled, and what was read is. Both were made with the old largest:
    multiply the sum by e^(old - new) as well."""
    return torch.ones_like(new), (largest - new).exp()


def both_rescaled_the_wrong_way(largest, new):
    """What you rescale by is infinite in the first tile, where the old largest is -inf, and 0
    inf is nan. It is e^(old - new), which is 0 there: with exp, and not the other way round."""
    return (new - largest).exp(), (new - largest).exp()


def read_rescaled_the_wrong_way(largest, new):
    """You rescale what was read by e^(new - old), the sum by e^(old - new). Both take the
    second: it is at most 1."""
    return (largest - new).exp(), (new - largest).exp()


def both_rescaled_to_base_two(largest, new):
    """You rescale with powers of 2 and weight with powers of e. One base for both: exp, or exp2
    with scores times log2(e)."""
    return torch.exp2(largest - new), torch.exp2(largest - new)


def all_of_it_rescaled(total, fade, shares):
    """You rescale the sum after adding the tile, whose shares were made with the new largest
    already. Rescale first, then add."""
    return (total + shares.sum(-1, keepdim=True)) * fade


def sum_of_the_last_tile(total, fade, shares):
    """Your sum is that of the last tile alone. Add to what was there, rescaled."""
    return shares.sum(-1, keepdim=True)


def sum_of_means(total, fade, shares):
    """You add the mean of a tile's shares. It is their sum."""
    return total * fade + shares.mean(-1, keepdim=True)


def read_divided_in_every_tile(read, fade, shares, v, total):
    """You divide by the sum in every tile, so that what came first is divided again and again.
    Divide once, after the last tile."""
    return (read * fade + shares @ v) / total


def softmax_in_every_tile(read, fade, shares, v, total):
    """You take a softmax of each tile: its shares sum to 1 before the others are known. Read
    with e^(s - largest), and divide by the sum of all at the end."""
    return read * fade + shares / shares.sum(-1, keepdim=True) @ v


def part_divided_by_the_sum_so_far(read, fade, shares, v, total):
    """You divide each tile's reading by the sum so far, which is not that of the end. Divide
    once, after the last tile."""
    return read * fade + shares @ v / total


def read_of_the_last_tile(read, fade, shares, v, total):
    """You overwrite what was read: only the last tile is left. Add to it, after rescaling."""
    return shares @ v


def read_rescaled_too_late(read, fade, shares, v, total):
    """You rescale what was read after adding the tile, which was weighted with the new largest
    already. Rescale first, then add."""
    return (read + shares @ v) * fade


def largest_kept_from_before(largest, new):
    """The largest score is not updated: `largest = new` is missing at the end of the loop, so
    that every tile believes it is the first."""
    return largest


def never_divided(read, total, largest):
    """You do not divide by the sum of the shares."""
    return read * 1


def divided_by_keys_seen(read, total, largest):
    """You divide by e^largest times the sum. What was read is made with e^(s - largest), as the
    sum is: divide by the sum alone."""
    return read / (total * largest.exp())


def log_is_the_largest(total, largest, scale):
    """You return the largest score. Log-sum-exp is largest + log of the sum."""
    return largest[..., 0] * 1


def log_without_the_largest(total, largest, scale):
    """Your log-sum-exp lacks the largest score: the sum is one of e^(s - largest), so it is
    largest + log of the sum."""
    return total.log()[..., 0]


def log_minus_the_largest(total, largest, scale):
    """You subtract the largest score from the log of the sum. e^largest was taken out of the
    sum: add it."""
    return (total.log() - largest)[..., 0]


def sum_for_its_log(total, largest, scale):
    """You return largest + sum. It takes the logarithm of the sum."""
    return (largest + total)[..., 0]


def sum_alone(total, largest, scale):
    """You return the sum. Log-sum-exp is largest + log of the sum."""
    return total[..., 0] * 1


def log_to_base_two(total, largest, scale):
    """You take a logarithm of base 2. It is the natural one."""
    return (largest + total.log2())[..., 0]


def log_of_the_unscaled(total, largest, scale):
    """Your log-sum-exp is that of the scores before they are divided by sqrt(d), or scaled
    back. It belongs to the scaled scores."""
    return (largest * scale + total.log())[..., 0]


def largest_minus_log(total, largest, scale):
    """You subtract the log of the sum from the largest score. It is largest + log of the
    sum."""
    return (largest - total.log())[..., 0]


def log_taken_back(total, largest, scale):
    """You return e^lse. Its logarithm is what is kept, for it does not overflow: largest + log
    of the sum."""
    return (largest.exp() * total)[..., 0]


def log_scaled_back(total, largest, scale):
    """You multiply the log-sum-exp by sqrt(d). It is that of the scaled scores."""
    return ((largest + total.log()) * scale)[..., 0]


def log_of_all_without_exp(total, largest, scale):
    """You take the product of largest and log. They add: log(e^largest sum) = largest + log
    sum."""
    return (largest * total.log())[..., 0]


def log_of_largest_too(total, largest, scale):
    """You take log of the largest score too. It stands in the exponent: largest + log of the
    sum."""
    return (largest.abs().log() + total.log())[..., 0]


def mean_of_tiles(q, k, v, tile, causal=False):
    """You take the mean of what each tile reads. Tiles with high scores count more: keep a sum
    of e^(s - largest) and divide by it at the end."""
    parts, logs = [], []
    for start, some_k, some_v in tiles_of_keys(q, k, v, tile):
        scores = q @ some_k.mT / math.sqrt(q.shape[-1])
        if causal:
            scores = scores.masked_fill(ahead(scores, start), -1e300)
        parts.append(scores.softmax(-1) @ some_v)
        logs.append(scores.logsumexp(-1))
    return sum(parts) / len(parts), torch.stack(logs).logsumexp(0)


def log_of_raw_scores(q, k, v, tile, causal=False):
    """Your log-sum-exp is that of q · k without the scale. It belongs to the scaled scores."""
    y, _ = attention_by_tiles(q, k, v, tile, causal)
    return y, attention_by_tiles(q * math.sqrt(q.shape[-1]), k, v, tile, causal)[1]


def log_without_the_mask(q, k, v, tile, causal=False):
    """Your log-sum-exp counts the keys that the causal mask hides. It is over the keys that a
    query sees."""
    y, _ = attention_by_tiles(q, k, v, tile, causal)
    return y, attention_by_tiles(q, k, v, tile)[1]


def sum_of_tiles(q, k, v, tile, causal=False):
    """You add what each tile reads by a softmax of its own: the shares of all tiles together
    must be 1. Keep sum and largest, and divide at the end."""
    y, lse = mean_of_tiles(q, k, v, tile, causal)
    return y * -(-k.shape[-2] // tile), lse


def whole(q, k, v, causal=False, start=0):
    scores = q @ k.mT / math.sqrt(q.shape[-1])
    if causal:
        scores = scores.masked_fill(ahead(scores, -start), HIDDEN)
    return scores.softmax(-1) @ v, scores.logsumexp(-1)


def the_whole_map(q, k, v, tile, causal=False):
    """You make the whole map, i j scores at once. That is what tiles are to avoid: only `tile`
    columns of it at a time."""
    return whole(q, k, v, causal)


def tiles_by_merging(q, k, v, tile, causal=False):
    y = torch.zeros(*q.shape[:-1], v.shape[-1], dtype=q.dtype, device=q.device)
    lse = torch.full(q.shape[:-1], HIDDEN, dtype=q.dtype, device=q.device)
    place = torch.arange(q.shape[-2], device=q.device)
    for start in range(0, k.shape[-2], tile):
        keys = k[..., start : start + tile, :]
        scores = torch.einsum("...id,...jd->...ij", q, keys) * q.shape[-1] ** -0.5
        if causal:
            j = torch.arange(start, start + keys.shape[-2], device=q.device)
            scores = torch.where(place[:, None] >= j[None], scores, HIDDEN)
        part = torch.logsumexp(scores, -1)
        new = torch.logaddexp(lse, part)
        shares = torch.exp(scores - new[..., None])
        y = y * torch.exp(lse - new)[..., None] + shares @ v[..., start : start + tile, :]
        lse = new
    return y, lse


def tiles_by_lists(q, k, v, tile, causal=False):
    q = q * q.shape[-1] ** -0.5
    high = total = y = None
    rows = torch.arange(q.shape[-2], device=q.device)[:, None]
    for n, (some, values) in enumerate(zip(k.split(tile, -2), v.split(tile, -2), strict=True)):
        s = q @ some.mT
        if causal:
            late = rows < n * tile + torch.arange(some.shape[-2], device=q.device)
            s = s + torch.zeros_like(s).masked_fill(late, HIDDEN)
        new = s.max(-1).values if high is None else torch.maximum(high, s.max(-1).values)
        p = torch.exp(s - new[..., None])
        if high is None:
            total, y = p.sum(-1), p @ values
        else:
            fade = torch.exp(high - new)
            total = fade * total + p.sum(-1)
            y = fade[..., None] * y + p @ values
        high = new
    return y / total[..., None], high + torch.log(total)


def tiles_skipping_the_future(q, k, v, tile, causal=False):
    end = min(q.shape[-2], k.shape[-2]) if causal else k.shape[-2]
    return tiles_by_merging(q, k[..., :end, :], v[..., :end, :], tile, causal)


# its gradients


def gradient_trials():
    def trial(name, **sizes):
        dice = torch.Generator().manual_seed(len(name))
        lead = tuple(sizes[x] for x in ("b", "head") if x in sizes)
        i, j, d, e = (sizes[x] for x in "ijde")
        shapes = {"dy": (i, e), "q": (i, d), "k": (j, d), "v": (j, e)}
        given = {
            n: torch.randn(*lead, *shape, generator=dice, dtype=torch.float64)
            for n, shape in shapes.items()
        }
        scores = given["q"] @ given["k"].mT / math.sqrt(d)
        given |= {"y": scores.softmax(-1) @ given["v"], "lse": scores.logsumexp(-1)}
        axes = {"dy": "i e", "q": "i d", "k": "j d", "v": "j e", "y": "i e", "lse": "i"}
        first = " ".join(x for x in ("b", "head") if x in sizes)
        return Trial(name, sizes, {n: Given(f"{first} {axes[n]}", x) for n, x in given.items()})

    return (
        trial("with 5 queries and 7 keys", b=2, i=5, j=7, d=3, e=4),
        trial("with heads and more queries than keys", b=2, head=3, i=8, j=6, d=5, e=4),
        trial("with one key", b=2, i=3, j=1, d=4, e=5),
    )


def by_root_d(q, v):
    return 1 / math.sqrt(q.shape[-1])


def from_log_sum_exp(scores, lse):
    return (scores - lse[..., None]).exp()


def rows_of_dy_y(dy, y, shares, slope):
    return (dy * y).sum(-1, keepdim=True)


def shares_times(shares, slope, delta):
    return shares * (slope - delta)


def shares_turned_dy(shares, dy, ds):
    return shares.mT @ dy


def scaled_both(dq, dk, scale):
    return scale * dq, scale * dk


def gradients_recipe(
    scaling=by_root_d,
    sharing=from_log_sum_exp,
    taking=rows_of_dy_y,
    sloping=shares_times,
    reading=shares_turned_dy,
    ending=scaled_both,
):
    def answer(dy, q, k, v, y, lse):
        scale = scaling(q, v)
        shares = sharing(scale * q @ k.mT, lse)
        slope = dy @ v.mT
        ds = sloping(shares, slope, taking(dy, y, shares, slope))
        dq, dk = ending(ds @ k, ds.mT @ q, 1 / math.sqrt(q.shape[-1]))
        return dq, dk, reading(shares, dy, ds)

    return answer


def scores_not_scaled(q, v):
    """The map is not made again as it was: its scores are q · k / sqrt(d), and the log-sum-exp
    belongs to those."""
    return 1.0


def scores_over_d(q, v):
    """The map is made again with scores over d. They were divided by sqrt(d)."""
    return 1 / q.shape[-1]


def scores_over_values(q, v):
    """The map is made again with scores over sqrt(e). d is the number of features of q and
    k."""
    return 1 / math.sqrt(v.shape[-1])


def log_ignored(scores, lse):
    """Your shares are e^s, without the log-sum-exp, and do not sum to 1. They are e^(s -
    lse)."""
    return scores.exp()


def log_added(scores, lse):
    """You add the log-sum-exp. Dividing by the sum is subtracting its logarithm: e^(s -
    lse)."""
    return (scores + lse[..., None]).exp()


def divided_by_the_log(scores, lse):
    """You divide by the log-sum-exp, which is a logarithm: e^s / e^lse = e^(s - lse)."""
    return scores.exp() / lse[..., None]


def softmax_of_queries(scores, lse):
    """Your shares sum to 1 over the queries. It is over the keys j, the last axis."""
    return scores.softmax(-2)


def scores_for_shares(scores, lse):
    """You take s - lse for the shares. It is the exponential of that."""
    return scores - lse[..., None]


def delta_missing(dy, y, shares, slope):
    """delta is missing: a softmax only moves shares from key to key, so that ds = A (dy vᵀ -
    delta), with delta = sum over e of dy y."""
    return 0.0


def delta_without_y(dy, y, shares, slope):
    """delta is the sum of dy alone. It is the sum over e of dy y: what the output lost or
    gained."""
    return dy.sum(-1, keepdim=True)


def delta_is_a_mean(dy, y, shares, slope):
    """delta is a mean over the features. It is their sum: dy · y."""
    return (dy * y).mean(-1, keepdim=True)


def delta_of_all_keys_alike(dy, y, shares, slope):
    """delta is the plain mean of dy vᵀ over the keys. It is the mean by their shares, Σ_j A dy
    vᵀ, which is dy · y."""
    return slope.mean(-1, keepdim=True)


def delta_unweighted(dy, y, shares, slope):
    """delta is the sum of dy vᵀ over the keys. Each counts with its share, Σ_j A dy vᵀ, which
    is dy · y."""
    return slope.sum(-1, keepdim=True)


def delta_over_queries(dy, y, shares, slope):
    """delta is summed over the queries. Each query has its own: summed over the keys, or dy · y
    over the features."""
    return (shares * slope).sum(-2, keepdim=True)


def delta_of_the_whole(dy, y, shares, slope):
    """delta is one number for all queries. Each has its own: dy · y, `keepdim=True`."""
    return (dy * y).sum()


def delta_of_y_alone(dy, y, shares, slope):
    """delta is the sum of y alone. It is the sum over e of dy y."""
    return y.sum(-1, keepdim=True)


def delta_twice(dy, y, shares, slope):
    """You take delta twice. Once: A (dy vᵀ - delta)."""
    return 2 * (dy * y).sum(-1, keepdim=True)


def delta_of_squares(dy, y, shares, slope):
    """delta is y · y. It is dy · y."""
    return (y * y).sum(-1, keepdim=True)


def delta_added(shares, slope, delta):
    """You add delta. It is subtracted: ds = A (dy vᵀ - delta), which sums to 0 over the
    keys."""
    return shares * (slope + delta)


def delta_outside(shares, slope, delta):
    """You subtract delta after multiplying by the shares. It stands in the bracket: ds = A (dy
    vᵀ - delta)."""
    return shares * slope - delta


def shares_not_multiplied(shares, slope, delta):
    """ds lacks the shares: a key with a small share moves the output little. ds = A (dy vᵀ -
    delta)."""
    return slope - delta


def as_if_of_one(shares, slope, delta):
    """You take A (1 - A) dy vᵀ, as for a sigmoid. In a softmax every share depends on every
    score: ds = A (dy vᵀ - delta)."""
    return shares * (1 - shares) * slope


def sign_turned(shares, slope, delta):
    """ds has the wrong sign: A (dy vᵀ - delta), not A (delta - dy vᵀ)."""
    return shares * (delta - slope)


def dv_from_ds(shares, dy, ds):
    """dv is made from ds. The values are read by the shares: dv = Aᵀ dy."""
    return ds.mT @ dy


def dv_over_queries(shares, dy, ds):
    """dv is made with shares that sum to 1 over the queries. They are the ones of the way
    forward, which sum to 1 over the keys: dv = Aᵀ dy."""
    return (shares / shares.sum(-2, keepdim=True)).mT @ dy


def dv_from_y(shares, dy, ds):
    """dv sums dy over the queries, with no shares. dv = Aᵀ dy."""
    return torch.zeros_like(shares.mT) @ dy + dy.sum(-2, keepdim=True)


def neither_scaled(dq, dk, scale):
    """dq and dk lack the scale. The scores are scale q · k, so both slopes are too."""
    return dq, dk


def query_not_scaled(dq, dk, scale):
    """dq lacks the scale: ds is the slope of the scaled scores, dq = ds k / sqrt(d)."""
    return dq, scale * dk


def key_not_scaled(dq, dk, scale):
    """dk lacks the scale: ds is the slope of the scaled scores, dk = dsᵀ q / sqrt(d)."""
    return scale * dq, dk


def both_scaled_twice(dq, dk, scale):
    """dq and dk are scaled twice, by 1 / d. The scale comes in once: is q scaled already where
    you use it, or ds too?"""
    return scale**2 * dq, scale**2 * dk


def key_scaled_twice(dq, dk, scale):
    """dk is scaled twice: you use q after it was scaled, and scale again."""
    return scale * dq, scale**2 * dk


def multiplied_by_root_d(dq, dk, scale):
    """You multiply dq and dk by sqrt(d). The scores are divided by it, so are their slopes."""
    return dq / scale, dk / scale


def dv_with_scale(dy, q, k, v, y, lse):
    """You scale dv. The scale belongs to the scores: dq and dk have it, dv has not."""
    dq, dk, dv = gradients_recipe()(dy, q, k, v, y, lse)
    return dq, dk, dv / math.sqrt(q.shape[-1])


def by_other_rows(dy, q, k, v, y, lse):
    """dk is made with k. A score is q · k: the slope for k is q, dk = dsᵀ q."""
    dq, _, dv = gradients_recipe()(dy, q, k, v, y, lse)
    ds = from_log_sum_exp(q @ k.mT / math.sqrt(q.shape[-1]), lse)
    ds = ds * (dy @ v.mT - (dy * y).sum(-1, keepdim=True)) / math.sqrt(q.shape[-1])
    return dq, ds.sum(-2)[..., None] * k, dv


def by_own_rows(dy, q, k, v, y, lse):
    """dq is made with q. A score is q · k: the slope for q is k, dq = ds k."""
    _, dk, dv = gradients_recipe()(dy, q, k, v, y, lse)
    ds = from_log_sum_exp(q @ k.mT / math.sqrt(q.shape[-1]), lse)
    ds = ds * (dy @ v.mT - (dy * y).sum(-1, keepdim=True)) / math.sqrt(q.shape[-1])
    return ds.sum(-1)[..., None] * q, dk, dv


def in_another_order(dy, q, k, v, y, lse):
    """You return the gradients in another order. It is that of the inputs: dq, dk, dv."""
    dq, dk, dv = gradients_recipe()(dy, q, k, v, y, lse)
    return dv, dk, dq


def keys_first(dy, q, k, v, y, lse):
    """You return dk before dq. The order is that of the inputs: dq, dk, dv."""
    dq, dk, dv = gradients_recipe()(dy, q, k, v, y, lse)
    return dk, dq, dv


def gradients_by_autograd(dy, q, k, v, y, lse):
    q, k, v = (x.detach().clone().requires_grad_() for x in (q, k, v))
    with torch.enable_grad():
        again = F.scaled_dot_product_attention(q, k, v)
        return torch.autograd.grad(again, (q, k, v), dy)


def gradients_by_einsum(dy, q, k, v, y, lse):
    root = q.shape[-1] ** 0.5
    shares = torch.softmax(torch.einsum("...id,...jd->...ij", q, k) / root, -1)
    slope = torch.einsum("...ie,...je->...ij", dy, v)
    ds = shares * (slope - torch.einsum("...ij,...ij->...i", shares, slope).unsqueeze(-1))
    dq = torch.einsum("...ij,...jd->...id", ds, k) / root
    dk = torch.einsum("...ij,...id->...jd", ds, q) / root
    return dq, dk, torch.einsum("...ij,...ie->...je", shares, dy)


def gradients_by_rows(dy, q, k, v, y, lse):
    dq, dk, dv = (torch.zeros_like(x) for x in (q, k, v))
    scale = q.shape[-1] ** -0.5
    for i in range(q.shape[-2]):
        scores = scale * (k @ q[..., i, :, None])[..., 0]
        shares = torch.exp(scores - lse[..., i, None])
        slope = (v @ dy[..., i, :, None])[..., 0]
        ds = shares * (slope - (dy[..., i, :] * y[..., i, :]).sum(-1, keepdim=True)) * scale
        dq[..., i, :] = (ds[..., None] * k).sum(-2)
        dk += ds[..., None] * q[..., i, None, :]
        dv += shares[..., None] * dy[..., i, None, :]
    return dq, dk, dv


# numbers moved


def traffic_trials():
    chosen = (
        (7, 3, None),
        (16, 5, None),
        (12, 5, 4),
        (11, 3, 4),
        (9, 2, 9),
        (6, 5, 8),
        (9, 4, 7),
        (8, 3, 1),
    )
    return tuple(
        Trial(
            f"for n={n}, d={d}" + (f", rows={rows}" if rows else ""),
            dict(n=n, d=d),
            {"n": n, "d": d} | ({"rows": rows} if rows else {}),
        )
        for n, d, rows in chosen
    )


def moved(n, d):
    return 4 * n * d + 4 * n * n


def moved_by_tiles(n, d, rows):
    return 2 * n * d + 2 * n * d * -(-n // rows)


def traffic_recipe(whole=moved, tiled=moved_by_tiles):
    def answer(n, d, rows=None):
        return whole(n, d) if rows is None else tiled(n, d, rows)

    return answer


def map_moved_once(n, d):
    """You count the map once. Scores are written, read by the softmax, shares written and read
    again: 4 n²."""
    return 4 * n * d + n * n


def map_moved_twice(n, d):
    """You count the map twice, written and read. There are two of them, scores and shares: 4
    n²."""
    return 4 * n * d + 2 * n * n


def map_moved_three_times(n, d):
    """You count the map three times. The scores are written and read, the shares are written
    and read: 4 n²."""
    return 4 * n * d + 3 * n * n


def output_forgotten(n, d):
    """You forget an n d: q, k and v are read *and* y is written, 4 n d."""
    return 3 * n * d + 4 * n * n


def map_alone(n, d):
    """You count the map alone. q, k and v are read and y is written: 4 n d more."""
    return 4 * n * n


def map_not_counted(n, d):
    """Without `rows` the map stands in memory: its 4 n² numbers are missing."""
    return 4 * n * d


def map_of_features(n, d):
    """You give the map d features. It has one number for each pair: 4 n²."""
    return 4 * n * d + 4 * n * n * d


def operations_for_numbers(n, d):
    """You count multiply-adds, 2 n² d. What is asked is how many numbers are moved: 4 n d + 4
    n²."""
    return 2 * n * n * d


def bytes_of_the_map(n, d):
    """You count bytes. What is asked is numbers; how many bytes one has comes later."""
    return 4 * moved(n, d)


def features_squared(n, d):
    """You take d² for n². The map has a number for each pair of tokens."""
    return 4 * n * d + 4 * d * d


def fractions_of_tiles(n, d, rows):
    """You take a fraction of a tile, n / rows. The last tile reads all of k and v as well:
    round up, and return an int."""
    return 2 * n * d + 2 * n * d * n / rows


def tiles_rounded_down(n, d, rows):
    """You round the number of tiles down. The last one, which is not full, reads all of k and v
    as well: `math.ceil(n / rows)`."""
    return 2 * n * d + 2 * n * d * (n // rows)


def one_tile_too_many(n, d, rows):
    """You count one tile of queries too many where `rows` divides n. Round up: `math.ceil(n /
    rows)`."""
    return 2 * n * d + 2 * n * d * (n // rows + 1)


def keys_read_once(n, d, rows):
    """You read k and v once. Each tile of queries reads all of them again."""
    return 4 * n * d


def keys_read_by_each_query(n, d, rows):
    """You read k and v once for each query. A tile of `rows` queries shares one reading."""
    return 2 * n * d + 2 * n * n * d


def queries_read_again(n, d, rows):
    """You move q and y once for each tile as well. A tile has its own queries: q is read once
    in all, y written once."""
    return 4 * n * d * -(-n // rows)


def values_forgotten(n, d, rows):
    """Each tile of queries reads k *and* v: 2 n d for each."""
    return 2 * n * d + n * d * -(-n // rows)


def last_tile_counted_full(n, d, rows):
    """You count q and y for whole tiles. The last one has fewer queries where `rows` does not
    divide n: q and y are n d each."""
    return -(-n // rows) * (2 * rows * d + 2 * n * d)


def log_sum_exp_counted(n, d, rows):
    """You count a number more for each query, such as its log-sum-exp. The rule here counts q,
    k, v and y alone."""
    return moved_by_tiles(n, d, rows) + n


def tiles_rounded(n, d, rows):
    """You round n / rows to the nearest. The last tile reads all of k and v, however few
    queries it has: round up."""
    return 2 * n * d + 2 * n * d * round(n / rows)


def tile_output_forgotten(n, d, rows):
    """You forget q or y: q is read and y written, 2 n d besides the keys and values."""
    return n * d + 2 * n * d * -(-n // rows)


def neither_q_nor_y(n, d, rows):
    """You count k and v alone. q is read and y written once: 2 n d more."""
    return 2 * n * d * -(-n // rows)


def rows_are_tiles(n, d, rows):
    """You take `rows` for the number of tiles. It is how many queries one has: there are n /
    rows of them, rounded up."""
    return 2 * n * d + 2 * n * d * rows


def tile_of_keys_alone(n, d, rows):
    """You let a tile of queries read as many keys as it has queries. It reads all n of them."""
    return 2 * n * d + 2 * rows * d * -(-n // rows)


def tiles_write_the_map(n, d, rows):
    """With `rows` the map is never moved: scores and shares stay on the chip. Leave its 4 n²
    out."""
    return 2 * n * d + 2 * n * d * -(-n // rows) + 4 * n * n


def tiles_as_without(n, d, rows):
    """You do not use `rows`. With it the map stays on the chip, and k and v are read once for
    each tile of queries."""
    return moved(n, d)


def traffic_added_up(n, d, rows=None):
    if rows is None:
        return sum([n * d] * 4) + sum([n**2] * 4)
    return sum(2 * d * min(rows, n - start) + 2 * d * n for start in range(0, n, rows))


def traffic_by_divmod(n, d, rows=None):
    whole, rest = divmod(n, rows) if rows else (0, 0)
    tiles = whole + (rest > 0)
    return 4 * n * (d + n) if rows is None else 2 * n * d * (1 + tiles)


# the floor


def floor_trials():
    chosen = (
        ("where computing takes longer", 6e9, 2e8, 3e10, 1e10),
        ("where moving takes longer", 2e8, 5e9, 4e10, 8e9),
        ("where computing takes a little longer", 7e9, 1.2e10, 4e10, 4e10),
        ("where moving takes a little longer", 5e9, 1.6e10, 4e10, 4e10),
    )
    names = "multiply_adds", "bytes", "rate", "bandwidth"
    return tuple(
        Trial(
            f"{name} ({a:g}, {b:g}, {r:g}, {w:g})",
            {},
            dict(zip(names, (a, b, r, w), strict=True)),
        )
        for name, a, b, r, w in chosen
    )


def added_up(multiply_adds, bytes, rate, bandwidth):
    """You add the two times. A chip moves while it computes: the longer of the two is the
    floor."""
    return 2 * multiply_adds / rate + bytes / bandwidth


def the_shorter(multiply_adds, bytes, rate, bandwidth):
    """You take the shorter time. Both must be done: nothing ends before the longer one."""
    return min(2 * multiply_adds / rate, bytes / bandwidth)


def one_operation_each(multiply_adds, bytes, rate, bandwidth):
    """You count a multiply-add as one operation. `rate` counts two: a product and a sum."""
    return max(multiply_adds / rate, bytes / bandwidth)


def half_an_operation(multiply_adds, bytes, rate, bandwidth):
    """You halve the multiply-adds. Each is two operations: times 2."""
    return max(multiply_adds / 2 / rate, bytes / bandwidth)


def computing_alone(multiply_adds, bytes, rate, bandwidth):
    """You look at computing alone. Moving takes bytes / bandwidth, which may be longer."""
    return 2 * multiply_adds / rate


def moving_alone(multiply_adds, bytes, rate, bandwidth):
    """You look at moving alone. Computing takes 2 multiply_adds / rate, which may be longer."""
    return bytes / bandwidth


def rates_exchanged(multiply_adds, bytes, rate, bandwidth):
    """You exchange the two rates. `rate` is in operations a second, `bandwidth` in bytes a
    second."""
    return max(2 * multiply_adds / bandwidth, bytes / rate)


def upside_down(multiply_adds, bytes, rate, bandwidth):
    """Your fractions are upside down. Seconds are operations over operations a second."""
    return max(rate / (2 * multiply_adds), bandwidth / bytes)


def bits_for_bytes(multiply_adds, bytes, rate, bandwidth):
    """You turn bytes into bits. Bandwidth is in bytes a second: nothing to turn."""
    return max(2 * multiply_adds / rate, 8 * bytes / bandwidth)


def four_bytes_each(multiply_adds, bytes, rate, bandwidth):
    """You multiply the bytes by 4 again. They are bytes already, not numbers."""
    return max(2 * multiply_adds / rate, 4 * bytes / bandwidth)


def mean_of_both(multiply_adds, bytes, rate, bandwidth):
    """You take the mean of the two times. The longer of the two is the floor."""
    return (2 * multiply_adds / rate + bytes / bandwidth) / 2


def bytes_doubled(multiply_adds, bytes, rate, bandwidth):
    """You double the longer of the two times, and so the bytes as well. The 2 belongs to the
    multiply-adds alone."""
    return 2 * max(multiply_adds / rate, bytes / bandwidth)


def rate_for_seconds(multiply_adds, bytes, rate, bandwidth):
    """You return the rate that can be reached. What is asked is the time: 2 multiply_adds /
    rate, or bytes / bandwidth."""
    return min(rate, 2 * multiply_adds / bytes * bandwidth)


def inverted_floor(multiply_adds, bytes, rate, bandwidth):
    """You return how often a second it can run. The floor is its inverse, a time."""
    return 1 / max(2 * multiply_adds / rate, bytes / bandwidth)


def both_doubled_bytes(multiply_adds, bytes, rate, bandwidth):
    """You double the bytes and not the multiply-adds. A multiply-add is two operations, a byte
    is one byte."""
    return max(multiply_adds / rate, 2 * bytes / bandwidth)


def milliseconds(multiply_adds, bytes, rate, bandwidth):
    """You return milliseconds. It is seconds."""
    return 1e3 * max(2 * multiply_adds / rate, bytes / bandwidth)


def floor_by_comparison(multiply_adds, bytes, rate, bandwidth):
    computing = (multiply_adds + multiply_adds) / rate
    moving = bytes / bandwidth
    return computing if computing > moving else moving


def floor_by_intensity(multiply_adds, bytes, rate, bandwidth):
    operations = 2 * multiply_adds
    return operations / min(rate, operations / bytes * bandwidth)


# blocks of queries and their halos


def halo_trials():
    def trial(name, window, block, **sizes):
        inputs = {"q": "b head d h w", "k": "b head d h w", "v": "b head e h w"}
        return Trial(name, sizes, inputs | {"window": window, "block": block})

    return (
        trial("for window=5, block=4", 5, 4, b=2, head=3, d=11, e=7, h=13, w=14),
        trial(
            "where the blocks fill the map, window=3, block=4",
            3,
            4,
            b=1,
            head=2,
            d=3,
            e=5,
            h=8,
            w=12,
        ),
        trial("for window=3, block=2", 3, 2, b=1, head=2, d=3, e=4, h=5, w=8),
        trial(
            "on a map smaller than the window, window=7, block=4",
            7,
            4,
            b=1,
            head=2,
            d=4,
            e=5,
            h=3,
            w=6,
        ),
        trial("for window=1, block=3", 1, 3, b=1, head=2, d=3, e=6, h=4, w=5),
    )


def even_windows():
    def trial(window):
        inputs = {"q": "b head d h w", "k": "b head d h w", "v": "b head d h w"}
        return Trial(
            f"an even window, {window}",
            dict(b=1, head=1, d=2, h=4, w=5),
            inputs | {"window": window, "block": 2},
        )

    return trial(2), trial(4)


def blocks_of_queries(q, block):
    q = F.pad(q, (0, -q.shape[-1] % block, 0, -q.shape[-2] % block))
    return rearrange(q, "... d (high y) (wide x) -> ... high wide (y x) d", y=block, x=block)


def around(x, window, block):
    """Halos: ... d h w -> ... high wide (y x) d."""
    reach = window // 2
    return halos_from(x, window, block, reach, reach)


def halos_from(x, window, block, above, left, mode="constant"):
    h, w = x.shape[-2:]
    side = block + window - 1
    high, wide = -(-h // block), -(-w // block)
    pad = (
        left,
        wide * block + window - 1 - w - left,
        above,
        high * block + window - 1 - h - above,
    )
    lead = x.shape[:-3]
    x = F.pad(x.reshape(-1, *x.shape[-3:]), pad, mode=mode).reshape(
        *lead, x.shape[-3], -1, 0 + wide * block + window - 1
    )
    x = x.unfold(-2, side, block).unfold(-2, side, block)
    return rearrange(x, "... d high wide y x -> ... high wide (y x) d")


def own_window(window, block):
    side = block + window - 1
    away = torch.arange(side) - torch.arange(block)[:, None]
    near = (away >= 0) & (away < window)
    return on_both_axes(near)


def on_both_axes(near, together=torch.logical_and):
    both = together(near[:, None, :, None], near[None, :, None, :])
    return rearrange(both, "y x v u -> (y x) (v u)")


def in_the_picture(q, window, block):
    ones = torch.ones(1, *q.shape[-2:], dtype=q.dtype)
    return rearrange(around(ones, window, block)[..., 0] > 0, "high wide j -> high wide 1 j")


def unscaled(q):
    return q


def shares_of_the_seen(scores, seen):
    return scores.masked_fill(~seen, torch.finfo(scores.dtype).min).softmax(-1)


def top_left(y, h, w, block):
    y = rearrange(y, "... high wide (y x) e -> ... e (high y) (wide x)", y=block, x=block)
    return y[..., :h, :w]


def halo_recipe(
    scaling=unscaled,
    haloing=around,
    nearing=own_window,
    bounding=in_the_picture,
    sharing=shares_of_the_seen,
    ending=top_left,
):
    def answer(q, k, v, window, block):
        if window % 2 == 0:
            raise ValueError(f"{window=}")
        queries = blocks_of_queries(scaling(q), block)
        keys, values = haloing(k, window, block), haloing(v, window, block)
        seen = nearing(window, block) & bounding(q, window, block)
        shares = sharing(queries @ keys.mT, seen)
        return ending(shares @ values, *q.shape[-2:], block)

    return answer


def scaled(q):
    """You divide by sqrt(d). Here nothing is scaled: the caller has done that."""
    return q / math.sqrt(q.shape[2])


def halo_begins_a_row_late(x, window, block):
    """The rows of your halo are off by one, too low. The first row of a halo is window // 2
    above the first row of its block: pad as many on top."""
    return halos_from(x, window, block, window // 2 - 1, window // 2)


def halo_begins_a_row_early(x, window, block):
    """The rows of your halo are off by one, too high. The first row of a halo is window // 2
    above the first row of its block: pad as many on top."""
    return halos_from(x, window, block, window // 2 + 1, window // 2)


def halo_begins_a_column_late(x, window, block):
    """The columns of your halo are off by one, too far right. Pad window // 2 on the left."""
    return halos_from(x, window, block, window // 2, window // 2 - 1)


def halo_begins_a_column_early(x, window, block):
    """The columns of your halo are off by one, too far left. Pad window // 2 on the left."""
    return halos_from(x, window, block, window // 2, window // 2 + 1)


def halo_begins_late(x, window, block):
    """Your halo is off by one in rows and columns: it begins too late. It begins window // 2
    above and left of its block: pad as many."""
    return halos_from(x, window, block, window // 2 - 1, window // 2 - 1)


def halo_begins_early(x, window, block):
    """Your halo is off by one in rows and columns: it begins too early. It begins window // 2
    above and left of its block: pad as many."""
    return halos_from(x, window, block, window // 2 + 1, window // 2 + 1)


def halo_begins_with_its_block(x, window, block):
    """Your halo begins where its block begins. It begins window // 2 above and left of it: pad
    on the left and on top too."""
    return halos_from(x, window, block, 0, 0)


def halo_ends_with_its_block(x, window, block):
    """Your halo ends where its block ends: all of the padding is on top and on the left. It
    reaches window // 2 beyond the block on every side."""
    return halos_from(x, window, block, window - 1, window - 1)


def zero_keys_seen(q, window, block):
    """The zeros beyond the edge are seen: a padded key has the score 0, and a share. Mask what
    is outside of the map."""
    return torch.ones((), dtype=torch.bool)


def inside_turned(q, window, block):
    seen = in_the_picture(q, window, block)
    side = block + window - 1
    return rearrange(seen, "high wide i (y x) -> high wide i (x y)", y=side, x=side)


@also(bounding=inside_turned)
def halo_turned(x, window, block):
    """You exchange rows and columns of a halo: its pixels are in another order than those of
    its window. Keep (y x) everywhere."""
    found = around(x, window, block)
    side = block + window - 1
    return rearrange(found, "... (y x) d -> ... (x y) d", y=side, x=side)


@also(bounding=zero_keys_seen)
def edge_wraps_round(x, window, block):
    """Your map goes on at the opposite edge. Beyond the edge there are no keys: pad with zeros
    and mask them."""
    reach = window // 2
    h, w = x.shape[-2:]
    rows = torch.arange(-reach, -(-h // block) * block + reach) % h
    columns = torch.arange(-reach, -(-w // block) * block + reach) % w
    side = block + window - 1
    x = x[..., rows, :][..., columns].unfold(-2, side, block).unfold(-2, side, block)
    return rearrange(x, "... d high wide y x -> ... high wide (y x) d")


def whole_halo_seen(window, block):
    """The window is forgotten: every query of a block sees the whole halo. Each sees the window
    x window keys around itself: hide the others."""
    return torch.ones(block**2, (block + window - 1) ** 2, dtype=torch.bool)


def window_cut_in_rows_alone(window, block):
    """You cut the window out in rows alone, and a query sees all columns of the halo. Rows
    *and* columns must be near."""
    side = block + window - 1
    away = torch.arange(side) - torch.arange(block)[:, None]
    near = ((away >= 0) & (away < window))[:, None, :, None]
    return rearrange(near.expand(block, block, side, side), "y x v u -> (y x) (v u)")


def window_cut_in_columns_alone(window, block):
    """You cut the window out in columns alone, and a query sees all rows of the halo. Rows
    *and* columns must be near."""
    side = block + window - 1
    away = torch.arange(side) - torch.arange(block)[:, None]
    near = ((away >= 0) & (away < window))[None, :, None]
    return rearrange(near.expand(block, block, side, side), "y x v u -> (y x) (v u)")


def rows_or_columns_near(window, block):
    """You show a key that is near in rows *or* in columns: a cross. It is both."""
    side = block + window - 1
    away = torch.arange(side) - torch.arange(block)[:, None]
    return on_both_axes((away >= 0) & (away < window), torch.logical_or)


def window_one_too_wide(window, block):
    """Your window is one too wide, at its end: places 0 to window - 1 of the halo, counted from
    the query's own, `<` and not `<=`."""
    side = block + window - 1
    away = torch.arange(side) - torch.arange(block)[:, None]
    return on_both_axes((away >= 0) & (away <= window))


def window_one_too_narrow(window, block):
    """Your window lacks its last row and column: places 0 to window - 1 of the halo, counted
    from the query's own."""
    side = block + window - 1
    away = torch.arange(side) - torch.arange(block)[:, None]
    return on_both_axes((away >= 0) & (away < max(1, window - 1)))


def reach_left_out(window, block):
    """You leave out the border of the window: distances of window // 2 count, `<=` and not
    `<`."""
    side = block + window - 1
    away = torch.arange(side) - torch.arange(block)[:, None] - window // 2
    return on_both_axes(away.abs() < window // 2)


def window_behind_the_query(window, block):
    """Your window is not around the query: in the halo the query itself stands window // 2
    further on. A key at place v of the halo is near query y where 0 <= v - y < window."""
    side = block + window - 1
    away = (torch.arange(side) - torch.arange(block)[:, None]).abs()
    return on_both_axes(away <= window // 2)


def whole_window_each_side(window, block):
    """You reach a whole window to each side. It is window // 2: with the query in the middle
    that makes `window`."""
    side = block + window - 1
    away = torch.arange(side) - torch.arange(block)[:, None] - window // 2
    return on_both_axes(away.abs() <= window)


def first_window_for_all(window, block):
    """Every query of a block has the window of the first one. The window moves with the query:
    0 <= v - y < window."""
    side = block + window - 1
    away = torch.arange(side).expand(block, side)
    return on_both_axes(away < window)


def diamond(window, block):
    """Your window is a diamond: you add the distances in rows and columns. Each by itself is at
    most window // 2."""
    side = block + window - 1
    away = (torch.arange(side) - torch.arange(block)[:, None] - window // 2).abs()
    return on_both_axes(away, torch.add) <= window // 2


def padding_seen_at_the_end(q, window, block):
    """The map is no multiple of the block, and what fills it up is seen: those zeros are
    outside of the map as well."""
    h, w = q.shape[-2:]
    ones = torch.ones(1, h + -h % block, w + -w % block, dtype=q.dtype)
    return rearrange(around(ones, window, block)[..., 0] > 0, "high wide j -> high wide 1 j")


def zero_score_is_outside(q, window, block):
    """Only the borders on top and on the left are masked. Below and on the right there are no
    keys either."""
    h, w = q.shape[-2:]
    ones = torch.ones(1, h, w, dtype=q.dtype)
    reach = window // 2
    inside = F.pad(ones, (reach, -w % block + reach, reach, -h % block + reach))
    inside[..., reach + h :, reach:] = 1
    inside[..., reach:, reach + w :] = 1
    side = block + window - 1
    inside = inside.unfold(-2, side, block).unfold(-2, side, block)
    return rearrange(inside, "1 high wide y x -> high wide 1 (y x)") > 0


def shares_hidden_late(scores, seen):
    """You hide keys after the softmax: the shares that are left do not sum to 1. Set their
    scores to -inf, or very low, before it."""
    return scores.softmax(-1) * seen


def hidden_scores_are_zero(scores, seen):
    """You set hidden scores to 0, which still have a share. It takes -inf, or a very low
    number."""
    return (scores * seen).softmax(-1)


def mask_turned(scores, seen):
    """Your mask is inverted: you hide what is near and show the rest."""
    return scores.masked_fill(seen, torch.finfo(scores.dtype).min).softmax(-1)


def softmax_over_the_block(scores, seen):
    """Your softmax goes over the queries of a block. It goes over the keys j of the halo, the
    last axis."""
    return scores.masked_fill(~seen, torch.finfo(scores.dtype).min).softmax(-2)


def nan_beyond_the_edge(scores, seen):
    """A query of the padding may see nothing: with -inf for all of its keys softmax gives nan.
    You cut it off, and its nan comes back in the gradient of v. Fill in a very low number
    instead of -inf."""
    return scores.masked_fill(~seen, HIDDEN).softmax(-1)


def no_softmax(scores, seen):
    """The softmax is missing: the scores must become shares."""
    return scores * seen


def bottom_right(y, h, w, block):
    """You keep the last rows and columns. The padding is behind the map: keep the first h and
    w."""
    y = rearrange(y, "... high wide (y x) e -> ... e (high y) (wide x)", y=block, x=block)
    return y[..., -h:, -w:]


def padding_left_on(y, h, w, block):
    """You do not cut the padding off: keep the first h rows and w columns."""
    return rearrange(y, "... high wide (y x) e -> ... e (high y) (wide x)", y=block, x=block)


def pixels_of_a_block_turned(y, h, w, block):
    """You exchange rows and columns of a block when you put the map together: (y x) was the
    order in which it was cut."""
    y = rearrange(y, "... high wide (x y) e -> ... e (high y) (wide x)", y=block, x=block)
    return y[..., :h, :w]


def blocks_read_in_lines(y, h, w, block):
    """Your map is put together in lines of the wrong order: place and block are exchanged. A
    row is (high y): the block first, then the row in it."""
    y = rearrange(y, "... high wide (y x) e -> ... e (y high) (x wide)", y=block, x=block)
    return y[..., :h, :w]


def a_window_as_reach(q, k, v, window, block):
    """You reach a whole window to each side, in the halo and in the mask. It is window // 2:
    with the query in the middle that makes `window`."""
    return halo_attention(q, k, v, 2 * window + 1 if window % 2 else window, block)


def reach_one_too_far(q, k, v, window, block):
    """You reach one pixel too far to each side. It is window // 2: with the query in the middle
    that makes `window`."""
    return halo_attention(q, k, v, window + 2, block)


def own_block_only(q, k, v, window, block):
    """Your queries see their own block alone: there is no halo. Keys up to window // 2 beyond
    the block belong to some windows."""
    queries = blocks_of_queries(q, block)
    keys, values = blocks_of_queries(k, block), blocks_of_queries(v, block)
    ones = blocks_of_queries(torch.ones(1, *q.shape[-2:], dtype=q.dtype), block)
    away = (torch.arange(block) - torch.arange(block)[:, None]).abs()
    seen = on_both_axes(away <= window // 2) & (ones[..., 0] > 0).unsqueeze(-2)
    shares = shares_of_the_seen(queries @ keys.mT, seen)
    return top_left(shares @ values, *q.shape[-2:], block)


def rest_of_the_map_dropped(q, k, v, window, block):
    """Where the map is no multiple of the block, its last rows and columns stay 0. Fill q up to
    whole blocks, and cut the end off."""
    y = halo_attention(q, k, v, window, block).clone()
    h, w = q.shape[-2:]
    y[..., h - h % block :, :] = 0
    y[..., w - w % block :] = 0
    return y


def every_window_laid_out(q, k, v, window, block):
    """You make a window for each pixel: right, but window² copies of k and v. A block of
    queries shares one halo."""
    if window % 2 == 0:
        raise ValueError(f"{window=}")
    return by_windows(q, k, v, window)


def by_windows(q, k, v, window):
    reach = window // 2

    def windows(x):
        x = F.pad(x, (reach,) * 4)
        x = x.unfold(-2, window, 1).unfold(-2, window, 1)
        return rearrange(x, "... d h w y x -> ... h w (y x) d").contiguous()

    inside = windows(torch.ones_like(q[:, :, :1]))[..., 0] > 0
    scores = einsum(q, windows(k), "b head d h w, b head h w j d -> b head h w j")
    shares = scores.masked_fill(~inside, HIDDEN).softmax(-1)
    return einsum(shares, windows(v), "b head h w j, b head h w j e -> b head e h w")


def the_map_of_all_pixels(q, k, v, window, block):
    """You make the map of all pixels and mask it: right, but (h w)² scores. A block of queries
    meets its halo alone."""
    if window % 2 == 0:
        raise ValueError(f"{window=}")
    h, w = q.shape[-2:]
    y, x = (torch.arange(n, device=q.device) for n in (h, w))
    near = ((y[:, None] - y).abs() <= window // 2)[:, None, :, None] & (
        (x[:, None] - x).abs() <= window // 2
    )[None, :, None, :]
    near = rearrange(near, "h w y x -> (h w) (y x)")
    q, k, v = (rearrange(one, "... d h w -> ... (h w) d") for one in (q, k, v))
    shares = (q @ k.mT).masked_fill(~near, HIDDEN).softmax(-1)
    return rearrange(shares @ v, "... (h w) e -> ... e h w", h=h)


def halo_block_by_block(q, k, v, window, block):
    if window % 2 == 0:
        raise ValueError(f"{window=} is even")
    h, w = q.shape[-2:]
    reach, lines = window // 2, []
    for top in range(0, h, block):
        parts = []
        for left in range(0, w, block):
            rows = slice(max(0, top - reach), min(h, top + block + reach))
            columns = slice(max(0, left - reach), min(w, left + block + reach))
            some = q[..., top : top + block, left : left + block]
            y, x = (torch.arange(n, device=q.device) for n in some.shape[-2:])
            v_, u = (torch.arange(s.start, s.stop, device=q.device) for s in (rows, columns))
            down = (y[:, None] + top - v_).abs() <= reach
            across = (x[:, None] + left - u).abs() <= reach
            near = down[:, None, :, None] & across[None, :, None, :]
            scores = torch.einsum("bcdyx,bcdvu->bcyxvu", some, k[..., rows, columns])
            scores = scores.masked_fill(~near, HIDDEN).flatten(-2).softmax(-1)
            read = torch.einsum("bcyxj,bcej->bceyx", scores, v[..., rows, columns].flatten(-2))
            parts.append(read)
        lines.append(torch.cat(parts, -1))
    return torch.cat(lines, -2)


def halo_by_torch(q, k, v, window, block):
    if window % 2 == 0:
        raise ValueError(f"{window=} is even")
    h, w = q.shape[-2:]
    b, head = q.shape[:2]
    high, wide = -(-h // block), -(-w // block)
    side = block + window - 1

    def halos(x):
        n = x.shape[2]
        x = F.pad(
            x.flatten(0, 1),
            (
                window // 2,
                wide * block - w + window // 2,
                window // 2,
                high * block - h + window // 2,
            ),
        )
        x = F.unfold(x, side, stride=block)
        return x.reshape(b * head, n, side * side, high * wide).permute(0, 3, 2, 1)

    some = F.unfold(
        F.pad(q.flatten(0, 1), (0, wide * block - w, 0, high * block - h)), block, stride=block
    )
    some = some.reshape(b * head, q.shape[2], block * block, -1).permute(0, 3, 2, 1)
    ones = halos(torch.ones_like(q[:, :, :1]))[..., 0] > 0
    away = torch.arange(side, device=q.device) - torch.arange(block, device=q.device)[:, None]
    near = (away >= 0) & (away < window)
    near = (near[:, None, :, None] & near[:, None]).reshape(block**2, side**2)
    bias = torch.zeros(ones.shape[:2] + near.shape, dtype=q.dtype, device=q.device)
    bias = bias.masked_fill(~(near & ones[:, :, None]), -1e30)
    y = F.scaled_dot_product_attention(some, halos(k), halos(v), bias, scale=1.0)
    y = y.permute(0, 3, 2, 1).reshape(b * head, -1, high * wide)
    y = F.fold(y, (high * block, wide * block), block, stride=block)
    return y.reshape(b, head, v.shape[2], high * block, wide * block)[..., :h, :w]


# places as features


def augmented_trials():
    def trial(name, **sizes):
        h, w = sizes["h"], sizes["w"]
        sizes |= {"r": 2 * h - 1, "s": 2 * w - 1}
        three = {"q": "b head h w d", "k": "b head h w d", "v": "b head h w e"}
        return Trial(name, sizes, three | {"rows": "r d", "columns": "s d"})

    return (
        trial("on 7 x 12 pixels", b=2, head=3, h=7, w=12, d=5, e=4),
        trial("with values wider than all of q' and k'", b=1, head=2, h=3, w=4, d=6, e=17),
        trial("on one row of pixels", b=2, head=3, h=1, w=6, d=4, e=8),
    )


def root_d(q):
    return q / math.sqrt(q.shape[-1])


def as_it_is(q, d):
    return q


def by_offset(n):
    place = torch.arange(n)
    return place - place[:, None] + n - 1


def what_it_says(q, rows, columns, index):
    h, w = q.shape[-3:-1]
    down = einsum(q, rows[index(h)], "... h w d, h y d -> ... h w y")
    across = einsum(q, columns[index(w)], "... h w d, w x d -> ... h w x")
    return [down, across]


def ones_of_places(h, w):
    row = torch.eye(h).double()[:, None].expand(h, w, h)
    column = torch.eye(w).double()[None].expand(h, w, w)
    return [row, column]


def filled_up(v, width):
    return F.pad(v, (0, width - v.shape[-1]))


def first_features(y, e):
    return y[..., :e]


def by_fused(q, k, v):
    return F.scaled_dot_product_attention(q, k, v, scale=1.0)


def augmented_recipe(
    scaling=root_d,
    scaling_places=as_it_is,
    indexing=by_offset,
    saying=what_it_says,
    placing=ones_of_places,
    filling=filled_up,
    attending=by_fused,
    cutting=first_features,
):
    def answer(q, k, v, rows, columns):
        h, w, d = q.shape[-3:]
        places = saying(scaling_places(scaling(q), d), rows, columns, indexing)
        ones = [one.to(k).expand(*k.shape[:-3], *one.shape) for one in placing(h, w)]
        q, k = torch.cat([scaling(q), *places], -1), torch.cat([k, *ones], -1)
        q, k, v_ = (rearrange(x, "... h w m -> ... (h w) m") for x in (q, k, v))
        width = max(q.shape[-1], v.shape[-1])
        q, k = (F.pad(x, (0, width - x.shape[-1])).contiguous() for x in (q, k))
        y = cutting(attending(q, k, filling(v_, width).contiguous()), v.shape[-1])
        return rearrange(y, "... (h w) e -> ... h w e", h=h)

    return answer


def nothing_scaled(q):
    """You do not scale: all scores, those of places too, are divided by sqrt(d)."""
    return q


def scaled_by_d_here(q):
    """You divide by d. It is sqrt(d), once: is q scaled, and the call scales again?"""
    return q / q.shape[-1]


def places_scaled_twice(q, d):
    """You scale the places twice: down and across are made of q that is scaled already."""
    return q / math.sqrt(d)


def places_not_scaled(q, d):
    """You scale what q and k say, and not the places: q · R and q · C are divided by sqrt(d)
    too. Scale q first, then make down and across of it."""
    return q * math.sqrt(d)


def offsets_turned(n):
    """Your offsets have the wrong sign. Row r of a table is the offset r - (h - 1) of *key
    minus query*, and not the other way round."""
    place = torch.arange(n)
    return place[:, None] - place + n - 1


def offsets_from_zero(n):
    """You index with key minus query alone: negative ones count from the end of the table. Add
    n - 1, so that the offset -(n - 1) is row 0."""
    place = torch.arange(n)
    return place - place[:, None]


def offsets_one_off(n):
    """Your offsets are off by one: key minus query + n - 1, so that offset 0 is the middle row
    of the table."""
    place = torch.arange(n)
    return (place - place[:, None] + n) % (2 * n - 1)


def distances(n):
    """You take the distance without its sign. Above and below have rows of their own: key minus
    query + n - 1."""
    place = torch.arange(n)
    return (place - place[:, None]).abs() + n - 1


def places_of_keys(n):
    """You index the tables with the place of the key alone. They hold offsets: key minus query
    + n - 1."""
    return torch.arange(n).expand(n, n)


def rows_alone(q, rows, columns, index):
    """The columns are missing: a query says something to each row *and* to each column."""
    down, across = what_it_says(q, rows, columns, index)
    return [down, torch.zeros_like(across)]


def columns_alone(q, rows, columns, index):
    """The rows are missing: a query says something to each row *and* to each column."""
    down, across = what_it_says(q, rows, columns, index)
    return [torch.zeros_like(down), across]


def no_places(q, rows, columns, index):
    """Places do not count in your result: what the query says to rows and columns must stand
    beside q, and the ones beside k."""
    return [torch.zeros_like(part) for part in what_it_says(q, rows, columns, index)]


def places_doubled(q, rows, columns, index):
    """Places count twice in your result: added to q, or as features *and* as a bias."""
    return [2 * part for part in what_it_says(q, rows, columns, index)]


def places_of_the_first(q, rows, columns, index):
    """You take down and across of the first pixel for all of them. Each query has its own."""
    parts = what_it_says(q, rows, columns, index)
    return [part[..., :1, :1, :].expand_as(part) for part in parts]


def turned_ones(h, w):
    """The ones of your keys are in the wrong order: pixel (h w) of a line is in row h, that is
    one every w pixels. The ones for rows repeat along w, those for columns along h."""
    row = rearrange(torch.eye(h)[:, None].expand(h, w, h), "h w y -> (w h) y")
    column = rearrange(torch.eye(w)[None].expand(h, w, w), "h w x -> (w h) x")
    return [rearrange(x.contiguous(), "(h w) y -> h w y", h=h).double() for x in (row, column)]


def ones_from_the_end(h, w):
    """Your ones run from the last row and column to the first. Key (y x) has its ones at y and
    x."""
    return [one.flip(-1) for one in ones_of_places(h, w)]


def zeros_in_front(v, width):
    """You fill v up in front and keep the first features. Fill up behind: `F.pad(v, (0,
    more))`."""
    return F.pad(v, (width - v.shape[-1], 0))


def filled_with_ones(v, width):
    """You fill v up and return what was filled up in part. The first e features are the
    result."""
    return F.pad(v, (0, width - v.shape[-1]), value=1.0).roll(1, -1)


def default_scale(q, k, v):
    """You scale q, and the call scales once more, by 1 / sqrt of the width of q'. Say
    `scale=1.0`."""
    return F.scaled_dot_product_attention(q, k, v)


def scale_left_to_the_call(q, k, v, rows, columns):
    """You leave the scale to the call, which takes 1 / sqrt(m), the width of q' and k'. It is 1
    / sqrt(d): scale q yourself and say `scale=1.0`."""
    return augmented_recipe(nothing_scaled, attending=default_scale)(q, k, v, rows, columns)


def scaled_by_the_longer(q, k, v, rows, columns):
    d, m = q.shape[-1], sum(q.shape[-3:])
    return augmented_recipe()(q * math.sqrt(d / m), k, v, rows, columns)


def columns_before_rows(h, w):
    """The ones of your keys stand in another order than what the queries say: down goes with
    the ones for rows, across with those for columns."""
    return ones_of_places(h, w)[::-1]


def last_features(y, e):
    """You keep the last e features. The zeros stand behind v: the first e are the result."""
    return y[..., -e:]


def all_features(y, e):
    """You do not cut the filled up features off: keep the first e."""
    return y


def values_not_filled(q, k, v, rows, columns):
    """v is narrower than q' and k': then torch takes a slower way without a word, and makes the
    whole map. Fill v up with zeros to their width, and cut the result."""
    return augmented_by(q, k, v, rows, columns, fill=False)


def not_contiguous(q, k, v, rows, columns):
    """q', k' or v is not contiguous: then torch takes a slower way without a word, and makes
    the whole map. Say `.contiguous()` before the call."""
    return augmented_by(q, k, v, rows, columns, contiguous=False)


def bias_for_places(q, k, v, rows, columns):
    """You give the places as a bias: right, but it has a number for each pair of pixels. As
    features of q' and k' they need h + w for each."""
    return relative_attention_2d(q, k, v, rows, columns, "fused")


def all_scores_made(q, k, v, rows, columns):
    """You make the map yourself. One call of `F.scaled_dot_product_attention` on q', k' and v
    never holds it."""
    return relative_attention_2d(q, k, v, rows, columns, "broadcast")


def augmented_by(q, k, v, rows, columns, fill=True, contiguous=True):
    h, w, d = q.shape[-3:]
    q = q * d**-0.5
    y, x = torch.arange(h, device=q.device), torch.arange(w, device=q.device)
    down = torch.einsum("...hwd,hyd->...hwy", q, rows[y[None] - y[:, None] + h - 1])
    across = torch.einsum("...hwd,wxd->...hwx", q, columns[x[None] - x[:, None] + w - 1])
    line = torch.arange(h * w, device=q.device)
    places = torch.cat([F.one_hot(line // w, h), F.one_hot(line % w, w)], -1).to(k.dtype)
    q = torch.cat([q, down, across], -1).flatten(-3, -2)
    k = torch.cat([k.flatten(-3, -2), places.expand(*k.shape[:-3], h * w, h + w)], -1)
    e, v = v.shape[-1], v.flatten(-3, -2)
    if fill:
        wide = max(q.shape[-1], e)
        q, k, v = (F.pad(one, (0, wide - one.shape[-1])) for one in (q, k, v))
    if not contiguous:
        q, k, v = (one.mT.contiguous().mT for one in (q, k, v))
    y = F.scaled_dot_product_attention(q, k, v, scale=1.0)
    return y[..., :e].unflatten(-2, (h, w))


def augmented_by_sums(q, k, v, rows, columns):
    h, w, d = q.shape[-3:]
    q = q * d**-0.5
    down = torch.stack(
        [
            torch.stack([(q[..., i, :, :] @ rows[y - i + h - 1]) for y in range(h)], -1)
            for i in range(h)
        ],
        -3,
    )
    across = torch.stack(
        [
            torch.stack([(q[..., i, :] @ columns[x - i + w - 1]) for x in range(w)], -1)
            for i in range(w)
        ],
        -2,
    )
    ones = torch.zeros(h, w, h + w, dtype=k.dtype, device=k.device)
    for y in range(h):
        for x in range(w):
            ones[y, x, y] = ones[y, x, h + x] = 1
    longer = torch.cat([q, down, across], -1)
    keys = torch.cat([k, ones.expand(*k.shape[:-1], h + w)], -1)
    wide = max(longer.shape[-1], v.shape[-1])
    three = [
        F.pad(x, (0, wide - x.shape[-1])).flatten(-3, -2).contiguous()
        for x in (longer, keys, v)
    ]
    y = F.scaled_dot_product_attention(*three, scale=1.0)[..., : v.shape[-1]]
    return y.unflatten(-2, (h, w))


# the step of a kernel. Slips are written out, since Triton compiles functions from their source

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


# patterns for FlexAttention


def places_of(n, *sizes):
    """Indices of batch, head, i and j that broadcast to a map, as FlexAttention has them."""
    axes = [torch.arange(m) for m in (*sizes, n, n)]
    return [x[(...,) + (None,) * (len(axes) - 1 - at)] for at, x in enumerate(axes)]


def mod_trials(chosen, **words):
    def trials():
        found = []
        for n, more in chosen:
            batch, head, i, j = places_of(n, 1, 1)
            given = {
                "batch": Given("1 1 1 1", batch),
                "head": Given("1 1 1", head),
                "i": Given("i 1", i),
                "j": Given("j", j),
            }
            said = ", ".join(f"{name}={value}" for name, value in more.items())
            found.append(Trial(f"for {n} tokens, {said}", dict(i=n, j=n), given | more))
        return tuple(found)

    return trials


local_mod_trials = mod_trials(
    (
        (20, dict(width=5, window=3)),
        (21, dict(width=7, window=5)),
        (24, dict(width=4, window=3)),
        (48, dict(width=8, window=7)),
        (6, dict(width=6, window=3)),
        (7, dict(width=1, window=5)),
    )
)


def near_rows(i, j, width):
    return j // width - i // width


def near_columns(i, j, width):
    return j % width - i % width


def half(window):
    return window // 2


def at_most(down, across, reach):
    return (abs(down) <= reach) & (abs(across) <= reach)


def local_recipe(rowing=near_rows, columning=near_columns, reaching=half, comparing=at_most):
    def answer(batch, head, i, j, width, window):
        return comparing(rowing(i, j, width), columning(i, j, width), reaching(window))

    return answer


def a_line_of_tokens(i, j, width):
    """You take the distance in the line, j - i, for the one in columns. The last pixel of a row
    and the first of the next are neighbours in the line and not on the map: j % width - i %
    width."""
    return j - i


def columns_of_the_key(i, j, width):
    """You ask which column the key is in. It is the difference of both columns: j % width - i %
    width."""
    return j % width


def remainder_of_the_difference(i, j, width):
    """You take (j - i) % width for the columns: it is never negative, so that a column to the
    left is far away. Take both remainders first: j % width - i % width."""
    return (j - i) % width


def rows_of_the_difference(i, j, width):
    """You take (j - i) // width for the rows, which rounds down: a pixel behind the query in
    its own row is a row above. Take both quotients first: j // width - i // width."""
    return (j - i) // width


def whole_window(window):
    """You reach a whole window to each side. With the query in the middle it is window // 2."""
    return window


def window_less_one(window):
    """You reach window - 1 to each side. With the query in the middle it is window // 2."""
    return window - 1


def half_less_one(window):
    """You reach one too short: window // 2 to each side, which counts as well, `<=`."""
    return window // 2 - 1


def near_in_one(down, across, reach):
    """You show a key that is near in rows *or* in columns. It is both: `&`."""
    return (abs(down) <= reach) | (abs(across) <= reach)


def signs_ignored(down, across, reach):
    """Your differences have signs, and all negative ones are below the reach. Take `abs`."""
    return (down <= reach) & (across <= reach)


def distances_added(down, across, reach):
    """You add both distances: a diamond. Each by itself is at most window // 2."""
    return abs(down) + abs(across) <= reach


def a_disc(down, across, reach):
    """Your window is round. It is a square: each distance by itself is at most window // 2."""
    return down**2 + across**2 <= reach**2


def far_ones(down, across, reach):
    """Your mask is inverted: True where a query may *not* attend. FlexAttention keeps what is
    True."""
    return ~at_most(down, across, reach)


def causal_too(down, across, reach):
    """You hide what comes later. A window on a map looks to all sides."""
    return at_most(down, across, reach) & ((down < 0) | ((down == 0) & (across <= 0)))


def not_the_query(down, across, reach):
    """The query itself is hidden. It is in the middle of its window."""
    return at_most(down, across, reach) & ((down != 0) | (across != 0))


def blocks_for_rows(batch, head, i, j, width, window):
    """You divide by `window`. Rows and columns come from the width of the map: i // width, i %
    width."""
    return local_mod(batch, head, i, j, window, window)


def fractions_of_rows(batch, head, i, j, width, window):
    """You take i / width for the row, which is a fraction. The row is the whole part: i //
    width."""
    rows = abs(j / width - i / width) <= window // 2
    return rows & (abs(near_columns(i, j, width)) <= window // 2)


def near_in_rows_alone(batch, head, i, j, width, window):
    """Only rows count in your mask. Columns must be near as well: row i // width, column i %
    width."""
    return abs(near_rows(i, j, width)) <= window // 2


def near_in_columns_alone(batch, head, i, j, width, window):
    """Only columns count in your mask. Rows must be near as well: row i // width, column i %
    width."""
    return abs(near_columns(i, j, width)) <= window // 2


def half_window_up(batch, head, i, j, width, window):
    """You reach one too far: window // 2 to each side, and not (window + 1) // 2."""
    return local_mod(batch, head, i, j, width, window + 2)


def own_block_of_pixels(batch, head, i, j, width, window):
    """You cut the map into fixed blocks. A window moves with its query: |dy|, |dx| <= window //
    2."""
    rows = (i // width) // window == (j // width) // window
    return rows & ((i % width) // window == (j % width) // window)


def local_numbers(batch, head, i, j, width, window):
    """You return numbers. A mask_mod returns True or False: comparisons make it so."""
    return local_mod(batch, head, i, j, width, window).double()


def local_mod_by_torch(batch, head, i, j, width, window):
    down = torch.div(i, width, rounding_mode="floor") - torch.div(
        j, width, rounding_mode="floor"
    )
    across = torch.remainder(i, width) - torch.remainder(j, width)
    return torch.maximum(down.abs(), across.abs()) <= (window - 1) // 2


def local_mod_by_corners(batch, head, i, j, width, window):
    y, x, v, u = i // width, i % width, j // width, j % width
    r = window // 2
    return (y - r <= v) & (v <= y + r) & (x - r <= u) & (u <= x + r)


sparse_mod_trials = mod_trials(
    (
        (14, dict(stride=4)),
        (11, dict(stride=3)),
        (12, dict(stride=5)),
        (5, dict(stride=1)),
        (4, dict(stride=6)),
    )
)


def sparse_recipe(joining):
    def answer(batch, head, i, j, stride):
        return joining(i, j, i - j, stride)

    return answer


def future_seen(i, j, ago, stride):
    """Later keys are seen: i - j is negative there, below the stride and often a multiple of
    it. j <= i must hold for both patterns."""
    return (ago < stride) | (ago % stride == 0)


def future_seen_in_strides(i, j, ago, stride):
    """Later keys are seen: j <= i holds for the near keys only, since `&` binds before `|`. Put
    the two patterns in brackets."""
    return (ago >= 0) & (ago < stride) | (ago % stride == 0)


def both_at_once(i, j, ago, stride):
    """You ask for both patterns at once, which leaves the query itself. A key of either counts:
    `|`."""
    return (ago >= 0) & (ago < stride) & (ago % stride == 0)


def near_alone(i, j, ago, stride):
    """The strided keys are missing: (i - j) % stride == 0."""
    return (ago >= 0) & (ago < stride)


def strided_alone(i, j, ago, stride):
    """The near keys are missing: i - j < stride."""
    return (ago >= 0) & (ago % stride == 0)


def near_one_too_many(i, j, ago, stride):
    """You show near keys too many. The query and stride - 1 before it: i - j < stride."""
    return (ago >= 0) & ((ago <= stride + 1) | (ago % stride == 0))


def near_too_few(i, j, ago, stride):
    """You show one near key too few. The query and stride - 1 before it: i - j < stride."""
    return (ago >= 0) & ((ago < stride - 1) | (ago % stride == 0))


def columns_from_zero(i, j, ago, stride):
    """You count every stride-th key from token 0. Here one counts back from the query: (i - j)
    % stride."""
    return (ago >= 0) & ((ago < stride) | (j % stride == 0))


def fixed_summary(i, j, ago, stride):
    """You show the last key of every block. That is the fixed pattern; the strided one counts
    back from the query: (i - j) % stride == 0."""
    return (ago >= 0) & ((ago < stride) | (j % stride == stride - 1))


def own_block_and_strides(i, j, ago, stride):
    """You show the near keys of the query's own block. The last `stride` keys move with the
    query: i - j < stride."""
    return (ago >= 0) & ((i // stride == j // stride) | (ago % stride == 0))


def one_step_off_it(i, j, ago, stride):
    """Your strided keys are off by one: (i - j) % stride must be 0."""
    return (ago >= 0) & ((ago < stride) | (ago % stride == 1 % stride))


def fixed_pattern(i, j, ago, stride):
    """You show the query's own block and the last key of every block. That is the fixed
    pattern; this one counts back from the query: i - j < stride, (i - j) % stride == 0."""
    return (ago >= 0) & ((i // stride == j // stride) | (j % stride == stride - 1))


def step_too_long(i, j, ago, stride):
    """Your step is stride + 1. From one strided key to the next it is `stride` tokens."""
    return (ago >= 0) & ((ago < stride) | (ago % (stride + 1) == 0))


def added_for_subtracted(i, j, ago, stride):
    """You take the remainder of i + j. The distance is i - j."""
    return (ago >= 0) & ((ago < stride) | ((i + j) % stride == 0))


def queries_at_multiples(i, j, ago, stride):
    """You ask which queries are at a multiple of the stride, i % stride. It is the distance: (i
    - j) % stride."""
    return (ago >= 0) & ((ago < stride) | (i % stride == 0))


def half_a_stride(i, j, ago, stride):
    """You show half as many near keys. The last `stride` count: i - j < stride."""
    return (ago >= 0) & ((ago <= stride // 2) | (ago % stride == 0))


def itself_left_out(i, j, ago, stride):
    """The query itself is hidden: j <= i, with the equals sign."""
    return (ago > 0) & ((ago < stride) | (ago % stride == 0))


def i_and_j_exchanged(i, j, ago, stride):
    """i and j have changed places: your queries see later keys. What is behind is i - j."""
    return (ago <= 0) & ((-ago < stride) | (ago % stride == 0))


def to_both_sides(i, j, ago, stride):
    """You take the distance without its sign: later keys are seen. i - j must not be
    negative."""
    return (abs(ago) < stride) | (ago % stride == 0)


def all_before(i, j, ago, stride):
    """You show all keys before the query. Only the last `stride` and every stride-th count."""
    return ago >= 0


def the_opposite(i, j, ago, stride):
    """Your mask is inverted: True where a query may *not* attend. FlexAttention keeps what is
    True."""
    return ~((ago >= 0) & ((ago < stride) | (ago % stride == 0)))


def one_multiple_alone(i, j, ago, stride):
    """You show one key a stride before, and none further back. Every multiple counts: %."""
    return (ago >= 0) & (ago <= stride)


def sparse_numbers(batch, head, i, j, stride):
    """You return numbers. A mask_mod returns True or False: comparisons make it so."""
    return sparse_mod(batch, head, i, j, stride).double()


def sparse_mod_by_torch(batch, head, i, j, stride):
    near = torch.logical_and(j > i - stride, j <= i)
    far = torch.logical_and(j <= i, torch.eq(i % stride, j % stride))
    return torch.logical_or(near, far)


def sparse_mod_by_where(batch, head, i, j, stride):
    ago = i - j
    return torch.where(ago < stride, ago >= 0, torch.fmod(ago, stride) == 0)


# places as a score_mod


def relative_trials():
    def trial(name, b, head, h, w):
        n = h * w
        batch, heads, i, j = places_of(n, b, head)
        inputs = {
            "score": "b head i j",
            "batch": Given("b 1 1 1", batch),
            "head": Given("head 1 1", heads),
            "i": Given("i 1", i),
            "j": Given("j", j),
            "down": "b head i h",
            "across": "b head i w",
            "width": w,
        }
        return Trial(name, dict(b=b, head=head, h=h, w=w, i=n, j=n), inputs)

    return (
        trial("on 4 x 5 pixels", 2, 3, 4, 5),
        trial("on 6 x 2 pixels", 1, 3, 6, 2),
        trial("on 3 x 3 pixels", 3, 2, 3, 3),
    )


def for_the_keys_row(down, batch, head, i, j, width):
    return down[batch, head, i, j // width]


def for_the_keys_column(across, batch, head, i, j, width):
    return across[batch, head, i, j % width]


def sum_of_three(score, row, column):
    return score + row + column


def relative_recipe(
    rowing=for_the_keys_row, columning=for_the_keys_column, adding=sum_of_three
):
    def answer(score, batch, head, i, j, down, across, width):
        row = rowing(down, batch, head, i, j, width)
        column = columning(across, batch, head, i, j, width)
        return adding(score, row, column)

    return answer


def for_the_queries_row(down, batch, head, i, j, width):
    """You look up what the query says to its own row. It is the key's row: j // width."""
    return down[batch, head, i, i // width]


def said_by_the_key(down, batch, head, i, j, width):
    """You look up what the key says. It is the query that speaks, at i; the key's place is j //
    width."""
    return down[batch, head, j, j // width]


def said_by_the_key_of_the_query(down, batch, head, i, j, width):
    """i and j are exchanged for the rows: `down` is indexed by the query i, then by the key's
    row j // width."""
    return down[batch, head, j, i // width]


def row_by_remainder(down, batch, head, i, j, width):
    """You take j % width for the row, which is the column. A row has `width` pixels: j //
    width."""
    return down[batch, head, i, (j % width) % down.shape[-1]]


def row_by_height(down, batch, head, i, j, width):
    """You divide by the number of rows. A row has `width` pixels: j // width."""
    return down[batch, head, i, (j // down.shape[-1]) % down.shape[-1]]


def row_of_the_offset(down, batch, head, i, j, width):
    """You look up the offset of rows, j // width - i // width. `down` is indexed by the key's
    row itself: offsets were turned into rows when it was made."""
    return down[batch, head, i, j // width - i // width]


def first_head_for_all_rows(down, batch, head, i, j, width):
    """You take the rows of the first head for all: `down[batch, head, …]`."""
    return down[batch, head * 0, i, j // width]


def first_example_for_all_rows(down, batch, head, i, j, width):
    """You take the rows of the first example for all: `down[batch, head, …]`."""
    return down[batch * 0, head, i, j // width]


def row_not_added(down, batch, head, i, j, width):
    """The rows are missing: add down[batch, head, i, j // width] too."""
    return 0.0 * down[batch, head, i, j // width]


def for_the_queries_column(across, batch, head, i, j, width):
    """You look up what the query says to its own column. It is the key's column: j % width."""
    return across[batch, head, i, i % width]


def column_said_by_the_key(across, batch, head, i, j, width):
    """You look up what the key says to its column. It is the query that speaks, at i:
    across[batch, head, i, j % width]."""
    return across[batch, head, j, j % width]


def column_said_by_the_key_of_the_query(across, batch, head, i, j, width):
    """i and j are exchanged for the columns: `across` is indexed by the query i, then by the
    key's column j % width."""
    return across[batch, head, j, i % width]


def column_by_quotient(across, batch, head, i, j, width):
    """You take j // width for the column, which is the row. The column is the remainder: j %
    width."""
    return across[batch, head, i, (j // width) % across.shape[-1]]


def column_of_the_offset(across, batch, head, i, j, width):
    """You look up the offset of columns, j % width - i % width. `across` is indexed by the
    key's column itself: offsets were turned into columns when it was made."""
    return across[batch, head, i, j % width - i % width]


def first_head_for_all_columns(across, batch, head, i, j, width):
    """You take the columns of the first head for all: `across[batch, head, …]`."""
    return across[batch, head * 0, i, j % width]


def first_example_for_all_columns(across, batch, head, i, j, width):
    """You take the columns of the first example for all: `across[batch, head, …]`."""
    return across[batch * 0, head, i, j % width]


def column_not_added(across, batch, head, i, j, width):
    """The columns are missing: add across[batch, head, i, j % width] too."""
    return 0.0 * across[batch, head, i, j % width]


def score_lost(score, row, column):
    """The score itself is lost: what you return takes its place. Add to it."""
    return row + column + 0.0 * score


def places_subtracted(score, row, column):
    """You subtract the places. They are added to the score."""
    return score - row - column


def places_multiplied(score, row, column):
    """You multiply by the places. They are added to the score."""
    return score * row * column


def rows_times_columns(score, row, column):
    """You multiply what is said to the row by what is said to the column. Both are added."""
    return score + row * column


def score_unchanged(score, row, column):
    """You return the score as it is. Add what the query says to the key's row and column."""
    return score + 0.0 * (row + column)


def places_scaled(score, row, column):
    """You take the mean of rows and columns. Both are added in full."""
    return score + (row + column) / 2


def score_counted_twice(score, row, column):
    """The score counts twice in your result. It is score + row + column."""
    return (score + row) + (score + column)


def relative_by_flat(score, batch, head, i, j, down, across, width):
    row, column = torch.div(j, width, rounding_mode="floor"), torch.remainder(j, width)
    score = score + down[batch, head, i, row]
    return score + across[batch, head, i, column]


def relative_by_divmod(score, batch, head, i, j, down, across, width):
    mine_down, mine_across = down[batch, head, i], across[batch, head, i]
    shape = torch.broadcast_shapes(mine_down.shape[:-1], j.shape)
    row = (j // width).expand(shape)[..., None]
    column = (j - j // width * width).expand(shape)[..., None]
    row = mine_down.expand(*shape, -1).gather(-1, row)
    column = mine_across.expand(*shape, -1).gather(-1, column)
    return score + (row + column)[..., 0]


# times of alternate rounds


def times(*numbers):
    return Given("round", torch.tensor(numbers, dtype=torch.float64))


def ratio_trials():
    return (
        Trial(
            "of 5 rounds",
            dict(round=5),
            {
                "ours": times(2.1, 1.9, 5.2, 2.4, 2.0),
                "theirs": times(4.0, 4.4, 7.1, 3.1, 4.9),
            },
        ),
        Trial(
            "of 4 rounds, in which the machine grows slower",
            dict(round=4),
            {"ours": times(1.0, 2.2, 2.9, 4.3), "theirs": times(0.9, 1.6, 3.5, 3.8)},
        ),
        Trial("of one round", dict(round=1), {"ours": times(3.0), "theirs": times(2.0)}),
    )


def unequal_rounds():
    return (
        Trial(
            "5 times of ours and 4 of theirs",
            dict(round=5),
            {"ours": times(1.0, 2.0, 3.0, 4.0, 5.0), "theirs": times(1.0, 2.0, 3.0, 4.0)},
        ),
    )


def ours_over_theirs(ours, theirs):
    return ours / theirs


def middle(ratios, ours, theirs):
    return ratios.quantile(0.5)


def least_and_most(ratios, ours, theirs):
    return ratios.min(), ratios.max()


def ratio_recipe(dividing=ours_over_theirs, summing=middle, spreading=least_and_most):
    def answer(ours, theirs):
        if len(ours) != len(theirs):
            raise ValueError("rounds differ")
        ratios = dividing(ours, theirs)
        return summing(ratios, ours, theirs), *spreading(ratios, ours, theirs)

    return answer


def theirs_over_ours(ours, theirs):
    """You divide theirs by ours. Asked is how much longer ours takes: ours / theirs."""
    return theirs / ours


def sorted_first(ours, theirs):
    """You sort the times before dividing: then times of different rounds meet. A round's two
    times were taken next to each other, under the same load."""
    return ours.sort().values / theirs.sort().values


def every_pair(ours, theirs):
    """You divide every time of ours by every one of theirs. Only times of one round saw the
    same machine."""
    return (ours[:, None] / theirs).flatten()


def over_their_median(ours, theirs):
    """You divide all of ours by one time of theirs. Each round has its own: the load changes
    from round to round."""
    return ours / theirs.quantile(0.5)


def over_their_best(ours, theirs):
    """You divide by the best of theirs. Each round has its own time of theirs, taken next to
    ours."""
    return ours / theirs.min()


def percent_saved(ours, theirs):
    """You return how much is saved, 1 - ours / theirs. What is asked is the ratio."""
    return 1 - ours / theirs


def difference(ours, theirs):
    """You subtract. A ratio says the same on a fast machine as on a slow one: ours / theirs."""
    return ours - theirs


def ratio_in_logs(ours, theirs):
    """You return the logarithm of the ratio. What is asked is ours / theirs."""
    return (ours / theirs).log()


def warm_up_dropped(ours, theirs):
    """You leave the first round out. Warming up is for who measures; what is passed here
    counts."""
    return (ours / theirs)[min(1, len(ours) - 1) :]


def ratio_of_medians(ratios, ours, theirs):
    """You divide two medians. They may come from different rounds, under different load: divide
    within each round first."""
    return ours.quantile(0.5) / theirs.quantile(0.5)


def ratio_of_means(ratios, ours, theirs):
    """You divide two means, or sums: one slow round decides. Divide within each round, and take
    the median of the ratios."""
    return ours.mean() / theirs.mean()


def mean_of_ratios(ratios, ours, theirs):
    """You take the mean of the ratios. One disturbed round moves it; the median stays."""
    return ratios.mean()


def geometric_mean(ratios, ours, theirs):
    """You take the geometric mean of the ratios. One disturbed round moves it; the median
    stays."""
    return ratios.log().mean().exp()


def ratio_of_the_best(ratios, ours, theirs):
    """You divide the shortest times. They come from different rounds, and one lucky round
    decides: median of the ratios."""
    return ours.min() / theirs.min()


def lower_median(ratios, ours, theirs):
    """`torch.median` takes the lower one of the two in the middle. Of an even number of rounds
    the median is the mean of the two: `quantile(0.5)`."""
    return ratios.median()


def upper_median(ratios, ours, theirs):
    """You take the upper one of the two in the middle. Of an even number of rounds the median
    is the mean of the two: `quantile(0.5)`."""
    return ratios.sort().values[len(ratios) // 2]


def not_sorted(ratios, ours, theirs):
    """You take the ratio of the middle round. The median is the middle of the ratios in order
    of size."""
    return ratios[len(ratios) // 2]


def best_ratio(ratios, ours, theirs):
    """You return the best round for the typical one. The median is what half of the rounds
    reach."""
    return ratios.min()


def middle_of_the_ends(ratios, ours, theirs):
    """You take the middle between least and most, which the two oddest rounds decide. The
    median is the middle one of all."""
    return (ratios.min() + ratios.max()) / 2


def most_and_least(ratios, ours, theirs):
    """You return most before least. The order is median, least, most."""
    return ratios.max(), ratios.min()


def ends_of_times(ratios, ours, theirs):
    """Your least and most divide times of different rounds. They are the least and the most of
    the ratios within a round."""
    return ours.min() / theirs.max(), ours.max() / theirs.min()


def ends_divided(ratios, ours, theirs):
    """You divide the shortest times, and the longest. Least and most are those of the ratios
    within a round."""
    return ours.min() / theirs.min(), ours.max() / theirs.max()


def quartiles(ratios, ours, theirs):
    """You return quartiles. Least and most show all of the spread, with no round left out."""
    return ratios.quantile(0.25), ratios.quantile(0.75)


def deviations(ratios, ours, theirs):
    """You return the median less and plus a standard deviation. Asked are the least and the
    most of the ratios."""
    spread = ratios.std(correction=0)
    return ratios.quantile(0.5) - spread, ratios.quantile(0.5) + spread


def ours_alone(ratios, ours, theirs):
    """Your least and most are times of ours. They are those of the ratios."""
    return ours.min(), ours.max()


def ratio_slips():
    made = family(
        ratio_recipe,
        paired=(
            theirs_over_ours,
            ratio_of_medians,
            ratio_of_means,
            mean_of_ratios,
            lower_median,
            most_and_least,
            ends_of_times,
            ends_divided,
        ),
        dividing=(
            theirs_over_ours,
            sorted_first,
            every_pair,
            over_their_median,
            over_their_best,
            percent_saved,
            difference,
            ratio_in_logs,
            warm_up_dropped,
        ),
        summing=(
            ratio_of_medians,
            ratio_of_means,
            mean_of_ratios,
            geometric_mean,
            ratio_of_the_best,
            lower_median,
            upper_median,
            not_sorted,
            best_ratio,
            middle_of_the_ends,
            median_of_sorted,
        ),
        spreading=(
            most_and_least,
            ends_of_times,
            ends_divided,
            quartiles,
            deviations,
            ours_alone,
        ),
    )
    by_torch = {
        "ratio_of_medians": {},
        "ratio_of_medians + ends_divided": {"spreading": ends_divided},
        "ratio_of_medians + ends_of_times": {"spreading": ends_of_times},
    }
    return (
        *(
            replace(one, ways=(ratio_recipe(summing=medians_of_torch, **by_torch[one.name]),))
            if one.name in by_torch
            else one
            for one in made
        ),
        slip(least_first),
    )


def medians_of_torch(ratios, ours, theirs):
    return ours.median() / theirs.median()


def median_of_sorted(ratios, ours, theirs):
    """Your median divides sorted times: then times of different rounds meet. A round's two
    times were taken next to each other: divide first."""
    return (ours.sort().values / theirs.sort().values).quantile(0.5)


def least_first(ours, theirs):
    """You return the least first. The order is median, least, most."""
    typical, least, most = ratio(ours, theirs)
    return least, typical, most


def ratio_by_sorting(ours, theirs):
    if ours.shape != theirs.shape:
        raise ValueError(f"{ours.shape} and {theirs.shape} differ")
    ratios = torch.sort(ours * (1 / theirs)).values
    n = ratios.shape[0]
    return (ratios[(n - 1) // 2] + ratios[n // 2]) / 2, ratios[0], ratios[-1]


def ratio_by_statistics(ours, theirs):
    ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
    return median(ratios), min(ratios), max(ratios)


EXERCISES = (
    Exercise(
        id="fast.online_softmax",
        solution=online_softmax,
        probes={"online_softmax": "b j"},
        trials=softmax_trials,
        slips=softmax_slips(),
        hints=(
            "The scores seen so far were 1 and 3; their sum is e^(1-3) + e^(3-3). Now comes"
            " 5. By which factor must the old sum be multiplied, so that it is e^(1-5) +"
            " e^(3-5)?",
            "Keep the largest score m and the sum l. A tile brings a larger m': l e^(m - m')"
            " + Σ e^(s - m'). At the end e^(s - m) / l. Begin m with the lowest finite number,"
            " and not with -inf.",
            "m = lowest number of the dtype; l = 0\n"
            "for each part of x.split(tile, dim=-1):\n"
            "    new = the larger of m and the part's largest (keepdim=True)\n"
            "    l = l * exp(m - new) + sum of exp(part - new);  m = new\n"
            "exp(x - m) / l",
        ),
        minutes=12,
        difficulty=3,
        otherwise=(online_loops, online_by_logsumexp),
        laws=("rows_sum_to_one", "examples_do_not_mix"),
        skip=frozenset({"gradients"}),  # a tile of -inf alone has none, however it is written
    ),
    Exercise(
        id="fast.merge",
        solution=merge,
        probes={"merge": ("b i e", "b i")},
        trials=merge_trials,
        slips=family(
            merge_recipe,
            unsaid={"leaving": (nan_for_nothing, nan_for_nothing_twice)},
            paired=(halves, shares_exchanged, shares_not_normalised, larger_log, logs_added),
            sharing=(
                nan_where_nothing_was_seen,  # before those that are nan there as well
                halves,
                both_in_full,
                shares_exchanged,
                shares_turned,
                shares_without_exp,
                shares_not_normalised,
                weights_without_a_largest,
                weights_as_sums,
                winner_takes_all,
                shares_of_base_two,
                minus_inf_as_zero,
                one_share_for_both,
                shares_over_queries,
            ),
            adding=(second_not_weighted, mean_of_the_weighted, root_of_shares),
            logging=(
                logs_added,
                larger_log,
                largest_not_added_back,
                sum_without_a_log,
                larger_and_sum,
                log_of_the_mean,
                first_log,
                mean_of_logs,
                log_of_base_two,
                log_overflows,
                log_nan,
            ),
        ),
        hints=(
            "A query read 0.2 from keys whose e^s sum to 3, and 0.8 from keys whose e^s sum"
            " to 1. What had it read from all of them at once?",
            "Each reading is a mean; what it stands for is e^lse. Together L = log(e^L1 +"
            " e^L2), and y = e^(L1 - L) y1 + e^(L2 - L) y2. Where L is -inf, subtract a finite"
            " number instead.",
            "total = torch.logaddexp(lse, other_lse)\n"
            "known = total, with 0 where it is -inf\n"
            "share = exp(lse - known), rest = exp(other_lse - known), with an axis for e\n"
            "share * y + rest * other, total",
        ),
        minutes=10,
        difficulty=3,
        otherwise=(merge_by_softmax, merge_by_sigmoid, merge_by_hand),
        laws=("a_constant_factor", "examples_do_not_mix"),
        skip=frozenset({"gradients"}),  # a logarithm of nothing has none
    ),
    Exercise(
        id="fast.attention_by_tiles",
        solution=attention_by_tiles,
        probes={"attention_by_tiles": ("b i e", "b i")},
        trials=tile_trials,
        slips=(
            *family(
                tiles_recipe,
                paired=(
                    not_scaled,
                    read_not_rescaled,
                    sum_not_rescaled,
                    neither_rescaled,
                    counted_from_the_tile,
                    never_divided,
                    log_is_the_largest,
                    log_without_the_largest,
                    last_keys_left_out,
                ),
                scaling=(
                    not_scaled,
                    scaled_by_d,
                    scaled_by_values,
                    scaled_by_keys,
                    scaled_the_wrong_way,
                ),
                cutting=(
                    last_keys_left_out,
                    zero_keys_counted,
                    keys_overlap,
                    a_key_between_tiles,
                    as_many_tiles,
                    values_of_the_first_tile,
                    first_keys_alone,
                    last_keys_alone,
                ),
                hiding=(
                    counted_from_the_tile,
                    causal_ignored,
                    itself_hidden,
                    one_key_ahead,
                    past_hidden,
                    aligned_at_the_end,
                    hidden_with_zero,
                    cut_tiles_skipped,
                    start_on_the_wrong_side,
                    tiles_shown_whole,
                    one_tile_skipped_too_many,
                ),
                finding=(
                    largest_of_the_tile,
                    largest_of_all,
                    nothing_subtracted,
                    begins_at_zero_here,
                ),
                fading=(
                    neither_rescaled,
                    read_not_rescaled,
                    sum_not_rescaled,
                    both_rescaled_the_wrong_way,
                    read_rescaled_the_wrong_way,
                    both_rescaled_to_base_two,
                ),
                summing=(all_of_it_rescaled, sum_of_the_last_tile, sum_of_means),
                reading=(
                    read_divided_in_every_tile,
                    softmax_in_every_tile,
                    part_divided_by_the_sum_so_far,
                    read_of_the_last_tile,
                    read_rescaled_too_late,
                ),
                keeping=(largest_kept_from_before,),
                ending=(never_divided, divided_by_keys_seen),
                logging=(
                    log_is_the_largest,
                    log_without_the_largest,
                    log_minus_the_largest,
                    sum_for_its_log,
                    sum_alone,
                    log_to_base_two,
                    log_of_the_unscaled,
                    largest_minus_log,
                    log_taken_back,
                    log_scaled_back,
                    log_of_all_without_exp,
                    log_of_largest_too,
                ),
            ),
            log_of_raw_scores,
            log_without_the_mask,
            mean_of_tiles,
            sum_of_tiles,
            the_whole_map,
        ),
        hints=(
            "In `online_softmax` the sum was rescaled when a larger score came. What else is"
            " made with the old largest score here?",
            "Keep largest, total and read for each query. A tile: s = q kᵀ / sqrt(d), causal"
            " where i >= start + j; new = max; shares e^(s - new); total and read times"
            " e^(largest - new), plus Σ shares and shares v. At the end read / total, and"
            " largest + log total.",
            "largest = -inf, total = 0 (both i 1), read = 0 (i e)\n"
            "for start in range(0, number of keys, tile):\n"
            "    scores of q with k[start : start + tile]; causal: -inf where i < start + j\n"
            "    new, fade = exp(largest - new), shares = exp(scores - new)\n"
            "    total = total fade + sum of shares\n"
            "    read = read fade + shares @ v of the tile\n"
            "    largest = new\n"
            "read / total, largest + log(total) without its last axis",
        ),
        minutes=25,
        difficulty=4,
        otherwise=(tiles_by_merging, tiles_by_lists, tiles_skipping_the_future),
        laws=("a_constant_factor", "examples_do_not_mix"),
        cost=Cost(largest_tensor=1.3),
    ),
    Exercise(
        id="fast.attention_gradients",
        solution=attention_gradients,
        probes={"attention_gradients": ("b i d", "b j d", "b j e")},
        trials=gradient_trials,
        slips=(
            *family(
                gradients_recipe,
                paired=(
                    delta_missing,
                    neither_scaled,
                    query_not_scaled,
                    key_not_scaled,
                    both_scaled_twice,
                    scores_not_scaled,
                    log_ignored,
                    dv_from_ds,
                ),
                scaling=(scores_not_scaled, scores_over_d, scores_over_values),
                sharing=(
                    log_ignored,
                    log_added,
                    divided_by_the_log,
                    softmax_of_queries,
                    scores_for_shares,
                ),
                taking=(
                    delta_missing,
                    delta_without_y,
                    delta_is_a_mean,
                    delta_of_all_keys_alike,
                    delta_unweighted,
                    delta_over_queries,
                    delta_of_the_whole,
                    delta_of_y_alone,
                    delta_twice,
                    delta_of_squares,
                ),
                sloping=(
                    delta_added,
                    delta_outside,
                    shares_not_multiplied,
                    as_if_of_one,
                    sign_turned,
                ),
                reading=(dv_from_ds, dv_over_queries, dv_from_y),
                ending=(
                    neither_scaled,
                    query_not_scaled,
                    key_not_scaled,
                    both_scaled_twice,
                    key_scaled_twice,
                    multiplied_by_root_d,
                ),
            ),
            dv_with_scale,
            by_other_rows,
            by_own_rows,
            in_another_order,
            keys_first,
        ),
        hints=(
            "y = A v. If you nudge one entry of v, which entries of y move, and by how much?"
            " That is dv. And if you nudge one score of a query, why do all of its shares"
            " move?",
            "A = e^(s - lse). dv = Aᵀ dy. dA = dy vᵀ; through the softmax ds = A (dA - δ), δ"
            " = Σ_e dy y. The scores are q kᵀ / sqrt(d), so dq = ds k / sqrt(d), dk = dsᵀ q /"
            " sqrt(d).",
            "shares = exp(scale q kᵀ - lse), with an axis for j\n"
            "dv = sharesᵀ dy;  slope = dy vᵀ;  delta = sum of dy * y over e, kept as i 1\n"
            "ds = shares (slope - delta)\n"
            "dq = scale ds k;  dk = scale dsᵀ q",
        ),
        minutes=20,
        difficulty=4,
        otherwise=(gradients_by_autograd, gradients_by_einsum, gradients_by_rows),
        laws=("a_constant_factor", "examples_do_not_mix"),
        skip=frozenset({"gradients", "large"}),
    ),
    Exercise(
        id="fast.traffic",
        solution=traffic,
        probes={"traffic": ""},
        trials=traffic_trials,
        slips=family(
            traffic_recipe,
            paired=(
                map_moved_once,
                map_moved_twice,
                output_forgotten,
                tiles_rounded_down,
                keys_read_once,
                values_forgotten,
                queries_read_again,
            ),
            whole=(
                map_moved_once,
                map_moved_twice,
                map_moved_three_times,
                output_forgotten,
                map_alone,
                map_not_counted,
                map_of_features,
                operations_for_numbers,
                bytes_of_the_map,
                features_squared,
            ),
            tiled=(
                fractions_of_tiles,
                tiles_rounded_down,
                one_tile_too_many,
                keys_read_once,
                keys_read_by_each_query,
                queries_read_again,
                values_forgotten,
                last_tile_counted_full,
                log_sum_exp_counted,
                tiles_rounded,
                tile_output_forgotten,
                neither_q_nor_y,
                rows_are_tiles,
                tile_of_keys_alone,
                tiles_write_the_map,
                tiles_as_without,
            ),
        ),
        hints=(
            "Scores are written by one kernel and read by the next. How often is a number of"
            " the map moved until y is there? And q, k, v, y?",
            "Without `rows`: 4 n d, and the map four times. With `rows`: q and y once; for"
            " each of the ⌈n / rows⌉ tiles of queries all of k and v.",
            "rows is None: 4 n d + 4 n n\nelse: 2 n d + 2 n d ceil(n / rows)",
        ),
        minutes=6,
        difficulty=2,
        otherwise=(traffic_added_up, traffic_by_divmod),
        skip=frozenset({"gradients", "large", "strided", "float32", "device"}),
    ),
    Exercise(
        id="fast.floor_seconds",
        solution=floor_seconds,
        probes={"floor_seconds": ""},
        trials=floor_trials,
        slips=(
            added_up,
            the_shorter,
            one_operation_each,
            half_an_operation,
            computing_alone,
            moving_alone,
            rates_exchanged,
            upside_down,
            bits_for_bytes,
            four_bytes_each,
            mean_of_both,
            bytes_doubled,
            rate_for_seconds,
            inverted_floor,
            both_doubled_bytes,
            milliseconds,
        ),
        hints=(
            "Moving takes 3 s, computing 2 s, and both go on at the same time. When can it be"
            " ready at the earliest?",
            "Computing: 2 operations for each multiply-add, over operations a second. Moving:"
            " bytes over bytes a second. The longer of the two.",
            "max(2 multiply_adds / rate, bytes / bandwidth)",
        ),
        minutes=4,
        difficulty=1,
        otherwise=(floor_by_comparison, floor_by_intensity),
        skip=frozenset({"gradients", "large", "strided", "float32", "device"}),
    ),
    Exercise(
        id="fast.halo_attention",
        solution=halo_attention,
        probes={"halo_attention": "b head e h w"},
        trials=halo_trials,
        slips=(
            *family(
                halo_recipe,
                paired=(
                    scaled,
                    whole_halo_seen,
                    zero_keys_seen,
                    halo_begins_a_row_late,
                    halo_begins_early,
                    halo_begins_late,
                    window_one_too_wide,
                    bottom_right,
                ),
                scaling=(scaled,),
                haloing=(
                    halo_begins_a_row_late,
                    halo_begins_a_row_early,
                    halo_begins_a_column_late,
                    halo_begins_a_column_early,
                    halo_begins_late,
                    halo_begins_early,
                    halo_begins_with_its_block,
                    halo_ends_with_its_block,
                    halo_turned,
                    edge_wraps_round,
                ),
                nearing=(
                    whole_halo_seen,
                    window_cut_in_rows_alone,
                    window_cut_in_columns_alone,
                    rows_or_columns_near,
                    window_one_too_wide,
                    window_one_too_narrow,
                    reach_left_out,
                    window_behind_the_query,
                    whole_window_each_side,
                    first_window_for_all,
                    diamond,
                ),
                bounding=(zero_keys_seen, padding_seen_at_the_end, zero_score_is_outside),
                sharing=(
                    shares_hidden_late,
                    hidden_scores_are_zero,
                    mask_turned,
                    softmax_over_the_block,
                    nan_beyond_the_edge,
                    no_softmax,
                ),
                ending=(
                    bottom_right,
                    padding_left_on,
                    pixels_of_a_block_turned,
                    blocks_read_in_lines,
                ),
            ),
            a_window_as_reach,
            reach_one_too_far,
            own_block_only,
            rest_of_the_map_dropped,
            every_window_laid_out,
            the_map_of_all_pixels,
        ),
        hints=(
            "A block of 4 x 4 queries, a window of 3: which rows of keys does the topmost"
            " query need, which the lowest? How many keys is that for the whole block?",
            "Halos: pad by window // 2 (and up to whole blocks), unfold size block + window -"
            " 1, step block. Query y of a block and row v of its halo are near where 0 <= v -"
            " y < window; the same for columns; and the key lies in the map.",
            "queries: q padded to whole blocks, … (high y) (wide x) to … high wide (y x)\n"
            "halos of k, of v and of a map of ones: F.pad, unfold, unfold, … high wide (y x)\n"
            "scores, a very low number where not (near & inside), softmax over j, times v\n"
            "… high wide (y x) back to (high y) (wide x), the first h and w",
        ),
        minutes=30,
        difficulty=5,
        otherwise=(halo_block_by_block, halo_by_torch),
        refuses=even_windows,
        laws=("a_constant_factor", "examples_do_not_mix"),
        cost=Cost(largest_tensor=1.6, multiply_adds=1.5),
    ),
    Exercise(
        id="fast.augmented_attention",
        solution=augmented_attention,
        probes={"augmented_attention": "b head h w e"},
        trials=augmented_trials,
        slips=(
            *family(
                augmented_recipe,
                paired=(
                    nothing_scaled,
                    places_not_scaled,
                    offsets_turned,
                    turned_ones,
                    default_scale,
                    last_features,
                    rows_alone,
                ),
                scaling=(nothing_scaled, scaled_by_d_here),
                scaling_places=(places_scaled_twice, places_not_scaled),
                indexing=(
                    offsets_turned,
                    offsets_from_zero,
                    offsets_one_off,
                    distances,
                    places_of_keys,
                ),
                saying=(
                    rows_alone,
                    columns_alone,
                    no_places,
                    places_doubled,
                    places_of_the_first,
                ),
                placing=(
                    turned_ones,
                    columns_before_rows,
                    ones_from_the_end,
                ),
                filling=(zeros_in_front, filled_with_ones),
                attending=(default_scale,),
                cutting=(last_features, all_features),
            ),
            in_ways(scale_left_to_the_call, scaled_by_the_longer),
            values_not_filled,
            not_contiguous,
            bias_for_places,
            all_scores_made,
        ),
        hints=(
            "A key in row 2 gets q · R_(2-h) from a query in row h. The query knows it for"
            " every row. With which features must the key be longer, so that a product picks"
            " row 2?",
            "q' = [q, down, across], k' = [k, 1 for its row, 1 for its column]: q' · k' is"
            " all of the score. Scale q by sqrt(d) first and say scale=1.0. v gets zeros to"
            " the same width; everything contiguous.",
            "q = q / sqrt(d)\n"
            'down: q, rows[y - y_query + h - 1], "... h w d, h y d -> ... h w y"; across too\n'
            "row: eye(h) repeated over w; column: eye(w) repeated over h\n"
            "cat, (h w) as one axis, pad all three to one width, contiguous\n"
            "F.scaled_dot_product_attention(q, k, v, scale=1.0)[..., :e], back to h w",
        ),
        minutes=20,
        difficulty=4,
        otherwise=(augmented_by, augmented_by_sums),
        laws=("a_constant_factor", "examples_do_not_mix"),
        cost=Cost(largest_tensor=1.5, multiply_adds=1.5),
    ),
    Exercise(
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
    ),
    Exercise(
        id="fast.local_mod",
        solution=local_mod,
        probes={"local_mod": "i j"},
        trials=local_mod_trials,
        slips=(
            *family(
                local_recipe,
                paired=(
                    whole_window,
                    near_in_one,
                    a_line_of_tokens,
                    signs_ignored,
                    remainder_of_the_difference,
                    rows_of_the_difference,
                    causal_too,
                ),
                rowing=(rows_of_the_difference,),
                columning=(
                    a_line_of_tokens,
                    columns_of_the_key,
                    remainder_of_the_difference,
                ),
                reaching=(whole_window, window_less_one, half_less_one),
                comparing=(
                    near_in_one,
                    signs_ignored,
                    distances_added,
                    a_disc,
                    far_ones,
                    causal_too,
                    not_the_query,
                ),
            ),
            half_window_up,
            blocks_for_rows,
            fractions_of_rows,
            near_in_columns_alone,
            near_in_rows_alone,
            own_block_of_pixels,
            local_numbers,
        ),
        hints=(
            "On a map of 5 columns, where is token 13? And which tokens are its neighbours to"
            " the left, to the right, above and below?",
            "Row i // width, column i % width. A key is in the window where rows and columns"
            " each differ by at most window // 2.",
            "down = j // width - i // width;  across = j % width - i % width\n"
            "(abs(down) <= window // 2) & (abs(across) <= window // 2)",
        ),
        minutes=6,
        difficulty=2,
        otherwise=(local_mod_by_torch, local_mod_by_corners),
        skip=frozenset({"gradients", "large", "strided", "float32"}),
    ),
    Exercise(
        id="fast.sparse_mod",
        solution=sparse_mod,
        probes={"sparse_mod": "i j"},
        trials=sparse_mod_trials,
        slips=(
            *(
                replace(slip(one), answer=sparse_recipe(one))
                for one in (
                    future_seen,
                    future_seen_in_strides,
                    both_at_once,
                    near_alone,
                    strided_alone,
                    near_one_too_many,
                    near_too_few,
                    columns_from_zero,
                    fixed_summary,
                    own_block_and_strides,
                    fixed_pattern,
                    step_too_long,
                    added_for_subtracted,
                    queries_at_multiples,
                    half_a_stride,
                    one_step_off_it,
                    itself_left_out,
                    i_and_j_exchanged,
                    to_both_sides,
                    all_before,
                    the_opposite,
                    one_multiple_alone,
                )
            ),
            sparse_numbers,
        ),
        hints=(
            "stride 4: which keys does query 9 see nearby, which further back, and which not"
            " at all?",
            "Not later: i >= j. And one of the two: i - j < stride, or i - j a multiple of"
            " the stride. `&` and `|` with brackets, for they bind before comparisons.",
            "ago = i - j\n(ago >= 0) & ((ago < stride) | (ago % stride == 0))",
        ),
        minutes=4,
        difficulty=2,
        otherwise=(sparse_mod_by_torch, sparse_mod_by_where),
        skip=frozenset({"gradients", "large", "strided", "float32"}),
    ),
    Exercise(
        id="fast.relative_mod",
        solution=relative_mod,
        probes={"relative_mod": "b head i j"},
        trials=relative_trials,
        slips=family(
            relative_recipe,
            paired=(
                for_the_queries_row,
                for_the_queries_column,
                said_by_the_key,
                column_said_by_the_key,
                said_by_the_key_of_the_query,
                column_said_by_the_key_of_the_query,
                row_of_the_offset,
                column_of_the_offset,
                first_head_for_all_rows,
                first_head_for_all_columns,
                first_example_for_all_rows,
                first_example_for_all_columns,
                score_lost,
            ),
            rowing=(
                for_the_queries_row,
                said_by_the_key,
                said_by_the_key_of_the_query,
                row_by_remainder,
                row_by_height,
                row_of_the_offset,
                first_head_for_all_rows,
                first_example_for_all_rows,
                row_not_added,
            ),
            columning=(
                for_the_queries_column,
                column_said_by_the_key,
                column_said_by_the_key_of_the_query,
                column_by_quotient,
                column_of_the_offset,
                first_head_for_all_columns,
                first_example_for_all_columns,
                column_not_added,
            ),
            adding=(
                score_lost,
                places_subtracted,
                places_multiplied,
                rows_times_columns,
                score_unchanged,
                places_scaled,
                score_counted_twice,
            ),
        ),
        hints=(
            "`down` has a number for each query and each row of the map. Which row belongs to"
            " the pair i, j?",
            "The key's: j // width, and its column j % width. Both are looked up in what"
            " query i says in this example and head, and added to the score.",
            "score + down[batch, head, i, row of j] + across[batch, head, i, column of j]",
        ),
        minutes=6,
        difficulty=2,
        otherwise=(relative_by_flat, relative_by_divmod),
    ),
    Exercise(
        id="fast.ratio",
        solution=ratio,
        probes={"ratio": ("", "", "")},
        trials=ratio_trials,
        slips=ratio_slips(),
        hints=(
            "Ours and theirs are timed one after the other, again and again, while the"
            " machine has other work as well. Which two times saw the same machine?",
            "Those of one round: ours / theirs, round by round. Of these ratios the median,"
            " the least and the most. Of an even number the median is the mean of the two in"
            " the middle.",
            "ValueError if there are not as many of ours as of theirs\n"
            "ratios = ours / theirs\nquantile(0.5), min(), max() of them",
        ),
        minutes=5,
        difficulty=1,
        otherwise=(ratio_by_sorting, ratio_by_statistics),
        refuses=unequal_rounds,
    ),
)
