"""What is read off a wrong answer is what is wrong with it, and of a right one nothing is said.

Each answer is checked without the slips of its exercise, so that the laws alone speak.
"""

import math
from dataclasses import replace
from functools import cache

import pytest
import torch
from torch.nn import functional as F

from attncourse import check
from attncourse.checker.diagnosis.count import count_in_letters
from attncourse.checker.laws import LAWS, Look
from attncourse.checker.trials import prepare
from attncourse.course import exercise
from solutions.positional import relative_index, skew
from solutions.scaled_dot_product import padding_mask
from solutions.transformer import attend_and_remember, beam_step, learning_rate

NEW = (
    "ratios_of_shares",
    "nothing_above_the_diagonal",
    "cells_hold_their_distance",
    "rows_follow_distances",
    "masked_scores_are_gone",
    "lengths_are_kept",
    "tokens_and_places_count_once",
    "frequencies_have_their_base",
    "one_step_more_or_less",
    "shares_of_the_target",
    "rates_rise_and_fall",
    "penalty_of_one_word",
    "ways_are_the_best",
    "cache_holds_all",
)


@cache
def without_slips(id):
    return replace(exercise(id), slips=())


def said(id, answer) -> str:
    return check(without_slips(id), answer).message.splitlines()[0]


def uses():
    from attncourse.course import exercises

    return [(ex.id, law) for ex in exercises().values() for law in ex.laws if law in NEW]


@pytest.mark.parametrize(("id", "law"), uses())
def test_of_the_solution_nothing_is_said(id, law):
    ex = exercise(id)
    for declared in ex.trials():
        trial = prepare(ex, declared, "seed")
        for probe, axes in ex.probes.items():
            layer = ex.solution
            if ex.is_module:
                layer = ex.solution(**trial.init).double()
                layer.load_state_dict(trial.weights)

            def ask(layer=layer, probe=probe, trial=trial, **changes):
                from attncourse.checker.calling import arguments

                call = getattr(layer, probe) if ex.is_module else layer
                with torch.no_grad():
                    return call(*arguments(ex, probe, trial.fresh() | changes))

            y = ask()
            if isinstance(y, (torch.Tensor, tuple)):
                told = None
                try:
                    told = LAWS[law](Look(trial, probe, axes, y, y, ask))
                except (ValueError, TypeError, AttributeError, KeyError):
                    pass  # a law that has nothing to read here; `check` takes it so
                assert told is None


def test_every_law_is_used():
    assert {law for _, law in uses()} == set(NEW)


# chapters 1 to 3


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (lambda x: (x / 2).softmax(-1), "Your shares are those of 0.5 x"),
        (lambda x: x.clamp(max=0).softmax(-1), ", get equal shares"),
        (lambda x: (x - 0.1 * x**2).softmax(-1), "must be exp of the difference"),
    ],
)
def test_shares_of_scores(answer, says):
    assert says in said("scaled_dot_product.softmax", answer)


def attention(hidden):
    """The weights with something else where the mask is False."""

    def answer(q, k, mask=None):
        scores = q @ k.mT / math.sqrt(q.shape[-1])
        if mask is None:
            return scores.softmax(-1)
        weights = torch.where(mask, scores, hidden(scores)).softmax(-1)
        return weights.masked_fill(~mask.any(-1, keepdim=True), 0)

    return answer


@pytest.mark.parametrize(
    ("hidden", "says"),
    [
        (lambda s: s - 3, "A masked score is lowered by 3, not to -inf"),
        (lambda s: s + 1.5, "A masked score is raised by 1.5, not to -inf"),
        (lambda s: 0 * s - 7, "Masked scores become -7, and exp of it is a share that shows"),
        (lambda s: s, "The mask is not used"),
        (lambda s: 0.25 * s, "Masked scores are multiplied by 0.25"),
    ],
)
def test_what_becomes_of_masked_scores(hidden, says):
    weights = attention(hidden)
    assert says in said("scaled_dot_product.attention_weights", weights)
    assert says in said(
        "scaled_dot_product.scaled_dot_product_attention",
        lambda q, k, v, mask=None: weights(q, k, mask) @ v,
    )


def test_which_keys_an_example_lets_through():
    message = said(
        "scaled_dot_product.padding_mask",
        lambda lengths, keys: padding_mask((lengths + 1).clamp(max=keys), keys),
    )
    assert message == (
        "Example b=0 has length 2; your mask lets through keys 0, 1, 2. It should let through"
        " keys 0, 1."
    )


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (
            lambda n, m, clip: relative_index(n, m, clip) + 1,
            "The distance j - i = 0 gets row 3",
        ),
        (lambda n, m, clip: relative_index(n, m, clip).clamp(max=3), "j - i = 2 gets row 3"),
        (
            lambda n, m, clip: relative_index(n, m, clip) * torch.arange(n)[:, None],
            "Pairs at one distance, j - i = 0, get different rows",
        ),
    ],
)
def test_rows_of_distances(answer, says):
    assert says in said("positional.relative_index", answer)


def test_cells_of_the_skewed_table():
    message = said("positional.skew", lambda x: skew(x.roll(1, -1)))
    assert message == (
        "Cell i=0, j=0 holds column 3 of row 0 of x; it should hold column 4 of row 0, its"
        " distance j - i = 0."
    )
    message = said("positional.skew", lambda x: skew(x) + torch.ones_like(x).triu(1))
    assert message.startswith("Below the diagonal all is right. Above it, where j > i")
    message = said("positional.relative_logits", lambda q, t: skew(q @ t.flip(0).mT))
    assert message.startswith("Cell i=0, j=0 holds column 0 of row 0 of q times the table")


def waves(base, factor=1.0):
    def answer(positions, dim):
        even = torch.arange(0, dim, 2).to(positions)
        angles = factor * positions[:, None] * base ** (-even / dim)
        return torch.stack([angles.sin(), angles.cos()], -1).flatten(1)[:, :dim]

    return answer


def turned(base, factor=1.0):
    def answer(x, positions):
        sin, cos = (
            waves(base, factor)(positions.to(x), x.shape[-1]).unflatten(-1, (-1, 2)).unbind(-1)
        )
        a, b = x.unflatten(-1, (-1, 2)).unbind(-1)
        return torch.stack([a * cos - b * sin, a * sin + b * cos], -1).flatten(-2)

    return answer


@pytest.mark.parametrize(
    ("id", "make"), [("positional.sinusoidal", waves), ("positional.rotary", turned)]
)
def test_base_of_the_frequencies(id, make):
    message = said(id, make(500_000.0))
    assert message == "Your frequencies are 500000^(-2f/d). The base is 10000."
    message = said(id, make(10_000.0**2))
    assert message.startswith("Your frequencies are those of twice the exponent")
    message = said(id, make(10_000.0, 0.25))
    assert message.startswith("All your angles are 0.25 times as large as they should be")


def test_how_often_places_count():
    from solutions.positional import LearnedPositions

    class Answer(LearnedPositions):
        def forward(self, x):
            return x + 3 * self.table[: x.shape[-2]]

    assert said("positional.learned_positions", Answer).startswith("The places count 3 times")


# chapter 4


def loss(share=None, weigh=None, more=0.0, prepare=lambda logits: logits):
    """The loss with another target, another weight of the words, or a constant more."""

    def answer(logits, target, smoothing=0.1):
        words = logits.shape[-1]
        q = torch.full_like(logits, smoothing / words) + (1 - smoothing) * F.one_hot(
            target, words
        )
        q = q if share is None else share(q, target, smoothing, words)
        each = -(q * prepare(logits).log_softmax(-1)).sum(-1)
        there = (target != 0).to(each)
        weight = there / there.sum() if weigh is None else weigh(there)
        return (each * weight).sum() + more

    return answer


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (loss(lambda q, t, s, w: q + 0.1), "Yours sum to 1.7, not to 1."),
        (loss(lambda q, t, s, w: q.where(q < 0.5, 0.7)), "the right word has a share of 0.7"),
        (loss(weigh=lambda there: there), "is divided by nothing: you sum"),
        (loss(weigh=lambda there: there / len(there)), "by the number of sentences, b"),
        (loss(weigh=lambda there: torch.ones_like(there) / there.sum()), "Padding counts"),
        (loss(more=0.5), "A constant is added, 0.5, that no logit moves"),
        (loss(prepare=lambda x: x.softmax(-1)), "no weighted sum of log_softmax(logits)"),
        (
            loss(weigh=lambda there: there * torch.tensor([1.0, 2.0]).to(there)[:, None]),
            "Words count unequally",
        ),
    ],
)
def test_shares_and_weights_of_the_loss(answer, says):
    assert says in said("transformer.label_smoothing_loss", answer)


def rate(rise=1.0, fall=-0.5, width=-0.5, factor=1.0, top=None):
    def answer(step, dim, warmup=4000):
        at = step / (top or warmup)
        return factor * dim**width * warmup**-0.5 * torch.where(at < 1, at**rise, at**fall)

    return answer


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (rate(rise=2.0), "Up to step = warmup your rate changes like step^2"),
        (rate(fall=-1.0), "After the warm-up your rate changes like step^-1"),
        (rate(width=-1.0), "changes with the width like dim^-1; it is dim^-0.5"),
        (rate(factor=2.0), "Your rate is everywhere 2 times what it should be"),
        (
            lambda step, dim, warmup=4000: learning_rate(step, dim, 2 * warmup),
            "Your rate rises as if `warmup` were 20 and not 10",
        ),
        (
            lambda step, dim, warmup=4000: rate()(step, dim, 7),
            "The rate does not depend on `warmup`",
        ),
    ],
)
def test_powers_of_the_schedule(answer, says):
    assert says in said("transformer.learning_rate", answer)


def test_formula_of_the_penalty():
    message = said("transformer.length_penalty", lambda n, alpha: ((2 + n) / 4) ** alpha)
    assert (
        message == "Yours is ((2 + length) / 4)^alpha; it should be ((5 + length) / 6)^alpha."
    )


def test_ways_of_the_beam():
    id = "transformer.beam_step"

    def left_out(log_p, new, width):
        best, beam, word = beam_step(log_p, new, width + 1)
        return best[:, 1:], beam[:, 1:], word[:, 1:]

    def other_numbers(log_p, new, width):
        best, beam, word = beam_step(log_p, new, width)
        return best / 2, beam, word

    def backwards(log_p, new, width):
        return tuple(part.flip(1) for part in beam_step(log_p, new, width))

    def pointing_elsewhere(log_p, new, width):
        best, beam, word = beam_step(log_p, new, width)
        return best, beam, word.roll(1, 1)

    assert said(id, left_out).startswith("A better way is left out: beam")
    assert "you return" in said(id, other_numbers)
    assert "but beam" in said(id, other_numbers)
    assert said(id, backwards).startswith("The ways are right and come in the wrong order")
    assert said(id, pointing_elsewhere).startswith("The log-probabilities are right, but")


def test_places_of_the_cache():
    id = "transformer.attend_and_remember"

    def half(q, k, v, keys, values):
        return attend_and_remember(q, k / 2, v, keys, values)

    def exchanged(q, k, v, keys, values):
        return attend_and_remember(q, k, k, keys, values)

    def not_scaled(q, k, v, keys, values):
        keys, values = torch.cat([keys, k], 2), torch.cat([values, v], 2)
        return (q @ keys.mT).softmax(-1) @ values, keys, values

    assert said(id, half) == (
        "Place 6 of the keys that you return holds 0.5 times the new key; it should hold the"
        " new key."
    )
    assert "holds the new key; it should hold the new value" in said(id, exchanged)
    assert said(id, not_scaled).startswith("Your scores are 2 times as large")


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (lambda dim, heads: 4 * dim**2 + 7 * dim, "You count 3 dim too many."),
        (
            lambda dim, heads: 4 * dim**2 + 4 * dim * heads,
            "You count 4 dim heads too many and 4 dim too few.",
        ),
        (lambda dim, heads: dim**2 + dim**3, "`parameters` returns"),
    ],
)
def test_counts_in_letters(answer, says):
    assert said("multi_head.parameters", answer).startswith(says)


def test_a_count_that_is_right_is_not_spoken_of():
    inputs = [dict(n=2, m=5), dict(n=3, m=7), dict(n=11, m=4)]
    right = [x["n"] * x["m"] for x in inputs]
    assert count_in_letters(inputs, right, right) is None
    assert count_in_letters(inputs[:2], [1, 2], right[:2]) is None  # two trials say nothing


@pytest.mark.parametrize(
    ("step", "says"),
    [
        (lambda y, x: y + x, "`x` is added to the result once too often"),
        (lambda y, x: y - x, "`x` is missing; it is added to the result"),
        (lambda y, x: y.sigmoid(), "you return the sigmoid of what it should be"),
        (lambda y, x: y.log_softmax(-1), "you return the log_softmax of what it should be"),
    ],
)
def test_one_step_too_many(step, says):
    ex = exercise("transformer.encoder_layer")
    trial = prepare(ex, ex.trials()[0], "seed")
    right = torch.randn(2, 5, 12, generator=torch.Generator().manual_seed(1)).double()
    y = step(right, trial.inputs["x"])
    look = Look(trial, "forward", "b n (head d)", y, right, lambda **_: None)
    assert says in LAWS["one_step_more_or_less"](look)


# what is taken in silence, and small numbers


def test_what_cannot_be_done_must_not_be_done_in_silence():
    from solutions.positional import LearnedPositions, rotary

    class Wraps(LearnedPositions):
        def forward(self, x):
            return x + self.table[torch.arange(x.shape[-2], device=x.device) % len(self.table)]

    class Stops(LearnedPositions):
        def forward(self, x):
            return x + self.table[torch.arange(x.shape[-2], device=x.device)]

    verdict = check("positional.learned_positions", Wraps)
    assert verdict.slip == "not_refused"
    assert "6 tokens where there are 5 places" in verdict.message
    verdict = check("positional.learned_positions", Stops)
    assert "ends in IndexError for 6 tokens where there are 5 places" in verdict.message

    def odd_feature_left(x, positions):
        even = x.shape[-1] // 2 * 2
        return torch.cat([rotary(x[..., :even], positions), x[..., even:]], -1)

    assert check("positional.rotary", odd_feature_left).slip == "not_refused"


def test_an_epsilon_shows_in_the_gradient():
    def answer(x):
        shares = (x - x.amax(-1, keepdim=True)).exp()
        return shares / (shares.sum(-1, keepdim=True) + 1e-6)

    verdict = check("scaled_dot_product.softmax", answer)
    assert verdict.status == "not yet"
    assert "an epsilon in a denominator" in verdict.message


@pytest.mark.parametrize("filler", [-30.0, -100.0, -1e3])
def test_a_finite_filler_shows_where_all_scores_are_lower(filler):
    def answer(q, k, mask=None):
        scores = q @ k.mT / math.sqrt(q.shape[-1])
        if mask is None:
            return scores.softmax(-1)
        weights = scores.masked_fill(~mask, filler).softmax(-1)
        return weights * mask.any(-1, keepdim=True)

    verdict = check("scaled_dot_product.attention_weights", answer)
    assert verdict.status == "not yet"
    assert verdict.message.startswith("Where scores lie around -1951, masked keys get all")
