"""Sines and cosines: every pair of features turns by its own angle from place to place."""

import math

import torch
from torch import Tensor

from attncourse.checker.laws.look import Look, close, law, said_first
from attncourse.exercises.letters import largest, number, place


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


def pairs_are(speeds: Tensor, first: float, base: float, d: int) -> bool:
    """Whether the pairs turn at powers of this base."""
    pair = torch.arange(len(speeds), dtype=speeds.dtype)
    return close(speeds, first * base ** (-2 * pair / d))


@said_first
@law
def frequencies_have_their_base(look: Look) -> str | None:
    """Pair f turns by 10000^(-2f/d) from one position to the next, read off and fitted."""
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
        if abs(base - round(base)) > 1e-6 * base or not pairs_are(mine, first, base, d):
            ratio, right = math.exp(step.item()), 10000 ** (-2 / d)
            return (
                f"From one pair to the next your frequencies become {number(ratio)} times as"
                f" large; it should be 10000^(-2/d) = {number(right)}."
            )
        if abs(math.log(base, 10000) - 2) < 1e-6:
            return (
                "Your frequencies are those of twice the exponent, 10000^(-4f/d). It is -2f/d,"
                " where f counts the pairs: is d divided by 2 as well?"
            )
        whole = "" if abs(first - 1) < 1e-6 else f"{number(first)} times "
        return f"Your frequencies are {whole}{base:.6g}^(-2f/d). The base is 10000."
    if abs(first - 1) > 1e-6:
        return (
            f"All your angles are {number(first)} times as large as they should be: are the"
            " positions scaled?"
        )
    return None
