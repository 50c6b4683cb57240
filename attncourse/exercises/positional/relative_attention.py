"""Attention whose keys and values know how far they are from the query (eqs. 3 to 5)."""

import math

import torch
from einops import einsum
from torch.nn import functional as F

from attncourse.exercises.edits import by_hand, often, published, wrong
from attncourse.exercises.record import Exercise, Given, Trial, slip
from solutions.positional import RelativeAttention, masked_softmax
from solutions.scaled_dot_product import causal_mask


def trials():
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
        trial("with an axis of heads", 2, None, "b head", b=2, head=3, i=4, j=9, d=5, e=7),
    )


# fmt: off
SCALED = "(content + place) / math.sqrt(q.shape[-1])"
NO_ROWS = ("weights.masked_fill(~mask.any(-1, keepdim=True), 0)", "weights")
KEYS, VALUES = "self.keys[self.index(q, k)]", "self.values[self.index(q, k)]"
TURNED = "[2 * self.clip - self.index(q, k)]"

INDICES = (
    *often(
        wrong("later_keys_alike", KEYS, "self.keys[self.index(q, k).clamp(max=self.clip)]",
              "All later keys share the vector of the query's own place. They have vectors of their"
              " own, up to clip.",
              (VALUES, "self.values[self.index(q, k).clamp(max=self.clip)]")),
    ),
    wrong("earlier_keys_alike", KEYS, "self.keys[self.index(q, k).clamp(min=self.clip)]",
          "All earlier keys share the vector of the query's own place. They have vectors of their"
          " own, up to clip.",
          (VALUES, "self.values[self.index(q, k).clamp(min=self.clip)]")),
    wrong("far_keys_wrap", KEYS, "self.keys[(distances(q, k) + self.clip) % len(self.keys)]",
          "A far key gets the vector of a near one: you take j - i modulo the length of the table."
          " Beyond clip all share the outermost vector; `self.index` gives the rows.",
          (VALUES, "self.values[(distances(q, k) + self.clip) % len(self.values)]")),
    wrong("places_of_keys", KEYS, "self.keys[columns(q, k).clamp(max=2 * self.clip)]",
          "Your vectors belong to the place of the key, not to its distance from the query: you use"
          " j where j - i is meant.",
          (VALUES, "self.values[columns(q, k).clamp(max=2 * self.clip)]")),
    published("SignTurned", KEYS, f"self.keys{TURNED}",
              "You count i - j, as lucidrains' conformer does. Shaw et al. count j - i; the tables"
              " are the same, read from the other end.",
              (VALUES, f"self.values{TURNED}")),
)

PLACES = (
    *often(
        wrong("no_place_in_keys", "content + place", "content",
              "The keys do not know where they are: q_i · a_(j-i) is missing in the scores (eq."
              " 4)."),
        wrong("by_key", "einsum(q, self", "einsum(k, self",
              "You multiply the vectors of the distances with the keys. Eq. 4 multiplies them with"
              " the queries: q_i · (k_j + a).",
              ('"... i d, i j d', '"... j d, i j d')),
        wrong("keys_turned", KEYS, f"self.keys{TURNED}",
              "You count i - j for the keys and j - i for the values. Take `self.index` for both."),
    ),
    wrong("by_query_and_key", "content + place",
          f'content + place + einsum(k, {KEYS}, "... j d, i j d -> ... i j")',
          "You multiply the vectors of the distances with the keys as well. Eq. 4 multiplies them"
          " with the queries alone: q_i · (k_j + a)."),
    wrong("not_multiplied", f'einsum(q, {KEYS}, "... i d, i j d -> ... i j")', f"{KEYS}.sum(-1)",
          "You add the sum of a_(j-i) to the scores, a number that no query has a say in. Eq. 4 has"
          " q_i · a_(j-i)."),
    wrong("by_first_query", "einsum(q, self", "einsum(q[..., 0, :], self",
          "You multiply all distances with the first query. Query i meets the vectors of row i.",
          ('"... i d, i j d', '"... d, i j d')),
)

SUMS = (
    *often(
        wrong("place_unscaled", SCALED, "content / math.sqrt(q.shape[-1]) + place",
              "Only q · k is divided by sqrt(d). Eq. 4 divides the sum of both terms."),
        wrong("unscaled", SCALED, "(content + place)",
              "The scores are not divided by sqrt(d)."),
        wrong("divided_by_d", "math.sqrt(q.shape[-1])", "q.shape[-1]",
              "You divide the scores by d. Eq. 4 divides by sqrt(d)."),
    ),
    wrong("content_unscaled", SCALED, "content + place / math.sqrt(q.shape[-1])",
          "Only q · a is divided by sqrt(d). Eq. 4 divides the sum of both terms."),
    wrong("root_of_twice_d", "math.sqrt(q.shape[-1])", "math.sqrt(2 * q.shape[-1])",
          "You divide by sqrt(2 d), as if the two terms made it twice as wide. Eq. 4 divides by"
          " sqrt(d)."),
    wrong("PlaceAfterTheSoftmax", f"masked_softmax({SCALED}, mask)",
          "masked_softmax(content / math.sqrt(q.shape[-1]), mask) + place",
          "You add q_i · a_(j-i) after the softmax, to the weights. It belongs to the scores: eq. 4"
          " adds it before."),
)

MASKS = (
    by_hand(f"return masked_softmax({SCALED}, mask)",
            f"scores = {SCALED}\n"
            "if mask is None:\n"
            "    return scores.softmax(-1)\n"
            "weights = scores.masked_fill(~mask, -math.inf).softmax(-1)\n"
            "return weights.masked_fill(~mask.any(-1, keepdim=True), 0)"),
    *often(
        wrong("mask_ignored", ".masked_fill(~mask, -math.inf)", "",
              "The mask is not used: masked keys are attended to.",
              NO_ROWS),
        wrong("mask_inverted", "~mask, -math.inf", "mask, -math.inf",
              "The mask is inverted: it is True where a query may attend, and you hide just that."),
        wrong("mask_after_the_softmax", ".masked_fill(~mask, -math.inf)", "",
              "You hide keys after the softmax, where they have taken weight already. Mask the scores.",
              ("weights.masked_fill(~mask.any(-1, keepdim=True), 0)", "weights * mask")),
        wrong("over_queries", "return scores.softmax(-1)", "return scores.softmax(-2)",
              "Your softmax runs over the queries i. It runs over the keys j, the last axis.",
              ("math.inf).softmax(-1)", "math.inf).softmax(-2)")),
        wrong("empty_rows_are_nan", *NO_ROWS,
              "A query that may attend to nothing gives nan: softmax over nothing but -inf is 0 /"
              " 0. `masked_softmax` gives 0."),
        wrong("empty_rows_are_uniform", "-math.inf", "-1e9",
              "A query that may attend to nothing gets the mean of all values: with a finite filler"
              " such as -1e9 its softmax is uniform. `masked_softmax` gives 0.",
              NO_ROWS),
    ),
    wrong("keys_not_masked", ".masked_fill(~mask, -math.inf)", "",
          "You use the mask for empty rows alone: masked keys are attended to. Fill their scores with"
          " -inf."),
    wrong("mask_fills_zero", "-math.inf", "0.0",
          "Masked scores become 0, and exp(0) = 1 still takes weight. Fill with -inf.",
          NO_ROWS),
)

READINGS = (
    *often(
        wrong("no_place_in_values", ' + einsum(weights, places, "... i j, i j e -> ... i e")', "",
              "The values do not say where they come from: Σ A_ij a_(j-i) is missing (eq. 3)."),
        wrong("places_not_weighted", 'einsum(weights, places, "... i j, i j e -> ... i e")',
              "places.sum(1)",
              "You sum the vectors of all distances without the weights. Eq. 3 weighs value and"
              " vector alike: Σ A_ij (v_j + a)."),
        wrong("values_turned", VALUES, f"self.values{TURNED}",
              "You count i - j for the values and j - i for the keys. Take `self.index` for both."),
    ),
    wrong("places_averaged", 'einsum(weights, places, "... i j, i j e -> ... i e")',
          "places.mean(1)",
          "You add the plain mean of the vectors. Eq. 3 weighs value and vector alike: Σ A_ij (v_j"
          " + a)."),
    wrong("own_place_added", 'einsum(weights, places, "... i j, i j e -> ... i e")',
          "self.values[self.clip]",
          "You add the vector of distance 0 to every output. Each value brings the vector of its"
          " own distance."),
)
# fmt: on


def distances(q, k):
    """j - i for every pair."""
    return torch.arange(k.shape[-2]) - torch.arange(q.shape[-2])[:, None]


def columns(q, k):
    """j for every pair."""
    return torch.arange(k.shape[-2]).expand(q.shape[-2], -1)


class TwoSoftmaxes(RelativeAttention):
    """You take a softmax over content and another over place. There is one, over the sum of
    both terms: eq. 4."""

    share = 0.5

    def attention(self, q, k, mask=None):
        content = einsum(q, k, "... i d, ... j d -> ... i j")
        place = einsum(q, self.keys[self.index(q, k)], "... i d, i j d -> ... i j")
        content, place = (
            masked_softmax(s / math.sqrt(q.shape[-1]), mask) for s in (content, place)
        )
        return self.share * (content + place)


class TwoSoftmaxesSummed(TwoSoftmaxes):
    share = 1


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
    trials=trials,
    blank=("attention", "forward"),
    slips=(*INDICES, *PLACES, *SUMS, *MASKS, *READINGS, slip(TwoSoftmaxes, TwoSoftmaxesSummed)),
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
