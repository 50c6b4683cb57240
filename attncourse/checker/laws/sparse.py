"""Sparse attention: which keys a query reads, and how much of each."""

import math

import torch
from torch import Tensor

from attncourse.checker.laws.look import Look, centred, close, law
from attncourse.checker.laws.masks import first_wrong_row
from attncourse.exercises.letters import number


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
        said = first_wrong_row(mine.abs() > 1e-9, keys, "reads")
        if said and "way" in look.trial.inputs:
            return f"{look.trial.inputs['way']}: in head {head}, {said}"
        if said := said or _uneven(mine, keys):
            return said
    return _other_scores(look, q, k, eye, torch.stack(right)) or (
        "The right keys are read; what departs is how much of each: scores are q · k /"
        " sqrt(d), and the softmax runs over the keys of a query."
    )


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


def _uneven(mine: Tensor, keys: Tensor) -> str | None:
    """That the right keys of a query do not get equal shares, although their scores are."""
    even = (keys / keys.sum(-1, keepdim=True).clamp(min=1)).to(mine)
    if close(mine - even, torch.eye(len(mine))):
        return "You add the query's own value to the output. It is among the values already."
    if close(mine, even):
        return None
    i = int((mine - even).abs().amax(-1).argmax())
    shares = ", ".join(number(w) for w in mine[i][keys[i]][:6].tolist())
    return (
        f"With equal scores query i={i} gives its {int(keys[i].sum())} keys the shares"
        f" {shares}; they should be equal and sum to 1. Does a key count twice, or"
        " something else take a share, such as zeros?"
    )


def _other_scores(look: Look, q: Tensor, k: Tensor, eye: Tensor, keys: Tensor) -> str | None:
    """What the shares of the right keys say of the scores: which products, how large."""
    weights = look.ask(v=eye)
    if not isinstance(weights, Tensor) or weights.shape != eye.shape:
        return None
    if not weights.isfinite().all() or (weights < 0).any():
        return None
    usable = keys.expand_as(weights) & (weights > 1e-200)
    if not (centred(q @ k.mT, usable).abs() > 1e-9).any():  # one key each: its share is 1
        return None
    mine = centred(weights.clamp(min=1e-250).log(), usable)
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
        scores = centred(a @ b.mT / math.sqrt(q.shape[-1]), usable)
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
