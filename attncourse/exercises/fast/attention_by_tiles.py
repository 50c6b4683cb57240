"""Attention by tiles of keys: largest score, sum and output are kept, and rescaled."""

import math

import torch

from attncourse.exercises.edits import often, wrong
from attncourse.exercises.fast.shared import HIDDEN
from attncourse.exercises.record import Cost, Exercise, Given, Trial
from solutions.fast.tiles import attention_by_tiles


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
            dict(b=2, head=3, i=4, j=5, d=7, e=9),
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


# fmt: off
SCALES = (
    *often(
        wrong("not_scaled", "q = q / math.sqrt(q.shape[-1])\ni = ", "i = ",
              "You do not scale: the scores are q · k / sqrt(d)."),
    ),
    wrong("divided_in_every_tile", "read = read * rescale + shares @ v[..., some, :]",
          "read = (read * rescale + shares @ v[..., some, :]) / total",
          "You divide by the sum in every tile, so that early tiles are divided again and again. Divide"
          " once, after the last tile.",
          ("return read / total", "return read")),
    wrong("as_many_keys_as_queries", "range(0, k.shape[-2], tile)",
          "range(0, min(q.shape[-2], k.shape[-2]), tile)",
          "You go through as many keys as there are queries. All keys are read: `k.shape[-2]`."),
    wrong("scaled_by_d", "math.sqrt(q.shape[-1])", "q.shape[-1]",
          "You divide by d. It is sqrt(d): once for q · k, not for each of them."),
    wrong("scaled_by_values", "math.sqrt(q.shape[-1])", "math.sqrt(v.shape[-1])",
          "You divide by sqrt(e), the width of the values. d is that of q and k."),
    wrong("scaled_by_keys", "math.sqrt(q.shape[-1])", "math.sqrt(k.shape[-2])",
          "You divide by the root of how many keys there are. d is the number of features of q"
          " and k: `q.shape[-1]`."),
    wrong("scaled_the_wrong_way", "q / math.sqrt", "q * math.sqrt",
          "You multiply by sqrt(d). Scores are divided by it."),
)

TILES = (
    *often(
        wrong("last_keys_left_out", "range(0, k.shape[-2], tile)",
              "range(0, k.shape[-2] - tile + 1, tile)",
              "You leave the last tile out where it is not full. It holds the keys that are left:"
              " they count as well."),
    ),
    wrong("zero_keys_counted", "for start in range",
          "rest = (0, 0, 0, -k.shape[-2] % tile)\n"
          "k, v = F.pad(k, rest), F.pad(v, rest)\n"
          "for start in range",
          "The last tile is not masked: you fill k and v up with zeros, and a key of zeros has"
          " the score 0 and a share. Cut the tile short, or set those scores to -inf."),
    wrong("keys_overlap", "slice(start, start + tile)", "slice(start, start + tile + 1)",
          "Your tiles overlap by a key, which counts twice. The next one starts at start + tile."),
    wrong("a_key_between_tiles", "range(0, k.shape[-2], tile)", "range(0, k.shape[-2], tile + 1)",
          "You leave out a key between two tiles. The next tile starts where this one ended, at"
          " start + tile."),
    wrong("as_many_tiles", "for start in range",
          "tile = math.ceil(k.shape[-2] / tile)\nfor start in range",
          "You cut the keys into `tile` tiles. `tile` says how many keys one has."),
    wrong("values_of_the_first_tile", "v[..., some, :]", "v[..., : scores.shape[-1], :]",
          "You read the values of the first tile every time. Keys and values of a tile are at the"
          " same places, start to start + tile."),
    wrong("first_keys_alone", "range(0, k.shape[-2], tile)", "range(0, k.shape[-2], tile)[:1]",
          "You look at the first tile of keys alone: the loop ends too early, or a `return`"
          " stands in it."),
    wrong("last_keys_alone", "range(0, k.shape[-2], tile)", "range(0, k.shape[-2], tile)[-1:]",
          "Your result is that of the last tile. What was read so far is kept and rescaled: begin"
          " before the loop, not in it."),
)

MASKS = (
    *often(
        wrong("counted_from_the_tile", "j = start + torch.arange", "j = torch.arange",
              "Your causal mask counts the keys from the start of their tile. The place of a key"
              " is start + its place in the tile; compare that with i."),
    ),
    wrong("causal_ignored", "torch.arange(scores.shape[-1], device=q.device)\n"
          'scores = scores.masked_fill(rearrange(i, "i -> i 1") < j, -math.inf)',
          "torch.arange(scores.shape[-1], device=q.device)",
          "You do not use `causal`: query i sees keys up to j = i then."),
    wrong("itself_hidden", "< j,", "<= j,",
          "You hide the query's own key. Keys up to j = i count: hide j > i alone."),
    wrong("one_key_ahead", "< j,", "< j - 1,",
          "You show one key of the future, j = i + 1. Keys up to j = i count."),
    wrong("past_hidden", "< j,", "> j,",
          "Your causal mask is turned: you hide the keys before the query and show the later"
          " ones. Hide j > i."),
    wrong("aligned_at_the_end", "j = start + torch.arange",
          "j = start + q.shape[-2] - k.shape[-2] + torch.arange",
          "Your causal mask lets the last query see all keys. Here both count from the first: key"
          " j is hidden where j > i, also where keys and queries are not equally many."),
    wrong("hidden_with_zero", "< j, -math.inf", "< j, 0",
          "You set hidden scores to 0, which still has a share. It takes -inf, whose exponential"
          " is 0."),
    wrong("cut_tiles_skipped", 'rearrange(i, "i -> i 1") < j, -math.inf)',
          '(rearrange(i, "i -> i 1") < j).any(-1, keepdim=True), -1e300)',
          "You skip a tile as soon as one of its keys is in the future of a query: the tiles that"
          " the diagonal crosses are missing. They are masked key by key."),
    wrong("start_on_the_wrong_side", "j = start + torch.arange", "j = -start + torch.arange",
          "The start of the tile has the wrong sign in your causal mask: key start + j is hidden"
          " where start + j > i, so that later tiles show less."),
    wrong("tiles_shown_whole", "< j,", "< start,",
          "You show a whole tile as soon as its first key may be seen. Inside the tile key start"
          " + j is hidden too where it is later than i."),
    wrong("one_tile_skipped_too_many", "if causal:",
          "if causal and start and q.shape[-2] <= start + scores.shape[-1]:\n"
          "    continue\n"
          "if causal:",
          "You skip one tile too many: the last one that a query may see. Skip a tile only where"
          " start > i for all of its queries."),
)

LARGEST = (
    wrong("largest_of_the_tile",
          'torch.maximum(largest, reduce(scores, "... i j -> ... i 1", "max"))',
          'reduce(scores, "... i j -> ... i 1", "max")',
          "You subtract the largest score of the tile alone: where a tile is lower than what came"
          " before, exp(old - new) overflows. Take the larger of both."),
    wrong("largest_of_all", 'reduce(scores, "... i j -> ... i 1", "max")', "scores.max()",
          "You take one largest score for all queries of a batch. A query that lies far below it"
          " gets 0 / 0 = nan. Each query has its own: `amax(-1, keepdim=True)`."),
    wrong("nothing_subtracted",
          'torch.maximum(largest, reduce(scores, "... i j -> ... i 1", "max"))',
          "torch.zeros_like(largest)",
          "You take exp of the scores as they are: inf for large ones. Subtract the largest score"
          " so far."),
    wrong("begins_at_zero_here", "torch.full_like(q[..., :1], -math.inf)",
          "torch.zeros_like(q[..., :1])",
          "Your largest score begins at 0. Where all scores are far below, 0 stays the largest"
          " and every exp is 0. Begin with -inf."),
    wrong("largest_kept_from_before", "some, :]\nlargest = new", "some, :]",
          "The largest score is not updated: `largest = new` is missing at the end of the loop,"
          " so that every tile believes it is the first."),
)

FADES = (
    *often(
        wrong("neither_rescaled", "total * rescale", "total",
              "Neither the sum nor what was read is rescaled when a larger score is found. Both"
              " were made with the old largest: multiply them by exp(old - new).",
              ("read * rescale", "read")),
        wrong("read_not_rescaled", "read * rescale", "read",
              "The accumulator is not rescaled: what was read so far was weighted with exp(s -"
              " old). Multiply it by exp(old - new), as you do with the sum."),
        wrong("sum_not_rescaled", "total * rescale", "total",
              "The sum is not rescaled, and what was read is. Both were made with the old"
              " largest: multiply the sum by exp(old - new) as well."),
    ),
    wrong("both_rescaled_the_wrong_way", "(largest - new)", "(new - largest)",
          "What you rescale by is infinite in the first tile, where the old largest is -inf, and"
          " 0 inf is nan. It is exp(old - new), which is 0 there: with exp, and not the other way"
          " round."),
    wrong("read_rescaled_the_wrong_way", "read * rescale", "read * (new - largest).exp()",
          "You rescale what was read by exp(new - old), the sum by exp(old - new). Both take the"
          " second: it is at most 1."),
    wrong("both_rescaled_to_base_two", "(largest - new).exp()", "(largest - new).exp2()",
          "You rescale with powers of 2 and weight with powers of e. One base for both: exp, or"
          " exp2 with scores times log2(e)."),
)

SUMS = (
    wrong("all_of_it_rescaled", 'total * rescale + reduce(shares, "... i j -> ... i 1", "sum")',
          '(total + reduce(shares, "... i j -> ... i 1", "sum")) * rescale',
          "You rescale the sum after adding the tile, whose shares were made with the new largest"
          " already. Rescale first, then add."),
    wrong("sum_of_the_last_tile", "total * rescale + reduce", "reduce",
          "Your sum is that of the last tile alone. Add to what was there, rescaled."),
    wrong("sum_of_means", '"sum"', '"mean"',
          "You add the mean of a tile's shares. It is their sum."),
)

READINGS = (
    *often(
        wrong("never_divided", "read / total", "read",
              "You do not divide by the sum of the shares."),
    ),
    wrong("read_divided_in_every_tile", "read * rescale + shares @ v[..., some, :]",
          "(read * rescale + shares @ v[..., some, :]) / total",
          "You divide by the sum in every tile, so that what came first is divided again and"
          " again. Divide once, after the last tile."),
    wrong("softmax_in_every_tile", "shares @ v",
          'shares / reduce(shares, "... i j -> ... i 1", "sum") @ v',
          "You take a softmax of each tile: its shares sum to 1 before the others are known. Read"
          " with exp(s - largest), and divide by the sum of all at the end."),
    wrong("part_divided_by_the_sum_so_far", "shares @ v[..., some, :]",
          "shares @ v[..., some, :] / total",
          "You divide each tile's output by the sum so far, which is not that of the end. Divide"
          " once, after the last tile."),
    wrong("read_of_the_last_tile", "read * rescale + shares", "shares",
          "You overwrite what was read: only the last tile is left. Add to it, after rescaling."),
    wrong("read_rescaled_too_late", "read * rescale + shares @ v[..., some, :]",
          "(read + shares @ v[..., some, :]) * rescale",
          "You rescale what was read after adding the tile, which was weighted with the new"
          " largest already. Rescale first, then add."),
    wrong("divided_by_keys_seen", "read / total", "read / (total * largest.exp())",
          "You divide by exp(largest) times the sum. What was read is made with exp(s - largest), as"
          " the sum is: divide by the sum alone."),
)

LOGS = (
    *often(
        wrong("log_is_the_largest", "largest + total.log()", "largest",
              "You return the largest score. Log-sum-exp is largest + log of the sum."),
        wrong("log_without_the_largest", "largest + total.log()", "total.log()",
              "Your log-sum-exp lacks the largest score: the sum is one of exp(s - largest), so it"
              " is largest + log of the sum."),
    ),
    wrong("log_minus_the_largest", "largest + total.log()", "total.log() - largest",
          "You subtract the largest score from the log of the sum. exp(largest) was taken out of the"
          " sum: add it."),
    wrong("sum_for_its_log", "largest + total.log()", "largest + total",
          "You return largest + sum. It takes the logarithm of the sum."),
    wrong("sum_alone", "largest + total.log()", "total",
          "You return the sum. Log-sum-exp is largest + log of the sum."),
    wrong("log_to_base_two", "largest + total.log()", "largest + total.log2()",
          "You take a logarithm of base 2. It is the natural one."),
    wrong("log_of_the_unscaled", "largest + total.log()",
          "largest * math.sqrt(q.shape[-1]) + total.log()",
          "Your log-sum-exp is that of the scores before they are divided by sqrt(d), or scaled"
          " back. It belongs to the scaled scores."),
    wrong("largest_minus_log", "largest + total.log()", "largest - total.log()",
          "You subtract the log of the sum from the largest score. It is largest + log of the"
          " sum."),
    wrong("log_taken_back", "largest + total.log()", "largest.exp() * total",
          "You return exp(lse). Its logarithm is what is kept, for it does not overflow: largest +"
          " log of the sum."),
    wrong("log_of_all_without_exp", "largest + total.log()", "largest * total.log()",
          "You take the product of largest and log. They add: log(exp(largest) sum) = largest + log"
          " sum."),
    wrong("log_of_largest_too", "largest + total.log()", "largest.log() + total.log()",
          "You take log of the largest score too. It stands in the exponent: largest + log of the"
          " sum."),
    wrong("log_without_the_mask", "largest + total.log()", "(q @ k.mT).logsumexp(-1, keepdim=True)",
          "Your log-sum-exp counts the keys that the causal mask hides. It is over the keys that"
          " a query sees."),
)
# fmt: on


def log_of_raw_scores(q, k, v, tile, causal=False):
    """Your log-sum-exp is that of q · k without the scale. It belongs to the scaled scores."""
    y, _ = attention_by_tiles(q, k, v, tile, causal)
    return y, attention_by_tiles(q * math.sqrt(q.shape[-1]), k, v, tile, causal)[1]


def scores_of(q, k, causal, hidden):
    scores = q @ k.mT / math.sqrt(q.shape[-1])
    i, j = (torch.arange(n, device=q.device) for n in scores.shape[-2:])
    return scores.masked_fill(i[:, None] < j, hidden) if causal else scores


def mean_of_tiles(q, k, v, tile, causal=False):
    """You take the mean of what each tile reads. Tiles with high scores count more: keep a sum
    of exp(s - largest) and divide by it at the end."""
    scores = scores_of(q, k, causal, -1e300)
    parts = scores.split(tile, -1)
    read = [one.softmax(-1) @ some for one, some in zip(parts, v.split(tile, -2), strict=True)]
    return sum(read) / len(parts), scores.logsumexp(-1)


def sum_of_tiles(q, k, v, tile, causal=False):
    """You add what each tile reads by a softmax of its own: the shares of all tiles together
    must be 1. Keep sum and largest, and divide at the end."""
    y, lse = mean_of_tiles(q, k, v, tile, causal)
    return y * -(-k.shape[-2] // tile), lse


def the_whole_map(q, k, v, tile, causal=False):
    """You make the whole map, i j scores at once. That is what tiles are to avoid: only `tile`
    columns of it at a time."""
    scores = scores_of(q, k, causal, HIDDEN)
    return scores.softmax(-1) @ v, scores.logsumexp(-1)


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
            rescale = torch.exp(high - new)
            total = rescale * total + p.sum(-1)
            y = rescale[..., None] * y + p @ values
        high = new
    return y / total[..., None], high + torch.log(total)


def tiles_skipping_the_future(q, k, v, tile, causal=False):
    end = min(q.shape[-2], k.shape[-2]) if causal else k.shape[-2]
    return tiles_by_merging(q, k[..., :end, :], v[..., :end, :], tile, causal)


EXERCISE = Exercise(
    id="fast.attention_by_tiles",
    solution=attention_by_tiles,
    probes={"attention_by_tiles": ("b i e", "b i")},
    trials=tile_trials,
    slips=(
        *SCALES,
        *TILES,
        *MASKS,
        *LARGEST,
        *FADES,
        *SUMS,
        *READINGS,
        *LOGS,
        log_of_raw_scores,
        mean_of_tiles,
        sum_of_tiles,
        the_whole_map,
    ),
    hints=(
        "In `online_softmax` the sum was rescaled when a larger score came. What else is"
        " made with the old largest score here?",
        "Keep largest, total and read for each query. A tile: s = q kᵀ / sqrt(d), causal"
        " where i >= start + j; new = max; shares exp(s - new); total and read times"
        " exp(largest - new), plus Σ shares and shares v. At the end read / total, and"
        " largest + log total.",
        "largest = -inf, total = 0 (both i 1), read = 0 (i e)\n"
        "for start in range(0, number of keys, tile):\n"
        "    scores of q with k[start : start + tile]; causal: -inf where i < start + j\n"
        "    new, rescale = exp(largest - new), shares = exp(scores - new)\n"
        "    total = total rescale + sum of shares\n"
        "    read = read rescale + shares @ v of the tile\n"
        "    largest = new\n"
        "read / total, largest + log(total) without its last axis",
    ),
    minutes=25,
    difficulty=4,
    otherwise=(tiles_by_merging, tiles_by_lists, tiles_skipping_the_future),
    laws=("a_constant_factor", "examples_do_not_mix"),
    cost=Cost(largest_tensor=1.3),
    ready=("torch.nn.functional.scaled_dot_product_attention",),
)
