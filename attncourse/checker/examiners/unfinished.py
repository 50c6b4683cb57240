"""Is a part still to be written, where the rest is right?"""

from attncourse.checker.case import Case
from attncourse.checker.fault import Fault


def examine(case: Case) -> Fault | None:
    if not case.unwritten:
        return None
    done = " and ".join(f"`{p}`" for p in case.ex.probes if p not in case.unwritten)
    left = " and ".join(f"`{p}`" for p in case.unwritten)
    return Fault(f"{done} is right. Still to be written: {left}.")
