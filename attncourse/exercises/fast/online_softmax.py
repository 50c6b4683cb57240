"""Softmax along an axis, tile by tile: one pass finds the largest entry and the sum."""

import torch

from attncourse.exercises.edits import often, unsaid, wrong
from attncourse.exercises.fast.shared import HIDDEN
from attncourse.exercises.record import Exercise, Given, Trial
from solutions.fast.tiles import online_softmax


def softmax_trials():
    rising = torch.linspace(-3, 4, 7, dtype=torch.float64)
    some = torch.tensor([0.0, 1, 2, -1, 0.5], dtype=torch.float64)
    deep = torch.stack([some - 2e7, some.flip(0) - 2001])
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


def huge():
    x = torch.tensor([[1e30, 1e30, 0, 1e30, -1e30]], dtype=torch.float64)
    name = "where scores are as high as 1e30, at which the logarithm of a sum is lost"
    return Trial(name, dict(b=1, j=5), {"x": Given("b j", x), "tile": 2})


# fmt: off
TILES = (
    *often(
        wrong("last_tile_left_out", "for part in x.split(tile, dim=-1):",
              "for start in range(0, x.shape[-1] - tile + 1, tile):\n"
              "    part = x[..., start : start + tile]",
              "You stop before the last tile where it is not full. It holds what is left: its"
              " entries count as well."),
    ),
    wrong("last_tile_filled_up", "in x.split(tile, dim=-1)",
          "in F.pad(x, (0, -x.shape[-1] % tile)).split(tile, dim=-1)",
          "You fill the last tile up with zeros and count them: each adds exp(0 - largest) to the"
          " sum. Cut the tile short, or fill up with -inf."),
    wrong("one_entry_between_tiles", "for part in x.split(tile, dim=-1):",
          "for start in range(0, x.shape[-1], tile + 1):\n"
          "    part = x[..., start : start + tile]",
          "You leave one entry out between two tiles. The next tile starts where this one ended,"
          " at start + tile."),
    wrong("tiles_overlap", "for part in x.split(tile, dim=-1):",
          "for start in range(0, x.shape[-1], tile):\n"
          "    part = x[..., start : start + tile + 1]",
          "Your tiles overlap by an entry, which is counted twice. The next one starts at start +"
          " tile."),
    wrong("first_tile_alone", "in x.split(tile, dim=-1)", "in x.split(tile, dim=-1)[:1]",
          "You look at the first tile alone. A loop over all of them finds largest entry and sum."),
)

BEGINNINGS = (
    wrong("begins_at_zero", "torch.full_like(x[..., :1], lowest)", "torch.zeros_like(x[..., :1])",
          "Your largest entry begins at 0. Where all scores are far below, 0 stays the largest"
          " and every exp is 0. Begin with the lowest number there is."),
    wrong("begins_at_minus_inf", "torch.finfo(x.dtype).min", "-math.inf",
          "Your largest entry begins at -inf, and where a whole tile is -inf too, -inf - -inf is"
          " nan. Begin with the lowest finite number, `torch.finfo(x.dtype).min`."),
    wrong("begins_with_the_first_entry", "torch.full_like(x[..., :1], lowest)", "x[..., :1]",
          "You begin with the first entry as largest and with a sum of 1, and the loop counts that"
          " entry again. Begin with the lowest number and a sum of 0.",
          ("torch.zeros_like(largest)", "torch.ones_like(largest)")),
    unsaid("torch.finfo(x.dtype).min", "-math.inf"),
    unsaid("torch.full_like(x[..., :1], lowest)", 'reduce(x[..., :tile], "... j -> ... 1", "max")',
           ("torch.zeros_like(largest)",
            'reduce((x[..., :tile] - largest).exp(), "... j -> ... 1", "sum")'),
           ("in x.split(tile, dim=-1)", "in x.split(tile, dim=-1)[1:]")),
)

LARGEST = (
    wrong("tiles_own_largest", 'torch.maximum(largest, reduce(part, "... j -> ... 1", "max"))',
          'reduce(part, "... j -> ... 1", "max")',
          "You subtract the largest of the tile alone. Then the sum so far is multiplied by"
          " exp(old - new) > 1 where a tile is lower, and overflows. Take the larger of both,"
          " `torch.maximum`."),
    wrong("largest_of_all_rows", 'reduce(part, "... j -> ... 1", "max")', "part.max()",
          "You take one largest entry for all rows. In a row that lies far below it every exp is"
          " 0, and 0 / 0 is nan. Each row has its own: `amax(-1, keepdim=True)`."),
    wrong("no_largest", 'torch.maximum(largest, reduce(part, "... j -> ... 1", "max"))',
          "torch.zeros_like(largest)",
          "You subtract nothing, so that exp of a large score is inf. Subtract the largest entry"
          " seen so far."),
    wrong("largest_not_updated", '"sum")\nlargest = new', '"sum")',
          "The largest entry is found and not kept: `largest = new` is missing at the end of the"
          " loop. The next tile rescales from where the first began, and at the end nothing fits."),
)

FADES = (
    *often(
        wrong("not_rescaled", "total * rescale", "total",
              "Your sum is not rescaled when a larger entry is found. It was made with the old"
              " largest: multiply it by exp(old - new) before you add."),
    ),
    wrong("rescaled_the_wrong_way", "(largest - new)", "(new - largest)",
          "You rescale by exp(new - old), which is inf where nothing was seen yet, and 0 inf is"
          " nan. What was summed as exp(s - old) becomes exp(s - new) by exp(old - new), which is at"
          " most 1."),
    wrong("rescaled_by_the_new", "(largest - new)", "(-new)",
          "You rescale the sum by exp(-new), which forgets that exp(-old) is in it already. It"
          " takes exp(old - new)."),
    wrong("rescaled_without_exp", "(largest - new).exp()", "largest - new",
          "You multiply the sum by old - new. It is the exponential of that: exp(old - new)."),
    wrong("rescaled_to_base_two", "(largest - new).exp()", "(largest - new).exp2()",
          "You rescale with 2^ and sum with e^. Both must have the same base."),
    wrong("fade_twice", "total * rescale", "total * rescale * rescale",
          "You rescale the sum twice. Once by exp(old - new) is enough."),
)

SUMS = (
    wrong("part_with_the_old", "(part - new)", "(part - largest)",
          "You add exp(s - old) for a tile. Its entries are taken with the new largest, exp(s -"
          " new), and the sum so far is brought to that."),
    wrong("rescaled_with_the_new_part",
          'total * rescale + reduce((part - new).exp(), "... j -> ... 1", "sum")',
          '(total + reduce((part - new).exp(), "... j -> ... 1", "sum")) * rescale',
          "You rescale what you have just added too: it was made with the new largest already."
          " First rescale the old sum, then add."),
    wrong("part_rescaled_instead", "total * rescale + reduce(", "total + rescale * reduce(",
          "You rescale what the tile adds, and not the sum so far. The tile is summed with the"
          " new largest, the sum with the old one: it is the sum that needs exp(old - new)."),
    wrong("only_the_last_tile", "total * rescale + reduce(", "reduce(",
          "Your sum is that of the last tile: each one overwrites it. Add to what was there,"
          " after rescaling it."),
    wrong("mean_of_the_tile", '"sum"', '"mean"',
          "You add the mean of a tile's exponentials. It is their sum."),
    wrong("scores_summed", "reduce((part - new).exp(),", "reduce(part,",
          "You add the scores. It is exp(s - largest) that is summed."),
    wrong("all_to_base_2", "(largest - new).exp()", "(largest - new).exp2()",
          "You take powers of 2. Softmax has powers of e: `exp`, or multiply x by log2(e) first.",
          ("(part - new).exp()", "(part - new).exp2()"),
          ("(x - largest).exp()", "(x - largest).exp2()")),
)

ENDS = (
    *often(
        wrong("not_divided", " / total", "",
              "You do not divide by the sum. Shares are exp(s - largest) / sum."),
        wrong("ends_without_the_largest", "(x - largest).exp()", "x.exp()",
              "At the end you take exp(s), and the sum holds exp(s - largest). Subtract the largest"
              " there too."),
    ),
    wrong("ends_with_logs", "(x - largest).exp() / total", "x - largest - total.log()",
          "You return the logarithm of the shares. Softmax is the exponential of that."),
    wrong("shares_left_as_they_were", "largest = new",
          "largest = new\nparts.append((part - largest).exp())",
          "Your shares were made in the loop, with the largest entry as it stood then. What came"
          " first must be rescaled too: make the shares after the loop.",
          ("total = torch.zeros_like(largest)", "total, parts = torch.zeros_like(largest), []"),
          ("(x - largest).exp()", "torch.cat(parts, dim=-1)")),
    wrong("ends_with_the_tiles_largest", "largest = new",
          "largest = new\n"
          'parts.append((part - reduce(part, "... j -> ... 1", "max")).exp())',
          "Your shares subtract the largest entry of their own tile. The sum was made with the"
          " largest of all: subtract that one.",
          ("total = torch.zeros_like(largest)", "total, parts = torch.zeros_like(largest), []"),
          ("(x - largest).exp()", "torch.cat(parts, dim=-1)")),
    wrong("divided_as_it_went", "largest = new",
          "largest = new\nparts.append((part - largest).exp() / total)",
          "You make the shares of a tile while you go, with largest and sum as they stand then."
          " They are not final before the last tile: make the shares after the loop.",
          ("total = torch.zeros_like(largest)", "total, parts = torch.zeros_like(largest), []"),
          ("(x - largest).exp() / total", "torch.cat(parts, dim=-1)")),
    wrong("last_tile_as_largest", "(x - largest)", '(x - reduce(part, "... j -> ... 1", "max"))',
          "At the end you subtract the largest entry of the last tile. The sum was made with the"
          " largest of all tiles."),
)
# fmt: on


def softmax_of_each_tile(x, tile):
    """You take the softmax of each tile: every tile sums to 1. Only at the end are largest and
    sum known, and then all of x is turned into shares."""
    return torch.cat([part.softmax(-1) for part in x.split(tile, dim=-1)], dim=-1)


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


EXERCISE = Exercise(
    id="fast.online_softmax",
    solution=online_softmax,
    probes={"online_softmax": "b j"},
    trials=softmax_trials,
    remark=huge,
    slips=(
        *TILES,
        *BEGINNINGS,
        *LARGEST,
        *FADES,
        *SUMS,
        *ENDS,
        softmax_of_each_tile,
    ),
    hints=(
        "The scores seen so far were 1 and 3; their sum is exp(1-3) + exp(3-3). Now comes"
        " 5. By which factor must the old sum be multiplied, so that it is exp(1-5) +"
        " exp(3-5)?",
        "Keep the largest score m and the sum l. A tile brings a larger m': l exp(m - m')"
        " + Σ exp(s - m'). At the end exp(s - m) / l. Begin m with the lowest finite number,"
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
