"""Windows: a pixel reads what is around it, inside the picture, by shares that sum to 1."""

import torch
from torch import Tensor
from torch.nn import functional as F

from attncourse.checker.laws.look import Look, centred, close, law
from attncourse.exercises.letters import number, place


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
    window, (h, w) = look.y.shape[-1], given[0].shape[-2:]
    terms = _terms(*given, window)
    usable = _seen(h, w, window).expand_as(look.y) & (look.y > 1e-200)
    mine = centred(look.y.clamp(min=1e-250).log(), usable, (-1, -2))
    known = torch.stack([centred(term, usable, (-1, -2)) for term in terms.values()], -1)
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


def _terms(q: Tensor, k: Tensor, rows: Tensor, columns: Tensor, window: int) -> dict:
    """What the scores of a window are the sum of."""
    near = F.pad(k, (window // 2,) * 4).unfold(-2, window, 1).unfold(-2, window, 1)
    up, across = q.chunk(2, dim=2)
    down = torch.einsum("bndhw,nyd->bnhwy", up, rows)
    along = torch.einsum("bndhw,nxd->bnhwx", across, columns)
    return {
        "q · k": torch.einsum("bndhw,bndhwyx->bnhwyx", q, near),
        "the row's half of q · r": down[..., None],
        "the column's half of q · r": along[..., None, :],
    }


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
    told = f"With all values 1 you return {number(y.flatten()[0].item())} instead of 1: "
    summed = [n for n, size in look.trial.sizes.items() if size > 1 and close(y, size + 0 * y)]
    if v.shape == look.y.shape and close(look.y - v, look.expected):
        return "You add v to the weighted mean of the values. The mean is all."
    if len(summed) == 1:
        return (
            f"{told}as many as there are {summed[0]}. Is that axis summed, which should stay?"
        )
    return f"{told}your weights do not sum to 1 over the window."


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
