"""Chapter 03, positions: what is asked, what goes wrong, what helps."""

import math
from dataclasses import replace

import torch
from einops import einsum, rearrange, repeat
from torch.nn import functional as F

from attncourse.families import also, family, naturally
from attncourse.registry import Cost, Exercise, Given, Slip, Trial, slip, variant
from solutions.positional import (
    CoordConv2d,
    LearnedPositions,
    RelativeAttention,
    masked_softmax,
    relative_index,
    relative_logits,
    rotary,
    rotary_attention,
    sinusoidal,
    sinusoidal_2d,
    skew,
)
from solutions.scaled_dot_product import causal_mask, scaled_dot_product_attention


def numbers(*values):
    """Positions in double precision."""
    return torch.tensor(values, dtype=torch.float64)


# sinusoidal: one recipe, and the ways to get each of its steps wrong. Widths and positions are
# small: with them frequencies in single precision, and so answers that make such, can pass.


def sinusoidal_trials():
    def trial(name, positions, dim):
        sizes = dict(n=len(positions), dim=dim)
        return Trial(name, sizes, dict(positions=Given("n", positions), dim=dim))

    return (
        trial("at positions 0 to 8, dim = 6", numbers(*range(9)), 6),
        trial("with an odd width, dim = 5", numbers(*range(7)), 5),
        trial("at positions 12 to 18, dim = 4", numbers(*range(12, 19)), 4),
        trial("between positions, at 0.25, 1.5 and 4", numbers(0.25, 1.5, 4), 2),
    )


def as_given(positions):
    return positions


def geometric(positions, dim):
    return 10000 ** (-torch.arange(0, dim, 2).to(positions) / dim)


def in_turn(angles, dim):
    return rearrange([angles.sin(), angles.cos()], "wave n pair -> n (pair wave)")[:, :dim]


def sinusoidal_recipe(placing=as_given, timing=geometric, waving=in_turn):
    """`sinusoidal` with some of its steps replaced."""

    def answer(positions, dim):
        angles = placing(positions)[:, None] * timing(positions, dim)
        return waving(angles, dim)

    return answer


def positions_ignored(positions):
    """You count 0, 1, 2, … yourself: the positions that come in are not used."""
    return torch.arange(len(positions)).to(positions)


def counted_from_one(positions):
    """You add 1 to the positions. They are used as they are."""
    return positions + 1


def each_feature_its_own(angles, dim):
    wave = torch.arange(dim) % 2 == 0
    return torch.where(wave, angles.sin(), angles.cos())


@also(waving=each_feature_its_own)
def exponent_over_all_features(positions, dim):
    """The exponent is 2i/d where i counts the features: i counts pairs. Feature 2i and feature
    2i + 1 share their frequency."""
    return 10000 ** (-2 * torch.arange(dim).to(positions) / dim)


@also(waving=each_feature_its_own)
def every_feature_its_frequency(positions, dim):
    """Sine and cosine of a pair have frequencies of their own: feature 2i + 1 has the exponent
    (2i + 1)/d. The two share the exponent 2i/d."""
    return 10000 ** (-torch.arange(dim).to(positions) / dim)


def base_1000(positions, dim):
    """Your base is 1000. It is 10000."""
    return 1000 ** (-torch.arange(0, dim, 2).to(positions) / dim)


def base_100000(positions, dim):
    """Your base is 100000. It is 10000."""
    return 100000 ** (-torch.arange(0, dim, 2).to(positions) / dim)


def ever_faster(positions, dim):
    """The sign of the exponent is turned: your pairs get faster. The first has frequency 1, the
    others are slower: 10000 to the power of -2i/d."""
    return 10000 ** (torch.arange(0, dim, 2).to(positions) / dim)


def half_the_exponent(positions, dim):
    """The exponent is i/d where i counts the pairs: the 2 is missing. It is 2i/d."""
    return 10000 ** (-torch.arange((dim + 1) // 2).to(positions) / dim)


def twice_the_exponent(positions, dim):
    """The exponent is 4i/d: i counts the pairs, or the features in steps of 2, and you multiply
    by 2 once too often."""
    return 10000 ** (-2 * torch.arange(0, dim, 2).to(positions) / dim)


def to_the_last_pair(positions, dim):
    """Your exponents are i / (d/2 - 1), so that the last pair has exactly 1/10000, as in
    tensor2tensor. In the paper's formula they are 2i/d."""
    pairs = (dim + 1) // 2
    return 10000 ** (-torch.arange(pairs).to(positions) / max(pairs - 1, 1))


def one_more_pair(positions, dim):
    """Your pairs begin with i = 1. They begin with i = 0: the first has frequency 1."""
    return 10000 ** (-(torch.arange(0, dim, 2).to(positions) + 2) / dim)


def in_steps(positions, dim):
    """Your frequencies fall along a straight line. They are powers: 10000^(-2i/d)."""
    return 1 - torch.arange(0, dim, 2).to(positions) / dim


def binary(positions, dim):
    """Your frequencies halve from pair to pair. They are powers of 10000^(-2/d)."""
    return 2.0 ** -torch.arange((dim + 1) // 2).to(positions)


def full_turns(positions, dim):
    """You multiply by 2π. The angle is the position times the frequency, in radians."""
    return 2 * math.pi * geometric(positions, dim)


def cosine_first(angles, dim):
    """Sine and cosine are exchanged: even features are sines, odd ones cosines."""
    return rearrange([angles.cos(), angles.sin()], "wave n pair -> n (pair wave)")[:, :dim]


def sines_only(angles, dim):
    """You take the sine in every feature. Odd features are cosines."""
    return repeat(angles.sin(), "n pair -> n (pair wave)", wave=2)[:, :dim]


def cosines_only(angles, dim):
    """You take the cosine in every feature. Even features are sines."""
    return repeat(angles.cos(), "n pair -> n (pair wave)", wave=2)[:, :dim]


def last_feature_missing(angles, dim):
    """With an odd width the last feature is missing: it is a sine without its cosine."""
    return in_turn(angles, dim)[:, : dim // 2 * 2]


def last_feature_empty(angles, dim):
    """With an odd width your last feature is 0: it is a sine without its cosine."""
    return F.pad(last_feature_missing(angles, dim), (0, dim % 2))


def one_feature_too_many(angles, dim):
    """With an odd width you return a feature too many: the last sine has no cosine."""
    return rearrange([angles.sin(), angles.cos()], "wave n pair -> n (pair wave)")


def features_down(angles, dim):
    """Your rows are features and your columns positions: dim n. A row is a position: n dim."""
    return in_turn(angles, dim).mT


def halves_with_cosines_first(angles, dim):
    """All cosines come first, then all sines, as in code for diffusion steps. In this formula
    sine and cosine alternate, and the sine is the first."""
    return torch.cat([angles.cos(), angles.sin()], -1)[:, :dim]


def in_halves(angles, dim):
    """Passed in another order of features: all sines first, then all cosines, as in
    tensor2tensor. The paper has them in turn; for a network the two are alike."""
    return torch.cat([angles.sin(), angles.cos()], dim=-1)[:, :dim]


@variant
def tensor2tensor(positions, dim):
    """These are the frequencies of tensor2tensor, the authors' code: all sines, then all
    cosines, with exponents i / (d/2 - 1), so that the slowest pair has exactly 1/10000. The
    paper has them in turn, with exponents 2i/d."""
    pairs = dim // 2
    steps = torch.arange(pairs).to(positions) / max(pairs - 1, 1)
    angles = positions[:, None] * 10000**-steps
    return F.pad(torch.cat([angles.sin(), angles.cos()], -1), (0, dim % 2))


@variant
def next_even_width(positions, dim):
    """For an odd width your frequencies are those of the next even one, cut off, as in the
    package positional-encodings. The paper's formula has d itself; it does not speak of odd
    d."""
    return sinusoidal(positions, dim + dim % 2)[:, :dim]


def sinusoidal_loops(positions, dim):
    rows = []
    for p in positions.tolist():
        angles = [p / 10000 ** ((f - f % 2) / dim) for f in range(dim)]
        rows.append([math.cos(a) if f % 2 else math.sin(a) for f, a in enumerate(angles)])
    return torch.tensor(rows, dtype=positions.dtype)


def sinusoidal_filled(positions, dim):
    table = torch.zeros(len(positions), dim, dtype=positions.dtype, device=positions.device)
    step = torch.arange(0, dim, 2, device=positions.device) * (-math.log(10000.0) / dim)
    angles = positions.unsqueeze(1) * torch.exp(step)
    table[:, 0::2] = torch.sin(angles)
    table[:, 1::2] = torch.cos(angles)[:, : dim // 2]
    return table


def sinusoidal_by_phase(positions, dim):
    feature = torch.arange(dim, device=positions.device)
    frequency = 1 / 10000 ** ((feature - feature % 2) / dim)
    return torch.sin(torch.outer(positions, frequency) + feature % 2 * math.pi / 2)


# learned


def learned_trials():
    def trial(name, length, **sizes):
        init = dict(dim=sizes["dim"], length=length)
        return Trial(name, sizes | {"length": length}, dict(x="b n dim"), init)

    return (
        trial("on two examples", b=2, n=5, dim=4, length=11),
        trial("with as many tokens as places", b=3, n=7, dim=5, length=7),
        Trial(
            "with an axis of heads, b head n dim",
            dict(b=2, head=3, n=4, dim=6, length=9),
            dict(x="b head n dim"),
            dict(dim=6, length=9),
        ),
    )


def longer_than_the_table():
    sizes = dict(b=2, n=6, dim=4, length=5)
    init = dict(dim=4, length=5)
    return (Trial("6 tokens where there are 5 places", sizes, dict(x="b n dim"), init),)


class PlacesMissing(LearnedPositions):
    """The places are not added: you return x as it came."""

    def forward(self, x):
        return x + 0 * self.table[0]


class PlacesAlone(LearnedPositions):
    """You return the places alone. They are added to the tokens: x + …"""

    def forward(self, x):
        return 0 * x + self.table[: x.shape[-2]]


class AlongTheBatch(LearnedPositions):
    """Each example gets a place, not each token: your table runs along the first axis, b. It
    runs along n, the last but one."""

    def forward(self, x):
        return x + self.table[: x.shape[0]].reshape(-1, *[1] * (x.ndim - 2), x.shape[-1])


class LastPlaces(LearnedPositions):
    """You take the last n rows of the table. A short sequence begins at place 0."""

    def forward(self, x):
        return x + self.table[-x.shape[-2] :]


class FirstPlaceForAll(LearnedPositions):
    """All tokens get the place 0. Token n gets row n."""

    def forward(self, x):
        return x + self.table[0]


class PlacesBackwards(LearnedPositions):
    """Your places run backwards: the first token gets the last place."""

    def forward(self, x):
        return x + self.table[: x.shape[-2]].flip(0)


class OnePlaceLate(LearnedPositions):
    """You are one row late: token 0 gets row 0, not row 1."""

    def forward(self, x):
        return x + self.table.roll(-1, 0)[: x.shape[-2]]


class Multiplied(LearnedPositions):
    """You multiply tokens and places. They are added."""

    def forward(self, x):
        return x * self.table[: x.shape[-2]]


class Appended(LearnedPositions):
    """You put the places beside the features of the tokens. They are added: the width stays."""

    def forward(self, x):
        places = self.table[: x.shape[-2]].expand(x.shape)
        return torch.cat([x, places], dim=-1)


class PlacesNormed(LearnedPositions):
    """You norm the sum. Tokens and places are added, no more."""

    def forward(self, x):
        return F.layer_norm(x + self.table[: x.shape[-2]], x.shape[-1:])


class SameNumberForAllFeatures(LearnedPositions):
    """You add one number to all features of a token. A place is a vector: row n of the
    table."""

    def forward(self, x):
        return x + self.table[: x.shape[-2]].mean(-1, keepdim=True)


class TokensScaled(LearnedPositions):
    """You multiply the tokens by sqrt(dim) first. The Transformer does that where it embeds
    words; here x is taken as it is."""

    def forward(self, x):
        return x * math.sqrt(x.shape[-1]) + self.table[: x.shape[-2]]


class LearnedLoops(LearnedPositions):
    def forward(self, x):
        tokens = [x[..., n, :] + self.table[n] for n in range(x.shape[-2])]
        return torch.stack(tokens, dim=-2)


class LearnedEmbedding(LearnedPositions):
    def forward(self, x):
        where = torch.arange(x.shape[-2], device=x.device)
        return F.embedding(where, self.table).expand_as(x) + x


# the row of a pair


def index_trials():
    return tuple(
        Trial(name, dict(i=i, j=j), dict(queries=i, keys=j, clip=clip))
        for name, i, j, clip in (
            ("for 5 queries, 7 keys, clip = 2", 5, 7, 2),
            ("for 6 queries, 3 keys, clip = 1", 6, 3, 1),
            ("for clip = 0", 2, 4, 0),
            ("where clip = 9 clips nothing", 4, 5, 9),
        )
    )


def distances(queries, keys):
    return torch.arange(keys) - torch.arange(queries)[:, None]


def not_clipped(queries, keys, clip):
    """Far distances are not clipped: they would point outside the table. Clamp j - i to
    -clip … clip before you add clip."""
    return distances(queries, keys) + clip


def not_shifted(queries, keys, clip):
    """Your rows begin at -clip. Add clip: a table counts from 0. (A negative index counts from
    the end without a word.)"""
    return distances(queries, keys).clamp(-clip, clip)


def clipped_after_the_shift(queries, keys, clip):
    """You add clip first and clamp to -clip … clip afterwards. Clamp first, or clamp to
    0 … 2 clip."""
    return (distances(queries, keys) + clip).clamp(-clip, clip)


def only_how_far(queries, keys, clip):
    """You take the absolute distance: left and right neighbours would share a vector. The sign
    counts."""
    return distances(queries, keys).abs().clamp(-clip, clip) + clip


def wraps_around(queries, keys, clip):
    """You take the distance modulo 2 clip + 1: a far key gets the vector of a near one. Beyond
    clip all share the outermost."""
    return (distances(queries, keys) + clip) % (2 * clip + 1)


def one_too_high(queries, keys, clip):
    """Your rows are 1 too high: distance 0 is row clip."""
    return distances(queries, keys).clamp(-clip, clip) + clip + 1


def one_row_short(queries, keys, clip):
    """You clip at clip - 1 on the right: the last of the 2 clip + 1 rows is never used."""
    return distances(queries, keys).clamp(max=clip - 1).clamp(min=-clip) + clip


def past_alone(queries, keys, clip):
    """You clip at 0: all later keys share the row of the query itself. Later keys have rows of
    their own."""
    return distances(queries, keys).clamp(-clip, 0) + clip


def keys_down(queries, keys, clip):
    """Your rows are keys and your columns queries: j i. The queries go down: i j."""
    return distances(queries, keys).clamp(-clip, clip).mT + clip


def aligned_at_the_end(queries, keys, clip):
    """You line up the last query with the last key. Both count from the first."""
    return (distances(queries, keys) - (keys - queries)).clamp(-clip, clip) + clip


def clipped_to_the_table(queries, keys, clip):
    """You clamp j - i to 0 … 2 clip and add clip afterwards. Add clip first, or clamp to
    -clip … clip."""
    return distances(queries, keys).clamp(0, 2 * clip) + clip


def first_row_unused(queries, keys, clip):
    """You clip at clip - 1 on the left: row 0 of the table is never used."""
    return distances(queries, keys).clamp(min=1 - clip).clamp(max=clip) + clip


def past_ends_early(queries, keys, clip):
    """All earlier keys share the row of the query itself. They have rows of their own, up to
    clip."""
    return distances(queries, keys).clamp(0, clip) + clip


def shifted_by_queries(queries, keys, clip):
    """You add queries - 1, as for a table of all distances. This table has 2 clip + 1 rows:
    add clip."""
    return (distances(queries, keys) + queries - 1).clamp(0, 2 * clip)


def sums_for_distances(queries, keys, clip):
    """You add i and j. A distance is their difference, j - i."""
    i, j = torch.arange(queries)[:, None], torch.arange(keys)
    return (i + j).clamp(-clip, clip) + clip


def as_fractions(queries, keys, clip):
    """Your rows are floating numbers. An index is an integer: keep what `arange` gives."""
    return (distances(queries, keys).clamp(-clip, clip) + clip).float()


@variant
def sign_turned(queries, keys, clip):
    """You count i - j, as lucidrains' conformer does. Shaw et al. count j - i; the table is the
    same, read from the other end."""
    return (-distances(queries, keys)).clamp(-clip, clip) + clip


def index_loops(queries, keys, clip):
    return torch.tensor(
        [[max(-clip, min(clip, j - i)) + clip for j in range(keys)] for i in range(queries)]
    )


def index_by_clip_of_rows(queries, keys, clip):
    i = torch.arange(queries).unsqueeze(1).expand(queries, keys)
    j = torch.arange(keys).unsqueeze(0).expand(queries, keys)
    return torch.clip(j - i + clip, 0, 2 * clip)


# relative attention: one recipe


def relative_trials():
    def trial(name, clip, mask=None, front="b", **sizes):
        inputs = dict(q=f"{front} i d", k=f"{front} j d", v=f"{front} j e")
        inputs |= {} if mask is None else dict(mask=mask)
        init = dict(q_dim=sizes["d"], v_dim=sizes["e"], clip=clip)
        return Trial(name, sizes, inputs, init)

    hidden = torch.ones(3, 4, 6, dtype=torch.bool)
    hidden[0, 1] = hidden[1, 2, 3:] = hidden[2, :, 0] = False
    causal, some = Given("i j", causal_mask(6, 5)), Given("b i j", hidden)
    return (
        trial("without a mask", 2, b=2, i=5, j=7, d=4, e=3),
        trial("with a causal mask", 2, causal, b=2, i=6, j=5, d=3, e=4),
        trial("with a query that may attend to nothing", 1, some, b=3, i=4, j=6, d=5, e=2),
        trial("with an axis of heads", 2, None, "b head", b=2, head=3, i=4, j=6, d=5, e=7),
    )


def by_query(self, q, k, rows):
    return einsum(q, self.keys[rows], "... i d, i j d -> ... i j")


def both_scaled(content, place, d):
    return (content + place) / math.sqrt(d)


def hide(scores, mask):
    return scores if mask is None else scores.masked_fill(~mask, -math.inf)


def over_keys(scores):
    return scores.softmax(-1)


def empty_rows(weights, mask):
    return weights if mask is None else weights.masked_fill(~mask.any(-1, keepdim=True), 0)


def with_places(self, weights, v, rows):
    return weights @ v + einsum(weights, self.values[rows], "... i j, i j e -> ... i e")


def as_indexed(self, q, k):
    return self.index(q, k)


def relative_recipe(
    indexing=as_indexed,
    placing=by_query,
    scaling=both_scaled,
    masking=hide,
    normalising=over_keys,
    after=empty_rows,
    mixing=with_places,
):
    """`RelativeAttention` with some of its steps replaced."""

    class Answer(RelativeAttention):
        def attention(self, q, k, mask=None):
            place = placing(self, q, k, indexing(self, q, k))
            scores = scaling(q @ k.mT, place, q.shape[-1])
            return after(normalising(masking(scores, mask)), mask)

        def forward(self, q, k, v, mask=None):
            return mixing(self, self.attention(q, k, mask), v, indexing(self, q, k))

    return Answer


def turned(self, q, k):
    return 2 * self.clip - self.index(q, k)


def far_keys_wrap(self, q, k):
    """A far key gets the vector of a near one: you take j - i modulo the length of the table.
    Beyond clip all share the outermost vector; `self.index` gives the rows."""
    j, i = torch.arange(k.shape[-2]), torch.arange(q.shape[-2])
    return (j - i[:, None] + self.clip) % (2 * self.clip + 1)


def places_of_keys(self, q, k):
    """Your vectors belong to the place of the key, not to its distance from the query: you use
    j where j - i is meant."""
    j = torch.arange(k.shape[-2]).clamp(max=2 * self.clip)
    return j.expand(q.shape[-2], -1)


def later_keys_alike(self, q, k):
    """All later keys share the vector of the query's own place. They have vectors of their
    own, up to clip."""
    return self.index(q, k).clamp(max=self.clip)


def earlier_keys_alike(self, q, k):
    """All earlier keys share the vector of the query's own place. They have vectors of their
    own, up to clip."""
    return self.index(q, k).clamp(min=self.clip)


def no_place_in_keys(self, q, k, rows):
    """The keys do not know where they are: q_i · a_(j-i) is missing in the scores (eq. 4)."""
    return 0


def by_query_and_key(self, q, k, rows):
    """You multiply the vectors of the distances with the keys as well. Eq. 4 multiplies them
    with the queries alone: q_i · (k_j + a)."""
    by_key = einsum(k, self.keys[rows], "... j d, i j d -> ... i j")
    return by_query(self, q, k, rows) + by_key


def by_key(self, q, k, rows):
    """You multiply the vectors of the distances with the keys. Eq. 4 multiplies them with the
    queries: q_i · (k_j + a)."""
    return einsum(k, self.keys[rows], "... j d, i j d -> ... i j")


def not_multiplied(self, q, k, rows):
    """You add the sum of a_(j-i) to the scores, a number that no query has a say in. Eq. 4 has
    q_i · a_(j-i)."""
    return self.keys[rows].sum(-1)


def by_first_query(self, q, k, rows):
    """You multiply all distances with the first query. Query i meets the vectors of row i."""
    return einsum(q[..., 0, :], self.keys[rows], "... d, i j d -> ... i j")


def keys_turned(self, q, k, rows):
    """You count i - j for the keys and j - i for the values. Take `self.index` for both."""
    return by_query(self, q, k, 2 * self.clip - rows)


def place_unscaled(content, place, d):
    """Only q · k is divided by sqrt(d). Eq. 4 divides the sum of both terms."""
    return content / math.sqrt(d) + place


def content_unscaled(content, place, d):
    """Only q · a is divided by sqrt(d). Eq. 4 divides the sum of both terms."""
    return content + place / math.sqrt(d)


def unscaled(content, place, d):
    """The scores are not divided by sqrt(d)."""
    return content + place


def divided_by_d(content, place, d):
    """You divide the scores by d. Eq. 4 divides by sqrt(d)."""
    return (content + place) / d


def root_of_twice_d(content, place, d):
    """You divide by sqrt(2 d), as if the two terms made it twice as wide. Eq. 4 divides by
    sqrt(d)."""
    return (content + place) / math.sqrt(2 * d)


def place_subtracted(content, place, d):
    """You subtract q · a from q · k. Eq. 4 adds the two."""
    return (content - place) / math.sqrt(d)


def place_alone(content, place, d):
    """The keys themselves play no part in your scores: q · k is missing."""
    return (0 * content + place) / math.sqrt(d)


def as_it_comes(weights, mask):
    return weights


@naturally(after=as_it_comes)
def mask_ignored(scores, mask):
    """The mask is not used: masked keys are attended to."""
    return scores


def mask_inverted(scores, mask):
    """The mask is inverted: it is True where a query may attend, and you hide just that."""
    return scores if mask is None else scores.masked_fill(mask, -math.inf)


@naturally(after=as_it_comes)
def mask_fills_zero(scores, mask):
    """Masked scores become 0, and exp(0) = 1 is a full share. Fill with -inf."""
    return scores if mask is None else scores.masked_fill(~mask, 0.0)


def times_mask(weights, mask):
    return weights if mask is None else weights * mask


@also(after=times_mask)
def mask_after_the_softmax(scores, mask):
    """You hide keys after the softmax: they have taken their share. Mask the scores."""
    return scores


def over_queries(scores):
    """Your softmax runs over the queries i. It runs over the keys j, the last axis."""
    return scores.softmax(-2)


def no_softmax(scores):
    """The softmax is missing: your weights are the bare scores."""
    return scores.masked_fill(scores == -math.inf, 0)


def empty_rows_are_nan(weights, mask):
    """A query that may attend to nothing gives nan: softmax over nothing but -inf is 0 / 0.
    `masked_softmax` gives 0."""
    return weights


def empty_rows_are_uniform(weights, mask):
    """A query that may attend to nothing gets the mean of all values: with a finite filler such
    as -1e9 its softmax is uniform. `masked_softmax` gives 0."""
    if mask is None:
        return weights
    return weights.masked_fill(~mask.any(-1, keepdim=True), 1 / weights.shape[-1])


def no_place_in_values(self, weights, v, rows):
    """The values do not say where they come from: Σ A_ij a_(j-i) is missing (eq. 3)."""
    return weights @ v


def places_not_weighted(self, weights, v, rows):
    """You sum the vectors of all distances without the weights. Eq. 3 weighs value and vector
    alike: Σ A_ij (v_j + a)."""
    return weights @ v + self.values[rows].sum(1)


def places_averaged(self, weights, v, rows):
    """You add the plain mean of the vectors. Eq. 3 weighs value and vector alike:
    Σ A_ij (v_j + a)."""
    return weights @ v + self.values[rows].mean(1)


def values_turned(self, weights, v, rows):
    """You count i - j for the values and j - i for the keys. Take `self.index` for both."""
    return with_places(self, weights, v, 2 * self.clip - rows)


def places_alone(self, weights, v, rows):
    """The values themselves are missing: you average the vectors of the distances alone."""
    return with_places(self, weights, 0 * v, rows)


def own_place_added(self, weights, v, rows):
    """You add the vector of distance 0 to every output. Each value brings the vector of its own
    distance."""
    return weights @ v + self.values[self.clip]


SignTurned = Slip(
    "SignTurned",
    "You count i - j, as lucidrains' conformer does. Shaw et al. count j - i; the tables are"
    " the same, read from the other end.",
    relative_recipe(indexing=turned),
    variant=True,
)


def two_softmaxes(factor):
    """`RelativeAttention` with a softmax over each of the two terms."""

    class Answer(RelativeAttention):
        def attention(self, q, k, mask=None):
            d = q.shape[-1]
            place = by_query(self, q, k, self.index(q, k))
            content, place = (masked_softmax(s / math.sqrt(d), mask) for s in (q @ k.mT, place))
            return factor * (content + place)

    return Answer


TwoSoftmaxes = Slip(
    "TwoSoftmaxes",
    "You take a softmax over content and another over place. There is one, over the sum of both"
    " terms: eq. 4.",
    two_softmaxes(0.5),
    ways=(two_softmaxes(1),),
)


class _PlaceAfterTheSoftmax(RelativeAttention):
    def attention(self, q, k, mask=None):
        content = masked_softmax(q @ k.mT / math.sqrt(q.shape[-1]), mask)
        return content + by_query(self, q, k, self.index(q, k))


PlaceAfterTheSoftmax = Slip(
    "PlaceAfterTheSoftmax",
    "You add q_i · a_(j-i) after the softmax, to the weights. It belongs to the scores: eq. 4"
    " adds it before.",
    _PlaceAfterTheSoftmax,
)


def _content_times_place(content, place, d):
    return content * place / math.sqrt(d)


PlaceOfTheMap = Slip(
    "PlaceOfTheMap",
    "You multiply q · k and q · a. Eq. 4 adds the two.",
    relative_recipe(scaling=_content_times_place),
)


class RelativeLoops(RelativeAttention):
    """One query at a time, with keys and values of its own, as the equations have it."""

    def rows(self, q, k, i):
        clip = self.clip
        return [max(-clip, min(clip, j - i)) + clip for j in range(k.shape[-2])]

    def attention(self, q, k, mask=None):
        scores = [
            (q[..., i : i + 1, :] @ (k + self.keys[self.rows(q, k, i)]).mT)[..., 0, :]
            for i in range(q.shape[-2])
        ]
        return masked_softmax(torch.stack(scores, -2) / math.sqrt(q.shape[-1]), mask)

    def forward(self, q, k, v, mask=None):
        weights = self.attention(q, k, mask)
        y = [
            weights[..., i : i + 1, :] @ (v + self.values[self.rows(q, k, i)])
            for i in range(q.shape[-2])
        ]
        return torch.cat(y, -2)


class RelativeBroadcast(RelativeAttention):
    """Keys and values with an axis for the queries; the scale goes to the queries."""

    def attention(self, q, k, mask=None):
        k = k.unsqueeze(-3) + self.keys[self.index(q, k)]
        scores = ((q * q.shape[-1] ** -0.5).unsqueeze(-2) * k).sum(-1)
        if mask is None:
            return F.softmax(scores, dim=-1)
        return F.softmax(scores.masked_fill(~mask, float("-inf")), dim=-1).nan_to_num(0)

    def forward(self, q, k, v, mask=None):
        v = v.unsqueeze(-3) + self.values[self.index(q, k)]
        return (self.attention(q, k, mask).unsqueeze(-1) * v).sum(-2)


class RelativeByTable(RelativeAttention):
    """Queries meet the whole table first; then each pair picks its number."""

    def attention(self, q, k, mask=None):
        rows = self.index(q, k).expand(*q.shape[:-1], k.shape[-2])
        place = (q @ self.keys.mT).gather(-1, rows)
        scores = (torch.matmul(q, k.transpose(-2, -1)) + place) * q.shape[-1] ** -0.5
        return masked_softmax(scores, mask)

    def forward(self, q, k, v, mask=None):
        weights = self.attention(q, k, mask)
        onehot = F.one_hot(self.index(q, k), len(self.values)).to(weights)
        per_row = einsum(weights, onehot, "... i j, i j r -> ... i r")
        return weights @ v + per_row @ self.values


# skewing


def skew_trials():
    return (
        Trial("on two examples", dict(b=2, i=5), dict(x="b i i")),
        Trial("with an axis of heads", dict(b=2, head=3, i=4), dict(x="b head i i")),
        Trial("on one token", dict(b=3, i=1), dict(x="b i i")),
    )


def other_tables():
    return (Trial("4 queries and 6 distances", dict(b=2), dict(x="b 4 6")),)


def reshaped(x):
    """Left column of zeros, other shape, first row off: what the paper does."""
    n = x.shape[-1]
    padded = F.pad(x, (1, 0)).reshape(*x.shape[:-2], n + 1, n)
    return padded[..., 1:, :]


def padded_on_the_right(x):
    """You put the column of zeros on the right. It goes to the left: `F.pad(x, (1, 0))`."""
    n = x.shape[-1]
    return F.pad(x, (0, 1)).reshape(*x.shape[:-2], n + 1, n)[..., 1:, :].tril()


def last_row_dropped(x):
    """You drop the last row after the reshape. The first holds the padding: drop that one."""
    n = x.shape[-1]
    return F.pad(x, (1, 0)).reshape(*x.shape[:-2], n + 1, n)[..., :-1, :].tril()


def not_skewed(x):
    """Your rows are not shifted: column r is still a distance. Row i moves left by
    n - 1 - i."""
    return x.tril()


def distances_reversed(x):
    """You read the distances backwards: the last column is the token itself, the first the
    farthest back."""
    return reshaped(x.flip(-1)).tril()


def shifted_to_the_right(x):
    """You shift to the right. Row i moves left by n - 1 - i."""
    n = x.shape[-1]
    rows = [x[..., i, :].roll(n - 1 - i, -1) for i in range(n)]
    return torch.stack(rows, -2).tril()


def shifted_by_i(x):
    """You shift row i by i. The last row stays as it is, the first moves by n - 1."""
    n = x.shape[-1]
    return torch.stack([x[..., i, :].roll(-i, -1) for i in range(n)], -2).tril()


def diagonal_lost(x):
    """Your diagonal is 0. A token has a distance to itself, 0: the last column of x."""
    return reshaped(x).tril(-1)


def minus_infinity_above(x):
    """You fill with -inf above the diagonal. The mask does that; here it is 0."""
    n = x.shape[-1]
    return reshaped(x).masked_fill(~torch.ones(n, n, dtype=torch.bool).tril(), -math.inf)


def turned_over(x):
    """Your rows are keys: j i. The queries go down, i j."""
    return reshaped(x).tril().mT


def upper_half(x):
    """You keep what is above the diagonal. What is below is right: j <= i."""
    return reshaped(x).triu()


@variant
def unmasked(x):
    """Above the diagonal you leave what the reshape puts there, as Music Transformer does,
    where a mask hides it. Here it is 0; with a causal mask the two are alike."""
    return reshaped(x)


def skew_by_gather(x):
    n = x.shape[-1]
    i = torch.arange(n, device=x.device)
    r = (i[None, :] - i[:, None] + n - 1).clamp(max=n - 1)
    return x.gather(-1, r.expand(x.shape)).tril()


def skew_by_rolls(x):
    n = x.shape[-1]
    return torch.stack([x[..., i, :].roll(i + 1 - n, -1) for i in range(n)], dim=-2).tril()


def skew_by_rows(x):
    n = x.shape[-1]
    rows = [F.pad(x[..., i, n - 1 - i :], (0, n - 1 - i)) for i in range(n)]
    return torch.stack(rows, dim=-2)


# the logits of Music Transformer


def logits_trials():
    return (
        Trial("on two examples", dict(b=2, i=13, d=32), dict(q="b i d", table="i d")),
        Trial(
            "with an axis of heads",
            dict(b=2, head=3, i=4, d=5),
            dict(q="b head i d", table="i d"),
        ),
    )


def skewed_by(wrong):
    """`relative_logits` with a slip of `skew` inside."""
    one = wrong if isinstance(wrong, Slip) else slip(wrong)
    return replace(one, answer=lambda q, table: one.answer(q @ table.mT))


def largest_tensor(q, table):
    """Right, but a vector for every pair is gathered first."""
    i = torch.arange(len(table))
    rows = (i[None] - i[:, None] + len(table) - 1).clamp(max=len(table) - 1)
    return einsum(q, table[rows], "... i d, i j d -> ... i j").tril()


def divided_already(q, table):
    """You divide by sqrt(d) already. That comes when the content is added: plain products."""
    return skew(q @ table.mT) / math.sqrt(q.shape[-1])


def softmax_of_logits(q, table):
    """You apply a softmax. That comes when the content is added: plain products."""
    return skew(q @ table.mT).softmax(-1)


def other_distances_above(q, table):
    """Above the diagonal you repeat the distance 0. Later keys get 0 here: `tril`."""
    i = torch.arange(len(table))
    rows = (i[None] - i[:, None] + len(table) - 1).clamp(max=len(table) - 1)
    product = q @ table.mT
    return product.gather(-1, rows.expand(product.shape))


def keys_for_queries(q, table):
    """You multiply the table with q the other way round: rows are distances, r i. The queries
    go down: i r."""
    return skew(table @ q.mT)


def own_row_alone(q, table):
    """You multiply query i with row i of the table. Every query meets every row; skewing sorts
    them."""
    n = len(table)
    product = (q * table).sum(-1, keepdim=True)
    return product.expand(*product.shape[:-1], n).tril()


def feature_sums(q, table):
    """You sum the features of q and of the table apart: the letter d must be the same on both
    sides of the comma."""
    return skew(q.sum(-1, keepdim=True) * table.sum(-1))


def logits_by_gather(q, table):
    product, i = q @ table.mT, torch.arange(len(table), device=q.device)
    rows = (i[None] - i[:, None] + len(table) - 1).clamp(max=len(table) - 1)
    return torch.take_along_dim(product, rows.expand(product.shape), -1).tril()


def logits_by_rows(q, table):
    n = len(table)
    rows = [F.pad(q[..., i, :] @ table[n - 1 - i :].mT, (0, n - 1 - i)) for i in range(n)]
    return torch.stack(rows, dim=-2)


# rotary: one recipe


def rotary_trials():
    def trial(name, positions, front="b", **sizes):
        where = Given("n", torch.tensor(positions))
        return Trial(name, sizes, dict(x=f"{front} n d", positions=where))

    return (
        trial("at positions 0 to 4", list(range(5)), b=2, n=5, d=6),
        trial("at positions 7, 2, 2 and 9", [7, 2, 2, 9], b=3, n=4, d=8),
        trial("with an axis of heads", [3, 4, 5, 6, 7], "b head", b=2, head=3, n=5, d=4),
    )


def odd_widths():
    where = Given("n", torch.arange(4))
    return (Trial("5 features", dict(b=2, n=4), dict(x="b n 5", positions=where)),)


def as_they_come(positions, x):
    return positions.to(x)


def geometric_pairs(d):
    return 10000 ** (-torch.arange(0, d, 2, dtype=torch.float64) / d)


def neighbours(x):
    return rearrange(x, "... (pair two) -> two ... pair", two=2)


def beside(a, b):
    return rearrange([a, b], "two ... pair -> ... (pair two)")


def halves(x):
    return rearrange(x, "... (two pair) -> two ... pair", two=2)


def after_each_other(a, b):
    return rearrange([a, b], "two ... pair -> ... (two pair)")


def in_pairs():
    return neighbours, beside


def as_halves():
    return halves, after_each_other


def turn(a, b, cos, sin):
    return a * cos - b * sin, a * sin + b * cos


def rotary_recipe(placing=as_they_come, timing=geometric_pairs, laying=in_pairs, turning=turn):
    """`rotary` with some of its steps replaced."""

    def answer(x, positions):
        angles = placing(positions, x)[:, None] * timing(x.shape[-1]).to(x)
        take, put = laying()
        return put(*turning(*take(x), angles.cos(), angles.sin()))

    return answer


def counted_by_yourself(positions, x):
    """You count 0, 1, 2, … yourself: the positions that come in are not used."""
    return torch.arange(len(positions)).to(x)


def begun_at_one(positions, x):
    """You add 1 to the positions. Position 0 is not turned."""
    return positions.to(x) + 1


def turned_back(positions, x):
    """You turn the wrong way round: (a, b) becomes (a cos - b sin, a sin + b cos)."""
    return -positions.to(x)


def pairs_of_base_1000(d):
    """Your base is 1000. It is 10000."""
    return 1000 ** (-torch.arange(0, d, 2, dtype=torch.float64) / d)


def pairs_ever_faster(d):
    """The sign of the exponent is turned: your pairs get faster. Pair i has frequency
    10000^(-2i/d)."""
    return 10000 ** (torch.arange(0, d, 2, dtype=torch.float64) / d)


def pairs_half_the_exponent(d):
    """The exponent is i/d where i counts the pairs: the 2 is missing. It is 2i/d."""
    return 10000 ** (-torch.arange(d // 2, dtype=torch.float64) / d)


def pairs_twice_the_exponent(d):
    """The exponent is 4i/d: you multiply by 2 once too often. It is 2i/d where i counts the
    pairs."""
    return 10000 ** (-2 * torch.arange(0, d, 2, dtype=torch.float64) / d)


def one_angle(d):
    """All pairs turn by the same angle. Pair i has a frequency of its own, 10000^(-2i/d)."""
    return torch.ones(d // 2, dtype=torch.float64)


def backwards(d):
    """Your frequencies come in the wrong order: the first pair is the fastest."""
    return geometric_pairs(d).flip(0)


def added(a, b, cos, sin):
    """You add sine and cosine to the features, as sinusoidal positions do. Here each pair
    turns."""
    return a + sin, b + cos


def scaled_by_waves(a, b, cos, sin):
    """You multiply each feature with a sine or a cosine. A rotation mixes the two of a pair:
    (a cos - b sin, a sin + b cos)."""
    return a * cos, b * sin


def cosines_alone(a, b, cos, sin):
    """The sine terms are missing: (a cos - b sin, a sin + b cos)."""
    return a * cos, b * cos


def two_pluses(a, b, cos, sin):
    """Both signs are plus: that is no rotation. One of the two sine terms has a minus:
    a cos - b sin."""
    return a * cos + b * sin, a * sin + b * cos


def sine_for_cosine(a, b, cos, sin):
    """Sine and cosine are exchanged: at angle 0 nothing must change, so the cosine belongs to
    the feature itself."""
    return a * sin - b * cos, a * cos + b * sin


def second_left_alone(a, b, cos, sin):
    """Only the first of each pair is turned. The second becomes a sin + b cos."""
    return a * cos - b * sin, b + 0 * a


def first_overwritten(a, b, cos, sin):
    """You compute the second of a pair with the first already turned. Both need the old
    values."""
    a = a * cos - b * sin
    return a, a * sin + b * cos


def pair_exchanged(a, b, cos, sin):
    """The two of a pair come out in the wrong order."""
    return a * sin + b * cos, a * cos - b * sin


def pulled_apart():
    """You pair neighbours and put the results back as halves: the features change their places.
    Put them back as you took them: "(pair two)"."""
    return neighbours, after_each_other


def halves_put_back_as_neighbours():
    """You pair the halves and put the results back as neighbours: the features change their
    places. Put them back as you took them."""
    return halves, beside


TurnedInHalves = Slip(
    "TurnedInHalves",
    "You pair feature i with feature i + d/2, as GPT-NeoX and Llama do in Hugging Face's"
    " transformers. RoFormer pairs neighbours, 2i and 2i + 1. The two are alike up to the order"
    " of features, but weights trained for one do not fit the other.",
    rotary_recipe(laying=as_halves),
    variant=True,
)


@slip
def halves_by_angles_of_neighbours(x, positions):
    """You pair the halves, but your angles come in pairs of neighbours (repeat_interleave): the
    two of a pair turn by different angles. For halves the angles are repeated as a whole."""
    angles = positions.to(x)[:, None] * geometric_pairs(x.shape[-1]).to(x)
    angles = repeat(angles, "n pair -> n (pair two)", two=2)
    a, b = halves(x)
    return x * angles.cos() + torch.cat([-b, a], -1) * angles.sin()


@slip
def neighbours_by_angles_of_halves(x, positions):
    """You pair neighbours, but your angles are repeated as a whole (cat of twice the same): the
    two of a pair turn by different angles. Repeat each angle twice in a row."""
    angles = positions.to(x)[:, None] * geometric_pairs(x.shape[-1]).to(x)
    angles = repeat(angles, "n pair -> n (two pair)", two=2)
    a, b = neighbours(x)
    return x * angles.cos() + beside(-b, a) * angles.sin()


def rotary_complex(x, positions):
    d = x.shape[-1]
    frequency = 10000 ** (-torch.arange(0, d, 2, dtype=x.dtype, device=x.device) / d)
    angles = torch.outer(positions.to(x), frequency)
    z = torch.view_as_complex(x.reshape(*x.shape[:-1], -1, 2).contiguous())
    return torch.view_as_real(z * torch.polar(torch.ones_like(angles), angles)).flatten(-2)


def rotary_by_matrices(x, positions):
    d = x.shape[-1]
    frequency = 1 / 10000 ** (torch.arange(0, d, 2, dtype=x.dtype, device=x.device) / d)
    angles = positions[:, None] * frequency
    cos, sin = angles.cos(), angles.sin()
    turns = torch.stack([torch.stack([cos, -sin], -1), torch.stack([sin, cos], -1)], -2)
    pairs = x.reshape(*x.shape[:-1], d // 2, 2, 1)
    return (turns @ pairs).flatten(-3)


def rotary_half_trick(x, positions):
    d = x.shape[-1]
    frequency = 10000 ** (-torch.arange(0, d, 2, device=x.device).to(x.dtype) / d)
    angles = (positions.to(x.dtype)[:, None] * frequency).repeat_interleave(2, dim=-1)
    other = torch.stack([-x[..., 1::2], x[..., 0::2]], dim=-1).reshape(x.shape)
    return x * angles.cos() + other * angles.sin()


# rotary attention


def rotary_attention_trials():
    def trial(name, positions, mask=None, front="b", **sizes):
        inputs = dict(q=f"{front} n d", k=f"{front} n d", v=f"{front} n e")
        inputs["positions"] = Given("n", torch.tensor(positions))
        return Trial(name, sizes, inputs | ({} if mask is None else dict(mask=mask)))

    causal = Given("n n", causal_mask(5, 5))
    return (
        trial("at positions 0, 1, 3, 7 and 8", [0, 1, 3, 7, 8], b=2, n=5, d=4, e=6),
        trial("with a causal mask", [5, 6, 9, 1, 2], causal, b=3, n=5, d=2, e=4),
        trial(
            "with an axis of heads", [2, 3, 4, 9], front="b head", b=2, head=3, n=4, d=8, e=10
        ),
    )


def rotary_attention_recipe(turning_q=rotary, turning_k=rotary, turning_v=None, ending=None):
    """`rotary_attention` with some of its steps replaced."""

    def answer(q, k, v, positions, mask=None):
        q, k = turning_q(q, positions), turning_k(k, positions)
        v = v if turning_v is None else turning_v(v, positions)
        y = scaled_dot_product_attention(q, k, v, mask)
        return y if ending is None else ending(y, positions)

    return answer


def leave(x, positions):
    return x


def queries_not_turned(x, positions):
    """The queries are not turned. Queries and keys turn, each by its own position."""
    return x


def queries_turned_back(x, positions):
    """You turn the queries the other way: then the sum of the positions counts, not their
    difference."""
    return rotary(x, -positions)


def queries_turned_twice(x, positions):
    """You turn the queries twice."""
    return rotary(x, 2 * positions)


def keys_not_turned(x, positions):
    """The keys are not turned. Queries and keys turn, each by its own position."""
    return x


def keys_turned_back(x, positions):
    """You turn the keys the other way: then the sum of the positions counts, not their
    difference."""
    return rotary(x, -positions)


@also(turning_k=leave)
def nothing_turned(x, positions):
    """Nothing is turned: this is plain attention, and positions play no part."""
    return x


def counted(x, positions):
    return rotary(x, torch.arange(len(positions)))


@also(turning_k=counted)
def positions_not_used(x, positions):
    """You count 0, 1, 2, … yourself: the positions that come in are not used."""
    return counted(x, positions)


def waves_added(x, positions):
    return x + sinusoidal(positions.to(x), x.shape[-1])


@also(turning_k=waves_added)
def added_not_turned(x, positions):
    """You add sinusoidal positions to queries and keys. Rotary positions turn them."""
    return waves_added(x, positions)


def values_turned_too(x, positions):
    """You turn the values as well. They stay: what is read must not depend on where."""
    return rotary(x, positions)


def output_turned(y, positions):
    """You turn the output. Queries and keys turn, before they meet."""
    return rotary(y, positions)


@slip
def no_mask_taken(q, k, v, positions, mask=None):
    """The mask is not used: masked keys are attended to."""
    return rotary_attention(q, k, v, positions)


@slip
def causal_without_a_mask(q, k, v, positions, mask=None):
    """You hide the future where no mask is given. Without a mask nothing is hidden."""
    if mask is None:
        mask = causal_mask(q.shape[-2], k.shape[-2]).to(q.device)
    return rotary_attention(q, k, v, positions, mask)


@slip
def keys_turned_by_other_positions(q, k, v, positions, mask=None):
    """The keys are turned by the positions backwards. Query and key of a token share its
    position."""
    k = rotary(k, positions.flip(0))
    return scaled_dot_product_attention(rotary(q, positions), k, v, mask)


@slip
def waves_on_the_values(q, k, v, positions, mask=None):
    """You add sinusoidal positions to the values. They stay: what is read must not depend on
    where."""
    return rotary_attention(q, k, v + sinusoidal(positions.to(v), v.shape[-1]), positions, mask)


@slip
def mask_turned_round(q, k, v, positions, mask=None):
    """The mask is inverted: it is True where a query may attend, and you hide just that."""
    return rotary_attention(q, k, v, positions, mask if mask is None else ~mask)


@slip
def not_scaled(q, k, v, positions, mask=None):
    """The scores are not divided by sqrt(d)."""
    return rotary_attention(q * math.sqrt(q.shape[-1]), k, v, positions, mask)


@slip
def scaled_by_d(q, k, v, positions, mask=None):
    """You divide the scores by d. Attention divides by sqrt(d)."""
    return rotary_attention(q / math.sqrt(q.shape[-1]), k, v, positions, mask)


def rotary_attention_functional(q, k, v, positions, mask=None):
    q, k = rotary_complex(q, positions), rotary_complex(k, positions)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)


def rotary_attention_stacked(q, k, v, positions, mask=None):
    q, k = rotary(torch.stack([q, k]), positions)
    scores = einsum(q, k, "... i d, ... j d -> ... i j") * q.shape[-1] ** -0.5
    return masked_softmax(scores, mask) @ v


# 2D sinusoidal


def image_trials():
    def trial(name, rows, columns, dim):
        inputs = dict(rows=Given("h", rows), columns=Given("w", columns), dim=dim)
        return Trial(name, dict(h=len(rows), w=len(columns), dim=dim), inputs)

    return (
        trial("on 3 x 5 pixels, dim = 8", numbers(*range(3)), numbers(*range(5)), 8),
        trial("with odd halves, dim = 6", numbers(*range(4)), numbers(*range(2)), 6),
        trial("on a piece of a larger image", numbers(7, 8), numbers(3, 4, 5), 4),
    )


def widths_without_halves():
    inputs = dict(rows=Given("h", numbers(0, 1)), columns=Given("w", numbers(0, 1, 2)), dim=5)
    return (Trial("dim = 5, which has no halves", dict(h=2, w=3), inputs),)


def in_halves_or_not(dim):
    if dim % 2:
        raise ValueError(f"{dim=} has no halves")


def grid(down, across):
    """Vectors of rows and of columns, each spread over the whole grid."""
    h, w = len(down), len(across)
    return repeat(down, "h d -> h w d", w=w), repeat(across, "w d -> h w d", h=h)


def two_halves(rows, columns, dim):
    return grid(sinusoidal(rows, dim // 2), sinusoidal(columns, dim // 2))


@slip
def halves_added(rows, columns, dim):
    """You add the vectors of row and column: many pixels become alike. Each gets one half of
    the features."""
    down, across = grid(sinusoidal(rows, dim), sinusoidal(columns, dim))
    return down + across


@slip
def twice_as_wide(rows, columns, dim):
    """Row and column both get all `dim` features, so yours are twice as wide. Each gets
    half."""
    return torch.cat(grid(sinusoidal(rows, dim), sinusoidal(columns, dim)), -1)


@slip
def rows_cut_from_the_whole(rows, columns, dim):
    """You make vectors of all `dim` features and cut them in the middle: the slow half is lost.
    Make them dim / 2 wide."""
    down, across = grid(sinusoidal(rows, dim), sinusoidal(columns, dim))
    return torch.cat([down[..., : dim // 2], across[..., : dim // 2]], -1)


@slip
def in_reading_order(rows, columns, dim):
    """You number the pixels in reading order and take that as position: pixels above each other
    are then far apart. Row and column get half of the features each."""
    order = columns + len(columns) * rows[:, None]
    return rearrange(sinusoidal(order.flatten(), dim), "(h w) d -> h w d", h=len(rows))


@slip
def columns_down(rows, columns, dim):
    """Your first axis is the column: w h dim. Rows go down: h w dim."""
    return rearrange(sinusoidal_2d(rows, columns, dim), "h w d -> w h d")


@slip
def features_interleaved(rows, columns, dim):
    """You deal the features out in turn. The first half is for rows, the second for columns."""
    return rearrange(list(two_halves(rows, columns, dim)), "two h w half -> h w (half two)")


@slip
def rows_alone(rows, columns, dim):
    """The columns play no part: both halves say the row."""
    down, _ = two_halves(rows, columns, dim)
    return torch.cat([down, down], -1)


@slip
def columns_alone(rows, columns, dim):
    """The rows play no part: both halves say the column."""
    _, across = two_halves(rows, columns, dim)
    return torch.cat([across, across], -1)


@slip
def counted_from_the_corner(rows, columns, dim):
    """You count 0, 1, 2, … yourself: the positions that come in are not used."""
    across, down = torch.arange(len(columns)).to(columns), torch.arange(len(rows)).to(rows)
    return sinusoidal_2d(down, across, dim)


@slip
def scaled_to_the_picture(rows, columns, dim):
    """You divide the positions by height and width. They are used as they are."""
    return sinusoidal_2d(rows / len(rows), columns / len(columns), dim)


@slip
def halves_multiplied(rows, columns, dim):
    """You multiply the vectors of row and column. They stand side by side, half the features
    each."""
    down, across = grid(sinusoidal(rows, dim), sinusoidal(columns, dim))
    return down * across


@variant
def columns_first(rows, columns, dim):
    """The column is in the first half, as in the code of the masked autoencoder ("here w goes
    first"). Here the row comes first, as in DETR."""
    down, across = two_halves(rows, columns, dim)
    return torch.cat([across, down], -1)


@variant
def sines_before_cosines(rows, columns, dim):
    """In each half you have all sines, then all cosines, as in the code of the masked
    autoencoder; for a network that is alike. In this chapter sine and cosine alternate."""

    def table(at):
        return torch.cat(
            [sinusoidal(at, dim // 2)[:, ::2], sinusoidal(at, dim // 2)[:, 1::2]], 1
        )

    return torch.cat(grid(table(rows), table(columns)), -1)


def image_loops(rows, columns, dim):
    in_halves_or_not(dim)
    down, across = sinusoidal(rows, dim // 2), sinusoidal(columns, dim // 2)
    return torch.stack([torch.stack([torch.cat([a, c]) for c in across]) for a in down])


def image_filled(rows, columns, dim):
    in_halves_or_not(dim)
    half = dim // 2
    table = torch.zeros(len(rows), len(columns), dim, dtype=rows.dtype, device=rows.device)
    table[:, :, :half] = sinusoidal(rows, half)[:, None]
    table[:, :, half:] = sinusoidal(columns, half)[None]
    return table


# CoordConv: one recipe


def coord_trials():
    def trial(name, radius=False, window=3, **sizes):
        init = dict(channels=sizes["c"], out_channels=sizes["e"], window=window, radius=radius)
        return Trial(name, sizes, dict(x="b c h w"), init)

    return (
        trial("on 3 x 5 pixels", b=4, c=6, h=3, w=5, e=7, xyr=2),
        trial("with the distance", True, b=2, c=4, h=5, w=9, e=6, xyr=3),
        trial("on one row", True, b=2, c=4, h=1, w=5, e=6, xyr=3),
        trial("on one pixel, with a window of 1", False, 1, b=3, c=4, h=1, w=1, e=5, xyr=2),
    )


def from_minus_1_to_1(n, other):
    return torch.linspace(-1, 1, n, dtype=torch.float64) if n > 1 else numbers(0)


def columns_then_rows(across, down):
    return [across, down]


def from_scaled(across, down):
    return torch.hypot(across, down)


def behind(x, coordinates):
    return torch.cat([x, coordinates], 1)


def convolved(self, x):
    return self.conv(x)


def coord_recipe(
    ruling=from_minus_1_to_1,
    ordering=columns_then_rows,
    measuring=from_scaled,
    joining=behind,
    ending=convolved,
):
    """`CoordConv2d` with some of its steps replaced."""

    class Answer(CoordConv2d):
        def coordinates(self, x):
            b, _, h, w = x.shape
            across = repeat(ruling(w, h).to(x), "w -> b h w", b=b, h=h)
            down = repeat(ruling(h, w).to(x), "h -> b h w", b=b, w=w)
            maps = ordering(across, down)
            maps = [*maps, measuring(across, down)] if self.radius else maps
            return torch.stack(maps, 1)

        def forward(self, x):
            return ending(self, joining(x, self.coordinates(x)))

    return Answer


def from_0_to_1(n, other):
    """Your coordinates run from 0 to 1. They run from -1 to 1: times 2, minus 1."""
    return (from_minus_1_to_1(n, other) + 1) / 2


def in_pixels(n, other):
    """Your coordinates count pixels. They are scaled to run from -1 to 1."""
    return torch.arange(n, dtype=torch.float64)


def one_step_short(n, other):
    """You divide by n: the last pixel does not reach 1. Divide by n - 1."""
    return 2 * torch.arange(n, dtype=torch.float64) / n - 1


def pixel_centres(n, other):
    """Your coordinates belong to the centres of pixels in an image from -1 to 1
    (align_corners=False). Here the first and the last pixel are at -1 and 1."""
    return (2 * torch.arange(n, dtype=torch.float64) + 1) / n - 1


def by_the_other_side(n, other):
    """You scale the columns by the height and the rows by the width: on an image that is not
    square they leave [-1, 1]. Each axis has its own length."""
    return 2 * torch.arange(n, dtype=torch.float64) / max(other - 1, 1) - 1


def from_the_far_end(n, other):
    """Your coordinates run from 1 to -1. They grow to the right and downwards."""
    return from_minus_1_to_1(n, other).flip(0)


def one_pixel_is_nan(n, other):
    """On an axis of one pixel you divide by 0: nan. Its coordinate is 0."""
    return 2 * torch.arange(n, dtype=torch.float64) / (n - 1) - 1


def one_pixel_at_the_edge(n, other):
    """On an axis of one pixel your coordinate is -1, which is what torch.linspace(-1, 1, 1)
    gives. One pixel is in the middle: 0."""
    return torch.linspace(-1, 1, n, dtype=torch.float64)


def middle_is_not_0(n, other):
    """You centre without scaling: your coordinates are pixels from the middle. The edges are at
    -1 and 1."""
    return torch.arange(n, dtype=torch.float64) - (n - 1) / 2


def rows_then_columns(across, down):
    return [down, across]


def columns_twice(across, down):
    """Both channels hold the columns. The second holds the rows."""
    return [across, across]


def rows_twice(across, down):
    """Both channels hold the rows. The first holds the columns."""
    return [down, down]


def rows_negative(across, down):
    """Your rows grow upwards. They grow downwards, as in the tensor."""
    return [across, -down]


def half_subtracted(across, down):
    """You subtract 0.5 before you measure the distance, as if coordinates ran from 0 to 1. The
    middle is at 0 already."""
    return torch.hypot(across - 0.5, down - 0.5)


def squared(across, down):
    """The root is missing: your distance is squared."""
    return across**2 + down**2


def along_the_axes(across, down):
    """You add the distances along both axes. The distance is the root of the sum of squares."""
    return across.abs() + down.abs()


def scaled_to_1(across, down):
    """You scale the distance so that the corners are at 1. They are at sqrt(2): the root of the
    sum of squares, no more."""
    return torch.hypot(across, down) / math.sqrt(2)


def scaled_to_the_largest(across, down):
    """You divide the distance by the largest, so that it ends at 1. It is the root of the sum
    of squares, no more: sqrt(2) in the corners."""
    distance = torch.hypot(across, down)
    return distance / distance.max().clamp(min=1e-9)


def from_the_corner(across, down):
    """You measure from the corner at the top left. The distance is that from the middle."""
    return torch.hypot(across + 1, down + 1)


def in_front(x, coordinates):
    """The coordinates come before the channels. They come behind: the first weights belong to
    x."""
    return torch.cat([coordinates, x], 1)


def coordinates_left_out(x, coordinates):
    """The convolution does not see the coordinates: zeros take their place."""
    return torch.cat([x, 0 * coordinates], 1)


def picture_left_out(x, coordinates):
    """The convolution does not see the picture, only coordinates."""
    return torch.cat([0 * x, coordinates], 1)


def of_first_example(x, coordinates):
    """All examples get the first picture. Each has its own; only the coordinates are shared."""
    return torch.cat([x[:1].expand(x.shape), coordinates], 1)


def rectified(self, x):
    """You apply a ReLU at the end. CoordConv is a convolution, nothing more."""
    return self.conv(x).relu()


def without_bias(self, x):
    """The bias is left out: call the layer, not only its weight."""
    return F.conv2d(x, self.conv.weight, padding=self.conv.padding)


RowsFirst = Slip(
    "RowsFirst",
    "The rows come first, as the paper lists them (i, then j) and as the most used port to"
    " PyTorch does. Here, as in the authors' code, the columns do.",
    coord_recipe(ordering=rows_then_columns),
    variant=True,
)


class CoordByMeshgrid(CoordConv2d):
    def coordinates(self, x):
        h, w = x.shape[-2:]
        y = torch.linspace(-1, 1, h).to(x) if h > 1 else torch.zeros(1).to(x)
        c = torch.linspace(-1, 1, w).to(x) if w > 1 else torch.zeros(1).to(x)
        rows, columns = torch.meshgrid(y, c, indexing="ij")
        maps = [columns, rows]
        if self.radius:
            maps.append((rows**2 + columns**2).sqrt())
        return torch.stack(maps).unsqueeze(0).repeat(x.shape[0], 1, 1, 1)


class CoordLoops(CoordConv2d):
    def coordinates(self, x):
        b, _, h, w = x.shape
        maps = x.new_zeros(b, 2 + self.radius, h, w)
        for row in range(h):
            for column in range(w):
                across = 2 * column / (w - 1) - 1 if w > 1 else 0
                down = 2 * row / (h - 1) - 1 if h > 1 else 0
                maps[:, 0, row, column] = across
                maps[:, 1, row, column] = down
                if self.radius:
                    maps[:, 2, row, column] = math.sqrt(across**2 + down**2)
        return maps

    def forward(self, x):
        channels, conv = x.shape[1], self.conv
        picture = F.conv2d(x, conv.weight[:, :channels], conv.bias, padding=conv.padding)
        maps = self.coordinates(x)
        return picture + F.conv2d(maps, conv.weight[:, channels:], padding=conv.padding)


SKEWS = (
    padded_on_the_right,
    last_row_dropped,
    not_skewed,
    distances_reversed,
    shifted_to_the_right,
    shifted_by_i,
    diagonal_lost,
    minus_infinity_above,
    turned_over,
    upper_half,
    unmasked,
)

EXERCISES = [
    Exercise(
        id="positional.sinusoidal",
        solution=sinusoidal,
        probes={"sinusoidal": "n dim"},
        trials=sinusoidal_trials,
        slips=(
            *family(
                sinusoidal_recipe,
                unsaid=dict(waving=(in_halves,)),
                placing=(positions_ignored, counted_from_one),
                timing=(
                    exponent_over_all_features,
                    every_feature_its_frequency,
                    base_1000,
                    base_100000,
                    ever_faster,
                    half_the_exponent,
                    twice_the_exponent,
                    binary,
                    full_turns,
                    to_the_last_pair,
                    one_more_pair,
                    in_steps,
                ),
                waving=(
                    cosine_first,
                    sines_only,
                    cosines_only,
                    last_feature_missing,
                    last_feature_empty,
                    one_feature_too_many,
                    halves_with_cosines_first,
                    features_down,
                ),
            ),
            Slip(
                "in_halves",
                " ".join(in_halves.__doc__.split()),
                sinusoidal_recipe(waving=in_halves),
                variant=True,
            ),
            tensor2tensor,
            next_even_width,
        ),
        hints=(
            "How many different frequencies do 6 features have? And 5?",
            (
                "One frequency for each pair of features: 10000^(-2i/d) for i = 0, 1, …, and"
                " `torch.arange(0, dim, 2)` is 2i already. Angles are positions times"
                " frequencies, n pair. An odd width loses its last cosine."
            ),
            (
                "angles = positions (n) times 10000 ** (-arange(0, dim, 2) / dim) (pair)\n"
                'rearrange([sin, cos], "wave n pair -> n (pair wave)"), cut to dim columns'
            ),
        ),
        minutes=10,
        difficulty=2,
        otherwise=(sinusoidal_loops, sinusoidal_filled, sinusoidal_by_phase),
        laws=(
            "norm_is_constant",
            "gram_is_toeplitz",
            "shift_is_a_rotation",
            "frequencies_have_their_base",
            "pairs_turn_at_their_speed",
        ),
        skip=frozenset({"gradients", "large"}),
    ),
    Exercise(
        id="positional.learned_positions",
        solution=LearnedPositions,
        probes={"forward": "b n dim"},
        trials=learned_trials,
        blank=("forward",),
        slips=(
            PlacesMissing,
            PlacesAlone,
            AlongTheBatch,
            LastPlaces,
            FirstPlaceForAll,
            PlacesBackwards,
            OnePlaceLate,
            Multiplied,
            Appended,
            TokensScaled,
            PlacesNormed,
            SameNumberForAllFeatures,
        ),
        hints=(
            "The table has `length` rows. Which of them does a sequence of n tokens need?",
            (
                "The first n, one for each token, the same for every example of the batch: axes"
                " are matched from the right, so n dim meets b n dim as it should."
            ),
            (
                "n = x.shape[-2]; raise ValueError if n is more than the table has\n"
                "return x + the first n rows of self.table"
            ),
        ),
        minutes=4,
        difficulty=1,
        otherwise=(LearnedLoops, LearnedEmbedding),
        refuses=longer_than_the_table,
        laws=("examples_do_not_mix", "tokens_and_places_count_once", "one_step_more_or_less"),
        skip=frozenset({"kind"}),
    ),
    Exercise(
        id="positional.relative_index",
        solution=relative_index,
        probes={"relative_index": "i j"},
        trials=index_trials,
        slips=(
            not_clipped,
            not_shifted,
            clipped_after_the_shift,
            only_how_far,
            wraps_around,
            one_too_high,
            one_row_short,
            past_alone,
            keys_down,
            aligned_at_the_end,
            clipped_to_the_table,
            first_row_unused,
            past_ends_early,
            shifted_by_queries,
            sums_for_distances,
            as_fractions,
            sign_turned,
        ),
        hints=(
            "With clip = 2 there are 5 rows. Which distance does row 0 stand for, which row 4?",
            (
                "Distances j - i as a table i j: one arange down, one across. `clamp` keeps"
                " them within -clip … clip; adding clip makes them count from 0."
            ),
            "(j - i as i j).clamp(-clip, clip) + clip, with i of shape i 1",
        ),
        minutes=6,
        difficulty=2,
        otherwise=(index_loops, index_by_clip_of_rows),
        laws=("rows_follow_distances",),
    ),
    Exercise(
        id="positional.relative_attention",
        solution=RelativeAttention,
        probes={"attention": "b i j", "forward": "b i e"},
        trials=relative_trials,
        blank=("attention", "forward"),
        slips=(
            *family(
                relative_recipe,
                unsaid=dict(after=(empty_rows,)),
                paired=(
                    later_keys_alike,
                    no_place_in_keys,
                    by_key,
                    keys_turned,
                    place_unscaled,
                    unscaled,
                    divided_by_d,
                    mask_ignored,
                    mask_inverted,
                    mask_after_the_softmax,
                    over_queries,
                    empty_rows_are_nan,
                    empty_rows_are_uniform,
                    no_place_in_values,
                    places_not_weighted,
                    values_turned,
                ),
                indexing=(
                    far_keys_wrap,
                    places_of_keys,
                    later_keys_alike,
                    earlier_keys_alike,
                ),
                placing=(
                    no_place_in_keys,
                    by_key,
                    by_query_and_key,
                    not_multiplied,
                    by_first_query,
                    keys_turned,
                ),
                scaling=(
                    place_unscaled,
                    content_unscaled,
                    unscaled,
                    divided_by_d,
                    root_of_twice_d,
                    place_subtracted,
                    place_alone,
                ),
                masking=(mask_ignored, mask_inverted, mask_fills_zero, mask_after_the_softmax),
                normalising=(over_queries, no_softmax),
                after=(empty_rows_are_nan, empty_rows_are_uniform),
                mixing=(
                    no_place_in_values,
                    places_not_weighted,
                    places_averaged,
                    values_turned,
                    places_alone,
                    own_place_added,
                ),
            ),
            SignTurned,
            TwoSoftmaxes,
            PlaceAfterTheSoftmax,
            PlaceOfTheMap,
        ),
        hints=(
            (
                "Write out q_i · (k_j + a_(j-i)). It is a sum of two products; which of them is"
                " plain attention?"
            ),
            (
                "`self.keys[rows]` has the vectors of all pairs, i j d. The second product sums"
                " d and keeps i and j: an einsum. The output splits likewise: weights @ v, and"
                " weights with `self.values[rows]`, i j e, summed over j."
            ),
            (
                "attention: rows = self.index(q, k)\n"
                "    scores = q k over d, plus q self.keys[rows] over d, all over sqrt(d)\n"
                "    return masked_softmax(scores, mask)\n"
                "forward: weights @ v, plus weights self.values[rows] over j"
            ),
        ),
        minutes=20,
        difficulty=4,
        otherwise=(RelativeLoops, RelativeBroadcast, RelativeByTable),
        laws=(
            "masked_keys_do_not_matter",
            "rows_sum_to_one",
            "content_and_place_count_alike",
            "examples_do_not_mix",
        ),
    ),
    Exercise(
        id="positional.skew",
        solution=skew,
        probes={"skew": "b i j"},
        trials=skew_trials,
        slips=SKEWS,
        hints=(
            (
                "Write the distances of a 3 x 3 table into its cells, row by row: -2 -1 0 in"
                " each. By how many cells must each row move for column 0 to hold key 0?"
            ),
            (
                "Row i moves left by n - 1 - i: each row one less than the one above. Put a"
                " column of zeros on the left, read the numbers row by row into n columns"
                " again, and drop the first row. What is above the diagonal becomes 0: `tril`."
            ),
            (
                "padded = F.pad(x, (1, 0))                        i (1 + r)\n"
                "one long row, cut anew into rows of n            (1 + r) i\n"
                "without the first row, lower triangle"
            ),
        ),
        minutes=12,
        difficulty=3,
        otherwise=(skew_by_gather, skew_by_rolls, skew_by_rows),
        refuses=other_tables,
        laws=("examples_do_not_mix", "nothing_above_the_diagonal", "cells_hold_their_distance"),
        skip=frozenset({"kind"}),
    ),
    Exercise(
        id="positional.relative_logits",
        solution=relative_logits,
        probes={"relative_logits": "b i j"},
        trials=logits_trials,
        slips=(
            *map(skewed_by, SKEWS),
            largest_tensor,
            softmax_of_logits,
            other_distances_above,
            keys_for_queries,
            divided_already,
            own_row_alone,
            feature_sums,
        ),
        hints=(
            "How many numbers are there in table[rows], i j d? How many in q times the table?",
            (
                "Multiply first, sort afterwards: every query with every row of the table is"
                " i r. Then column r is a distance, and `skew` makes it a key."
            ),
            "skew(einsum of q (… i d) and table (r d), summed over d)",
        ),
        minutes=4,
        difficulty=2,
        otherwise=(logits_by_gather, logits_by_rows),
        laws=(
            "examples_do_not_mix",
            "nothing_above_the_diagonal",
            "one_step_more_or_less",
            "a_constant_factor",
            "cells_hold_their_distance",
        ),
        cost=Cost(largest_tensor=2),
    ),
    Exercise(
        id="positional.rotary",
        solution=rotary,
        probes={"rotary": "b n d"},
        trials=rotary_trials,
        slips=(
            *family(
                rotary_recipe,
                unsaid=dict(laying=(as_halves,)),
                placing=(counted_by_yourself, begun_at_one, turned_back),
                timing=(
                    pairs_of_base_1000,
                    pairs_ever_faster,
                    pairs_half_the_exponent,
                    pairs_twice_the_exponent,
                    one_angle,
                    backwards,
                ),
                laying=(pulled_apart, halves_put_back_as_neighbours),
                turning=(
                    added,
                    scaled_by_waves,
                    cosines_alone,
                    two_pluses,
                    sine_for_cosine,
                    second_left_alone,
                    first_overwritten,
                    pair_exchanged,
                ),
            ),
            halves_by_angles_of_neighbours,
            neighbours_by_angles_of_halves,
            TurnedInHalves,
        ),
        hints=(
            (
                "A point (a, b) of the plane turns by an angle φ about the origin. Where does"
                " it end up?"
            ),
            (
                "At (a cos φ - b sin φ, a sin φ + b cos φ). Every pair (2i, 2i + 1) is such a"
                " point, and its angle is the position times 10000^(-2i/d). All those sines and"
                " cosines are in `sinusoidal(positions, d)`."
            ),
            (
                "sin, cos = even and odd columns of sinusoidal(positions, d)   n pair\n"
                "a, b = even and odd features of x                             … n pair\n"
                "a cos - b sin and a sin + b cos, back in turn                 … n (pair two)"
            ),
        ),
        minutes=12,
        difficulty=3,
        otherwise=(rotary_complex, rotary_by_matrices, rotary_half_trick),
        refuses=odd_widths,
        laws=(
            "turning_keeps_lengths",
            "frequencies_have_their_base",
            "pairs_turn_by_their_angle",
            "examples_do_not_mix",
        ),
        skip=frozenset({"large", "kind"}),
    ),
    Exercise(
        id="positional.rotary_attention",
        solution=rotary_attention,
        probes={"rotary_attention": "b n e"},
        trials=rotary_attention_trials,
        slips=(
            *family(
                rotary_attention_recipe,
                turning_q=(
                    queries_not_turned,
                    queries_turned_back,
                    queries_turned_twice,
                    nothing_turned,
                    positions_not_used,
                    added_not_turned,
                ),
                turning_k=(keys_not_turned, keys_turned_back),
                turning_v=(values_turned_too,),
                ending=(output_turned,),
                paired=(),
            ),
            no_mask_taken,
            causal_without_a_mask,
            keys_turned_by_other_positions,
            waves_on_the_values,
            mask_turned_round,
            not_scaled,
            scaled_by_d,
        ),
        hints=(
            "Which of q, k and v decide who looks at whom?",
            (
                "q and k. Each is turned by its own position; then their product depends on the"
                " difference alone. v stays: it is what is read."
            ),
            "scaled_dot_product_attention of q turned, k turned, v and the mask",
        ),
        minutes=3,
        difficulty=1,
        otherwise=(rotary_attention_functional, rotary_attention_stacked),
        laws=(
            "output_is_a_mixture_of_values",
            "examples_do_not_mix",
            "one_step_more_or_less",
        ),
        skip=frozenset({"large"}),
    ),
    Exercise(
        id="positional.sinusoidal_2d",
        solution=sinusoidal_2d,
        probes={"sinusoidal_2d": "h w dim"},
        trials=image_trials,
        slips=(
            halves_added,
            twice_as_wide,
            rows_cut_from_the_whole,
            in_reading_order,
            columns_down,
            features_interleaved,
            rows_alone,
            columns_alone,
            counted_from_the_corner,
            halves_multiplied,
            scaled_to_the_picture,
            columns_first,
            sines_before_cosines,
        ),
        hints=(
            "What do all pixels of one row have in common, and in which features?",
            (
                "The vector of their row: `sinusoidal(rows, dim // 2)` is h half. Copy it along"
                " w, copy the columns' along h, and put the two side by side."
            ),
            (
                'repeat(…, "h half -> h w half", w=…)\nrepeat(…, "w half -> h w half", h=…)\n'
                "torch.cat of both, along the last axis; before that a ValueError for odd dim"
            ),
        ),
        minutes=6,
        difficulty=2,
        otherwise=(image_loops, image_filled),
        refuses=widths_without_halves,
        skip=frozenset({"gradients", "large", "kind"}),
    ),
    Exercise(
        id="positional.coord_conv",
        solution=CoordConv2d,
        probes={"coordinates": "b xyr h w", "forward": "b e h w"},
        trials=coord_trials,
        blank=("coordinates", "forward"),
        slips=(
            *family(
                coord_recipe,
                ruling=(
                    from_0_to_1,
                    in_pixels,
                    one_step_short,
                    pixel_centres,
                    by_the_other_side,
                    from_the_far_end,
                    one_pixel_is_nan,
                    one_pixel_at_the_edge,
                    middle_is_not_0,
                ),
                ordering=(columns_twice, rows_twice, rows_negative),
                measuring=(
                    half_subtracted,
                    squared,
                    along_the_axes,
                    scaled_to_1,
                    scaled_to_the_largest,
                    from_the_corner,
                ),
                joining=(in_front, coordinates_left_out, picture_left_out, of_first_example),
                ending=(rectified, without_bias),
            ),
            RowsFirst,
        ),
        hints=(
            (
                "Five pixels in a row, the first at -1 and the last at 1. Where is the second?"
                " And where would a single pixel be?"
            ),
            (
                "`torch.linspace(-1, 1, n)` for n > 1, else 0, with dtype and device of x."
                " Columns w are copied along b and h, rows h along b and w; the distance is"
                " sqrt(columns² + rows²)."
            ),
            (
                "coordinates: across (w), down (h), each repeated to b h w\n"
                "    with self.radius also torch.hypot(across, down)\n"
                '    "xyr b h w -> b xyr h w"\n'
                "forward: self.conv of x and the coordinates, joined along the channels"
            ),
        ),
        minutes=12,
        difficulty=3,
        otherwise=(CoordByMeshgrid, CoordLoops),
        laws=(
            "coordinates_span_the_picture",
            "examples_do_not_mix",
            "one_step_more_or_less",
            "a_constant_factor",
        ),
    ),
]
