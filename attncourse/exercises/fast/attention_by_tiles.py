"""The record of `fast.attention_by_tiles`."""

import math

import torch
from torch.nn import functional as F

from attncourse.exercises.families import family
from attncourse.exercises.record import Cost, Exercise, Given, Trial
from solutions.fast.tiles import (
    attention_by_tiles,
)

try:
    import triton.language as tl
except ImportError:  # Triton is there for Linux
    tl = None
from attncourse.exercises.fast.shared import HIDDEN, ahead, the_new, whole


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


EXERCISE = Exercise(
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
)
