"""Can this machine check the exercise at all?"""

from attncourse.checker.case import Case
from attncourse.checker.verdict import NOT_ATTEMPTED, Verdict


def examine(case: Case) -> Verdict | None:
    reason = case.ex.needs()
    return Verdict(case.ex.id, NOT_ATTEMPTED, f"Not checked: {reason}") if reason else None
