"""Where cost is the point: does it spend more than it may, counted against the solution?"""

from attncourse.checker.case import Case
from attncourse.checker.fault import Fault
from attncourse.checker.recognition import known_by
from attncourse.checker.running import Crash, attempt
from attncourse.checker.sheet import spent


def examine(case: Case) -> Fault | None:
    if not case.ex.cost:
        return None
    trial, right = case.trials[0], case.sheet.spent
    mine = attempt(lambda: spent(case.ex, case.answer, trial))
    if isinstance(mine, Crash):
        return None
    seen = case.trials[0].seen
    for what, factor, yours, ours in (
        (
            "largest tensor",
            case.ex.cost.largest_tensor,
            mine.largest_tensor,
            right.largest_tensor,
        ),
        ("multiply-adds", case.ex.cost.multiply_adds, mine.multiply_adds, right.multiply_adds),
    ):
        if factor is None or yours <= factor * ours:
            continue
        unit = "numbers" if what == "largest tensor" else "multiply-adds"
        if slip := known_by(case, case.sheet.spent_of_slip, mine):
            much = f"{yours:,} {unit} where {ours:,} are enough."
            return Fault(slip.message, (much, seen), slip.name)
        where = "your largest tensor holds" if what == "largest tensor" else "you make"
        return Fault(
            f"The values are right, but it costs more than it may: {where} {yours:,} {unit};"
            f" {ours:,} are enough.",
            (seen,),
            what.replace(" ", "_").replace("-", "_"),
        )
    return None
