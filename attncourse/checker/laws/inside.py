"""An output is a mixture of values: what can be read off it by asking with other values."""

from dataclasses import replace

import torch
from torch import Tensor

from attncourse.checker.laws.look import Look, close, law
from attncourse.checker.laws.masks import forbidden_weights
from attncourse.checker.laws.shares import no_shares, other_scores
from attncourse.exercises.letters import sizes_of


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
            "With all values 0 your output is not 0: not only v is weighted, or something is"
            " added to it."
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


@law
def weights_inside_are_right(look: Look) -> str | None:
    """The map, read off with v = identity, is a softmax over the keys of scaled scores."""
    weights = look.map_inside()
    if not isinstance(weights, Tensor):
        return None
    sizes = look.trial.sizes
    axes = look.axes.rsplit(" ", 1)[0] + " j"
    if weights.shape[-1] != sizes.get("j") or weights.ndim != look.y.ndim:
        return None
    if sizes_of(axes, weights.shape).get("i") != sizes.get("i"):
        return None
    trial = replace(look.trial, sizes=sizes | {"e": sizes["j"] + 13})
    inside = Look(trial, look.probe, axes, weights, look.expected, look.ask)
    return (
        forbidden_weights(inside, weights)
        or no_shares(inside, weights)
        or _other_products(inside, weights)
    )


def _other_products(look: Look, weights: Tensor) -> str | None:
    """What the scores of the weights inside are, against the products of q and k."""
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
    return other_scores(look, weights, right)
