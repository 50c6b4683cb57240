"""The record of `positional.relative_attention`."""

import math

import torch
from einops import einsum
from torch.nn import functional as F

from attncourse.exercises.families import also, family, named, naturally
from attncourse.exercises.record import Exercise, Given, Trial
from solutions.positional import (
    RelativeAttention,
    masked_softmax,
)
from solutions.scaled_dot_product import causal_mask


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


SignTurned = named(
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


TwoSoftmaxes = named(
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


PlaceAfterTheSoftmax = named(
    "PlaceAfterTheSoftmax",
    "You add q_i · a_(j-i) after the softmax, to the weights. It belongs to the scores: eq. 4"
    " adds it before.",
    _PlaceAfterTheSoftmax,
)


def _content_times_place(content, place, d):
    return content * place / math.sqrt(d)


PlaceOfTheMap = named(
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


EXERCISE = Exercise(
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
)
