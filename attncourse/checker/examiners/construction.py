"""Can it be built, with the layers of the exercise?"""

from attncourse.checker.case import Case
from attncourse.checker.crashes import crashed
from attncourse.checker.fault import Fault
from attncourse.checker.running import Crash


def examine(case: Case) -> Fault | None:
    fault = case.results[0].fault
    if isinstance(fault, str):
        return Fault(fault)
    if isinstance(fault, Crash):
        if fault.unwritten:
            return Fault("`__init__` is still to be written; take the one of the stub.")
        return crashed(fault, "__init__", case.trials[0])
    if note := case.results[0].note:
        case.notes.append(note)
    return None
