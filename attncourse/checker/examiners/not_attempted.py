"""Is anything written yet?"""

from attncourse.checker.case import Case
from attncourse.checker.verdict import NOT_ATTEMPTED, Verdict


def examine(case: Case) -> Verdict | None:
    if not case.unwritten or len(case.unwritten) < len(case.ex.probes):
        return None
    what = " and ".join(f"`{p}`" for p in case.unwritten)
    return Verdict(case.ex.id, NOT_ATTEMPTED, f"Write {what}, then run this cell again.")
