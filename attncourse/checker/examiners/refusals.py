"""Does it refuse with a ValueError what it should refuse?"""

from attncourse.checker.calling import run
from attncourse.checker.case import Case
from attncourse.checker.fault import Fault
from attncourse.checker.running import Crash


def examine(case: Case) -> Fault | None:
    for trial in case.sheet.refused:
        result = run(case.ex, case.answer, trial)
        for probe in case.ex.probes:
            y = result.outcomes.get(probe, result.fault)
            enough = "kind" in case.ex.skip or getattr(y, "kind", "") == "ValueError"
            if probe in case.unwritten or (isinstance(y, Crash) and enough):
                continue
            how = f"ends in {y.kind} for" if isinstance(y, Crash) else "does not refuse"
            return Fault(
                f"The values are right, but `{probe}` {how} {trial.name}: raise a"
                " `ValueError` that says what is wrong.",
                (),
                "not_refused",
            )
    return None
