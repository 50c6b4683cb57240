"""What a mask does: keys that are hidden get nothing, and the right ones are hidden."""

import torch
from torch import Tensor

from attncourse.checker.laws.look import Look, close, law, said_first
from attncourse.exercises.letters import largest, number, place


@law
def masked_keys_do_not_matter(look: Look) -> str | None:
    """A key that no query may attend to has no weight, whatever it holds."""
    return forbidden_weights(look, look.y) if look.axes.endswith("i j") else None


def forbidden_weights(look: Look, weights: Tensor) -> str | None:
    """Weights that go where the mask forbids it."""
    allowed = look.allowed(weights.shape)
    if allowed.all():
        return None
    return _of_empty_rows(weights, allowed) or _of_hidden_keys(look, weights, allowed)


def _of_empty_rows(weights: Tensor, allowed: Tensor) -> str | None:
    """What a query gets that may attend to nothing."""
    empty = weights[~allowed.any(-1)]
    if not len(empty):
        return None
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
    return None


def _of_hidden_keys(look: Look, weights: Tensor, allowed: Tensor) -> str | None:
    forbidden = weights[~allowed]
    if not forbidden.numel() or not forbidden.abs().max() > 1e-9:
        return None
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


@said_first
@law
def masked_scores_are_gone(look: Look) -> str | None:
    """What becomes of a masked score, where it does not become -inf."""
    q, k = look.trial.inputs.get("q"), look.trial.inputs.get("k")
    if look.mask is None or not isinstance(q, Tensor) or not isinstance(k, Tensor):
        return None
    weights = look.y if look.axes.endswith("i j") else look.map_inside()
    if not isinstance(weights, Tensor) or weights.ndim != q.ndim:
        return None
    scores, root = q @ k.mT, q.shape[-1] ** 0.5
    if weights.shape != scores.shape or not (weights > 0).any():
        return None
    allowed, scores = look.allowed(weights.shape), scores / root
    return _filled_with_a_number(weights, scores, allowed) or _what_is_filled_in(
        weights, scores, allowed
    )


def _filled_with_a_number(weights: Tensor, scores: Tensor, allowed: Tensor) -> str | None:
    """Rows in which what is filled in is more than any score."""
    some = allowed.any(-1) & ((~allowed).sum(-1) > 1)
    for row, may, score in zip(weights[some], allowed[some], scores[some], strict=True):
        hidden = row[~may]
        if row[may].max() < 1e-9 < hidden.min() and hidden.max() - hidden.min() < 1e-9:
            return (
                f"Where scores lie around {number(score.mean().item())}, masked keys get all"
                " the weight: what you fill in is a number, and not the lowest. Fill with -inf."
            )
    return None


def _what_is_filled_in(weights: Tensor, scores: Tensor, allowed: Tensor) -> str | None:
    """What masked scores are as they go into the softmax, read off the shares."""
    both = allowed.any(-1) & ~allowed.all(-1) & (weights > 1e-200).all(-1)
    if not both.any():
        return None
    scores, weights, allowed = scores[both], weights[both], allowed[both]
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


@said_first
@law
def lengths_are_kept(look: Look) -> str | None:
    """Each example may be attended to up to its own length."""
    lengths, y = look.trial.inputs.get("lengths"), look.y
    if not isinstance(lengths, Tensor):
        return None
    if y.dtype != torch.bool or y.shape != look.expected.shape:
        return None
    for b, n in enumerate(lengths.tolist()):
        if bool((y[b] == look.expected[b]).all()):
            continue
        return (
            f"Example b={b} has length {n}; your mask lets through {keys(y[b].flatten())}. It"
            f" should let through {keys(look.expected[b].flatten())}."
        )
    return None


@law
def queries_see_their_keys(look: Look) -> str | None:
    """A mask, row by row, as lists of keys."""
    if look.y.dtype != torch.bool or look.y.ndim != 2:
        return None
    return first_wrong_row(look.y, look.expected, "sees")


def keys(row: Tensor) -> str:
    """The keys of a query as a sentence has them: "keys 3, 4, 5", "no key"."""
    found = row.nonzero().flatten().tolist()
    shown = ", ".join(map(str, found[:8])) + (", …" if len(found) > 8 else "")
    return f"key{'s' * (len(found) > 1)} {shown}" if found else "no key"


def first_wrong_row(mine: Tensor, right: Tensor, verb: str) -> str | None:
    """A query whose keys are not what they should be: one from the middle, if there is one."""
    wrong = (mine != right).any(-1).nonzero().flatten().tolist()
    if not wrong:
        return None
    i = next((row for row in wrong if row >= mine.shape[-1] // 2), wrong[0])
    later = mine[i, i + 1 :].any() and not right.triu(1).any()
    return (
        f"query i={i} {verb} {keys(mine[i])}; it should be {keys(right[i])}."
        f"{' No key may be later than its query.' * bool(later)}"
        f" ({len(wrong)} of {len(mine)} queries are wrong.)"
    )
