"""The loss with smoothed labels: what each word counts, read off by logits of 0 but one."""

import math
from collections.abc import Mapping, Sequence
from itertools import product

import torch
from torch import Tensor

from attncourse.checker.laws.look import Look, law, said_first
from attncourse.exercises.letters import number, place

BIG = 30.0  # a logit that takes the whole softmax
Place = tuple[int, ...]


@said_first
@law
def shares_of_the_target(look: Look) -> str | None:
    """Which shares the words have in the target, and how much each word counts, read off the
    loss."""
    target, smoothing = map(look.trial.inputs.get, ("target", "smoothing"))
    if smoothing is None:
        return None
    there = [tuple(p) for p in (target != 0).nonzero().tolist()]
    zero = _loss(look, (0, 0, 0), 0.0)
    whole, shares = _shares(look, there[0], zero)
    if not all(map(math.isfinite, (zero, whole, *shares))):
        return None
    if not _is_a_weighted_sum(look, there[0], zero, whole, shares):
        return (
            "Your loss is no weighted sum of log_softmax(logits): is a softmax applied twice,"
            " or left out, or something clamped?"
        )
    if abs(whole) < 1e-9:
        return None
    used = {0, *target.unique().tolist()}
    other = next(w for w in range(len(shares) - 1, 0, -1) if w not in used)
    counts = _counts(look, there[0], other, zero, whole)
    return (
        _of_padding(target, counts, whole)
        or _of_shares(shares, whole, len(there), int(target[there[0]]), other, smoothing)
        or _of_words(target, [(p, counts[p]) for p in there], whole)
        or _of_the_divisor(look, len(there), whole)
        or _of_a_constant(zero - math.log(len(shares)))
    )


def _loss(look: Look, at: Sequence[int], size: float) -> float:
    """The loss where all logits are 0 but one."""
    logits = torch.zeros_like(look.trial.inputs["logits"])
    logits[tuple(at)] = size
    y = look.ask(logits=logits)
    if not isinstance(y, Tensor) or y.numel() != 1:
        raise ValueError("no loss")
    return y.item()


def _risen(size: float, words: int) -> float:
    """By how much the logarithm of the sum rises when one logit of 0 becomes this large."""
    return math.log(math.exp(size) + words - 1) - math.log(words)


def _shares(look: Look, at: Place, zero: float) -> tuple[float, list[float]]:
    """What a word counts, times the sum of its shares; and each share, times what it counts."""
    words = look.trial.inputs["logits"].shape[-1]
    moved = [_loss(look, (*at, w), BIG) - zero for w in range(words)]
    level = _risen(BIG, words)
    whole = sum(moved) / (words * level - BIG)
    return whole, [(whole * level - d) / BIG for d in moved]


def _is_a_weighted_sum(
    look: Look, at: Place, zero: float, whole: float, shares: list[float]
) -> bool:
    """Whether the shares foretell the loss for another size of a logit."""
    w = int(look.trial.inputs["target"][at])
    predicted = whole * _risen(BIG / 2, len(shares)) - shares[w] * BIG / 2
    return not abs(_loss(look, (*at, w), BIG / 2) - zero - predicted) > 1e-6


def _counts(look: Look, at: Place, other: int, zero: float, whole: float) -> dict[Place, float]:
    """What every place counts, by a word that occurs nowhere."""
    b, n, _ = look.trial.inputs["logits"].shape
    rest = _loss(look, (*at, other), BIG) - zero
    return {
        p: (_loss(look, (*p, other), BIG) - zero) / rest * whole
        for p in product(range(b), range(n))
    }


def _of_padding(target: Tensor, counts: Mapping[Place, float], whole: float) -> str | None:
    for p, c in counts.items():
        if target[p] == 0 and abs(c) > 1e-6 * abs(whole):
            return (
                f"Padding counts: the place {place(p, 'b i')}, where the target is PAD, has"
                f" {number(c / whole)} of the weight of a word. It must have none."
            )
    return None


def _of_shares(
    shares: list[float], whole: float, count: int, right_word: int, other: int, s: float
) -> str | None:
    """Shares of the target that are not those of smoothed labels, where `count` words share
    the loss."""
    words = len(shares)
    wanted = {right_word: 1 - s + s / words}
    if all(
        abs(share / whole - wanted.get(w, s / words)) < 1e-6 for w, share in enumerate(shares)
    ):
        return None
    parts = [share * count for share in shares]
    others = {round(x, 9) for w, x in enumerate(parts) if w not in (right_word, 0)}
    rest = number(parts[other])
    if len(others) == 1 and right_word != 0 and abs(parts[0] - parts[other]) > 1e-6:
        rest += f" (PAD: {number(parts[0])})"
    total = sum(parts)
    text = "" if abs(total - 1) < 1e-6 else f" Yours sum to {number(total)}, not to 1."
    return (
        f"In your target the right word has a share of {number(parts[right_word])} and each"
        f" other one {rest}; it should be 1 - smoothing + smoothing / words ="
        f" {number(1 - s + s / words)} and smoothing / words = {number(s / words)}.{text}"
    )


def _of_words(target: Tensor, known: list[tuple[Place, float]], whole: float) -> str | None:
    """Words that do not count, or not alike."""
    for p, c in known:
        if abs(c) < 1e-6 * abs(whole):
            word = {1: "BEGIN", 2: "END"}.get(int(target[p]), "a word")
            return f"The place {place(p, 'b i')}, where the target is {word}, does not count."
    (one, least), (two, most) = (f(known, key=lambda at: at[1]) for f in (min, max))
    if most - least > 1e-6 * abs(whole):
        return (
            f"Words count unequally: one at {place(two, 'b i')} counts"
            f" {number(most / least)} times as much as one at"
            f" {place(one, 'b i')}. Take one mean over all words."
        )
    return None


def _of_the_divisor(look: Look, count: int, whole: float) -> str | None:
    """What the sum over words is divided by."""
    b, n, words = look.trial.inputs["logits"].shape
    for divisor, what in (
        (1, "nothing: you sum"),
        (b, "the number of sentences, b"),
        (n, "the length of the sentences, i"),
        (b * n, "the number of all places, b i"),
        (words, "the number of words in the vocabulary"),
        (count * words, "the words there are times those in the vocabulary"),
    ):
        if abs(whole * divisor - 1) < 1e-6 and divisor != count:
            return (
                f"The sum over words is divided by {what}. Divide it by the number of words"
                f" that are no padding, {count}."
            )
    if abs(whole * count * math.log(2) - 1) < 1e-6:
        return "Your logarithms are of base 2. They are natural ones, as in log_softmax."
    if abs(whole * count - 1) > 1e-6:
        return (
            f"Each word counts {number(whole)}; it should count 1 / {count}, one over the"
            " number of words that are no padding."
        )
    return None


def _of_a_constant(more: float) -> str | None:
    if abs(more) > 1e-6:
        return (
            f"A constant is added, {number(more)}, that no logit moves: is this the KL"
            " divergence? The loss is the cross-entropy, without the entropy of the target."
        )
    return None
