"""Positions in tables: distances, rows, columns and coordinates, and how often they count."""

import torch
from torch import Tensor

from attncourse.checker.laws.look import Look, centred, close, in_letters, law, said_first
from attncourse.exercises.letters import largest, number, place


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
    mine = centred(look.y.clamp(min=1e-250).log(), usable)
    known = torch.stack([centred(term, usable) for term in terms], -1) / q.shape[-1] ** 0.5
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


@said_first
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
    mine, theirs = (in_letters(t, sizes) for t in times.tolist())
    if abs(times[0] - 1) > 1e-6:
        return f"x counts {mine} times in your sum. It counts once."
    if abs(times[1] - 1) > 1e-6:
        return f"The places count {theirs} times in your sum. They count once."
    return None


@said_first
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


@said_first
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


@said_first
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


@said_first
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
