"""What must hold of an answer, whoever wrote it: used to explain one that is wrong.

A law gets a `Look` at the wrong answer and says in one line what it breaks, or nothing. Laws
are tried in the order in which an exercise lists them, by name.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from attncourse.checker.running import Crash
from attncourse.checker.sheet import Prepared
from attncourse.exercises.letters import largest, number, place, sizes_of


@dataclass(frozen=True)
class Look:
    """A wrong answer under the lens.

    probe     the method or function that departs
    axes      the letters of what it should return
    y         what it returned, of the right shape
    expected  what it should have returned
    ask       ask(v=…) runs the probe once more with some inputs replaced; a Crash if it raises
    """

    trial: Prepared
    probe: str
    axes: str
    y: Tensor
    expected: Tensor
    ask: Callable[..., Any]

    @property
    def mask(self) -> Tensor | None:
        """The boolean mask among the inputs, if there is one."""
        found = self.trial.inputs.get("mask")
        return found if isinstance(found, Tensor) and found.dtype == torch.bool else None

    def allowed(self, shape: torch.Size) -> Tensor:
        """Where a query may attend, as wide as a map of this shape."""
        if self.mask is None:
            return torch.ones(shape, dtype=torch.bool)
        mask = self.mask
        while mask.ndim < len(shape):  # a mask b i j goes before the axis of the heads
            mask = mask.unsqueeze(-3 if mask.ndim >= 2 else 0)
        return mask.expand(shape)


# Laws of any gate: a factor or a number that fits everywhere says more than they do.
GENERAL = frozenset(
    {
        "between_once_and_twice",
        "gains_in_range",
        "gains_lie_between_0_and_1",
        "gains_scale_x",
        "nothing_comes_of_nothing",
        "a_constant_factor",
    }
)
LAWS: dict[str, Callable[[Look], str | None]] = {}


def law(check: Callable[[Look], str | None]) -> Callable[[Look], str | None]:
    """Enter a law under the name of its function."""
    LAWS[check.__name__] = check
    return check


def close(a: Any, b: Any) -> bool:
    """Equal up to rounding, and of equal shape."""
    return (
        isinstance(a, Tensor)
        and isinstance(b, Tensor)
        and a.shape == b.shape
        and torch.allclose(a.double(), b.double(), rtol=1e-6, atol=1e-8, equal_nan=True)
    )


@law
def examples_do_not_mix(look: Look) -> str | None:
    """What is returned for one example must not depend on another of the batch."""
    spoiled, size = {}, look.trial.sizes.get("b", 1)
    for name, axes in look.trial.axes.items():
        value = look.trial.inputs[name]
        if axes.split()[0] == "b" and value.is_floating_point() and len(value) > 1:
            spoiled[name] = value.clone()
            spoiled[name][1:] = value[1:].flip(0) * 2 + 1
    if not spoiled or size < 2 or not look.axes.startswith("b"):
        return None
    again = look.ask(**spoiled)
    if (
        isinstance(again, Tensor)
        and again.shape == look.y.shape
        and not close(again[0], look.y[0])
    ):
        return (
            "The examples of a batch mix: changing b=1 changes what you return for b=0. Some"
            " axis is summed, averaged or reshaped across b."
        )
    return None


@law
def rows_sum_to_one(look: Look) -> str | None:
    """Weights are shares: over the keys j they sum to 1 for every query i."""
    return _shares(look, look.y) if look.axes.endswith("i j") else None


def _shares(look: Look, weights: Tensor) -> str | None:
    letters = look.axes.split()
    if (weights < -1e-9).any():
        return (
            "Some weights are negative. The softmax over the keys j makes them positive shares "
            "that sum to 1."
        )
    allowed = look.allowed(weights.shape)
    live = allowed.any(-1)
    rows = weights.sum(-1)
    if rows[live].isnan().any():
        return "Some of your weights are nan: is 0 multiplied by -inf, or 0 divided by 0?"
    if close(rows[live], torch.ones_like(rows[live])):
        return None
    for axis, letter in enumerate(letters[:-1]):
        sums = weights.sum(axis)
        if weights.shape[axis] > 1 and close(sums, torch.ones_like(sums)):
            return (
                f"Your weights sum to 1 over {letter}. They must sum to 1 over the keys j, for "
                "every query i: the softmax runs over the wrong axis."
            )
    if close(weights.square().sum(-1)[live], torch.ones_like(rows[live])):
        return "The squares of your weights sum to 1 over the keys, not the weights themselves."
    if (rows[live].abs() < 1e-9).any() and close(rows[live].round(), rows[live]):
        if allowed.all():
            return "There are queries that get no weights at all, although nothing is hidden."
        return (
            "Queries from which some keys are hidden get no weights at all. Only a query that "
            "may attend to nothing gets 0: `any`, not `all`."
        )
    total = weights.sum((-1, -2))
    if close(total, torch.ones_like(total)):
        return (
            "Your weights sum to 1 over i and j together. Every query i has its own softmax,"
            " over the keys j."
        )
    if (rows[live] < 1).all() and (rows[live] > 0.98).all():
        return (
            f"Your weights sum to {number(rows[live].min().item())}, a little less than 1: is a"
            " small number added to the sum that you divide by?"
        )
    if not allowed.all() and (weights[~allowed] == 0).all() and (rows[live] < 1 + 1e-9).all():
        return (
            f"With a mask your weights sum to {number(rows[live].min().item())} over the keys "
            "instead of 1: masked keys still take their share in the softmax. Mask the scores "
            "before the softmax, not the weights after it."
        )
    if close(rows[live], rows[live][:1].expand_as(rows[live])) and rows[live].numel() > 2:
        width = {n: x for n, x in look.trial.sizes.items() if n == "d"}
        total = _named(rows[live].flatten()[0].item(), width)
        return (
            f"Every row of your weights sums to {total}, not to 1: is there a factor after the"
            " softmax? What is scaled are the scores, before it."
        )
    worst = (rows - 1).abs().masked_fill(~live, 0).argmax()
    return (
        f"A row of your weights sums to {number(rows.flatten()[worst].item())} over the keys j;"
        " it must sum to 1."
    )


@law
def masked_keys_do_not_matter(look: Look) -> str | None:
    """A key that no query may attend to has no weight, whatever it holds."""
    return _masked(look, look.y) if look.axes.endswith("i j") else None


def _masked(look: Look, weights: Tensor) -> str | None:
    allowed = look.allowed(weights.shape)
    if allowed.all():
        return None
    dead = ~allowed.any(-1)
    if dead.any():
        empty = weights[dead]
        if empty.isnan().any():
            return (
                "A query that may attend to nothing gets NaN: softmax over nothing but -inf is "
                "0 / 0. Its weights should be 0."
            )
        if empty.abs().max() > 1e-9:
            return (
                "A query that may attend to nothing still spends weights up to "
                f"{number(empty.max().item())}. They should all be 0."
            )
    forbidden = weights[~allowed]
    if forbidden.numel() and forbidden.abs().max() > 1e-9:
        both = (allowed.any(-1) & ~allowed.all(-1))[..., None].expand_as(allowed)
        if both.any() and weights[both & allowed].abs().max() < 1e-9:
            return (
                "The mask is inverted: you attend where it is False. It is True where a query"
                " may attend."
            )
        index = largest(weights.masked_fill(allowed, 0))
        return (
            f"A key that the mask forbids gets weight {number(weights[index].item())} "
            f"(at {place(index, look.axes)}); it must get 0. Is the mask used for every query, "
            "example and head, and is what you fill in -inf?"
        )
    return None


@law
def scale_is_right(look: Look) -> str | None:
    """The logits are the products of q and k, over the root of the head's width."""
    return _scale(look, look.y, look.expected) if look.axes.endswith("i j") else None


def _scale(look: Look, weights: Tensor, expected: Tensor) -> str | None:
    return _places(look, weights, expected) or _factor(look, weights, expected)


def _places(look: Look, weights: Tensor, expected: Tensor) -> str | None:
    """What depends on the places i and j alone, and not on what queries and keys hold."""
    if look.mask is not None or len(weights) < 2:
        return None
    none = weights == 0
    if none.flatten(0, -2).all(0).any():
        j = int(none.flatten(0, -2).all(0).long().argmax())
        return f"Key j={j} never gets any weight: does a loop or a slice leave it out?"
    if none.any() and (none == none[:1]).all():
        return (
            "Some pairs i, j get no weight, the same ones in every example, although nothing "
            "is hidden: is a window or a mask of your own built in?"
        )
    if none.any() or (weights < 0).any():
        return None
    added = weights.log() - expected.clamp(min=1e-250).log()
    added = added - added.mean(-1, keepdim=True)
    if added.abs().max() > 1e-6 and close(added, added[:1].expand_as(added)):
        return (
            "Something is added to your scores that depends on the places i and j alone, not "
            "on what q and k hold: a bias by position?"
        )
    return None


def _factor(look: Look, weights: Tensor, expected: Tensor) -> str | None:
    usable = look.allowed(weights.shape) & (weights > 1e-200) & (expected > 1e-200)
    if usable.sum() < 4:
        return None

    def logits(w: Tensor) -> Tensor:
        log = w.clamp(min=1e-250).log().where(usable, 0)
        mean = log.sum(-1, keepdim=True) / usable.sum(-1, keepdim=True).clamp(min=1)
        return (log - mean)[usable]

    mine, right = logits(weights), logits(expected)
    slope = ((mine * right).sum() / right.square().sum()).item()
    if (mine - slope * right).abs().max() > 1e-6 * right.abs().max().clamp(min=1):
        return None
    if abs(slope - 1) < 1e-6 or not math.isfinite(slope):
        return None
    if abs(slope) < 1e-9:
        return "All keys get equal weights: the scores play no part in them."
    if slope < 0:
        return (
            "The sign of your scores is turned: the less a key agrees with the query, the more "
            "weight it gets."
        )
    width = look.trial.sizes.get("d")
    if not width:
        return f"Your scores are {number(slope)} times as large as they should be."
    divisor = width**0.5 / slope
    return (
        f"Your scores are {number(slope)} times as large as they should be: as if divided by "
        f"{_named(divisor, look.trial.sizes)} instead of sqrt(d) = {number(width**0.5)}."
    )


def _named(x: float, sizes: Mapping[str, int]) -> str:
    """A number as what it is likely to be in the letters: "sqrt(j) = 2.236"."""
    if abs(x - 1) < 1e-6:
        return "1, that is, not at all,"
    ways = {"{}": 1.0, "sqrt({})": 0.5, "{}²": 2.0, "{}^(1/4)": 0.25}
    for form, power in ways.items():
        for letter, size in sizes.items():
            if size > 2 and abs(x - size**power) < 1e-6 * x:
                return f"{form.format(letter)} = {number(x)}"
    for form, power in ways.items():
        for letter, size in sizes.items():
            if size > 2 and abs(x - size**-power) < 1e-6 * x:
                return f"1 / {form.format(letter)} = {number(x)}"
    return number(x)


@law
def output_is_a_mixture_of_values(look: Look) -> str | None:
    """What comes out is weights times v: nothing is added, nothing else is done to v."""
    v = look.trial.inputs.get("v")
    if not isinstance(v, Tensor) or not look.y.isfinite().all():
        return None
    other = look.ask(v=v.flip(-1) + v.square())
    if close(other, look.y):
        return "Your output does not depend on the values v. It is their weighted mean."
    nothing = look.ask(v=torch.zeros_like(v))
    if isinstance(nothing, Tensor) and nothing.isfinite().all() and nothing.abs().max() > 1e-9:
        return (
            "With all values 0 your output is not 0: something is added that is not weights "
            "times v."
        )
    moved = look.ask(v=v + 1)
    if close(moved, look.y):
        return (
            "Adding 1 to all values does not move your output; it should move it by 1. Is a "
            "mean taken off, or are the weights not shares that sum to 1?"
        )
    mean, spread = look.y.mean(-1), look.y.var(-1, unbiased=False)
    if mean.abs().max() < 1e-3 and (spread - 1).abs().max() < 1e-2:
        return "Your output is normalised (mean 0, variance 1 over e). That is no part of it."
    double = look.ask(v=2 * v)
    if isinstance(double, Tensor) and double.isfinite().all() and not close(double, 2 * look.y):
        return (
            "Twice the values do not give twice the output: v is not just averaged with"
            " weights."
        )
    return None


def _map_of(look: Look) -> Tensor | Crash | None:
    """The weights inside an answer that returns only the output: its output on v = identity."""
    v = look.trial.inputs.get("v")
    if not isinstance(v, Tensor):
        return None
    n, more = v.shape[-2], 13  # a width that no other axis has
    eye = torch.eye(n, n + more, dtype=v.dtype).expand(*v.shape[:-2], n, n + more).contiguous()
    weights = look.ask(v=eye)
    if isinstance(weights, Tensor) and weights.shape[-1] == n + more:
        return weights[..., :n]
    return None


@law
def weights_inside_are_right(look: Look) -> str | None:
    """The map, read off with v = identity, is a softmax over the keys of scaled scores."""
    weights = _map_of(look)
    if not isinstance(weights, Tensor):
        return None
    sizes = look.trial.sizes
    axes = look.axes.rsplit(" ", 1)[0] + " j"
    if weights.shape[-1] != sizes.get("j") or weights.ndim != look.y.ndim:
        return None
    v_width = sizes["j"] + 13
    inside = Look(look.trial, look.probe, axes, weights, look.expected, look.ask)
    inside = replace(inside, trial=replace(look.trial, sizes=sizes | {"e": v_width}))
    said = None
    if sizes_of(axes, weights.shape).get("i") == sizes.get("i"):
        said = _masked(inside, weights) or _shares(inside, weights)
        said = said or _scale_of_products(inside, weights)
    return said


def _scale_of_products(look: Look, weights: Tensor) -> str | None:
    q, k = look.trial.inputs.get("q"), look.trial.inputs.get("k")
    if not isinstance(q, Tensor) or not isinstance(k, Tensor):
        return None
    scores = (q @ k.mT) / q.shape[-1] ** 0.5
    allowed = look.allowed(weights.shape)
    right = scores.masked_fill(~allowed, -torch.inf).softmax(-1).nan_to_num(0)
    if close(weights, right):
        return (
            "The weights inside are right (read off with v = identity). What departs is the"
            " last step, weights times v."
        )
    return _scale(look, weights, right)


def _even_steps(look: Look) -> bool:
    """Whether the rows of y belong to positions with one step between neighbours."""
    at = look.trial.inputs.get("positions")
    if not isinstance(at, Tensor) or at.ndim != 1 or len(at) < 4:
        return False
    steps = at.diff()
    return look.y.shape[-1] % 2 == 0 and close(steps, torch.full_like(steps, steps[0].item()))


@law
def norm_is_constant(look: Look) -> str | None:
    """A pair sin, cos of one angle has length 1, so every position has the norm d / 2."""
    if not _even_steps(look):
        return None
    norms, half = look.y.square().sum(-1), look.y.shape[-1] / 2
    worst = (norms - half).abs().argmax()
    if (norms - half).abs()[worst] < 1e-6:
        return None
    return (
        f"The squared norm of row {worst.item()} is {number(norms[worst].item())}; it must be"
        f" dim / 2 = {number(half)} for every position, since sin² + cos² = 1 for each pair. Do"
        " the two of a pair share their angle?"
    )


@law
def gram_is_toeplitz(look: Look) -> str | None:
    """The inner product of two positions depends on their distance alone."""
    if not _even_steps(look):
        return None
    gram = look.y @ look.y.mT
    off = (gram[1:, 1:] - gram[:-1, :-1]).abs()
    if off.max() < 1e-6:
        return None
    at = largest(off)
    i, j = (int(x) for x in at)
    return (
        f"Rows {i} and {j} have the inner product {number(gram[i, j].item())}, rows {i + 1} and"
        f" {j + 1} have {number(gram[i + 1, j + 1].item())}: it must depend on the distance"
        " alone. Do sine and cosine of a pair share their angle, and is it p times a frequency?"
    )


@law
def shift_is_a_rotation(look: Look) -> str | None:
    """One step turns every pair by an angle of its own, whatever the position."""
    d = look.y.shape[-1]
    if not _even_steps(look) or len(look.y) <= d + 1:
        return None
    here, next_ = look.y[:-1], look.y[1:]
    turn = torch.linalg.lstsq(here, next_).solution
    if (here @ turn - next_).abs().max() < 1e-6:
        return None
    return (
        "No one matrix takes every row to the next. One step must turn each pair (sin, cos) by"
        " an angle of its own, whatever the position: the angle is p times a frequency."
    )


@law
def pairs_turn_at_their_speed(look: Look) -> str | None:
    """How far each pair (sin, cos) turns from one position to the next."""
    if not _even_steps(look):
        return None

    def speeds(y: Tensor) -> Tensor:
        z = torch.complex(y[:, 1::2].contiguous(), y[:, ::2].contiguous())
        return (z[1] / z[0]).angle()

    mine, right = speeds(look.y), speeds(look.expected)
    off = (mine - right).abs()
    if not off.isfinite().all() or off.max() < 1e-6:
        return None
    i = int((off > 1e-6).int().argmax())
    return (
        f"From one position to the next, pair {i} (features {2 * i} and {2 * i + 1}) turns by"
        f" {number(mine[i].item())}; it must turn by its frequency 10000^(-{2 * i}/dim) ="
        f" {number(right[i].item())}."
    )


@law
def content_and_place_count_alike(look: Look) -> str | None:
    """The scores of relative attention are q k + q a, over the root of d, each counted once."""
    q, k = look.trial.inputs.get("q"), look.trial.inputs.get("k")
    table = (look.trial.weights or {}).get("keys")
    if not look.axes.endswith("i j") or table is None or look.y.ndim != q.ndim:
        return None
    clip, (i, j) = len(table) // 2, look.y.shape[-2:]
    rows = (torch.arange(j) - torch.arange(i)[:, None]).clamp(-clip, clip) + clip
    terms = [q @ k.mT, torch.einsum("...id,ijd->...ij", q, table[rows])]
    usable = look.allowed(look.y.shape) & (look.y > 1e-200)

    def centred(x: Tensor) -> Tensor:
        x = x.where(usable, 0)
        return (x - x.sum(-1, keepdim=True) / usable.sum(-1, keepdim=True).clamp(min=1))[usable]

    mine = centred(look.y.clamp(min=1e-250).log())
    known = torch.stack([centred(term) for term in terms], -1) / q.shape[-1] ** 0.5
    times = torch.linalg.lstsq(known, mine[:, None]).solution[:, 0]
    if not times.isfinite().all() or (known @ times - mine).abs().max() > 1e-6:
        return None
    if (times - 1).abs().max() < 1e-6:
        return None
    content, place_ = (number(x) for x in times.tolist())
    return (
        f"In your scores q_i · k_j counts {content} times and q_i · a_(j-i) {place_} times,"
        " both over sqrt(d). Each counts once."
    )


@law
def turning_keeps_lengths(look: Look) -> str | None:
    """A rotation keeps the length of every vector."""
    x = look.trial.inputs.get("x")
    if not isinstance(x, Tensor) or x.shape != look.y.shape:
        return None
    before, after = x.norm(dim=-1), look.y.norm(dim=-1)
    if close(before, after):
        return None
    at = largest((before - after).abs())
    return (
        f"A vector of length {number(before[at].item())} becomes one of length"
        f" {number(after[at].item())} (at {place(at, look.axes.rsplit(' ', 1)[0])}). A rotation"
        " keeps lengths: (a, b) becomes (a cos − b sin, a sin + b cos)."
    )


@law
def pairs_turn_by_their_angle(look: Look) -> str | None:
    """By how much each pair of neighbours is turned, read off what goes in and comes out."""
    x, positions = look.trial.inputs.get("x"), look.trial.inputs.get("positions")
    if not isinstance(x, Tensor) or positions is None or x.shape != look.y.shape:
        return None

    def turns(y: Tensor) -> Tensor:
        return torch.complex(y[..., ::2].contiguous(), y[..., 1::2].contiguous())

    mine, right = (turns(y) / turns(x) for y in (look.y, look.expected))
    if (mine.abs() - 1).abs().max() > 1e-6:
        return None
    off = (mine / right).angle().abs()
    wrong = (off > 1e-6).nonzero()
    if not len(wrong):
        return None
    *_, n, i = at = tuple(wrong[0].tolist())
    is_, should = (number(round(z[at].angle().item(), 9) + 0.0) for z in (mine, right))
    return (
        f"At position {number(positions[n].item())}, pair {i} (features {2 * i} and"
        f" {2 * i + 1}) is turned by {is_}; it must be turned by {should} (angles up to full"
        " turns)."
    )


@law
def coordinates_span_the_picture(look: Look) -> str | None:
    """Columns and rows run from -1 to 1."""
    if "xyr" not in look.axes.split():
        return None
    for channel, name in enumerate(("columns", "rows")):
        mine, right = look.y[:, channel], look.expected[:, channel]
        low, high = mine.min().item(), mine.max().item()
        if abs(low - right.min().item()) > 1e-6 or abs(high - right.max().item()) > 1e-6:
            return (
                f"The coordinates of the {name} run from {number(low)} to {number(high)}; they"
                f" should run from {number(right.min().item())} to"
                f" {number(right.max().item())}."
            )
    return None


@law
def nothing_comes_of_nothing(look: Look) -> str | None:
    """Where x is 0, x times a gain is 0."""
    x = look.trial.inputs.get("x")
    if look.probe != "forward" or not isinstance(x, Tensor) or x.shape != look.y.shape:
        return None
    holes = x.clone()
    holes[..., -1] = 0
    y = look.ask(x=holes)
    if isinstance(y, Tensor) and y.shape == x.shape and y[..., -1].abs().max() > 1e-9:
        return (
            "Where x is 0 your output is not: something is added, or the map is not multiplied"
            " with x."
        )
    return None


def _gain(look: Look) -> Tensor | None:
    """What x is multiplied with, read off what goes in and comes out."""
    x = look.trial.inputs.get("x")
    if look.probe != "forward" or not isinstance(x, Tensor) or x.shape != look.y.shape:
        return None
    gain = look.y / x
    return gain if gain.isfinite().all() else None


@law
def one_gain_for_each_channel(look: Look) -> str | None:
    """A channel gate scales all pixels of a map alike, by a number in (0, 1)."""
    gain = _gain(look)
    if gain is None:
        return gains_in_range(look) if look.probe != "forward" else None
    if not close(gain, gain[..., :1, :1].expand_as(gain)):
        return (
            "Pixels of one channel are scaled by different numbers, from"
            f" {number(gain[0, 0].min().item())} to {number(gain[0, 0].max().item())} at b=0,"
            " c=0. A channel gate has one gain for a whole map: b c 1 1."
        )
    return None


@law
def one_gain_for_each_pixel(look: Look) -> str | None:
    """A spatial gate scales all channels of a pixel alike."""
    gain = _gain(look)
    if gain is None:
        return gains_in_range(look) if look.probe != "forward" else None
    if not close(gain, gain[:, :1].expand_as(gain)):
        return (
            "Channels of one pixel are scaled by different numbers, from"
            f" {number(gain[0, :, 0, 0].min().item())} to"
            f" {number(gain[0, :, 0, 0].max().item())} at b=0, h=0, w=0. A spatial gate has one"
            " gain for a whole pixel: b 1 h w."
        )
    return None


@law
def gains_in_range(look: Look) -> str | None:
    """Gains that should lie between 0 and 1, or between -1 and 1, do."""
    if look.probe != "attention" or not look.y.isfinite().all():
        return None
    low = -1 if (look.expected < 0).any() else 0
    if look.y.min() < low or look.y.max() > 1:
        return (
            f"Your gains run from {number(look.y.min().item())} to"
            f" {number(look.y.max().item())}; they lie between {low} and 1. Is what squashes"
            f" them, {'tanh' if low else 'the sigmoid'}, the last step?"
        )
    return None


CHANGES = (
    (lambda g: g.sigmoid(), "squashed by a sigmoid once more. Once is enough"),
    (lambda g: g.square(), "squared: a gain is applied twice. Once is enough"),
    (lambda g: g.sqrt(), "the roots of what they should be"),
    (lambda g: 1 - g, "1 minus what they should be: what is important gets the small one"),
    (lambda g: 1 + g, "1 more than they should be: x is added to the scaled x"),
    (lambda g: g - 1, "1 less than they should be: x is taken off the scaled x"),
    (lambda g: 1 / g, "1 over what they should be: you divide where you should multiply"),
    (lambda g: g.logit(), "what goes into the sigmoid: the sigmoid itself is missing"),
    (lambda g: F.hardsigmoid(g.logit()), "a hard sigmoid's, made of straight lines"),
    (lambda g: g.relu(), "what they should be where that is positive, else 0"),
    (lambda g: g.abs(), "right but for their signs, which are lost"),
    (lambda g: g.mean(0, keepdim=True).expand_as(g), "averages over the batch: images mix"),
)


@law
def gains_are_themselves(look: Look) -> str | None:
    """Gains that are right but for one thing done to all of them, or to x with them."""
    x = look.trial.inputs.get("x")
    if not isinstance(x, Tensor) or look.y.shape != look.expected.shape:
        return None
    whole = x.shape == look.y.shape
    if look.probe == "attention":
        mine, right, whose = look.y, look.expected, "Your gains are"
        if whole and close(mine, x * right):
            return "Your `attention` returns x scaled already. It returns the gains alone."
    elif look.probe == "forward" and whole and (x.abs() > 1e-9).all():
        mine, right, whose = look.y / x, look.expected / x, "The numbers that scale x are"
    else:
        return None
    if right.numel() < 2 or close(mine, right):
        return None
    said = (what for change, what in CHANGES if close(mine, change(right)))
    found = next(said, None)
    return found and f"{whose} {found}."


@law
def between_once_and_twice(look: Look) -> str | None:
    """BAM adds a share of x to x: between x and 2 x."""
    gain = _gain(look)
    if gain is None or ((gain >= 1) & (gain <= 2)).all():
        return None
    return (
        f"x is multiplied by numbers from {number(gain.min().item())} to"
        f" {number(gain.max().item())}. x + x M lies between x and 2 x, since M is in (0, 1)."
    )


@law
def a_constant_factor(look: Look) -> str | None:
    """The right result, but for a factor that is the same everywhere."""
    size = look.expected.abs()
    if look.y.shape != look.expected.shape or size.max() < 1e-9:
        return None
    factor = (look.y.flatten()[size.argmax()] / look.expected.flatten()[size.argmax()]).item()
    if abs(factor - 1) < 1e-6 or not close(look.y, factor * look.expected):
        return None
    if abs(factor) < 1e-9:
        return "Your result is 0 everywhere."
    sizes = dict(look.trial.sizes)
    if "h" in sizes and "w" in sizes:
        sizes |= {"h w": sizes["h"] * sizes["w"]}
    return f"Your result is everywhere {_named(factor, sizes)} times what it should be."


def _gains(look: Look) -> bool:
    return look.probe == "attention" and look.axes in {"b c", "b c h w", "b h w", "b 1 h w"}


@law
def gains_lie_between_0_and_1(look: Look) -> str | None:
    """A gain is a sigmoid: more than 0, less than 1."""
    if not _gains(look) or not look.y.isfinite().all():
        return None
    low, high = look.y.min().item(), look.y.max().item()
    if low >= 0 and high <= 1:
        return None
    return (
        f"Your gains run from {number(low)} to {number(high)}. They must lie between 0 and 1:"
        " is the sigmoid the last thing that is done to them?"
    )


@law
def gains_scale_x(look: Look) -> str | None:
    """What comes out is x times something: nothing comes out where x is 0."""
    x = look.trial.inputs.get("x")
    if look.probe != "forward" or not isinstance(x, Tensor) or x.shape != look.y.shape:
        return None
    spoiled = x.clone()
    spoiled[..., -1, -1] = 0
    again = look.ask(x=spoiled)
    if isinstance(again, Tensor) and again.shape == x.shape:
        rest = again[..., -1, -1].abs().max().item()
        if rest > 1e-9:
            return (
                f"Where x is 0 you return up to {number(rest)}; x times a gain is 0 there. Is"
                " something added, or a gain returned?"
            )
    return None


@law
def gains_reach_their_channel(look: Look) -> str | None:
    """What scales a channel of x is the gain of this channel, of this image."""
    x = look.trial.inputs.get("x")
    if look.probe != "forward" or not isinstance(x, Tensor) or x.shape != look.y.shape:
        return None
    mine, right = look.y / x, look.expected / x
    whole = all(close(t, t[..., :1, :1].expand_as(t)) for t in (mine, right))
    if not whole or x.shape[-1] < 2 or not mine.isfinite().all():
        return None
    mine, right = mine[..., 0, 0], right[..., 0, 0]
    if close(mine.sort(-1).values, right.sort(-1).values):
        return "You scale by the right gains, but channels get those of other channels."
    at = largest((mine - right).abs())
    return (
        f"At {place(at, 'b c')} you scale x by {number(mine[at].item())}; its gain is"
        f" {number(right[at].item())}. What is done to the gains on the way?"
    )


@law
def pixels_are_all_alike(look: Look) -> str | None:
    """Means of whole maps do not change when the pixels change places."""
    x = look.trial.inputs.get("x")
    if look.axes != "b c" or not isinstance(x, Tensor) or x.ndim != 4 or x.shape[-1] < 2:
        return None
    pixels = x.flatten(2)
    order = torch.randperm(pixels.shape[-1], generator=torch.Generator().manual_seed(0))
    again = look.ask(x=pixels[..., order].reshape(x.shape))
    if not isinstance(again, Tensor) or close(again, look.y):
        return None
    return (
        "Shuffle the pixels of an image, and your result changes. That of a mean over h and w"
        " does not: is it taken over all pixels, once, and over nothing else?"
    )


@law
def gains_come_from_the_means(look: Look) -> str | None:
    """Maps may be replaced by their means: the gains stay."""
    x = look.trial.inputs.get("x")
    if look.probe != "attention" or not isinstance(x, Tensor) or x.ndim != 4:
        return None
    even = look.ask(x=x.mean((-2, -1), keepdim=True).expand_as(x).contiguous())
    if close(even, look.expected) and not close(even, look.y):
        return (
            "Of maps that are the same everywhere your gains are right, of others they are not:"
            " what goes into the layers is not the mean of each map."
        )
    return None


@law
def a_mean_keeps_what_is_even(look: Look) -> str | None:
    """The mean of a map that is 1 everywhere is 1, and the mean of -x is minus that of x."""
    x = look.trial.inputs.get("x")
    if not isinstance(x, Tensor):
        return None
    flat = look.ask(x=torch.ones_like(x))
    if isinstance(flat, Tensor) and flat.shape == look.y.shape:
        worst = flat.flatten()[(flat - 1).abs().argmax()].item()
        if abs(worst - 1) > 1e-6:
            return (
                f"Of maps that are 1 everywhere you return {number(worst)}; their mean is 1. Is"
                " the sum divided by the number of pixels that were summed?"
            )
    minus = look.ask(x=-x)
    if isinstance(minus, Tensor) and not close(minus, -look.y):
        return (
            "Turn the sign of all pixels, and your result should turn its sign. It does not:"
            " this is no mean of the pixels."
        )
    return None


@law
def logits_are_right(look: Look) -> str | None:
    """What goes into the sigmoid, read off the gains: too large, or moved."""
    if not _gains(look) or (look.y <= 0).any() or (look.y >= 1).any():
        return None
    mine, right = look.y.logit(), look.expected.logit()
    if not (mine.isfinite().all() and right.isfinite().all()):
        return None
    if close(mine - right, (mine - right).mean().expand_as(mine)):
        return (
            f"What goes into your sigmoid is {number((mine - right).mean().item())} too large"
            " everywhere: is something added?"
        )
    times = ((mine * right).sum() / right.square().sum().clamp(min=1e-12)).item()
    if abs(times) > 1e-6 and close(mine, times * right):
        return f"What goes into your sigmoid is {number(times)} times what it should be."
    return None


@law
def gate_stands_where_it_should(look: Look) -> str | None:
    """What a gate that halves leaves of x and of the branch says where it stands."""
    x, place_ = look.trial.inputs.get("x"), look.trial.inputs.get("placement")
    wanted = dict(standard=(1, 0.5), pre=(1, 1), post=(0.5, 0.5), identity=(0.5, 1))
    if not isinstance(x, Tensor) or place_ not in wanted:
        return None
    simple = dict(x=x.abs() + 1, shortcut=lambda t: t)

    def one(**changes) -> float | None:
        y = look.ask(**(simple | changes))
        if not isinstance(y, Tensor) or y.shape != x.shape:
            return None
        times = y / simple["x"] if changes["branch"] is torch.zeros_like else y
        first = times.flatten()[0]
        return first.item() if close(times, first.expand_as(times)) else None

    bare = one(branch=torch.zeros_like, gate=lambda t: t)
    full = one(branch=torch.ones_like, gate=lambda t: t, x=torch.ones_like(x))
    if bare is not None and full is not None and (abs(bare - 1) > 1e-9 or abs(full - 2) > 1e-9):
        return (
            f'In "{place_}", with a gate that does nothing, you return {number(bare)} times x'
            f" for a branch of 0, and {number(full)} for x = 1 and a branch of 1; it should be"
            " x and 2. Whatever the gate does, x and F(x) are added."
        )
    silent = one(branch=torch.zeros_like, gate=lambda t: t / 2)
    if silent is not None and abs(silent - wanted[place_][0]) > 1e-9:
        return (
            f'In "{place_}", with a branch that returns 0 and a gate that halves, you return'
            f" {number(silent)} times x; it should be {number(wanted[place_][0])} times x. Does"
            " the gate stand in the way of x, or not?"
        )
    ones = dict(x=torch.ones_like(x), gate=lambda t: t / 2)
    steady = one(branch=torch.ones_like, **ones)
    total = sum(wanted[place_])
    if steady is not None and abs(steady - total) > 1e-9:
        return (
            f'In "{place_}", with x = 1, a branch that returns 1 and a gate that halves, you'
            f" return {number(steady)}; it should be {number(total)}. What does the gate scale?"
        )
    if (look.y < 0).any() and not (look.expected < 0).any():
        return (
            f'In "{place_}" you return negative numbers: the ReLU comes after the addition, and'
            " over the whole of it."
        )
    return None


def _keys(row: Tensor) -> str:
    """The keys of a query as a sentence has them: "keys 3, 4, 5", "no key"."""
    found = row.nonzero().flatten().tolist()
    shown = ", ".join(map(str, found[:8])) + (", …" if len(found) > 8 else "")
    return f"key{'s' * (len(found) > 1)} {shown}" if found else "no key"


def _first_wrong_row(mine: Tensor, right: Tensor, verb: str) -> str | None:
    """A query whose keys are not what they should be: one from the middle, if there is one."""
    wrong = (mine != right).any(-1).nonzero().flatten().tolist()
    if not wrong:
        return None
    i = next((row for row in wrong if row >= mine.shape[-1] // 2), wrong[0])
    later = mine[i, i + 1 :].any() and not right.triu(1).any()
    return (
        f"query i={i} {verb} {_keys(mine[i])}; it should be {_keys(right[i])}."
        f"{' No key may be later than its query.' * bool(later)}"
        f" ({len(wrong)} of {len(mine)} queries are wrong.)"
    )


@law
def queries_see_their_keys(look: Look) -> str | None:
    """A mask, row by row, as lists of keys."""
    if look.y.dtype != torch.bool or look.y.ndim != 2:
        return None
    return _first_wrong_row(look.y, look.expected, "sees")


def _sparse_masks(look: Look, heads: int) -> list[Tensor] | None:
    """Which keys each head should read, from the window, the stride or the two masks given."""
    inputs, n = look.trial.inputs, look.trial.inputs["v"].shape[-2]
    ago = torch.arange(n)[:, None] - torch.arange(n)
    if "window" in inputs:
        return [(ago >= 0) & (ago < inputs["window"])] * heads
    if "stride" in inputs:
        return [(ago >= 0) & (ago % inputs["stride"] == 0)] * heads
    if "way" in inputs:
        pair = inputs["first"], inputs["second"]
        return {
            "merged": [pair[0] | pair[1]] * heads,
            "interleaved": [pair[inputs["layer"] % 2]] * heads,
            "split": [pair[2 * h >= heads] for h in range(heads)],
        }[inputs["way"]]
    return None


@law
def queries_read_their_keys(look: Look) -> str | None:
    """Which keys an answer reads, found with equal scores, against those that it should."""
    q, k, v = (look.trial.inputs.get(name) for name in "qkv")
    if not all(isinstance(x, Tensor) for x in (q, k, v)):
        return None
    n, heads = v.shape[-2], v.shape[-3]
    eye = torch.eye(n, dtype=v.dtype).expand(*v.shape[:-2], n, n).contiguous()
    weights, right = look.ask(q=0 * q, k=0 * k, v=eye), _sparse_masks(look, heads)
    if right is None or not isinstance(weights, Tensor) or weights.shape != eye.shape:
        return None
    if weights.isnan().any():
        return (
            "Some shares are nan: a softmax over nothing but -inf is 0 / 0. Does it run over"
            " the keys, the last axis, and what becomes of a query that may see nothing?"
        )
    if not weights.any():
        return (
            "With scores of 0 you return 0: is the softmax missing? exp(0) is 1, so a query"
            " reads all its keys alike."
        )
    weights = weights.reshape(-1, heads, n, n)[0]
    for head, (mine, keys) in enumerate(zip(weights, right, strict=True)):
        said = _first_wrong_row(mine.abs() > 1e-9, keys, "reads")
        if said and "way" in look.trial.inputs:
            return f"{look.trial.inputs['way']}: in head {head}, {said}"
        if said:
            return said
        even = (keys / keys.sum(-1, keepdim=True).clamp(min=1)).to(mine)
        if close(mine - even, torch.eye(n)):
            return (
                "You add the query's own value to the output. It is among the values already."
            )
        if not close(mine, even):
            i = int((mine - even).abs().amax(-1).argmax())
            shares = ", ".join(number(w) for w in mine[i][keys[i]][:6].tolist())
            return (
                f"With equal scores query i={i} gives its {int(keys[i].sum())} keys the shares"
                f" {shares}; they should be equal and sum to 1. Does a key count twice, or"
                " something else take a share, such as zeros?"
            )
    return _other_scores(look, q, k, eye, torch.stack(right)) or (
        "The right keys are read; what departs is how much of each: scores are q · k /"
        " sqrt(d), and the softmax runs over the keys of a query."
    )


def _other_scores(look: Look, q: Tensor, k: Tensor, eye: Tensor, keys: Tensor) -> str | None:
    """What the shares of the right keys say of the scores: which products, how large."""
    weights = look.ask(v=eye)
    if not isinstance(weights, Tensor) or weights.shape != eye.shape:
        return None
    if not weights.isfinite().all() or (weights < 0).any():
        return None
    usable = keys.expand_as(weights) & (weights > 1e-200)

    def centred(x: Tensor) -> Tensor:
        x = x.where(usable, 0)
        mean = x.sum(-1, keepdim=True) / usable.sum(-1, keepdim=True).clamp(min=1)
        return (x - mean)[usable]

    if not (centred(q @ k.mT).abs() > 1e-9).any():  # one key each: its share is 1
        return None
    mine = centred(weights.clamp(min=1e-250).log())
    if mine.abs().max() < 1e-9:
        return (
            "All keys of a query get the same share, whatever q and k are: q · k plays no part."
        )
    for told, (a, b) in {
        "": (q, k),
        "Queries and keys are exchanged: a token asks with its key. It asks with q.": (k, q),
        "The keys are not used: queries meet queries. It is q · k.": (q, q),
        "The queries are not used: keys meet keys. It is q · k.": (k, k),
    }.items():
        scores = centred(a @ b.mT / math.sqrt(q.shape[-1]))
        times = ((scores @ mine) / (scores @ scores)).item()
        if not math.isfinite(times) or (times * scores - mine).abs().max() > 1e-6:
            continue
        if told or abs(times - 1) < 1e-6:
            return told or None
        return (
            f"Your scores are {number(times)} times as large as they should be: q · k /"
            " sqrt(d)."
        )
    return None


def _seen(height: int, width: int, window: int) -> Tensor:
    """h w dy dx: whether a place of a pixel's window lies in the picture."""
    at = [
        torch.arange(n)[:, None] + torch.arange(window) - window // 2 for n in (height, width)
    ]
    inside = [(x >= 0) & (x < n) for x, n in zip(at, (height, width), strict=True)]
    return inside[0][:, None, :, None] & inside[1][None, :, None, :]


def _map_in_windows(look: Look) -> bool:
    return look.axes.endswith("h w dy dx") and look.y.isfinite().all().item()


@law
def shares_of_the_window(look: Look) -> str | None:
    """Local weights are shares: over dy and dx together they sum to 1 for every pixel."""
    if not look.axes.endswith("h w dy dx"):
        return None
    if look.y.isnan().any():
        return (
            "Some of your weights are nan: a softmax over nothing but -inf. The pixel itself is"
            " always inside, so one softmax over dy and dx together finds something."
        )
    if (look.y < -1e-9).any():
        return (
            "Some weights are negative. The softmax over the window makes them positive shares "
            "that sum to 1."
        )
    total = look.y.sum((-1, -2))
    one = torch.ones_like(total)
    if close(total, one):
        return None
    whole = _seen(*look.y.shape[-4:-1]).all(-1).all(-1)
    if whole.any() and not whole.all() and close(total[..., whole], one[..., whole]):
        return (
            "Where a window meets an edge your weights sum to "
            f"{number(total[..., ~whole].min().item())} instead of 1: places beyond the edge "
            "take their share in the softmax. Hide the scores, before it."
        )
    for axis, letter in ((-1, "dx"), (-2, "dy"), (-3, "w"), (-4, "h")):
        sums = look.y.sum(axis)
        live = sums > 0
        if look.y.shape[axis] > 1 and close(sums[live], torch.ones_like(sums[live])):
            return (
                f"Your weights sum to 1 over {letter} alone. They must sum to 1 over dy and dx "
                "together: make them one axis before the softmax."
            )
    worst = (total - 1).abs().argmax()
    return (
        f"The weights of a window sum to {number(total.flatten()[worst].item())}; they must sum"
        " to 1 over dy and dx together."
    )


@law
def nothing_beyond_the_edges(look: Look) -> str | None:
    """Places that are not in the picture have no weight, and all others have some."""
    if not _map_in_windows(look):
        return None
    seen = _seen(*look.y.shape[-4:-1])
    beyond = look.y[..., ~seen]
    if beyond.numel() and beyond.abs().max() > 1e-9:
        return (
            f"A place beyond the edge of the picture gets weight {number(beyond.max().item())};"
            " it must get 0. Fill its score with -inf where not inside(h, w, window)."
        )
    never = (look.y.flatten(0, -5) == 0).all(0) & seen
    if never.any():
        where = place(never.nonzero()[0].tolist(), "h w dy dx")
        return (
            f"A place inside the picture never gets any weight: {where}. Is your mask that of"
            " another pixel or another window?"
        )
    return None


@law
def content_and_place_in_windows(look: Look) -> str | None:
    """The scores of a window are q · k + q · r, each counted once."""
    given = [look.trial.inputs.get(n) for n in ("q", "k", "rows", "columns")]
    if not _map_in_windows(look) or any(x is None for x in given):
        return None
    (q, k, rows, columns), window = given, look.y.shape[-1]
    reach, (h, w) = window // 2, q.shape[-2:]
    padded = torch.nn.functional.pad(k, (reach,) * 4)
    near = padded.unfold(-2, window, 1).unfold(-2, window, 1)
    up, across = q.chunk(2, dim=2)
    terms = {
        "q · k": torch.einsum("bndhw,bndhwyx->bnhwyx", q, near),
        "the row's half of q · r": torch.einsum("bndhw,nyd->bnhwy", up, rows)[..., None],
        "the column's half of q · r": torch.einsum("bndhw,nxd->bnhwx", across, columns)[
            ..., None, :
        ],
    }
    usable = _seen(h, w, window).expand_as(look.y) & (look.y > 1e-200)

    def centred(x: Tensor) -> Tensor:
        x = x.expand_as(look.y).where(usable, 0)
        mean = x.sum((-1, -2), keepdim=True) / usable.sum((-1, -2), keepdim=True).clamp(min=1)
        return (x - mean)[usable]

    mine = centred(look.y.clamp(min=1e-250).log())
    known = torch.stack([centred(term) for term in terms.values()], -1)
    if torch.linalg.matrix_rank(known) < len(terms):  # one row of pixels says nothing of rows
        return None
    times = torch.linalg.lstsq(known, mine[:, None], driver="gelsd").solution[:, 0]
    if not times.isfinite().all() or (known @ times - mine).abs().max() > 1e-6:
        return None
    wrong = [
        f"{name} {number(x)} times"
        for name, x in zip(terms, times.tolist(), strict=True)
        if abs(x - 1) > 1e-6
    ]
    if not wrong:
        return None
    if (times - times[0]).abs().max() < 1e-6:
        return (
            f"Your scores are {number(times[0].item())} times as large as they should be: q · k"
            " + q · r, and nothing is scaled."
        )
    return f"In your scores counts {', '.join(wrong)}. Each counts once, and nothing is scaled."


@law
def equal_values_stay(look: Look) -> str | None:
    """Shares sum to 1: equal values come out as they are, in the corners too."""
    v = look.trial.inputs.get("v")
    if not isinstance(v, Tensor) or v.ndim < 3:
        return None
    y = look.ask(v=torch.ones_like(v))
    if not isinstance(y, Tensor) or y.shape != look.y.shape or not y.isfinite().all():
        return None
    if close(y, torch.ones_like(y)):
        return None
    more = look.ask(v=v + 1)
    if not isinstance(more, Tensor) or not close(more, look.y + y):
        return (
            "Your output is not the values' mean with weights: what equal values add to it "
            "depends on the others. Is something added to v, or done to the output?"
        )
    h, w = y.shape[-2:]
    reach = look.trial.inputs.get("window", 3) // 2
    middle = y[..., reach : h - reach, reach : w - reach]
    if middle.numel() and close(middle, torch.ones_like(middle)):
        return (
            "With all values 1 you return 1 in the middle of the picture and "
            f"{number(y.min().item())} at its edges: zeros beyond the edge take a share. Hide "
            "them before the softmax."
        )
    return (
        f"With all values 1 you return {number(y.flatten()[0].item())} instead of 1: your "
        "weights do not sum to 1 over the window."
    )


@law
def values_reach_half_a_window(look: Look) -> str | None:
    """A value is read by the pixels around it: half a window in each direction."""
    v, window = look.trial.inputs.get("v"), look.trial.inputs.get("window")
    if not isinstance(v, Tensor) or v.ndim != 5 or not isinstance(window, int):
        return None
    h, w = v.shape[-2:]
    y0, x0, reach = h // 2, w // 2, window // 2
    other = v.clone()
    other[..., y0, x0] += 1
    again = look.ask(v=other)
    if not isinstance(again, Tensor) or again.shape != look.y.shape:
        return None
    moved = ((again - look.y).abs() > 1e-9).flatten(0, -3).any(0)
    expected = torch.zeros_like(moved)
    expected[max(0, y0 - reach) : y0 + reach + 1, max(0, x0 - reach) : x0 + reach + 1] = True
    if torch.equal(moved, expected) or not moved.any():
        return None
    rows, columns = moved.any(1).nonzero()[:, 0], moved.any(0).nonzero()[:, 0]
    return (
        f"The value of pixel {y0}, {x0} reaches rows {int(rows[0])} to {int(rows[-1])} and"
        f" columns {int(columns[0])} to {int(columns[-1])}; a window of {window} has its pixel"
        f" in the middle, so it should reach {reach} in each direction."
    )


@law
def shares_of_a_place(look: Look) -> str | None:
    """A place of a block shares itself out among the mixtures: its shares sum to 1."""
    if not look.axes.endswith("dy dx mix"):
        return None
    total = look.y.sum(-1)
    if (look.y < -1e-9).any():
        return (
            "Some of your shares are negative. The softmax over the mixtures makes them"
            " positive shares that sum to 1."
        )
    if close(total, torch.ones_like(total)):
        return None
    for axis, letter in ((0, "dy"), (1, "dx")):
        if close(look.y.sum(axis), torch.ones_like(look.y.sum(axis))):
            return (
                f"Your shares sum to 1 over {letter}. They must sum to 1 over the mixtures, for"
                " every place of the block: the softmax runs over the wrong axis."
            )
    return (
        f"The shares of a place sum to {number(total.flatten()[0].item())} over the mixtures; "
        "they must sum to 1."
    )


@law
def pixels_of_the_mean(look: Look) -> str | None:
    """Which pixels count in a mean around a pixel, and how much: read off an answer that is
    linear, by maps that are 1 at one pixel."""
    x, extent = look.trial.inputs.get("x"), look.trial.inputs.get("extent")
    if not isinstance(extent, int) or not isinstance(x, Tensor) or look.y.ndim != 4:
        return None
    c, h, w = x.shape[1:]
    maps = torch.eye(h * w, dtype=x.dtype).reshape(h * w, 1, h, w).expand(-1, c, -1, -1)
    counts = look.ask(x=maps.contiguous())
    if not isinstance(counts, Tensor) or counts.shape != (h * w, *look.y.shape[1:]):
        return None
    shares = counts.reshape(h, w, *counts.shape[1:])
    if not close(torch.einsum("bchw,hwcuv->bcuv", x, shares), look.y):
        return None
    rows, columns = torch.arange(h)[:, None], torch.arange(w)
    _, _, us, vs = look.y.shape
    around = [(u, v, u * extent, v * extent) for u in range(us) for v in range(vs)]
    near = {
        (u, v): ((rows - i).abs() < extent) & ((columns - j).abs() < extent)
        for u, v, i, j in around
    }
    around.sort(key=lambda at: -near[at[:2]].sum().item())  # first where no border is near
    for u, v, i, j in around:
        mine, wanted = shares[:, :, 0, u, v], near[u, v]
        where = f"Around u={u}, v={v}, which is pixel h={i}, w={j},"
        for seen, verb in (
            (wanted & (mine.abs() < 1e-9), "leave out"),
            (~wanted & (mine.abs() > 1e-9), "count"),
        ):
            if seen.any():
                first = seen.nonzero()[0].tolist()
                more = seen.sum().item() - 1
                others = f" and {more} more" if more else ""
                return (
                    f"{where} you {verb} the pixel h={first[0]}, w={first[1]}{others}. The mean"
                    f" is over the {wanted.sum().item()} that are nearer than {extent} in rows"
                    " and nearer in columns."
                )
        counted = mine[wanted]
        if not close(counted, counted.mean().expand_as(counted)):
            return (
                f"{where} pixels count differently: from {number(counted.min().item())} to"
                f" {number(counted.max().item())}. In a mean of {len(counted)} each counts"
                f" 1 / {len(counted)}."
            )
    return None
