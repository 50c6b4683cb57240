"""Where a gate stands: before, behind or beside the branch, and what it leaves alone."""

import torch
from torch import Tensor

from attncourse.checker.laws.look import Look, close, law
from attncourse.exercises.letters import number


@law
def gate_stands_where_it_should(look: Look) -> str | None:
    """What a gate that halves leaves of x and of the branch says where it stands."""
    x, place_ = look.trial.inputs.get("x"), look.trial.inputs.get("placement")
    wanted = dict(standard=(1, 0.5), pre=(1, 1), post=(0.5, 0.5), identity=(0.5, 1))
    if not isinstance(x, Tensor) or place_ not in wanted:
        return None
    even = torch.ones_like(x)
    bare = _times(look, branch=torch.zeros_like, gate=lambda t: t)
    full = _times(look, branch=torch.ones_like, gate=lambda t: t, x=even)
    if bare is not None and full is not None and (abs(bare - 1) > 1e-9 or abs(full - 2) > 1e-9):
        return (
            f'In "{place_}", with a gate that does nothing, you return {number(bare)} times x'
            f" for a branch of 0, and {number(full)} for x = 1 and a branch of 1; it should be"
            " x and 2. Whatever the gate does, x and F(x) are added."
        )
    silent = _times(look, branch=torch.zeros_like, gate=lambda t: t / 2)
    if silent is not None and abs(silent - wanted[place_][0]) > 1e-9:
        return (
            f'In "{place_}", with a branch that returns 0 and a gate that halves, you return'
            f" {number(silent)} times x; it should be {number(wanted[place_][0])} times x. Does"
            " the gate stand in the way of x, or not?"
        )
    steady = _times(look, branch=torch.ones_like, gate=lambda t: t / 2, x=even)
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


def _times(look: Look, **changes) -> float | None:
    """What comes out, as a multiple of x where the branch returns 0; None if it is not one."""
    x = look.trial.inputs["x"]
    simple = dict(x=x.abs() + 1, shortcut=lambda t: t)
    y = look.ask(**(simple | changes))
    if not isinstance(y, Tensor) or y.shape != x.shape:
        return None
    times = y / simple["x"] if changes["branch"] is torch.zeros_like else y
    first = times.flatten()[0]
    return first.item() if close(times, first.expand_as(times)) else None
