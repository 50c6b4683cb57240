"""Do gradients reach every input and parameter, and are they right?"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from attncourse.checker.calling import gradients
from attncourse.checker.case import Case
from attncourse.checker.crashes import crashed
from attncourse.checker.equal import nearly, same, zero
from attncourse.checker.fault import Fault
from attncourse.checker.recognition import known_by
from attncourse.checker.running import Crash
from attncourse.checker.telling import DIGITS
from attncourse.checker.trials import Prepared
from attncourse.exercises.record import Slip

Gradients = Mapping[str, Tensor | None]


def examine(case: Case) -> Fault | None:
    if "gradients" in case.ex.skip:
        return None
    probe = case.last_probe
    for index in case.sheet.declared:
        right = case.sheet.expected_gradients(index, probe)
        if not isinstance(right, dict) or all(g is None for g in right.values()):
            continue
        trial = case.trials[index]
        mine = gradients(case.ex, case.answer, trial, probe)
        if isinstance(mine, Crash):
            fault = crashed(mine, probe, trial)
            return Fault(fault.cause, ("While gradients are computed:", *fault.evidence))
        if fault := _compared(case, index, mine, right):
            return fault
    return None


def _compared(case: Case, index: int, mine: Gradients, right: Gradients) -> Fault | None:
    """What is lost, or is not what it should be, on one trial."""
    trial = case.trials[index]
    lost = [
        name
        for name, wanted in right.items()
        if mine.get(name) is None and wanted is not None and not zero(wanted)
    ]
    pairs = ((n, mine.get(n), wanted) for n, wanted in right.items())
    known = [(n, got, g) for n, got, g in pairs if got is not None and g is not None]
    off = None if lost else next((n for n, got, g in known if not same(got, g)), None)
    if not lost and off is None:
        return None
    if not lost and all(same(got, g) or _rounded(got, g) for _, got, g in known):
        if DIGITS not in case.remarks:  # nobody promised all digits
            case.remarks.append(DIGITS)
        return None

    def trace(slip: Slip) -> Any:
        return case.sheet.gradients_of_slip(slip, index, case.last_probe)

    if slip := known_by(case, trace, mine):
        return Fault(slip.message, (trial.seen,), slip.name)
    if lost:
        names = ", ".join(f"`{one}`" for one in lost[:4])
        return Fault(
            f"No gradient reaches {names}: is there a `detach`, `.data`,"
            " `no_grad`, `.item()`, numpy or a newly made tensor on the way?",
            ("The values are right.", trial.seen),
            "no_gradient",
        )
    cause, more = _wrong(off, mine[off], right[off], trial)
    return Fault(cause, (more, trial.seen), "wrong_gradient")


def _rounded(got: Tensor, right: Tensor) -> bool:
    """Off by what a constant in single precision is, 2^-24 of it, in four places at most."""
    if not nearly(got, right):
        return False
    return bool((got - right).abs().max() <= 2**-22 * right.abs().max())


def _wrong(name: str, got: Tensor, wanted: Tensor, trial: Prepared) -> tuple[str, str]:
    """How a gradient departs, and what to look for."""
    if got.isnan().any():
        return (
            f"The gradient for `{name}` is nan although the values are right.",
            "Replacing nan after the softmax is too late: mask before it."
            if any(_is_mask(x) for x in trial.inputs.values())
            else "Somewhere inside an exp overflows, or 0 is divided by 0.",
        )
    if nearly(got, wanted):
        return (
            f"The values and the gradient for `{name}` are right to a few digits only.",
            "Is a small number added, such as an epsilon in a denominator?",
        )
    return (
        f"The values are right, but the gradient for `{name}` is not.",
        "Is a part of it detached, or divided by nearly nothing?",
    )


def _is_mask(x: Any) -> bool:
    return isinstance(x, Tensor) and x.dtype == torch.bool
