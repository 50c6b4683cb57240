"""Laws that read numbers off a wrong answer: shares, exponents, rows, ways of a beam.

They ask the answer questions of which it is known what they cost, and say what comes back in
the terms of the formula. `attncourse.checker.laws` has those that look at the result alone.
"""

import math
from collections.abc import Mapping, Sequence
from itertools import combinations, pairwise, product
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from attncourse.checker.laws import Look, _keys, _map_of, _named, _scale, _shares, close, law
from attncourse.exercises.letters import largest, number, place

READ_OFF = (  # these name the cause more closely than a step of torch can be named
    "ratios_of_shares",
    "nothing_above_the_diagonal",
    "cells_hold_their_distance",
    "rows_follow_distances",
    "masked_scores_are_gone",
    "lengths_are_kept",
    "tokens_and_places_count_once",
    "frequencies_have_their_base",
    "shares_of_the_target",
    "rates_rise_and_fall",
    "penalty_of_one_word",
    "ways_are_the_best",
    "cache_holds_all",
)
OF_SEVERAL = {"ways_are_the_best", "cache_holds_all"}  # look at all returns together

# a softmax, a triangle, a table of distances


@law
def ratios_of_shares(look: Look) -> str | None:
    """Two shares of a row stand in the ratio exp of the difference of their scores."""
    x = look.trial.inputs.get("x")
    if not isinstance(x, Tensor) or x.shape != look.y.shape or not (look.y > 1e-200).all():
        return None
    mine, right = (z - z[..., :1] for z in (look.y.log(), x))
    off = (mine - right).abs()
    if off.max() < 1e-6:
        return None
    log = look.y.log()
    alike = ((log[..., None] - log[..., None, :]).abs() < 1e-9) & (
        (x[..., None] - x[..., None, :]).abs() > 1e-6
    )
    if alike.any():
        *row, j, other = alike.nonzero()[0].tolist()
        one, two = (number(x[(*row, at)].item()) for at in (j, other))
        return (
            f"Two scores of a row, {one} and {two} (j={j} and j={other}), get equal shares:"
            " is a score clamped or rounded?"
        )
    slope = ((mine * right).sum() / right.square().sum()).item()
    if (mine - slope * right).abs().max() < 1e-6:
        return (
            f"Your shares are those of {number(slope)} x: the exponent is multiplied by"
            " something, or the base is not e."
        )
    at = largest(off)
    where = f"j={int(at[-1])} and j=0"
    return (
        f"Two shares of a row stand in the ratio {number(mine[at].exp().item())} ({where}); it"
        f" must be exp of the difference of their scores, {number(right[at].item())}."
    )


@law
def nothing_above_the_diagonal(look: Look) -> str | None:
    """Where j > i the skewed logits are 0."""
    if look.y.shape[-1] != look.y.shape[-2] or close(look.y, look.expected):
        return None
    if not close(look.y.tril(), look.expected.tril()):
        return None
    at = largest(look.y.triu(1).abs())
    return (
        "Below the diagonal all is right. Above it, where j > i, there must be 0, and you have"
        f" {number(look.y[at].item())} ({place(at, look.axes)}): take the lower triangle."
    )


@law
def cells_hold_their_distance(look: Look) -> str | None:
    """Which column of x a cell of the skewed table holds."""
    x, q, table = map(look.trial.inputs.get, ("x", "q", "table"))
    if isinstance(q, Tensor) and isinstance(table, Tensor):
        x, called = q @ table.mT, "q times the table"
    else:
        called = "x"
    if not isinstance(x, Tensor) or x.shape != look.y.shape or not look.axes.endswith("i j"):
        return None
    n = x.shape[-1]
    first, mine = x.reshape(-1, n, n)[0], look.y.reshape(-1, n, n)[0]
    for i, j in torch.tril_indices(n, n).T.tolist():
        found = (first - mine[i, j]).abs() < 1e-9
        if bool(found[i, j - i + n - 1]):
            continue
        should = (
            f"it should hold column {j - i + n - 1} of row {i}, its distance j - i = {j - i}"
        )
        if found.any():
            row, column = (int(z) for z in found.nonzero()[0])
            return (
                f"Cell i={i}, j={j} holds column {column} of row {row} of {called}; {should}."
            )
        return f"Cell i={i}, j={j} holds {number(mine[i, j].item())}; {should}."
    return None


@law
def rows_follow_distances(look: Look) -> str | None:
    """The row of a pair depends on j - i alone: clip for 0, and from 0 to 2 clip."""
    clip, y = look.trial.inputs.get("clip"), look.y
    if not isinstance(clip, int) or y.ndim != 2:
        return None
    distance = torch.arange(y.shape[1]) - torch.arange(y.shape[0])[:, None]
    for d in sorted(distance.unique().tolist(), key=abs):
        rows = y[distance == d].unique().tolist()
        if len(rows) > 1:
            return (
                f"Pairs at one distance, j - i = {d}, get different rows, {number(rows[0])} and"
                f" {number(rows[1])}. The row depends on the distance alone."
            )
        right = min(max(d, -clip), clip) + clip
        if rows[0] != right:
            why = " (clip)" if d == 0 else ""
            ends = (
                ""
                if 0 <= y.min() and y.max() <= 2 * clip
                else (
                    f" Your rows run from {y.min().item()} to {y.max().item()}; the table"
                    f" has 0 to {2 * clip}."
                )
            )
            return (
                f"The distance j - i = {d} gets row {number(rows[0])}; it should get row"
                f" {right}{why}.{ends}"
            )
    return None


# masked scores


@law
def masked_scores_are_gone(look: Look) -> str | None:
    """What becomes of a masked score, where it does not become -inf."""
    q, k = look.trial.inputs.get("q"), look.trial.inputs.get("k")
    if look.mask is None or not isinstance(q, Tensor) or not isinstance(k, Tensor):
        return None
    weights = look.y if look.axes.endswith("i j") else _map_of(look)
    if not isinstance(weights, Tensor) or weights.ndim != q.ndim:
        return None
    scores, root = q @ k.mT, q.shape[-1] ** 0.5
    if weights.shape != scores.shape or not (weights > 0).any():
        return None
    allowed = look.allowed(weights.shape)
    some = allowed.any(-1) & ((~allowed).sum(-1) > 1)
    for row, may, score in zip(weights[some], allowed[some], scores[some] / root, strict=True):
        hidden = row[~may]
        if row[may].max() < 1e-9 < hidden.min() and hidden.max() - hidden.min() < 1e-9:
            return (
                f"Where scores lie around {number(score.mean().item())}, masked keys get all"
                " the weight: what you fill in is a number, and not the lowest. Fill with -inf."
            )
    both = allowed.any(-1) & ~allowed.all(-1) & (weights > 1e-200).all(-1)
    if not both.any():
        return None
    scores, weights, allowed = scores[both] / root, weights[both], allowed[both]
    inside = weights.log()
    level = ((inside - scores) * allowed).sum(-1, keepdim=True) / allowed.sum(-1, keepdim=True)
    inside = inside - level  # the scores as they went into the softmax, up to one number a row
    if not close(inside[allowed], scores[allowed]):
        return None
    mine, right = inside[~allowed], scores[~allowed]
    lower = right - mine
    if lower.abs().max() < 1e-9:
        return "The mask is not used: keys that it forbids get their full share."
    if lower.std(correction=0) < 1e-6:
        size = lower.mean().item()
        return (
            f"A masked score is {'lowered' if size > 0 else 'raised'} by {number(abs(size))},"
            " not to -inf: is the mask added as a number? Fill with -inf where it is False."
        )
    if mine.std(correction=0) < 1e-6:
        filler = mine.mean().item()
        return (
            f"Masked scores become {number(filler)}, and exp of it is a share that shows. Fill"
            " with -inf where the mask is False, before the softmax."
        )
    if close(mine, right * (mine / right).mean()):
        return (
            f"Masked scores are multiplied by {number((mine / right).mean().item())}. Fill with"
            " -inf where the mask is False."
        )
    return None


# positions and their frequencies


@law
def tokens_and_places_count_once(look: Look) -> str | None:
    """x and the first rows of the table, added, each once."""
    x, table = look.trial.inputs.get("x"), (look.trial.weights or {}).get("table")
    if not isinstance(x, Tensor) or table is None or x.shape != look.y.shape:
        return None
    places = table[: x.shape[-2]].expand_as(x)
    known = torch.stack([x.flatten(), places.flatten()], -1)
    times = torch.linalg.lstsq(known, look.y.flatten()[:, None]).solution[:, 0]
    if not close((known @ times).reshape(x.shape), look.y):
        return None
    sizes = look.trial.sizes
    mine, theirs = (_named(t, sizes) for t in times.tolist())
    if abs(times[0] - 1) > 1e-6:
        return f"x counts {mine} times in your sum. It counts once."
    if abs(times[1] - 1) > 1e-6:
        return f"The places count {theirs} times in your sum. They count once."
    return None


@law
def frequencies_have_their_base(look: Look) -> str | None:
    """Pair i turns by 10000^(-2i/d) from one position to the next, read off and fitted."""
    x, at = look.trial.inputs.get("x"), look.trial.inputs.get("positions")
    if not isinstance(at, Tensor) or 1 not in at.diff().tolist():
        return None
    n = at.diff().tolist().index(1)

    def speeds(y: Tensor) -> Tensor:
        a, b = y[..., ::2].contiguous(), y[..., 1::2].contiguous()
        if isinstance(x, Tensor):
            turned = torch.complex(a, b) / torch.complex(
                x[..., ::2].contiguous(), x[..., 1::2].contiguous()
            )
            turned = turned.reshape(-1, *turned.shape[-2:])[0]
        else:
            turned = torch.complex(b, a)
        if (turned.abs() - 1).abs().max() > 1e-6:
            raise ValueError("no rotation")
        return (turned[n + 1] / turned[n]).angle()

    if look.y.shape[-1] % 2 or look.y.shape[-1] < 6:
        return None
    mine, pairs, d = speeds(look.y), look.y.shape[-1] // 2, look.y.shape[-1]
    if (mine <= 1e-12).any():
        return None
    log = mine.log()
    step = (log[1:] - log[:-1]).mean()
    if not close(log, log[0] + step * torch.arange(pairs)) or abs(step) < 1e-9:
        return None
    base, first = math.exp(-step.item() * d / 2), mine[0].item()
    if abs(base / 10000 - 1) > 1e-6:
        whole = "" if abs(first - 1) < 1e-6 else f"{number(first)} times "
        return f"Your frequencies are {whole}{base:.6g}^(-2i/d). The base is 10000."
    if abs(first - 1) > 1e-6:
        return (
            f"All your angles are {number(first)} times as large as they should be: are the"
            " positions scaled?"
        )
    return None


@law
def lengths_are_kept(look: Look) -> str | None:
    """Each example may be attended to up to its own length."""
    lengths, y = look.trial.inputs.get("lengths"), look.y
    if (
        not isinstance(lengths, Tensor)
        or y.dtype != torch.bool
        or y.shape != look.expected.shape
    ):
        return None
    for b, n in enumerate(lengths.tolist()):
        if bool((y[b] == look.expected[b]).all()):
            continue
        return (
            f"Example b={b} has length {n}; your mask lets through {_keys(y[b].flatten())}. It"
            f" should let through {_keys(look.expected[b].flatten())}."
        )
    return None


# the right result and something more


STEPS = (
    (lambda y: y.softmax(-1), "the softmax of"),
    (lambda y: y.log_softmax(-1), "the log_softmax of"),
    (lambda y: y.sigmoid(), "the sigmoid of"),
    (lambda y: y.tanh(), "the tanh of"),
    (lambda y: y.relu(), "the ReLU of"),
    (F.gelu, "the GELU of"),
    (lambda y: y.exp(), "exp of"),
    (lambda y: y.log(), "the logarithm of"),
    (lambda y: y.square(), "the square of"),
    (lambda y: y.sqrt(), "the root of"),
    (lambda y: -y, "minus"),
    (lambda y: 1 / y, "1 over"),
    (lambda y: y.abs(), "the absolute value of"),
    (lambda y: F.normalize(y, dim=-1), "the direction, of length 1, of"),
    (lambda y: F.layer_norm(y, y.shape[-1:]), "the layer norm of"),
)


@law
def one_step_more_or_less(look: Look) -> str | None:
    """The right result, and one thing done to it, or one thing left out."""
    y, right = look.y, look.expected
    if (
        not isinstance(y, Tensor)
        or y.shape != right.shape
        or y.dtype != right.dtype
        or not y.is_floating_point()
    ):
        return None
    if close(y, right):
        return None
    for name, x in look.trial.inputs.items():
        if not isinstance(x, Tensor) or x.shape != y.shape or not x.is_floating_point():
            continue
        if close(y - right, x):
            return f"Right, but for one step: `{name}` is added to the result once too often."
        if close(right - y, x):
            return f"Right, but for one step: `{name}` is missing; it is added to the result."
        if close(y, right * x):
            return f"Right, but for one step: the result is multiplied with `{name}`."
        if close(right, y * x):
            return f"Right, but for one step: the result is not multiplied with `{name}`."
    if y.ndim == 0 or y.numel() < 3:
        return None
    for step, what in STEPS:
        if close(y, step(right)):
            return f"Right, but for one step: you return {what} what it should be."
    for step, what in STEPS[:6]:
        if close(step(y), right):
            return f"Right, but for one step: {what} what you return is what it should be."
    return None


# the loss


def _loss(look: Look, at: Sequence[int], size: float) -> float:
    """The loss where all logits are 0 but one."""
    logits = torch.zeros_like(look.trial.inputs["logits"])
    logits[tuple(at)] = size
    y = look.ask(logits=logits)
    if not isinstance(y, Tensor) or y.numel() != 1:
        raise ValueError("no loss")
    return y.item()


@law
def shares_of_the_target(look: Look) -> str | None:
    """Which shares the words have in the target, and how much each word counts, read off the
    loss."""
    logits, target, s = map(look.trial.inputs.get, ("logits", "target", "smoothing"))
    if s is None:
        return None
    (b, n, words), big = logits.shape, 30.0
    there = (target != 0).nonzero().tolist()
    count, at = len(there), next(p for p in there if target[tuple(p)] != 0)
    right_word = int(target[tuple(at)])
    level = math.log(math.exp(big) + words - 1) - math.log(words)
    zero = _loss(look, (0, 0, 0), 0.0)
    moved = [_loss(look, (*at, w), big) - zero for w in range(words)]
    whole = sum(moved) / (words * level - big)  # what this word counts, times the sum of shares
    shares = [(whole * level - d) / big for d in moved]
    half = math.log(math.exp(big / 2) + words - 1) - math.log(words)
    w = right_word
    predicted = whole * half - shares[w] * big / 2
    if abs(_loss(look, (*at, w), big / 2) - zero - predicted) > 1e-6:
        return (
            "Your loss is no weighted sum of log_softmax(logits): is a softmax applied twice,"
            " or left out, or something clamped?"
        )
    if abs(whole) < 1e-9:
        return None
    used = {0, *target.unique().tolist()}
    other = next(w for w in range(words - 1, 0, -1) if w not in used)
    rest = _loss(look, (*at, other), big) - zero
    counts = {}
    for p in product(range(b), range(n)):
        counts[p] = (_loss(look, (*p, other), big) - zero) / rest * whole
    for p, c in counts.items():
        if target[p] == 0 and abs(c) > 1e-6 * abs(whole):
            return (
                f"Padding counts: the place {place(p, 'b i')}, where the target is PAD, has"
                f" {number(c / whole)} of the weight of a word. It must have none."
            )
    wanted = {right_word: 1 - s + s / words}
    parts = [share * count for share in shares]
    normed = [share / whole for share in shares]
    ok = all(abs(x - wanted.get(w, s / words)) < 1e-6 for w, x in enumerate(normed))
    if not ok:
        others = {round(x, 9) for w, x in enumerate(parts) if w not in (right_word, 0)}
        rest_text = number(parts[other])
        if len(others) == 1 and right_word != 0 and abs(parts[0] - parts[other]) > 1e-6:
            rest_text += f" (PAD: {number(parts[0])})"
        total = sum(parts)
        text = "" if abs(total - 1) < 1e-6 else f" Yours sum to {number(total)}, not to 1."
        return (
            f"In your target the right word has a share of {number(parts[right_word])} and each"
            f" other one {rest_text}; it should be 1 - smoothing + smoothing / words ="
            f" {number(1 - s + s / words)} and smoothing / words = {number(s / words)}.{text}"
        )
    known = [counts[tuple(p)] for p in there]
    for p, c in zip(there, known, strict=True):
        if abs(c) < 1e-6 * abs(whole):
            word = {1: "BEGIN", 2: "END"}.get(int(target[tuple(p)]), "a word")
            return f"The place {place(p, 'b i')}, where the target is {word}, does not count."
    if max(known) - min(known) > 1e-6 * abs(whole):
        one, two = (min(range(count), key=lambda k: known[k]), known.index(max(known)))
        return (
            f"Words count unequally: one at {place(there[two], 'b i')} counts"
            f" {number(known[two] / known[one])} times as much as one at"
            f" {place(there[one], 'b i')}. Take one mean over all words."
        )
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
    more = zero - math.log(words)
    if abs(more) > 1e-6:
        return (
            f"A constant is added, {number(more)}, that no logit moves: is this the KL"
            " divergence? The loss is the cross-entropy, without the entropy of the target."
        )
    return None


# the schedule


@law
def rates_rise_and_fall(look: Look) -> str | None:
    """The powers of step, of dim and of warmup in the rate, before the top and after it."""
    step, warmup, dim = map(look.trial.inputs.get, ("step", "warmup", "dim"))
    if warmup is None:
        return None

    def rate(*steps: float, **changes: Any) -> list[float]:
        y = look.ask(step=torch.tensor(steps, dtype=step.dtype), **changes)
        if not isinstance(y, Tensor) or y.shape != (len(steps),) or not (y > 0).all():
            raise ValueError("no rates")
        return y.tolist()

    def right(s: float) -> float:
        return dim**-0.5 * min(s**-0.5, s * warmup**-1.5)

    top = float(warmup)
    low, mid, at_top = rate(top / 5, top / 2.5, top)
    if rate(top / 5, 5 * top, warmup=2 * warmup) == rate(top / 5, 5 * top):
        return "The rate does not depend on `warmup`: is a number written in its place?"
    rise = math.log(mid / low) / math.log(2)
    if abs(rise - 1) > 1e-6:
        return (
            f"Up to step = warmup your rate changes like step^{number(rise)}; it must rise"
            " along a straight line, like step."
        )
    far = [2 * top, 8 * top, 32 * top]
    high = rate(*far)
    falls = _powers(high)
    if max(abs(f + 0.5) for f in falls) > 1e-6:
        after = rate(*(s + top for s in far))
        since = _powers(after)
        if max(abs(f + 0.5) for f in since) < 1e-6:
            return (
                "After the warm-up you count the steps anew, from `warmup` on. They go on"
                " counting from 1: step^-0.5."
            )
        if abs(falls[0] - falls[1]) < 1e-6:
            how = f"changes like step^{number(falls[0])}"
        else:
            how = (
                f"is multiplied by {number(high[1] / high[0])} from step = 2 warmup to 8 warmup"
            )
        return (
            f"After the warm-up your rate {how}; it must fall like step^-0.5: half as much at"
            " four times the step."
        )
    width = math.log(rate(top / 5, dim=4 * dim)[0] / low) / math.log(4)
    if abs(width + 0.5) > 1e-6:
        return f"Your rate changes with the width like dim^{number(width)}; it is dim^-0.5."
    before, behind = mid / right(top / 2.5), high[0] / right(2 * top)
    other = rate(top / 5, warmup=3 * warmup)[0] / rate(top / 5)[0] * 3**1.5
    sizes = {"warmup": warmup} if abs(other - 1) > 1e-6 else {}
    if abs(before - behind) < 1e-6 * before and abs(before - 1) > 1e-6:
        return f"Your rate is everywhere {_named(before, sizes)} times what it should be."
    if abs(behind - 1) < 1e-6 and abs(before - 1) > 1e-6:
        return (
            f"Your rate rises as if `warmup` were {number(warmup * before ** (-2 / 3))} and not"
            f" {warmup}: its slope is warmup^-1.5."
        )
    for factor, where in ((before, "up to step = warmup"), (behind, "after the warm-up")):
        if abs(factor - 1) > 1e-6:
            return f"Your rate {where} is {_named(factor, sizes)} times what it should be."
    if abs(at_top / right(top) - 1) > 1e-6:
        return "Your rate is right before and after step = warmup, but not at this very step."
    return None


def _powers(rates: Sequence[float]) -> list[float]:
    """The power of the step by which a rate changes each time the step becomes four times."""
    return [math.log(one / other, 4) for other, one in pairwise(rates)]


@law
def penalty_of_one_word(look: Look) -> str | None:
    """A line of the length to the power alpha, and 1 for one word."""
    alpha = look.trial.inputs.get("alpha")
    if alpha is None:
        return None
    length = torch.arange(1.0, 9, dtype=torch.float64)

    def penalty(alpha: float) -> Tensor:
        y = look.ask(length=length, alpha=alpha)
        if not isinstance(y, Tensor) or y.shape != length.shape:
            raise ValueError("no penalties")
        return y

    plain, squares = penalty(1.0), penalty(2.0)
    slope = (plain[1] - plain[0]).item()
    straight = close(plain, plain[0] + slope * (length - 1)) and abs(slope) > 1e-9
    if straight and close(squares, plain.square()):
        begin = plain[0].item() / slope - 1
        if abs(begin - 5) + abs(6 * slope - 1) < 1e-6:
            return None
        return (
            f"Yours is (({number(begin)} + length) / {number(1 / slope)})^alpha; it should be"
            " ((5 + length) / 6)^alpha."
        )
    if alpha and straight and close(squares, 2 * plain):
        return "You multiply by alpha. It is the power of the whole fraction."
    if not close(penalty(0.0), torch.ones_like(length)):
        return "With alpha = 0 the penalty must be 1 for every length: alpha is a power."
    one = plain[0].item()
    if abs(one - 1) > 1e-6:
        return f"With alpha = 1 one word has the penalty {number(one)}; it must be 6 / 6 = 1."
    return None


# a step of the beam, a step with a cache: several results


@law
def ways_are_the_best(look: Look) -> str | None:
    """Whether the ways returned are what they say, and whether a better one is left out."""
    log_p, new = map(look.trial.inputs.get, ("log_p", "next_log_p"))
    if log_p is None or not isinstance(look.y, (tuple, list)):
        return None
    best, beam, word = look.y
    every = log_p[..., None] + new
    beams, words = new.shape[1:]
    if beam.min() < 0 or beam.max() >= beams or word.min() < 0 or word.max() >= words:
        return (
            f"Your beams run from {beam.min()} to {beam.max()} and your words from"
            f" {word.min()} to {word.max()}; there are beams 0 to {beams - 1} and words 0 to"
            f" {words - 1}."
        )
    examples = torch.arange(len(every))[:, None]
    own = every[examples, beam, word]
    if close(best, own):
        other = look.ask(log_p=_first_kept(log_p), next_log_p=_first_kept(new))
        if isinstance(other, tuple) and not close(other[0][0], best[0]):
            return (
                "The examples of a batch mix: changing b=1 changes what you return for b=0."
                " Each example has its own `width` ways."
            )
        kept = beam * words + word
        for b, ways in enumerate(kept):
            if len(ways.unique()) < len(ways):
                return f"The same way is there twice (b={b}). All ways differ in beam or word."
            left = every[b].flatten().clone()
            left[ways] = -math.inf
            if left.max() > best[b].min() + 1e-9:
                k, w = divmod(int(left.argmax()), words)
                return (
                    f"A better way is left out: beam {k} with word {w} has"
                    f" {number(left.max().item())} (b={b}), the last that you keep has"
                    f" {number(best[b].min().item())}. Take the likeliest over beams and words"
                    " together."
                )
        if (best.diff() > 0).any():
            return "The ways are right and come in the wrong order: the likeliest comes first."
        return None
    if close(best, new[examples, beam, word]):
        return (
            "What you return first is the log-probability of the last word alone. Add that of"
            " the beam so far: log_p + next_log_p."
        )
    for step, what in ((torch.exp, "exp of"), (torch.neg, "minus"), (torch.log, "log of")):
        if close(best, step(own)):
            return f"What you return first is {what} what it should be: log p of each way."
    if close(best, look.expected[0]):
        at = tuple(int(z) for z in (best - own).abs().nonzero()[0])
        return (
            "The log-probabilities are right, but the beams and words are not theirs: at"
            f" {place(at, 'b width')} you name beam {beam[at]} with word {word[at]}. From the"
            " place in (beam word) get beam = place // words, word = place % words."
        )
    if close(best[:, 1:] - best[:, :-1], own[:, 1:] - own[:, :-1]):
        return (
            "The same number is added to the log-probabilities of all ways of an example: is"
            " something normalised once more? They are log_p + next_log_p as they come."
        )
    at = tuple(int(z) for z in (~torch.isclose(best, own)).nonzero()[0])
    return (
        f"At {place(at, 'b width')} you return {number(best[at].item())}, but beam {beam[at]}"
        f" with word {word[at]} has log_p + next_log_p = {number(own[at].item())}."
    )


def _first_kept(x: Tensor) -> Tensor:
    """The first example as it is, the others shifted far away."""
    x = x.clone()
    x[1:] = x[1:] - 7 + x[1:].abs()
    return x


@law
def cache_holds_all(look: Look) -> str | None:
    """What stands at each place of the keys and values returned, and with which weights the
    values are read."""
    known = look.trial.inputs
    if "values" not in known or not isinstance(look.y, (tuple, list)):
        return None
    read, keys, values = look.y
    parts = {f"the new {n}": known[n][:, :, 0] for n in ("q", "k", "v")}
    names = dict(q="query", k="key", v="value")
    said = {f"the new {n}": f"the new {names[n]}" for n in names}
    for kind, past in (("key", known["keys"]), ("value", known["values"])):
        for t in range(past.shape[2]):
            parts[f"{kind} {t}"] = past[:, :, t]
    for kind, mine, right in (
        ("keys", keys, look.expected[1]),
        ("values", values, look.expected[2]),
    ):
        if close(mine, right):
            continue
        for t in range(right.shape[2]):
            if close(mine[:, :, t], right[:, :, t]):
                continue

            def what(x: Tensor) -> str:
                for name, part in parts.items():
                    if close(part, x):
                        return said.get(name, name)
                for name, part in parts.items():
                    factor = (x.flatten()[0] / part.flatten()[0]).item()
                    if close(factor * part, x):
                        return f"{number(factor)} times {said.get(name, name)}"
                return "something else"

            return (
                f"Place {t} of the {kind} that you return holds {what(mine[:, :, t])}; it"
                f" should hold {what(right[:, :, t])}."
            )
    past, width = known["values"].shape[2], known["v"].shape[-1] + 17
    eye = torch.eye(past + 1, width, dtype=read.dtype)
    eye = eye.expand(*known["v"].shape[:2], past + 1, width)
    again = look.ask(values=eye[:, :, :past].clone(), v=eye[:, :, past:].clone())
    if not isinstance(again, tuple) or again[0].shape[-1] != width:
        return None
    weights = again[0][..., : past + 1]
    if again[0][..., past + 1 :].abs().max() > 1e-9:
        return None
    if past and (weights[..., -1] == 0).all():
        return "The newest value has no weight in what you read: it is to be read as well."
    scores = known["q"] @ torch.cat([known["keys"], known["k"]], dim=2).mT
    right = (scores / scores.new_tensor(known["q"].shape[-1]).sqrt()).softmax(-1)
    inside = Look(look.trial, look.probe, "b head i j", weights, right, look.ask)
    return _shares(inside, weights) or _scale(inside, weights, right)


# counts, as polynomials in the sizes


def count_in_letters(
    inputs: Sequence[Mapping[str, Any]], mine: Sequence[int], right: Sequence[int]
) -> str | None:
    """What is counted too often or too rarely, if it is one term of the sizes, or two."""
    sizes = [{n: x for n, x in given.items() if isinstance(x, int)} for given in inputs]
    off = [a - b for a, b in zip(mine, right, strict=True)]
    if len(off) < 3 or not any(off):
        return None
    names = list(sizes[0])
    powers = [
        p for p in product(range(3), repeat=len(names)) if 0 < sum(p) <= 4 and p.count(2) < 2
    ]
    terms = {
        p: [math.prod(s[n] ** e for n, e in zip(names, p, strict=True)) for s in sizes]
        for p in powers
    }
    for p, values in sorted(terms.items(), key=lambda item: (sum(item[0]), item[0])):
        times = off[0] / values[0]
        if abs(times) <= 16 and times == int(times):
            if all(o == times * v for o, v in zip(off, values, strict=True)):
                return _excess([(int(times), p)], names)
    simple = sorted(terms, key=lambda p: (sum(p), p))
    for p, r in combinations(simple, 2):
        a, b = terms[p], terms[r]
        det = a[0] * b[1] - a[1] * b[0]
        if not det:
            continue
        one = (off[0] * b[1] - off[1] * b[0]) / det
        two = (a[0] * off[1] - a[1] * off[0]) / det
        if not (0 < abs(one) <= 8 and 0 < abs(two) <= 8) or one % 1 or two % 1:
            continue
        if all(o == one * x + two * y for o, x, y in zip(off, a, b, strict=True)):
            return _excess([(int(one), p), (int(two), r)], names)
    return None


def _excess(terms: list[tuple[int, tuple[int, ...]]], names: list[str]) -> str:
    def written(times: int, powers: tuple[int, ...]) -> str:
        factors = [f"{n}²" if e == 2 else n for n, e in zip(names, powers, strict=True) if e]
        return " ".join([*([str(abs(times))] if abs(times) != 1 else []), *factors])

    more = [written(t, p) for t, p in terms if t > 0]
    less = [written(t, p) for t, p in terms if t < 0]
    text = " and ".join(
        part
        for part in (
            f"{' + '.join(more)} too many" if more else "",
            f"{' + '.join(less)} too few" if less else "",
        )
        if part
    )
    return f"You count {text}."
