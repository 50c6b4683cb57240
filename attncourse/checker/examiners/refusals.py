"""Does it refuse, with a ValueError that has the numbers, what the stub says is refused?"""

import re
from typing import Any

from attncourse.checker.case import Case
from attncourse.checker.crashes import crashed
from attncourse.checker.equal import same
from attncourse.checker.fault import Fault
from attncourse.checker.running import Crash
from attncourse.checker.sheet import Refused, refusals, refuses
from attncourse.checker.telling import wrong_kind


def examine(case: Case, variant: bool = False) -> Fault | None:
    """variant  whether it is another reading, which refuses the same and has other numbers"""
    for refused in case.sheet.refused:
        found = refusals(case.ex, case.answer, refused.trial)
        for probe in refused.errors:
            if probe not in case.unwritten and (fault := _fault(probe, found[probe], refused)):
                return fault
        if variant:
            continue
        for probe, right in refused.others.items():
            if probe not in case.unwritten and not same(found[probe], right):
                return _departs(case, probe, found[probe], right, refused)
    return None


def _departs(case: Case, probe: str, y: Any, right: Any, refused: Refused) -> Fault:
    """A probe that is not to refuse what another refuses."""
    name, trial = refused.trial.name, refused.trial
    if isinstance(y, Crash):
        fault = crashed(y, probe, trial)
        return Fault(f"For {name} `{probe}` stops: {fault.cause}", fault.evidence)
    wrong = wrong_kind(probe, y, right, case.ex.probes[probe], trial)
    return Fault(f"The values are right, but not those of `{probe}` for {name}.", (wrong,))


def _fault(probe: str, y: Any, refused: Refused) -> Fault | None:
    """How one probe does not refuse a trial, or does not say why."""
    name = refused.trial.name
    if not refuses(y):
        how = f"ends in {y.kind} for" if isinstance(y, Crash) else "does not refuse"
        says = " and ".join(map(str, refused.says))
        wants = f" that says {says}" if says else " that says what is wrong"
        return Fault(
            f"The values are right, but `{probe}` {how} {name}: raise a `ValueError`{wants}.",
            (y.text.splitlines()[0] if isinstance(y, Crash) and y.text else None,),
            "not_refused",
        )
    if missing := [one for one in refused.says if not said(one, y.text)]:
        return Fault(
            f"For {name} `{probe}` raises a ValueError, but its text does not say"
            f" {' and '.join(map(str, missing))}.",
            (
                "The values are right.",
                f"The text is: {y.text}" if y.text else "It has no text.",
            ),
            "refused_without_numbers",
        )
    return None


def said(one: int | str, text: str) -> bool:
    """Whether a text holds a number, as a number of its own, or a word."""
    if isinstance(one, str):
        return one in text
    return re.search(rf"(?<![\d.]){one}(?!\d|\.\d)", text) is not None
