"""A step with a cache: what stands at each place of it, and how the values are read."""

import torch
from torch import Tensor

from attncourse.checker.laws.look import Look, close, law, of_several, said_first
from attncourse.checker.laws.shares import no_shares, other_scores
from attncourse.exercises.letters import number


@of_several
@said_first
@law
def cache_holds_all(look: Look) -> str | None:
    """What stands at each place of the keys and values returned, and with which weights the
    values are read."""
    if "values" not in look.trial.inputs or not isinstance(look.y, (tuple, list)):
        return None
    return _other_places(look) or _other_weights(look)


def _other_places(look: Look) -> str | None:
    """The first place of the keys or values that does not hold what it should."""
    _, keys, values = look.y
    for kind, mine, right in (
        ("keys", keys, look.expected[1]),
        ("values", values, look.expected[2]),
    ):
        if close(mine, right):
            continue
        for t in range(right.shape[2]):
            if not close(mine[:, :, t], right[:, :, t]):
                return (
                    f"Place {t} of the {kind} that you return holds"
                    f" {_what(look, mine[:, :, t])}; it should hold"
                    f" {_what(look, right[:, :, t])}."
                )
    return None


def _what(look: Look, x: Tensor) -> str:
    """Which of the vectors that are given stands at a place, or which is multiplied there."""
    known = look.trial.inputs
    names = dict(query="q", key="k", value="v")
    parts = {f"the new {name}": known[n][:, :, 0] for name, n in names.items()}
    for kind in ("key", "value"):
        past = known[f"{kind}s"]
        parts |= {f"{kind} {t}": past[:, :, t] for t in range(past.shape[2])}
    for name, part in parts.items():
        if close(part, x):
            return name
    for name, part in parts.items():
        factor = (x.flatten()[0] / part.flatten()[0]).item()
        if close(factor * part, x):
            return f"{number(factor)} times {name}"
    return "something else"


def _other_weights(look: Look) -> str | None:
    """With which weights the values are read, by values that are the identity."""
    known, (read, *_) = look.trial.inputs, look.y
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
    return no_shares(inside, weights) or other_scores(inside, weights, right)
