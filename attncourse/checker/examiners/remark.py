"""Does it hold a trial outside the contract proper? If not, that is said on a pass."""

from attncourse.checker.calling import run
from attncourse.checker.case import Case
from attncourse.checker.equal import same


def examine(case: Case) -> None:
    trial = case.sheet.remark
    if trial is None:
        return
    mine = run(case.ex, case.answer, trial)
    if mine.fault is not None or not all(
        same(mine.outcomes[p], y) for p, y in case.sheet.of_remark.items()
    ):
        case.remarks.append(
            f"A remark: it does not hold {trial.name}, which later chapters need."
        )
