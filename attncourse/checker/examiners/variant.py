"""Is it another published reading, which passes by its own name?"""

from attncourse.checker import recognition
from attncourse.checker.case import Case
from attncourse.checker.examiners import authorship, refusals
from attncourse.checker.fault import Fault
from attncourse.checker.verdict import PASSED, Verdict


def examine(case: Case) -> Verdict | Fault | None:
    if case.unwritten:
        return None
    found = recognition.variant(case)
    if found is None:
        return None
    if fault := refusals.examine(case, variant=True):
        return fault
    if said := authorship.examine(case):
        return said
    text = f"Passed, as a variant. {found.message}"
    return Verdict(case.ex.id, PASSED, text, found.name)
