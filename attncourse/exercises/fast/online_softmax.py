"""The record of `fast.online_softmax`."""

import torch
from torch.nn import functional as F

from attncourse.exercises.families import family, remade
from attncourse.exercises.record import Exercise, Given, Trial, slip
from solutions.fast.tiles import (
    online_softmax,
)

try:
    import triton.language as tl
except ImportError:  # Triton is there for Linux
    tl = None
from attncourse.exercises.fast.shared import HIDDEN, the_new


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
        remade(one, ways=(*(make() for make in one.answers[1:]), more[one.name]))
        if one.name in more
        else one
        for one in made
    ]
    more = softmax_over_rows, begins_with_the_first_entry, all_to_base_2
    return (*made, *map(slip, more))


EXERCISE = Exercise(
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
)
