"""Weights are shares: they sum to 1 over the keys, and scores of the right size stand behind
them."""

import math

import torch
from torch import Tensor

from attncourse.checker.laws.look import (
    Look,
    centred,
    close,
    in_letters,
    law,
    said_first,
)
from attncourse.exercises.letters import largest, number


@law
def rows_sum_to_one(look: Look) -> str | None:
    """Weights are shares: over the keys j they sum to 1 for every query i."""
    return no_shares(look, look.y) if look.axes.endswith("i j") else None


def no_shares(look: Look, weights: Tensor) -> str | None:
    """Why weights are not shares over the last axis, the keys."""
    if (weights < -1e-9).any():
        return (
            "Some weights are negative. The softmax over the keys j makes them positive shares "
            "that sum to 1."
        )
    live = look.allowed(weights.shape).any(-1)
    rows = weights.sum(-1)
    if rows[live].isnan().any():
        return "Some of your weights are nan: is 0 multiplied by -inf, or 0 divided by 0?"
    if close(rows[live], torch.ones_like(rows[live])):
        return None
    worst = (rows - 1).abs().masked_fill(~live, 0).argmax()
    return (
        _sum_elsewhere(look, weights, live)
        or _rows_are_short(look, weights, rows[live])
        or _heads_are_summed(look, weights, rows[live])
        or _rows_are_alike(look, weights, rows[live])
        or f"A row of your weights sums to {number(rows.flatten()[worst].item())} over the keys"
        " j; it must sum to 1."
    )


def _sum_elsewhere(look: Look, weights: Tensor, live: Tensor) -> str | None:
    """Another axis over which they sum to 1, or whose squares do."""
    for axis, letter in enumerate(look.axes.split()[:-1]):
        sums = weights.sum(axis)
        if weights.shape[axis] > 1 and close(sums, torch.ones_like(sums)):
            return (
                f"Your weights sum to 1 over {letter}. They must sum to 1 over the keys j, for "
                "every query i: the softmax runs over the wrong axis, or the map is turned"
                " round."
            )
    squares = weights.square().sum(-1)[live]
    if close(squares, torch.ones_like(squares)):
        return "The squares of your weights sum to 1 over the keys, not the weights themselves."
    return None


def _rows_are_short(look: Look, weights: Tensor, rows: Tensor) -> str | None:
    """What is missing of rows that sum to less than 1."""
    allowed = look.allowed(weights.shape)
    if (rows.abs() < 1e-9).any() and close(rows.round(), rows):
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
    least = number(rows.min().item())
    if (rows < 1).all() and (rows > 0.98).all():
        return (
            f"Your weights sum to {least}, a little less than 1: is a"
            " small number added to the sum that you divide by?"
        )
    if not allowed.all() and (weights[~allowed] == 0).all() and (rows < 1 + 1e-9).all():
        return (
            f"With a mask your weights sum to {least} over the keys "
            "instead of 1: masked keys still take their share in the softmax. Mask the scores "
            "before the softmax, not the weights after it."
        )
    return None


def _heads_are_summed(look: Look, weights: Tensor, rows: Tensor) -> str | None:
    """Rows that sum to the number of heads, because the maps of all heads are added."""
    axes = look.axes.split()
    if "head" not in axes or len(axes) != weights.ndim:
        return None
    axis = axes.index("head")
    heads = weights.shape[axis]
    if heads < 2 or not close(rows, torch.full_like(rows, heads)):
        return None
    if not close(weights, weights.narrow(axis, 0, 1).expand_as(weights)):
        return None
    return (
        f"Every row of your weights sums to {heads}, the number of heads: the maps of the heads"
        " are added. Each head has its own."
    )


def _rows_are_alike(look: Look, weights: Tensor, rows: Tensor) -> str | None:
    """The one number to which all rows sum; a factor, if without it all is right."""
    if not close(rows, rows[:1].expand_as(rows)) or rows.numel() <= 2:
        return None
    total = rows.flatten()[0].item()
    if weights.shape != look.expected.shape or not close(weights / total, look.expected):
        return f"Every row of your weights sums to {number(total)}, not to 1."
    width = {n: x for n, x in look.trial.sizes.items() if n == "d"}
    return (
        f"Every row of your weights sums to {in_letters(rows.flatten()[0].item(), width)}, not"
        " to 1: is there a factor after the softmax? What is scaled are the scores, before it."
    )


@said_first
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
    if said := _equal_shares(look.y.log(), x):
        return said
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


def _equal_shares(log: Tensor, x: Tensor) -> str | None:
    """Two scores of a row that differ, and get equal shares."""
    alike = ((log[..., None] - log[..., None, :]).abs() < 1e-9) & (
        (x[..., None] - x[..., None, :]).abs() > 1e-6
    )
    if not alike.any():
        return None
    *row, j, other = alike.nonzero()[0].tolist()
    one, two = (number(x[(*row, at)].item()) for at in (j, other))
    return (
        f"Two scores of a row, {one} and {two} (j={j} and j={other}), get equal shares:"
        " is a score clamped or rounded?"
    )


@law
def scale_is_right(look: Look) -> str | None:
    """The logits are the products of q and k, over the root of the head's width."""
    return other_scores(look, look.y, look.expected) if look.axes.endswith("i j") else None


def other_scores(look: Look, weights: Tensor, expected: Tensor) -> str | None:
    """What is done to the scores behind the weights."""
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
    """By what the scores are multiplied, if it is one number."""
    usable = look.allowed(weights.shape) & (weights > 1e-200) & (expected > 1e-200)
    if usable.sum() < 4:
        return None
    mine, right = (centred(w.clamp(min=1e-250).log(), usable) for w in (weights, expected))
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
        f"{in_letters(divisor, look.trial.sizes)} instead of sqrt(d) = {number(width**0.5)}."
    )
